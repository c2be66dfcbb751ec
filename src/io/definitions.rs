// SPDX-License-Identifier: LGPL-2.1-or-later
//! The definition files: read at the start, watched from then on, and edited.
//!
//! The kernel queues the event of a change to a folder before the system call that made it
//! returns, and the event of a file's content when the file is closed. A caller that drains the
//! store before it answers a call therefore includes every edit made before that call. Only files
//! named by events are read again. When events are lost, or another folder has taken a name, all
//! files are; where a folder cannot be watched, all are read each time.
//!
//! The contents of files may name further ones ([`Source`]), in other folders. These are read and
//! watched as soon as the file that names them is read, and no longer when it ceases to.
//!
//! Clients can use up the process's descriptors. One is reserved for reading files; a file that
//! cannot be read even so, for lack of memory, keeps its old content and is tried again.
//!
//! Two changes cause no event and are checked for: another folder takes a name, and the target of
//! a symbolic link changes. A change by another host in a shared file system is not noticed.

mod folders;
mod link;
mod edit;
mod keep;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use log::{debug, warn};

use crate::backend::{Backend, DefinitionFiles};
use crate::definitions::files::{FilePath, FileState};
use crate::definitions::sources::Source;
use crate::definitions::{Definitions, Note};
use crate::error::HostError;
use crate::io::definitions::folders::{FileId, Folders};
use crate::io::files;
use crate::limits::{DEFINITION_LEN_MAX, DEFINITION_SOURCE_COUNT_MAX, FOLDER_NEWS_PER_TURN_MAX};
use crate::model::client::Privilege;
use crate::model::sorted::SortedMap;
use crate::sys::inotify::{self, FileChange, FileEvent};

/// Space for the events of one edit, and of many (inotify(7) requires at least 272 bytes).
const NEWS_LEN: usize = 4096;

/// The definitions, as their files state them.
#[derive(Debug)]
pub struct DefinitionStore {
    dir: PathBuf,
    privilege: Privilege,
    files: DefinitionFiles,
    folders: Folders,
    /// The sources that the folders were searched for.
    sources: Vec<Source>,
    /// The error of reading or watching a folder, if any; logged once.
    complaint: Option<HostError>,
    /// The error of listing the files, if any.
    unlisted: Option<HostError>,
    /// The symbolic links among the files, and the state of their targets when they were read.
    links: SortedMap<FilePath, Option<Stamp>>,
    /// The files that could not be read last time, for lack of a resource.
    unread: Stale,
    /// A descriptor that is released while files are read and written.
    reserve: Option<File>,
}

/// The identity and state of a file: the time of its last change and its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    identity: FileId,
    changed: (i64, i64),
    len: u64,
}

/// The files to be read again.
#[derive(Debug, Eq, PartialEq)]
enum Stale {
    Files(SortedMap<FilePath, FileChange>),
    Everything,
}

impl Default for Stale {
    fn default() -> Self {
        Self::Files(SortedMap::default())
    }
}

impl Stamp {
    /// Returns `None` if the path does not exist.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self { identity: FileId::of(&metadata), changed, len: metadata.len() })
    }
}

impl DefinitionStore {
    /// Reads the backend's files and watches their folders. A missing folder has no definitions, and
    /// is noticed when it is created; errors of folders and files are logged as warnings.
    pub fn open(backend: Rc<dyn Backend>, privilege: Privilege) -> Self {
        let dir = backend.root().to_owned();
        let queue = inotify::queue().inspect_err(|err| {
            let err = HostError::new("watch", dir.display().to_string(), err);
            warn!("{err}; reading all files at each call instead");
        });
        let mut store = Self {
            folders: Folders::new(dir.clone(), queue.ok()),
            dir,
            privilege,
            files: DefinitionFiles::new(backend),
            sources: Vec::new(),
            complaint: None,
            unlisted: None,
            links: SortedMap::default(),
            unread: Stale::default(),
            reserve: None,
        };
        store.read_all();
        store.remove_temporaries();
        store.reserve = reserve();
        store
    }

    /// Removes what an earlier daemon has left beside the files, and beside those that links lead
    /// to.
    fn remove_temporaries(&self) {
        let target = |path| link::target(&self.files, path).ok().flatten();
        let targets = self.links.keys().filter_map(target).map(|target| self.path(&target));
        let of_targets = targets.filter_map(|target| target.parent().map(Path::to_owned));
        let folders: BTreeSet<_> = self.folders.places().chain(of_targets).collect();
        folders.iter().for_each(|folder| remove_temporaries(folder));
    }

    /// Returns the definitions as of the last [`DefinitionStore::drain`].
    pub fn definitions(&self) -> &Definitions {
        self.files.definitions()
    }

    /// Returns the directory at which the paths of files begin.
    pub(crate) fn root(&self) -> &Path {
        &self.dir
    }

