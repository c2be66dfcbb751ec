// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Survey`]: the details of a few links, beyond the table, that a change needs.
//!
//! The table has the fields that replies need. A change that removes an object must be able to
//! restore it exactly, so it needs everything that the kernel reports: each link with all
//! attributes and sysctls, each address with its lifetimes, each route. They are requested for the
//! links in question alone, at the moment when the change is planned.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Host;
use crate::host::removed::RemovedLink;
use crate::host::shelf::Shelved;
use crate::host::state::LinkState;
use crate::model::address::Family;
use crate::model::foreign::{ClientLinks, ForeignClient};
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::model::sysctl::Sysctl;
use crate::netlink::address::Lifetime;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::neighbour::Neighbours;
use crate::netlink::record::nexthop::NexthopRecord;
use crate::netlink::record::route::RouteRecord;
use crate::netlink::record::rule::RuleRecord;

/// The links to be surveyed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SurveyOrder {
    pub links: BTreeSet<IfName>,
}

/// The details of the links that a change affects.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    links: SortedMap<IfName, LinkState>,
    /// VLANs of bridges and of their ports, including guests'.
    vlans: BTreeMap<LinkIndex, BridgeVlans>,
    /// The sysctls of a link that is yet to be created. Empty if no link is created.
    pub defaults: Sysctls,
    /// The neighbour settings of a link that is yet to be created.
    pub default_neighbours: Neighbours,
    /// The DHCP clients that this daemon runs.
    pub leases: Vec<Lease>,
    /// The DHCP clients that other programs have started.
    pub foreign: Vec<ForeignClient>,
    /// The DHCP clients of other programs that this daemon has ended in this boot, and not started
    /// again.
    pub ended: Vec<ForeignClient>,
    /// Interfaces that were destroyed a moment ago.
    pub recent: Vec<RemovedInterface>,
    /// The configuration of those links that were taken down in this boot without a definition.
    pub shelved: Vec<Shelved>,
    /// Those of the links that were removed before, by name.
    pub removed: SortedMap<IfName, RemovedLink>,
    /// The host's policy rules.
    pub rules: Vec<RuleRecord>,
    /// VLANs and bonds that existed before the bridges whose ports they are.
    pub found: BTreeSet<LinkIndex>,
}

/// Sysctls of one link, with their values.
pub type Sysctls = SortedMap<Sysctl, i32>;

/// An interface that was destroyed, in its last state.
#[derive(Clone, Debug)]
pub struct RemovedInterface {
    pub surveyed: LinkState,
    /// The same without addresses and routes that were learnt from a DHCP server or a router, which
    /// depend on the hardware address.
    lasting: LinkState,
    /// The names of its former ports.
    ports: Vec<IfName>,
    /// The interface's link, and the links that were surveyed with it.
    pub links: Vec<RemovedLink>,
}

impl RemovedInterface {
    /// Returns whether the interface, or a port of it, had one of these names: that link then
    /// replaces it, or gets its configuration back.
    pub fn is_for(&self, names: &[IfName]) -> bool {
        names.contains(&self.surveyed.link().name) || self.ports.iter().any(|it| names.contains(it))
    }
}

impl Survey {
    /// Returns the details of the link of this name, or `None` if there is none.
    pub fn named(&self, name: &IfName) -> Option<&LinkState> {
        self.links.get(name)
    }

    /// Adds the details of a link.
    pub fn insert(&mut self, surveyed: LinkState) {
        self.links.insert(surveyed.link().name, surveyed);
    }

    /// Adds the nexthop objects of the host to their links.
    pub(crate) fn set_nexthops(&mut self, nexthops: &[NexthopRecord]) {
        for surveyed in self.links.values_mut() {
            let is_own = |it: &&NexthopRecord| it.link == Some(surveyed.link().name);
            let own: Vec<_> = nexthops.iter().filter(is_own).collect();
            let has_own =
                |group: &&NexthopRecord| own.iter().any(|nexthop| group.has_member(nexthop.id));
            let groups = nexthops.iter().filter(has_own);
            surveyed.nexthops = own.iter().copied().chain(groups).cloned().collect();
        }
    }

    /// Adds the VLANs of a bridge, or of a bridge's port.
    pub(crate) fn add_vlans(&mut self, link: LinkIndex, vlans: BridgeVlans) {
        self.vlans.insert(link, vlans);
    }

