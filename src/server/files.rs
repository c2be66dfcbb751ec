// SPDX-License-Identifier: LGPL-2.1-or-later
//! The coordinator's file operations, on the disk.

use std::rc::Rc;

use crate::change::action::{
    FileAction, FileAnswer, FileError, FileResult, LeftFiles, TransactionFile,
};
use crate::error::HostError;
use crate::io::definitions::DefinitionStore;
use crate::io::transaction_dir::{TransactionDir, Writing};
use crate::snapshot::Snapshot;

/// The progress of an operation.
#[derive(Debug)]
pub(super) enum FileProgress {
    Done(FileResult),
    /// The snapshot is written in parts.
    Writing(Writing, TransactionFile, Rc<Snapshot>),
}

/// Performs one operation, or begins to write a snapshot.
pub(super) fn perform(
    action: &FileAction,
    dir: &TransactionDir,
    store: &mut DefinitionStore,
) -> FileProgress {
    let done = |(): ()| FileAnswer::Done;
    let aside = |set: Option<std::path::PathBuf>| {
        FileAnswer::Aside(set.map(|set| set.display().to_string()))
    };
    let of = |file: TransactionFile| {
        move |cause: HostError| FileError { cause, is_there: dir.has(file) }
    };
    let of_none = |cause: HostError| FileError { cause, is_there: false };
    FileProgress::Done(match action {
        FileAction::ReadDefinitions(then) => {
            let then = then.as_ref().map(|snapshot| &snapshot.files);
            store.keep(then).map(FileAnswer::Definitions).map_err(of_none)
        }
        FileAction::ReadLeft => Ok(FileAnswer::Left(Box::new(LeftFiles {
            snapshot: dir.read(TransactionFile::Snapshot),
            rollback: dir.read(TransactionFile::Rollback),
            journal: dir.read(TransactionFile::Journal),
            note: dir.read_note(),
        }))),
        FileAction::Write(file, snapshot) => match dir.begin_writing(*file, snapshot) {
            Ok(writing) => return FileProgress::Writing(writing, *file, Rc::clone(snapshot)),
            Err(cause) => Err(of(*file)(cause)),
        },
        FileAction::Remove(file) => dir.remove(*file).map(done).map_err(of(*file)),
        FileAction::BeginRollback if !dir.has(TransactionFile::Snapshot) => Ok(FileAnswer::Done),
        FileAction::BeginRollback => {
            dir.begin_rollback().map(done).map_err(of(TransactionFile::Snapshot))
        }
        FileAction::SetAside(files) => match files.iter().find(|file| dir.has(**file)) {
            None => Ok(FileAnswer::Aside(None)),
            Some(file) => dir.put_aside(*file).map(Some).map(aside).map_err(of(*file)),
        },
        FileAction::KeepCopies(restored) => {
            let restored: Vec<_> = restored.iter().collect();
            dir.keep_aside(&restored).map(aside).map_err(of_none)
        }
        FileAction::WriteNote(text) => dir.write_note(text).map(done).map_err(of_none),
        FileAction::ForgetNote => {
            dir.forget_note();
            Ok(FileAnswer::Done)
        }
    })
}
