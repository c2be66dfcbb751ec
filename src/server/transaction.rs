// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes that undo themselves: begin, commit, rollback, the deadline, and what a daemon finds when it
//! starts.
//!
//! What is to be done next, `crate::rollback` decides. A rollback begins by saying so in the folder of
//! the change. Whoever dies from then on leaves it to the next daemon to go on, as it leaves to it what
//! a job of an open change had done by half.

use std::fmt::Write;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};

use crate::error::{CallError, HostError};
use crate::faults;
use crate::handler::Transaction;
use crate::host::record::HostRecord;
use crate::io::boot;
use crate::io::change_folder::{ChangeFolder, Kept};
use crate::job::{Job, StepError};
use crate::model::client::Privilege;
use crate::plan::Plan;
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::proto::interface::InterfaceCall;
use crate::rollback::{self, Found, Here, Next, Recovery, Resumption, Rollback, Scope};
use crate::server::jobs::{Origin, Request, Running, WayBack};
use crate::server::{Server, wall_clock};
use crate::snapshot::{Caller, Moment, Network, Opening, Snapshot};
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

/// What time it is, for changes.
fn moment() -> Moment {
    Moment { boot: boot::id(), since_boot: clock::since_boot().unwrap_or_default() }
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
        self.autostart.note_committed();
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
        let is_over = clock::since_boot().is_ok_and(|now| opening.is_over(now));
        if !is_over || self.is_stopping() || self.jobs.leads_back() {
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
        let folder = &self.change.folder;
        let snapshot = match folder.read(Kept::Change) {
            Ok(Some(snapshot)) => folder.begin_rollback().map(|()| Some(snapshot)),
            // It has begun already.
            Ok(None) => folder.read(Kept::Rollback),
            Err(err) => Err(err),
        };
        let err = match snapshot {
            Ok(Some(snapshot)) => return self.set_out(request, Kept::Rollback, snapshot, now),
            Ok(None) => faults::host("its snapshot is gone".to_owned(), libc::ENOENT),
            Err(err) => CallError::from(err),
        };
        let text = format!("failed to rollback transaction: {}", err.message());
        self.answer(request, Err(faults::host(text, libc::EBADMSG)), now);
    }

    /// Compares for the first time.
    fn set_out(&mut self, request: Request, target: Kept, snapshot: Snapshot, now: Instant) {
        let rollback = Rollback::new(snapshot, &moment());
        self.next_round(request, WayBack { target, rollback }, &[], now);
    }

    /// Goes on with a way back whose last round is over, and of which this was refused.
    pub(super) fn next_round(
        &mut self,
        request: Request,
        mut way_back: WayBack,
        refused: &[(Step, StepError)],
        now: Instant,
    ) {
        if self.is_stopping() {
            // What is left is the next daemon's.
            return self.answer(request, Err(faults::stopping()), now);
        }
        let WayBack { target, rollback } = &mut way_back;
        let target = *target;
        let here = match self.look(rollback) {
            Ok(here) => here,
            Err(err) => return self.give_up(request, target, err.to_string(), now),
        };
        let plan = match rollback.handle(here, refused) {
            Next::Do(plan) => plan,
            Next::Arrive => return self.arrive(request, target, now),
            Next::GiveUp(text) => return self.give_up(request, target, text, now),
        };
        debug!("the way back, round {}:\n{plan}", rollback.round());
        if rollback.round() == 1
            && let Err(err) = self.keep_files_aside(&plan)
        {
            return self.give_up(request, target, err.to_string(), now);
        }
        let discarded = plan.discarded.clone();
        self.jobs.run(Running::back(request, Job::persistent(plan), discarded, way_back));
    }

    /// What there is.
    fn look(&mut self, rollback: &Rollback) -> Result<Here, HostError> {
        let files = self.store.keep();
        let record = match rollback.scope() {
            Scope::Nothing => HostRecord::default(),
            Scope::Host => self.kernel.record(&mut self.buffer)?,
            Scope::Links(links) => self.kernel.record_only(links, &self.host, &mut self.buffer)?,
        };
        let leases = self.leases.running().copied().collect();
        let at = rollback.snapshot().opening.at;
        Ok(Here { files, record, leases, elapsed: moment().since_boot.saturating_sub(at) })
    }

    /// Keeps what the definition files say that the way back is going to replace or remove.
    fn keep_files_aside(&self, plan: &Plan) -> Result<(), HostError> {
        let restored: Vec<_> = plan.steps.iter().filter_map(|it| it.step.restores()).collect();
        if let Some(set) = self.change.folder.keep_aside(&restored)? {
            info!("what the definition files say now is kept in {}", set.display());
        }
        Ok(())
    }

    /// All is as it was.
    fn arrive(&mut self, request: Request, target: Kept, now: Instant) {
        let closed = self.change.folder.remove(target);
        if let Err(err) = &closed {
            // The next daemon would find it, and nothing to do.
            warn!("{err}");
        }
        self.close_change(target);
        self.answer(request, Ok(Reply::Empty), now);
    }

    /// Something is not as it was, and will not be.
    fn give_up(&mut self, request: Request, target: Kept, why: String, now: Instant) {
        let mut text = format!("failed to rollback transaction: {why}");
        match self.change.folder.put_aside(target) {
            Ok(set) => {
                let _ = write!(text, "; the snapshot is kept in {}", set.display());
            }
            Err(err) => warn!("{err}"),
        }
        warn!("{text}");
        self.close_change(target);
        self.answer(request, Err(faults::host(text, libc::EIO)), now);
    }

    fn close_change(&mut self, target: Kept) {
        if target == Kept::Journal {
            info!("what a change had done by half is undone");
            return;
        }
        if let Some(opening) = self.change.opening.take() {
            info!("the change is rolled back that was {opening}");
        }
        self.autostart.note_rolled_back();
    }

    /// Looks whether an earlier daemon has left a change open, and asks for what is to become of it.
    pub(super) fn find_change(&mut self, recovery: Recovery, now: Instant) {
        let [rollback, mut change, journal] =
            [Kept::Rollback, Kept::Change, Kept::Journal].map(|kept| self.find(kept));
        if rollback.is_some() && change.take().is_some() {
            self.set_aside(Kept::Change, "another one is being rolled back");
        }
        let has_journal = journal.is_some();
        let found = Found { rollback, change, journal };
        match rollback::resume(found, recovery, &moment()) {
            Resumption::Nothing => self.forget_journal(has_journal),
            Resumption::Open(opening) => self.reopen(opening),
            Resumption::UndoJob { opening, journal } => {
                self.reopen(opening);
                let call = InterfaceCall::ChangeRollback { flags: 0 };
                let why = "a change was interrupted in the middle";
                let request = Request { origin: Origin::Daemon(why), call };
                self.set_out(request, Kept::Journal, *journal, now);
            }
            Resumption::RollBack(opening) => {
                self.reopen(opening);
                self.forget_journal(has_journal);
                self.change.is_overdue = true;
                self.ask_for_rollback("the change is an earlier one's");
            }
        }
    }

    /// Reads what an earlier daemon has left; what makes no sense is put aside.
    fn find(&mut self, kept: Kept) -> Option<Snapshot> {
        self.change.folder.read(kept).unwrap_or_else(|err| {
            self.set_aside(kept, &err.to_string());
            None
        })
    }

    fn reopen(&mut self, opening: Opening) {
        warn!("a change is found that is {opening}");
        self.change.opening = Some(opening);
    }

    fn forget_journal(&mut self, is_there: bool) {
        if is_there && let Err(err) = self.change.folder.remove(Kept::Journal) {
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
