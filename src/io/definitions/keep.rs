// SPDX-License-Identifier: LGPL-2.1-or-later
//! The definition files as they are, and back again: bytes, modes, owners, and links as links.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use log::warn;

use crate::definitions::files::{FilePath, FileState};
use crate::error::HostError;
use crate::io::definitions::{DefinitionStore, Stale, reserve};
use crate::io::files::{self, Access};
use crate::snapshot::{FileRestoration, Files, KeptFile};
use crate::sys::inotify::Change;

impl DefinitionStore {
    /// All definition files as they are now. What is no file that could be read, and so put back, is
    /// marked as such, and a warning says so.
    ///
    /// # Errors
    /// The folder or one of its files cannot be read now, though it should.
    pub fn keep(&mut self) -> Result<Files, HostError> {
        self.drain();
        // No news tells that a disk has recovered.
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
        self.read_files(again.into_iter().map(|path| (path, Change::Other)));
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

    /// Makes one file what it was, durably.
    ///
    /// # Errors
    /// The kernel refuses. The file is as it was before, or as it shall be.
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
                let access = Access { mode: *mode, uid: *uid, gid: *gid };
                files::replace_as(&path, bytes, access)
            }
        });
        self.reserve = reserve();
        self.read_files([(file.path.clone(), Change::Other)]);
        outcome
    }
}

/// One file as it is now; nothing if it has just gone.
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
            let Access { mode, uid, gid } = Access::of(&metadata);
            Ok(Some(KeptFile::File { bytes: bytes.clone(), mode, uid, gid }))
        }
    }
}

/// Whether a file cannot be read because of what it is, or whose: a folder, a device, one that is too
/// large, another user's.
fn is_for_good(errno: i32) -> bool {
    matches!(errno, libc::EISDIR | libc::EINVAL | libc::EFBIG | libc::EACCES | libc::EPERM)
}
