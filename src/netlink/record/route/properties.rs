// SPDX-License-Identifier: LGPL-2.1-or-later
//! Properties of one route by itself: whether it is a default route, its metric, how long it stays.

use super::{IPV6_METRIC, RT_TABLE_MAIN, RTNH_F_ONLINK, RouteRecord};
use crate::model::address::Family;
use crate::netlink::address::Lifetime;
use crate::netlink::wire::attributes;

impl RouteRecord {
    /// Whether this is the route for all destinations without another route, for packets of any
    /// source and any type of service.
    pub fn is_default(&self) -> bool {
        let [source_len, tos, ..] = self.header;
        self.destination.prefix_len() == 0
            && self.table == RT_TABLE_MAIN
            && (source_len, tos) == (0, 0)
    }

    /// The metric that the kernel gives it.
    pub(crate) fn metric_in_force(&self) -> u32 {
        match self.family {
            Family::Ipv6 if self.metric == 0 => IPV6_METRIC,
            Family::Ipv4 | Family::Ipv6 => self.metric,
        }
    }

    /// Whether the gateway is on the link regardless of the link's addresses.
    pub(crate) fn is_on_link(&self) -> bool {
        self.flags & RTNH_F_ONLINK != 0
    }

    /// Whether it stays until it is removed.
    pub fn is_lasting(&self) -> bool {
        self.lifetime == Lifetime::Permanent
    }

    /// The payload of the attribute `kind`.
    pub(super) fn attribute(&self, kind: u16) -> Option<&[u8]> {
        let mut list = attributes(&self.attributes).flatten();
        list.find(|attribute| attribute.kind == kind).map(|attribute| attribute.payload)
    }
}
