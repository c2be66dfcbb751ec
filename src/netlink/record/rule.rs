// SPDX-License-Identifier: LGPL-2.1-or-later
//! Policy rules (`linux/fib_rules.h`): which routing table applies to which packets.

use std::fmt;
use std::net::IpAddr;

use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::address::{decode_family, decode_ip, encode_family};
use crate::netlink::record::rewritten;
use crate::netlink::wire::{
    self, Attribute, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array,
    take_u32,
};

pub(super) const RTM_NEWRULE: u16 = 32;
pub(super) const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
const FRA_PAD: u16 = 18;
const FRA_L3MDEV: u16 = 19;
const FRA_PROTOCOL: u16 = 21;

/// The only flag of a rule that the kernel both reports and accepts: the rule is inverted.
const FIB_RULE_INVERT: u32 = 2;

const RTPROT_UNSPEC: u8 = 0;
const RTPROT_KERNEL: u8 = 2;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;
const RTPROT_DHCP: u8 = 16;

/// A rule with all its attributes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RuleRecord {
    pub family: Family,
    /// Rules apply in the order of their numbers, and rules of one number in the order in which
    /// they were added.
    pub priority: u32,
    /// Behind the family: lengths of destination and source, TOS, table, two that are reserved, action.
    header: [u8; 7],
    flags: u32,
    attributes: Vec<u8>,
}

impl RuleRecord {
    /// Decodes a rule. `None` if the message is about something else, or about a rule that another
    /// origin restores: a routing daemon's, or the kernel's own for VRFs.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        const PART: &str = "fib_rule_hdr";
        if message.kind != RTM_NEWRULE {
            return Ok(None);
        }
        let mut rest = message.payload;
        let [family] = take_array(&mut rest, PART)?;
        let header = take_array(&mut rest, PART)?;
        let flags = take_u32(&mut rest, PART)? & FIB_RULE_INVERT;
        let Some(family) = decode_family(family) else { return Ok(None) };
        let mut rule = Self { family, priority: 0, header, flags, attributes: Vec::new() };
        let (mut protocol, mut is_of_vrfs) = (RTPROT_UNSPEC, false);
        let mut kept = PayloadWriter::new(&mut rule.attributes);
        for attribute in attributes(rest) {
            let attribute = attribute?;
            match attribute.kind {
                FRA_PRIORITY => rule.priority = attribute.u32("FRA_PRIORITY")?,
                FRA_PROTOCOL => protocol = attribute.u8("FRA_PROTOCOL")?,
                FRA_L3MDEV => is_of_vrfs = attribute.u8("FRA_L3MDEV")? != 0,
                _ => {}
            }
            if attribute.kind != FRA_PAD {
                kept.attribute(attribute.kind, attribute.payload);
            }
        }
        let is_kept = match protocol {
            RTPROT_KERNEL => !is_of_vrfs,
            RTPROT_UNSPEC | RTPROT_BOOT | RTPROT_STATIC | RTPROT_DHCP => true,
            _ => false,
        };
        Ok(is_kept.then_some(rule))
    }

    /// The same rule for the packets of another link; nothing if it does not name this one.
    #[must_use]
    pub fn renamed(&self, from: &IfName, to: &IfName) -> Option<Self> {
        let mut is_renamed = false;
        let attributes = rewritten(&self.attributes, |attribute, out| {
            let names = matches!(attribute.kind, FRA_IIFNAME | FRA_OIFNAME);
            match attribute.text() == from.as_str().as_bytes() && names {
                true => {
                    is_renamed = true;
                    out.attribute_text(attribute.kind, to.as_str());
                }
                false => out.attribute(attribute.kind, attribute.payload),
            }
            Some(())
        })?;
        is_renamed.then(|| Self { attributes, ..self.clone() })
    }

    /// Appends the record as a message of this header.
    pub(super) fn encode(&self, out: &mut Vec<u8>, header: NetlinkHeader) {
        wire::write_message(out, header, |payload| {
            payload.bytes(&[encode_family(self.family)]);
            payload.bytes(&self.header);
            payload.bytes(&self.flags.to_ne_bytes());
            payload.bytes(&self.attributes);
        });
    }

    fn attribute(&self, kind: u16) -> Option<Attribute<'_>> {
        attributes(&self.attributes).flatten().find(|attribute| attribute.kind == kind)
    }

    fn address(&self, kind: u16) -> Option<IpAddr> {
        decode_ip(self.family, self.attribute(kind)?.payload, "FRA_SRC").ok()
    }
}

/// As `ip rule` writes it, with the usual attributes.
impl fmt::Display for RuleRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [destination_len, source_len, _tos, _table, _, _, action] = self.header;
        write!(f, "{} pref {}", self.family.as_str(), self.priority)?;
        if self.flags & FIB_RULE_INVERT != 0 {
            f.write_str(" not")?;
        }
        match self.address(FRA_SRC) {
            Some(source) => write!(f, " from {source}/{source_len}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(destination) = self.address(FRA_DST) {
            write!(f, " to {destination}/{destination_len}")?;
        }
        if let Some(mark) = self.attribute(FRA_FWMARK).and_then(|it| it.u32("FRA_FWMARK").ok()) {
            write!(f, " fwmark {mark:#x}")?;
        }
        for (word, kind) in [("iif", FRA_IIFNAME), ("oif", FRA_OIFNAME)] {
            if let Some(name) = self.attribute(kind) {
                write!(f, " {word} {}", String::from_utf8_lossy(name.text()))?;
            }
        }
        let table = self.attribute(FRA_TABLE).and_then(|it| it.u32("FRA_TABLE").ok());
        match action {
            1 => write!(f, " lookup {}", table.unwrap_or_default()),
            2 => f.write_str(" goto"),
            3 => f.write_str(" nop"),
            6 => f.write_str(" blackhole"),
            7 => f.write_str(" unreachable"),
            8 => f.write_str(" prohibit"),
            action => write!(f, " action {action}"),
        }
    }
}

/// Appends the request for one family's rules.
pub(crate) fn encode_rule_dump(out: &mut Vec<u8>, sequence: u32, family: Family) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETRULE, flags, sequence }, |payload| {
        payload.bytes(&[encode_family(family), 0, 0, 0]);
        payload.bytes(&[0; 8]);
    });
}
