// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Autostart`]: brings interfaces up automatically: `onboot` once in a boot, `hotplug` when their
//! device appears.
//!
//! Such an interface comes up as far as possible, and missing parts are added when they appear: a
//! port, a parent, a late DHCP lease. No start waits for a lease, as the client keeps asking.
//! Kernel events show when a part can be added; steps that the kernel refused are tried again after
//! a growing pause.
//!
//! A marker file below the run directory states that the boot's starts are done, and lists the
//! interfaces that are not complete. So a restarted daemon does not disturb complete interfaces,
//! and continues with the others.

use std::collections::BTreeSet;
use std::time::Instant;

use log::{debug, warn};

use crate::change::action::Context;
use crate::change::owed::{Incomplete, Owed, Standing};
use crate::change::request::{Origin, Request, RequestedCall};
use crate::definitions::Definitions;
use crate::host::{Host, LinkId, LinkNews};
use crate::model::interface::{Interface, Kind, StartMode};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::plan::bring_up::{BringUpExtent, PartialPlan};
use crate::proto::interface::ChangeCall;

/// The interfaces that come up automatically.
#[derive(Clone, Debug, Default)]
pub(super) struct Autostart {
    /// The interfaces that are not complete yet.
    owed: SortedMap<IfName, Owed>,
    /// The boot's interfaces that have not been tried yet.
    untried: BTreeSet<IfName>,
    /// Whether the boot's interfaces have been requested.
    has_begun: bool,
    /// The daemon is stopping, so no interface is started any more.
    is_stopping: bool,
    /// The existing links at the last check.
    present: BTreeSet<LinkId>,
    /// Requests to be queued.
    requests: Vec<Request>,
    /// The incomplete interfaces to be written to the marker.
    unmarked: Option<Vec<Incomplete>>,
}

impl Autostart {
    /// Returns whether an interface is still to come up.
    pub(super) fn is_waiting(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Returns when a refused interface is to be tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.owed.values().filter_map(Owed::deadline).min()
    }

    /// Takes the requests to be queued.
    pub(super) fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// Returns whether the incomplete interfaces have changed.
    pub(super) fn has_unmarked(&self) -> bool {
        self.unmarked.is_some()
    }

    /// Takes the incomplete interfaces to be written to the marker, if they have changed.
    pub(super) fn take_unmarked(&mut self) -> Option<Vec<Incomplete>> {
        self.unmarked.take()
    }

    /// Notes that the transaction is rolled back: interfaces that came up in it are not started
    /// again.
    pub(super) fn note_rolled_back(&mut self) {
        self.owed.retain(|_, owed| !owed.is_in_change);
        self.mark();
    }

    /// Notes that the transaction is committed.
    pub(super) fn note_committed(&mut self) {
        self.owed.values_mut().for_each(|owed| owed.is_in_change = false);
    }

    /// Requests the interfaces to be started at boot, if no daemon of this boot has done so (there
    /// is no marker), or else those that an earlier daemon could not complete.
    pub(super) fn begin(&mut self, marker: Option<Vec<Incomplete>>, context: &Context<'_>) {
        self.present = context.host.link_ids().copied().collect();
        self.has_begun = true;
        if let Some(incomplete) = marker {
            debug!("the interfaces were already brought up in this boot");
            for Incomplete { name, start, standing } in incomplete {
                self.owe(name, Owed::new(start, standing, "incomplete since boot"));
            }
            return;
        }
        let names = in_order(context.definitions, context.host);
        self.untried = names.iter().map(|(name, _)| *name).collect();
        for (name, start) in names {
            self.owe(name, Owed::new(start, Standing::Down, "at boot"));
        }
        self.mark();
    }

    /// Requests interfaces whose device has appeared, and those that can be completed now. Devices
    /// that were present at the start count for the boot's interfaces.
    pub(super) fn handle_news(&mut self, news: &[LinkNews], context: &Context<'_>) {
        if !self.has_begun || self.is_stopping {
            return;
        }
        let new = self.appeared(news, context.host);
        if !new.is_empty() {
            let definitions = context.definitions.iter().filter(|it| is_hotplugged(it));
            let is_new = |it: &&Interface| triggers(it).iter().any(|device| new.contains(device));
            let names: Vec<_> = definitions.filter(is_new).map(|it| it.name).collect();
            for name in names {
                let why = "its device has appeared";
                self.owe(name, Owed::new(StartMode::Hotplug, Standing::Down, why));
            }
        }
        self.handle_time(context);
    }

    /// Requests the interfaces that can be completed now.
    pub(super) fn handle_time(&mut self, context: &Context<'_>) {
        if !self.has_begun || self.is_stopping {
            return;
        }
        let now = context.now.instant;
        let is_due = |(name, owed): &(&IfName, &mut Owed)| owed.is_due(name, context.host, now);
        for (name, owed) in self.owed.iter_mut().filter(is_due) {
            owed.is_asked = true;
            self.requests.push(request(*name, owed.why));
        }
    }

    /// Ends all automatic starts.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// The definition of an interface to be tried; nothing if the daemon no longer completes it.
    pub(super) fn still_owed(&mut self, name: &IfName, context: &Context<'_>) -> Option<Interface> {
        let definition = context.definitions.named(name).cloned();
        let owed = self.owed.get(name)?;
        let ended = owed.is_ended_by(definition.as_ref(), name, context.host);
        if let Some(reason) = ended {
            warn!("giving up on bringing {name} up: {reason}");
            self.let_go(name);
            return None;
        }
        definition
    }

