// SPDX-License-Identifier: LGPL-2.1-or-later
//! The end of a request: answers its client, and records the consequences.

use log::{debug, warn};

use crate::call_errors;
use crate::change::Coordinator;
use crate::change::action::{Action, Context, FileAction, TransactionFile};
use crate::change::job::Failure;
use crate::change::request::{Origin, Request, RequestSummary};
use crate::change::running::Running;
use crate::change::stage::{FileOwner, Stage};
use crate::change::transaction::Status;
use crate::error::CallError;
use crate::proto::Reply;

impl Coordinator {
    /// Queues an action.
    pub(super) fn make_ready(&mut self, action: Action) {
        let action = self.note_action(action);
        self.ready.push_back(action);
    }

    /// Notes the consequences of an action that is returned: a wait pauses changes, and a file
    /// operation gets an owner for its result.
    pub(super) fn note_action(&mut self, action: Action) -> Action {
        if let Action::Wait(until) = &action {
            self.queue.wait(*until);
        } else if let Action::File(operation) = &action {
            self.files.push_back(owner(operation));
        }
        action
    }

    /// Removes the journal. If that fails it is tried again, as the journal would undo later
    /// changes.
    pub(super) fn remove_journal(&mut self) {
        self.make_ready(Action::File(FileAction::Remove(TransactionFile::Journal)));
    }

    /// Handles the end of a job.
    pub(super) fn conclude(&mut self, running: Running, context: &Context<'_>) {
        if !self.transaction.is_closed() {
            self.remove_journal();
        }
        let Running { request, work, reply, removed, found, failure, .. } = running;
        let (now, job) = (context.now.instant, &work.job);
        if let Some(name) = request.attempted() {
            self.recent.note_found(found, context.host);
            self.discard.push(work.discarded, now);
            // The next daemon must try again the interfaces that this one had no time for.
            if !self.is_stopping {
                let refused = job.refused().iter().map(|(step, err)| format!("{step}: {err}"));
                self.autostart.note_attempt(&name, refused.collect(), context);
                self.queue_attempts();
            }
            return;
        }
        let summary = RequestSummary { request: &request, reply: &reply };
        let outcome = match job.outcome() {
            Ok(()) => {
                // At the default level, like every change of the host.
                warn!("{summary}: done");
                for (step, err) in job.refused() {
                    warn!("{summary}: not restored: {step}: {err}");
                }
                self.recent.note_done(&request.call, context.definitions);
                self.recent.note_found(found, context.host);
                self.recent.push(removed, now);
                self.discard.push(work.discarded, now);
                Ok(reply)
            }
            Err(err) => {
                warn!("{summary}: {err}");
                Err(refusal(&failure, err))
            }
        };
        self.answer(request, outcome);
    }

    /// Queues the requests of automatic starts.
    pub(super) fn queue_attempts(&mut self) {
        self.autostart.take_requests().into_iter().for_each(|request| self.queue.push(request));
    }

    /// Refuses a request that was decided but cannot be carried out.
    pub(super) fn refuse(&mut self, request: Request, err: CallError, context: &Context<'_>) {
        let Some(name) = request.attempted() else { return self.answer(request, Err(err)) };
        self.autostart.note_attempt(&name, vec![err.message().to_owned()], context);
        self.queue_attempts();
    }

    /// Answers a request, after which none is under way.
    pub(super) fn answer(&mut self, request: Request, outcome: Result<Reply, CallError>) {
        let is_attempt = request.attempted().is_some();
        match request.origin {
            Origin::Client { .. } => {
                if outcome.is_ok() {
                    self.autostart.note_call(&request.call);
                }
                self.make_ready(Action::Answer { request: Box::new(request), outcome });
            }
            Origin::Daemon(why) => {
                debug!("{why}: {outcome:?}");
                // An interface that was to come up is left to the next daemon, if this one is
                // stopping.
                if !is_attempt {
                    self.note_rolled_back(outcome);
                }
            }
        }
    }

    /// Handles the end of a rollback that the daemon has requested itself.
    fn note_rolled_back(&mut self, outcome: Result<Reply, CallError>) {
        self.recovered = match self.transaction.status() {
            // Everything is restored, but the next daemon would restore the snapshot again.
            Status::Ending { failure: Some(failure), .. } if outcome.is_ok() => {
                let text = format!("failed to rollback transaction: {failure}");
                Err(call_errors::host(text, libc::EIO))
            }
            Status::Ending { .. }
            | Status::Open(_)
            | Status::Closed { .. }
            | Status::Unread { .. } => outcome.map(|_| ()),
        };
    }

    /// Waits for a result, or until this time.
    pub(super) fn wait(&mut self, until: Option<std::time::Instant>) -> Action {
        self.queue.wait(until);
        Action::Wait(until)
    }

    /// Begins the steps of a change.
    pub(super) fn start(&mut self, mut running: Box<Running>) {
        if let Some(shelved) = running.shelved.take() {
            self.make_ready(Action::Shelve(shelved));
        }
        self.stage = Stage::Working(running);
    }
}

/// Returns the owner of a file operation's result.
fn owner(operation: &FileAction) -> FileOwner {
    match operation {
        FileAction::WriteNote(_) | FileAction::ForgetNote => FileOwner::Note,
        FileAction::Remove(TransactionFile::Journal) => FileOwner::Journal,
        FileAction::ReadDefinitions(_)
        | FileAction::ReadLeft
        | FileAction::Write(..)
        | FileAction::Remove(_)
        | FileAction::BeginRollback
        | FileAction::SetAside(_)
        | FileAction::KeepCopies(_) => FileOwner::Stage,
    }
}

/// Returns the error that the client of a failed change gets.
fn refusal(failure: &str, err: &Failure) -> CallError {
    let text = format!("{failure}: {err}");
    match err.error.errno {
        libc::EPERM | libc::EACCES => call_errors::denied(text),
        errno => call_errors::host(text, errno),
    }
}
