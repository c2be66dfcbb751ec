// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Coordinator`]: makes the changes of a host, one at a time, in the order of the requests.
//!
//! Requests and results go in (`push`, `handle_*`), actions are polled out (`poll_action`): decide
//! this request, survey these links, perform this step, write this file, answer. The coordinator
//! knows no socket, no file and no clock. The loop performs its actions on the kernel and the disk;
//! the simulation performs them on values, and may stop before any of them as if the daemon had
//! died.
//!
//! A change continues if its client disconnects; only the reply is dropped. While a transaction is
//! open, the host's state is written before each change (the journal), so that the next daemon can
//! undo a change in which a daemon died.
//!
//! Five stores outlive a change, each for another purpose. `discard` has renamed links that are yet
//! to be deleted. `leftovers` has values whose memory is yet to be freed. `recent` has interfaces
//! that were destroyed in the last seconds, whose addresses and routes go to the next one.
//! [`crate::host::removed`] has attributes of links that were removed, for when a definition makes
//! them again. [`crate::host::shelf`] has the configuration of links without a definition that were
//! taken down, for when they are started again.

pub mod request;
pub mod decision;
pub mod owed;
pub mod action;
pub mod job;
mod leftovers;
pub mod rollback;
pub mod transaction;
mod queue;
mod recent;
mod discard;
mod work;
mod running;
mod keeping;
mod commit;
mod recovery;
mod undo;
mod autostart;
mod stage;
mod outcome;
mod journal;
mod planning;
mod transact;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::call_errors;
use crate::change::action::{Action, Context, FileResult, Now, RecordAnswer};
use crate::change::autostart::Autostart;
use crate::change::commit::Committed;
use crate::change::decision::Decision;
use crate::change::discard::Discard;
use crate::change::job::StepError;
use crate::change::keeping::KeepingResult;
use crate::change::leftovers::Leftovers;
use crate::change::owed::Incomplete;
use crate::change::queue::Queue;
use crate::change::recent::Recent;
use crate::change::recovery::{LeftTransaction, Recovered, Recovering};
use crate::change::request::{Request, RequestSummary};
use crate::change::rollback::Recovery;
use crate::change::running::Running;
use crate::change::stage::{Checking, FileOwner, Purpose, Sought, Stage};
use crate::change::transaction::{OpenTransaction, Status, TransactionDue};
use crate::change::undo::Undone;
use crate::error::{CallError, HostError};
use crate::host::removed::LinkMemory;
use crate::host::survey::Survey;
use crate::host::{Host, LinkNews};
use crate::model::client::{Caller, Privilege};
use crate::plan::step::Step;
use crate::shares::WaitingChange;
use crate::snapshot::Opening;

/// The pause before another try to remove a journal.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// The settings of changes, from the configuration and the command line.
#[derive(Clone, Copy, Debug)]
pub struct ChangeSettings {
    pub privilege: Privilege,
    /// The time that a client's start waits for a lease.
    pub dhcp_timeout: Duration,
    /// The time that a transaction may be open.
    pub change_timeout: Option<Duration>,
}

/// Makes changes.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub settings: ChangeSettings,
    queue: Queue,
    stage: Stage,
    /// Actions that no longer depend on the host, in order.
    ready: VecDeque<Action>,
    /// The owners of the pending results of file operations.
    files: VecDeque<FileOwner>,
    recent: Recent,
    discard: Discard,
    autostart: Autostart,
    transaction: OpenTransaction,
    /// Whether a journal is left that must not be used, as it could not be removed.
    has_stale_journal: bool,
    /// Whether the transaction that the start found was rolled back, if necessary.
    recovered: Result<(), CallError>,
    /// Large values of earlier changes, to be freed.
    leftovers: Leftovers,
    is_stopping: bool,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a result that the stage does not wait for changes nothing"
)]
impl Coordinator {
    /// Creates a coordinator. `links` was stored by earlier daemons of this boot.
    pub fn new(settings: ChangeSettings, links: LinkMemory, now: Instant) -> Self {
        Self {
            settings,
            queue: Queue::default(),
            stage: Stage::Idle,
            ready: VecDeque::new(),
            files: VecDeque::new(),
            recent: Recent::new(links),
            discard: Discard::new(now),
            autostart: Autostart::default(),
            transaction: OpenTransaction::default(),
            has_stale_journal: false,
            recovered: Ok(()),
            leftovers: Leftovers::default(),
            is_stopping: false,
        }
    }

