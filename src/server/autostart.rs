// SPDX-License-Identifier: LGPL-2.1-or-later
//! Interfaces that come up without anybody asking: `onboot` once a boot, `hotplug` as soon as the
//! kernel has a device of theirs.
//!
//! Such an interface comes up as far as it can, and what it lacks is added when that appears: a port,
//! a parent, the lease of a DHCP server that was late. Nobody waits for a lease here, as the client
//! goes on asking. The kernel's news say when there is something to add; what the kernel has refused
//! is tried again after a pause that grows.
//!
//! A marker below the run directory ([`BootMarker`]) remembers for which boot the first is done and
//! which interfaces are not complete, so that a daemon that is started again disturbs nothing and
//! goes on with the rest.

use std::collections::BTreeSet;
use std::time::Instant;

use log::{debug, warn};

use crate::change::job::Job;
use crate::definitions::{Definitions, Entry};
use crate::error::{CallError, HostError};
use crate::host::Host;
use crate::host::survey::Survey;
use crate::io::boot_marker::{BootMarker, Incomplete, Standing};
use crate::model::interface::{Interface, Kind, StartMode};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::LinkIndex;
use crate::plan;
use crate::plan::bring_up::{self, Partial, Round};
use crate::plan::losses;
use crate::proto::Reply;
use crate::proto::interface::InterfaceCall;
use crate::server::Server;
use crate::server::inquiries::WithSurvey;
use crate::server::owed::Owed;
use crate::server::request::{Origin, Request};
use crate::server::running::Running;

/// What is known of interfaces that come up by themselves.
#[derive(Debug)]
pub(crate) struct Autostart {
    /// `None` for a daemon that brings nothing up by itself.
    marker: Option<BootMarker>,
    /// The interfaces that are not complete yet.
    owed: SortedMap<IfName, Owed>,
    /// Those of the boot for which no attempt has been made.
    untried: BTreeSet<IfName>,
    /// Whether those of the boot have been asked for.
    has_begun: bool,
    /// The links that were there when last looked, in order.
    present: Vec<(IfName, LinkIndex)>,
}

impl Autostart {
    pub(crate) fn new(marker: Option<BootMarker>) -> Self {
        Self {
            marker,
            owed: SortedMap::default(),
            untried: BTreeSet::new(),
            has_begun: false,
            present: Vec::new(),
        }
    }

    /// Whether anything is still to come up.
    pub(super) fn is_waiting(&self) -> bool {
        !self.owed.is_empty()
    }

