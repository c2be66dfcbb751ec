// SPDX-License-Identifier: LGPL-2.1-or-later
//! The folder of definition files: read at the start, watched from then on, and edited.
//!
//! The kernel queues the event of a change to the folder before the system call that made it
//! returns, and the event of a file's content when the file is closed. A caller that drains the
//! store before it answers a call therefore includes every edit made before that call. Only files
//! named by events are read again. When events are lost, or another folder has taken the name, all
//! files are; where the folder cannot be watched, all are read each time.
//!
//! Clients can use up the process's descriptors. One is reserved for reading files; a file that
//! cannot be read even so, for lack of memory, keeps its old content and is tried again.
//!
//! Two changes cause no event and are checked for: another folder takes the name, and the target of
//! a symbolic link in it changes. A change by another host in a shared file system is not noticed.

mod link;
mod edit;
mod keep;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use log::{debug, warn};

use crate::backend::{Backend, DefinitionFiles};
use crate::definitions::files::{FilePath, FileState};
use crate::definitions::{Definitions, Note};
use crate::error::HostError;
use crate::io::files;
use crate::limits::{DEFINITION_LEN_MAX, FOLDER_NEWS_PER_TURN_MAX};
use crate::model::client::Privilege;
use crate::model::sorted::SortedMap;
use crate::sys::inotify::{self, FileChange, FileEvent, Watch};

/// Space for the events of one edit, and of many (inotify(7) requires at least 272 bytes).
const NEWS_LEN: usize = 4096;

/// The definitions, as their files state them.
#[derive(Debug)]
pub struct DefinitionStore {
    dir: PathBuf,
    privilege: Privilege,
    files: DefinitionFiles,
    /// The inotify queue; `None` if there is none.
    queue: Option<OwnedFd>,
    folder: Folder,
    /// The error of reading or watching the folder, if any; logged once.
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

/// The state of the folder's path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Folder {
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
struct FileId(u64, u64);

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

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
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
    /// Reads the backend's folder and watches it. A missing folder has no definitions, and is
    /// noticed when it is created; errors of the folder or its files are logged as warnings.
    pub fn open(backend: Rc<dyn Backend>, privilege: Privilege) -> Self {
        let dir = backend.root().to_owned();
        let queue = inotify::queue().inspect_err(|err| {
            let err = HostError::new("watch", dir.display().to_string(), err);
            warn!("{err}; reading the folder at each call instead");
        });
        remove_temporaries(&dir);
        let mut store = Self {
            dir,
            privilege,
            files: DefinitionFiles::new(backend),
            queue: queue.ok(),
            folder: Folder::Missing,
            complaint: None,
            unlisted: None,
            links: SortedMap::default(),
            unread: Stale::default(),
            reserve: None,
        };
        store.read_folder();
        store.remove_temporaries_of_links();
        store.reserve = reserve();
        store
    }

    /// Removes what an earlier daemon has left beside the files that links lead to.
    fn remove_temporaries_of_links(&self) {
        let target = |path| link::target(self.files.backend(), path).ok().flatten();
        let targets = self.links.keys().filter_map(target).map(|target| self.path(&target));
        let folders: BTreeSet<_> =
            targets.filter_map(|target| target.parent().map(Path::to_owned)).collect();
        folders.iter().for_each(|folder| remove_temporaries(folder));
    }

    /// Returns the definitions as of the last [`DefinitionStore::drain`].
    pub fn definitions(&self) -> &Definitions {
        self.files.definitions()
    }

    /// Returns the files of the definitions.
    pub(crate) fn files(&self) -> &DefinitionFiles {
        &self.files
    }

    /// Applies all changes of the folder. Without a change this takes one read(2) and one stat(2),
    /// and another stat(2) for each symbolic link.
    pub fn drain(&mut self) {
        let mut stale = self.read_news().and(mem::take(&mut self.unread));
        let is_same = match self.folder {
            Folder::Missing => identity_of(&self.dir).is_err(),
            Folder::Unwatched => false,
            Folder::Watched { identity, .. } => identity_of(&self.dir) == Ok(identity),
        };
        if !is_same {
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
            Stale::Everything => self.read_folder(),
            Stale::Files(changes) => self.read_files(changes),
        }
        self.reserve = reserve();
    }