    /// Returns the files of the definitions.
    pub(crate) fn files(&self) -> &DefinitionFiles {
        &self.files
    }

    /// Applies all changes of the files. Without a change this takes one read(2), and a stat(2)
    /// for each folder and each symbolic link.
    pub fn drain(&mut self) {
        let mut stale = self.read_news().and(mem::take(&mut self.unread));
        if !self.folders.are_same() {
            stale = Stale::Everything;
        }
        if let Stale::Files(changes) = &mut stale {
            self.look_at_links(changes);
            if changes.is_empty() {
                return;
            }
        }
        self.reserve = None;
        match stale {
            Stale::Everything => self.read_all(),
            Stale::Files(changes) => self.read_files(changes),
        }
        self.reserve = reserve();
    }

    /// Creates the folder of a file, if it is missing.
    fn make_folder_of(&mut self, path: &FilePath) -> Result<(), HostError> {
        let place = self.path(path);
        let Some(folder) = place.parent().filter(|_| self.folders.lack(path)) else {
            return Ok(());
        };
        files::make_folder(folder, self.folder_mode())?;
        self.read_all();
        Ok(())
    }

    fn folder_mode(&self) -> u32 {
        match self.privilege {
            Privilege::System => 0o755,
            Privilege::Session => 0o700,
        }
    }

    /// Reads all waiting events.
    fn read_news(&mut self) -> Stale {
        let mut stale = Stale::default();
        let Some(queue) = &self.folders.queue else { return stale };
        let mut buffer = [0; NEWS_LEN];
        for _ in 0..FOLDER_NEWS_PER_TURN_MAX {
            match inotify::read(queue, &mut buffer) {
                Ok(len) => {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    inotify::events(bytes).for_each(|event| self.add_news(&mut stale, event));
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return stale,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => {
                    debug!("{}: {err}; reading all files again", self.dir.display());
                    return Stale::Everything;
                }
            }
        }
        // Files change faster than events can be read. Reading all files is newer than any event.
        Stale::Everything
    }

    /// Adds the symbolic links whose target has changed.
    fn look_at_links(&self, changes: &mut SortedMap<FilePath, FileChange>) {
        for (path, stamp) in self.links.iter() {
            if Stamp::of(&self.path(path)) != *stamp {
                changes.insert(path.clone(), FileChange::Other);
            }
        }
    }

    /// Reads all files, and watches the folders that now have their names.
    fn read_all(&mut self) {
        self.folders.unwatch_all();
        let Some(found) = self.walk() else { return };
        let known = self.files.files().iter().map(|(path, _)| path.clone());
        let paths: BTreeSet<_> = known.chain(found).collect();
        self.read_files(paths.into_iter().map(|path| (path, FileChange::Other)));
    }

    /// Finds the files; `None` if that must be tried again, for lack of a resource.
    fn walk(&mut self) -> Option<BTreeSet<FilePath>> {
        self.sources = self.files.sources().to_vec();
        let walk = self.folders.walk(&self.sources);
        // Both errors mostly have the same cause; that of the list is preferred.
        let complaint = walk.unlisted.as_ref().or(walk.unwatched.as_ref());
        if self.complaint.as_ref() != complaint {
            complaint.iter().for_each(|err| warn!("{err}; retrying at each call"));
            self.complaint = complaint.cloned();
        }
        let is_short = walk.unlisted.as_ref().is_some_and(is_shortage);
        self.unlisted = walk.unlisted;
        if is_short {
            self.unread = Stale::Everything;
            return None;
        }
        Some(walk.files)
    }

    /// Reads these files and those that they name, and logs warnings about invalid ones.
    fn read_files(&mut self, files: impl IntoIterator<Item = (FilePath, FileChange)>) {
        self.read_these(files.into_iter().collect());
        // Each round adds a source, unless the files are edited meanwhile.
        for _ in 0..=DEFINITION_SOURCE_COUNT_MAX {
            if self.files.sources() == self.sources {
                return;
            }
            let Some(mut found) = self.walk() else { return };
            let known = || self.files.files().iter().map(|(path, _)| path);
            found.retain(|path| self.files.files().get(path).is_none());
            found.extend(known().filter(|path| !self.files.owns(path)).cloned());
            self.read_these(found.into_iter().map(|path| (path, FileChange::Other)).collect());
        }
    }

    fn read_these(&mut self, files: Vec<(FilePath, FileChange)>) {
        let mut changed = Vec::new();
        for (path, change) in files {
            if self.read_file(&path, change) {
                changed.push(path);
            }
        }
        self.files.update(&changed);
        for path in &changed {
            let shown = self.path(path);
            let texts =
                warnings(&shown, self.files.files().get(path), self.definitions().notes_on(path));
            texts.iter().for_each(|text| warn!("{text}"));
        }
    }

    /// Reads one file; one that is no longer a definition file is forgotten. Returns whether its
    /// content has changed.
    fn read_file(&mut self, path: &FilePath, change: FileChange) -> bool {
        let place = self.path(path);
        self.links.remove(path);
        if !self.files.owns(path) {
            let is_known = self.files.files().get(path).is_some();
            self.files.note(path.clone(), None);
            return is_known;
        }
        if fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_symlink()) {
            // Before it is read, so that a change in between is noticed next time.
            self.links.insert(path.clone(), Stamp::of(&place));
        }
        let state = match read(&place) {
            // The file was just created and is about to be written; another event follows.
            Ok(Some(bytes)) if bytes.is_empty() && change == FileChange::Created => None,
            Ok(bytes) => bytes.map(FileState::Content),
            Err(err) if is_shortage(&err) => {
                debug!("{err}; will retry");
                let again = Stale::Files(SortedMap::from([(path.clone(), FileChange::Other)]));
                self.unread = mem::take(&mut self.unread).and(again);
                return false;
            }
            Err(err) => Some(FileState::Unreadable(err)),
        };
        // The event of an edit by this daemon changes nothing.
        let is_other = self.files.files().get(path) != state.as_ref();
        if is_other {
            self.files.note(path.clone(), state);
        }
        is_other
    }

