// SPDX-License-Identifier: LGPL-2.1-or-later
//! What becomes of an open change that is not committed: what a daemon does with what an earlier one
//! has left ([`resume`]), and the way back, round by round ([`Rollback`]).
//!
//! Knows no file, no kernel and no clock: who drives it tells what there is, and what time it is. A
//! rollback compares what is with what was, has done what leads back, and compares again: the kernel
//! may have done something of its own accord on the way. It is over when there is nothing left to do,
//! or when a round would only do what two before it have tried.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::host::record::{HostRecord, Recorded};
use crate::job::StepError;
use crate::limits::ROLLBACK_ROUNDS_MAX;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::Plan;
use crate::plan::restore::{self, Ground, Loss};
use crate::plan::step::Step;
use crate::snapshot::{Files, Moment, Network, Opening, Snapshot};

/// What an earlier daemon has left, as far as it can be read.
#[derive(Debug, Default)]
pub struct Found {
    /// Of a change whose rollback has begun.
    pub rollback: Option<Snapshot>,
    pub change: Option<Snapshot>,
    /// Of a job that was under way.
    pub journal: Option<Snapshot>,
}

/// How much of that is to be seen to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovery {
    /// Everything.
    Whole,
    /// A change that must not stay open; one that may is left to the daemon.
    StaleAlone,
}

/// What is to become of it.
#[derive(Debug, Eq, PartialEq)]
pub enum Resumption {
    /// No change is open. A journal without one is worth nothing.
    Nothing,
    /// The change stays open.
    Open(Opening),
    /// The change stays open, and goes back to before the job that was interrupted.
    UndoJob { opening: Opening, journal: Box<Snapshot> },
    /// The change is rolled back: back to the beginning is back from the middle of a job, too.
    RollBack(Opening),
}

/// Decides what becomes of what an earlier daemon has left.
pub fn resume(found: Found, recovery: Recovery, now: &Moment) -> Resumption {
    let Found { rollback, change, journal } = found;
    if let Some(Snapshot { opening, .. }) = rollback {
        return Resumption::RollBack(opening);
    }
    let Some(Snapshot { opening, .. }) = change else { return Resumption::Nothing };
    if opening.is_stale(now) {
        return Resumption::RollBack(opening);
    }
    match journal.filter(|_| recovery == Recovery::Whole) {
        Some(journal) => Resumption::UndoJob { opening, journal: Box::new(journal) },
        None => Resumption::Open(opening),
    }
}

/// A way back, under way.
#[derive(Clone, Debug)]
pub struct Rollback {
    snapshot: Box<Snapshot>,
    /// How many have been planned.
    round: u32,
    /// What the last round was to do, in words, and how often that was tried again: what is refused
    /// twice will be refused again.
    steps: String,
    repeats: u32,
    /// The whole host, as far as is known.
    now: HostRecord,
    /// Whose state may have changed since the first round.
    touched: BTreeSet<IfName>,
    lost: Vec<Loss>,
}

/// What must be known of the network for the next round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope<'a> {
    /// Nothing: what ran has gone with its boot, or was none of ours.
    Nothing,
    Host,
    Links(&'a BTreeSet<IfName>),
}

/// What there is.
#[derive(Debug, Default)]
pub struct Here {
    pub files: Files,
    /// What was asked for ([`Rollback::scope`]).
    pub record: HostRecord,
    /// The DHCP clients that we run.
    pub leases: Vec<Lease>,
    /// How long ago it was as it shall be.
    pub elapsed: Duration,
}

/// What is to be done next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// As much of this as can be; then there is another round.
    Do(Plan),
    /// Nothing: all is as it was.
    Arrive,
    /// Nothing: something is not as it was, and will not be, as this says.
    GiveUp(String),
}

impl Rollback {
    /// The way to what a snapshot has.
    pub fn new(mut snapshot: Snapshot, now: &Moment) -> Self {
        if !snapshot.opening.is_of_boot(now) {
            // What ran has gone with its boot.
            snapshot.network = None;
        }
        let (steps, touched) = (String::new(), BTreeSet::new());
        let (now, lost) = (HostRecord::default(), Vec::new());
        Self { snapshot: Box::new(snapshot), round: 0, steps, repeats: 0, now, touched, lost }
    }

