// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Survey`]: what must be known of a few links, beyond the table, before they are changed.
//!
//! The table has what answers are made from. Whoever takes something away must be able to put it
//! back as it was, and so needs the kernel's whole word on it: the link with all its attributes and
//! sysctls, each address with its lifetimes, each route. That is asked for the links in question alone,
//! at the moment when a change is planned.

use std::collections::BTreeSet;

use crate::host::Host;
use crate::host::removed::RemovedLink;
use crate::host::shelf::Shelved;
use crate::model::address::Family;
use crate::model::foreign::{ForeignClient, Links};
use crate::model::ipv6::Ipv6Sysctls;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::model::sysctl::Sysctl;
use crate::netlink::address::Lifetime;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::link::sysctls::ipv6_sysctls;
use crate::netlink::record::neighbour::Neighbours;
use crate::netlink::record::nexthop::NexthopRecord;
use crate::netlink::record::route::RouteRecord;
use crate::netlink::record::rule::RuleRecord;

/// Of which links what must be known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SurveyOrder {
    pub links: BTreeSet<IfName>,
}

/// What is known of the links that a change is about.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    links: SortedMap<IfName, Surveyed>,
    /// The sysctls that a link has which is yet to be made. Without any, none of these links is made.
    pub defaults: Sysctls,
    /// How such a link looks for neighbours.
    pub default_neighbours: Neighbours,
    /// The DHCP clients that we run.
    pub leases: Vec<Lease>,
    /// The DHCP clients that somebody else has started.
    pub foreign: Vec<ForeignClient>,
    /// Those of them that we have ended in this boot, and not given back.
    pub ended: Vec<ForeignClient>,
    /// Interfaces that were taken down a moment ago.
    pub recent: Vec<RemovedInterface>,
    /// What those of the links had that were taken down in this boot without a definition.
    pub shelved: Vec<Shelved>,
    /// What of these links was taken down before, by name.
    pub removed: SortedMap<IfName, RemovedLink>,
    /// The host's policy rules.
    pub rules: Vec<RuleRecord>,
    /// VLANs and bonds that were there before the bridges that they are ports of.
    pub found: BTreeSet<LinkIndex>,
}

/// Sysctls of one link, with their values.
pub type Sysctls = SortedMap<Sysctl, i32>;

/// An interface that was taken down, as it was.
#[derive(Clone, Debug)]
pub struct RemovedInterface {
    pub surveyed: Surveyed,
    /// The same without what a DHCP server or a router has told, which is meant for one hardware
    /// address.
    lasting: Surveyed,
    /// What were its ports.
    ports: Vec<IfName>,
    /// It, and the links that were surveyed with it.
    pub links: Vec<RemovedLink>,
}

impl RemovedInterface {
    /// Whether it had a name of these, or a port of such a name: one of those links takes its place, or
    /// gets back what it had.
    pub fn is_for(&self, names: &[IfName]) -> bool {
        names.contains(&self.surveyed.link.name) || self.ports.iter().any(|it| names.contains(it))
    }
}

/// One link, with all that the kernel says of it.
#[derive(Clone, Debug)]
pub struct Surveyed {
    pub link: Link,
    /// In the kernel's order: of one network, the first is the primary address.
    pub addresses: Vec<AddressRecord>,
    /// Those that the kernel removes along with an address are left out.
    pub routes: Vec<RouteRecord>,
    /// As the kernel tells of it. `None` of a link that has gone meanwhile.
    pub record: Option<LinkRecord>,
    /// Nexthop objects that lead through it, and then groups that have one of those.
    pub nexthops: Vec<NexthopRecord>,
    /// What it lets through, if it is a bridge that looks at VLANs, or a port of one.
    pub vlans: Option<BridgeVlans>,
}

impl Surveyed {
    /// The sysctls of IPv6.
    pub fn sysctls(&self) -> Ipv6Sysctls {
        ipv6_sysctls(&self.record.as_ref().map(LinkRecord::sysctls).unwrap_or_default())
    }
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

    /// Adds the nexthop objects of the host, of which each link has its own.
    pub(crate) fn set_nexthops(&mut self, nexthops: &[NexthopRecord]) {
        for surveyed in self.links.values_mut() {
            let is_own = |it: &&NexthopRecord| it.link == Some(surveyed.link.name);
            let own: Vec<_> = nexthops.iter().filter(is_own).collect();
            let has_own =
                |group: &&NexthopRecord| own.iter().any(|nexthop| group.has_member(nexthop.id));
            let groups = nexthops.iter().filter(has_own);
            surveyed.nexthops = own.iter().copied().chain(groups).cloned().collect();
        }
    }

