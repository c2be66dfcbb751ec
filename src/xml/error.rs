// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`XmlError`]: why a text is not a definition of an interface.
//!
//! For errors of libvirt's own parser the texts are libvirt's, as its clients know them; the others
//! name element, attribute and value. Codes and domains are chosen in `call_errors`.

use std::fmt;

use crate::model::address::Family;
use crate::model::name::NameError;
use crate::xml::words::{self, KindName};

/// Where libvirt has its schema; errors about validity name it.
const SCHEMA_FILE: &str = "/usr/share/libvirt/schemas/interface.rng";

/// Why a text is not a definition of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum XmlError {
    /// Not well-formed, or over a bound of the tree.
    Syntax(SyntaxError),
    /// The root element has another name.
    Root { found: String },
    /// Not valid by libvirt's schema.
    Schema { line: usize, problem: String },
    /// An attribute that every element of this name must have is missing.
    Missing { element: &'static str, attribute: &'static str },
    /// libvirt's reader of attributes refuses the value.
    Value { element: &'static str, attribute: &'static str, value: String, expected: Expected },
    /// libvirt's parser of interfaces refuses the document.
    Interface(ParseRefusal),
    /// libvirt accepts the value, but the kernel or the model cannot hold it.
    Flaw { element: &'static str, attribute: &'static str, value: String, flaw: Flaw },
}

/// Where a text is not well-formed XML.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
    /// The line, or the part of a long line around the place.
    pub excerpt: String,
    /// Dashes up to a `^` below the place.
    pub pointer: String,
}

/// The values that libvirt's reader of attributes expects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// One of a few words.
    Word,
    Integer,
    Unsigned,
}

/// The errors of libvirt's parser of interfaces, in the order of its checks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ParseRefusal {
    /// This kind cannot be a member here.
    UnsupportedType(KindName),
    NoName,
    StartMode(String),
    MtuOver,
    NoFamily,
    Family(String),
    /// The element named like the interface's type is missing.
    NoKindElement(KindName),
    BondMode(String),
    MiiFreq,
    /// `downdelay` or `updelay`.
    MiiDelay(&'static str),
    MiiCarrier(String),
    ArpInterval,
    NoArpTarget,
    ArpValidate(String),
    NoTag,
    NoParent,
}

/// An error in a value that libvirt would accept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    Name(NameError),
    /// It is the interface's own name.
    OwnMember,
    /// Two members have this name.
    MemberTwice,
    Number,
    FamilyTwice,
    NoAddress,
    Address(Family),
    /// No host can have this address.
    AddressUse,
    AddressTwice,
    Prefix(Family),
    /// No gateway can have this address.
    GatewayUse,
    Mac,
    Stp,
    Delay,
    DelayOver,
    /// The kernel's monitors count up to here.
    Milliseconds,
    /// The MII monitor is off.
    DelayUnmonitored,
    ArpTarget,
    /// The bond's mode excludes ARP monitoring.
    ArpMode,
    Tag,
    /// The VLAN is over itself, directly or by way of others.
    OwnParent,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(err) => err.fmt(f),
            Self::Root { found } => {
                write!(f, "expecting root element of 'interface', not '{found}'")
            }
            Self::Schema { line, problem } => {
                write!(f, "Unable to validate doc against {SCHEMA_FILE}\nline {line}: {problem}")
            }
            Self::Missing { element, attribute } => {
                write!(f, "Missing required attribute '{attribute}' in element '{element}'")
            }
            Self::Value { element, attribute, value, expected } => {
                invalid(f, element, attribute, value)?;
                f.write_str(match expected {
                    Expected::Word => ".",
                    Expected::Integer => ". Expected integer value",
                    Expected::Unsigned => ". Expected non-negative integer value",
                })
            }
            Self::Interface(refusal) => refusal.fmt(f),
            Self::Flaw { element, attribute, value, flaw } => {
                invalid(f, element, attribute, value)?;
                write!(f, ": {flaw}")
            }
        }
    }
}

fn invalid(f: &mut fmt::Formatter<'_>, element: &str, attribute: &str, value: &str) -> fmt::Result {
    write!(f, "Invalid value for attribute '{attribute}' in element '{element}': '{value}'")
}

impl std::error::Error for XmlError {}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, message, excerpt, pointer } = self;
        write!(f, "at line {line}: {message}\n{excerpt}\n{pointer}")
    }
}

impl fmt::Display for ParseRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedType(kind) => {
                write!(f, "interface has unsupported type '{}'", words::kind(*kind))
            }
            Self::NoName => f.write_str("interface has no name"),
            Self::StartMode(mode) => write!(f, "unknown interface startmode {mode}"),
            Self::MtuOver => {
                f.write_str("value of the 'size' attribute of 'mtu' element must be at most 100000")
            }
            Self::NoFamily => f.write_str("protocol misses the family attribute"),
            Self::Family(family) => write!(f, "unsupported protocol family '{family}'"),
            Self::NoKindElement(kind) => {
                let kind = words::kind(*kind);
                write!(f, "{kind} interface misses the {kind} element")
            }
            Self::BondMode(mode) => write!(f, "unknown bonding mode {mode}"),
            Self::MiiFreq => f.write_str("bond interface miimon freq missing or invalid"),
            Self::MiiDelay(which) => write!(f, "bond interface miimon {which} invalid"),
            Self::MiiCarrier(carrier) => write!(f, "unknown mii bonding carrier {carrier}"),
            Self::ArpInterval => f.write_str("bond interface arpmon interval missing or invalid"),
            Self::NoArpTarget => f.write_str("bond interface arpmon target missing"),
            Self::ArpValidate(validate) => write!(f, "unknown arp bonding validate {validate}"),
            Self::NoTag => f.write_str("vlan interface misses the tag attribute"),
            Self::NoParent => f.write_str("vlan interface misses name attribute"),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name(err) => return err.fmt(f),
            Self::OwnMember => "an interface cannot be a member of itself",
            Self::MemberTwice => "an interface can be a member only once",
            Self::Number => "a non-negative integer is expected",
            Self::FamilyTwice => "a family has one protocol element",
            Self::NoAddress => "an address is expected",
            Self::Address(Family::Ipv4) => "an IPv4 address is expected",
            Self::Address(Family::Ipv6) => "an IPv6 address is expected",
            Self::AddressUse => "no interface can have this address",
            Self::AddressTwice => "an interface has an address only once",
            Self::Prefix(Family::Ipv4) => "0 to 32 bits are expected",
            Self::Prefix(Family::Ipv6) => "0 to 128 bits are expected",
            Self::GatewayUse => "no gateway can have this address",
            Self::Mac => "six pairs of hexadecimal digits between colons are expected",
            Self::Stp => "on or off is expected",
            Self::Delay => "seconds with at most two digits behind the point are expected",
            Self::DelayOver => "at most 42949672.95 seconds are expected",
            Self::Milliseconds => "0 to 2147483647 milliseconds are expected",
            Self::DelayUnmonitored => "a delay needs a freq",
            Self::ArpTarget => "no host can have this address",
            Self::ArpMode => "this mode excludes arpmon",
            Self::Tag => "0 to 4094 is expected",
            Self::OwnParent => "a VLAN cannot be over itself",
        })
    }
}
