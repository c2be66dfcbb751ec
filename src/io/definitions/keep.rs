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
use crate::io::definitions::{DefinitionStore, Stale, link, read, reserve};
use crate::io::files::{self, FileAccess};
use crate::snapshot::files::{FileRestoration, Files, KeptFile, KeptFiles, StoredFile, Target};
use crate::sys::inotify::FileChange;

impl DefinitionStore {
    /// Returns all definition files in their present state, and those that were definition files
    /// `then`. A file that could not be read, and so not be restored, is marked as such, with a
    /// warning.
    ///
    /// # Errors
    /// The folder or one of its files cannot be read now, although it should be.
    pub fn keep(&mut self, then: Option<&Files>) -> Result<Files, HostError> {
        self.drain();
        // No event announces that a disk has recovered.
        if self.unlisted.is_some() {
            self.read_all();
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
        let mut by_path = KeptFiles::default();
        for (path, state) in self.files.files().iter() {
            by_path.extend(self.kept(path, state)?.map(|kept| (path.clone(), kept)));
        }
        let root = self.dir.as_os_str().as_bytes().to_vec();
        let then = then.filter(|then| then.root == root).into_iter();
        for path in then.flat_map(|then| then.by_path.keys()).filter(|path| !self.files.owns(path))
        {
            let state = match read(&self.path(path)) {
                Ok(None) => continue,
                Ok(Some(bytes)) => FileState::Content(bytes),
                Err(err) => FileState::Unreadable(err),
            };
            by_path.extend(self.kept(path, &state)?.map(|kept| (path.clone(), kept)));
        }
        Ok(Files { root, by_path })
    }

    /// Restores one file, durably. A file is not removed unless the other files, as they are now,
    /// include it: it may have existed before one of them named it.
    ///
    /// # Errors
    /// The kernel refused. The file is unchanged, or restored.
    pub fn restore(&mut self, file: &FileRestoration) -> Result<(), HostError> {
        let path = self.path(&file.path);
        self.reserve = None;
        let is_made = file.after.as_ref().map_or(Ok(()), |_| self.make_folder_of(&file.path));
        let outcome = is_made.and_then(|()| match &file.after {
            None if !self.files.owns(&file.path) => Ok(()),
            None => files::remove(&path),
            Some(KeptFile::Unread) => Ok(()),
            Some(KeptFile::Link { text, target }) => {
                restore_link(&path, text)?;
                let had = match &file.before {
                    Some(KeptFile::Link { target, .. }) => target.as_ref(),
                    Some(KeptFile::File(_) | KeptFile::Unread) | None => None,
                };
                let target = target.as_ref().filter(|target| had != Some(*target));
                target.map_or(Ok(()), |target| self.restore_target(target))
            }
            Some(KeptFile::File(file)) => restore_file(&path, file),
        });
        self.reserve = reserve();
        self.read_files([(file.path.clone(), FileChange::Other)]);
        outcome
    }

    /// Restores a file that a link leads to.
    fn restore_target(&self, Target { path, file }: &Target) -> Result<(), HostError> {
        let place = self.path(path);
        place.parent().map_or(Ok(()), |dir| files::make_folder(dir, self.folder_mode()))?;
        restore_file(&place, file)
    }

    /// Returns one file in its present state; `None` if it has just been removed.
    fn kept(&self, path: &FilePath, state: &FileState) -> Result<Option<KeptFile>, HostError> {
        let place = self.path(path);
        let refuse = |err: io::Error| HostError::new("keep", place.display().to_string(), &err);
        let metadata = match fs::symlink_metadata(&place) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(refuse)?,
        };
        if metadata.is_symlink() {
            let text = fs::read_link(&place).map_err(refuse)?.into_os_string().into_vec();
            // Files that are not written through the link need not be restored.
            let target = link::target(&self.files, path).ok().flatten();
            let file = target.zip(state.content()).map(|(path, bytes)| {
                let metadata = fs::metadata(self.path(&path)).map_err(refuse)?;
                Ok(Target { path, file: stored(bytes, &metadata) })
            });
            return Ok(Some(KeptFile::Link { text, target: file.transpose()? }));
        }
        match state {
            FileState::Unreadable(err) if is_for_good(err.errno()) => {
                warn!("{err}: a rollback will not restore this file");
                Ok(Some(KeptFile::Unread))
            }
            FileState::Unreadable(err) => Err(err.clone()),
            FileState::Content(bytes) => Ok(Some(KeptFile::File(stored(bytes, &metadata)))),
        }
    }
}

fn stored(bytes: &[u8], metadata: &fs::Metadata) -> StoredFile {
    let FileAccess { mode, uid, gid } = FileAccess::of(metadata);
    StoredFile { bytes: bytes.to_vec(), mode, uid, gid }
}

fn restore_file(place: &Path, file: &StoredFile) -> Result<(), HostError> {
    let StoredFile { bytes, mode, uid, gid } = file;
    files::replace_as(place, bytes, FileAccess { mode: *mode, uid: *uid, gid: *gid })
}

fn restore_link(place: &Path, text: &[u8]) -> Result<(), HostError> {
    let text = OsStr::from_bytes(text);
    match link::text(place) {
        Ok(Some(now)) if now == *text => Ok(()),
        Ok(_) | Err(_) => files::replace_by_link(place, text),
    }
}

/// Returns whether a file cannot be read because of its type, size or owner: it is a folder, a
/// device, too large, or another user's.
fn is_for_good(errno: i32) -> bool {
    matches!(errno, libc::EISDIR | libc::EINVAL | libc::EFBIG | libc::EACCES | libc::EPERM)
}
