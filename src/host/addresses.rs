// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Addresses`]: the kernel's addresses, found by their link.
//!
//! Knows no link but by its index. One map holds them all, in the order of their links: a map for
//! each link would cost a host with thousands of links more than the addresses themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::model::address::IpPrefix;
use crate::netlink::address::{Address, AddressId};
use crate::netlink::link::LinkIndex;

/// All addresses of the host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Addresses {
    by_id: BTreeMap<AddressId, Address>,
}

impl Addresses {
    /// Puts `address` in the place of what was known of it.
    pub(super) fn insert(&mut self, address: Address) {
        self.by_id.insert(address.id(), address);
    }

    pub(super) fn remove(&mut self, id: AddressId) {
        self.by_id.remove(&id);
    }

    pub(super) fn remove_all_of(&mut self, link: LinkIndex) {
        let ids: Vec<_> = self.entries_of(link).map(Address::id).collect();
        for id in ids {
            self.by_id.remove(&id);
        }
    }

    /// IPv4 before IPv6, by role, then by value.
    pub(super) fn of(&self, link: LinkIndex) -> Vec<Address> {
        let mut addresses: Vec<_> = self.entries_of(link).copied().collect();
        addresses.sort_by_key(|address| (address.prefix.family(), address.role));
        addresses
    }

    /// By value.
    fn entries_of(&self, link: LinkIndex) -> impl Iterator<Item = &Address> {
        let lowest = IpPrefix::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let first_id = lowest.map(|prefix| AddressId { link, prefix, peer: None });
        let from_there_on = first_id.into_iter().flat_map(|id| self.by_id.range(id..));
        from_there_on.map(|(_, address)| address).take_while(move |address| address.link == link)
    }
}