    /// When something refused is to be tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.owed.values().filter_map(Owed::deadline).min()
    }

    /// The open change is rolled back: what came up in it is not to come up once more.
    pub(super) fn note_rolled_back(&mut self) {
        self.owed.retain(|_, owed| !owed.is_in_change);
        self.mark();
    }

    /// The open change is kept.
    pub(super) fn note_committed(&mut self) {
        self.owed.values_mut().for_each(|owed| owed.is_in_change = false);
    }

    /// An interface is complete, or an administrator has decided about it.
    fn let_go(&mut self, name: &IfName) {
        if self.owed.remove(name).is_some() {
            self.untried.remove(name);
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

    /// Notes what is not complete, once an attempt has been made for everything of the boot: a daemon
    /// that is stopped before leaves it all to the next one.
    fn mark(&mut self) {
        let Some(marker) = &mut self.marker else { return };
        if !self.has_begun || !self.untried.is_empty() {
            return;
        }
        let incomplete = self.owed.iter().map(|(name, owed)| {
            let (start, standing) = (owed.start, owed.standing());
            Incomplete { name: *name, start, standing }
        });
        if let Err(err) = marker.write(incomplete) {
            warn!("cannot note which interfaces have been brought up in this boot: {err}");
        }
    }
}

impl Server {
    /// Asks for what is to come up at boot, if this is the first daemon since then, or else for what an
    /// earlier one could not complete.
    pub(super) fn start_for_boot(&mut self) {
        self.autostart.appeared(&self.host);
        let Some(marker) = &self.autostart.marker else { return };
        self.autostart.has_begun = true;
        if let Some(incomplete) = marker.read() {
            debug!("the interfaces of this boot have been brought up before");
            for Incomplete { name, start, standing } in incomplete {
                self.owe(name, Owed::new(start, standing, "incomplete since boot"));
            }
            return;
        }
        let names = in_order(self.store.definitions(), &self.host);
        self.autostart.untried = names.iter().map(|(name, _)| *name).collect();
        for (name, start) in names {
            self.owe(name, Owed::new(start, Standing::Down, "at boot"));
        }
        self.autostart.mark();
    }

    /// Asks for what is to come up as its device has appeared, and for what can be completed now. What
    /// was there before counts as there at boot.
    pub(super) fn bring_up_by_news(&mut self, now: Instant) {
        if self.autostart.marker.is_none() || !self.phase.lets_clients_in() {
            return;
        }
        let new = self.autostart.appeared(&self.host);
        if !new.is_empty() {
            self.store.drain();
            let definitions = self.store.definitions().iter().filter(|it| is_hotplugged(it));
            let is_new = |it: &&Interface| triggers(it).iter().any(|device| new.contains(device));
            let names: Vec<_> = definitions.filter(is_new).map(|it| it.name).collect();
            for name in names {
                let why = "its device has appeared";
                self.owe(name, Owed::new(StartMode::Hotplug, Standing::Down, why));
            }
        }
        self.bring_up_due(now);
    }

    /// Asks for what can be completed now.
    pub(super) fn bring_up_due(&mut self, now: Instant) {
        if !self.phase.lets_clients_in() {
            return;
        }
        let is_due = |(name, owed): &(&IfName, &mut Owed)| owed.is_due(name, &self.host, now);
        let due: Vec<_> = self.autostart.owed.iter_mut().filter(is_due).collect();
        for (name, owed) in due {
            owed.is_asked = true;
            self.jobs.push(request(*name, owed.why));
        }
    }

    /// Asks for an attempt, unless one waits already. What is known of an earlier one stays known.
    fn owe(&mut self, name: IfName, owed: Owed) {
        let why = owed.why;
        match self.autostart.owed.get_mut(&name) {
            Some(known) if known.is_asked => return,
            Some(known) => known.is_asked = true,
            None => drop(self.autostart.owed.insert(name, owed)),
        }
        self.jobs.push(request(name, why));
    }

    /// Brings up as much of an interface as can be: asks first what must be known of its links.
    pub(super) fn begin_bringing_up(&mut self, request: Request, name: IfName) {
        if let Some((definition, _)) = self.still_owed(&name) {
            let order = plan::survey_order(name, Some(&definition));
            self.ask_for_survey(order, WithSurvey::BringUp(request, name));
        }
    }

    /// The definition of an interface that is to come up by itself, and what its file says; nothing if the
    /// daemon's interest in it has ended.
    fn still_owed(&mut self, name: &IfName) -> Option<(Interface, Option<Vec<u8>>)> {
        let definitions = self.store.definitions();
        let definition = definitions.named(name).cloned();
        let file = definitions.entry(name).and_then(Entry::bytes).map(<[u8]>::to_vec);
        let owed = self.autostart.owed.get(name)?;
        let ended = owed.is_ended_by(definition.as_ref(), file.as_deref(), name, &self.host);
        if let Some(reason) = ended {
            warn!("{name} is not brought up any further: {reason}");
            self.autostart.let_go(name);
            return None;
        }
        Some((definition?, file))
    }

    /// Goes on with what is known of its links.
    pub(super) fn go_on_bringing_up(
        &mut self,
        request: Request,
        name: IfName,
        survey: Result<Survey, HostError>,
        now: Instant,
    ) {
        let Some((definition, file)) = self.still_owed(&name) else { return };
        let planned = survey.map_err(CallError::from);
        let partial = match planned.and_then(|survey| self.plan_part(&definition, &survey)) {
            Ok(partial) => partial,
            Err(err) => {
                if let Some(owed) = self.autostart.owed.get_mut(&name) {
                    owed.note_unplanned();
                }
                return self.note_attempt(&name, vec![err.message().to_owned()], now);
            }
        };
        if let Some(owed) = self.autostart.owed.get_mut(&name) {
            owed.note_planned(file.as_deref(), &partial);
            owed.is_in_change |= self.change.open.open().is_some();
        }
        let Partial { plan, .. } = partial;
        if plan.steps.is_empty() {
            return self.note_attempt(&name, Vec::new(), now);
        }
        debug!("{name} is to come up by itself; the plan:\n{plan}");
        plan.left.iter().for_each(|left| warn!("{left}"));
        let changes_network = plan.changes_network();
        let (discarded, found) = (plan.discarded.clone(), plan.taken_in(&name, &self.host));
        let running = Running::by_itself(request, Job::lenient(plan), discarded);
        let running = Running { found, ..running };
        self.set_out(running, changes_network, now);
    }

    fn plan_part(&mut self, definition: &Interface, survey: &Survey) -> Result<Partial, CallError> {
        let owed = self.autostart.owed.get(&definition.name);
        let round = owed.map_or(Round::Later, |owed| owed.round(&definition.name, &self.host));
        let partial = bring_up::bring_up_available(definition, &self.host, survey, round)?;
        if !partial.plan.steps.is_empty() {
            let losses = losses::losses(definition, survey)?;
            // Who else manages its links was said when the daemon started.
            self.check_claims(&plan::claims(definition, &self.host, survey))?;
            losses.iter().for_each(|loss| warn!("{loss}"));
        }
        Ok(partial)
    }

    /// An attempt is over.
    pub(super) fn conclude_bringing_up(&mut self, request: &Request, job: &Job, now: Instant) {
        let InterfaceCall::Create { name, .. } = &request.call else { return };
        let Ok(name) = IfName::new(name) else { return };
        // The daemon that comes next is to try again what this one had no time for.
        if !self.is_stopping() {
            let refused = job.refused().iter().map(|(step, err)| format!("{step}: {err}"));
            self.note_attempt(&name, refused.collect(), now);
        }
    }

    pub(super) fn note_attempt(&mut self, name: &IfName, refused: Vec<String>, now: Instant) {
        let Autostart { owed, untried, .. } = &mut self.autostart;
        let Some(owed) = owed.get_mut(name) else { return };
        untried.remove(name);
        let attempt = owed.note_attempt(name, refused, &self.host, now);
        if let Some(news) = attempt.news {
            warn!("{news}");
        }
        if attempt.is_complete {
            self.autostart.let_go(name);
        } else {
            self.autostart.mark();
            // It may have come meanwhile.
            self.bring_up_due(now);
        }
    }

    /// Hears what a client has changed: an interface that it has started, destroyed or undefined is its
    /// affair from now on.
    pub(super) fn heed_client(&mut self, call: &InterfaceCall, outcome: &Result<Reply, CallError>) {
        if let (
            InterfaceCall::Create { name, .. }
            | InterfaceCall::Destroy { name, .. }
            | InterfaceCall::Undefine { name },
            Ok(_),
        ) = (call, outcome)
            && let Ok(name) = IfName::new(name)
        {
            self.autostart.let_go(&name);
        }
    }
}

fn request(name: IfName, why: &'static str) -> Request {
    let call = InterfaceCall::Create { name: name.to_string(), flags: 0 };
    Request { origin: Origin::Daemon(why), call }
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
        // Of those that wait for each other, one as good as the other comes first.
        let (ready, rest) = if ready.is_empty() { (rest, Vec::new()) } else { (ready, rest) };
        names.extend(ready.iter().map(|it| (it.name, it.start.unwrap_or(StartMode::None))));
        waiting = rest;
    }
    names
}
