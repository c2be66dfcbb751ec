// SPDX-License-Identifier: LGPL-2.1-or-later
//! Addresses and routes in the kernel's own words, so that what is taken away can be put back as it
//! was (`linux/if_addr.h`, `linux/rtnetlink.h`).
//!
//! A record keeps the message that told of an address or a route, attributes that we have no name
//! for included, and says it again: to the same link, to another one, or to one that was made anew
//! and has another number. What the kernel tells and does not take back is left out or translated.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::model::address::{Family, IpPrefix};
use crate::netlink::address::{
    self, Address, AddressEvent, AddressId, IFA_ADDRESS, IFA_CACHEINFO, IFA_FLAGS, IFA_LOCAL,
    LIFETIME_INFINITE, Lifetime, Origin, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR, Role, Scope,
    decode_family, decode_ip, encode_family, with_octets,
};
use crate::netlink::link::LinkIndex;
use crate::netlink::route::{
    RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTM_GETROUTE, RTM_NEWROUTE, first_hop, has_hop,
};
use crate::netlink::wire::{
    self, Attribute, Header, Message, PayloadWriter, WireError, attributes, take_array, take_u32,
};

const RTM_DELROUTE: u16 = 25;

const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;

const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_CACHEINFO: u16 = 12;
const RTA_TABLE: u16 = 15;
const RTA_EXPIRES: u16 = 23;
const RTA_NH_ID: u16 = 30;

const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;
const RTPROT_KERNEL: u8 = 2;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;
const RTPROT_RA: u8 = 9;
const RTPROT_DHCP: u8 = 16;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;
/// The only flag of a route that is told and taken alike: the gateway need not be on the link.
const RTNH_F_ONLINK: u32 = 4;
/// The kernel tells times in these parts of a second, whatever its own clock does (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

/// The longest IPv4 prefix whose network has an address for all of its hosts (RFC 3021 has none).
const BROADCAST_PREFIX_LEN_MAX: u8 = 30;

/// An address, with all that the kernel says of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRecord {
    /// As the table has it. The link is that where it was, or 0 if it has not been anywhere.
    pub address: Address,
    /// The header's flags and scope.
    flags: u8,
    scope: u8,
    attributes: Vec<u8>,
}

impl AddressRecord {
    /// A lasting address that somebody has asked for.
    pub fn permanent(prefix: IpPrefix) -> Self {
        let mut attributes = Vec::new();
        let mut writer = PayloadWriter::new(&mut attributes);
        let local = prefix.address();
        with_octets(local, |octets| writer.attribute(IFA_LOCAL, octets));
        with_octets(local, |octets| writer.attribute(IFA_ADDRESS, octets));
        if let Some(broadcast) = broadcast_of(prefix) {
            writer.attribute(IFA_BROADCAST, &broadcast.octets());
        }
        let address = Address {
            link: LinkIndex(0),
            prefix,
            peer: None,
            role: Role::Primary,
            scope: Scope::Global,
            lifetime: Lifetime::Permanent,
            origin: Origin::Unknown,
        };
        Self { address, flags: 0, scope: 0, attributes }
    }

