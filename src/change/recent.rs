// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Recent`]: interfaces that were taken down a moment ago.
//!
//! `virsh iface-unbridge` takes a bridge down and then brings its port up. What the one had the other
//! gets back: routes with their metrics and tables, and peers of addresses. A lease is the same where
//! the hardware address is, and need not be asked for before: a client may use what it has until that
//! ends (RFC 2131, 3.2). And an IPv6 address that was unique a moment ago needs no search for duplicates
//! (RFC 4862), which takes a second. Later, the link may hang in another network.
//!
//! The attributes of the links themselves depend on no network. They are remembered until the link is
//! there again, its definition is removed, or the boot ends.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::change::request::RequestedCall;
use crate::definitions::Definitions;
use crate::host::Host;
use crate::host::removed::{LinkMemory, RemovedLink};
use crate::host::survey::RemovedInterface;
use crate::limits::{LEASE_REST_TIME_MAX, REMOVED_LINKS_MAX};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::proto::interface::ChangeCall;

/// Interfaces that were taken down a moment ago, as they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    interfaces: Vec<(Instant, RemovedInterface)>,
    links: LinkMemory,
    /// What the next daemon knows.
    written: LinkMemory,
    /// They may differ.
    is_touched: bool,
}

impl Recent {
    /// What earlier daemons of this boot have left.
    pub(super) fn new(links: LinkMemory) -> Self {
        Self { interfaces: Vec::new(), written: links.clone(), links, is_touched: false }
    }

    /// Those that are remembered.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &RemovedInterface> {
        self.interfaces.iter().map(|(_, removed)| removed)
    }

    /// What is remembered of the link of this name.
    pub(super) fn link(&self, name: &IfName) -> Option<&RemovedLink> {
        self.links.removed.get(name)
    }

    /// VLANs and bonds that were there before the bridges that they are ports of.
    pub(super) fn found(&self) -> &BTreeSet<LinkIndex> {
        &self.links.found
    }

    /// A bridge has taken in links that were there before.
    pub(super) fn note_found(&mut self, found: Vec<LinkIndex>, host: &Host) {
        self.is_touched = true;
        self.links.found.retain(|link| host.link(*link).is_some());
        self.links.found.extend(found);
    }

    /// Interfaces were taken down.
    pub(super) fn push(&mut self, taken_down: Vec<RemovedInterface>, now: Instant) {
        self.is_touched = true;
        for mut removed in taken_down {
            let links = removed.links.drain(..).map(|link| (link.record.link.name, link));
            self.links.removed.extend(links);
            self.interfaces.push((now, removed));
        }
        let surplus = self.links.removed.len().saturating_sub(REMOVED_LINKS_MAX);
        let mut places = 0..;
        self.links.removed.retain(|_, _| places.next() >= Some(surplus));
    }

    /// A call has been carried out. An interface that is up has what was taken down before it; one that
    /// is defined no more leaves nothing to another of its name.
    pub(super) fn note_done(&mut self, call: &RequestedCall, definitions: &Definitions) {
        let RequestedCall::Change(call) = call else { return };
        let (ChangeCall::Undefine { name } | ChangeCall::Create { name, .. }) = call else {
            return;
        };
        let Ok(name) = IfName::new(name) else { return };
        if matches!(call, ChangeCall::Undefine { .. }) {
            self.forget_definition(name);
        } else {
            let definition = definitions.named(&name);
            let mut names = definition.map(Interface::members).unwrap_or_default();
            names.push(name);
            self.forget(&names);
        }
    }

    /// Whether the next daemon may have more to know.
    pub(super) fn may_be_unwritten(&self) -> bool {
        self.is_touched
    }

    /// What the next daemon is to know, if that has changed.
    pub(super) fn take_unwritten(&mut self) -> Option<LinkMemory> {
        self.is_touched = false;
        if self.links == self.written {
            return None;
        }
        self.written.clone_from(&self.links);
        Some(self.links.clone())
    }

    /// Forgets what is too old.
    pub(super) fn handle_time(&mut self, now: Instant) {
        self.interfaces
            .retain(|(since, _)| now.saturating_duration_since(*since) < LEASE_REST_TIME_MAX);
    }

    /// Links of these names are up, and have what was theirs.
    fn forget(&mut self, names: &[IfName]) {
        self.is_touched = true;
        self.interfaces.retain(|(_, removed)| !removed.is_for(names));
        self.links.removed.retain(|name, _| !names.contains(name));
    }

    fn forget_definition(&mut self, name: IfName) {
        self.is_touched = true;
        self.links.removed.remove(&name);
        for link in self.links.removed.values_mut().filter(|link| link.master == Some(name)) {
            link.master = None;
        }
    }
}
