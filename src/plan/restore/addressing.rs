// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addressing part of a rollback: addresses, routes, and DHCP clients.

use crate::host::state::LinkState;
use crate::model::address::Family;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::address::{AddressOrigin, Lifetime, Role, Scope};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::request::KernelRequest;
use crate::plan::step::{DhcpStep, Step};

use super::outline::OutlineBuilder;
use super::{Inputs, Loss};

impl<'a> OutlineBuilder<'a> {
    /// Ends the DHCP clients that are not in the snapshot. This comes first, as some remove their
    /// lease from a link that changes.
    pub(super) fn stop_clients(&mut self) {
        let then = &self.then.leases;
        let runs_on = |lease: &&Lease| !then.iter().any(|then| is_same_client(then, lease));
        let stale: Vec<_> = self.leases.iter().filter(runs_on).copied().collect();
        stale.into_iter().for_each(|lease| self.push(DhcpStep::Stop(lease)));
        // A client that serves all links, or that another program restarts, cannot be ended.
        let is_stale = |client: &&ForeignClient| {
            client.only_link().is_some()
                && client.keeper.is_none()
                && !self.then.foreign.iter().any(|then| then.is_same(client))
        };
        let stale: Vec<_> = self.foreign.iter().filter(is_stale).cloned().collect();
        for client in stale {
            self.push(DhcpStep::EndForeign(Box::new(client)));
        }
        for part in parts_taken(&self.then.foreign, self.foreign) {
            self.push(DhcpStep::EndForeign(Box::new(part)));
        }
    }

    /// Starts the DHCP clients in the snapshot whose link still exists. They request the address
    /// that they had.
    pub(super) fn start_clients(&mut self) {
        for lease in &self.then.leases {
            let Some(pair) = self.links.get(&lease.link) else { continue };
            if self.leases.iter().any(|now| is_same_client(now, lease)) {
                continue;
            }
            let is_bound = |it: &&AddressRecord| {
                it.address.prefix.family() == lease.family && it.address.may_be_leased()
            };
            let mut bound = pair.then.addresses.iter().filter(is_bound);
            let bound = bound.find(|record| record.address.lifetime == Lifetime::Finite);
            let wanted = bound.map(|record| record.address.prefix);
            self.push(DhcpStep::Start(Lease { wanted, ..*lease }));
        }
        for client in &self.then.foreign {
            // A client without its link is not started.
            let is_there = client.only_link().is_none_or(|link| self.links.contains_key(&link));
            if !is_there || self.foreign.iter().any(|now| now.is_same(client)) {
                continue;
            }
            let client = Box::new(client.clone());
            match client.keeper {
                Some(_) => self.lost.push(Loss::Client(client)),
                None => self.push(DhcpStep::StartForeign(client)),
            }
        }
        for part in parts_taken(self.foreign, &self.then.foreign) {
            if part.only_link().is_some_and(|link| self.links.contains_key(&link)) {
                self.push(DhcpStep::StartForeign(Box::new(part)));
            }
        }
    }

    /// Removes the host's addresses and routes from a link that is not in the snapshot but is kept
    /// for others that use it now.
    pub(super) fn strip(&mut self, recorded: &LinkState) {
        let link = recorded.link().name;
        for record in recorded.routes.iter().cloned() {
            self.push(KernelRequest::DeleteRoute { link, record });
        }
        for record in recorded.addresses.iter().filter(|it| is_chosen(it)).rev() {
            take_away(link, record, &mut self.steps);
        }
    }
}

/// A link in the state that the links part of the rollback leaves it in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlined {
    pub(super) link: IfName,
    /// Whether it exists, so that it need not be created.
    pub(super) is_kept: bool,
    /// Whether it is up, and stays up throughout.
    pub(super) stays_up: bool,
}

/// One link, in the snapshot and now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) inputs: Inputs<'a>,
    pub(super) link: IfName,
    pub(super) then: &'a LinkState,
    pub(super) now: Option<&'a LinkState>,
    pub(super) stays_up: bool,
}

impl<'a> Scene<'a> {
    /// Returns its present addresses.
    pub(super) fn addresses_now(&self) -> &'a [AddressRecord] {
        self.now.map_or(&[], |now| &now.addresses)
    }

    /// Returns its present routes that still exist when routes are restored.
    pub(super) fn routes_now(&self) -> &'a [RouteRecord] {
        self.now.filter(|_| self.stays_up).map_or(&[], |now| &now.routes)
    }

    /// Returns the present routes that the kernel has added with its addresses.
    pub(super) fn own_routes_now(&self) -> &'a [RouteRecord] {
        self.now.map_or(&[], |now| &now.own_routes)
    }

    /// Returns whether it is up now.
    pub(super) fn is_up(&self) -> bool {
        self.now.is_some_and(|now| now.link().up)
    }

    /// Returns whether it goes down temporarily, and so loses its IPv6 addresses.
    pub(super) fn is_downed(&self) -> bool {
        self.is_up() && !self.stays_up
    }
}

/// Returns whether one client serves both leases.
fn is_same_client(one: &Lease, other: &Lease) -> bool {
    one.is_for(other.link, other.family) && one.name_servers == other.name_servers
}

/// Returns the parts of clients of all links in `after` that they had released in `before`.
fn parts_taken<'a>(
    before: &'a [ForeignClient],
    after: &'a [ForeignClient],
) -> impl Iterator<Item = ForeignClient> + use<'a> {
    before.iter().flat_map(move |before| {
        let same = after.iter().find(|after| after.is_same(before));
        same.into_iter().flat_map(move |after| {
            let taken = before.let_go().iter().filter(|link| !after.let_go().contains(link));
            taken.filter_map(|link| after.part(*link))
        })
    })
}

/// Removes an address and the route to its network. An IPv6 address with a lifetime leaves that
/// route behind, so it is made permanent first.
pub(super) fn take_away(link: IfName, record: &AddressRecord, steps: &mut Vec<Step>) {
    let is_ipv6 = record.address.prefix.family() == Family::Ipv6;
    if is_ipv6 && record.address.lifetime == Lifetime::Finite {
        steps.push(Step::Request(KernelRequest::ChangeAddress { link, record: record.lasting() }));
    }
    steps.push(Step::Request(KernelRequest::DeleteAddress { link, record: record.clone() }));
}

/// Returns whether IPv6 has created an address for a link itself, from the hardware address.
pub(super) fn is_ipv6s(record: &AddressRecord) -> bool {
    record.address.prefix.family() == Family::Ipv6
        && record.address.scope == Scope::Link
        && is_lasting(record)
}

/// Returns whether an address stays until it is removed explicitly.
pub(super) fn is_lasting(record: &AddressRecord) -> bool {
    record.address.lifetime == Lifetime::Permanent && record.address.role != Role::Temporary
}

/// Returns whether an address was chosen: it is neither the link's own IPv6 address, nor a
/// temporary one.
pub(super) fn is_chosen(record: &AddressRecord) -> bool {
    let address = &record.address;
    let is_ipv6_of_link = address.prefix.family() == Family::Ipv6
        && address.scope == Scope::Link
        && matches!(address.origin, AddressOrigin::LinkLocal | AddressOrigin::Unknown);
    !is_ipv6_of_link && address.role != Role::Temporary
}

/// Returns whether a link with one of two addresses also has the other.
pub(super) fn is_same(one: &AddressRecord, other: &AddressRecord) -> bool {
    one.key() == other.key()
}
