// SPDX-License-Identifier: LGPL-2.1-or-later
//! The decision about a change that an earlier daemon has left ([`resume`]), and the rollback,
//! round by round ([`Rollback`]).
//!
//! Knows no file, no kernel and no clock: the caller passes the state of the host and the time. A
//! rollback compares the present state with the recorded one, has the differences restored, and
//! compares again, as the kernel may have changed something by itself meanwhile. It is over when
//! there are no differences, or when a round would only repeat two earlier ones.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::change::job::StepError;
use crate::change::leftovers::Leftovers;
use crate::error::HostError;
use crate::host::record::HostRecord;
use crate::host::state::LinkState;
use crate::limits::ROLLBACK_ROUNDS_MAX;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::request::KernelRequest;
use crate::plan::restore::{self, Inputs, Loss, Planner};
use crate::plan::step::Step;
use crate::plan::{Plan, Planned};
use crate::snapshot::files::Files;
use crate::snapshot::{Moment, Network, Snapshot};

/// The files that an earlier daemon has left, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub struct LeftSnapshots {
    /// Of a transaction whose rollback has begun.
    pub rollback: Option<Snapshot>,
    /// Of a transaction that was open.
    pub snapshot: Option<Snapshot>,
    /// Of a job that was under way.
    pub journal: Option<Snapshot>,
}

/// How much of it a start handles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovery {
    /// Everything.
    Whole,
    /// Only a transaction that must not stay open; one that may is left to the daemon.
    StaleAlone,
}

/// The action on a transaction that was found.
#[derive(Debug, Eq, PartialEq)]
pub enum Resumption {
    /// No transaction is open. A journal without one is ignored.
    Nothing,
    /// The transaction stays open.
    Open(Box<Snapshot>),
    /// The transaction stays open, and the interrupted job is undone.
    UndoJob { snapshot: Box<Snapshot>, journal: Box<Snapshot> },
    /// The transaction is rolled back, which undoes an interrupted job too.
    RollBack(Box<Snapshot>),
}

/// Decides about the files that an earlier daemon has left.
pub(crate) fn resume(found: LeftSnapshots, recovery: Recovery, now: &Moment) -> Resumption {
    let LeftSnapshots { rollback, snapshot, journal } = found;
    if let Some(snapshot) = rollback {
        return Resumption::RollBack(Box::new(snapshot));
    }
    let Some(snapshot) = snapshot.map(Box::new) else { return Resumption::Nothing };
    if snapshot.opening.is_stale(now) {
        return Resumption::RollBack(snapshot);
    }
    // A journal that could not be removed may belong to an earlier transaction.
    let belongs_to_it = |journal: &Snapshot| journal.opening == snapshot.opening;
    match journal.filter(|it| recovery == Recovery::Whole && belongs_to_it(it)) {
        Some(journal) => Resumption::UndoJob { snapshot, journal: Box::new(journal) },
        None => Resumption::Open(snapshot),
    }
}

/// A rollback under way.
#[derive(Clone, Debug)]
pub struct Rollback {
    snapshot: Rc<Snapshot>,
    parts: RollbackParts,
    /// The number of rounds so far.
    round: u32,
    /// The digest of the last round's steps, and how often it was repeated: a step that is refused
    /// twice will be refused again.
    digest: Option<u64>,
    repeats: u32,
    /// The whole host, as far as it is known.
    now: HostRecord,
    /// The links whose state may have changed since the first round.
    touched: BTreeSet<IfName>,
    /// Other programs' DHCP clients that were restarted: from then on the addresses of their links
    /// belong to them, and some clients remove the present ones first.
    given_back: Vec<ForeignClient>,
    lost: Vec<Loss>,
    comparison: Comparison,
    /// Knowledge from before the last round, which is freed in parts.
    leftovers: Leftovers,
}

