// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Disk`]: the directory of transactions, made of values.

use std::collections::BTreeMap;

use virtinterfaced::change::action::{
    FileAction, FileAnswer, FileResult, LeftFiles, TransactionFile, Unusable,
};
use virtinterfaced::error::HostError;
use virtinterfaced::snapshot::Snapshot;
use virtinterfaced::snapshot::files::Files;

/// The directory of transactions: the bytes of its files.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<TransactionFile, Vec<u8>>,
    note: Option<String>,
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

    /// Performs an operation. A torn one leaves half of the file that it writes.
    pub(super) fn perform(
        &mut self,
        operation: &FileAction,
        definitions: impl FnOnce() -> Files,
        is_torn: bool,
    ) -> FileResult {
        match operation {
            FileAction::ReadDefinitions => {
                return Ok(FileAnswer::Definitions(definitions()));
            }
            FileAction::ReadLeft => {
                return Ok(FileAnswer::Left(Box::new(LeftFiles {
                    snapshot: self.read(TransactionFile::Snapshot),
                    rollback: self.read(TransactionFile::Rollback),
                    journal: self.read(TransactionFile::Journal),
                    note: self.note.clone(),
                })));
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
                return Ok(FileAnswer::Aside(moved.map(|_| "aside".to_owned())));
            }
            FileAction::KeepCopies(_) => return Ok(FileAnswer::Aside(Some("aside".to_owned()))),
            FileAction::WriteNote(text) => self.note = Some(text.clone()),
            FileAction::ForgetNote => self.note = None,
        }
        Ok(FileAnswer::Done)
    }

    fn read(&self, file: TransactionFile) -> Result<Option<Snapshot>, Unusable> {
        let Some(bytes) = self.files.get(&file) else { return Ok(None) };
        Snapshot::decode(bytes).map(Some).map_err(|err| {
            let cause = std::io::Error::from_raw_os_error(libc::EBADMSG);
            Unusable::Corrupt(HostError::new("use", err.to_string(), &cause))
        })
    }
}
