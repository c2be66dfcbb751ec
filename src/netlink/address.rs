// SPDX-License-Identifier: LGPL-2.1-or-later
//! RTM_*ADDR messages (`linux/if_addr.h`) <-> [`Address`].
//!
//! Knows the content of one message, not the links. The rest of a finite lifetime is not kept: it
//! would be wrong a second later, and no call needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::address::{Family, IpPrefix, MacAddr};
use crate::netlink::link::LinkIndex;
use crate::netlink::wire::{self, Attributes, Message, NetlinkHeader, WireError, attributes};

pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
pub(super) const RTM_GETADDR: u16 = 22;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
pub(super) const IFA_CACHEINFO: u16 = 6;
pub(super) const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

/// `IFA_F_SECONDARY` for IPv4, `IFA_F_TEMPORARY` for IPv6: one bit, two meanings.
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_PERMANENT: u32 = 0x80;

/// The lifetime of an address that never expires (`INFINITY_LIFE_TIME`).
pub(super) const LIFETIME_INFINITE: u32 = u32::MAX;

/// One address, as the kernel reports it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    pub link: LinkIndex,
    pub prefix: IpPrefix,
    /// The other end of a point-to-point link; the prefix's length then belongs to it.
    pub peer: Option<IpAddr>,
    pub role: Role,
    pub scope: Scope,
    pub lifetime: Lifetime,
    pub origin: AddressOrigin,
}

/// The identity of an address. Ids sort by link first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AddressId {
    pub link: LinkIndex,
    pub prefix: IpPrefix,
    pub peer: Option<IpAddr>,
}

impl Address {
    /// The identity of this address.
    pub fn id(&self) -> AddressId {
        AddressId { link: self.link, prefix: self.prefix, peer: self.peer }
    }

    /// Whether the address came from a DHCP server or a router: it expires, or a router advertises
    /// it without an end.
    pub(crate) fn is_learnt(&self) -> bool {
        self.lifetime == Lifetime::Finite
            || self.origin == AddressOrigin::RouterAdvertisement
            || self.role == Role::Temporary
    }

    /// Whether the kernel itself gives the address to a link of this hardware address: the
    /// link-local address, and that of the loopback. Kernels before 5.18 do not report their own
    /// addresses, so there the form decides.
    pub fn is_of_link(&self, mac: Option<MacAddr>) -> bool {
        let is_made_of_mac = || mac.is_some_and(|mac| is_made_of(self.prefix.address(), mac));
        match (self.prefix.family(), self.scope, self.origin) {
            (_, _, AddressOrigin::LinkLocal | AddressOrigin::Loopback) => true,
            (Family::Ipv6, Scope::Link, AddressOrigin::Unknown) => is_made_of_mac(),
            _ => false,
        }
    }

    /// Whether a definition can contain the address: it is valid beyond its link.
    pub(crate) fn is_definable(&self) -> bool {
        matches!(self.scope, Scope::Global | Scope::Site)
    }

    /// Whether a DHCP client may have brought the address: it is valid beyond its link, and the
    /// kernel has not made it from a router's advertisement. Kernels before 5.18 do not report
    /// whether they have.
    pub(crate) fn may_be_leased(&self) -> bool {
        matches!(self.scope, Scope::Global | Scope::Site)
            && self.origin != AddressOrigin::RouterAdvertisement
            && self.role != Role::Temporary
    }
}

/// The relation of an address to the others of its link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    Primary,
    /// IPv4: an earlier address of the same network is the source of packets to it.
    Secondary,
    /// IPv6: a temporary address, for privacy (RFC 8981).
    Temporary,
}

/// The scope of an address (`RT_SCOPE_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    Global,
    Site,
    Link,
    Host,
}

/// Whether an address expires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lifetime {
    Permanent,
    Finite,
}

/// The origin of an address (`IFAPROT_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressOrigin {
    /// A person or a program added it, or the kernel is older than Linux 5.18 and does not report
    /// it.
    Unknown,
    /// The kernel, for the loopback.
    Loopback,
    /// The kernel, from a router advertisement.
    RouterAdvertisement,
    /// The kernel, as a link-local address.
    LinkLocal,
}