    /// Where it leads.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How many rounds have been planned.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// What must be known of the network for the next round: at first of all links, then of those
    /// that have been touched.
    pub fn scope(&self) -> Scope<'_> {
        match (&self.snapshot.network, self.round) {
            (None, _) => Scope::Nothing,
            (Some(_), 0) => Scope::Host,
            (Some(_), _) => Scope::Links(&self.touched),
        }
    }

    /// Compares, and says how to go on. `refused` are the steps of the last round that were not done.
    pub fn handle(&mut self, here: Here, refused: &[(Step, StepError)]) -> Next {
        let plan = self.compare(here);
        let steps = plan.to_string();
        let is_there = plan.steps.iter().all(|it| matches!(it.step, Step::WaitFor(_)));
        if is_there && self.lost.is_empty() {
            return Next::Arrive;
        }
        self.repeats = if steps == self.steps { self.repeats + 1 } else { 0 };
        let gets_on = self.round < ROLLBACK_ROUNDS_MAX && self.repeats <= 1;
        if is_there || !gets_on {
            return Next::GiveUp(remains(&self.lost, &plan, refused));
        }
        self.round += 1;
        self.steps = steps;
        self.touch(&plan);
        Next::Do(plan)
    }

    fn compare(&mut self, here: Here) -> Plan {
        let Here { files, record, leases, elapsed } = here;
        let mut plan = restore::restore_files(&self.snapshot.files, &files);
        match self.round {
            0 => self.now = record,
            _ => self.now.update(&self.touched, record),
        }
        if let Some(then) = &self.snapshot.network {
            let ground = Ground { then, now: &self.now, leases: &leases, elapsed };
            let restoration = restore::restore_network(&ground);
            plan.steps.extend(restoration.plan.steps);
            plan.discarded.extend(restoration.plan.discarded);
            self.lost = restoration.lost;
        }
        plan
    }

    /// Takes note of the links that a plan changes, and of those that change with them.
    fn touch(&mut self, plan: &Plan) {
        self.touched.extend(plan.steps.iter().filter_map(|it| it.step.link_name()));
        let Some(Network { host: then, .. }) = &self.snapshot.network else { return };
        let hosts = [then, &self.now];
        loop {
            let touched = &self.touched;
            let all = hosts.iter().flat_map(|host| host.iter().map(move |link| (*host, link)));
            let is_new = |name: &IfName| !touched.contains(name);
            let more: Vec<_> = all.flat_map(|(host, it)| followers(host, it, touched)).collect();
            let more: Vec<_> = more.into_iter().filter(is_new).collect();
            if more.is_empty() {
                return;
            }
            self.touched.extend(more);
        }
    }
}

/// Whom the kernel may change along with some, as far as a link has to do with it: a VLAN goes down
/// with what it is over, a bridge has the least MTU of its ports, a bond's members have its address.
fn followers(
    host: &HostRecord,
    recorded: &Recorded,
    touched: &BTreeSet<IfName>,
) -> impl Iterator<Item = IfName> + use<> {
    let link = recorded.link();
    let is_over = matches!(link.kind, LinkKind::Vlan { .. })
        && host.parent_of(link).is_some_and(|parent| touched.contains(&parent));
    let master = host.master_of(link);
    let is_bond = |master: &IfName| {
        host.named(master).is_some_and(|it| matches!(it.link().kind, LinkKind::Bond(_)))
    };
    let is_member = master.is_some_and(|master| touched.contains(&master) && is_bond(&master));
    let follows = (is_over || is_member).then_some(link.name);
    let leads = master.filter(|_| touched.contains(&link.name));
    follows.into_iter().chain(leads)
}

/// What could not be restored: what nobody can, and what the host refuses.
fn remains(lost: &[Loss], plan: &Plan, refused: &[(Step, StepError)]) -> String {
    let mut parts: Vec<String> = lost.iter().map(ToString::to_string).collect();
    let steps = || plan.steps.iter().map(|planned| &planned.step);
    let is_made = |it: &&Step| matches!(it, Step::RemakeLink { .. });
    let missing: BTreeSet<_> = steps().filter(is_made).filter_map(Step::link_name).collect();
    for step in steps() {
        // What a link should have that is not there goes without saying.
        let goes_without_saying = matches!(step, Step::WaitFor(_))
            || (!is_made(&step) && step.link_name().is_some_and(|link| missing.contains(&link)));
        if goes_without_saying {
            continue;
        }
        // An address may last a second less by now.
        let text = step.to_string();
        let is_it = |(it, _): &&(Step, StepError)| it.to_string() == text;
        let why = refused.iter().find(is_it).map(|(_, err)| err.to_string());
        let why = why.unwrap_or_else(|| "it does not last".to_owned());
        parts.push(format!("{step}: {why}"));
    }
    format!("this could not be restored: {}", parts.join("; "))
}

#[cfg(test)]
mod tests;
