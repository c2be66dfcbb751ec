// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes that undo themselves: begin, commit, rollback, the deadline, and what a daemon finds when it
//! starts.
//!
//! A rollback compares what is with what was, does what leads back, and compares again: the kernel may
//! have done something of its own accord on the way, and what is then still not as it was is told. It
//! begins by saying so in the folder of the change. Whoever dies from then on leaves it to the next
//! daemon to go on, as it leaves to it what a job of an open change had done by half.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};

use crate::error::{CallError, HostError};
use crate::faults;
use crate::handler::Transaction;
use crate::io::boot;
use crate::io::change_folder::{ChangeFolder, Kept};
use crate::job::{Job, StepError};
use crate::limits::ROLLBACK_ROUNDS_MAX;
use crate::model::client::Privilege;
use crate::model::name::IfName;
use crate::plan::Plan;
use crate::plan::restore::{self, Ground, Loss};
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::proto::interface::InterfaceCall;
use crate::server::jobs::{Origin, Request, Running};
use crate::server::rollback::{Rollback, remains};
use crate::server::{Server, wall_clock};
use crate::snapshot::{Caller, Network, Opening, Snapshot};
use crate::sys::clock::{self, Utc};

/// How often the clock is looked at while a change has a deadline: the loop's own does not count the
/// time that the host sleeps.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The change that is open, if one is.
#[derive(Debug)]
pub(crate) struct OpenChange {
    folder: ChangeFolder,
    opening: Option<Opening>,
    /// Its deadline has passed, and its rollback is asked for.
    is_overdue: bool,
    /// What has become of the rollback of a change that was found at the start.
    recovered: Result<(), CallError>,
}

/// What is to be seen to of what an earlier daemon has left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovery {
    /// Everything.
    Whole,
    /// A change that must not stay open; one that may is left to the daemon.
    StaleAlone,
}

/// What leads back from here.
struct Comparison {
    plan: Plan,
    lost: Vec<Loss>,
}

impl OpenChange {
    pub(crate) fn new(folder: ChangeFolder) -> Self {
        Self { folder, opening: None, is_overdue: false, recovered: Ok(()) }
    }

    /// Who has opened it, and when.
    pub(crate) fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    /// When to look at the clock again.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let deadline = self.opening.as_ref()?.deadline.filter(|_| !self.is_overdue)?;
        let left = deadline.saturating_sub(clock::since_boot().unwrap_or(deadline));
        Some(now + left.min(LOOK_INTERVAL))
    }
}

impl Opening {
    /// Whether it is to be rolled back by a daemon that finds it, as time is over, or that was another
    /// boot.
    fn is_stale(&self) -> bool {
        let now = clock::since_boot().unwrap_or_default();
        !self.is_of_this_boot() || self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn is_of_this_boot(&self) -> bool {
        self.boot == boot::id() && clock::since_boot().is_ok_and(|now| self.at <= now)
    }
}

impl Server {
    /// Carries out what a client, or the daemon itself, wants of the change that is open or will be.
    pub(super) fn transact(&mut self, request: Request, transaction: Transaction, now: Instant) {
        let outcome = match transaction {
            Transaction::Begin => self.begin_change(&request.origin),
            Transaction::Commit => self.commit_change(),
            Transaction::Rollback => return self.roll_back(request, now),
        };
        self.answer(request, outcome, now);
    }

    fn begin_change(&mut self, origin: &Origin) -> Result<Reply, CallError> {
        let by = match origin {
            Origin::Client { caller, .. } => *caller,
            Origin::Daemon(_) => Caller::default(),
        };
        let opening = opening(by, self.configuration.settings.changes.change_timeout)?;
        let files = self.store.keep();
        let network = match self.facts.privilege {
            Privilege::System => Some(self.network()?),
            Privilege::Session => None,
        };
        let snapshot = Snapshot { opening: opening.clone(), files, network };
        self.change.folder.write(Kept::Change, &snapshot)?;
        info!("a change is {opening}");
        self.change.opening = Some(opening);
        self.change.is_overdue = false;
        Ok(Reply::Empty)
    }

