// SPDX-License-Identifier: LGPL-2.1-or-later
//! File operations of the coordinator, on the disk.

use crate::change::action::{FileAction, FileAnswer, FileError, FileResult, Left, TransactionFile};
use crate::error::HostError;
use crate::io::change_folder::ChangeFolder;
use crate::io::definitions::DefinitionStore;

/// Carries out one operation.
///
/// # Errors
/// What the kernel says.
pub(super) fn perform(
    action: &FileAction,
    folder: &ChangeFolder,
    store: &mut DefinitionStore,
) -> FileResult {
    let done = |(): ()| FileAnswer::Done;
    let aside = |set: Option<std::path::PathBuf>| {
        FileAnswer::Aside(set.map(|set| set.display().to_string()))
    };
    let of = |file: TransactionFile| {
        move |cause: HostError| FileError { cause, is_there: folder.has(file) }
    };
    let of_none = |cause: HostError| FileError { cause, is_there: false };
    match action {
        FileAction::ReadDefinitions => store.keep().map(FileAnswer::Definitions).map_err(of_none),
        FileAction::ReadLeft => Ok(FileAnswer::Left(Box::new(Left {
            snapshot: folder.read(TransactionFile::Snapshot),
            rollback: folder.read(TransactionFile::Rollback),
            journal: folder.read(TransactionFile::Journal),
            note: folder.read_note(),
        }))),
        FileAction::Write(file, snapshot) => {
            folder.write(*file, snapshot).map(done).map_err(of(*file))
        }
        FileAction::Remove(file) => folder.remove(*file).map(done).map_err(of(*file)),
        FileAction::BeginRollback if !folder.has(TransactionFile::Snapshot) => Ok(FileAnswer::Done),
        FileAction::BeginRollback => {
            folder.begin_rollback().map(done).map_err(of(TransactionFile::Snapshot))
        }
        FileAction::SetAside(files) => match files.iter().find(|file| folder.has(**file)) {
            None => Ok(FileAnswer::Aside(None)),
            Some(file) => folder.put_aside(*file).map(Some).map(aside).map_err(of(*file)),
        },
        FileAction::KeepCopies(restored) => {
            let restored: Vec<_> = restored.iter().collect();
            folder.keep_aside(&restored).map(aside).map_err(of_none)
        }
        FileAction::WriteNote(text) => folder.write_note(text).map(done).map_err(of_none),
        FileAction::ForgetNote => {
            folder.forget_note();
            Ok(FileAnswer::Done)
        }
    }
}