    /// Reads what the kernel says of an address. `None` if the message is about something else, or
    /// about an address that another host has.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        if message.kind != RTM_NEWADDR {
            return Ok(None);
        }
        let Some(AddressEvent::New(address)) = address::decode(message)? else { return Ok(None) };
        let mut rest = message.payload;
        let [_family, _prefix_len, flags, scope] = take_array(&mut rest, "ifaddrmsg")?;
        take_u32(&mut rest, "ifaddrmsg")?;
        Ok(Some(Self { address, flags, scope, attributes: rest.to_vec() }))
    }

    /// What tells it from all others, on the link where it was.
    pub fn id(&self) -> AddressId {
        self.address.id()
    }

    /// Whether another record is of the same address, as far as the kernel takes it when an address is
    /// added, and never again.
    pub fn has_form_of(&self, other: &Self) -> bool {
        let family = self.address.prefix.family();
        let is_lasting = |kind: u16| matches!(kind, IFA_LABEL | IFA_BROADCAST);
        let flags = IFA_F_NOPREFIXROUTE;
        (self.address.prefix, self.address.peer) == (other.address.prefix, other.address.peer)
            && (family == Family::Ipv6
                || (self.scope == other.scope
                    && self.all_flags() & flags == other.all_flags() & flags
                    && self.of_kinds(is_lasting).eq(other.of_kinds(is_lasting))))
    }

    /// Whether another record of the same address says the same of it, but for how long it lasts, and
    /// for what the kernel has found out about it.
    pub fn is_used_as(&self, other: &Self) -> bool {
        let flags = match self.address.prefix.family() {
            Family::Ipv4 => 0,
            Family::Ipv6 => IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE,
        };
        let can_change = |kind: u16| matches!(kind, IFA_RT_PRIORITY | IFA_PROTO);
        self.all_flags() & flags == other.all_flags() & flags
            && self.of_kinds(can_change).eq(other.of_kinds(can_change))
    }

    fn of_kinds(&self, is_wanted: fn(u16) -> bool) -> impl Iterator<Item = (u16, &[u8])> {
        let found = attributes(&self.attributes).flatten().filter(move |it| is_wanted(it.kind));
        found.map(|attribute| (attribute.kind, attribute.payload))
    }

    fn all_flags(&self) -> u32 {
        let flags = attributes(&self.attributes).flatten().find(|it| it.kind == IFA_FLAGS);
        flags.and_then(|it| it.u32("IFA_FLAGS").ok()).unwrap_or(u32::from(self.flags))
    }

    /// The same address for another link. It is known to be nobody else's, so the host need not ask
    /// around again and may use it at once.
    #[must_use]
    pub fn moved(&self) -> Self {
        let mut kept = Vec::new();
        let mut flags = u32::from(self.flags);
        for attribute in attributes(&self.attributes).flatten() {
            match attribute.kind {
                // The label begins with the link's name.
                IFA_LABEL => {}
                IFA_FLAGS => flags = attribute.u32("IFA_FLAGS").unwrap_or(flags),
                kind => PayloadWriter::new(&mut kept).attribute(kind, attribute.payload),
            }
        }
        if self.address.prefix.family() == Family::Ipv6 {
            flags |= IFA_F_NODAD;
        }
        PayloadWriter::new(&mut kept).attribute_u32(IFA_FLAGS, flags);
        Self { attributes: kept, ..self.clone() }
    }

    /// The same address, for good.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let mut kept = Vec::new();
        let is_lasting = |kind: u16| kind != IFA_CACHEINFO;
        for (kind, payload) in self.of_kinds(is_lasting) {
            PayloadWriter::new(&mut kept).attribute(kind, payload);
        }
        let address = Address { lifetime: Lifetime::Permanent, ..self.address };
        Self { address, attributes: kept, ..self.clone() }
    }

    /// The same address `elapsed` later; nothing if it has expired meanwhile.
    #[must_use]
    pub fn aged(&self, elapsed: Duration) -> Option<Self> {
        let mut kept = Vec::new();
        for attribute in attributes(&self.attributes).flatten() {
            let mut writer = PayloadWriter::new(&mut kept);
            match attribute.kind {
                IFA_CACHEINFO => {
                    let mut info = attribute.payload;
                    let preferred = take_u32(&mut info, "ifa_prefered").ok()?;
                    let valid = take_u32(&mut info, "ifa_valid").ok()?;
                    let valid = left_of(valid, elapsed).filter(|left| *left > 0)?;
                    let preferred = left_of(preferred, elapsed).unwrap_or_default();
                    writer.nested(IFA_CACHEINFO, |out| {
                        out.bytes(&preferred.to_ne_bytes());
                        out.bytes(&valid.to_ne_bytes());
                        out.bytes(info);
                    });
                }
                kind => writer.attribute(kind, attribute.payload),
            }
        }
        Some(Self { attributes: kept, ..self.clone() })
    }

    /// Appends the record as the kernel would tell it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = Header { kind: RTM_NEWADDR, flags: 0, sequence: 0 };
        self.write(out, header, self.address.link);
    }

    /// Appends the request to add the address to `link`.
    pub fn encode_add(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE | wire::FLAG_EXCLUSIVE;
        self.write(out, Header { kind: RTM_NEWADDR, flags, sequence }, link);
    }

    /// Appends the request to have the address of `link` last as long as this one does.
    pub fn encode_change(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_REPLACE;
        self.write(out, Header { kind: RTM_NEWADDR, flags, sequence }, link);
    }

    /// Appends the request to take the address from `link`.
    pub fn encode_delete(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        self.write(out, Header { kind: RTM_DELADDR, flags, sequence }, link);
    }

    fn write(&self, out: &mut Vec<u8>, header: Header, link: LinkIndex) {
        wire::write_message(out, header, |payload| {
            let prefix = self.address.prefix;
            let family = encode_family(prefix.family());
            payload.bytes(&[family, prefix.prefix_len(), self.flags, self.scope]);
            payload.bytes(&link.0.to_ne_bytes());
            payload.bytes(&self.attributes);
        });
    }
}

