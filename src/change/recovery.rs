// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Recovering`]: looks for a transaction that an earlier daemon has left. A corrupt file is set
//! aside.

use std::collections::VecDeque;

use log::error;

use crate::change::action::{
    Action, FileAction, FileAnswer, FileResult, LeftFiles, TransactionFile, Unusable,
};
use crate::change::rollback::{LeftSnapshots, Recovery};
use crate::error::{CallError, HostError};
use crate::snapshot::Snapshot;

/// A search under way.
#[derive(Clone, Debug)]
pub(super) struct Recovering {
    pub(super) recovery: Recovery,
    found: Option<Result<LeftSnapshots, HostError>>,
    note: Option<String>,
    /// The files to be set aside, with the reasons; the first is being moved.
    useless: VecDeque<(TransactionFile, String)>,
    /// The first corrupt file.
    damage: Option<CallError>,
}

/// The progress of a search.
#[derive(Clone, Debug)]
pub(super) enum Recovered {
    Next(Action),
    Done(Box<LeftTransaction>),
}

/// The files that an earlier daemon has left.
#[derive(Clone, Debug)]
pub(super) struct LeftTransaction {
    /// `Err` if a file exists but cannot be read.
    pub(super) found: Result<LeftSnapshots, HostError>,
    /// The note on how the last transaction ended by itself.
    pub(super) note: Option<String>,
    /// The first corrupt file.
    pub(super) damage: Option<CallError>,
}

impl Recovering {
    /// Returns the search with its first action.
    pub(super) fn new(recovery: Recovery) -> (Self, Action) {
        let (found, note, useless, damage) = (None, None, VecDeque::new(), None);
        let search = Self { recovery, found, note, useless, damage };
        (search, Action::File(FileAction::ReadLeft))
    }

    pub(super) fn handle_file(&mut self, result: FileResult) -> Recovered {
        match (result, self.useless.pop_front()) {
            (Ok(FileAnswer::Left(left)), None) => self.take_left(*left),
            (Err(err), None) => self.found = Some(Err(err.cause)),
            (Ok(FileAnswer::Aside(set)), Some((_, why))) => match set {
                Some(set) => error!("{why}: nothing is rolled back; the file is kept in {set}"),
                None => error!("{why}: nothing is rolled back"),
            },
            (Ok(_), Some((_, why))) => error!("{why}: nothing is rolled back"),
            (Err(err), Some((_, why))) => error!("{why}: nothing is rolled back; {err}"),
            (Ok(_), None) => {}
        }
        match self.useless.front() {
            Some((TransactionFile::Snapshot, _)) => set_aside(&[TransactionFile::Snapshot]),
            Some((TransactionFile::Rollback, _)) => set_aside(&[TransactionFile::Rollback]),
            Some((TransactionFile::Journal, _)) => set_aside(&[TransactionFile::Journal]),
            None => Recovered::Done(Box::new(LeftTransaction {
                found: self.found.take().unwrap_or_else(|| Ok(LeftSnapshots::default())),
                note: self.note.take(),
                damage: self.damage.take(),
            })),
        }
    }

    fn take_left(&mut self, left: LeftFiles) {
        let LeftFiles { snapshot, rollback, journal, note } = left;
        self.note = note;
        let rollback = self.usable(TransactionFile::Rollback, rollback);
        let mut snapshot = self.usable(TransactionFile::Snapshot, snapshot);
        let journal = self.usable(TransactionFile::Journal, journal);
        if matches!((&rollback, &snapshot), (Ok(Some(_)), Ok(Some(_)))) {
            snapshot = Ok(None);
            let why = "another change is already being rolled back".to_owned();
            self.useless.push_back((TransactionFile::Snapshot, why));
        }
        let found = rollback.and_then(|rollback| {
            Ok(LeftSnapshots { rollback, snapshot: snapshot?, journal: journal? })
        });
        self.found = Some(found);
    }

    /// Returns the content of a file, if that is valid.
    fn usable(
        &mut self,
        file: TransactionFile,
        read: Result<Option<Snapshot>, Unusable>,
    ) -> Result<Option<Snapshot>, HostError> {
        match read {
            Ok(snapshot) => Ok(snapshot),
            Err(Unusable::Unread(err)) => Err(err),
            Err(Unusable::Corrupt(err)) => {
                self.useless.push_back((file, err.to_string()));
                self.damage = Some(CallError::from(err));
                Ok(None)
            }
        }
    }
}

fn set_aside(files: &'static [TransactionFile]) -> Recovered {
    Recovered::Next(Action::File(FileAction::SetAside(files)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn refused(errno: i32) -> HostError {
        HostError::new("read", "snapshot", &io::Error::from_raw_os_error(errno))
    }

    /// Returns the result of a search, and the number of files that it set aside before.
    fn search(snapshot: Result<Option<Snapshot>, Unusable>) -> (LeftTransaction, usize) {
        let (mut search, _) = Recovering::new(Recovery::Whole);
        let left = LeftFiles { snapshot, rollback: Ok(None), journal: Ok(None), note: None };
        let mut result = Ok(FileAnswer::Left(Box::new(left)));
        let mut aside_count = 0;
        loop {
            match search.handle_file(result) {
                Recovered::Done(left) => return (*left, aside_count),
                Recovered::Next(_) => aside_count += 1,
            }
            result = Ok(FileAnswer::Aside(None));
        }
    }

    #[test]
    fn a_snapshot_that_cannot_be_read_stays_and_its_errno_is_kept() {
        // ext4 and XFS answer EBADMSG where a checksum of theirs does not fit.
        for errno in [libc::EIO, libc::EACCES, libc::EBADMSG] {
            let (left, aside_count) = search(Err(Unusable::Unread(refused(errno))));
            assert_eq!((left.found.unwrap_err().errno(), aside_count), (errno, 0));
            assert!(left.damage.is_none());
        }
    }

    #[test]
    fn a_corrupt_snapshot_is_set_aside() {
        let (left, aside_count) = search(Err(Unusable::Corrupt(refused(libc::EBADMSG))));
        assert!(left.found.unwrap().snapshot.is_none() && left.damage.is_some());
        assert_eq!(aside_count, 1);
    }
}
