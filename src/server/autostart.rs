// SPDX-License-Identifier: LGPL-2.1-or-later
//! Interfaces that come up without anybody asking: `onboot` once a boot, `hotplug` as soon as the
//! kernel has a device of theirs.
//!
//! A marker below the run directory remembers for which boot the first is done, so that a daemon
//! that is started again disturbs nothing. Whatever comes up does so as a change like any other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use log::{debug, warn};

use crate::definitions::Definitions;
use crate::host::Host;
use crate::io::{boot, files};
use crate::model::interface::{Interface, Kind, StartMode};
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::proto::interface::InterfaceCall;
use crate::server::Server;
use crate::server::jobs::{Origin, Request};

/// A marker is a boot's id.
const MARKER_LEN_MAX: u64 = 64;

/// What is known of interfaces that come up by themselves.
#[derive(Debug)]
pub(crate) struct Autostart {
    /// `None` for a daemon that brings nothing up by itself.
    marker: Option<PathBuf>,
    /// Interfaces of the boot that are not up yet, nor given up.
    owed: BTreeSet<IfName>,
    /// The links that were there when last looked, in order.
    present: Vec<(IfName, LinkIndex)>,
}

impl Autostart {
    pub(crate) fn new(marker: Option<PathBuf>) -> Self {
        Self { marker, owed: BTreeSet::new(), present: Vec::new() }
    }

    /// An interface has come up, or cannot. After the last one the boot's are done.
    pub(crate) fn note_done(&mut self, name: &str) {
        let was_owed = IfName::new(name).is_ok_and(|name| self.owed.remove(&name));
        if was_owed && self.owed.is_empty() {
            self.mark();
        }
    }

    /// The names of the links that have appeared since it was last asked, whoever defines them.
    fn appeared(&mut self, host: &Host) -> BTreeSet<IfName> {
        if host.link_ids().eq(&self.present) {
            return BTreeSet::new();
        }
        let now = host.link_ids().copied().collect();
        let old = std::mem::replace(&mut self.present, now);
        let is_new = |id: &&(IfName, LinkIndex)| old.binary_search(id).is_err();
        self.present.iter().filter(is_new).map(|(name, _)| *name).collect()
    }

    fn mark(&self) {
        let Some(marker) = &self.marker else { return };
        if let Err(err) = fs::write(marker, boot::id()) {
            warn!("cannot write {}: {err}", marker.display());
        }
    }
}

impl Server {
    /// Asks for what is to come up at boot, if this is the first daemon since then.
    pub(super) fn start_for_boot(&mut self) {
        self.autostart.appeared(&self.host);
        let Some(marker) = &self.autostart.marker else { return };
        if is_marked(marker) {
            debug!("the interfaces of this boot have been brought up before");
            return;
        }
        let names = in_order(self.store.definitions(), &self.host);
        self.autostart.owed = names.iter().copied().collect();
        if names.is_empty() {
            self.autostart.mark();
        }
        for name in names {
            self.start_by_itself(name, "at boot");
        }
    }

    /// Asks for what is to come up as its device has appeared. What was there before counts as there
    /// at boot.
    pub(super) fn start_hotplugged(&mut self) {
        if self.autostart.marker.is_none() || !self.phase.lets_clients_in() {
            return;
        }
        let new = self.autostart.appeared(&self.host);
        if new.is_empty() {
            return;
        }
        self.store.drain();
        let definitions = self.store.definitions().iter().filter(|it| is_hotplugged(it));
        let is_new = |it: &&Interface| triggers(it).iter().any(|device| new.contains(device));
        let names: Vec<_> = definitions.filter(is_new).map(|it| it.name).collect();
        for name in names {
            self.start_by_itself(name, "its device has appeared");
        }
    }

    fn start_by_itself(&mut self, name: IfName, why: &'static str) {
        let call = InterfaceCall::Create { name: name.to_string(), flags: 0 };
        self.jobs.push(Request { origin: Origin::Daemon(why), call });
    }
}

fn is_hotplugged(interface: &Interface) -> bool {
    interface.start == Some(StartMode::Hotplug)
}

/// The devices that bring a definition up when they appear.
fn triggers(interface: &Interface) -> Vec<IfName> {
    match &interface.kind {
        Kind::Ethernet(_) => vec![interface.name],
        Kind::Vlan(vlan) => vec![vlan.parent],
        Kind::Bridge(_) | Kind::Bond(_) => interface.members(),
    }
}

/// What is to come up at boot: a VLAN after what it is over. What is a part of another definition
/// comes up with that, and has one of its own only after a mishap.
fn in_order(definitions: &Definitions, host: &Host) -> Vec<IfName> {
    let comes_up = |it: &&Interface| match it.start {
        Some(StartMode::Onboot) => true,
        Some(StartMode::Hotplug) => {
            triggers(it).iter().any(|device| host.link_named(device).is_some())
        }
        Some(StartMode::None) | None => false,
    };
    let parts: BTreeSet<_> = definitions.iter().flat_map(Interface::members).collect();
    let waiting = definitions.iter().filter(|it| comes_up(it) && !parts.contains(&it.name));
    let mut waiting: Vec<_> = waiting.collect();
    let mut names = Vec::new();
    while !waiting.is_empty() {
        let waited_for: BTreeSet<_> = waiting.iter().map(|it| it.name).collect();
        let (ready, rest): (Vec<_>, Vec<_>) = waiting
            .iter()
            .copied()
            .partition(|it| it.parents().iter().all(|parent| !waited_for.contains(parent)));
        // Of those that wait for each other, one as good as the other comes first.
        let (ready, rest) = if ready.is_empty() { (rest, Vec::new()) } else { (ready, rest) };
        names.extend(ready.iter().map(|it| it.name));
        waiting = rest;
    }
    names
}

/// Whether the marker is of this boot. Where nobody knows which that is, the run directory alone tells
/// one from another.
fn is_marked(marker: &Path) -> bool {
    files::read_text(marker, MARKER_LEN_MAX).is_ok_and(|text| text.trim_end() == boot::id())
}
