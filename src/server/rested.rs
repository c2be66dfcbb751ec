// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Rested`]: interfaces that were taken down a moment ago.
//!
//! `virsh iface-unbridge` takes a bridge down and then brings its port up. What the one had the other
//! gets back: routes with their metrics and tables, and peers of addresses. A lease is the same where
//! the hardware address is, and need not be asked for before: a client may use what it has until that
//! ends (RFC 2131, 3.2). And an IPv6 address that was unique a moment ago needs no search for duplicates
//! (RFC 4862), which takes a second. Later, the link may hang in another network.
//!
//! The attributes of the links themselves depend on no network. They are remembered until the link is
//! there again, its definition is removed, or the boot ends: the next daemon reads them from a file.

use std::collections::BTreeSet;
use std::time::Instant;

use log::warn;

use crate::host::Host;
use crate::host::removed::{LinkMemory, RemovedLink};
use crate::host::survey::Resting;
use crate::io::link_memory::LinkMemoryFile;
use crate::limits::{LEASE_REST_TIME_MAX, REMOVED_LINKS_MAX};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::proto::interface::InterfaceCall;
use crate::server::Server;

/// Interfaces that were taken down a moment ago, as they were.
#[derive(Debug)]
pub(crate) struct Rested {
    interfaces: Vec<(Instant, Resting)>,
    links: LinkMemory,
    file: LinkMemoryFile,
    /// What the file says.
    written: LinkMemory,
}

impl Rested {
    /// What earlier daemons of this boot have left in a file.
    pub(crate) fn new(file: LinkMemoryFile) -> Self {
        let links = file.read();
        Self { interfaces: Vec::new(), written: links.clone(), links, file }
    }

    /// Those that are remembered.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Resting> {
        self.interfaces.iter().map(|(_, resting)| resting)
    }

    /// What is remembered of the link of this name.
    pub(crate) fn link(&self, name: &IfName) -> Option<&RemovedLink> {
        self.links.removed.get(name)
    }

    /// VLANs and bonds that were there before the bridges that they are ports of.
    pub(crate) fn found(&self) -> &BTreeSet<LinkIndex> {
        &self.links.found
    }

    /// A bridge has taken in links that were there before.
    pub(crate) fn note_found(&mut self, found: Vec<LinkIndex>, host: &Host) {
        self.links.found.retain(|link| host.link(*link).is_some());
        self.links.found.extend(found);
    }

    /// Interfaces were taken down.
    pub(crate) fn push(&mut self, taken_down: Vec<Resting>, now: Instant) {
        for mut resting in taken_down {
            let links = resting.removed.drain(..).map(|link| (link.record.link.name, link));
            self.links.removed.extend(links);
            self.interfaces.push((now, resting));
        }
        let surplus = self.links.removed.len().saturating_sub(REMOVED_LINKS_MAX);
        let mut places = 0..;
        self.links.removed.retain(|_, _| places.next() >= Some(surplus));
    }

    /// Links of these names are up, and have what was theirs.
    pub(crate) fn forget(&mut self, names: &[IfName]) {
        self.interfaces.retain(|(_, resting)| !resting.is_for(names));
        self.links.removed.retain(|name, _| !names.contains(name));
    }

    /// The interface of this name is defined no more: another one of the name has nothing of it.
    pub(crate) fn forget_definition(&mut self, name: IfName) {
        self.links.removed.remove(&name);
        for link in self.links.removed.values_mut().filter(|link| link.master == Some(name)) {
            link.master = None;
        }
    }

    /// Has the next daemon know it too.
    pub(crate) fn write(&mut self) {
        if self.links == self.written {
            return;
        }
        self.written.clone_from(&self.links);
        if let Err(err) = self.file.write(&self.links) {
            warn!("what links had that were taken down is not known after a restart: {err}");
        }
    }

    /// Forgets what is too old.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.interfaces
            .retain(|(since, _)| now.saturating_duration_since(*since) < LEASE_REST_TIME_MAX);
    }
}

impl Server {
    /// An interface is up: what was taken down before it is its own now. Or it is defined no more.
    pub(super) fn note_rested(&mut self, call: &InterfaceCall) {
        if let InterfaceCall::Undefine { name } = call
            && let Ok(name) = IfName::new(name)
        {
            self.jobs.rested.forget_definition(name);
        } else if let InterfaceCall::Create { name, .. } = call
            && let Ok(name) = IfName::new(name)
        {
            let definition = self.store.definitions().named(&name);
            let mut names = definition.map(Interface::members).unwrap_or_default();
            names.push(name);
            self.jobs.rested.forget(&names);
        }
    }
}