    /// Adds the files of an event. Events of a folder that was watched before are outdated.
    fn add_news(&self, stale: &mut Stale, event: FileEvent<'_>) {
        match event {
            FileEvent::Overflow => *stale = Stale::Everything,
            FileEvent::Folder { watch } => {
                if self.folders.watched_by(watch).next().is_some() {
                    *stale = Stale::Everything;
                }
            }
            FileEvent::File { watch, name, change } => {
                for (folder, holds_folders) in self.folders.watched_by(watch) {
                    let path = FilePath::new(folders::join(folder, name));
                    self.add_file(stale, path, change);
                    if holds_folders {
                        *stale = Stale::Everything;
                    }
                }
            }
        }
    }

    fn add_file(&self, stale: &mut Stale, path: Option<FilePath>, change: FileChange) {
        if let (Stale::Files(changes), Some(path)) =
            (stale, path.filter(|path| self.files.owns(path)))
        {
            if change == FileChange::Other || !changes.contains_key(&path) {
                changes.insert(path, change);
            }
        }
    }

    fn path(&self, path: &FilePath) -> PathBuf {
        files::below(&self.dir, path)
    }
}

impl Stale {
    /// Iterates over the files to be read again.
    fn paths(&self) -> impl Iterator<Item = &FilePath> {
        let files = match self {
            Self::Files(files) => Some(files.keys()),
            Self::Everything => None,
        };
        files.into_iter().flatten()
    }

    /// Returns the union of both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Files(mut changes), Self::Files(others)) => {
                changes.extend(others);
                Self::Files(changes)
            }
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
        }
    }
}

/// Returns the warnings about a file that has changed.
fn warnings(path: &Path, state: Option<&FileState>, notes: &[Note]) -> Vec<String> {
    let unread = match state {
        Some(FileState::Unreadable(err)) => Some(format!("{err}; ignored")),
        Some(FileState::Content(_)) | None => None,
    };
    let notes = notes.iter().map(|note| match note {
        Note::Ignored(reason) => format!("{}: ignored: {reason}", path.display()),
        Note::Remark(text) => format!("{}: {text}", path.display()),
    });
    unread.into_iter().chain(notes).collect()
}

fn remove_temporaries(folder: &Path) {
    match files::remove_temporaries(folder) {
        Err(err) if err.errno() != libc::ENOENT => debug!("{err}"),
        Err(_) | Ok(()) => {}
    }
}

/// Returns whether the error is a shortage, not a fault of the file.
fn is_shortage(err: &HostError) -> bool {
    matches!(err.errno(), libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)
}

/// Opens any descriptor. Without one, the next shortage finds none in reserve.
fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Reads a regular file; returns `None` if there is none. Files of other types are not opened,
/// since opening a device may have an effect.
fn read(path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(metadata) if metadata.is_dir() => return Err(unreadable(path, libc::EISDIR)),
        Ok(_) => return Err(unreadable(path, libc::EINVAL)),
        // A symbolic link without a target counts as an existing file.
        Err(err) if is_absence(&err) && !path.is_symlink() => return Ok(None),
        Err(err) => return Err(HostError::new("read", path.display().to_string(), &err)),
    }
    match files::read(path, DEFINITION_LEN_MAX) {
        Ok(mut bytes) => {
            bytes.shrink_to_fit();
            Ok(Some(bytes))
        }
        Err(err) if err.errno() == libc::ENOENT => Ok(None),
        Err(err) => Err(err),
    }
}

/// Returns whether the error means that the file or its folder is missing.
fn is_absence(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

fn unreadable(path: &Path, errno: i32) -> HostError {
    let err = io::Error::from_raw_os_error(errno);
    HostError::new("read", path.display().to_string(), &err)
}

#[cfg(test)]
mod tests;
