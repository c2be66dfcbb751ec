// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Commit`]: removes the snapshot of a transaction, so that its changes stay.

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
    /// The error of a snapshot that could not be removed durably, while it is written again.
    failure: Option<HostError>,
}

/// The progress of the commit.
#[derive(Clone, Debug)]
pub(super) enum Committed {
    Next(Action),
    Done(Result<(), HostError>),
}

impl Commit {
    /// Begins, with the first action.
    pub(super) fn new(request: Request, snapshot: Rc<Snapshot>) -> (Self, Action) {
        let remove = Action::File(FileAction::Remove(TransactionFile::Snapshot));
        (Self { request, snapshot, failure: None }, remove)
    }

    pub(super) fn handle_file(&mut self, result: FileResult) -> Committed {
        match (self.failure.take(), result) {
            (None, Ok(_)) => Committed::Done(Ok(())),
            (None, Err(FileError { cause, is_there: true })) => Committed::Done(Err(cause)),
            // The file is removed, but perhaps not durably: a client that gets an error must find
            // the transaction open.
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
