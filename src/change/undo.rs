// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Undo`]: a rollback under way, part by part and round by round, to its end.
//!
//! The network comes first, and needs no file but those of the kernel; then the definition files;
//! and last the snapshot is removed. A part that fails does not delay the others, and is repeated
//! after a pause ([`OpenTransaction`]).
//!
//! A client's rollback begins by renaming the snapshot: a daemon that finds it under the new name
//! continues the rollback. A rollback after the deadline or a reboot needs no such mark.

use std::mem;
use std::rc::Rc;

use log::{debug, error, info, warn};

use crate::call_errors;
use crate::change::action::{
    Action, Context, FileAction, FileAnswer, FileResult, RecordAnswer, RecordScope, TransactionFile,
};
use crate::change::job::{Job, StepError};
use crate::change::leftovers::Leftovers;
use crate::change::request::{Request, RequestSummary};
use crate::change::rollback::{self, Remains, Rollback, RollbackParts, RoundResult, RoundScope};
use crate::change::transaction::{Cause, OpenTransaction, RollbackPart, Tried};
use crate::change::work::Work;
use crate::definitions::files::FilePath;
use crate::error::{CallError, HostError};
use crate::limits::COMPARED_PER_TURN_MAX;
use crate::model::name::IfName;
use crate::model::utc::Utc;
use crate::plan::Plan;
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::snapshot::Snapshot;
use crate::snapshot::files::Files;

const FAILURE: &str = "failed to rollback transaction";

/// A rollback under way.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    pub(super) request: Request,
    target: UndoTarget,
    stage: UndoStage,
    /// Discarded links, to be deleted.
    pub(super) discarded: Vec<IfName>,
    pub(super) leftovers: Leftovers,
    /// Whether no further round begins.
    is_stopping: bool,
}

/// The target of a rollback.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum UndoTarget {
    /// The begin of the transaction.
    Transaction,
    /// The state before the job that an earlier daemon was interrupted in.
    Journal,
}

#[derive(Clone, Debug, Default)]
enum UndoStage {
    /// Between two other stages.
    #[default]
    Moving,
    /// The snapshot is being renamed.
    Marking,
    /// The host is being observed.
    Observing(Round),
    /// The definition files are being read.
    Reading(Round, Box<RecordAnswer>),
    /// The host is being compared with the snapshot.
    Comparing(Round),
    /// The definition files that will be replaced are being copied.
    Copying(Round, Plan),
    Working(Round, Box<Work>),
    /// A snapshot that could not be restored in full is being moved away: the losses, and the
    /// errno.
    SettingAside(String, i32),
    /// The snapshot is being removed: the losses.
    Removing(Option<Lost>),
    /// The same under its other name, with the error under the first name.
    RemovingOther(Option<Lost>, Option<HostError>),
}

/// One round of comparing and restoring.
#[derive(Clone, Debug)]
struct Round {
    /// `None` for a job that is undone whole.
    part: Option<RollbackPart>,
    rollback: Box<Rollback>,
    /// The refused steps of the previous round.
    refused: Vec<(Step, StepError)>,
}

/// Things that could not be restored.
#[derive(Clone, Debug)]
struct Lost {
    text: String,
    /// The same, with the place where the snapshot is kept.
    message: String,
}

/// The progress of a rollback.
#[derive(Clone, Debug)]
pub(super) enum Undone {
    /// It can be polled.
    Going,
    Next(Action),
    Done {
        outcome: Result<Reply, CallError>,
        end: End,
    },
}

/// The state of the transaction after the rollback.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// It waits for another try, or for the next daemon.
    Open,
    /// None. If it ended by itself: how.
    Closed(Option<String>),
    /// A job was undone; its journal still exists.
    Journal,
    /// A job was undone, and its journal was moved.
    NoJournal,
}