/// As `ip address` writes it.
impl fmt::Display for AddressRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.address.prefix;
        match self.address.peer {
            Some(peer) => write!(f, "{} peer {peer}/{}", prefix.address(), prefix.prefix_len()),
            None => prefix.fmt(f),
        }
    }
}

/// The address of all hosts of an IPv4 network, where there is one.
fn broadcast_of(prefix: IpPrefix) -> Option<Ipv4Addr> {
    match prefix.address() {
        IpAddr::V4(address) if prefix.prefix_len() <= BROADCAST_PREFIX_LEN_MAX => {
            let hosts = u32::MAX.checked_shr(u32::from(prefix.prefix_len())).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() | hosts))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// A route through one link, with all that the kernel says of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteRecord {
    pub family: Family,
    /// Where it leads; a prefix of no bits is the default route.
    pub destination: IpPrefix,
    pub gateway: Option<IpAddr>,
    /// The address that packets get which the host itself sends this way.
    pub source: Option<IpAddr>,
    /// Of several to one place, that of the lowest is taken.
    pub metric: u32,
    table: u32,
    protocol: u8,
    /// Behind the family and the prefix's length: source length, TOS, table, protocol, scope, type.
    header: [u8; 6],
    flags: u32,
    attributes: Vec<u8>,
    hops: Hops,
    lifetime: Lifetime,
}

/// Through how many links a route leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hops {
    One,
    Several,
}

impl RouteRecord {
    /// The default route over `gateway`, as somebody has asked for it.
    pub fn default_over(gateway: IpAddr) -> Self {
        let mut attributes = Vec::new();
        let mut writer = PayloadWriter::new(&mut attributes);
        with_octets(gateway, |octets| writer.attribute(RTA_GATEWAY, octets));
        let table = u8::try_from(RT_TABLE_MAIN).unwrap_or_default();
        let family = Family::of(gateway);
        Self {
            family,
            destination: IpPrefix::everything(family),
            gateway: Some(gateway),
            source: None,
            metric: 0,
            table: RT_TABLE_MAIN,
            protocol: RTPROT_STATIC,
            header: [0, 0, table, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST],
            flags: 0,
            attributes,
            hops: Hops::One,
            lifetime: Lifetime::Permanent,
        }
    }

