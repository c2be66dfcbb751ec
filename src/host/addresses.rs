// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Addresses`]: the kernel's addresses, found by their link.
//!
//! Knows only the index of a link. One map, sorted by link, holds all addresses: with a map for
//! each link, a host with thousands of links would spend more memory on the maps than on the
//! addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::model::address::IpPrefix;
use crate::netlink::address::{Address, AddressId, AddressOrigin, Lifetime, Role, Scope};
use crate::netlink::link::LinkIndex;

/// All addresses of the host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Addresses {
    states: BTreeMap<AddressId, AddressState>,
}

/// The fields of an [`Address`] that are not in its id, which is the key of the map.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct AddressState {
    role: Role,
    scope: Scope,
    lifetime: Lifetime,
    origin: AddressOrigin,
}

impl Addresses {
    /// Adds `address`, or replaces the known one with the same id.
    pub(super) fn insert(&mut self, address: Address) {
        let Address { role, scope, lifetime, origin, .. } = address;
        self.states.insert(address.id(), AddressState { role, scope, lifetime, origin });
    }

    pub(super) fn remove(&mut self, id: AddressId) {
        self.states.remove(&id);
    }

    pub(super) fn remove_all_of(&mut self, link: LinkIndex) {
        let ids: Vec<_> = self.entries_of(link).map(|(id, _)| *id).collect();
        for id in ids {
            self.states.remove(&id);
        }
    }

    /// Returns a link's addresses: IPv4 before IPv6, by role, then by value.
    pub(super) fn of(&self, link: LinkIndex) -> Vec<Address> {
        let mut addresses: Vec<_> = self.entries_of(link).map(join).collect();
        addresses.sort_by_key(|address| (address.prefix.family(), address.role));
        addresses
    }

    /// Iterates over the entries of a link, by value.
    fn entries_of(&self, link: LinkIndex) -> impl Iterator<Item = (&AddressId, &AddressState)> {
        let lowest = IpPrefix::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let first_id = lowest.map(|prefix| AddressId { link, prefix, peer: None });
        let from_there_on = first_id.into_iter().flat_map(|id| self.states.range(id..));
        from_there_on.take_while(move |(id, _)| id.link == link)
    }
}

fn join((id, state): (&AddressId, &AddressState)) -> Address {
    let AddressId { link, prefix, peer } = *id;
    let AddressState { role, scope, lifetime, origin } = *state;
    Address { link, prefix, peer, role, scope, lifetime, origin }
}
