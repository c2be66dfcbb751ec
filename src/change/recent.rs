// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Recent`]: interfaces that were destroyed a moment ago.
//!
//! `virsh iface-unbridge` destroys a bridge and then starts its port. The port gets the bridge's
//! configuration back: routes with their metrics and tables, and peers of addresses. A lease stays
//! valid if the hardware address does, without a new request: a client may use an address until its
//! lease ends (RFC 2131, 3.2). And an IPv6 address that was unique a moment ago needs no duplicate
//! address detection (RFC 4862), which takes a second. Later, the link may be in another network.
//!
//! The attributes of the links themselves do not depend on a network. They are remembered until the
//! link exists again, its definition is removed, or the boot ends.

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

/// Interfaces that were destroyed a moment ago, in their last state.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    interfaces: Vec<(Instant, RemovedInterface)>,
    links: LinkMemory,
    /// The links that are stored for later daemons.
    written: LinkMemory,
    /// Whether `links` and `written` may differ.
    is_touched: bool,
}

impl Recent {
    /// Creates the memory with the links that earlier daemons of this boot have stored.
    pub(super) fn new(links: LinkMemory) -> Self {
        Self { interfaces: Vec::new(), written: links.clone(), links, is_touched: false }
    }

    /// Iterates over the interfaces.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &RemovedInterface> {
        self.interfaces.iter().map(|(_, removed)| removed)
    }

    /// Returns the removed link of this name.
    pub(super) fn link(&self, name: &IfName) -> Option<&RemovedLink> {
        self.links.removed.get(name)
    }

    /// Returns the VLANs and bonds that existed before the bridges whose ports they are.
    pub(super) fn found(&self) -> &BTreeSet<LinkIndex> {
        &self.links.found
    }

    /// Notes that existing links have become ports of a bridge.
    pub(super) fn note_found(&mut self, found: Vec<LinkIndex>, host: &Host) {
        self.is_touched = true;
        self.links.found.retain(|link| host.link(*link).is_some());
        self.links.found.extend(found);
    }

    /// Adds destroyed interfaces.
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

    /// Notes a completed call. An interface that is up has got its configuration back; one that is
    /// undefined leaves none to another of its name.
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

    /// Returns whether there may be links to be stored.
    pub(super) fn may_be_unwritten(&self) -> bool {
        self.is_touched
    }

    /// Returns the links to be stored for later daemons, if they have changed.
    pub(super) fn take_unwritten(&mut self) -> Option<LinkMemory> {
        self.is_touched = false;
        if self.links == self.written {
            return None;
        }
        self.written.clone_from(&self.links);
        Some(self.links.clone())
    }

    /// Removes interfaces that are too old.
    pub(super) fn handle_time(&mut self, now: Instant) {
        self.interfaces
            .retain(|(since, _)| now.saturating_duration_since(*since) < LEASE_REST_TIME_MAX);
    }

    /// Removes links of these names, which are up and have their configuration back.
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
