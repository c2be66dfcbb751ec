// SPDX-License-Identifier: LGPL-2.1-or-later
//! Addresses and routes that the host learns from routers and DHCP servers. They are restored only
//! if the host is still in the network where it learnt them.

use std::collections::BTreeSet;

use crate::host::may_be_guest;
use crate::host::record::HostRecord;
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::address::{AddressOrigin, Lifetime};
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::address::{AddressKey, AddressRecord};
use crate::netlink::record::route::{RouteRecord, Way};

use super::matching::{Budget, Index};
use super::{Inputs, addressing};

/// The addresses and routes that the host had learnt from routers, and the links that are in other
/// networks now.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Bridges and bonds whose ports differ from the snapshot, guests' ports aside.
    rewired: BTreeSet<IfName>,
    addresses: Index,
    addresses_told: Vec<(AddressKey, IfName)>,
    routes: Index,
    routes_told: Vec<(Way, IfName)>,
    /// The position that the search of the links' addresses and routes has reached.
    link_at: usize,
    entry_at: usize,
}

impl Told {
    pub(super) fn new(inputs: &Inputs<'_>) -> Self {
        let then = own_ports(inputs, &inputs.then.host);
        let now = own_ports(inputs, inputs.now);
        let rewired = then.symmetric_difference(&now).map(|(master, _port)| *master).collect();
        Self { rewired, ..Self::default() }
    }

    /// Searches the snapshot's entries of the next of these links, which are all. Returns whether
    /// the search is complete.
    pub(super) fn poll(
        &mut self,
        inputs: &Inputs<'_>,
        links: &[IfName],
        budget: &mut Budget,
    ) -> bool {
        while let Some(link) = links.get(self.link_at) {
            let Some(recorded) = inputs.then.host.named(link) else {
                self.link_at += 1;
                continue;
            };
            let address_count = recorded.addresses.len();
            while self.entry_at < address_count + recorded.routes.len() {
                if !budget.take() {
                    return false;
                }
                let address = recorded.addresses.get(self.entry_at);
                let route = self.entry_at.checked_sub(address_count);
                let route = route.and_then(|at| recorded.routes.get(at));
                if let Some(address) = address.filter(|it| is_advertised(it)) {
                    self.addresses.push(address.key());
                    self.addresses_told.push((address.key(), *link));
                }
                if let Some(route) = route.filter(|it| it.is_advertised()) {
                    self.routes.push(route.way());
                    self.routes_told.push((route.way(), *link));
                }
                self.entry_at += 1;
            }
            (self.link_at, self.entry_at) = (self.link_at + 1, 0);
        }
        true
    }

    /// Returns whether an address that is not in the snapshot stays: the kernel gives it to each
    /// link, or the host has learnt it and would learn it again.
    pub(super) fn keeps_address(
        &self,
        inputs: &Inputs<'_>,
        link: IfName,
        record: &AddressRecord,
    ) -> bool {
        let key = record.key();
        let was_elsewhere = || {
            let is_it = |at| {
                self.addresses_told.get(at).is_some_and(|(told, on)| *told == key && *on != link)
            };
            self.addresses.find(key, is_it).is_some()
        };
        !addressing::is_chosen(record)
            || is_leased(inputs, link, record)
            || (is_advertised(record) && !self.hears_others(inputs, link) && !was_elsewhere())
    }

    /// Returns whether a route that is not in the snapshot stays, because it was learnt from a
    /// router or a DHCP server.
    pub(super) fn keeps_route(
        &self,
        inputs: &Inputs<'_>,
        link: IfName,
        route: &RouteRecord,
    ) -> bool {
        let way = route.way();
        let was_elsewhere = || {
            let is_it =
                |at| self.routes_told.get(at).is_some_and(|(told, on)| *told == way && *on != link);
            self.routes.find(way, is_it).is_some()
        };
        (route.is_leased() && has_client(inputs, link, route.family))
            || (route.is_advertised() && !self.hears_others(inputs, link) && !was_elsewhere())
    }

    /// Returns whether a link is in another network than in the snapshot: its ports differ, or
    /// those of its parent.
    fn hears_others(&self, inputs: &Inputs<'_>, link: IfName) -> bool {
        let host = &inputs.then.host;
        let Some(recorded) = host.named(&link) else { return false };
        let is_vlan = matches!(recorded.link().kind, LinkKind::Vlan { .. });
        let parent = host.parent_of(recorded.link()).filter(|_| is_vlan);
        self.rewired.contains(&link)
            || parent.is_some_and(|parent| self.hears_others(inputs, parent))
    }
}

/// Returns whether a DHCP client is in the snapshot, and so will run.
pub(super) fn has_client(inputs: &Inputs<'_>, link: IfName, family: Family) -> bool {
    inputs.then.leases.iter().any(|lease| lease.is_for(link, family))
        || inputs.then.foreign.iter().any(|client| client.is_for(link, family))
}

/// Returns whether a DHCP client runs now.
pub(super) fn runs_client(inputs: &Inputs<'_>, link: IfName, family: Family) -> bool {
    inputs.leases.iter().any(|lease| lease.is_for(link, family))
        || inputs.foreign.iter().any(|client| client.is_for(link, family))
}

/// Returns whether a client of another program was started again, which configures the link itself.
/// Some clear the link first.
pub(super) fn is_left_to_client(inputs: &Inputs<'_>, link: IfName, family: Family) -> bool {
    inputs.given_back.iter().any(|client| client.is_for(link, family))
}

/// Returns whether an address came from a DHCP server.
pub(super) fn is_leased(inputs: &Inputs<'_>, link: IfName, record: &AddressRecord) -> bool {
    record.address.lifetime == Lifetime::Finite
        && has_client(inputs, link, record.address.prefix.family())
}

fn is_advertised(record: &AddressRecord) -> bool {
    record.address.origin == AddressOrigin::RouterAdvertisement
}

/// Returns pairs of masters and those of their ports that belong to the host.
fn own_ports(inputs: &Inputs<'_>, host: &HostRecord) -> BTreeSet<(IfName, IfName)> {
    let is_own = |link: &Link| !may_be_guest(link) || inputs.then.host.named(&link.name).is_some();
    let ports =
        host.iter().map(|it| it.link()).filter(|link| link.master.is_some() && is_own(link));
    ports.filter_map(|link| Some((host.master_of(link)?, link.name))).collect()
}