    /// Queues a request.
    pub fn push(&mut self, request: Request) {
        self.queue.push(request);
    }

    /// Looks for a transaction left by an earlier daemon.
    pub fn recover(&mut self, recovery: Recovery) {
        let (search, first) = Recovering::new(recovery);
        self.stage = Stage::Recovering(Box::new(search));
        self.make_ready(first);
    }

    /// Adopts renamed links that an earlier daemon has not deleted.
    pub fn adopt_discarded(&mut self, host: &Host) {
        self.discard.adopt(host);
    }

    /// Begins to start interfaces automatically. `marker` lists those that an earlier daemon of
    /// this boot could not complete; `None` if there was no such daemon.
    pub(crate) fn begin_autostart(
        &mut self,
        marker: Option<Vec<Incomplete>>,
        context: &Context<'_>,
    ) {
        self.autostart.begin(marker, context);
        self.queue_attempts();
    }

    /// Takes events of links, after they were applied to the table.
    pub(crate) fn handle_news(&mut self, news: &[LinkNews], context: &Context<'_>) {
        self.autostart.handle_news(news, context);
        self.queue_attempts();
    }

    /// Begins everything that is due: the rollback at the transaction's deadline, another try of a
    /// rollback, or of an incomplete interface.
    pub fn handle_time(&mut self, context: &Context<'_>) {
        if self.is_stopping {
            return;
        }
        if self.autostart.deadline().is_some_and(|deadline| deadline <= context.now.instant) {
            self.autostart.handle_time(context);
            self.queue_attempts();
        }
        if matches!(self.stage, Stage::Undoing(_)) {
            return;
        }
        if self.has_stale_journal && self.is_idle() {
            self.remove_journal();
        }
        match self.transaction.poll_due(context.now.since_boot, context.now.instant) {
            None => {}
            Some(TransactionDue::Rollback) => self.expire(),
            Some(TransactionDue::Again) => self.roll_back_again(),
            Some(TransactionDue::Find) if self.is_idle() => self.recover(Recovery::Whole),
            Some(TransactionDue::Find) => self.transaction.postpone(context.now.instant),
        }
    }

    /// Begins the stop: queued requests are refused, and a change that is waiting is undone.
    pub(crate) fn handle_stop(&mut self, context: &Context<'_>) {
        self.is_stopping = true;
        self.autostart.stop();
        self.discard.hurry();
        self.queue.resume();
        let text = "the daemon is stopping".to_owned();
        let why = StepError { errno: libc::ECANCELED, text };
        match std::mem::take(&mut self.stage) {
            Stage::Working(mut running) => {
                running.work.abort(why);
                self.stage = Stage::Working(running);
            }
            Stage::Undoing(mut undo) => {
                let next = undo.stop(why);
                self.go_on_undoing(undo, next, context);
            }
            Stage::Surveying(_, Sought::Decision(request) | Sought::Attempt(request, _))
            | Stage::Recording(Purpose::Begin(request)) => {
                self.answer(request, Err(call_errors::stopping()));
            }
            Stage::Recording(Purpose::Journal(running)) => {
                self.answer(running.request, Err(call_errors::stopping()));
            }
            Stage::Keeping(_, purpose) => {
                self.files.retain(|owner| *owner != FileOwner::Stage);
                self.drop_keeping(purpose);
            }
            stage => self.stage = stage,
        }
        for request in self.queue.drain() {
            self.answer(request, Err(call_errors::stopping()));
        }
    }