/// Whether the host part of an IPv6 address derives from a hardware address (RFC 4291, appendix A).
fn is_made_of(address: IpAddr, mac: MacAddr) -> bool {
    let (IpAddr::V6(address), &[a, b, c, d, e, f]) = (address, mac.as_bytes()) else {
        return false;
    };
    address.octets().ends_with(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// An event about one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressEvent {
    /// The address exists, with these properties.
    New(Address),
    Removed(AddressId),
}

/// Decodes an address message. `None` if it is about neither IPv4 nor IPv6.
pub fn decode(message: &Message<'_>) -> Result<Option<AddressEvent>, WireError> {
    const PART: &str = "ifaddrmsg";
    let mut rest = message.payload;
    let [family, prefix_len, flags, scope] = wire::take_array(&mut rest, PART)?;
    let index = wire::take_u32(&mut rest, PART)?;
    let Some(family) = decode_family(family) else { return Ok(None) };
    let parts = decode_parts(family, u32::from(flags), attributes(rest))?;
    // IPv6 leaves out the local address where there is no peer; IPv4 always repeats it.
    let (local, peer) = match (parts.local, parts.address) {
        (Some(local), peer) => (local, peer.filter(|peer| *peer != local)),
        (None, Some(address)) => (address, None),
        (None, None) => return Err(WireError::Missing("IFA_ADDRESS")),
    };
    let prefix = IpPrefix::new(local, prefix_len).ok_or(WireError::Value("ifa_prefixlen"))?;
    let link = LinkIndex::new(index).ok_or(WireError::Value("ifa_index"))?;
    // Another host has the address, so this one does not use it: treated as removed.
    let is_refused = parts.flags & IFA_F_DADFAILED != 0;
    match message.kind {
        RTM_NEWADDR if !is_refused => Ok(Some(AddressEvent::New(Address {
            link,
            prefix,
            peer,
            role: decode_role(family, parts.flags),
            scope: decode_scope(scope),
            lifetime: parts.lifetime(),
            origin: parts.origin,
        }))),
        RTM_NEWADDR | RTM_DELADDR => {
            Ok(Some(AddressEvent::Removed(AddressId { link, prefix, peer })))
        }
        _ => Ok(None),
    }
}

/// The values of the attributes.
#[derive(Debug)]
struct AddressParts {
    address: Option<IpAddr>,
    local: Option<IpAddr>,
    flags: u32,
    /// Seconds.
    valid: Option<u32>,
    origin: AddressOrigin,
}

impl AddressParts {
    /// An address that a router advertises without an end has no flag for permanent, but is.
    fn lifetime(&self) -> Lifetime {
        if self.flags & IFA_F_PERMANENT != 0 || self.valid == Some(LIFETIME_INFINITE) {
            Lifetime::Permanent
        } else {
            Lifetime::Finite
        }
    }
}

fn decode_parts(
    family: Family,
    header_flags: u32,
    attributes: Attributes<'_>,
) -> Result<AddressParts, WireError> {
    let mut parts = AddressParts {
        address: None,
        local: None,
        flags: header_flags,
        valid: None,
        origin: AddressOrigin::Unknown,
    };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFA_ADDRESS => {
                parts.address = Some(decode_ip(family, attribute.payload, "IFA_ADDRESS")?);
            }
            IFA_LOCAL => parts.local = Some(decode_ip(family, attribute.payload, "IFA_LOCAL")?),
            IFA_CACHEINFO => {
                let mut rest = attribute.payload;
                let _preferred = wire::take_u32(&mut rest, "IFA_CACHEINFO")?;
                parts.valid = Some(wire::take_u32(&mut rest, "IFA_CACHEINFO")?);
            }
            // All 32 bits; the header only has room for eight.
            IFA_FLAGS => parts.flags = attribute.u32("IFA_FLAGS")?,
            IFA_PROTO => parts.origin = decode_origin(attribute.u8("IFA_PROTO")?),
            _ => {}
        }
    }
    Ok(parts)
}

/// Decodes an address of `family` from the front of `bytes`.
pub(super) fn decode_ip(
    family: Family,
    mut bytes: &[u8],
    field: &'static str,
) -> Result<IpAddr, WireError> {
    Ok(match family {
        Family::Ipv4 => Ipv4Addr::from(wire::take_array::<4>(&mut bytes, field)?).into(),
        Family::Ipv6 => Ipv6Addr::from(wire::take_array::<16>(&mut bytes, field)?).into(),
    })
}

fn decode_role(family: Family, flags: u32) -> Role {
    match family {
        _ if flags & IFA_F_SECONDARY == 0 => Role::Primary,
        Family::Ipv4 => Role::Secondary,
        Family::Ipv6 => Role::Temporary,
    }
}

/// The numbers between the kernel's own are free for users: the nearest wider scope replaces them.
fn decode_scope(scope: u8) -> Scope {
    match scope {
        0..=199 => Scope::Global,
        200..=252 => Scope::Site,
        253 => Scope::Link,
        254..=255 => Scope::Host,
    }
}

fn decode_origin(origin: u8) -> AddressOrigin {
    match origin {
        1 => AddressOrigin::Loopback,
        2 => AddressOrigin::RouterAdvertisement,
        3 => AddressOrigin::LinkLocal,
        _ => AddressOrigin::Unknown,
    }
}

/// Appends the request for all addresses of both families.
pub(crate) fn encode_dump(out: &mut Vec<u8>, sequence: u32) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETADDR, flags, sequence }, |payload| {
        payload.bytes(&[0; 8]);
    });
}

/// The family of this number, if it is one of the internet protocol.
pub(crate) fn decode_family(number: u8) -> Option<Family> {
    match number {
        AF_INET => Some(Family::Ipv4),
        AF_INET6 => Some(Family::Ipv6),
        _ => None,
    }
}

/// The kernel's number of a family.
pub fn encode_family(family: Family) -> u8 {
    match family {
        Family::Ipv4 => AF_INET,
        Family::Ipv6 => AF_INET6,
    }
}

/// The bytes of `address`, as many as its family has.
pub(super) fn with_octets(address: IpAddr, then: impl FnOnce(&[u8])) {
    match address {
        IpAddr::V4(address) => then(&address.octets()),
        IpAddr::V6(address) => then(&address.octets()),
    }
}

#[cfg(test)]
mod tests;