impl Undo {
    /// Begins the rollback of the transaction, if one is open.
    pub(super) fn of_transaction(
        request: Request,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> (Self, Undone) {
        let mut undo = Self::new(request, UndoTarget::Transaction);
        let next = match open.roll_back(Cause::Caller) {
            None => undo.end(Err(call_errors::invariant("only an open change is rolled back"))),
            Some(ending) if ending.cause == Cause::Caller => {
                undo.wait(UndoStage::Marking, Action::File(FileAction::BeginRollback))
            }
            Some(_) => undo.next_part(None, open, context),
        };
        (undo, next)
    }

    /// Begins to undo a job.
    pub(super) fn of_job(
        request: Request,
        journal: Snapshot,
        context: &Context<'_>,
    ) -> (Self, Undone) {
        let mut undo = Self::new(request, UndoTarget::Journal);
        let parts = RollbackParts { network: true, files: true };
        let rollback = Rollback::new(Rc::new(journal), parts, &context.now.moment());
        let next = undo.next_round(Round {
            part: None,
            rollback: Box::new(rollback),
            refused: Vec::new(),
        });
        (undo, next)
    }

    fn new(request: Request, target: UndoTarget) -> Self {
        let (stage, discarded) = (UndoStage::Moving, Vec::new());
        let leftovers = Leftovers::default();
        Self { request, target, stage, discarded, leftovers, is_stopping: false }
    }

    /// Returns the next action; none while a result is awaited.
    pub(super) fn poll_action(
        &mut self,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        match mem::take(&mut self.stage) {
            UndoStage::Comparing(mut round) => {
                let Round { rollback, refused, .. } = &mut round;
                match rollback.poll_next(refused, COMPARED_PER_TURN_MAX) {
                    None => self.wait(UndoStage::Comparing(round), Action::Continue),
                    Some(next) => self.go_on(round, next, open, context),
                }
            }
            UndoStage::Working(round, mut work) => {
                let brief = RequestSummary { request: &self.request, reply: &Reply::Empty };
                match work.poll_action(&brief, context) {
                    Some(action) => self.wait(UndoStage::Working(round, work), action),
                    None => {
                        self.discarded.append(&mut work.discarded);
                        let (steps, refused) = work.job.into_rest();
                        self.leftovers.push_steps(steps);
                        self.next_round(Round { refused, ..round })
                    }
                }
            }
            stage @ (UndoStage::Moving
            | UndoStage::Marking
            | UndoStage::Observing(_)
            | UndoStage::Reading(..)
            | UndoStage::Copying(..)
            | UndoStage::SettingAside(..)
            | UndoStage::Removing(_)
            | UndoStage::RemovingOther(..)) => self.wait(stage, Action::Wait(None)),
        }
    }

    /// Takes the result of [`Action::Record`].
    pub(super) fn handle_record(
        &mut self,
        record: Result<RecordAnswer, HostError>,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        match (mem::take(&mut self.stage), record) {
            (UndoStage::Observing(round), Ok(observed))
                if round.part == Some(RollbackPart::Network) =>
            {
                self.compare(round, observed, Ok(Files::default()), context)
            }
            (UndoStage::Observing(round), Ok(observed)) => {
                let snapshot = Rc::clone(round.rollback.snapshot());
                let read = Action::File(FileAction::ReadDefinitions(Some(snapshot)));
                self.wait(UndoStage::Reading(round, Box::new(observed)), read)
            }
            (UndoStage::Observing(round), Err(err)) => {
                let (network, errno) = (vec![err.to_string()], Some(err.errno()));
                let remains = Remains { network, errno, ..Remains::default() };
                self.end_part(round, Some(remains), open, context)
            }
            (stage, _) => {
                self.stage = stage;
                Undone::Going
            }
        }
    }

    /// Takes the result of a file operation.
    pub(super) fn handle_file(
        &mut self,
        result: FileResult,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        match mem::take(&mut self.stage) {
            UndoStage::Marking => {
                if let Err(err) = result {
                    warn!(
                        "{err}: if the daemon dies now, a client must ask for the rollback again"
                    );
                }
                self.next_part(None, open, context)
            }
            UndoStage::Reading(round, observed) => {
                let files = match result {
                    Ok(FileAnswer::Definitions(files)) => Ok(files),
                    Ok(_) => Ok(Files::default()),
                    Err(err) => Err(err.cause),
                };
                self.compare(round, *observed, files, context)
            }
            UndoStage::Copying(round, plan) => {
                note_copies(result, &plan, open);
                self.work(round, plan)
            }
            UndoStage::SettingAside(text, errno) => self.handle_aside(text, errno, result),
            UndoStage::Removing(lost) => {
                let next = UndoStage::RemovingOther(lost, result.err().map(|err| err.cause));
                let other = FileAction::Remove(TransactionFile::Rollback);
                self.wait(next, Action::File(other))
            }
            UndoStage::RemovingOther(lost, first) => {
                let failed = first.or(result.err().map(|err| err.cause));
                self.close(lost, failed, open, context)
            }
            stage @ (UndoStage::Moving
            | UndoStage::Observing(_)
            | UndoStage::Comparing(_)
            | UndoStage::Working(..)) => {
                self.stage = stage;
                Undone::Going
            }
        }
    }

    /// Notes that the step under way is over.
    pub(super) fn handle_step(&mut self, result: Result<(), StepError>) {
        if let UndoStage::Working(_, work) = &mut self.stage {
            work.job.handle_result(result);
        }
    }

    /// Stops: the rest is left to the next daemon.
    pub(super) fn stop(&mut self, why: StepError) -> Undone {
        self.is_stopping = true;
        match &mut self.stage {
            UndoStage::Working(_, work) => {
                work.abort(why);
                Undone::Going
            }
            UndoStage::Observing(_) | UndoStage::Comparing(_) => {
                self.end(Err(call_errors::stopping()))
            }
            UndoStage::Moving
            | UndoStage::Marking
            | UndoStage::Reading(..)
            | UndoStage::Copying(..)
            | UndoStage::SettingAside(..)
            | UndoStage::Removing(..)
            | UndoStage::RemovingOther(..) => Undone::Going,
        }
    }

    /// Returns the job that is under way.
    pub(super) fn work_under_way(&self) -> Option<&Work> {
        match &self.stage {
            UndoStage::Working(_, work) => Some(work),
            UndoStage::Moving
            | UndoStage::Marking
            | UndoStage::Observing(_)
            | UndoStage::Reading(..)
            | UndoStage::Comparing(_)
            | UndoStage::Copying(..)
            | UndoStage::SettingAside(..)
            | UndoStage::Removing(..)
            | UndoStage::RemovingOther(..) => None,
        }
    }

    fn wait(&mut self, stage: UndoStage, action: Action) -> Undone {
        self.stage = stage;
        Undone::Next(action)
    }

    /// Ends without a change of the transaction.
    fn end(&self, outcome: Result<Reply, CallError>) -> Undone {
        self.finish(outcome, End::Open)
    }

    fn finish(&self, outcome: Result<Reply, CallError>, end: End) -> Undone {
        Undone::Done { outcome, end }
    }

    /// Begins the part that follows `after`, or ends the try.
    fn next_part(
        &mut self,
        after: Option<RollbackPart>,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        let Some(ending) = open.ending() else {
            return self.end(Err(call_errors::invariant("a rollback under way has a transaction")));
        };
        let Some(part) = ending.next_part(after) else { return self.settle(open, context) };
        let parts = match part {
            RollbackPart::Network => RollbackParts { network: true, files: false },
            RollbackPart::Files => RollbackParts { network: false, files: true },
        };
        let rollback = Rollback::new(Rc::clone(&ending.snapshot), parts, &context.now.moment());
        self.next_round(Round {
            part: Some(part),
            rollback: Box::new(rollback),
            refused: Vec::new(),
        })
    }

    /// Begins a round: the host is observed first.
    fn next_round(&mut self, round: Round) -> Undone {
        if self.is_stopping {
            return self.end(Err(call_errors::stopping()));
        }
        let scope = match round.rollback.scope() {
            RoundScope::Nothing => RecordScope::Nothing,
            RoundScope::Host => RecordScope::Host,
            RoundScope::Links(links) => RecordScope::Links {
                links: links.clone(),
                has_neighbours: round.rollback.has_neighbours(),
            },
        };
        self.wait(UndoStage::Observing(round), Action::Record(scope))
    }

    /// Begins to compare the host with the snapshot.
    fn compare(
        &mut self,
        mut round: Round,
        answer: RecordAnswer,
        files: Result<Files, HostError>,
        context: &Context<'_>,
    ) -> Undone {
        let RecordAnswer { record, leases, foreign } = answer;
        let foreign = match round.rollback.scope() {
            RoundScope::Nothing => None,
            RoundScope::Host | RoundScope::Links(_) => foreign
                .inspect_err(|err| {
                    warn!("{err}: DHCP clients that the daemon did not start stay as they are")
                })
                .ok(),
        };
        let at = round.rollback.snapshot().opening.at;
        let elapsed = context.now.moment().since_boot.saturating_sub(at);
        let observed = rollback::Observed { files, record, leases, foreign, elapsed };
        round.rollback.begin_round(observed);
        self.stage = UndoStage::Comparing(round);
        Undone::Going
    }

    /// Goes on with the result of the comparison.
    fn go_on(
        &mut self,
        round: Round,
        next: RoundResult,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        let plan = match next {
            RoundResult::Do(plan) => plan,
            RoundResult::Restored => return self.end_part(round, None, open, context),
            RoundResult::GiveUp(remains) => {
                return self.end_part(round, Some(remains), open, context);
            }
        };
        debug!("rollback, round {}:\n{plan}", round.rollback.round());
        // Another try, or round, makes no new copies.
        let copied = open.ending().map(|ending| &ending.copied);
        let is_copied = |path: &FilePath| copied.is_some_and(|copied| copied.contains(path));
        let restored = plan.steps.iter().filter_map(|it| it.step.restores());
        let restored: Vec<_> = restored.filter(|file| !is_copied(&file.path)).cloned().collect();
        match restored.is_empty() {
            true => self.work(round, plan),
            false => {
                let copy = Action::File(FileAction::KeepCopies(restored));
                self.wait(UndoStage::Copying(round, plan), copy)
            }
        }
    }

    fn work(&mut self, round: Round, plan: Plan) -> Undone {
        let discarded = plan.discarded.clone();
        self.stage =
            UndoStage::Working(round, Box::new(Work::new(Job::persistent(plan), discarded)));
        Undone::Going
    }

    /// Ends a part; `remains` could not be restored.
    fn end_part(
        &mut self,
        round: Round,
        remains: Option<Remains>,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        round.rollback.leave(&mut self.leftovers);
        let Some(part) = round.part else { return self.end_job(remains) };
        if let Some(ending) = open.ending() {
            ending.handle_part(part, remains);
        }
        self.next_part(Some(part), open, context)
    }

    /// Ends the undoing of a job. The transaction stays open.
    fn end_job(&mut self, remains: Option<Remains>) -> Undone {
        let Some(remains) = remains else {
            info!("undid an interrupted change");
            return self.finish(Ok(Reply::Empty), End::Journal);
        };
        let text = format!("an interrupted change is undone only in part: {remains}");
        let errno = remains.errno.unwrap_or(libc::EIO);
        let aside = Action::File(FileAction::SetAside(&[TransactionFile::Journal]));
        self.wait(UndoStage::SettingAside(text, errno), aside)
    }

    /// Ends a try after its last part: the transaction is over, or waits for another try.
    fn settle(&mut self, open: &mut OpenTransaction, context: &Context<'_>) -> Undone {
        let tried = open.ending().map(|ending| ending.outcome());
        match tried {
            Some(Tried::Failed { text, errno }) => {
                postpone(open, &text, context);
                let text = format!("{FAILURE}: {text}; the daemon will retry");
                self.end(Err(call_errors::host(text, errno)))
            }
            Some(Tried::Whole) | None => self.remove(None),
            Some(Tried::Lost(text)) => {
                const EITHER: &[TransactionFile] =
                    &[TransactionFile::Snapshot, TransactionFile::Rollback];
                let aside = Action::File(FileAction::SetAside(EITHER));
                self.wait(UndoStage::SettingAside(text, libc::EIO), aside)
            }
        }
    }

    /// Takes the result of moving a snapshot away that could not be restored in full.
    fn handle_aside(&mut self, text: String, errno: i32, result: FileResult) -> Undone {
        let mut message = text.clone();
        let is_moved = match result {
            Ok(FileAnswer::Aside(Some(set))) => {
                message += "; the snapshot is kept in ";
                message += &set;
                true
            }
            Ok(_) => true,
            Err(err) => {
                warn!("{err}");
                false
            }
        };
        match self.target {
            // A snapshot that cannot be moved is removed: all that can be restored is.
            UndoTarget::Transaction => self.remove(Some(Lost { text, message })),
            UndoTarget::Journal => {
                error!("{message}");
                let end = if is_moved { End::NoJournal } else { End::Journal };
                self.finish(Err(call_errors::host(message, errno)), end)
            }
        }
    }

    fn remove(&mut self, lost: Option<Lost>) -> Undone {
        let first = FileAction::Remove(TransactionFile::Snapshot);
        self.wait(UndoStage::Removing(lost), Action::File(first))
    }

    /// Ends the transaction if its snapshot is gone: otherwise the next daemon would roll back to
    /// it again.
    fn close(
        &mut self,
        lost: Option<Lost>,
        failed: Option<HostError>,
        open: &mut OpenTransaction,
        context: &Context<'_>,
    ) -> Undone {
        if let Some(Lost { message, .. }) = &lost {
            error!("{FAILURE}: {message}");
        }
        let outcome = match &lost {
            None => Ok(Reply::Empty),
            Some(Lost { message, .. }) => {
                Err(call_errors::host(format!("{FAILURE}: {message}"), libc::EIO))
            }
        };
        if let Some(err) = failed {
            postpone(open, &err.to_string(), context);
            return self.end(outcome);
        }
        let note = open.ending().and_then(|ending| {
            let opening = &ending.snapshot.opening;
            let why = ending.cause.as_str();
            match ending.cause {
                Cause::NotBegun => {
                    warn!("removed the snapshot of a change that could not begin");
                    return None;
                }
                Cause::Caller => {
                    warn!("rolled back the change {opening}");
                    return None;
                }
                Cause::Deadline | Cause::Reboot | Cause::Resumed => {}
            }
            warn!("rolled back the change {opening}: {why}");
            let at = Utc::since_epoch(context.now.wall).to_the_second();
            let mut note = format!("the change {opening} was rolled back at {at}: {why}");
            if let Some(Lost { text, .. }) = &lost {
                note += "; ";
                note += text;
            }
            if let Some(aside) = ending.aside.take() {
                note += "; the edited definition files are kept in ";
                note += &aside;
            }
            Some(note)
        });
        self.finish(outcome, End::Closed(note))
    }
}

/// Schedules another try after a failed one.
pub(super) fn postpone(open: &mut OpenTransaction, why: &str, context: &Context<'_>) {
    let pause = open.handle_failure(why.to_owned(), context.now.instant).as_secs();
    let opening = open.opening().map(ToString::to_string).unwrap_or_default();
    error!("the rollback of the change {opening} has failed; retrying in {pause} s: {why}");
}

/// Notes the copies of replaced files. If none could be made, the rollback continues.
fn note_copies(result: FileResult, plan: &Plan, open: &mut OpenTransaction) {
    match result {
        Ok(answer) => {
            let Some(ending) = open.ending() else { return };
            let restored = plan.steps.iter().filter_map(|it| it.step.restores());
            ending.copied.extend(restored.map(|file| file.path.clone()));
            if let FileAnswer::Aside(Some(set)) = answer {
                info!("the edited definition files are kept in {set}");
                let first = ending.aside.take();
                ending.aside = Some(first.map_or(set.clone(), |first| format!("{first}, {set}")));
            }
        }
        Err(err) => warn!("{err}: the edited definition files are not kept"),
    }
}
