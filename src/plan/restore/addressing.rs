// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addressing part of a rollback: addresses, routes, and DHCP clients.

use crate::host::record::Recorded;
use crate::model::address::Family;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::address::{Lifetime, Origin, Role, Scope};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::step::Step;

use super::outline::OutlineBuilder;
use super::{Inputs, Loss};

impl<'a> OutlineBuilder<'a> {
    /// Ends the DHCP clients that did not run: before anything else, as some take their lease back
    /// from a link that changes.
    pub(super) fn stop_clients(&mut self) {
        let then = &self.then.leases;
        let runs_on = |lease: &&Lease| !then.iter().any(|then| is_same_client(then, lease));
        let stale: Vec<_> = self.leases.iter().filter(runs_on).copied().collect();
        stale.into_iter().for_each(|lease| self.push(Step::StopClient(lease)));
        // One that serves all links, or that somebody looks after, is nobody's to end.
        let is_stale = |client: &&ForeignClient| {
            client.only_link().is_some()
                && client.keeper.is_none()
                && !self.then.foreign.iter().any(|then| then.is_same(client))
        };
        let stale: Vec<_> = self.foreign.iter().filter(is_stale).cloned().collect();
        for client in stale {
            self.push(Step::EndForeignClient(Box::new(client)));
        }
        for part in parts_taken(&self.then.foreign, self.foreign) {
            self.push(Step::EndForeignClient(Box::new(part)));
        }
    }

    /// Starts the DHCP clients that ran, where their link still is. What they had bound they ask for.
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
            self.push(Step::StartClient(Lease { wanted, ..*lease }));
        }
        for client in &self.then.foreign {
            // Where its link has gone there is nothing for it to do.
            let is_there = client.only_link().is_none_or(|link| self.links.contains_key(&link));
            if !is_there || self.foreign.iter().any(|now| now.is_same(client)) {
                continue;
            }
            let client = Box::new(client.clone());
            match client.keeper {
                Some(_) => self.lost.push(Loss::Client(client)),
                None => self.push(Step::StartForeignClient(client)),
            }
        }
        for part in parts_taken(self.foreign, &self.then.foreign) {
            if part.only_link().is_some_and(|link| self.links.contains_key(&link)) {
                self.push(Step::StartForeignClient(Box::new(part)));
            }
        }
    }

    /// Takes from a link that was not there what the host has of it: others use it now.
    pub(super) fn strip(&mut self, recorded: &Recorded) {
        let link = recorded.link().name;
        for record in recorded.routes.iter().cloned() {
            self.push(Step::DeleteRoute { link, record });
        }
        for record in recorded.addresses.iter().filter(|it| is_chosen(it)).rev() {
            take_away(link, record, &mut self.steps);
        }
    }
}

/// A link as the links part leaves it to this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlined {
    pub(super) link: IfName,
    /// Whether it is there, and has not to be made.
    pub(super) is_kept: bool,
    /// Whether it is up, and will be all the time.
    pub(super) stays_up: bool,
}

/// One link, then and now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) inputs: Inputs<'a>,
    pub(super) link: IfName,
    pub(super) then: &'a Recorded,
    pub(super) now: Option<&'a Recorded>,
    pub(super) stays_up: bool,
}

impl<'a> Scene<'a> {
    /// The addresses that it has now.
    pub(super) fn addresses_now(&self) -> &'a [AddressRecord] {
        self.now.map_or(&[], |now| &now.addresses)
    }

    /// The routes that lead over it now, and will when it is seen to where they are to lead.
    pub(super) fn routes_now(&self) -> &'a [RouteRecord] {
        self.now.filter(|_| self.stays_up).map_or(&[], |now| &now.routes)
    }

    /// The routes that the kernel has made along with its addresses, as far as they are there still.
    pub(super) fn own_routes_now(&self) -> &'a [RouteRecord] {
        self.now.map_or(&[], |now| &now.own_routes)
    }

    /// Whether it is up now.
    pub(super) fn is_up(&self) -> bool {
        self.now.is_some_and(|now| now.link().up)
    }

    /// Whether it goes down on the way, and loses its IPv6 addresses.
    pub(super) fn is_downed(&self) -> bool {
        self.is_up() && !self.stays_up
    }
}

/// Whether a client for the one lease does for the other.
fn is_same_client(one: &Lease, other: &Lease) -> bool {
    one.is_for(other.link, other.family) && one.name_servers == other.name_servers
}

/// What clients of all links do for those that they had let go of among `before`, and have among `after`.
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

/// Takes an address from a link, and its network with it. An IPv6 address that does not last leaves the
/// route to its network behind, so it is made to last.
pub(super) fn take_away(link: IfName, record: &AddressRecord, steps: &mut Vec<Step>) {
    let is_ipv6 = record.address.prefix.family() == Family::Ipv6;
    if is_ipv6 && record.address.lifetime == Lifetime::Finite {
        steps.push(Step::ChangeAddress { link, record: record.lasting() });
    }
    steps.push(Step::DeleteAddress { link, record: record.clone() });
}

/// Whether an address is one that IPv6 gives a link of its own, made from the hardware address.
pub(super) fn is_ipv6s(record: &AddressRecord) -> bool {
    record.address.prefix.family() == Family::Ipv6
        && record.address.scope == Scope::Link
        && is_lasting(record)
}

/// Whether an address stays until somebody takes it away.
pub(super) fn is_lasting(record: &AddressRecord) -> bool {
    record.address.lifetime == Lifetime::Permanent && record.address.role != Role::Temporary
}

/// Whether an address is somebody's choice: not the one that IPv6 has on each link, nor one that it
/// makes up for a while.
pub(super) fn is_chosen(record: &AddressRecord) -> bool {
    let address = &record.address;
    let is_ipv6_of_link = address.prefix.family() == Family::Ipv6
        && address.scope == Scope::Link
        && matches!(address.origin, Origin::LinkLocal | Origin::Unknown);
    !is_ipv6_of_link && address.role != Role::Temporary
}

/// Whether a link has one of two addresses if it has the other.
pub(super) fn is_same(one: &AddressRecord, other: &AddressRecord) -> bool {
    one.key() == other.key()
}
