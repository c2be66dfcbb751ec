// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Host`]: what the kernel has now, folded from its news.
//!
//! Knows neither where news comes from nor what it is for. A dump says the same as the events that
//! led to it, so a dump, followed by all events since before it began, ends in the kernel's state:
//! each event replaces or removes what it names and touches nothing else.

pub mod describe;
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

/// The host's links and addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Host {
    links: Links,
    /// Kept whether or not their link is known: an unnameable link may get a name.
    addresses: Addresses,
}

impl Host {
    /// Folds in one piece of news.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Link(LinkEvent::New(link)) => self.links.insert(link),
            Event::Link(LinkEvent::Unnameable(index) | LinkEvent::Unreadable(index, _)) => {
                self.links.remove(index);
            }
            Event::Link(LinkEvent::Removed(index)) => {
                self.links.remove(index);
                self.addresses.remove_all_of(index);
            }
            Event::Address(AddressEvent::New(address)) => self.addresses.insert(address),
            Event::Address(AddressEvent::Removed(id)) => self.addresses.remove(id),
        }
    }

    /// Forgets everything, as before a dump.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The link with this index.
    pub fn link(&self, index: LinkIndex) -> Option<&Link> {
        self.links.get(index)
    }

    /// The link of this name.
    pub fn link_named(&self, name: &IfName) -> Option<&Link> {
        self.links.named(name)
    }

    /// All links, by name.
    pub fn links(&self) -> impl Iterator<Item = &Link> + Clone {
        self.links.by_name()
    }

    /// The names of all links, in their order.
    pub fn link_names(&self) -> impl Iterator<Item = &IfName> {
        self.links.names()
    }

    /// What tells each link from all others there are and have been, in the order of the names.
    pub(crate) fn link_ids(&self) -> impl Iterator<Item = &(IfName, LinkIndex)> {
        self.links.ids()
    }

    /// How many links there are.
    pub fn link_count(&self) -> usize {
        self.links.count()
    }

    /// The links whose master is `master`, by name.
    pub fn ports_of(&self, master: LinkIndex) -> Vec<&Link> {
        self.links.ports_of(master)
    }

    /// The addresses of a link: IPv4 before IPv6, those that others depend on first, then by value.
    /// The kernel's own order would not do: a dump has new IPv6 addresses first, events have
    /// them last.
    pub fn addresses_of(&self, link: LinkIndex) -> Vec<Address> {
        self.addresses.of(link)
    }

    /// Whether lists leave a link out, as libvirt's own daemon does: ports of a bridge or bond
    /// are described with it, and tun and tap devices belong to guests.
    pub(crate) fn is_hidden(&self, link: &Link) -> bool {
        let holds_ports =
            |master: &Link| matches!(master.kind, LinkKind::Bond(_) | LinkKind::Bridge(_));
        link.kind == LinkKind::Tun
            || link.master.and_then(|master| self.link(master)).is_some_and(holds_ports)
    }
}

/// The name of a link that is out of the way and has yet to be deleted: the kernel's number makes it
/// unique, and tells it from a link that somebody else has given such a name.
pub(crate) fn discarded_name(link: &Link) -> Option<IfName> {
    IfName::new(format!("gone-{}", link.index.0)).ok()
}

/// Whether a link is one that was to be deleted, unless it has ports.
pub(crate) fn is_out_of_the_way(link: &Link) -> bool {
    let may_be =
        matches!(link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Vlan { .. });
    may_be && !link.up && discarded_name(link) == Some(link.name)
}

/// Whether a link is one that was to be deleted.
pub fn is_discarded(host: &Host, link: &Link) -> bool {
    is_out_of_the_way(link) && host.ports_of(link.index).is_empty()
}

/// Whether a port that no definition names is left alone whatever happens: it may be a guest's. A
/// NIC, a bond or a VLAN is the host's own.
pub(crate) fn may_be_guest(link: &Link) -> bool {
    match link.kind {
        LinkKind::Bond(_) | LinkKind::Nic | LinkKind::Vlan { .. } => false,
        LinkKind::Bridge(_) | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => true,
    }
}

#[cfg(test)]
mod tests;