    /// Returns the next action. It must be performed before the next poll.
    pub fn poll_action(&mut self, context: &Context<'_>) -> Action {
        loop {
            if let Some(action) = self.poll_ready() {
                return action;
            }
            if !self.leftovers.free() {
                return Action::Continue;
            }
            match std::mem::take(&mut self.stage) {
                Stage::Idle if self.is_deleting() => {
                    let link = self.discard.poll_link(context.host, context.now.instant);
                    let deadline = self.discard.deadline(context.now.instant);
                    return link.map_or(Action::Wait(deadline), Action::Delete);
                }
                Stage::Idle => {
                    if let Some(request) = self.queue.pop() {
                        self.begin(request, context);
                    }
                }
                Stage::Working(mut running) => {
                    let Running { request, reply, work, .. } = &mut *running;
                    match work.poll_action(&RequestSummary { request, reply }, context) {
                        Some(action) => {
                            self.stage = Stage::Working(running);
                            return self.note_action(action);
                        }
                        None => self.conclude(*running, context),
                    }
                }
                Stage::Undoing(mut undo) => {
                    match undo.poll_action(&mut self.transaction, context) {
                        Undone::Next(action) => {
                            self.discard.push_all(&mut undo.discarded, context.now.instant);
                            self.leftovers.append(&mut undo.leftovers);
                            self.stage = Stage::Undoing(undo);
                            return self.note_action(action);
                        }
                        next => self.go_on_undoing(undo, next, context),
                    }
                }
                stage => {
                    self.stage = stage;
                    return self.wait(None);
                }
            }
        }
    }

    /// Returns the next action that no longer depends on the host, if there is one.
    pub(crate) fn poll_ready(&mut self) -> Option<Action> {
        if let Some(unmarked) = self.autostart.take_unmarked() {
            self.ready.push_back(Action::Mark(unmarked));
        }
        if let Some(links) = self.recent.take_unwritten() {
            self.ready.push_back(Action::Remember(links));
        }
        self.ready.pop_front()
    }

    /// Returns whether there is such an action.
    fn has_ready(&self) -> bool {
        !self.ready.is_empty() || self.autostart.has_unmarked() || self.recent.may_be_unwritten()
    }

    /// Takes a handler's decision about a request.
    pub fn handle_decision(
        &mut self,
        request: Request,
        decision: Result<Decision, CallError>,
        context: &Context<'_>,
    ) {
        self.stage = Stage::Idle;
        match decision {
            Ok(Decision::Survey(order)) => {
                self.make_ready(Action::Survey(order.clone()));
                self.stage = Stage::Surveying(order, Sought::Decision(request));
            }
            Ok(Decision::Transact(transaction)) => self.transact(request, transaction, context),
            Ok(Decision::Change(change)) => self.check(request, *change, context),
            Err(err) => self.answer(request, Err(err)),
        }
    }

    /// Takes the result of [`Action::Check`]: lines for the log, or the reason to refuse the
    /// change.
    pub fn handle_check(&mut self, checked: Result<Vec<String>, CallError>, context: &Context<'_>) {
        match std::mem::take(&mut self.stage) {
            Stage::Checking(checking) => match (*checking, checked) {
                (Checking::Change(request, mut change), Ok(warnings)) => {
                    change.warnings.extend(warnings);
                    self.begin_change(request, change, context);
                }
                (Checking::Change(request, _), Err(err)) => self.answer(request, Err(err)),
                (Checking::Attempt { request, definition, partial, losses }, Ok(_)) => {
                    losses.iter().for_each(|loss| warn!("{loss}"));
                    self.attempt(request, &definition, partial, context);
                }
                (Checking::Attempt { definition, .. }, Err(err)) => {
                    self.fail_attempt(&definition.name, &err, context);
                }
            },
            stage => self.stage = stage,
        }
    }

