// SPDX-License-Identifier: LGPL-2.1-or-later
//! What becomes of an open change that is not committed: what a daemon does with what an earlier one
//! has left ([`resume`]), and the rollback, round by round ([`Rollback`]).
//!
//! Knows no file, no kernel and no clock: who drives it tells what there is, and what time it is. A
//! rollback compares what is with what was, has done what leads back, and compares again: the kernel
//! may have done something of its own accord on the way. It is over when there is nothing left to do,
//! or when a round would only do what two before it have tried.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use std::time::Duration;

use crate::change::job::StepError;
use crate::change::leftovers::Leftovers;
use crate::error::HostError;
use crate::host::record::{HostRecord, Recorded};
use crate::limits::ROLLBACK_ROUNDS_MAX;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::request::KernelRequest;
use crate::plan::restore::{self, Inputs, Loss, Planner};
use crate::plan::step::Step;
use crate::plan::{Plan, Planned};
use crate::snapshot::{Files, Moment, Network, Snapshot};

/// What an earlier daemon has left, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct LeftSnapshots {
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
    Open(Box<Snapshot>),
    /// The change stays open, and goes back to before the job that was interrupted.
    UndoJob { change: Box<Snapshot>, journal: Box<Snapshot> },
    /// The change is rolled back: back to the beginning is back from the middle of a job, too.
    RollBack(Box<Snapshot>),
}

/// Decides what becomes of what an earlier daemon has left.
pub(crate) fn resume(found: LeftSnapshots, recovery: Recovery, now: &Moment) -> Resumption {
    let LeftSnapshots { rollback, change, journal } = found;
    if let Some(change) = rollback {
        return Resumption::RollBack(Box::new(change));
    }
    let Some(change) = change.map(Box::new) else { return Resumption::Nothing };
    if change.opening.is_stale(now) {
        return Resumption::RollBack(change);
    }
    // One that could not be removed may be an earlier change's.
    let belongs_to_it = |journal: &Snapshot| journal.opening == change.opening;
    match journal.filter(|it| recovery == Recovery::Whole && belongs_to_it(it)) {
        Some(journal) => Resumption::UndoJob { change, journal: Box::new(journal) },
        None => Resumption::Open(change),
    }
}

/// A rollback under way.
#[derive(Clone, Debug)]
pub struct Rollback {
    snapshot: Rc<Snapshot>,
    parts: RollbackParts,
    /// How many have been planned.
    round: u32,
    /// The digest of what the last round was to do, in words, and how often that was tried again: what
    /// is refused twice will be refused again.
    words: Option<u64>,
    repeats: u32,
    /// The whole host, as far as is known.
    now: HostRecord,
    /// Whose state may have changed since the first round.
    touched: BTreeSet<IfName>,
    /// Others' DHCP clients that were started again: from then on the addresses of their links are
    /// theirs, some of which they take away first.
    given_back: Vec<ForeignClient>,
    lost: Vec<Loss>,
    comparison: Comparison,
    /// What was known before the last round.
    leftovers: Leftovers,
}

/// A comparison under way.
#[derive(Clone, Debug, Default)]
struct Comparison {
    planner: Planner,
    leases: Vec<Lease>,
    /// Others' DHCP clients, if they are known.
    foreign: Option<Vec<ForeignClient>>,
    elapsed: Duration,
    /// What leads back to the files that were.
    files: Plan,
    /// Why files cannot be compared.
    unread: Option<HostError>,
    plan: Option<Plan>,
    /// How many of its steps have been looked through, and what they are about.
    told_count: usize,
    words: Words,
    links: BTreeSet<IfName>,
    given_back: Vec<ForeignClient>,
    /// Whether there is any but those that wait.
    has_steps: bool,
}

/// The digest of steps in words: an address may last a second less by the next round.
#[derive(Clone, Debug, Default)]
struct Words {
    hasher: DefaultHasher,
    text: String,
}

impl Words {
    fn take(&mut self, step: &Step) {
        self.text.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{step}");
        self.hasher.write(self.text.as_bytes());
        self.hasher.write_u8(0xff);
    }

    fn finish(&self) -> u64 {
        self.hasher.finish()
    }
}

/// What is to be restored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RollbackParts {
    pub network: bool,
    pub files: bool,
}

/// What must be known of the network for the next round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoundScope<'a> {
    /// Nothing: what ran has gone with its boot, or was none of ours.
    Nothing,
    Host,
    Links(&'a BTreeSet<IfName>),
}

/// The host, as observed for one round.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The definition files, or why nobody knows.
    pub files: Result<Files, HostError>,
    /// What was asked for ([`Rollback::scope`]).
    pub record: HostRecord,
    /// The DHCP clients that we run.
    pub leases: Vec<Lease>,
    /// The DHCP clients that somebody else has started, if that is known.
    pub foreign: Option<Vec<ForeignClient>>,
    /// How long ago it was as it shall be.
    pub elapsed: Duration,
}