/// A comparison under way.
#[derive(Clone, Debug, Default)]
struct Comparison {
    planner: Planner,
    leases: Vec<Lease>,
    /// Other programs' DHCP clients, if they are known.
    foreign: Option<Vec<ForeignClient>>,
    elapsed: Duration,
    /// The plan that restores the definition files.
    files: Plan,
    /// Why files cannot be compared.
    unread: Option<HostError>,
    plan: Option<Plan>,
    /// How many of its steps were examined, and the links that they are about.
    told_count: usize,
    digest: StepDigest,
    links: BTreeSet<IfName>,
    given_back: Vec<ForeignClient>,
    /// Whether there is any step that does more than wait.
    has_steps: bool,
}

/// The digest of the steps' texts. Lifetimes are left out, as an address may last a second less in
/// the next round.
#[derive(Clone, Debug, Default)]
struct StepDigest {
    hasher: DefaultHasher,
    text: String,
}

impl StepDigest {
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

/// The parts to be restored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RollbackParts {
    pub network: bool,
    pub files: bool,
}

/// The knowledge of the network that the next round needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoundScope<'a> {
    /// None: the network's state is gone with its boot, or is not to be restored.
    Nothing,
    Host,
    Links(&'a BTreeSet<IfName>),
}

/// The host, as observed for one round.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The definition files, or why they could not be read.
    pub files: Result<Files, HostError>,
    /// The record that [`Rollback::scope`] asked for.
    pub record: HostRecord,
    /// The DHCP clients that the daemon runs.
    pub leases: Vec<Lease>,
    /// The DHCP clients that other programs have started, if they are known.
    pub foreign: Option<Vec<ForeignClient>>,
    /// How long ago the recorded state was.
    pub elapsed: Duration,
}

/// The next action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RoundResult {
    /// As many of these steps as possible; then another round.
    Do(Plan),
    /// None: everything is restored.
    Restored,
    /// None: there are differences that this try cannot restore.
    GiveUp(Remains),
}

