// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Keeping`]: records the host before a transaction, or a job of one, changes it.

use std::rc::Rc;

use crate::change::action::{
    Action, FileAction, FileAnswer, FileError, FileResult, TransactionFile,
};
use crate::error::HostError;
use crate::snapshot::{Network, Opening, Snapshot};

/// A snapshot that is being written.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    file: TransactionFile,
    opening: Opening,
    network: Option<Network>,
    snapshot: Option<Rc<Snapshot>>,
}

/// The progress of the recording.
#[derive(Clone, Debug)]
pub(super) enum KeepingResult {
    Next(Vec<Action>),
    Done(Rc<Snapshot>),
    /// The snapshot is not on the disk, or must not be used.
    Failed {
        cause: HostError,
        /// The snapshot whose file is on the disk although the write failed, and must be removed.
        left: Option<Rc<Snapshot>>,
    },
}

impl Keeping {
    /// `network` is `None` if it is not to be restored. Returns the first action, too.
    pub(super) fn new(
        file: TransactionFile,
        opening: Opening,
        network: Option<Network>,
    ) -> (Self, Action) {
        let keeping = Self { file, opening, network, snapshot: None };
        (keeping, Action::File(FileAction::ReadDefinitions(None)))
    }

    pub(super) fn handle_file(&mut self, result: FileResult) -> KeepingResult {
        match (result, self.snapshot.take()) {
            (Ok(FileAnswer::Definitions(files)), None) => self.write(files),
            (Ok(_), Some(snapshot)) => KeepingResult::Done(snapshot),
            (Ok(_), None) => {
                let cause = std::io::Error::from_raw_os_error(libc::EIO);
                let cause = HostError::new("read", "the definition files", &cause);
                KeepingResult::Failed { cause, left: None }
            }
            (Err(FileError { cause, is_there }), snapshot) => {
                KeepingResult::Failed { cause, left: snapshot.filter(|_| is_there) }
            }
        }
    }

    fn write(&mut self, files: crate::snapshot::files::Files) -> KeepingResult {
        let (opening, network) = (self.opening.clone(), self.network.take());
        let deadline = opening.deadline.filter(|_| self.file == TransactionFile::Snapshot);
        let snapshot = Rc::new(Snapshot { opening, files, network });
        self.snapshot = Some(Rc::clone(&snapshot));
        // The deadline first: a daemon that dies next must not leave a snapshot without a process
        // to roll it back.
        let stand_by = deadline.map(Action::StandBy);
        let write = Action::File(FileAction::Write(self.file, snapshot));
        KeepingResult::Next(stand_by.into_iter().chain([write]).collect())
    }
}
