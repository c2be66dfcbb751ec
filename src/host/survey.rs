// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Survey`]: what must be known of a few links, beyond the table, before they are changed.
//!
//! The table has what answers are made from. Whoever takes something away must be able to put it
//! back as it was, and so needs the kernel's whole word on it: each address with its lifetimes, each
//! route through a link, the switches of IPv6. That is asked for the links in question alone, at the
//! moment when a change is planned.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::address::Family;
use crate::model::ipv6::Ipv6Switches;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::Link;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;

/// Of which links what must be known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SurveyOrder {
    pub links: BTreeSet<IfName>,
    /// Those of them whose switches of IPv6 may be changed, or put back.
    pub switches_of: BTreeSet<IfName>,
}

/// What is known of the links that a change is about.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    links: BTreeMap<IfName, Surveyed>,
    /// The switches that a link has which is yet to be made.
    pub defaults: Ipv6Switches,
    /// The DHCP clients that we run.
    pub leases: Vec<Lease>,
    /// Links as they were when they were taken down a moment ago, with the leases that they had.
    pub rested: Vec<Surveyed>,
}

/// One link, with all that the kernel says of it.
#[derive(Clone, Debug)]
pub struct Surveyed {
    pub link: Link,
    /// In the kernel's order: of one network, the first is the primary address.
    pub addresses: Vec<AddressRecord>,
    /// Those that the kernel removes along with an address are left out.
    pub routes: Vec<RouteRecord>,
    /// None, if nobody wants to know.
    pub switches: Ipv6Switches,
}

impl Survey {
    /// What is known of the link of this name; nothing if there is none.
    pub fn named(&self, name: &IfName) -> Option<&Surveyed> {
        self.links.get(name)
    }

    /// Adds what was found out about a link.
    pub fn insert(&mut self, surveyed: Surveyed) {
        self.links.insert(surveyed.link.name, surveyed);
    }

    /// What has rested a moment ago and had the hardware address that one of these links has: its
    /// lease is theirs if they want one.
    pub fn rested_for(&self, names: &[IfName]) -> impl Iterator<Item = &Surveyed> {
        let macs: Vec<_> =
            names.iter().filter_map(|name| self.named(name)).map(|it| it.link.mac).collect();
        self.rested
            .iter()
            .filter(move |rested| rested.link.mac.is_some() && macs.contains(&rested.link.mac))
    }

    /// What is remembered of a link that is taken down: its addresses, and the routes that a lease
    /// has brought: to the link's own network, and from there to everywhere. What else there is was
    /// added by somebody who can do it again.
    pub fn at_rest(&self, name: &IfName) -> Option<Surveyed> {
        let mut rested = self.named(name)?.clone();
        let is_leased = |family| self.has_client(name, family);
        rested.routes.retain(|route| {
            is_leased(route.family) && (route.is_default() || route.gateway.is_none())
        });
        Some(rested)
    }

    /// Whether we run a DHCP client of this family on this link.
    pub fn has_client(&self, link: &IfName, family: Family) -> bool {
        self.leases.iter().any(|lease| lease.is_for(*link, family))
    }
}
