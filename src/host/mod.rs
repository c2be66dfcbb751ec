// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Host`]: the kernel's links and addresses, maintained from netlink events.
//!
//! Knows neither where events come from nor how the table is used. Each event replaces or removes
//! only the object that it names, so a dump, followed by all events since before it began, leads to
//! the kernel's state.

pub mod describe;
pub mod state;
pub mod boot_file;
pub mod shelf;
pub mod removed;
pub mod survey;
pub mod record;
pub mod inquiry;
mod addresses;
mod links;

use crate::model::name::IfName;
use crate::netlink::Event;
use crate::netlink::address::{Address, AddressEvent};
use crate::netlink::link::{Link, LinkEvent, LinkIndex, LinkKind};
use addresses::Addresses;
use links::Links;

/// The host's links and addresses. Two hosts with the same ones are equal.
#[derive(Clone, Debug, Default)]
pub struct Host {
    links: Links,
    /// Kept whether or not their link is known: a link whose name cannot be represented may be
    /// renamed.
    addresses: Addresses,
    news: Vec<LinkNews>,
    /// The number of events about links so far.
    version: u64,
}

/// A link's name and index: together they identify it among all past and present links of the host.
pub(crate) type LinkId = (IfName, LinkIndex);

/// A link appeared or disappeared. A renamed link does both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LinkNews {
    Came(LinkId),
    Left(LinkId),
}

impl Eq for Host {}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.links == other.links && self.addresses == other.addresses
    }
}

impl Host {
    /// Applies one event.
    pub fn apply(&mut self, event: Event) {
        self.version += u64::from(matches!(event, Event::Link(_)));
        match event {
            Event::Link(LinkEvent::New(link)) => {
                let id = (link.name, link.index);
                let old = self.links.insert(link);
                if old != Some(id) {
                    self.news.extend(old.map(LinkNews::Left));
                    self.news.push(LinkNews::Came(id));
                }
            }
            Event::Link(LinkEvent::Unnameable(index) | LinkEvent::Unreadable(index, _)) => {
                self.news.extend(self.links.remove(index).map(LinkNews::Left));
            }
            Event::Link(LinkEvent::Removed(index)) => {
                self.news.extend(self.links.remove(index).map(LinkNews::Left));
                self.addresses.remove_all_of(index);
            }
            Event::Address(AddressEvent::New(address)) => self.addresses.insert(address),
            Event::Address(AddressEvent::Removed(id)) => self.addresses.remove(id),
        }
    }

    /// Removes everything, before a dump.
    pub fn clear(&mut self) {
        *self = Self { version: self.version + 1, ..Self::default() };
    }

    /// A number that is another one whenever links have changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes the links that have appeared and disappeared since the last call, in order. After a
    /// dump all links count as new, and those that disappeared before it are not listed.
    pub(crate) fn take_link_news(&mut self) -> Vec<LinkNews> {
        std::mem::take(&mut self.news)
    }

    /// Returns the link with this index.
    pub fn link(&self, index: LinkIndex) -> Option<&Link> {
        self.links.get(index)
    }

    /// Returns the link of this name.
    pub fn link_named(&self, name: &IfName) -> Option<&Link> {
        self.links.named(name)
    }

    /// Iterates over all links, by name.
    pub fn links(&self) -> impl Iterator<Item = &Link> + Clone {
        self.links.by_name()
    }

    /// Iterates over the names of all links, in order.
    pub fn link_names(&self) -> impl Iterator<Item = &IfName> {
        self.links.names()
    }

    /// Iterates over the name and index of each link, by name. Together they identify a link among
    /// all past and present ones.
    pub(crate) fn link_ids(&self) -> impl Iterator<Item = &LinkId> {
        self.links.ids()
    }

    /// Returns the number of links.
    pub fn link_count(&self) -> usize {
        self.links.count()
    }

    /// Returns the links whose master is `master`, by name.
    pub fn ports_of(&self, master: LinkIndex) -> Vec<&Link> {
        self.links.ports_of(master)
    }

    /// Returns the addresses of a link: IPv4 before IPv6, primary ones before those that depend on
    /// them, then by value. The kernel's order is not stable: a dump has new IPv6 addresses first,
    /// events have them last.
    pub fn addresses_of(&self, link: LinkIndex) -> Vec<Address> {
        self.addresses.of(link)
    }

    /// Returns whether lists omit a link, as those of libvirt's own daemon do: ports of a bridge or
    /// bond are described with it, and tun and tap devices belong to guests.
    pub(crate) fn is_hidden(&self, link: &Link) -> bool {
        let holds_ports =
            |master: &Link| matches!(master.kind, LinkKind::Bond(_) | LinkKind::Bridge(_));
        link.kind == LinkKind::Tun
            || link.master.and_then(|master| self.link(master)).is_some_and(holds_ports)
    }
}

/// Returns the temporary name of a link that waits for its deletion. The kernel's index makes it
/// unique, and distinguishes it from a link to which an administrator gave such a name.
pub(crate) fn discarded_name(link: &Link) -> Option<IfName> {
    IfName::new(format!("gone-{}", link.index.0)).ok()
}

/// Returns whether a link waits for its deletion, unless it has ports.
pub(crate) fn is_out_of_the_way(link: &Link) -> bool {
    let may_be =
        matches!(link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Vlan { .. });
    may_be && !link.up && discarded_name(link) == Some(link.name)
}

/// Returns whether a link waits for its deletion.
pub fn is_discarded(host: &Host, link: &Link) -> bool {
    is_out_of_the_way(link) && host.ports_of(link.index).is_empty()
}

/// Returns whether a port that no definition names is always left alone, because it may be a
/// guest's. A NIC, a bond or a VLAN belongs to the host.
pub(crate) fn may_be_guest(link: &Link) -> bool {
    match link.kind {
        LinkKind::Bond(_) | LinkKind::Nic | LinkKind::Vlan { .. } => false,
        LinkKind::Bridge(_) | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => true,
    }
}

#[cfg(test)]
mod tests;
