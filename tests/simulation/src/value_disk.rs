// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Disk`]: the directory of transactions, made of values.

use std::collections::BTreeMap;

use virtinterfaced::change::action::{
    FileAction, FileAnswer, FileError, FileResult, LeftFiles, TransactionFile, Unusable,
};
use virtinterfaced::definitions::files::FilePath;
use virtinterfaced::error::HostError;
use virtinterfaced::snapshot::Snapshot;
use virtinterfaced::snapshot::files::{FileRestoration, Files, KeptFile};

/// The directory of transactions: the bytes of its files.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<TransactionFile, Vec<u8>>,
    note: Option<String>,
    /// The definition files that rollbacks have replaced or removed.
    copies: BTreeMap<FilePath, Vec<u8>>,
}

/// The outcome of a file operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DiskOutcome {
    Done,
    /// The daemon is killed in it: half of the file that it writes is left.
    Torn,
    Failed(DiskFailure),
}

/// The failure of a file operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DiskFailure {
    pub errno: i32,
    /// Whether the files are as after the operation: only the last step failed, which makes it
    /// durable.
    pub has_effect: bool,
}

impl Disk {
    /// Whether a file exists.
    pub(super) fn has(&self, file: TransactionFile) -> bool {
        self.files.contains_key(&file)
    }

    /// The files, as far as the next operation depends on them.
    pub(super) fn files(&self) -> &BTreeMap<TransactionFile, Vec<u8>> {
        &self.files
    }

    /// The copy of a definition file that a rollback has replaced or removed.
    pub(super) fn copy(&self, path: &FilePath) -> Option<&[u8]> {
        self.copies.get(path).map(Vec::as_slice)
    }

    /// Performs an operation.
    pub(super) fn perform(
        &mut self,
        operation: &FileAction,
        definitions: impl FnOnce() -> Files,
        outcome: DiskOutcome,
    ) -> FileResult {
        match outcome {
            DiskOutcome::Done => Ok(self.apply(operation, definitions, false)),
            DiskOutcome::Torn => Ok(self.apply(operation, definitions, true)),
            DiskOutcome::Failed(failure) => self.fail(operation, definitions, failure),
        }
    }

    /// Fails an operation, as far as it can fail.
    fn fail(
        &mut self,
        operation: &FileAction,
        definitions: impl FnOnce() -> Files,
        failure: DiskFailure,
    ) -> FileResult {
        let cause = std::io::Error::from_raw_os_error(failure.errno);
        let cause = HostError::new("use", "a file of the transaction", &cause);
        let file = match operation {
            FileAction::ReadLeft => {
                let unread = || Err(Unusable::Unread(cause.clone()));
                let (snapshot, rollback, journal) = (unread(), unread(), unread());
                let left = LeftFiles { snapshot, rollback, journal, note: None };
                return Ok(FileAnswer::Left(Box::new(left)));
            }
            // Its failure is not reported.
            FileAction::ForgetNote => return Ok(FileAnswer::Done),
            FileAction::BeginRollback if !self.has(TransactionFile::Snapshot) => {
                return Ok(FileAnswer::Done);
            }
            FileAction::SetAside(files) => match files.iter().find(|file| self.has(**file)) {
                None => return Ok(FileAnswer::Aside(None)),
                found => found.copied(),
            },
            FileAction::BeginRollback => Some(TransactionFile::Snapshot),
            FileAction::Write(file, _) | FileAction::Remove(file) => Some(*file),
            FileAction::ReadDefinitions(_)
            | FileAction::KeepCopies(_)
            | FileAction::WriteNote(_) => None,
        };
        if failure.has_effect {
            self.apply(operation, definitions, false);
        } else if let FileAction::Write(file, _) = operation {
            // The disk removes a file that it could not write whole.
            self.files.remove(file);
        }
        Err(FileError { cause, is_there: file.is_some_and(|file| self.has(file)) })
    }

    fn apply(
        &mut self,
        operation: &FileAction,
        definitions: impl FnOnce() -> Files,
        is_torn: bool,
    ) -> FileAnswer {
        match operation {
            FileAction::ReadDefinitions(_) => return FileAnswer::Definitions(definitions()),
            FileAction::ReadLeft => {
                return FileAnswer::Left(Box::new(LeftFiles {
                    snapshot: self.read(TransactionFile::Snapshot),
                    rollback: self.read(TransactionFile::Rollback),
                    journal: self.read(TransactionFile::Journal),
                    note: self.note.clone(),
                }));
            }
            FileAction::Write(file, snapshot) => {
                let mut bytes = snapshot.encode();
                if is_torn {
                    bytes.truncate(bytes.len() / 2);
                }
                self.files.insert(*file, bytes);
            }
            FileAction::Remove(file) => drop(self.files.remove(file)),
            FileAction::BeginRollback => {
                let snapshot = self.files.remove(&TransactionFile::Snapshot);
                self.files.extend(snapshot.map(|bytes| (TransactionFile::Rollback, bytes)));
            }
            FileAction::SetAside(files) => {
                let first = files.iter().find(|file| self.files.contains_key(file));
                let moved = first.and_then(|file| self.files.remove(file));
                return FileAnswer::Aside(moved.map(|_| "aside".to_owned()));
            }
            FileAction::KeepCopies(restored) => {
                for FileRestoration { path, before, .. } in restored {
                    let bytes = before.as_ref().and_then(KeptFile::content);
                    self.copies.extend(bytes.map(|bytes| (path.clone(), bytes.to_vec())));
                }
                return FileAnswer::Aside(Some("aside".to_owned()));
            }
            FileAction::WriteNote(text) => self.note = Some(text.clone()),
            FileAction::ForgetNote => self.note = None,
        }
        FileAnswer::Done
    }

    fn read(&self, file: TransactionFile) -> Result<Option<Snapshot>, Unusable> {
        let Some(bytes) = self.files.get(&file) else { return Ok(None) };
        Snapshot::decode(bytes).map(Some).map_err(|err| {
            let cause = std::io::Error::from_raw_os_error(libc::EBADMSG);
            Unusable::Corrupt(HostError::new("use", err.to_string(), &cause))
        })
    }
}
