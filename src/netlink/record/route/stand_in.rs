// SPDX-License-Identifier: LGPL-2.1-or-later
//! Stand-ins for routes from router advertisements, for a link that takes over from another.
//!
//! The kernel marks a default route that it makes from an advertisement (`RTF_ADDRCONF`,
//! `RTF_DEFAULT`), and looks for one with that mark at the next advertisement of the router.
//! Netlink cannot set the mark. If the same route exists without it, the kernel fails to add its
//! own, and ignores the prefixes of the advertisement as well: their addresses expire. `SIOCADDRT`
//! can set it ([`ADD_STAND_IN`]).
//!
//! A stand-in has the mark and a metric of its own, so the kernel replaces it by its own route at
//! the router's next advertisement, or removes it if the router announces its end (since Linux
//! 5.12; earlier kernels keep it). Until then it lasts as long as the router has advertised.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    Hops, RT_SCOPE_UNIVERSE, RT_TABLE_MAIN, RTA_EXPIRES, RTA_GATEWAY, RTA_PRIORITY, RTN_UNICAST,
    RTPROT_BOOT, RTPROT_RA, RouteRecord,
};
use crate::model::address::Family;
use crate::netlink::link::LinkIndex;
use crate::netlink::record::kept::KeptAttributes;
use crate::netlink::record::rewritten;
use crate::netlink::wire::Message;

/// A message type of our own, with the payload of `RTM_NEWROUTE`: a request to add a stand-in,
/// which takes an ioctl. The process that carries it out answers as the kernel would.
pub const ADD_STAND_IN: u16 = 0xfff1;

const RTA_PREF: u16 = 20;
const RTPROT_UNSPEC: u8 = 0;

/// The arguments of `SIOCADDRT` for a stand-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StandIn {
    pub link: LinkIndex,
    pub router: Ipv6Addr,
    pub metric: u32,
    /// Seconds until it expires.
    pub lifetime: u32,
    /// The router's preference (RFC 4191), in the two bits of the wire.
    pub preference: u8,
}

impl StandIn {
    /// Decodes a message of [`ADD_STAND_IN`].
    pub fn decode(message: &Message<'_>) -> Option<Self> {
        let record = RouteRecord::decode(message).ok()??;
        let IpAddr::V6(router) = record.gateway? else { return None };
        let number = |kind| record.attribute(kind)?.first_chunk().copied().map(u32::from_ne_bytes);
        Some(Self {
            link: super::link_of(message)?,
            router,
            metric: record.metric,
            lifetime: number(RTA_EXPIRES)?,
            preference: record.attribute(RTA_PREF).and_then(<[u8]>::first).copied().unwrap_or(0),
        })
    }
}

impl RouteRecord {
    /// Whether the kernel has it from a router, with a lifetime. A route of that protocol without a
    /// lifetime belongs to a program that listens to routers in the kernel's place.
    fn is_of_router(&self) -> bool {
        self.family == Family::Ipv6
            && self.protocol == RTPROT_RA
            && self.gateway.is_some_and(is_link_local)
            && !self.is_lasting()
    }

    /// Whether it stands in for a router's default route. A route of this form that was added by
    /// hand means the same.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.is_default()
            && self.gateway.is_some_and(is_link_local)
            && !self.is_on_link()
            && self.protocol == RTPROT_BOOT
            && self.hops == Hops::One
            && !self.is_lasting()
    }

    /// Whether a router has advertised itself by it, or it stands in for such a route.
    pub(super) fn leads_to_router(&self) -> bool {
        self.is_default() && (self.is_of_router() || self.is_stand_in())
    }

    /// The same route as it is added to another link, or again: the kernel must be able to add its
    /// own route from the router, and to prefer it. A route of RFC 4191 then exists twice until the
    /// earlier one expires.
    #[must_use]
    pub(crate) fn to_add(&self) -> Self {
        if !self.is_of_router() {
            return self.clone();
        }
        let metric = self.metric_in_force().saturating_add(1);
        let is_default = self.is_default();
        let is_kept = |kind: u16| {
            !is_default || matches!(kind, RTA_GATEWAY | RTA_PRIORITY | RTA_EXPIRES | RTA_PREF)
        };
        let attributes = rewritten(&self.attributes, |attribute, out| {
            match attribute.kind {
                RTA_PRIORITY => out.attribute_u32(RTA_PRIORITY, metric),
                kind if is_kept(kind) => out.attribute(kind, attribute.payload),
                _ => {}
            }
            Some(())
        });
        let mut attributes = attributes.unwrap_or_default();
        if self.attribute(RTA_PRIORITY).is_none() {
            super::PayloadWriter::new(&mut attributes).attribute_u32(RTA_PRIORITY, metric);
        }
        let mut record =
            Self { metric, attributes: KeptAttributes::from(attributes), ..self.clone() };
        if is_default {
            let table = u8::try_from(RT_TABLE_MAIN).unwrap_or_default();
            record.header = [0, 0, table, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST];
            record.protocol = RTPROT_BOOT;
        }
        record
    }

    /// The same route with any origin and metric, as the kernel matches a request to remove it.
    pub(super) fn of_any_maker(&self) -> Self {
        let attributes = rewritten(&self.attributes, |attribute, out| {
            if attribute.kind == RTA_GATEWAY {
                out.attribute(RTA_GATEWAY, attribute.payload);
            }
            Some(())
        });
        let [source_len, tos, table, _protocol, scope, kind] = self.header;
        let header = [source_len, tos, table, RTPROT_UNSPEC, scope, kind];
        let attributes = KeptAttributes::from(attributes.unwrap_or_default());
        Self { header, attributes, ..self.clone() }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(it) if it.is_unicast_link_local())
}
