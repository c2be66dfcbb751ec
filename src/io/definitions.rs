// SPDX-License-Identifier: LGPL-2.1-or-later
//! The folder of the definitions: read at the start, followed from then on, and changed.
//!
//! The kernel queues the news of a change to the folder before the system call that made it returns,
//! and of a file's content when the file is closed. Whoever drains the store before an answer
//! therefore answers with all that was done by hand before the question. Only the files that the
//! news names are read again. When news is lost, or the folder is another one than before, all of
//! it is; where nothing tells of changes, each time.
//!
//! Clients can use up the descriptors that this process may have. One is kept in reserve for reading
//! files; what cannot be read all the same, for want of memory, stays as it was and is tried again.
//!
//! Two things no news tells of are looked at: which folder has the name, and the files that links
//! in it lead to. What another host changes in a shared file system goes unnoticed.

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
use crate::definitions::files::{FileEdit, FilePath, FileState};
use crate::definitions::{Definitions, Note};
use crate::error::HostError;
use crate::io::files::{self, Access};
use crate::limits::{DEFINITION_LEN_MAX, FOLDER_NEWS_PER_TURN_MAX};
use crate::model::client::Privilege;
use crate::model::sorted::SortedMap;
use crate::sys::inotify::{self, Change, Event, Watch};

/// Room for what one edit brings, and for many of them (inotify(7) asks for 272 bytes at least).
const NEWS_LEN: usize = 4096;

/// The definitions as their files have them.
#[derive(Debug)]
pub struct DefinitionStore {
    dir: PathBuf,
    privilege: Privilege,
    files: DefinitionFiles,
    /// Where the kernel tells of changes; `None` if it does not.
    queue: Option<OwnedFd>,
    folder: Folder,
    /// Why the folder cannot be read or followed, if so: said once.
    complaint: Option<HostError>,
    /// Why it is not known which files there are, if so.
    unlisted: Option<HostError>,
    /// The files that are links, and what they led to when they were read.
    links: SortedMap<FilePath, Option<Stamp>>,
    /// What could not be read the last time, for want of something.
    unread: Stale,
    /// A descriptor that is given up for the time of reading and writing.
    reserve: Option<File>,
}

/// What has the folder's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Folder {
    /// Nothing, or nothing that we can get at.
    Missing,
    /// A folder that is read each time.
    Unwatched,
    Watched {
        watch: Watch,
        identity: Identity,
    },
}

/// Which file it is: device and inode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Identity(u64, u64);

/// Which file it is, and in which state: the time of its last change and its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    identity: Identity,
    changed: (i64, i64),
    len: u64,
}

/// What has to be read again.
#[derive(Debug, Eq, PartialEq)]
enum Stale {
    Files(SortedMap<FilePath, Change>),
    Everything,
}

impl Default for Stale {
    fn default() -> Self {
        Self::Files(SortedMap::default())
    }
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

impl Stamp {
    /// `None` if nothing is there.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self { identity: Identity::of(&metadata), changed, len: metadata.len() })
    }
}

impl DefinitionStore {
    /// Reads the backend's folder and follows it from now on. A folder that is missing has no definitions,
    /// and is noticed when it appears; whatever is wrong with it, or in it, is a warning in the log.
    pub fn open(backend: Rc<dyn Backend>, privilege: Privilege) -> Self {
        let dir = backend.root().to_owned();
        let queue = inotify::queue().inspect_err(|err| {
            let err = HostError::new("watch", dir.display().to_string(), err);
            warn!("{err}; reading the folder at each call instead");
        });
        match files::remove_temporaries(&dir) {
            Err(err) if err.errno() != libc::ENOENT => debug!("{err}"),
            Err(_) | Ok(()) => {}
        }
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
        store.reserve = reserve();
        store
    }

    /// The definitions as of the last [`DefinitionStore::drain`].
    pub fn definitions(&self) -> &Definitions {
        self.files.definitions()
    }

    /// The files that they are from.
    pub(crate) fn files(&self) -> &DefinitionFiles {
        &self.files
    }

