// SPDX-License-Identifier: LGPL-2.1-or-later
//! The default gateway of a link, found by RTM_GETROUTE look-ups (`linux/rtnetlink.h`).
//!
//! Has no routing table: a router has a million routes, and a dump would carry them all. Instead
//! the kernel is asked which route (`RTM_F_FIB_MATCH`, Linux 4.13) a probe address would take
//! through the link. If it is the default route of the table main, that is the answer. If a longer
//! prefix or a blackhole covers the probe, or a rule leads it into another table, the next probe is
//! asked. If the kernel covers or refuses all probes, the link has no default route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::address::Family;
use crate::netlink::address::{decode_ip, encode_family, with_octets};
use crate::netlink::link::LinkIndex;
use crate::netlink::wire::{
    self, Attribute, Attributes, Message, NetlinkHeader, WireError, attributes,
};

pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_GETROUTE: u16 = 26;
/// Asks for the route's table in the answer. Without this flag IPv4 reports "main" for each; IPv6
/// reports the table in any case and refuses the flag.
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;
const RTM_F_FIB_MATCH: u32 = 0x2000;

pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_MULTIPATH: u16 = 9;
pub(super) const RTA_CACHEINFO: u16 = 12;
pub(super) const RTA_TABLE: u16 = 15;

pub(super) const RT_TABLE_MAIN: u32 = 254;
pub(super) const RTPROT_RA: u8 = 9;

/// The kernel reports times in these parts of a second, whatever its own clock uses (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

/// `struct rtnexthop`: length, flags, weight, link.
const HOP_HEADER_LEN: usize = 8;

/// The addresses to ask about, in the order to try them; one round is asked at once. Most links
/// with a default route show it in the first. Each ends with IPv6, where the kernel's `ENETUNREACH`
/// means that no route leads there; for IPv4 it may mean a reject route as well.
///
/// IPv4: addresses that only the default route forwards: reserved (RFC 1112), of "this network"
/// (RFC 791; in the other half of all addresses), and for documentation of multicast (RFC 6676),
/// which few lists of bogus networks contain. IPv6: unassigned, in either half of all addresses
/// (RFC 4291), and to be discarded (RFC 6666).
pub(crate) const PROBE_ROUNDS: [&[IpAddr]; 2] = [
    &[
        IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x4000, 0, 0, 0, 0, 0, 0, 1)),
    ],
    &[
        IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)),
        IpAddr::V4(Ipv4Addr::new(233, 252, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0xc000, 0, 0, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1)),
    ],
];

/// The result of one look-up about a link's default route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteAnswer {
    /// The default route. It has no gateway if all hosts are on the link, or if the gateway's
    /// address is of the other family.
    Default {
        gateway: Option<IpAddr>,
        /// A router has advertised it: a link that replaces this one learns it by itself.
        is_advertised: bool,
    },
    /// Another route covers the probe, or a rule leads it into another table, so the next probe is
    /// needed.
    Covered,
}

/// Appends a look-up of the route to `probe` through `link`. A refusal of the kernel, with any
/// error, means the same as [`RouteAnswer::Covered`]: `EHOSTUNREACH` stands for "no route" as well
/// as for a blackhole.
pub(crate) fn encode_lookup(out: &mut Vec<u8>, sequence: u32, link: LinkIndex, probe: IpAddr) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETROUTE, flags, sequence }, |payload| {
        let family = Family::of(probe);
        payload.bytes(&[encode_family(family), family.prefix_len_max(), 0, 0]);
        payload.bytes(&[0; 4]);
        let flags = match family {
            Family::Ipv4 => RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH,
            Family::Ipv6 => RTM_F_FIB_MATCH,
        };
        payload.bytes(&flags.to_ne_bytes());
        with_octets(probe, |octets| payload.attribute(RTA_DST, octets));
        payload.attribute_u32(RTA_OIF, link.0);
    });
}

