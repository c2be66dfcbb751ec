// SPDX-License-Identifier: LGPL-2.1-or-later
//! The hops of a multipath route (`RTA_MULTIPATH`, `struct rtnexthop`).
//!
//! A record has the link of each hop. A hop of the link that the record belongs to has the number 0
//! instead, and leads through each link that the record is added to.

use std::net::IpAddr;

use crate::model::address::Family;
use crate::netlink::address::decode_ip;
use crate::netlink::route::RTA_GATEWAY;
use crate::netlink::wire::{attributes, take_array, take_part, take_u16, take_u32};

/// Length, flags, weight, link.
const HEADER_LEN: usize = 8;
/// `RTNH_F_ONLINK`: the one flag that the kernel both reports and accepts.
const ON_LINK: u8 = 4;

/// One hop.
struct Hop<'a> {
    flags: u8,
    weight: u8,
    link: u32,
    attributes: &'a [u8],
}

/// The valid hops, which are all that the kernel sends.
fn hops(mut list: &[u8]) -> Vec<Hop<'_>> {
    const PART: &str = "rtnexthop";
    let mut found = Vec::new();
    while !list.is_empty() {
        let mut header = list;
        let Ok(len) = take_u16(&mut header, PART) else { break };
        let (Ok([flags, weight]), Ok(link)) =
            (take_array(&mut header, PART), take_u32(&mut header, PART))
        else {
            break;
        };
        let Some(attributes) = take_part(&mut list, usize::from(len), HEADER_LEN) else { break };
        found.push(Hop { flags: flags & ON_LINK, weight, link, attributes });
    }
    found
}

/// The same hops, each with the link that `link` returns for its own, and without those for which
/// it returns none.
pub(super) fn with_links(list: &[u8], link: impl Fn(u32) -> Option<u32>) -> Vec<u8> {
    let mut out = Vec::with_capacity(list.len());
    for hop in hops(list) {
        let Some(link) = link(hop.link) else { continue };
        let len = u16::try_from(HEADER_LEN + hop.attributes.len()).unwrap_or(u16::MAX);
        out.extend(len.to_ne_bytes());
        out.extend([hop.flags, hop.weight]);
        out.extend(link.to_ne_bytes());
        out.extend(hop.attributes);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// The gateways of the hops of the record's own link, and whether each is on that link regardless
/// of the link's networks.
pub(super) fn own_gateways(list: &[u8], family: Family) -> Vec<(IpAddr, bool)> {
    let own = hops(list).into_iter().filter(|hop| hop.link == 0);
    let gateway = |hop: Hop<'_>| {
        let mut found = attributes(hop.attributes).flatten();
        let found = found.find(|attribute| attribute.kind == RTA_GATEWAY)?;
        let gateway = decode_ip(family, found.payload, "RTA_GATEWAY").ok()?;
        Some((gateway, hop.flags & ON_LINK != 0))
    };
    own.filter_map(gateway).collect()
}

#[cfg(test)]
mod tests;