    /// Takes the result of [`Action::Survey`], and adds the interfaces that were destroyed before.
    pub fn handle_survey(&mut self, survey: Result<Survey, HostError>, context: &Context<'_>) {
        match std::mem::take(&mut self.stage) {
            Stage::Surveying(order, Sought::Decision(request)) => match survey {
                Ok(survey) => {
                    let survey = Some(Box::new(self.with_recent(survey, &order)));
                    self.stage = Stage::Deciding;
                    self.make_ready(Action::Decide { request: Box::new(request), survey });
                }
                Err(err) => self.answer(request, Err(err.into())),
            },
            Stage::Surveying(order, Sought::Attempt(request, name)) => {
                let survey = survey.map(|survey| self.with_recent(survey, &order));
                self.plan_attempt(request, name, survey, context);
            }
            stage => self.stage = stage,
        }
    }

    /// Takes the result of [`Action::Record`].
    pub fn handle_record(
        &mut self,
        record: Result<RecordAnswer, HostError>,
        context: &Context<'_>,
    ) {
        match std::mem::take(&mut self.stage) {
            Stage::Recording(purpose) => {
                match record.and_then(|answer| journal::network(answer, context)) {
                    Ok(network) => self.keep(purpose, Some(network), context),
                    Err(err) => self.refuse_to_keep(purpose, err.into(), context),
                }
            }
            Stage::Undoing(mut undo) => {
                let next = undo.handle_record(record, &mut self.transaction, context);
                self.go_on_undoing(undo, next, context);
            }
            stage => self.stage = stage,
        }
    }

    /// Takes the result of [`Action::Perform`].
    pub fn handle_step(&mut self, result: Result<(), StepError>) {
        match &mut self.stage {
            Stage::Working(running) => running.work.job.handle_result(result),
            Stage::Undoing(undo) => undo.handle_step(result),
            _ => {}
        }
    }

    /// Takes the result of [`Action::File`].
    pub fn handle_file(&mut self, result: FileResult, context: &Context<'_>) {
        match self.files.pop_front() {
            None => {}
            Some(FileOwner::Journal) => {
                self.has_stale_journal = result.is_err();
                if let Err(err) = result {
                    warn!("{err}; will retry");
                }
            }
            Some(FileOwner::Note) => {
                if let Err(err) = result {
                    debug!("{err}");
                }
            }
            Some(FileOwner::Stage) => self.handle_file_of_stage(result, context),
        }
    }

    fn handle_file_of_stage(&mut self, result: FileResult, context: &Context<'_>) {
        match std::mem::take(&mut self.stage) {
            Stage::Keeping(mut keeping, purpose) => match keeping.handle_file(result) {
                KeepingResult::Next(actions) => {
                    self.stage = Stage::Keeping(keeping, purpose);
                    actions.into_iter().for_each(|action| self.make_ready(action));
                }
                KeepingResult::Done(snapshot) => self.proceed(purpose, snapshot),
                KeepingResult::Failed { cause, left } => {
                    if let Some(snapshot) = left {
                        self.drop_unused(&purpose, snapshot, context);
                    }
                    self.refuse_to_keep(purpose, cause.into(), context);
                }
            },
            Stage::Committing(mut commit) => match commit.handle_file(result) {
                Committed::Next(action) => {
                    self.stage = Stage::Committing(commit);
                    self.make_ready(action);
                }
                Committed::Done(outcome) => self.end_commit(commit, outcome),
            },
            Stage::Recovering(mut search) => match search.handle_file(result) {
                Recovered::Next(action) => {
                    self.stage = Stage::Recovering(search);
                    self.make_ready(action);
                }
                Recovered::Done(findings) => {
                    let LeftTransaction { found, note, damage } = *findings;
                    self.recovered = damage.map_or(Ok(()), Err);
                    self.resume(search.recovery, found, note, context);
                }
            },
            Stage::Undoing(mut undo) => {
                let next = undo.handle_file(result, &mut self.transaction, context);
                self.go_on_undoing(undo, next, context);
            }
            stage => self.stage = stage,
        }
    }