/// Decodes the answer to a look-up of `family` through `link`. `None` if it is another message.
pub fn decode(
    message: &Message<'_>,
    link: LinkIndex,
    family: Family,
) -> Result<Option<RouteAnswer>, WireError> {
    const PART: &str = "rtmsg";
    if message.kind != RTM_NEWROUTE {
        return Ok(None);
    }
    let mut rest = message.payload;
    let [answer_family, prefix_len, _source_len, _tos] = wire::take_array(&mut rest, PART)?;
    let [table, protocol, _scope, _type] = wire::take_array(&mut rest, PART)?;
    let _flags = wire::take_u32(&mut rest, PART)?;
    if answer_family != encode_family(family) {
        return Ok(None);
    }
    let said = attributes(rest).flatten().find(|attribute| attribute.kind == RTA_TABLE);
    let table = match said {
        Some(said) => said.u32("RTA_TABLE")?,
        None => u32::from(table),
    };
    if prefix_len > 0 || table != RT_TABLE_MAIN {
        return Ok(Some(RouteAnswer::Covered));
    }
    let gateway = decode_gateway(family, link, attributes(rest))?;
    let is_advertised = protocol == RTPROT_RA || expires(attributes(rest));
    Ok(Some(RouteAnswer::Default { gateway, is_advertised }))
}

/// Seconds until a route expires, if it does (`struct rta_cacheinfo`).
pub(super) fn expiry(mut cache_info: &[u8]) -> Option<u32> {
    let _references = wire::take_u32(&mut cache_info, "RTA_CACHEINFO").ok()?;
    let _last_used = wire::take_u32(&mut cache_info, "RTA_CACHEINFO").ok()?;
    let ticks = wire::take_u32(&mut cache_info, "RTA_CACHEINFO").ok()?;
    // A negative number belongs to a route that has expired and is about to be removed.
    let ticks = i32::from_ne_bytes(ticks.to_ne_bytes());
    u32::try_from(ticks).ok().filter(|ticks| *ticks > 0).map(|ticks| ticks / TICKS_PER_SECOND)
}

/// Whether a route ends by itself, as a stand-in for a router's does.
fn expires(mut attributes: Attributes<'_>) -> bool {
    let expires = |info: Attribute<'_>| expiry(info.payload).is_some();
    attributes.any(|attribute| attribute.is_ok_and(|it| it.kind == RTA_CACHEINFO && expires(it)))
}

/// The gateway of a route, or of its hop through `link`. A gateway of the other family, `RTA_VIA`,
/// is ignored.
fn decode_gateway(
    family: Family,
    link: LinkIndex,
    attributes: Attributes<'_>,
) -> Result<Option<IpAddr>, WireError> {
    let mut gateway = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            RTA_GATEWAY => gateway = Some(decode_ip(family, attribute.payload, "RTA_GATEWAY")?),
            RTA_MULTIPATH => gateway = decode_hops(family, link, attribute.payload)?,
            _ => {}
        }
    }
    Ok(gateway)
}

fn decode_hops(family: Family, link: LinkIndex, hops: &[u8]) -> Result<Option<IpAddr>, WireError> {
    match hop_through(link, hops)? {
        Some(hop) => decode_hop(family, hop),
        None => Ok(None),
    }
}

/// Whether one of a route's hops goes through `link`.
pub(super) fn has_hop(hops: &[u8], link: LinkIndex) -> bool {
    hop_through(link, hops).is_ok_and(|hop| hop.is_some())
}

/// The link of the first of a route's hops.
pub(super) fn first_hop(mut hops: &[u8]) -> Option<LinkIndex> {
    wire::take_u32(&mut hops, "rtnexthop").ok()?;
    wire::take_u32(&mut hops, "rtnexthop").ok().and_then(LinkIndex::new)
}

/// The attributes of a route's hop through `link`.
fn hop_through(link: LinkIndex, mut hops: &[u8]) -> Result<Option<Attributes<'_>>, WireError> {
    const PART: &str = "rtnexthop";
    while !hops.is_empty() {
        let mut header = hops;
        let len = wire::take_u16(&mut header, PART)?;
        let [_flags, _weight] = wire::take_array(&mut header, PART)?;
        let hop_link = wire::take_u32(&mut header, PART)?;
        let hop = wire::take_part(&mut hops, usize::from(len), HOP_HEADER_LEN)
            .ok_or(WireError::Length { part: PART, len: u32::from(len) })?;
        if hop_link == link.0 {
            return Ok(Some(attributes(hop)));
        }
    }
    Ok(None)
}

fn decode_hop(family: Family, attributes: Attributes<'_>) -> Result<Option<IpAddr>, WireError> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == RTA_GATEWAY {
            return decode_ip(family, attribute.payload, "RTA_GATEWAY").map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
