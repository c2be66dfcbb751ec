// SPDX-License-Identifier: LGPL-2.1-or-later
//! Snapshots of the definition files, and their restoration: content, modes, owners, and symbolic
//! links as such.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use log::warn;

use crate::definitions::files::{FilePath, FileState};
use crate::error::HostError;
use crate::io::definitions::{DefinitionStore, Stale, reserve};
use crate::io::files::{self, FileAccess};
use crate::snapshot::files::{FileRestoration, Files, KeptFile};
use crate::sys::inotify::FileChange;

impl DefinitionStore {
    /// Returns all definition files in their present state. A file that could not be read, and so
    /// not be restored, is marked as such, with a warning.
    ///
    /// # Errors
    /// The folder or one of its files cannot be read now, although it should be.
    pub fn keep(&mut self) -> Result<Files, HostError> {
        self.drain();
        // No event announces that a disk has recovered.
        if self.unlisted.is_some() {
            self.read_folder();
        }
        if let Some(err) = &self.unlisted {
            return Err(err.clone());
        }
        let is_unreadable =
            |(_, state): &(&FilePath, &FileState)| matches!(state, FileState::Unreadable(_));
        let unreadable = self.files.files().iter().filter(is_unreadable).map(|(path, _)| path);
        let again: Vec<_> = unreadable.chain(self.unread.paths()).cloned().collect();
        self.unread = Stale::default();
        self.read_files(again.into_iter().map(|path| (path, FileChange::Other)));
        if let Some(path) = self.unread.paths().next() {
            let err = io::Error::from_raw_os_error(libc::EAGAIN);
            return Err(HostError::new("read", self.path(path).display().to_string(), &err));
        }
        let mut files = Files::default();
        for (path, state) in self.files.files().iter() {
            files.extend(kept(&self.path(path), state)?.map(|kept| (path.clone(), kept)));
        }
        Ok(files)
    }

    /// Restores one file, durably.
    ///
    /// # Errors
    /// The kernel refused. The file is unchanged, or restored.
    pub fn restore(&mut self, file: &FileRestoration) -> Result<(), HostError> {
        let path = self.path(&file.path);
        self.reserve = None;
        let is_made = file.after.as_ref().map_or(Ok(()), |_| self.make_folder());
        let outcome = is_made.and_then(|()| match &file.after {
            None => files::remove(&path),
            Some(KeptFile::Unread) => Ok(()),
            Some(KeptFile::Link(target)) => {
                files::replace_by_link(&path, OsStr::from_bytes(target))
            }
            Some(KeptFile::File { bytes, mode, uid, gid }) => {
                let access = FileAccess { mode: *mode, uid: *uid, gid: *gid };
                files::replace_as(&path, bytes, access)
            }
        });
        self.reserve = reserve();
        self.read_files([(file.path.clone(), FileChange::Other)]);
        outcome
    }
}

/// Returns one file in its present state; `None` if it has just been removed.
fn kept(path: &Path, state: &FileState) -> Result<Option<KeptFile>, HostError> {
    let refuse = |err: io::Error| HostError::new("keep", path.display().to_string(), &err);
    let metadata = match fs::symlink_metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(refuse)?,
    };
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(refuse)?;
        return Ok(Some(KeptFile::Link(target.into_os_string().into_vec())));
    }
    match state {
        FileState::Unreadable(err) if is_for_good(err.errno()) => {
            warn!("{err}: a rollback will not restore this file");
            Ok(Some(KeptFile::Unread))
        }
        FileState::Unreadable(err) => Err(err.clone()),
        FileState::Content(bytes) => {
            let FileAccess { mode, uid, gid } = FileAccess::of(&metadata);
            Ok(Some(KeptFile::File { bytes: bytes.clone(), mode, uid, gid }))
        }
    }
}

/// Returns whether a file cannot be read because of its type, size or owner: it is a folder, a
/// device, too large, or another user's.
fn is_for_good(errno: i32) -> bool {
    matches!(errno, libc::EISDIR | libc::EINVAL | libc::EFBIG | libc::EACCES | libc::EPERM)
}