    fn commit_change(&mut self) -> Result<Reply, CallError> {
        self.change.folder.remove(Kept::Change)?;
        if let Some(opening) = self.change.opening.take() {
            info!("the change is committed that was {opening}");
        }
        Ok(Reply::Empty)
    }

    /// All of the host's own that runs.
    fn network(&mut self) -> Result<Network, HostError> {
        let record = self.kernel.record(&mut self.buffer)?;
        let definitions = self.store.definitions();
        let members = definitions.iter().flat_map(|it| it.members()).collect();
        Ok(Network::new(&record, &members, self.leases.running().copied().collect()))
    }

    /// Writes down what is before a job of an open change acts.
    ///
    /// # Errors
    /// It cannot be written down: then the job must not act.
    pub(super) fn journal(&mut self, plan: &Plan) -> Result<(), CallError> {
        let Some(opening) = self.change.opening.clone() else { return Ok(()) };
        let is_of_files = |step: &Step| matches!(step, Step::EditFile(_));
        let changes_network = plan.steps.iter().any(|planned| !is_of_files(&planned.step));
        let files = self.store.keep();
        let network = changes_network.then(|| self.network()).transpose()?;
        let snapshot = Snapshot { opening, files, network };
        Ok(self.change.folder.write(Kept::Journal, &snapshot)?)
    }

    /// The job is over that was written down.
    pub(super) fn drop_journal(&mut self) {
        if self.change.opening.is_none() {
            return;
        }
        if let Err(err) = self.change.folder.remove(Kept::Journal) {
            warn!("{err}");
        }
    }

    /// Sees whether the open change has come to its deadline.
    pub(super) fn check_change_deadline(&mut self) {
        let Some(opening) = self.change.opening.as_ref().filter(|_| !self.change.is_overdue) else {
            return;
        };
        let is_over = |deadline| clock::since_boot().is_ok_and(|now| deadline <= now);
        if !opening.deadline.is_some_and(is_over) || self.is_stopping() {
            return;
        }
        warn!("no commit has come in time: the change is rolled back that was {opening}");
        self.change.is_overdue = true;
        self.ask_for_rollback("no commit has come in time");
    }

    /// Asks for a rollback, before everything else that waits. A job that is under way is undone.
    fn ask_for_rollback(&mut self, why: &'static str) {
        let call = InterfaceCall::ChangeRollback { flags: 0 };
        let request = Request { origin: Origin::Daemon(why), call };
        let text = "the change is rolled back".to_owned();
        self.jobs.push_first(request, StepError { errno: libc::ECANCELED, text });
    }

    /// Sets out for what was when the open change began.
    fn roll_back(&mut self, request: Request, now: Instant) {
        let target = Kept::Rollback;
        let is_begun = match self.change.folder.read(Kept::Change) {
            Ok(Some(_)) => self.change.folder.begin_rollback(),
            Ok(None) => Ok(()),
            Err(err) => Err(err),
        };
        let snapshot = is_begun.and_then(|()| self.change.folder.read(target));
        let err = match snapshot {
            Ok(Some(snapshot)) => return self.set_out(request, target, snapshot, now),
            Ok(None) => faults::host("its snapshot is gone".to_owned(), libc::ENOENT),
            Err(err) => CallError::from(err),
        };
        let text = format!("failed to rollback transaction: {}", err.message());
        self.answer(request, Err(faults::host(text, libc::EBADMSG)), now);
    }

    /// Compares for the first time.
    fn set_out(&mut self, request: Request, target: Kept, snapshot: Snapshot, now: Instant) {
        let rollback = Rollback {
            target,
            snapshot: Box::new(snapshot),
            round: 0,
            steps: String::new(),
            links: BTreeSet::new(),
            lost: Vec::new(),
        };
        self.next_round(request, rollback, Vec::new(), now);
    }

