// SPDX-License-Identifier: LGPL-2.1-or-later
//! Edits of definition files, each whole and durable.
//!
//! An edit of a file is written through a symbolic link. One that removes the file removes the
//! link, and leaves the file that it leads to.

use std::fs;
use std::io;
use std::path::Path;

use log::warn;

use crate::definitions::files::{FileEdit, FileState};
use crate::error::HostError;
use crate::io::definitions::{DefinitionStore, link, read, reserve};
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
        self.check(edit)?;
        self.reserve = None;
        let outcome = self.write(edit);
        self.reserve = reserve();
        outcome
    }

    fn write(&mut self, edit: &FileEdit) -> Result<(), HostError> {
        let path = self.path(&edit.path);
        let outcome = match &edit.after {
            Some(after) => self.make_folder_of(&edit.path).and_then(|()| {
                let target = match self.links.contains_key(&edit.path) {
                    true => link::target(&self.files, &edit.path)?,
                    false => None,
                };
                let place = target.as_ref().map_or_else(|| path.clone(), |it| self.path(it));
                let outcome = write(&place, after);
                // The edit is done, but perhaps not on the disk; a call that fails must leave the
                // old content.
                if outcome.is_err() && edit.before != edit.after && is_content(&place, after) {
                    undo(match &edit.before {
                        Some(before) => write(&place, before),
                        None => files::remove(&place),
                    });
                }
                outcome
            }),
            None => {
                let link = link::text(&path).ok().flatten();
                let outcome = files::remove(&path);
                if outcome.is_err() && edit.before.is_some() && is_gone(&path) {
                    undo(match (link, &edit.before) {
                        (Some(text), _) => files::replace_by_link(&path, text.as_os_str()),
                        (None, Some(before)) => write(&path, before),
                        (None, None) => Ok(()),
                    });
                }
                outcome
            }
        };
        let is_known = outcome.is_ok() && !self.links.contains_key(&edit.path);
        if is_known {
            self.files.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
            self.files.update(std::slice::from_ref(&edit.path));
        }
        let unknown = (!is_known).then(|| (edit.path.clone(), FileChange::Other));
        self.read_files(unknown);
        outcome
    }

    /// Checks that the file may be edited, and is as `edit` expects it.
    fn check(&mut self, edit: &FileEdit) -> Result<(), HostError> {
        let refuse = |object: String, errno| {
            HostError::new("write", object, &io::Error::from_raw_os_error(errno))
        };
        let path = self.path(&edit.path);
        self.drain();
        if !self.files.owns(&edit.path) {
            let object = format!("{}, which is not a definition file", path.display());
            return Err(refuse(object, libc::EINVAL));
        }
        let len = edit.after.as_ref().map(Vec::len).unwrap_or_default();
        if u64::try_from(len).is_ok_and(|len| len > DEFINITION_LEN_MAX) {
            return Err(refuse(path.display().to_string(), libc::EFBIG));
        }
        match self.files.files().get(&edit.path) {
            // The error of a dangling link says so, and is preferred.
            Some(FileState::Unreadable(err)) => {
                let target = link::target(&self.files, &edit.path);
                Err(target.err().unwrap_or_else(|| err.clone()))
            }
            state if state.and_then(FileState::content) == edit.before.as_deref() => Ok(()),
            _ => {
                let object = format!("{}, which was changed meanwhile", path.display());
                Err(refuse(object, libc::ECANCELED))
            }
        }
    }
}

/// Writes a file. An existing one keeps its mode and owner.
fn write(place: &Path, bytes: &[u8]) -> Result<(), HostError> {
    match fs::symlink_metadata(place) {
        Ok(metadata) if metadata.is_file() => {
            files::replace_as(place, bytes, FileAccess::of(&metadata))
        }
        Ok(_) | Err(_) => files::replace(place, bytes),
    }
}

fn undo(undone: Result<(), HostError>) {
    if let Err(err) = undone {
        warn!("{err}: the failed edit is not undone");
    }
}

fn is_content(place: &Path, content: &[u8]) -> bool {
    read(place).is_ok_and(|found| found.as_deref() == Some(content))
}

fn is_gone(place: &Path) -> bool {
    read(place).is_ok_and(|found| found.is_none())
}