    /// Takes note of all that has changed. If nothing has: one read(2) and one stat(2), and another
    /// stat(2) for each link.
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

    /// Carries out `edit`, durably: when it returns, the file on the disk and the definitions here are
    /// as the edit says.
    ///
    /// # Errors
    /// The file is not as `edit` has it before, since somebody changed it meanwhile; nobody could
    /// put back what is there; the kernel refuses. Nothing has changed then.
    pub fn apply(&mut self, edit: &FileEdit) -> Result<(), HostError> {
        let path = self.check(edit)?;
        self.reserve = None;
        let outcome = self.write(&path, edit);
        self.reserve = reserve();
        outcome
    }

    /// Makes the folder, if there is none.
    fn make_folder(&mut self) -> Result<(), HostError> {
        if self.folder != Folder::Missing {
            return Ok(());
        }
        let mode = match self.privilege {
            Privilege::System => 0o755,
            Privilege::Session => 0o700,
        };
        files::make_folder(&self.dir, mode)?;
        self.read_folder();
        Ok(())
    }

    fn write(&mut self, path: &Path, edit: &FileEdit) -> Result<(), HostError> {
        if edit.after.is_some() {
            self.make_folder()?;
        }
        let outcome = write(path, edit.after.as_deref());
        let is_edit = edit.before != edit.after;
        if is_edit && outcome.is_err() && is_content(path, edit.after.as_deref()) {
            // Done, but perhaps not on the disk: a call that fails must leave things as they were.
            if let Err(err) = write(path, edit.before.as_deref()) {
                warn!("{err}: the failed edit is not undone");
            }
        }
        if outcome.is_ok() {
            self.links.remove(&edit.path);
            self.files.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
            self.files.update(std::slice::from_ref(&edit.path));
        } else {
            self.read_files([(edit.path.clone(), Change::Other)]);
        }
        outcome
    }

    /// The file that `edit` changes, if it may.
    fn check(&mut self, edit: &FileEdit) -> Result<PathBuf, HostError> {
        let refuse = |object: String, errno| {
            HostError::new("write", object, &io::Error::from_raw_os_error(errno))
        };
        let path = self.path(&edit.path);
        if !self.files.backend().owns(&edit.path) {
            let object = format!("{}, which is no definition file", path.display());
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

    /// Empties the queue.
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
        // Somebody changes files faster than we read of it. Reading them is newer than any news.
        Stale::Everything
    }

    /// Adds the links that lead to another file or content than before.
    fn look_at_links(&self, changes: &mut SortedMap<FilePath, Change>) {
        for (path, stamp) in self.links.iter() {
            if Stamp::of(&self.path(path)) != *stamp {
                changes.insert(path.clone(), Change::Other);
            }
        }
    }

    /// Reads everything, and follows the folder that now has the name.
    fn read_folder(&mut self) {
        let watched = self.watch_folder();
        let listed = match self.folder {
            Folder::Missing => Ok(BTreeSet::new()),
            Folder::Unwatched | Folder::Watched { .. } => self.list(),
        };
        // It is the same cause, mostly; the list matters more than the news.
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
        self.read_files(paths.into_iter().map(|path| (path, Change::Other)));
    }

    /// Has the kernel tell of the folder that now has the name. It is watched before it is read, so
    /// that what happens in between is told of.
    fn watch_folder(&mut self) -> Result<(), HostError> {
        if let (Some(queue), Folder::Watched { watch, .. }) = (&self.queue, self.folder) {
            // It may have ended by itself.
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
            // The kernel's words for it, "no space left on device", are about something else.
            let is_limit = err.raw_os_error() == Some(libc::ENOSPC);
            let reason = if is_limit { " within fs.inotify.max_user_watches" } else { "" };
            HostError::new("watch", format!("{}{reason}", self.dir.display()), &err)
        })?;
        self.folder = Folder::Watched { watch, identity };
        Ok(())
    }