    /// Goes on with a way back whose last round is over, and of which this was refused.
    pub(super) fn next_round(
        &mut self,
        request: Request,
        mut rollback: Rollback,
        refused: Vec<(Step, StepError)>,
        now: Instant,
    ) {
        if self.is_stopping() {
            // What is left is the next daemon's.
            return self.answer(request, Err(faults::stopping()), now);
        }
        let comparison = match self.compare(&rollback) {
            Ok(comparison) => comparison,
            Err(err) => return self.give_up(request, &rollback, err.to_string(), now),
        };
        let Comparison { plan, lost } = comparison;
        if rollback.round == 0 {
            rollback.lost = lost;
        }
        let steps = plan.to_string();
        let is_there = plan.steps.iter().all(|it| matches!(it.step, Step::WaitFor(_)));
        let gets_on = rollback.round < ROLLBACK_ROUNDS_MAX && steps != rollback.steps;
        if is_there && rollback.lost.is_empty() {
            return self.arrive(request, &rollback, now);
        }
        if is_there || !gets_on {
            let text = remains(&rollback.lost, &plan, &refused);
            return self.give_up(request, &rollback, text, now);
        }
        debug!("the way back, round {}:\n{plan}", rollback.round);
        rollback.round += 1;
        rollback.steps = steps;
        rollback.links.extend(plan.steps.iter().filter_map(|it| it.step.link_name()));
        let discarded = plan.discarded.clone();
        self.jobs.run(Running::back(request, Job::persistent(plan), discarded, rollback));
    }

    /// What leads back from here: at first of the whole host, then of the links that were touched.
    fn compare(&mut self, rollback: &Rollback) -> Result<Comparison, HostError> {
        let Rollback { snapshot, round, links, .. } = rollback;
        let files = self.store.keep();
        let mut plan = restore::restore_files(&snapshot.files, &files);
        if *round == 0 {
            let restored: Vec<_> = plan.steps.iter().filter_map(|it| it.step.restores()).collect();
            if let Some(set) = self.change.folder.keep_aside(&restored)? {
                info!("what the definition files say now is kept in {}", set.display());
            }
        }
        let Some(network) = snapshot.network.as_ref().filter(|_| {
            // What ran has gone with its boot.
            snapshot.opening.is_of_this_boot()
        }) else {
            return Ok(Comparison { plan, lost: Vec::new() });
        };
        let elapsed = clock::since_boot().unwrap_or_default().saturating_sub(snapshot.opening.at);
        let leases: Vec<_> = self.leases.running().copied().collect();
        let scope = (*round > 0).then(|| self.with_relatives(links, network));
        let now = match &scope {
            Some(links) => self.kernel.record_only(links, &self.host, &mut self.buffer)?,
            None => self.kernel.record(&mut self.buffer)?,
        };
        let narrowed = scope.map(|links| network.only(&links));
        let then = narrowed.as_ref().unwrap_or(network);
        let ground = Ground { then, now: &now, leases: &leases, elapsed };
        let restoration = restore::restore_network(&ground);
        plan.steps.extend(restoration.plan.steps);
        plan.discarded.extend(restoration.plan.discarded);
        Ok(Comparison { plan, lost: restoration.lost })
    }

    /// Links, with all that they are ports of, or over, or that is on them, now or then: without those
    /// it could not be said what a link is.
    fn with_relatives(&self, links: &BTreeSet<IfName>, network: &Network) -> BTreeSet<IfName> {
        let mut all = BTreeSet::new();
        let mut unseen: Vec<_> = links.iter().copied().collect();
        while let Some(name) = unseen.pop() {
            if all.insert(name) {
                unseen.extend(self.host.relatives_of(&name));
                unseen.extend(network.relatives_of(&name));
            }
        }
        all
    }

    /// All is as it was.
    fn arrive(&mut self, request: Request, rollback: &Rollback, now: Instant) {
        let closed = self.change.folder.remove(rollback.target);
        if let Err(err) = &closed {
            // The next daemon would find it, and nothing to do.
            warn!("{err}");
        }
        self.close_change(rollback);
        self.answer(request, Ok(Reply::Empty), now);
    }

