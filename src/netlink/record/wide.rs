// SPDX-License-Identifier: LGPL-2.1-or-later
//! Routes that do not lead through exactly one link: those without a link (`blackhole`, `prohibit`,
//! `unreachable`, `throw`), those through several links, and those over a nexthop object.

use std::fmt;
use std::net::IpAddr;

use crate::model::address::{Family, IpPrefix};
use crate::model::name::IfName;
use crate::netlink::address::{decode_family, decode_ip, encode_family};
use crate::netlink::link::LinkIndex;
use crate::netlink::route::{RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTM_NEWROUTE};
use crate::netlink::wire::{
    self, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array, take_u16,
    take_u32,
};

const RTA_PRIORITY: u16 = 6;
const RTA_CACHEINFO: u16 = 12;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_NH_ID: u16 = 30;

const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;
const RTN_THROW: u8 = 9;

const RTPROT_UNSPEC: u8 = 0;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;
const RTPROT_DHCP: u8 = 16;
const RT_TABLE_MAIN: u32 = 254;
const RTNH_F_ONLINK: u8 = 4;
const ROUTE_HEADER_LEN: usize = 12;
const HOP_HEADER_LEN: usize = 8;

/// Such a route with all its attributes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WideRoute {
    pub family: Family,
    prefix_len: u8,
    /// Behind the prefix's length: source length, TOS, table, protocol, scope, type.
    header: [u8; 6],
    attributes: Vec<u8>,
    /// Its links, in the order of its hops, which refer to them by position here.
    pub links: Vec<IfName>,
}

/// Whether a message is about such a route.
pub(crate) fn is_wide(message: &Message<'_>) -> bool {
    let kind = message.payload.get(7).copied().unwrap_or_default();
    let leads_nowhere = matches!(kind, RTN_BLACKHOLE | RTN_UNREACHABLE | RTN_PROHIBIT | RTN_THROW);
    let list = message.payload.get(ROUTE_HEADER_LEN..).unwrap_or_default();
    let mut kinds = attributes(list).flatten().map(|attribute| attribute.kind);
    message.kind == RTM_NEWROUTE
        && (leads_nowhere || kinds.any(|kind| matches!(kind, RTA_MULTIPATH | RTA_NH_ID)))
}

impl WideRoute {
    /// Decodes a route. `None` if it is another kind, restores itself, or leads through an unknown
    /// link.
    pub fn decode(
        message: &Message<'_>,
        name_of: impl Fn(LinkIndex) -> Option<IfName>,
    ) -> Result<Option<Self>, WireError> {
        const PART: &str = "rtmsg";
        if !is_wide(message) {
            return Ok(None);
        }
        let mut rest = message.payload;
        let [family, prefix_len] = take_array(&mut rest, PART)?;
        let header: [u8; 6] = take_array(&mut rest, PART)?;
        let [_source_len, _tos, _table, protocol, _scope, _type] = header;
        // The flags of a whole route are the state of its only link.
        let _flags = take_u32(&mut rest, PART)?;
        let is_kept = matches!(protocol, RTPROT_UNSPEC | RTPROT_BOOT | RTPROT_STATIC | RTPROT_DHCP);
        let Some(family) = decode_family(family).filter(|_| is_kept) else { return Ok(None) };
        let has_object = attributes(rest).flatten().any(|it| it.kind == RTA_NH_ID);
        let mut route =
            Self { family, prefix_len, header, attributes: Vec::new(), links: Vec::new() };
        for attribute in attributes(rest) {
            let attribute = attribute?;
            let mut kept = PayloadWriter::new(&mut route.attributes);
            match attribute.kind {
                // IPv6 reports the loopback as the link of a route without one.
                RTA_OIF | RTA_CACHEINFO => {}
                // The hops of the object, spelt out.
                RTA_GATEWAY | RTA_VIA | RTA_MULTIPATH | RTA_ENCAP_TYPE | RTA_ENCAP
                    if has_object => {}
                RTA_MULTIPATH => {
                    let mut named = Vec::new();
                    let hops = with_links(attribute.payload, |index| {
                        named.push(name_of(LinkIndex::new(index)?)?);
                        u32::try_from(named.len()).ok()
                    })?;
                    let Some(hops) = hops else { return Ok(None) };
                    kept.attribute(RTA_MULTIPATH, &hops);
                    route.links = named;
                }
                kind => kept.attribute(kind, attribute.payload),
            }
        }
        Ok(Some(route))
    }