    /// Reads these files, and warns of what is wrong with them.
    fn read_files(&mut self, files: impl IntoIterator<Item = (FilePath, Change)>) {
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

    /// Reads one file. `true` if it is another one than before.
    fn read_file(&mut self, path: &FilePath, change: Change) -> bool {
        let place = self.path(path);
        self.links.remove(path);
        if fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_symlink()) {
            // Before it is read, so that a change in between is seen the next time.
            self.links.insert(path.clone(), Stamp::of(&place));
        }
        let state = match read(&place) {
            // Somebody has just made it and is about to write. The end of that is told of.
            Ok(Some(bytes)) if bytes.is_empty() && change == Change::Created => None,
            Ok(bytes) => bytes.map(FileState::Content),
            Err(err) if is_shortage(&err) => {
                debug!("{err}; will retry");
                let again = Stale::Files(SortedMap::from([(path.clone(), Change::Other)]));
                self.unread = mem::take(&mut self.unread).and(again);
                return false;
            }
            Err(err) => Some(FileState::Unreadable(err)),
        };
        // The news of what was written here changes nothing.
        let is_other = self.files.files().get(path) != state.as_ref();
        if is_other {
            self.files.note(path.clone(), state);
        }
        is_other
    }

    /// Adds what `event` tells. News of a folder that was watched before is old.
    fn add_news(&self, stale: &mut Stale, event: Event<'_>) {
        let is_current = |of| matches!(self.folder, Folder::Watched { watch, .. } if watch == of);
        match (event, &mut *stale) {
            (Event::Overflow, _) => *stale = Stale::Everything,
            (Event::Folder { watch }, _) if is_current(watch) => *stale = Stale::Everything,
            (Event::File { watch, name, change }, Stale::Files(changes)) if is_current(watch) => {
                let path = FilePath::new(name).filter(|path| self.files.backend().owns(path));
                if let Some(path) = path
                    && (change == Change::Other || !changes.contains_key(&path))
                {
                    changes.insert(path, change);
                }
            }
            (Event::Folder { .. } | Event::File { .. }, _) => {}
        }
    }

    /// The definition files that the folder has.
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
    /// The files that have to be read again.
    fn paths(&self) -> impl Iterator<Item = &FilePath> {
        let files = match self {
            Self::Files(files) => Some(files.keys()),
            Self::Everything => None,
        };
        files.into_iter().flatten()
    }

    /// Both.
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

/// What is to be said of a file that is another one than before.
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

fn identity_of(dir: &Path) -> Result<Identity, HostError> {
    match fs::metadata(dir) {
        Ok(metadata) => Ok(Identity::of(&metadata)),
        Err(err) => Err(HostError::new("read", dir.display().to_string(), &err)),
    }
}

/// Whether the file is not to blame.
fn is_shortage(err: &HostError) -> bool {
    matches!(err.errno(), libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)
}

/// Any descriptor. Without one the next shortage is met without it.
fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// The content of a regular file, `None` if there is none. Nothing else is even opened: a device may
/// do something then.
fn read(path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(metadata) if metadata.is_dir() => return Err(unreadable(path, libc::EISDIR)),
        Ok(_) => return Err(unreadable(path, libc::EINVAL)),
        // A link that leads nowhere is there.
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

/// Nothing has the name, or no folder is where it could be.
fn is_absence(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

fn unreadable(path: &Path, errno: i32) -> HostError {
    let err = io::Error::from_raw_os_error(errno);
    HostError::new("read", path.display().to_string(), &err)
}

/// A file that is there already stays for whom it was for.
fn write(path: &Path, content: Option<&[u8]>) -> Result<(), HostError> {
    let Some(bytes) = content else { return files::remove(path) };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => files::replace_as(path, bytes, Access::of(&metadata)),
        Ok(_) | Err(_) => files::replace(path, bytes),
    }
}

fn is_content(path: &Path, content: Option<&[u8]>) -> bool {
    read(path).is_ok_and(|found| found.as_deref() == content)
}

#[cfg(test)]
mod tests;