    /// Returns how much of its definition the next try applies.
    pub(super) fn round(&self, name: &IfName, host: &Host) -> BringUpExtent {
        self.owed.get(name).map_or(BringUpExtent::Later, |owed| owed.round(name, host))
    }

    /// Notes that a try to apply this definition is planned, perhaps within a transaction.
    pub(super) fn note_planned(
        &mut self,
        definition: &Interface,
        partial: &PartialPlan,
        is_in_transaction: bool,
    ) {
        if let Some(owed) = self.owed.get_mut(&definition.name) {
            owed.note_planned(definition, partial);
            owed.is_in_change |= is_in_transaction;
        }
    }

    /// Notes that a try cannot be planned.
    pub(super) fn note_unplanned(&mut self, name: &IfName) {
        if let Some(owed) = self.owed.get_mut(name) {
            owed.note_unplanned();
        }
    }

    /// Notes that a try has ended, with these refusals.
    pub(super) fn note_attempt(
        &mut self,
        name: &IfName,
        refused: Vec<String>,
        context: &Context<'_>,
    ) {
        let Some(owed) = self.owed.get_mut(name) else { return };
        self.untried.remove(name);
        let attempt = owed.note_attempt(name, refused, context.host, context.now.instant);
        if let Some(news) = attempt.news {
            warn!("{news}");
        }
        if attempt.is_complete {
            self.let_go(name);
        } else {
            self.mark();
            // A missing object may have appeared meanwhile.
            self.handle_time(context);
        }
    }

    /// Notes a client's call: an interface that a client has started, destroyed or undefined is no
    /// longer brought up automatically.
    pub(super) fn note_call(&mut self, call: &RequestedCall) {
        let RequestedCall::Change(
            ChangeCall::Create { name, .. }
            | ChangeCall::Destroy { name, .. }
            | ChangeCall::Undefine { name },
        ) = call
        else {
            return;
        };
        if let Ok(name) = IfName::new(name) {
            self.let_go(&name);
        }
    }

    /// Drops an interface that is complete, or that an administrator has decided about.
    fn let_go(&mut self, name: &IfName) {
        if self.owed.remove(name).is_some() {
            self.untried.remove(name);
            self.mark();
        }
    }

    /// Requests a try, unless one is queued. The results of an earlier try are kept.
    fn owe(&mut self, name: IfName, owed: Owed) {
        let why = owed.why;
        match self.owed.get_mut(&name) {
            Some(known) if known.is_asked => return,
            Some(known) => known.is_asked = true,
            None => drop(self.owed.insert(name, owed)),
        }
        self.requests.push(request(name, why));
    }

    /// Returns the names of the links that have appeared by these events, and exist.
    fn appeared(&mut self, news: &[LinkNews], host: &Host) -> BTreeSet<IfName> {
        let is_there = |id: &LinkId| host.link(id.1).is_some_and(|link| link.name == id.0);
        let mut names = BTreeSet::new();
        for news in news {
            match news {
                LinkNews::Left(id) => drop(self.present.remove(id)),
                LinkNews::Came(id) if !self.present.insert(*id) => {}
                LinkNews::Came(id) => names.extend(is_there(id).then_some(id.0)),
            }
        }
        // Links that were removed before a dump are not among the events.
        if self.present.len() > host.link_count() {
            self.present.retain(is_there);
        }
        names
    }

    /// Updates the marker, once each of the boot's interfaces has been tried. A daemon that stops
    /// before that leaves all of them to the next one.
    fn mark(&mut self) {
        if self.has_begun && self.untried.is_empty() {
            let incomplete = self.owed.iter().map(|(name, owed)| {
                let (start, standing) = (owed.start, owed.standing());
                Incomplete { name: *name, start, standing }
            });
            self.unmarked = Some(incomplete.collect());
        }
    }
}

fn request(name: IfName, why: &'static str) -> Request {
    let call = ChangeCall::Create { name: name.to_string(), flags: 0 };
    Request { origin: Origin::Daemon(why), call: call.into() }
}

fn is_hotplugged(interface: &Interface) -> bool {
    interface.start == Some(StartMode::Hotplug)
}

/// Returns the devices that start a definition when they appear.
fn triggers(interface: &Interface) -> Vec<IfName> {
    match &interface.kind {
        Kind::Ethernet(_) => vec![interface.name],
        Kind::Vlan(vlan) => vec![vlan.parent],
        Kind::Bridge(_) | Kind::Bond(_) => interface.members(),
    }
}

/// Returns the interfaces to be started at boot, each VLAN after its parent. An interface within
/// another definition is started with that; it has a definition of its own only after a mishap.
fn in_order(definitions: &Definitions, host: &Host) -> Vec<(IfName, StartMode)> {
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
        // Of interfaces that wait for each other, any one may come first.
        let (ready, rest) = if ready.is_empty() { (rest, Vec::new()) } else { (ready, rest) };
        names.extend(ready.iter().map(|it| (it.name, it.start.unwrap_or(StartMode::None))));
        waiting = rest;
    }
    names
}