    /// Returns the VLANs of a bridge that filters them, or of such a bridge's port.
    pub(crate) fn vlans_of(&self, link: LinkIndex) -> Option<&BridgeVlans> {
        self.vlans.get(&link)
    }

    /// Iterates over the interfaces that were destroyed a moment ago and belong to one of these
    /// links, unless they are up again. Learnt addresses and routes are included only if one of the
    /// links has the same hardware address.
    pub(crate) fn recent_for(&self, names: &[IfName]) -> impl Iterator<Item = &LinkState> {
        let macs: Vec<_> =
            names.iter().filter_map(|name| self.named(name)).map(|it| it.link().mac).collect();
        let is_recent =
            |it: &&RemovedInterface| it.is_for(names) && !self.is_up_again(it.surveyed.link());
        self.recent.iter().filter(is_recent).map(move |removed| {
            let mac = removed.surveyed.link().mac;
            let is_same = mac.is_some() && macs.contains(&mac);
            if is_same { &removed.surveyed } else { &removed.lasting }
        })
    }

    fn is_up_again(&self, removed: &Link) -> bool {
        self.named(&removed.name)
            .is_some_and(|now| now.link().index == removed.index && now.link().up)
    }

    /// Returns the record of an interface that is being destroyed.
    pub(crate) fn removed_interface(&self, name: &IfName, host: &Host) -> Option<RemovedInterface> {
        let surveyed = self.named(name)?.clone();
        let mut lasting = surveyed.clone();
        lasting.addresses.retain(|record| !record.address.is_learnt());
        let is_told = |it: &RouteRecord| it.is_leased() || it.is_advertised() || !it.is_lasting();
        lasting.routes.retain(|route| !is_told(route));
        let ports = host.ports_of(surveyed.link().index).into_iter().map(|port| port.name);
        let ports = ports.collect();
        let links = self.links.keys().filter_map(|name| self.removable(name, host)).collect();
        Some(RemovedInterface { surveyed, lasting, ports, links })
    }

    /// Returns the attributes of a link to be remembered after its removal.
    pub fn removable(&self, name: &IfName, host: &Host) -> Option<RemovedLink> {
        let surveyed = self.named(name)?;
        Some(RemovedLink::new(
            &surveyed.record,
            self.vlans_of(surveyed.link().index).cloned(),
            host,
        ))
    }

    /// Returns the saved configuration of a link without a definition, if the link has not changed
    /// since.
    pub(crate) fn shelved_for(&self, name: &IfName) -> Option<&Shelved> {
        let now = self.named(name)?;
        self.shelved.iter().find(|shelved| shelved.is_of(now))
    }

    /// Returns the configuration to save of a link without a definition that is being taken down.
    pub fn shelve(&self, name: &IfName) -> Option<Shelved> {
        let now = self.named(name)?;
        let leases = self.leases.iter().filter(|lease| lease.link == *name).copied();
        Some(Shelved::new(now, leases.collect()))
    }

    /// Returns whether a DHCP client of this family runs on this link, started by this daemon or
    /// another program.
    pub(crate) fn has_client(&self, link: &IfName, family: Family) -> bool {
        self.leases.iter().any(|lease| lease.is_for(*link, family))
            || self.has_foreign_client(*link, family)
    }

    /// Returns whether another program's DHCP client serves this link. A client of all links
    /// excludes virtual ones, such as bridges, unless configured otherwise; it serves such a link
    /// if the link has an address with a lifetime.
    pub(crate) fn has_foreign_client(&self, link: IfName, family: Family) -> bool {
        let is_found = || {
            self.named(&link).is_some_and(|now| {
                let is_brought = |record: &AddressRecord| {
                    let address = &record.address;
                    address.prefix.family() == family && address.lifetime == Lifetime::Finite
                };
                !matches!(now.link().kind, LinkKind::Bridge(_) | LinkKind::Tun)
                    || now.addresses.iter().any(is_brought)
            })
        };
        let is_served = |client: &ForeignClient| match client.links {
            ClientLinks::One(_) | ClientLinks::Several(_) => true,
            ClientLinks::All(_) => is_found(),
        };
        self.foreign.iter().any(|client| client.is_for(link, family) && is_served(client))
    }

    /// Returns another program's DHCP client of this link that this daemon has ended.
    pub(crate) fn ended_for(&self, link: IfName, family: Family) -> Option<&ForeignClient> {
        self.ended.iter().find(|client| client.is_for(link, family))
    }
}
