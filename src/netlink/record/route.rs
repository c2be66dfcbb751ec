// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of routes (`linux/rtnetlink.h`).

mod properties;
mod stand_in;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::address::{Family, IpPrefix};
use crate::netlink::address::{Lifetime, decode_family, decode_ip, encode_family, with_octets};
use crate::netlink::link::LinkIndex;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::kept::KeptAttributes;
use crate::netlink::record::{hops, left_of, rewritten};
use crate::netlink::route::{
    RT_TABLE_MAIN, RTA_CACHEINFO, RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTA_TABLE,
    RTM_GETROUTE, RTM_NEWROUTE, RTPROT_RA, expiry, first_hop, has_hop,
};
use crate::netlink::wire::{
    self, Attribute, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array,
    take_u32,
};

pub use stand_in::{ADD_STAND_IN, StandIn};

const RTM_DELROUTE: u16 = 25;

const RTA_SRC: u16 = 2;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_VIA: u16 = 18;
const RTA_EXPIRES: u16 = 23;
const RTA_NH_ID: u16 = 30;

const RT_TABLE_LOCAL: u32 = 255;
const RTPROT_KERNEL: u8 = 2;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;
const RTPROT_DHCP: u8 = 16;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;
/// The only flag of a route that the kernel both reports and accepts: the gateway need not be on a
/// network of the link.
const RTNH_F_ONLINK: u32 = 4;
/// The metric of an IPv6 route that was added without one (`IP6_RT_PRIO_USER`).
const IPV6_METRIC: u32 = 1024;

/// The identity of a route's way: destination, gateways, metric, and table.
pub type Way = (Family, IpPrefix, Option<IpAddr>, u32, u32, (u8, u8));

/// A route through one link with all its attributes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteRecord {
    pub family: Family,
    /// The destination; a prefix of no bits is the default route.
    pub destination: IpPrefix,
    pub gateway: Option<IpAddr>,
    /// The source address of packets that the host itself sends over the route.
    pub source: Option<IpAddr>,
    /// Of several routes to one destination the kernel takes the lowest metric.
    pub metric: u32,
    table: u32,
    protocol: u8,
    /// Behind the family and the prefix's length: source length, TOS, table, protocol, scope, type.
    header: [u8; 6],
    flags: u32,
    attributes: KeptAttributes,
    hops: Hops,
    lifetime: Lifetime,
    /// The nexthop object that it refers to, if any (`ip nexthop`).
    object: Option<u32>,
}

/// The number of links that a route leads through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hops {
    One,
    Several,
}