    /// Reads what the kernel says of a route. `None` if the message is about something else.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        const PART: &str = "rtmsg";
        if message.kind != RTM_NEWROUTE {
            return Ok(None);
        }
        let mut rest = message.payload;
        let [family, prefix_len] = take_array(&mut rest, PART)?;
        let header: [u8; 6] = take_array(&mut rest, PART)?;
        let [_source_len, _tos, table, protocol, _scope, _type] = header;
        let flags = take_u32(&mut rest, PART)? & RTNH_F_ONLINK;
        let Some(family) = decode_family(family) else { return Ok(None) };
        let mut destination = IpPrefix::everything(family).address();
        let mut route = Self {
            family,
            destination: IpPrefix::everything(family),
            gateway: None,
            source: None,
            metric: 0,
            table: u32::from(table),
            protocol,
            header,
            flags,
            attributes: Vec::new(),
            hops: Hops::One,
            lifetime: Lifetime::Permanent,
        };
        let mut kept = PayloadWriter::new(&mut route.attributes);
        for attribute in attributes(rest) {
            let attribute = attribute?;
            match attribute.kind {
                RTA_DST => destination = decode_ip(family, attribute.payload, "RTA_DST")?,
                RTA_GATEWAY => {
                    route.gateway = Some(decode_ip(family, attribute.payload, "RTA_GATEWAY")?);
                }
                RTA_PREFSRC => {
                    route.source = Some(decode_ip(family, attribute.payload, "RTA_PREFSRC")?);
                }
                RTA_PRIORITY => route.metric = attribute.u32("RTA_PRIORITY")?,
                RTA_MULTIPATH => route.hops = Hops::Several,
                RTA_TABLE => route.table = attribute.u32("RTA_TABLE")?,
                _ => {}
            }
            match attribute.kind {
                // The link is said anew each time; a next hop that is an object of its own is spelt
                // out in the other attributes, and goes away with its link.
                RTA_OIF | RTA_NH_ID => {}
                RTA_CACHEINFO => {
                    if let Some(seconds) = expiry(attribute.payload) {
                        kept.attribute_u32(RTA_EXPIRES, seconds);
                        route.lifetime = Lifetime::Finite;
                    }
                }
                // As a record says it.
                RTA_EXPIRES => {
                    kept.attribute(RTA_EXPIRES, attribute.payload);
                    route.lifetime = Lifetime::Finite;
                }
                kind => kept.attribute(kind, attribute.payload),
            }
        }
        route.destination =
            IpPrefix::new(destination, prefix_len).ok_or(WireError::Value("rtm_dst_len"))?;
        Ok(Some(route))
    }

    /// The same route as a lease's: what brings the next lease replaces it.
    #[must_use]
    pub fn leased(&self) -> Self {
        let [source_len, tos, table, _protocol, scope, kind] = self.header;
        let header = [source_len, tos, table, RTPROT_DHCP, scope, kind];
        Self { protocol: RTPROT_DHCP, header, ..self.clone() }
    }

    /// The same route, whose gateway counts as on the link.
    #[must_use]
    pub fn on_link(&self) -> Self {
        Self { flags: self.flags | RTNH_F_ONLINK, ..self.clone() }
    }

    /// Whether the kernel makes this route by itself, with an address or a link that comes up.
    pub fn is_automatic(&self) -> bool {
        self.protocol == RTPROT_KERNEL || self.table == RT_TABLE_LOCAL
    }

    /// Whether a router has advertised it, to the kernel or to whoever listens in its place.
    pub fn is_advertised(&self) -> bool {
        self.protocol == RTPROT_RA
    }

    /// Whether this is the way to wherever no other route leads.
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0 && self.table == RT_TABLE_MAIN
    }

    /// Whether a link that has the one needs no other: the same place, by the same gateway, with the
    /// same say. IPv6 would take the one for the other.
    pub fn is_same_way(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.family, it.destination, it.gateway, it.metric, it.table);
        key(self) == key(other)
    }

    /// Whether the gateway counts as on the link, whatever addresses that has.
    pub fn is_on_link(&self) -> bool {
        self.flags & RTNH_F_ONLINK != 0
    }

    /// Whether it stays until somebody removes it.
    pub fn is_lasting(&self) -> bool {
        self.lifetime == Lifetime::Permanent
    }

    /// Whether all of it leads through one link, so that it can move to another.
    pub fn can_move(&self) -> bool {
        self.hops == Hops::One
    }

    /// What tells it from all others through the same link.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_same_way(other) && self.source == other.source && self.protocol == other.protocol
    }

    /// Whether another record of the same route says the same of it, but for how long it lasts.
    pub fn is_used_as(&self, other: &Self) -> bool {
        let is_said = |attribute: &Attribute<'_>| attribute.kind != RTA_EXPIRES;
        (self.header, self.flags) == (other.header, other.flags)
            && attributes(&self.attributes).flatten().filter(is_said).eq(attributes(
                &other.attributes,
            )
            .flatten()
            .filter(is_said))
    }

    /// Whether the kernel tries one of two routes before the other, and goes by their order.
    pub fn is_beside(&self, other: &Self) -> bool {
        let [_source_len, tos, ..] = self.header;
        let [_source_len, other_tos, ..] = other.header;
        let key = |it: &Self| (it.family, it.destination, it.metric, it.table);
        self.family == Family::Ipv4 && key(self) == key(other) && tos == other_tos
    }

    /// Whether somebody has set it who would not do so again: a person, a script, a DHCP client, a
    /// router. A routing daemon brings its own back.
    pub fn is_kept(&self) -> bool {
        matches!(self.protocol, RTPROT_BOOT | RTPROT_STATIC | RTPROT_DHCP | RTPROT_RA)
            && self.table != RT_TABLE_LOCAL
    }

    /// Whether a DHCP client has brought it.
    pub fn is_leased(&self) -> bool {
        self.protocol == RTPROT_DHCP
    }

    /// The same route `elapsed` later; nothing if it has expired meanwhile.
    #[must_use]
    pub fn aged(&self, elapsed: Duration) -> Option<Self> {
        let mut kept = Vec::new();
        for attribute in attributes(&self.attributes).flatten() {
            let mut writer = PayloadWriter::new(&mut kept);
            match attribute.kind {
                RTA_EXPIRES => {
                    let seconds = attribute.u32("RTA_EXPIRES").ok()?;
                    let left = left_of(seconds, elapsed).filter(|left| *left > 0)?;
                    writer.attribute_u32(RTA_EXPIRES, left);
                }
                kind => writer.attribute(kind, attribute.payload),
            }
        }
        Some(Self { attributes: kept, ..self.clone() })
    }

    /// Appends the record as the kernel would tell of a route through `link`.
    pub fn encode(&self, out: &mut Vec<u8>, link: LinkIndex) {
        self.write(out, Header { kind: RTM_NEWROUTE, flags: 0, sequence: 0 }, link);
    }

    /// Appends the request to add the route through `link`, before others of its kind.
    pub fn encode_add(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE;
        self.write(out, Header { kind: RTM_NEWROUTE, flags, sequence }, link);
    }

    /// Appends the request to remove the route through `link`.
    pub fn encode_delete(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        self.write(out, Header { kind: RTM_DELROUTE, flags, sequence }, link);
    }

    fn write(&self, out: &mut Vec<u8>, header: Header, link: LinkIndex) {
        wire::write_message(out, header, |payload| {
            let prefix_len = self.destination.prefix_len();
            payload.bytes(&[encode_family(self.family), prefix_len]);
            payload.bytes(&self.header);
            payload.bytes(&self.flags.to_ne_bytes());
            payload.bytes(&self.attributes);
            if self.hops == Hops::One {
                payload.attribute_u32(RTA_OIF, link.0);
            }
        });
    }
}