    /// Adds the VLANs that a bridge lets through to a port of it, or to itself.
    pub(crate) fn set_vlans(&mut self, link: LinkIndex, vlans: BridgeVlans) {
        if let Some(surveyed) = self.links.values_mut().find(|it| it.link.index == link) {
            surveyed.vlans = Some(vlans);
        }
    }

    /// The interface that was taken down a moment ago and belongs to one of these links, unless
    /// somebody else has brought it up since. What others had told it, it hands to the link alone
    /// that has its hardware address.
    pub(crate) fn recent_for(&self, names: &[IfName]) -> impl Iterator<Item = &Surveyed> {
        let macs: Vec<_> =
            names.iter().filter_map(|name| self.named(name)).map(|it| it.link.mac).collect();
        let is_recent =
            |it: &&RemovedInterface| it.is_for(names) && !self.is_up_again(&it.surveyed.link);
        self.recent.iter().filter(is_recent).map(move |removed| {
            let mac = removed.surveyed.link.mac;
            let is_same = mac.is_some() && macs.contains(&mac);
            if is_same { &removed.surveyed } else { &removed.lasting }
        })
    }

    fn is_up_again(&self, removed: &Link) -> bool {
        self.named(&removed.name).is_some_and(|now| now.link.index == removed.index && now.link.up)
    }

    /// What is remembered of an interface that is taken down.
    pub(crate) fn removed_interface(&self, name: &IfName, host: &Host) -> Option<RemovedInterface> {
        let surveyed = self.named(name)?.clone();
        let mut lasting = surveyed.clone();
        lasting.addresses.retain(|record| !record.address.is_learnt());
        let is_told = |it: &RouteRecord| it.is_leased() || it.is_advertised() || !it.is_lasting();
        lasting.routes.retain(|route| !is_told(route));
        let ports = host.ports_of(surveyed.link.index).into_iter().map(|port| port.name);
        let ports = ports.collect();
        let links = self.links.keys().filter_map(|name| self.removable(name, host)).collect();
        Some(RemovedInterface { surveyed, lasting, ports, links })
    }

    /// A link as it is to be remembered once it is gone.
    pub fn removable(&self, name: &IfName, host: &Host) -> Option<RemovedLink> {
        let surveyed = self.named(name)?;
        Some(RemovedLink::new(surveyed.record.as_ref()?, surveyed.vlans.clone(), host))
    }

    /// What a link without a definition had when it was taken down, if it is as it was left.
    pub(crate) fn shelved_for(&self, name: &IfName) -> Option<&Shelved> {
        let now = self.named(name)?;
        let Surveyed { link, addresses, routes, .. } = now;
        self.shelved.iter().find(|shelved| shelved.is_of(link, addresses, routes))
    }

    /// What is to be remembered of a link without a definition that is taken down.
    pub fn shelve(&self, name: &IfName) -> Option<Shelved> {
        let Surveyed { link, addresses, routes, .. } = self.named(name)?;
        let leases = self.leases.iter().filter(|lease| lease.link == *name).copied();
        Some(Shelved::new(link, addresses, routes, leases.collect()))
    }

    /// Whether a DHCP client of this family runs on this link, whoever has started it.
    pub(crate) fn has_client(&self, link: &IfName, family: Family) -> bool {
        self.leases.iter().any(|lease| lease.is_for(*link, family))
            || self.has_foreign_client(*link, family)
    }

    /// Whether somebody else has started one. One of all links leaves out what others make, like
    /// bridges, unless it is told otherwise: then they have what it has brought.
    pub(crate) fn has_foreign_client(&self, link: IfName, family: Family) -> bool {
        let is_found = || {
            self.named(&link).is_some_and(|now| {
                let is_brought = |record: &AddressRecord| {
                    let address = &record.address;
                    address.prefix.family() == family && address.lifetime == Lifetime::Finite
                };
                !matches!(now.link.kind, LinkKind::Bridge(_) | LinkKind::Tun)
                    || now.addresses.iter().any(is_brought)
            })
        };
        let is_served = |client: &ForeignClient| match client.links {
            Links::One(_) | Links::Several(_) => true,
            Links::All(_) => is_found(),
        };
        self.foreign.iter().any(|client| client.is_for(link, family) && is_served(client))
    }

    /// The client that somebody else had on this link, and that we have ended.
    pub(crate) fn ended_for(&self, link: IfName, family: Family) -> Option<&ForeignClient> {
        self.ended.iter().find(|client| client.is_for(link, family))
    }
}
