// SPDX-License-Identifier: LGPL-2.1-or-later
//! A snapshot that is written down, part by part, before a change is open or a job of it sets out. Calls
//! that look are answered meanwhile.

use std::rc::Rc;
use std::time::Instant;

use crate::error::HostError;
use crate::faults;
use crate::io::change_folder::{Kept, Writing};
use crate::limits::KEPT_PER_TURN_MAX;
use crate::server::Server;
use crate::server::request::Request;
use crate::server::running::Running;
use crate::snapshot::Snapshot;

/// A snapshot that is being written down, and what goes on when it is.
#[derive(Debug)]
pub(super) struct Keeping {
    snapshot: Rc<Snapshot>,
    writing: Writing,
    then: WithKept,
}

/// What goes on with a snapshot on the disk.
#[derive(Debug)]
pub(super) enum WithKept {
    /// A change is open that can be undone.
    Begin(Request),
    /// A job of an open change sets out.
    Journal(Box<Running>),
}

impl Keeping {
    /// The job that sets out when it is written.
    pub(super) fn job_mut(&mut self) -> Option<&mut Running> {
        match &mut self.then {
            WithKept::Journal(running) => Some(running),
            WithKept::Begin(_) => None,
        }
    }
}

impl WithKept {
    fn kept(&self) -> Kept {
        match self {
            Self::Begin(_) => Kept::Change,
            Self::Journal(_) => Kept::Journal,
        }
    }
}

impl Server {
    /// Begins to write a snapshot down.
    pub(super) fn keep(&mut self, snapshot: Snapshot, then: WithKept, now: Instant) {
        let snapshot = Rc::new(snapshot);
        match self.change.folder.begin_writing(then.kept(), &snapshot) {
            Ok(writing) => self.jobs.keep(Keeping { snapshot, writing, then }),
            Err(err) => self.end_keeping(then, snapshot, Err(err), now),
        }
    }

    /// Goes on writing, as far as a turn has time for it.
    pub(super) fn go_on_keeping(&mut self, now: Instant) {
        let Some(mut keeping) = self.jobs.take_keeping() else { return };
        if self.is_stopping() {
            return self.drop_keeping(keeping, now);
        }
        match keeping.writing.poll(&keeping.snapshot, KEPT_PER_TURN_MAX) {
            Ok(false) => self.jobs.keep(keeping),
            outcome => {
                let Keeping { snapshot, then, .. } = keeping;
                self.end_keeping(then, snapshot, outcome.map(drop), now);
            }
        }
    }

    fn end_keeping(
        &mut self,
        then: WithKept,
        snapshot: Rc<Snapshot>,
        outcome: Result<(), HostError>,
        now: Instant,
    ) {
        match (then, outcome) {
            (WithKept::Begin(request), outcome) => {
                let outcome = self.open_change(snapshot, outcome, now);
                self.answer(request, outcome, now);
            }
            (WithKept::Journal(running), Ok(())) => {
                self.change.note_journal();
                self.start(*running);
            }
            (WithKept::Journal(running), Err(err)) => {
                if self.change.folder.has(Kept::Journal) {
                    self.change.remove_journal();
                }
                self.refuse(running.request, err.into(), now);
            }
        }
    }

    /// The daemon stops, and nothing has been done yet.
    fn drop_keeping(&mut self, keeping: Keeping, now: Instant) {
        keeping.writing.give_up();
        let request = match keeping.then {
            WithKept::Begin(request) => {
                self.change.standby.dismiss();
                request
            }
            WithKept::Journal(running) => running.request,
        };
        self.answer(request, Err(faults::stopping()), now);
    }
}