/// As `ip route` writes it, without the link.
impl fmt::Display for RouteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination.prefix_len() {
            0 => f.write_str("default")?,
            _ => write!(f, "{}", self.destination)?,
        }
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if self.metric > 0 {
            write!(f, " metric {}", self.metric)?;
        }
        match self.table {
            RT_TABLE_MAIN => Ok(()),
            table => write!(f, " table {table}"),
        }
    }
}

/// What is left of so many seconds; what never ends does not.
fn left_of(seconds: u32, elapsed: Duration) -> Option<u32> {
    if seconds == LIFETIME_INFINITE {
        return Some(seconds);
    }
    seconds.checked_sub(u32::try_from(elapsed.as_secs()).ok()?)
}

/// Seconds until a route expires, if it does (`struct rta_cacheinfo`).
fn expiry(mut cache_info: &[u8]) -> Option<u32> {
    let _references = take_u32(&mut cache_info, "RTA_CACHEINFO").ok()?;
    let _last_used = take_u32(&mut cache_info, "RTA_CACHEINFO").ok()?;
    let ticks = take_u32(&mut cache_info, "RTA_CACHEINFO").ok()?;
    // A negative number is one that has expired; it is about to go.
    let ticks = i32::from_ne_bytes(ticks.to_ne_bytes());
    u32::try_from(ticks).ok().filter(|ticks| *ticks > 0).map(|ticks| ticks / TICKS_PER_SECOND)
}

/// Appends the request for the addresses of both families of one link. A kernel without strict
/// checks (before Linux 4.20) tells of all links.
pub fn encode_address_dump(out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, Header { kind: RTM_GETADDR, flags, sequence }, |payload| {
        payload.bytes(&[0; 4]);
        payload.bytes(&link.0.to_ne_bytes());
    });
}

/// Appends the request for one family's routes through one link, or through all. A kernel without
/// strict checks (before Linux 4.20) tells of all in either case.
pub fn encode_route_dump(
    out: &mut Vec<u8>,
    sequence: u32,
    family: Family,
    link: Option<LinkIndex>,
) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, Header { kind: RTM_GETROUTE, flags, sequence }, |payload| {
        payload.bytes(&[encode_family(family), 0, 0, 0]);
        payload.bytes(&[0; 8]);
        if let Some(link) = link {
            payload.attribute_u32(RTA_OIF, link.0);
        }
    });
}

/// The link that a route leads through which the kernel tells of; of several, the first.
pub fn link_of(message: &Message<'_>) -> Option<LinkIndex> {
    const HEADER_LEN: usize = 12;
    let list = message.payload.get(HEADER_LEN..)?;
    attributes(list).flatten().find_map(|attribute| match attribute.kind {
        RTA_OIF => attribute.u32("RTA_OIF").ok().and_then(LinkIndex::new),
        RTA_MULTIPATH => first_hop(attribute.payload),
        _ => None,
    })
}

/// Whether a route that the kernel tells of leads through `link`, or has a hop that does.
pub fn leads_through(message: &Message<'_>, link: LinkIndex) -> bool {
    const HEADER_LEN: usize = 12;
    let Some(list) = message.payload.get(HEADER_LEN..) else { return false };
    attributes(list).flatten().any(|attribute| match attribute.kind {
        RTA_OIF => attribute.u32("RTA_OIF").is_ok_and(|index| index == link.0),
        RTA_MULTIPATH => has_hop(attribute.payload, link),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
