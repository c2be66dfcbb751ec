// SPDX-License-Identifier: LGPL-2.1-or-later
//! Edits of definition files, each whole and durable.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

use crate::definitions::files::{FileEdit, FileState};
use crate::error::HostError;
use crate::io::definitions::{DefinitionStore, read, reserve};
use crate::io::files::{self, FileAccess};
use crate::limits::DEFINITION_LEN_MAX;
use crate::sys::inotify::FileChange;

impl DefinitionStore {
    /// Carries out `edit`, durably: when this returns, the file on the disk and the definitions
    /// here match the edit.
    ///
    /// # Errors
    /// The file differs from the state before `edit`, since it was changed meanwhile; its present
    /// content could not be restored by an undo; the kernel refused. Nothing is changed then.
    pub fn apply(&mut self, edit: &FileEdit) -> Result<(), HostError> {
        let path = self.check(edit)?;
        self.reserve = None;
        let outcome = self.write(&path, edit);
        self.reserve = reserve();
        outcome
    }

    fn write(&mut self, path: &Path, edit: &FileEdit) -> Result<(), HostError> {
        if edit.after.is_some() {
            self.make_folder()?;
        }
        let outcome = write(path, edit.after.as_deref());
        let is_edit = edit.before != edit.after;
        if is_edit && outcome.is_err() && is_content(path, edit.after.as_deref()) {
            // The edit is done, but perhaps not on the disk; a call that fails must leave the old
            // content.
            if let Err(err) = write(path, edit.before.as_deref()) {
                warn!("{err}: the failed edit is not undone");
            }
        }
        if outcome.is_ok() {
            self.links.remove(&edit.path);
            self.files.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
            self.files.update(std::slice::from_ref(&edit.path));
        } else {
            self.read_files([(edit.path.clone(), FileChange::Other)]);
        }
        outcome
    }

    /// Returns the file that `edit` changes, if it may.
    fn check(&mut self, edit: &FileEdit) -> Result<PathBuf, HostError> {
        let refuse = |object: String, errno| {
            HostError::new("write", object, &io::Error::from_raw_os_error(errno))
        };
        let path = self.path(&edit.path);
        if !self.files.backend().owns(&edit.path) {
            let object = format!("{}, which is not a definition file", path.display());
            return Err(refuse(object, libc::EINVAL));
        }
        let len = edit.after.as_ref().map(Vec::len).unwrap_or_default();
        if u64::try_from(len).is_ok_and(|len| len > DEFINITION_LEN_MAX) {
            return Err(refuse(path.display().to_string(), libc::EFBIG));
        }
        self.drain();
        match self.files.files().get(&edit.path) {
            Some(FileState::Unreadable(err)) => Err(err.clone()),
            state if state.and_then(FileState::content) == edit.before.as_deref() => Ok(path),
            _ => {
                let object = format!("{}, which was changed meanwhile", path.display());
                Err(refuse(object, libc::ECANCELED))
            }
        }
    }
}

/// Writes a file, or removes it. An existing file keeps its mode and owner.
fn write(path: &Path, content: Option<&[u8]>) -> Result<(), HostError> {
    let Some(bytes) = content else { return files::remove(path) };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            files::replace_as(path, bytes, FileAccess::of(&metadata))
        }
        Ok(_) | Err(_) => files::replace(path, bytes),
    }
}

fn is_content(path: &Path, content: Option<&[u8]>) -> bool {
    read(path).is_ok_and(|found| found.as_deref() == content)
}
