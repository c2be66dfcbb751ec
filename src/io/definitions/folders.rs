// SPDX-License-Identifier: LGPL-2.1-or-later
//! The folders of the definition files: found by their sources, watched, and listed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::definitions::files::FilePath;
use crate::definitions::sources::{Names, Source};
use crate::error::HostError;
use crate::limits::{DEFINITION_FOLDER_COUNT_MAX, DEFINITION_SOURCE_COUNT_MAX};
use crate::model::sorted::SortedMap;
use crate::sys::inotify::{self, Watch};

/// The folders in which definition files are, or would be.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    /// The inotify queue; `None` if there is none.
    pub(super) queue: Option<OwnedFd>,
    /// By the path below the root, which is empty for the root itself.
    pub(super) by_path: SortedMap<Vec<u8>, Folder>,
}

/// A folder's path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Folder {
    pub(super) state: FolderState,
    /// Whether folders in it are searched for files.
    holds_folders: bool,
}

/// The state of a folder's path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FolderState {
    /// Missing or inaccessible.
    Missing,
    /// A folder that is read each time.
    Unwatched,
    Watched {
        watch: Watch,
        identity: FileId,
    },
}

/// The identity of a file: device and inode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// The outcome of a walk through all folders.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The definition files, and those of a source that is a single path even if they are missing.
    pub(super) files: BTreeSet<FilePath>,
    /// The first error of listing a folder, or of watching one that cannot be read either.
    pub(super) unlisted: Option<HostError>,
    /// The first error of watching a folder.
    pub(super) unwatched: Option<HostError>,
    folders: BTreeSet<Vec<u8>>,
}

impl Folders {
    pub(super) fn new(root: PathBuf, queue: Option<OwnedFd>) -> Self {
        Self { root, queue, by_path: SortedMap::default() }
    }

    /// The paths of all folders.
    pub(super) fn places(&self) -> impl Iterator<Item = PathBuf> {
        self.by_path.keys().map(|folder| self.place(folder))
    }

    /// Whether each path still leads to the folder that is watched, or to none.
    pub(super) fn are_same(&self) -> bool {
        self.by_path.iter().all(|(path, folder)| {
            let place = self.place(path);
            match folder.state {
                FolderState::Missing => identity_of(&place).is_err(),
                FolderState::Unwatched => false,
                FolderState::Watched { identity, .. } => identity_of(&place) == Ok(identity),
            }
        })
    }

    /// Whether the folder of a file is missing.
    pub(super) fn lack(&self, file: &FilePath) -> bool {
        let folder = self.by_path.get(&folder_of(file));
        folder.is_none_or(|folder| folder.state == FolderState::Missing)
    }

    /// The folders with this watch, which are several if their paths lead to the same one; and
    /// whether folders in them are searched for files.
    pub(super) fn watched_by(&self, watch: Watch) -> impl Iterator<Item = (&[u8], bool)> {
        let has_watch = move |folder: &Folder| match folder.state {
            FolderState::Watched { watch: own, .. } => own == watch,
            FolderState::Missing | FolderState::Unwatched => false,
        };
        let found = self.by_path.iter().filter(move |(_, folder)| has_watch(folder));
        found.map(|(path, folder)| (path.as_slice(), folder.holds_folders))
    }

    /// Ends all watches.
    pub(super) fn unwatch_all(&mut self) {
        let all = mem::take(&mut self.by_path);
        all.values().for_each(|folder| self.unwatch(folder.state));
    }

    /// Finds the files of `sources`, and watches the folders on the way. A folder is watched
    /// before it is read, so that changes in between cause events.
    pub(super) fn walk(&mut self, sources: &[Source]) -> Walk {
        let mut walk = Walk::default();
        if sources.len() > DEFINITION_SOURCE_COUNT_MAX {
            let root = self.root.display();
            let object = format!("all that is included below {root}, which is too much");
            let err = io::Error::from_raw_os_error(libc::E2BIG);
            walk.unlisted = Some(HostError::new("read", object, &err));
        }
        for source in sources.iter().take(DEFINITION_SOURCE_COUNT_MAX) {
            let mut folders = vec![Vec::new()];
            for names in &source.folders {
                folders = self.enter(&mut walk, &folders, names);
            }
            for folder in folders {
                let names = match &source.files {
                    Names::One(name) => {
                        self.visit(&mut walk, &folder, false);
                        vec![name.to_vec()]
                    }
                    names @ (Names::Glob(_) | Names::Where(_)) => {
                        self.list(&mut walk, &folder, names, false)
                    }
                };
                let paths = names.iter().filter_map(|name| FilePath::new(join(&folder, name)));
                walk.files.extend(paths);
            }
        }
        let is_left = |path: &&Vec<u8>| !walk.folders.contains(*path);
        let left: Vec<_> = self.by_path.keys().filter(is_left).cloned().collect();
        left.iter().for_each(|path| self.unwatch_path(path));
        walk
    }