    /// Something is not as it was, and will not be.
    fn give_up(&mut self, request: Request, rollback: &Rollback, why: String, now: Instant) {
        let mut text = format!("failed to rollback transaction: {why}");
        match self.change.folder.put_aside(rollback.target) {
            Ok(set) => {
                let _ = write!(text, "; the snapshot is kept in {}", set.display());
            }
            Err(err) => warn!("{err}"),
        }
        warn!("{text}");
        self.close_change(rollback);
        self.answer(request, Err(faults::host(text, libc::EIO)), now);
    }

    fn close_change(&mut self, rollback: &Rollback) {
        if rollback.target == Kept::Journal {
            info!("what a change had done by half is undone");
            return;
        }
        if let Some(opening) = self.change.opening.take() {
            info!("the change is rolled back that was {opening}");
        }
    }

    /// Looks whether an earlier daemon has left a change open, and asks for what is to become of it.
    pub(super) fn find_change(&mut self, recovery: Recovery, now: Instant) {
        let mut found = None;
        for kept in [Kept::Rollback, Kept::Change] {
            match self.change.folder.read(kept) {
                Ok(None) => {}
                Ok(Some(snapshot)) if found.is_none() => found = Some((kept, snapshot)),
                Ok(Some(_)) => self.set_aside(kept, "another one is being rolled back"),
                Err(err) => self.set_aside(kept, &err.to_string()),
            }
        }
        let journal = self.change.folder.read(Kept::Journal).unwrap_or_else(|err| {
            self.set_aside(Kept::Journal, &err.to_string());
            None
        });
        let Some((kept, Snapshot { opening, .. })) = found else {
            self.forget_journal(journal);
            return;
        };
        let is_stale = opening.is_stale();
        warn!("a change is found that is {opening}");
        self.change.opening = Some(opening);
        if kept == Kept::Rollback || is_stale {
            // Back to the beginning is back from the middle of a job, too.
            self.forget_journal(journal);
            self.change.is_overdue = true;
            self.ask_for_rollback("the change is an earlier one's");
        } else if let Some(journal) = journal.filter(|_| recovery == Recovery::Whole) {
            let call = InterfaceCall::ChangeRollback { flags: 0 };
            let why = "a change was interrupted in the middle";
            let request = Request { origin: Origin::Daemon(why), call };
            self.set_out(request, Kept::Journal, journal, now);
        }
    }

    fn forget_journal(&mut self, journal: Option<Snapshot>) {
        if journal.is_some()
            && let Err(err) = self.change.folder.remove(Kept::Journal)
        {
            warn!("{err}");
        }
    }

    fn set_aside(&mut self, kept: Kept, why: &str) {
        match self.change.folder.put_aside(kept) {
            Ok(set) => error!("{why}: nothing is rolled back; it is kept in {}", set.display()),
            Err(err) => error!("{why}: nothing is rolled back; {err}"),
        }
    }

    /// What has become of a rollback that the daemon has asked for itself.
    pub(super) fn note_rolled_back(&mut self, outcome: Result<Reply, CallError>) {
        if let Err(err) = &outcome {
            error!("{err}");
        }
        self.change.recovered = outcome.map(|_| ());
    }

    /// Whether what was found at the start was rolled back, if it had to be.
    pub fn recovered(&self) -> &Result<(), CallError> {
        &self.change.recovered
    }
}

fn opening(by: Caller, timeout: Option<Duration>) -> Result<Opening, CallError> {
    let unknown = || {
        let text = "failed to begin transaction: the kernel does not tell which boot this is";
        faults::host(text.to_owned(), libc::ENOENT)
    };
    let boot = boot::id();
    if boot.is_empty() {
        return Err(unknown());
    }
    let at = clock::since_boot().map_err(|_| unknown())?;
    let wall = wall_clock();
    let until = timeout.map(|timeout| Utc::new(wall + timeout).to_the_second());
    let deadline = timeout.map(|timeout| at + timeout);
    Ok(Opening { by, boot, at, deadline, since: Utc::new(wall).to_the_second(), until })
}