    /// Creates the folder, if it is missing.
    fn make_folder(&mut self) -> Result<(), HostError> {
        if self.folder != Folder::Missing {
            return Ok(());
        }
        files::make_folder(&self.dir, self.folder_mode())?;
        self.read_folder();
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
        let Some(queue) = &self.queue else { return stale };
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
                    debug!("{}: {err}; reading the folder again", self.dir.display());
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

    /// Reads all files, and watches the folder that now has the name.
    fn read_folder(&mut self) {
        let watched = self.watch_folder();
        let listed = match self.folder {
            Folder::Missing => Ok(BTreeSet::new()),
            Folder::Unwatched | Folder::Watched { .. } => self.list(),
        };
        // Both errors mostly have the same cause; that of the list is preferred.
        let complaint = listed.as_ref().err().or(watched.as_ref().err());
        if self.complaint.as_ref() != complaint {
            complaint.iter().for_each(|err| warn!("{err}; retrying at each call"));
            self.complaint = complaint.cloned();
        }
        self.unlisted = match (&listed, &watched, self.folder) {
            (Err(err), _, _) | (Ok(_), Err(err), Folder::Missing) => Some(err.clone()),
            (Ok(_), _, _) => None,
        };
        let mut paths = match listed {
            Err(err) if is_shortage(&err) => {
                self.unread = Stale::Everything;
                return;
            }
            listed => listed.unwrap_or_default(),
        };
        paths.extend(self.files.files().iter().map(|(path, _)| path.clone()));
        self.read_files(paths.into_iter().map(|path| (path, FileChange::Other)));
    }

    /// Watches the folder that now has the name. It is watched before it is read, so that changes
    /// in between cause events.
    fn watch_folder(&mut self) -> Result<(), HostError> {
        if let (Some(queue), Folder::Watched { watch, .. }) = (&self.queue, self.folder) {
            // The watch may have ended by itself.
            let _ = inotify::unwatch(queue, watch);
        }
        self.folder = Folder::Missing;
        let identity = match identity_of(&self.dir) {
            Err(err) if err.errno() == libc::ENOENT => return Ok(()),
            identity => identity?,
        };
        self.folder = Folder::Unwatched;
        let Some(queue) = &self.queue else { return Ok(()) };
        let watch = inotify::watch_folder(queue, &self.dir).map_err(|err| {
            // The kernel's text for it, "no space left on device", is misleading.
            let is_limit = err.raw_os_error() == Some(libc::ENOSPC);
            let reason = if is_limit { " within fs.inotify.max_user_watches" } else { "" };
            HostError::new("watch", format!("{}{reason}", self.dir.display()), &err)
        })?;
        self.folder = Folder::Watched { watch, identity };
        Ok(())
    }

    /// Reads these files, and logs warnings about invalid ones.
    fn read_files(&mut self, files: impl IntoIterator<Item = (FilePath, FileChange)>) {
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

    /// Reads one file. Returns whether its content has changed.
    fn read_file(&mut self, path: &FilePath, change: FileChange) -> bool {
        let place = self.path(path);
        self.links.remove(path);
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
        let is_current = |of| matches!(self.folder, Folder::Watched { watch, .. } if watch == of);
        match (event, &mut *stale) {
            (FileEvent::Overflow, _) => *stale = Stale::Everything,
            (FileEvent::Folder { watch }, _) if is_current(watch) => *stale = Stale::Everything,
            (FileEvent::File { watch, name, change }, Stale::Files(changes))
                if is_current(watch) =>
            {
                let path = FilePath::new(name).filter(|path| self.files.backend().owns(path));
                if let Some(path) = path {
                    if change == FileChange::Other || !changes.contains_key(&path) {
                        changes.insert(path, change);
                    }
                }
            }
            (FileEvent::Folder { .. } | FileEvent::File { .. }, _) => {}
        }
    }

    /// Returns the definition files in the folder.
    fn list(&self) -> Result<BTreeSet<FilePath>, HostError> {
        let refuse = |err| HostError::new("read", self.dir.display().to_string(), &err);
        let mut paths = BTreeSet::new();
        for entry in fs::read_dir(&self.dir).map_err(refuse)? {
            let path = FilePath::new(entry.map_err(refuse)?.file_name().into_vec());
            paths.extend(path.filter(|path| self.files.backend().owns(path)));
        }
        Ok(paths)
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

fn identity_of(dir: &Path) -> Result<FileId, HostError> {
    match fs::metadata(dir) {
        Ok(metadata) => Ok(FileId::of(&metadata)),
        Err(err) => Err(HostError::new("read", dir.display().to_string(), &err)),
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
