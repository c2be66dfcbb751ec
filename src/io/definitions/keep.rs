// SPDX-License-Identifier: LGPL-2.1-or-later
//! The definition files as they are, and back again: bytes, modes, owners, and links as links.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use log::warn;

use crate::definitions::Entry;
use crate::error::HostError;
use crate::io::definitions::{DefinitionStore, reserve};
use crate::io::files::{self, Access};
use crate::snapshot::{FileRestoration, Files, KeptFile};
use crate::sys::inotify::Change;

impl DefinitionStore {
    /// All definition files as they are now. One that cannot be read could not be put back: it is
    /// marked as such, and a warning says so.
    ///
    /// # Errors
    /// The folder cannot be read, so nobody knows which files there are.
    pub fn keep(&mut self) -> Result<Files, HostError> {
        self.drain();
        if let Some(err) = &self.unlisted {
            return Err(err.clone());
        }
        let mut files = Files::new();
        for (name, entry) in self.definitions.entries() {
            let Some(path) = self.path(name) else { continue };
            let kept = match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => {
                    fs::read_link(&path).map(|it| KeptFile::Link(it.into_os_string().into_vec()))
                }
                Ok(metadata) => match entry.bytes() {
                    Some(bytes) => {
                        let Access { mode, uid, gid } = Access::of(&metadata);
                        Ok(KeptFile::File { bytes: bytes.to_vec(), mode, uid, gid })
                    }
                    None => Err(io::Error::from_raw_os_error(unreadable(entry))),
                },
                Err(err) => Err(err),
            };
            let kept = kept.unwrap_or_else(|err| {
                let err = HostError::new("keep", path.display().to_string(), &err);
                warn!("{err}: a rollback will leave it alone");
                KeptFile::Unread
            });
            files.insert(*name, kept);
        }
        for name in self.unread.names() {
            warn!("cannot read the definition of {name} now: a rollback will leave it alone");
            files.insert(*name, KeptFile::Unread);
        }
        Ok(files)
    }

    /// Makes one file what it was, durably.
    ///
    /// # Errors
    /// The kernel refuses. The file is as it was before, or as it shall be.
    pub fn restore(&mut self, file: &FileRestoration) -> Result<(), HostError> {
        let Some(path) = self.path(&file.name) else { return Ok(()) };
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
        self.read_file(file.name, Change::Other);
        outcome
    }
}

fn unreadable(entry: &Entry) -> i32 {
    match entry {
        Entry::Unreadable(err) => err.errno(),
        Entry::Defined { .. } | Entry::Broken { .. } => 0,
    }
}