/// The differences that remain after a try, each with the reason.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remains {
    /// Things that cannot be restored, and steps that the kernel refuses.
    pub lost: Vec<String>,
    /// Things that another try may restore, when the host has more resources.
    pub network: Vec<String>,
    pub files: Vec<String>,
    /// The errno(3) of the first cause, if there is one.
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
    /// A rollback to a snapshot, of the parts that are to be restored.
    pub fn new(snapshot: Rc<Snapshot>, parts: RollbackParts, now: &Moment) -> Self {
        // The state of another boot is gone.
        let network = parts.network && snapshot.opening.is_of_boot(now);
        let parts = RollbackParts { network: network && snapshot.network.is_some(), ..parts };
        Self {
            snapshot,
            parts,
            round: 0,
            digest: None,
            repeats: 0,
            now: HostRecord::default(),
            touched: BTreeSet::new(),
            given_back: Vec::new(),
            lost: Vec::new(),
            comparison: Comparison::default(),
            leftovers: Leftovers::default(),
        }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Rc<Snapshot> {
        &self.snapshot
    }

    /// The recorded network, if it is to be restored.
    fn network(&self) -> Option<&Network> {
        self.snapshot.network.as_ref().filter(|_| self.parts.network)
    }

    /// Takes the knowledge of the host, once the rollback is over.
    pub(super) fn leave(mut self, leftovers: &mut Leftovers) {
        leftovers.append(&mut self.leftovers);
        leftovers.push_record(self.now);
    }

    /// The number of rounds so far.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// The knowledge of the network that the next round needs: first of all links, then of those
    /// that were changed.
    pub fn scope(&self) -> RoundScope<'_> {
        match (self.network(), self.round) {
            (None, _) => RoundScope::Nothing,
            (Some(_), 0) => RoundScope::Host,
            (Some(_), _) => RoundScope::Links(&self.touched),
        }
    }

    /// Whether any link has, or had, neighbour settings of its own: the kernel reports those of all
    /// links or of none.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.network().is_some_and(|then| then.host.has_neighbours()) || self.now.has_neighbours()
    }

    /// Takes the observed host, to be compared in parts.
    pub fn begin_round(&mut self, observed: Observed) {
        let Observed { files, record, leases, foreign, elapsed } = observed;
        match self.round {
            0 => self.now = record,
            _ => self.leftovers.push_record(self.now.update(&self.touched, record)),
        }
        let mut comparison = Comparison { leases, foreign, elapsed, ..Comparison::default() };
        match files {
            _ if !self.parts.files => {}
            Ok(files) if files.root != self.snapshot.files.root => {
                comparison.unread = Some(moved(&self.snapshot.files, &files));
            }
            Ok(files) => {
                let then = &self.snapshot.files.by_path;
                comparison.files = restore::restore_files(then, &files.by_path);
            }
            Err(err) => comparison.unread = Some(err),
        }
        self.comparison = comparison;
    }

    /// Compares so many addresses and routes, or so many steps with those of the last round.
    /// Returns the result at the end. `refused` are the steps of the last round that failed.
    pub fn poll_next(
        &mut self,
        refused: &[(Step, StepError)],
        entry_count: usize,
    ) -> Option<RoundResult> {
        if !self.leftovers.free() {
            return None;
        }
        let Comparison { plan, told_count, digest, links, given_back, has_steps, .. } =
            &mut self.comparison;
        let Some(plan) = plan else {
            self.plan(entry_count);
            return None;
        };
        let left = plan.steps.get(*told_count..).unwrap_or_default();
        for Planned { step, .. } in left.iter().take(entry_count) {
            digest.take(step);
            // A link is also compared under its new name.
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

    /// Completes the plan: the network first, which needs no file.
    fn plan(&mut self, entry_count: usize) {
        let comparison = &mut self.comparison;
        let network = self.snapshot.network.as_ref().filter(|_| self.parts.network);
        let mut plan = Plan::default();
        if let Some(then) = network {
            let inputs = Inputs {
                then,
                now: &self.now,
                leases: &comparison.leases,
                // Unknown clients are left alone.
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

    /// Returns the next action for the finished plan.
    fn decide(&mut self, refused: &[(Step, StepError)]) -> RoundResult {
        let Comparison { plan, digest, links, given_back, has_steps, unread, .. } =
            std::mem::take(&mut self.comparison);
        let plan = plan.unwrap_or_default();
        if !has_steps && self.lost.is_empty() && unread.is_none() {
            return RoundResult::Restored;
        }
        let digest = Some(digest.finish());
        self.repeats = if digest == self.digest { self.repeats + 1 } else { 0 };
        let gets_on = self.round < ROLLBACK_ROUNDS_MAX && self.repeats <= 1;
        if !has_steps || !gets_on {
            return RoundResult::GiveUp(remains(&self.lost, &plan, refused, unread));
        }
        self.round += 1;
        self.digest = digest;
        self.touch(links);
        self.given_back.extend(given_back);
        RoundResult::Do(plan)
    }

    /// Notes the links that a plan changes, and the ones that change with them.
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

/// The links that the kernel may change along with these: a VLAN goes down with its parent, a
/// bridge has the least MTU of its ports, a bond's members have its address.
fn followers(
    host: &HostRecord,
    recorded: &LinkState,
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

/// The differences that remain: losses, steps that the host refuses, and steps that it cannot do
/// now.
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
        // A missing link implies the conditions that it does not meet.
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

/// Whether the host lacks a resource that it may have at the next try.
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

/// The error for files that are below another directory than the one that definitions are read from.
fn moved(then: &Files, now: &Files) -> HostError {
    let [then, now] = [then, now].map(|files| String::from_utf8_lossy(&files.root));
    let object = format!("the definition files below {then}, as they are read below {now} now");
    HostError::new("restore", object, &io::Error::from_raw_os_error(libc::ENOTSUP))
}

#[cfg(test)]
mod tests;
