// SPDX-License-Identifier: LGPL-2.1-or-later
//! Begin, commit and rollback of a transaction, and the recovery of one that an earlier daemon has
//! left.

use std::rc::Rc;

use log::{error, info, warn};

use crate::call_errors;
use crate::change::Coordinator;
use crate::change::action::{Action, Context, FileAction, RecordScope};
use crate::change::commit::Commit;
use crate::change::decision::Transaction;
use crate::change::job::StepError;
use crate::change::request::{Origin, Request};
use crate::change::rollback::{self, LeftSnapshots, Recovery, Resumption};
use crate::change::stage::{Purpose, Stage};
use crate::change::transaction::Cause;
use crate::change::undo::{End, Undo, Undone};
use crate::error::HostError;
use crate::model::client::Privilege;
use crate::proto::Reply;
use crate::proto::interface::TransactionCall;
use crate::snapshot::Snapshot;

impl Coordinator {
    /// Carries out a call about a transaction.
    pub(super) fn transact(
        &mut self,
        request: Request,
        transaction: Transaction,
        context: &Context<'_>,
    ) {
        match (transaction, self.settings.privilege) {
            (Transaction::Begin, Privilege::System) => {
                self.stage = Stage::Recording(Purpose::Begin(request));
                self.make_ready(Action::Record(RecordScope::Host));
            }
            (Transaction::Begin, Privilege::Session) => {
                self.keep(Purpose::Begin(request), None, context);
            }
            (Transaction::Commit, _) => self.commit(request, context),
            (Transaction::Rollback, _) => {
                let (undo, next) = Undo::of_transaction(request, &mut self.transaction, context);
                self.go_on_undoing(Box::new(undo), next, context);
            }
        }
    }

    fn commit(&mut self, request: Request, context: &Context<'_>) {
        let committable = self.transaction.committable(context.now.since_boot).map(Rc::clone);
        let Some(snapshot) = committable else {
            let failure = "failed to commit transaction";
            let err = call_errors::in_rollback(failure, Cause::Deadline.as_str());
            return self.answer(request, Err(err));
        };
        let (commit, first) = Commit::new(request, snapshot);
        self.stage = Stage::Committing(commit);
        self.make_ready(first);
    }

    pub(super) fn end_commit(&mut self, commit: Commit, outcome: Result<(), HostError>) {
        let Commit { request, snapshot, .. } = commit;
        if let Err(err) = outcome {
            return self.answer(request, Err(err.into()));
        }
        warn!("committed the change {}", snapshot.opening);
        self.close(None);
        self.autostart.note_committed();
        self.answer(request, Ok(Reply::Empty));
    }

    /// Closes the transaction.
    fn close(&mut self, last: Option<String>) {
        let snapshot = self.transaction.close(last);
        snapshot.into_iter().for_each(|snapshot| self.leftovers.push_snapshot(snapshot));
        self.make_ready(Action::Dismiss);
    }

    /// Continues a rollback, or ends it.
    pub(super) fn go_on_undoing(
        &mut self,
        mut undo: Box<Undo>,
        next: Undone,
        context: &Context<'_>,
    ) {
        self.discard.push_all(&mut undo.discarded, context.now.instant);
        self.leftovers.append(&mut undo.leftovers);
        match next {
            Undone::Going => self.stage = Stage::Undoing(undo),
            Undone::Next(action) => {
                self.stage = Stage::Undoing(undo);
                self.make_ready(action);
            }
            Undone::Done { outcome, end } => {
                match end {
                    End::Open | End::NoJournal => {}
                    End::Journal => self.remove_journal(),
                    End::Closed(last) => {
                        self.autostart.note_rolled_back();
                        if let Some(last) = &last {
                            self.make_ready(Action::File(FileAction::WriteNote(last.clone())));
                        }
                        self.close(last);
                    }
                }
                self.answer(undo.request, outcome);
            }
        }
    }

    /// Requests a rollback, ahead of all queued requests. A change under way is undone.
    pub(super) fn ask_for_rollback(&mut self, cause: Cause) {
        let call = TransactionCall::Rollback { flags: 0 }.into();
        self.queue.push_first(Request { origin: Origin::Daemon(cause.as_str()), call });
        let (Stage::Working(running)
        | Stage::Recording(Purpose::Journal(running))
        | Stage::Keeping(_, Purpose::Journal(running))) = &mut self.stage
        else {
            return;
        };
        let text = "the change is rolled back".to_owned();
        running.work.abort(StepError { errno: libc::ECANCELED, text });
        self.queue.resume();
    }

    /// Continues with the files that an earlier daemon has left.
    pub(super) fn resume(
        &mut self,
        recovery: Recovery,
        found: Result<LeftSnapshots, HostError>,
        note: Option<String>,
        context: &Context<'_>,
    ) {
        let found = match found {
            Ok(found) => found,
            Err(err) => return self.find_again(&err, context),
        };
        self.close(note);
        let (is_marked, has_journal) = (found.rollback.is_some(), found.journal.is_some());
        let now = context.now.moment();
        match rollback::resume(found, recovery, &now) {
            Resumption::Nothing => self.forget_journal(has_journal),
            Resumption::Open(snapshot) => self.reopen(snapshot, recovery, context),
            Resumption::UndoJob { snapshot, journal } => {
                self.reopen(snapshot, recovery, context);
                let call = TransactionCall::Rollback { flags: 0 }.into();
                let why = "a change was interrupted";
                let request = Request { origin: Origin::Daemon(why), call };
                let (undo, next) = Undo::of_job(request, *journal, context);
                self.go_on_undoing(Box::new(undo), next, context);
            }
            Resumption::RollBack(snapshot) => {
                let cause = match (is_marked, snapshot.opening.is_of_boot(&now)) {
                    (true, _) => Cause::Resumed,
                    (false, true) => Cause::Deadline,
                    (false, false) => Cause::Reboot,
                };
                self.reopen(snapshot, recovery, context);
                self.forget_journal(has_journal);
                self.transaction.roll_back(cause);
                self.ask_for_rollback(cause);
            }
        }
    }

    /// Handles the transaction's deadline.
    pub(super) fn expire(&mut self) {
        if let Some(opening) = self.transaction.opening() {
            warn!("change_timeout expired: rolling back the change {opening}");
        }
        self.ask_for_rollback(Cause::Deadline);
    }

    /// Requests another try of a rollback that could not be completed.
    pub(super) fn roll_back_again(&mut self) {
        info!("retrying the rollback of the open change");
        self.ask_for_rollback(Cause::Deadline);
    }

    /// Schedules another look for files of an earlier daemon that cannot be read: they may require
    /// a rollback.
    fn find_again(&mut self, err: &HostError, context: &Context<'_>) {
        let pause = self.transaction.handle_unread(err.to_string(), context.now.instant).as_secs();
        error!("{err}: looking again in {pause} s for a change that an earlier daemon left open");
        self.recovered = Err(call_errors::host(err.to_string(), err.errno()));
    }

    fn reopen(&mut self, snapshot: Box<Snapshot>, recovery: Recovery, context: &Context<'_>) {
        warn!("found an open change left by an earlier daemon, {}", snapshot.opening);
        let is_of_boot = snapshot.opening.is_of_boot(&context.now.moment());
        if recovery == Recovery::Whole && is_of_boot {
            let deadline = snapshot.opening.deadline;
            deadline.into_iter().for_each(|deadline| self.make_ready(Action::StandBy(deadline)));
        }
        self.transaction.begin(Rc::from(snapshot));
    }

    fn forget_journal(&mut self, is_there: bool) {
        if is_there {
            self.remove_journal();
        }
    }
}
