// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Links`]: the kernel's links, found by index and by name.
//!
//! Knows no addresses. Each link is in the map and, as a pair of its name there and its index, in
//! the set of names. While events older than a dump are replayed, two links may share a name; with
//! pairs, neither can replace or remove the other's entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkIndex};

/// All links of the host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Links {
    by_index: BTreeMap<LinkIndex, Link>,
    names: BTreeSet<(IfName, LinkIndex)>,
}

impl Links {
    /// Adds `link`, or replaces the known one with the same index.
    pub(super) fn insert(&mut self, link: Link) {
        let (index, name) = (link.index, link.name);
        if let Some(old) = self.by_index.insert(index, link) {
            self.names.remove(&(old.name, index));
        }
        self.names.insert((name, index));
    }

    pub(super) fn remove(&mut self, index: LinkIndex) {
        if let Some(old) = self.by_index.remove(&index) {
            self.names.remove(&(old.name, index));
        }
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

    pub(super) fn ids(&self) -> impl Iterator<Item = &(IfName, LinkIndex)> {
        self.names.iter()
    }

    pub(super) fn ports_of(&self, master: LinkIndex) -> Vec<&Link> {
        let is_port = |link: &&Link| link.master == Some(master);
        let mut ports: Vec<_> = self.by_index.values().filter(is_port).collect();
        ports.sort_unstable_by_key(|port| port.name);
        ports
    }

    pub(super) fn count(&self) -> usize {
        self.by_index.len()
    }
}