impl RouteRecord {
    /// The default route over `gateway`, as added by hand.
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
            attributes: attributes.into(),
            hops: Hops::One,
            lifetime: Lifetime::Permanent,
            object: None,
        }
    }

    /// The route to the peer of an IPv6 address. The kernel makes it itself, but only after
    /// duplicate address detection.
    pub(crate) fn to_peer_of(address: &AddressRecord) -> Option<Self> {
        let peer = address.address.peer.filter(IpAddr::is_ipv6)?;
        let metric = address.route_metric();
        let mut attributes = Vec::new();
        let mut writer = PayloadWriter::new(&mut attributes);
        with_octets(peer, |octets| writer.attribute(RTA_DST, octets));
        writer.attribute_u32(RTA_PRIORITY, metric);
        let table = u8::try_from(RT_TABLE_MAIN).unwrap_or_default();
        Some(Self {
            destination: IpPrefix::host(peer),
            gateway: None,
            metric,
            protocol: RTPROT_KERNEL,
            header: [0, 0, table, RTPROT_KERNEL, RT_SCOPE_UNIVERSE, RTN_UNICAST],
            attributes: attributes.into(),
            ..Self::default_over(peer)
        })
    }

    /// Decodes a route. `None` if the message is about something else.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        const PART: &str = "rtmsg";
        if !matches!(message.kind, RTM_NEWROUTE | ADD_STAND_IN) {
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
            attributes: KeptAttributes::default(),
            hops: Hops::One,
            lifetime: Lifetime::Permanent,
            object: None,
        };
        let mut list = Vec::with_capacity(rest.len());
        let mut kept = PayloadWriter::new(&mut list);
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
                RTA_NH_ID => route.object = Some(attribute.u32("RTA_NH_ID")?),
                RTA_TABLE => route.table = attribute.u32("RTA_TABLE")?,
                _ => {}
            }
            match attribute.kind {
                // The link is encoded for each request; a nexthop object is spelt out in the other
                // attributes, and is removed with its link.
                RTA_OIF | RTA_NH_ID => {}
                RTA_CACHEINFO => {
                    if let Some(seconds) = expiry(attribute.payload) {
                        kept.attribute_u32(RTA_EXPIRES, seconds);
                        route.lifetime = Lifetime::Finite;
                    }
                }
                // As a record encodes it.
                RTA_EXPIRES => {
                    kept.attribute(RTA_EXPIRES, attribute.payload);
                    route.lifetime = Lifetime::Finite;
                }
                kind => kept.attribute(kind, attribute.payload),
            }
        }
        route.attributes = list.into();
        route.destination =
            IpPrefix::new(destination, prefix_len).ok_or(WireError::Value("rtm_dst_len"))?;
        Ok(Some(route))
    }

    /// The same route as a lease's: the routes of the next lease replace it.
    #[must_use]
    pub fn leased(&self) -> Self {
        let [source_len, tos, table, _protocol, scope, kind] = self.header;
        let header = [source_len, tos, table, RTPROT_DHCP, scope, kind];
        Self { protocol: RTPROT_DHCP, header, ..self.clone() }
    }

    /// The same route, with its gateway on the link.
    #[must_use]
    pub fn on_link(&self) -> Self {
        Self { flags: self.flags | RTNH_F_ONLINK, ..self.clone() }
    }

    /// Whether the kernel makes this route along with one of these addresses, which are all of its
    /// link. NetworkManager adds addresses without the kernel's routes (`noprefixroute`), and then
    /// routes to their networks under the kernel's protocol.
    pub(crate) fn comes_with<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a AddressRecord>,
    ) -> bool {
        let has_route =
            |it: &AddressRecord| it.makes_route(self.destination, self.metric, self.source);
        let mut addresses = addresses.into_iter();
        self.protocol == RTPROT_KERNEL && (self.is_of_link() || addresses.any(has_route))
    }

    /// Whether the kernel also removes this route along with one of these addresses, which are all
    /// of its link. It does not with an IPv6 address that a router has advertised, or that expires.
    pub fn goes_with(&self, addresses: &[AddressRecord]) -> bool {
        let takes_route = |it: &AddressRecord| {
            it.is_permanent() && it.makes_route(self.destination, self.metric, self.source)
        };
        let takes_it = || {
            self.family == Family::Ipv4 || self.is_of_link() || addresses.iter().any(takes_route)
        };
        self.comes_with(addresses) && takes_it()
    }

    /// Whether it leads to where each link of IPv6 has an address, or is the link's own business.
    fn is_of_link(&self) -> bool {
        let network = self.destination.address();
        let is_link_local = matches!(network, IpAddr::V6(it) if it.is_unicast_link_local());
        is_link_local || self.table == RT_TABLE_LOCAL
    }

    /// Whether a router has advertised it, to the kernel or to a program that listens in its place.
    /// The route to an advertised prefix has the kernel's protocol, and expires.
    pub(crate) fn is_advertised(&self) -> bool {
        self.protocol == RTPROT_RA
            || (self.protocol == RTPROT_KERNEL && !self.is_lasting())
            || self.is_stand_in()
    }

    /// Whether it has the form of [`RouteRecord::default_over`]: no metric, no table of its own.
    /// The metric is then the kernel's.
    pub(crate) fn is_as_defined(&self) -> bool {
        let made = self.gateway.map(Self::default_over);
        made.is_some_and(|made| self.metric == made.metric_in_force() && self.header == made.header)
    }

    /// Whether its destination is on the link: it has neither a gateway nor hops.
    pub(crate) fn is_direct(&self) -> bool {
        self.gateway.is_none() && self.attribute(RTA_VIA).is_none() && self.hops == Hops::One
    }

    /// Whether one of the two routes makes the other superfluous on a link: the same destination,
    /// gateway, metric and table, for the same packets. IPv6 would take one for the other.
    pub(crate) fn is_same_way(&self, other: &Self) -> bool {
        let is_said_alike = |kind: &u16| self.attribute(*kind) == other.attribute(*kind);
        self.way() == other.way() && [RTA_SRC, RTA_VIA, RTA_MULTIPATH].iter().all(is_said_alike)
    }

    /// The part that [`RouteRecord::is_same_way`] compares first: routes that differ in it are not
    /// the same way. A default route over a router is one way, whichever program has added it.
    pub fn way(&self) -> Way {
        let [source_len, tos, ..] = self.header;
        let packets = (source_len, tos);
        let metric = if self.leads_to_router() { IPV6_METRIC } else { self.metric_in_force() };
        (self.family, self.destination, self.gateway, metric, self.table, packets)
    }

    /// The same route as a record of one of these links: its hops through them lead through each
    /// link that it is added to. Each hop of IPv6 is a route of its own, so those of other links
    /// are left out.
    #[must_use]
    pub(crate) fn seen_from(&self, links: &[LinkIndex]) -> Self {
        let is_own = |link: u32| link == 0 || links.contains(&LinkIndex(link));
        self.with_hops(|link| match is_own(link) {
            true => Some(0),
            false => (self.family == Family::Ipv4).then_some(link),
        })
    }

    /// The nexthop object that it refers to. In a file the route is spelt out.
    pub fn object(&self) -> Option<u32> {
        self.object
    }

    /// The same route, spelt out.
    #[must_use]
    pub(crate) fn without_object(self) -> Self {
        Self { object: None, ..self }
    }

    /// The rest of the route without the link that it belongs to; nothing if it has no other.
    pub(crate) fn without_link(&self) -> Option<Self> {
        let rest = self.with_hops(|link| (link != 0).then_some(link));
        let has_others = rest.attribute(RTA_MULTIPATH).is_some_and(|list| !list.is_empty());
        has_others.then(|| rest.without_object())
    }

    fn with_hops(&self, link: impl Fn(u32) -> Option<u32>) -> Self {
        if self.hops == Hops::One {
            return self.clone();
        }
        let attributes = rewritten(&self.attributes, |attribute, out| {
            match attribute.kind {
                RTA_MULTIPATH => {
                    out.attribute(RTA_MULTIPATH, &hops::with_links(attribute.payload, &link));
                }
                kind => out.attribute(kind, attribute.payload),
            }
            Some(())
        });
        Self { attributes: attributes.unwrap_or_default().into(), ..self.clone() }
    }

    /// The gateways by which it leads through the link that it belongs to, and which have to be on
    /// a network of that.
    pub fn gateways(&self) -> Vec<IpAddr> {
        let own = self.gateway.filter(|_| !self.is_on_link());
        let hops = self.hop_gateways().into_iter().filter(|(_, is_on_link)| !is_on_link);
        own.into_iter().chain(hops.map(|(gateway, _)| gateway)).collect()
    }

    /// Whether it leads over this gateway through the link that it belongs to, also by one of its
    /// hops.
    pub(crate) fn leads_over(&self, gateway: IpAddr) -> bool {
        let mut hops = self.hop_gateways().into_iter();
        self.gateway == Some(gateway) || hops.any(|(hop, _)| hop == gateway)
    }

    fn hop_gateways(&self) -> Vec<(IpAddr, bool)> {
        let hops = self.attribute(RTA_MULTIPATH);
        hops.map(|list| hops::own_gateways(list, self.family)).unwrap_or_default()
    }

    /// Whether it has only one way.
    pub(crate) fn can_move(&self) -> bool {
        self.hops == Hops::One
    }

    /// Whether both are the same route through their link.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_of_one =
            self.protocol == other.protocol || (self.leads_to_router() && other.leads_to_router());
        self.is_same_way(other) && self.source == other.source && is_of_one
    }

    /// Whether both have the same properties, except for how long they last.
    pub(crate) fn is_used_as(&self, other: &Self) -> bool {
        let is_said = |attribute: &Attribute<'_>| attribute.kind != RTA_EXPIRES;
        (self.header, self.flags) == (other.header, other.flags)
            && attributes(&self.attributes).flatten().filter(is_said).eq(attributes(
                &other.attributes,
            )
            .flatten()
            .filter(is_said))
    }

    /// Whether the kernel tries one of two routes before the other, by their order.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let [_source_len, tos, ..] = self.header;
        let [_source_len, other_tos, ..] = other.header;
        let key = |it: &Self| (it.family, it.destination, it.metric, it.table);
        self.family == Family::Ipv4 && key(self) == key(other) && tos == other_tos
    }

    /// Whether a rollback may have to add it again: a person, a script, a DHCP client or a router
    /// has added it, or its protocol is the kernel's. A routing daemon restores its own.
    pub(crate) fn may_be_kept(&self) -> bool {
        let of = [RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC, RTPROT_DHCP, RTPROT_RA];
        let is_own_of_local = self.protocol == RTPROT_KERNEL && self.table == RT_TABLE_LOCAL;
        of.contains(&self.protocol) && !is_own_of_local
    }

    /// Whether a rollback has to add it again on a link with these addresses, because the kernel
    /// makes it from none of them.
    pub(crate) fn is_kept<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a AddressRecord>,
    ) -> bool {
        self.may_be_kept() && !self.comes_with(addresses)
    }

    /// Whether a DHCP client has added it.
    pub(crate) fn is_leased(&self) -> bool {
        self.protocol == RTPROT_DHCP
    }

    /// The same route `elapsed` later; nothing if it has expired meanwhile.
    #[must_use]
    pub(crate) fn aged(&self, elapsed: Duration) -> Option<Self> {
        let attributes = rewritten(&self.attributes, |attribute, out| {
            if attribute.kind != RTA_EXPIRES {
                out.attribute(attribute.kind, attribute.payload);
                return Some(());
            }
            let seconds = attribute.u32("RTA_EXPIRES").ok()?;
            let left = left_of(seconds, elapsed).filter(|left| *left > 0)?;
            out.attribute_u32(RTA_EXPIRES, left);
            Some(())
        })?;
        Some(Self { attributes: attributes.into(), ..self.clone() })
    }

    /// Appends the record as the kernel would announce a route through `link`.
    pub fn encode(&self, out: &mut Vec<u8>, link: LinkIndex) {
        self.write(out, NetlinkHeader { kind: RTM_NEWROUTE, flags: 0, sequence: 0 }, link);
    }

    /// Appends the request to add the route through `link`, before others of its kind.
    pub(crate) fn encode_add(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE;
        let kind = if self.is_stand_in() { ADD_STAND_IN } else { RTM_NEWROUTE };
        self.write_by_object(out, NetlinkHeader { kind, flags, sequence }, link);
    }

    /// Appends the request to replace the spelt-out route of the same way by this one.
    pub(crate) fn encode_replace(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE | wire::FLAG_REPLACE;
        self.write_by_object(out, NetlinkHeader { kind: RTM_NEWROUTE, flags, sequence }, link);
    }

    /// Appends the request to remove the route through `link`; of a stand-in, also of the route
    /// that has replaced it.
    pub(crate) fn encode_delete(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        if self.is_stand_in() {
            let any = self.of_any_maker();
            return any.write(out, NetlinkHeader { kind: RTM_DELROUTE, flags, sequence }, link);
        }
        self.write_by_object(out, NetlinkHeader { kind: RTM_DELROUTE, flags, sequence }, link);
    }

    /// The kernel identifies a route over a nexthop object by the object.
    fn write_by_object(&self, out: &mut Vec<u8>, header: NetlinkHeader, link: LinkIndex) {
        let Some(object) = self.object else { return self.write(out, header, link) };
        wire::write_message(out, header, |payload| {
            self.write_header(payload);
            let is_way = |kind: u16| matches!(kind, RTA_GATEWAY | RTA_VIA | RTA_MULTIPATH);
            for attribute in attributes(&self.attributes).flatten().filter(|it| !is_way(it.kind)) {
                payload.attribute(attribute.kind, attribute.payload);
            }
            payload.attribute_u32(RTA_NH_ID, object);
        });
    }

    fn write_header(&self, payload: &mut PayloadWriter<'_>) {
        payload.bytes(&[encode_family(self.family), self.destination.prefix_len()]);
        payload.bytes(&self.header);
        payload.bytes(&self.flags.to_ne_bytes());
    }

    fn write(&self, out: &mut Vec<u8>, header: NetlinkHeader, link: LinkIndex) {
        wire::write_message(out, header, |payload| {
            self.write_header(payload);
            match self.hops {
                Hops::One => {
                    payload.bytes(&self.attributes);
                    payload.attribute_u32(RTA_OIF, link.0);
                }
                Hops::Several => {
                    let own = |it: u32| Some(if it == 0 { link.0 } else { it });
                    payload.bytes(&self.with_hops(own).attributes);
                }
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
        if self.is_on_link() {
            f.write_str(" onlink")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
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

/// Appends the request for one family's routes through one link, or through all. A kernel without
/// strict checks (before Linux 4.20) reports all in either case.
pub(crate) fn encode_route_dump(
    out: &mut Vec<u8>,
    sequence: u32,
    family: Family,
    link: Option<LinkIndex>,
) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETROUTE, flags, sequence }, |payload| {
        payload.bytes(&[encode_family(family), 0, 0, 0]);
        payload.bytes(&[0; 8]);
        if let Some(link) = link {
            payload.attribute_u32(RTA_OIF, link.0);
        }
    });
}

/// The link of a route in a kernel's message; of several, the first.
pub(crate) fn link_of(message: &Message<'_>) -> Option<LinkIndex> {
    const HEADER_LEN: usize = 12;
    let list = message.payload.get(HEADER_LEN..)?;
    attributes(list).flatten().find_map(|attribute| match attribute.kind {
        RTA_OIF => attribute.u32("RTA_OIF").ok().and_then(LinkIndex::new),
        RTA_MULTIPATH => first_hop(attribute.payload),
        _ => None,
    })
}

/// Whether a route in a kernel's message leads through `link`, or has a hop that does.
pub(crate) fn leads_through(message: &Message<'_>, link: LinkIndex) -> bool {
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
