// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Links`]: the kernel's links, found by index and by name.
//!
//! Knows no addresses. Each link is in the map; in the set of names, as a pair of its name there
//! and its index; and in the set of ports if it has a master. While events older than a dump are
//! replayed, two links may share a name; with pairs, neither can replace or remove the other's
//! entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::LinkId;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkIndex};

/// All links of the host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Links {
    by_index: BTreeMap<LinkIndex, Link>,
    names: BTreeSet<LinkId>,
    /// The pairs of a master and each link that has it.
    ports: BTreeSet<(LinkIndex, LinkIndex)>,
}

impl Links {
    /// Adds `link`, or replaces the known one with the same index. Returns the name and the index
    /// of the replaced link.
    pub(super) fn insert(&mut self, link: Link) -> Option<LinkId> {
        let (index, name, master) = (link.index, link.name, link.master);
        let old = self.by_index.insert(index, link);
        let (old_name, old_master) = (old.as_ref().map(|it| it.name), old.and_then(|it| it.master));
        if old_name != Some(name) {
            self.names.insert((name, index));
            old_name.map(|name| self.names.remove(&(name, index)));
        }
        if old_master != master {
            self.ports.extend(master.map(|master| (master, index)));
            old_master.map(|master| self.ports.remove(&(master, index)));
        }
        old_name.map(|name| (name, index))
    }

    /// Removes the link with this index, and returns its name and index.
    pub(super) fn remove(&mut self, index: LinkIndex) -> Option<LinkId> {
        let old = self.by_index.remove(&index)?;
        self.names.remove(&(old.name, index));
        old.master.map(|master| self.ports.remove(&(master, index)));
        Some((old.name, index))
    }

    pub(super) fn get(&self, index: LinkIndex) -> Option<&Link> {
        self.by_index.get(&index)
    }

    /// Returns the link of a name; if two have it, the younger one.
    pub(super) fn named(&self, name: &IfName) -> Option<&Link> {
        let entries = (*name, LinkIndex(0))..=(*name, LinkIndex(u32::MAX));
        self.names.range(entries).next_back().and_then(|(_, index)| self.get(*index))
    }

    pub(super) fn by_name(&self) -> impl Iterator<Item = &Link> + Clone {
        self.names.iter().filter_map(|(_, index)| self.get(*index))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &IfName> {
        self.names.iter().map(|(name, _)| name)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &LinkId> {
        self.names.iter()
    }

    pub(super) fn ports_of(&self, master: LinkIndex) -> Vec<&Link> {
        let entries = (master, LinkIndex(0))..=(master, LinkIndex(u32::MAX));
        let indexes = self.ports.range(entries).map(|(_, index)| *index);
        let mut ports: Vec<_> = indexes.filter_map(|index| self.get(index)).collect();
        ports.sort_unstable_by_key(|port| port.name);
        ports
    }

    pub(super) fn count(&self) -> usize {
        self.by_index.len()
    }
}
