// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Commit`]: the snapshot of a transaction goes, and what was changed stays.

use std::rc::Rc;

use log::error;

use crate::change::action::{Action, FileAction, FileError, FileResult, TransactionFile};
use crate::change::request::Request;
use crate::error::HostError;
use crate::snapshot::Snapshot;

/// A commit under way.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) request: Request,
    pub(super) snapshot: Rc<Snapshot>,
    /// Why the snapshot could not be removed durably, once it is written anew.
    failure: Option<HostError>,
}

/// How far it has come.
#[derive(Clone, Debug)]
pub(super) enum Committed {
    Next(Action),
    Done(Result<(), HostError>),
}

impl Commit {
    /// The first action comes with it.
    pub(super) fn new(request: Request, snapshot: Rc<Snapshot>) -> (Self, Action) {
        let remove = Action::File(FileAction::Remove(TransactionFile::Snapshot));
        (Self { request, snapshot, failure: None }, remove)
    }

    pub(super) fn handle_file(&mut self, result: FileResult) -> Committed {
        match (self.failure.take(), result) {
            (None, Ok(_)) => Committed::Done(Ok(())),
            (None, Err(FileError { cause, is_there: true })) => Committed::Done(Err(cause)),
            // It is gone, but perhaps not from the disk: a client that reads of a failure finds the
            // transaction open.
            (None, Err(FileError { cause, is_there: false })) => {
                self.failure = Some(cause);
                let snapshot = Rc::clone(&self.snapshot);
                let write = FileAction::Write(TransactionFile::Snapshot, snapshot);
                Committed::Next(Action::File(write))
            }
            (Some(failure), Ok(_)) => Committed::Done(Err(failure)),
            (Some(failure), Err(again)) => {
                error!("{again}: if the daemon ends, the open change is not rolled back");
                Committed::Done(Err(failure))
            }
        }
    }
}