    /// The folders of these names inside of `folders`.
    fn enter(&mut self, walk: &mut Walk, folders: &[Vec<u8>], names: &Names) -> Vec<Vec<u8>> {
        let enter = |folder: &Vec<u8>| match names {
            Names::One(name) => vec![join(folder, name)],
            Names::Glob(_) | Names::Where(_) => {
                let found = self.list(walk, folder, names, true);
                found.iter().map(|name| join(folder, name)).collect()
            }
        };
        folders.iter().flat_map(enter).collect()
    }

    /// The names of a folder's entries that fit; watches it.
    fn list(
        &mut self,
        walk: &mut Walk,
        folder: &[u8],
        names: &Names,
        are_folders: bool,
    ) -> Vec<Vec<u8>> {
        if !self.visit(walk, folder, are_folders) {
            return Vec::new();
        }
        let place = self.place(folder);
        let read = || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&place)? {
                let name = entry?.file_name().into_vec();
                if names.fit(&name)
                    && (!are_folders || place.join(OsStr::from_bytes(&name)).is_dir())
                {
                    found.push(name);
                }
            }
            Ok(found)
        };
        read().unwrap_or_else(|err: io::Error| {
            let err = HostError::new("read", place.display().to_string(), &err);
            walk.unlisted.get_or_insert(err);
            Vec::new()
        })
    }

    /// Watches a folder. Returns whether it exists.
    fn visit(&mut self, walk: &mut Walk, path: &[u8], holds_folders: bool) -> bool {
        let path = path.to_vec();
        let known = self.by_path.get_mut(&path);
        if walk.folders.contains(&path) {
            return known.is_some_and(|folder| {
                folder.holds_folders |= holds_folders;
                folder.state != FolderState::Missing
            });
        }
        let before = known.map_or(FolderState::Missing, |folder| folder.state);
        let place = self.place(&path);
        if walk.folders.len() == DEFINITION_FOLDER_COUNT_MAX {
            let object = format!("{}, one folder too many", place.display());
            let err = io::Error::from_raw_os_error(libc::E2BIG);
            walk.unlisted.get_or_insert_with(|| HostError::new("read", object, &err));
            return false;
        }
        walk.folders.insert(path.clone());
        let state = match (identity_of(&place), before) {
            (Ok(now), FolderState::Watched { identity, .. }) if now == identity => before,
            (Err(err), _) => {
                self.unwatch_path(&path);
                if err.errno() != libc::ENOENT {
                    walk.unlisted.get_or_insert(err);
                }
                FolderState::Missing
            }
            (Ok(identity), _) => {
                self.unwatch_path(&path);
                match self.watch(&place) {
                    Ok(None) => FolderState::Unwatched,
                    Ok(Some(watch)) => FolderState::Watched { watch, identity },
                    Err(err) => {
                        walk.unwatched.get_or_insert(err);
                        FolderState::Unwatched
                    }
                }
            }
        };
        self.by_path.insert(path, Folder { state, holds_folders });
        state != FolderState::Missing
    }

    fn watch(&self, place: &Path) -> Result<Option<Watch>, HostError> {
        let Some(queue) = &self.queue else { return Ok(None) };
        let watch = inotify::watch_folder(queue, place).map_err(|err| {
            // The kernel's text for it, "no space left on device", is misleading.
            let is_limit = err.raw_os_error() == Some(libc::ENOSPC);
            let reason = if is_limit { " within fs.inotify.max_user_watches" } else { "" };
            HostError::new("watch", format!("{}{reason}", place.display()), &err)
        })?;
        Ok(Some(watch))
    }

    fn unwatch_path(&mut self, path: &Vec<u8>) {
        if let Some(folder) = self.by_path.remove(path) {
            self.unwatch(folder.state);
        }
    }

    /// Ends a watch, unless another path leads to the same folder.
    fn unwatch(&self, state: FolderState) {
        if let (Some(queue), FolderState::Watched { watch, .. }) = (&self.queue, state) {
            if self.watched_by(watch).next().is_none() {
                // The watch may have ended by itself.
                let _ = inotify::unwatch(queue, watch);
            }
        }
    }

    fn place(&self, folder: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(folder))
    }
}

/// The path of the folder of a file.
fn folder_of(file: &FilePath) -> Vec<u8> {
    let path = file.as_bytes();
    let end = path.iter().rposition(|byte| *byte == b'/');
    end.and_then(|end| path.get(..end)).unwrap_or_default().to_vec()
}

/// The path of an entry of a folder.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}

fn identity_of(dir: &Path) -> Result<FileId, HostError> {
    match fs::metadata(dir) {
        Ok(metadata) => Ok(FileId::of(&metadata)),
        Err(err) => Err(HostError::new("read", dir.display().to_string(), &err)),
    }
}