/// What is to be done next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RoundResult {
    /// As much of this as can be; then there is another round.
    Do(Plan),
    /// Nothing: all is as it was.
    Restored,
    /// Nothing: something is not as it was, and this try will not make it so.
    GiveUp(Remains),
}

/// What is not as it was when a try is over, each with the reason.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remains {
    /// What nobody brings back, and what the kernel refuses.
    pub lost: Vec<String>,
    /// What may be restored by another try: the host lacked something.
    pub network: Vec<String>,
    pub files: Vec<String>,
    /// The first cause (errno(3)), if there is any.
    pub errno: Option<i32>,
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = [&self.lost, &self.network, &self.files].into_iter().flatten().collect();
        f.write_str("not restored: ")?;
        for (at, part) in all.into_iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{part}")?;
        }
        Ok(())
    }
}

impl Rollback {
    /// A rollback to a snapshot, as far as that is to be restored.
    pub fn new(snapshot: Rc<Snapshot>, parts: RollbackParts, now: &Moment) -> Self {
        // What ran has gone with its boot.
        let network = parts.network && snapshot.opening.is_of_boot(now);
        let parts = RollbackParts { network: network && snapshot.network.is_some(), ..parts };
        Self {
            snapshot,
            parts,
            round: 0,
            words: None,
            repeats: 0,
            now: HostRecord::default(),
            touched: BTreeSet::new(),
            given_back: Vec::new(),
            lost: Vec::new(),
            comparison: Comparison::default(),
            leftovers: Leftovers::default(),
        }
    }

    /// Where it leads.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What ran, if that is to be restored.
    fn network(&self) -> Option<&Network> {
        self.snapshot.network.as_ref().filter(|_| self.parts.network)
    }

    /// Leaves what is known of the host: the rollback is over.
    pub(super) fn leave(mut self, leftovers: &mut Leftovers) {
        leftovers.append(&mut self.leftovers);
        leftovers.push_record(self.now);
    }