    /// Iterates over the steps that follow the current one.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &Step> {
        let work = match &self.stage {
            Stage::Working(running) => Some(&running.work),
            Stage::Undoing(undo) => undo.work_under_way(),
            _ => None,
        };
        work.into_iter().flat_map(|work| work.upcoming())
    }

    /// Returns the client whose change is under way.
    pub fn caller(&self) -> Option<&Caller> {
        match &self.stage {
            Stage::Working(running) => running.request.origin.caller(),
            _ => None,
        }
    }

    /// Returns the transaction's status, on which calls depend.
    pub fn status(&self) -> Status<'_> {
        self.transaction.status()
    }

    /// Returns the origin of the transaction that is open or being rolled back.
    pub fn opening(&self) -> Option<&Opening> {
        self.transaction.opening()
    }

    /// Returns whether the transaction that the start found was rolled back, if necessary.
    pub fn recovered(&self) -> &Result<(), CallError> {
        &self.recovered
    }

    /// Returns the queued requests of clients.
    pub(crate) fn waiting(&self) -> Vec<WaitingChange> {
        self.queue.requests().filter_map(Request::waiting).collect()
    }

    /// Returns whether no change is under way or queued.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle) && !self.has_ready() && self.queue.is_empty()
    }

    /// Returns whether nothing remains to be done.
    pub fn is_done(&self) -> bool {
        self.is_idle() && self.leftovers.is_empty() && self.discard.is_done()
    }

    /// Returns whether something may still be done, by the coordinator or by the client that has
    /// begun a transaction.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.is_done() || !self.transaction.is_closed() || self.autostart.is_waiting()
    }

    /// Returns whether the next poll begins a request.
    pub(crate) fn begins_next(&self) -> bool {
        matches!(self.stage, Stage::Idle) && !self.is_deleting()
    }

    /// Returns whether links are being deleted instead of changes made.
    pub(crate) fn is_deleting(&self) -> bool {
        let is_between = matches!(self.stage, Stage::Idle) && !self.has_ready();
        is_between && self.leftovers.is_empty() && (self.queue.is_empty() || self.discard.is_full())
    }

    /// Returns whether steps of a change are being performed, between which packets may be lost.
    pub(crate) fn is_working(&self) -> bool {
        match &self.stage {
            Stage::Working(_) => true,
            Stage::Undoing(undo) => undo.work_under_way().is_some(),
            _ => false,
        }
    }

    /// Returns whether a turn performs only one part of the current computation.
    pub(crate) fn is_in_parts(&self) -> bool {
        match &self.stage {
            _ if !self.leftovers.is_empty() => true,
            Stage::Recording(_) | Stage::Keeping(..) => true,
            Stage::Undoing(undo) => undo.work_under_way().is_none(),
            _ => false,
        }
    }

    /// Returns whether the result of a file operation is awaited.
    pub(crate) fn awaits_file(&self) -> bool {
        !self.files.is_empty()
    }

    /// Makes deletions skip the quiet time.
    pub(crate) fn hurry(&mut self) {
        self.discard.hurry();
    }

    /// Pauses changes, which have taken this much time, so that clients get their share.
    pub(crate) fn yield_to_clients(&mut self, spent: Duration, now: Instant) {
        self.queue.yield_to_clients(spent, now);
    }

    /// Continues after a pause.
    pub fn resume_after_pause(&mut self) {
        self.queue.resume();
    }

    /// Pauses until a result arrives.
    pub(crate) fn wait_for_result(&mut self) {
        self.queue.wait(None);
    }

    /// Returns whether changes are paused, for a result or for the clients.
    pub(crate) fn is_paused(&self) -> bool {
        self.queue.is_paused()
    }

    /// Returns whether changes are paused for the clients.
    pub(crate) fn is_yielding(&self, now: Instant) -> bool {
        self.queue.is_yielding(now)
    }

    /// Returns when to poll again, without other events.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.is_deleting() {
            true => self.discard.deadline(now),
            false => self.queue.deadline(now),
        }
    }

    /// Returns when to call [`Self::handle_time`].
    pub(crate) fn time_deadline(&self, now: &Now) -> Option<Instant> {
        if self.is_stopping {
            return None;
        }
        let journal = self.has_stale_journal.then(|| now.instant + JOURNAL_PAUSE);
        let transaction = self.transaction.deadline(now.since_boot, now.instant);
        [journal, transaction, self.autostart.deadline()].into_iter().flatten().min()
    }
}