    /// Appends the record as a message of this header.
    ///
    /// # Errors
    /// The name of a missing link.
    pub(super) fn encode(
        &self,
        out: &mut Vec<u8>,
        header: NetlinkHeader,
        index_of: impl Fn(&IfName) -> Result<LinkIndex, IfName>,
    ) -> Result<(), IfName> {
        let indexes: Vec<_> = self.links.iter().map(index_of).collect::<Result<_, _>>()?;
        let index_at = |place: u32| {
            let place = usize::try_from(place).ok()?.checked_sub(1)?;
            indexes.get(place).map(|LinkIndex(index)| *index)
        };
        wire::write_message(out, header, |payload| {
            payload.bytes(&[encode_family(self.family), self.prefix_len]);
            payload.bytes(&self.header);
            payload.bytes(&[0; 4]);
            for attribute in attributes(&self.attributes).flatten() {
                let hops = match attribute.kind {
                    RTA_MULTIPATH => with_links(attribute.payload, index_at).ok().flatten(),
                    _ => None,
                };
                payload.attribute(attribute.kind, hops.as_deref().unwrap_or(attribute.payload));
            }
        });
        Ok(())
    }

    fn number(&self, kind: u16) -> Option<u32> {
        let mut list = attributes(&self.attributes).flatten();
        list.find(|attribute| attribute.kind == kind)?.u32("number").ok()
    }

    fn destination(&self) -> Option<IpPrefix> {
        let mut list = attributes(&self.attributes).flatten();
        let address: IpAddr = match list.find(|attribute| attribute.kind == RTA_DST) {
            Some(attribute) => decode_ip(self.family, attribute.payload, "RTA_DST").ok()?,
            None => IpPrefix::everything(self.family).address(),
        };
        IpPrefix::new(address, self.prefix_len)
    }
}

/// The same hops through other links, where each has one. Of their flags only the one is kept that
/// the kernel both reports and accepts.
fn with_links(
    mut hops: &[u8],
    mut link: impl FnMut(u32) -> Option<u32>,
) -> Result<Option<Vec<u8>>, WireError> {
    const PART: &str = "rtnexthop";
    let mut out = Vec::with_capacity(hops.len());
    while !hops.is_empty() {
        let mut header = hops;
        let len = take_u16(&mut header, PART)?;
        let [flags, weight] = take_array(&mut header, PART)?;
        let index = take_u32(&mut header, PART)?;
        let list = wire::take_part(&mut hops, usize::from(len), HOP_HEADER_LEN)
            .ok_or(WireError::Length { part: PART, len: u32::from(len) })?;
        let Some(index) = link(index) else { return Ok(None) };
        out.extend_from_slice(&len.to_ne_bytes());
        out.extend_from_slice(&[flags & RTNH_F_ONLINK, weight]);
        out.extend_from_slice(&index.to_ne_bytes());
        out.extend_from_slice(list);
        // Attributes are padded, so a hop with its attributes is.
    }
    Ok(Some(out))
}

/// As `ip route` writes it, without gateways.
impl fmt::Display for WideRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_source_len, _tos, _table, _protocol, _scope, kind] = self.header;
        f.write_str(match kind {
            RTN_BLACKHOLE => "blackhole ",
            RTN_UNREACHABLE => "unreachable ",
            RTN_PROHIBIT => "prohibit ",
            RTN_THROW => "throw ",
            _ => "",
        })?;
        match self.destination() {
            Some(prefix) if prefix.prefix_len() > 0 => write!(f, "{prefix}")?,
            Some(_) | None => write!(f, "{} default", self.family.as_str())?,
        }
        if let Some(id) = self.number(RTA_NH_ID) {
            write!(f, " nhid {id}")?;
        }
        self.links.iter().try_for_each(|link| write!(f, " nexthop dev {link}"))?;
        if let Some(metric) = self.number(RTA_PRIORITY).filter(|metric| *metric > 0) {
            write!(f, " metric {metric}")?;
        }
        match self.number(RTA_TABLE) {
            Some(RT_TABLE_MAIN) | None => Ok(()),
            Some(table) => write!(f, " table {table}"),
        }
    }
}