    /// How many rounds have been planned.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// What must be known of the network for the next round: at first of all links, then of those
    /// that have been touched.
    pub fn scope(&self) -> RoundScope<'_> {
        match (self.network(), self.round) {
            (None, _) => RoundScope::Nothing,
            (Some(_), 0) => RoundScope::Host,
            (Some(_), _) => RoundScope::Links(&self.touched),
        }
    }

    /// Whether any link looks for neighbours in a way of its own, or did: the kernel tells that of all links
    /// or of none.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.network().is_some_and(|then| then.host.has_neighbours()) || self.now.has_neighbours()
    }

    /// Compares, and says how to go on. `refused` are the steps of the last round that were not done.
    pub fn handle(&mut self, observed: Observed, refused: &[(Step, StepError)]) -> RoundResult {
        self.begin_round(observed);
        loop {
            if let Some(next) = self.poll_next(refused, usize::MAX) {
                return next;
            }
        }
    }

    /// Takes what there is, to compare it by and by.
    pub fn begin_round(&mut self, observed: Observed) {
        let Observed { files, record, leases, foreign, elapsed } = observed;
        match self.round {
            0 => self.now = record,
            _ => self.leftovers.push_record(self.now.update(&self.touched, record)),
        }
        let mut comparison = Comparison { leases, foreign, elapsed, ..Comparison::default() };
        match files {
            _ if !self.parts.files => {}
            Ok(files) => comparison.files = restore::restore_files(&self.snapshot.files, &files),
            Err(err) => comparison.unread = Some(err),
        }
        self.comparison = comparison;
    }

    /// Compares so many addresses and routes, or so many steps with those of the last round. How to go on
    /// is said last.
    pub fn poll_next(
        &mut self,
        refused: &[(Step, StepError)],
        entry_count: usize,
    ) -> Option<RoundResult> {
        if !self.leftovers.free() {
            return None;
        }
        let Comparison { plan, told_count, words, links, given_back, has_steps, .. } =
            &mut self.comparison;
        let Some(plan) = plan else {
            self.plan(entry_count);
            return None;
        };
        let left = plan.steps.get(*told_count..).unwrap_or_default();
        for Planned { step, .. } in left.iter().take(entry_count) {
            words.take(step);
            // A link is looked at by the name that it is given, too.
            links.extend(step.link_name());
            links.extend(step.request().and_then(KernelRequest::new_name));
            given_back.extend(step.gives_back().cloned());
            *has_steps |= !matches!(step, Step::WaitFor(_));
        }
        if !left.is_empty() {
            *told_count += left.len().min(entry_count);
            return None;
        }
        Some(self.decide(refused))
    }

    /// Goes on with the plan that leads back: the network first, which needs no file.
    fn plan(&mut self, entry_count: usize) {
        let comparison = &mut self.comparison;
        let network = self.snapshot.network.as_ref().filter(|_| self.parts.network);
        let mut plan = Plan::default();
        if let Some(then) = network {
            let inputs = Inputs {
                then,
                now: &self.now,
                leases: &comparison.leases,
                // What is not known is left as it is.
                foreign: comparison.foreign.as_deref().unwrap_or(&then.foreign),
                given_back: &self.given_back,
                elapsed: comparison.elapsed,
            };
            let Some(restoration) = comparison.planner.poll(&inputs, entry_count) else { return };
            plan = restoration.plan;
            self.lost = restoration.lost;
        }
        plan.steps.append(&mut comparison.files.steps);
        comparison.plan = Some(plan);
    }

    /// Says how to go on with the plan that is made.
    fn decide(&mut self, refused: &[(Step, StepError)]) -> RoundResult {
        let Comparison { plan, words, links, given_back, has_steps, unread, .. } =
            std::mem::take(&mut self.comparison);
        let plan = plan.unwrap_or_default();
        if !has_steps && self.lost.is_empty() && unread.is_none() {
            return RoundResult::Restored;
        }
        let words = Some(words.finish());
        self.repeats = if words == self.words { self.repeats + 1 } else { 0 };
        let gets_on = self.round < ROLLBACK_ROUNDS_MAX && self.repeats <= 1;
        if !has_steps || !gets_on {
            return RoundResult::GiveUp(remains(&self.lost, &plan, refused, unread));
        }
        self.round += 1;
        self.words = words;
        self.touch(links);
        self.given_back.extend(given_back);
        RoundResult::Do(plan)
    }

    /// Takes note of links that a plan changes, and of those that change with them.
    fn touch(&mut self, links: BTreeSet<IfName>) {
        self.touched.extend(links);
        let snapshot = Rc::clone(&self.snapshot);
        let network = snapshot.network.as_ref().filter(|_| self.parts.network);
        let Some(Network { host: then, .. }) = network else { return };
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
    let is_over = host.parent_of(link).is_some_and(|parent| touched.contains(&parent));
    let master = host.master_of(link);
    let is_bond = |master: &IfName| {
        host.named(master).is_some_and(|it| matches!(it.link().kind, LinkKind::Bond(_)))
    };
    let is_member = master.is_some_and(|master| touched.contains(&master) && is_bond(&master));
    let follows = (is_over || is_member).then_some(link.name);
    let leads = master.filter(|_| touched.contains(&link.name));
    follows.into_iter().chain(leads)
}

/// What could not be restored: what nobody can, what the host refuses, and what it cannot do now.
fn remains(
    lost: &[Loss],
    plan: &Plan,
    refused: &[(Step, StepError)],
    unread: Option<HostError>,
) -> Remains {
    let refused: HashMap<_, _> =
        refused.iter().map(|(step, err)| (step.to_string(), err)).collect();
    let mut remains = Remains::default();
    remains.lost.extend(lost.iter().map(ToString::to_string));
    let steps = || plan.steps.iter().map(|planned| &planned.step);
    let is_made = |it: &&Step| {
        matches!(
            it,
            Step::Request(KernelRequest::RemakeLink { .. } | KernelRequest::RemakePair { .. })
        )
    };
    let missing: BTreeSet<_> = steps().filter(is_made).filter_map(Step::link_name).collect();
    for step in steps() {
        // What a link should have that is not there goes without saying.
        let goes_without_saying = matches!(step, Step::WaitFor(_))
            || (!is_made(&step) && step.link_name().is_some_and(|link| missing.contains(&link)));
        if goes_without_saying {
            continue;
        }
        // An address may last a second less by now.
        let Some(err) = refused.get(&step.to_string()) else {
            remains.lost.push(format!("{step}: did not persist"));
            continue;
        };
        let part = match (step.restores(), is_shortage(err.errno)) {
            (Some(_), _) => &mut remains.files,
            (None, true) => &mut remains.network,
            (None, false) => &mut remains.lost,
        };
        part.push(format!("{step}: {err}"));
        remains.errno.get_or_insert(err.errno);
    }
    if let Some(err) = unread {
        remains.errno.get_or_insert(err.errno());
        remains.files.push(err.to_string());
    }
    remains
}

/// Whether the host lacks something now, and may have it the next time.
fn is_shortage(errno: i32) -> bool {
    matches!(
        errno,
        libc::EAGAIN
            | libc::EINTR
            | libc::EIO
            | libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::ENOSPC
    )
}

#[cfg(test)]
mod tests;
