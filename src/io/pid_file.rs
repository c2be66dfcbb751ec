// SPDX-License-Identifier: LGPL-2.1-or-later
//! The driver's lock and the pid file: one keeps a second daemon away, the other shows a number.
//!
//! Both are locked on their first byte with fcntl(2), which lasts as long as the process: the kernel
//! knows which file is stale. Any user who can open a file can hold a read lock on it, and so keep
//! a daemon from its write lock. Therefore only the driver's lock decides, which no other user can
//! open. A pid file is for everybody to read: one that no daemon of this user's has locked for
//! writing is replaced.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::io::{files, folders};
use crate::sys::file::{first_byte_writer, lock_first_byte};
use crate::sys::process;

/// A locked file with the number of this process. Dropped, it is removed.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// Why a lock or a pid file could not be had.
#[derive(Debug)]
pub enum PidFileError {
    /// Another process holds it; its number, if the kernel tells.
    Held {
        path: PathBuf,
        holder: Option<libc::pid_t>,
    },
    /// The path leads to a device, a pipe or a folder, which must not be removed at the end.
    NotAFile(PathBuf),
    Host(HostError),
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, holder: Some(pid) } => {
                write!(f, "{} is held by process {pid}: already running", path.display())
            }
            Self::Held { path, holder: None } => {
                write!(f, "{} is held: already running", path.display())
            }
            Self::NotAFile(path) => write!(f, "{} is no file for a pid", path.display()),
            Self::Host(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for PidFileError {}

/// Permission bits of a file that its owner alone can open, and so lock.
const PRIVATE: u32 = 0o600;

/// Permission bits of a pid file.
const PUBLIC: u32 = 0o644;

impl PidFile {
    /// Takes the driver's lock. Its file and its folder are for the daemon's user alone, so its
    /// holder is a daemon.
    ///
    /// # Errors
    /// [`PidFileError::Held`] if another process holds it.
    pub fn lock(path: &Path) -> Result<Self, PidFileError> {
        loop {
            let file = open(path)?;
            if !try_lock(&file, path)? {
                return Err(held(path, first_byte_writer(&file).unwrap_or(None)));
            }
            if let Some(locked) = Self::write(path, file)? {
                return Ok(locked);
            }
        }
    }

    /// Writes this process's number for everybody to read. A file that is already there is taken
    /// over, or replaced if another user can write to it or has a read lock on it. The driver's lock
    /// must be held, as two daemons that replace files could remove each other's.
    ///
    /// # Errors
    /// [`PidFileError::Held`] if a daemon with another driver's lock has locked it for writing.
    pub(crate) fn publish(path: &Path, _driver: &Self) -> Result<Self, PidFileError> {
        loop {
            let file = open(path)?;
            if is_private(&file).map_err(|err| refused(path, &err))? {
                if try_lock(&file, path)? {
                    match Self::write(path, file)? {
                        Some(published) => return published.show(),
                        None => continue,
                    }
                }
                let writer = first_byte_writer(&file).map_err(|err| refused(path, &err))?;
                if writer.is_some() {
                    return Err(held(path, writer));
                }
            }
            files::remove(path).map_err(PidFileError::Host)?;
        }
    }

    /// Makes a locked file this process's. `None` if it has lost its name meanwhile, as its holder
    /// before may have removed it between our opening and our locking it.
    fn write(path: &Path, file: File) -> Result<Option<Self>, PidFileError> {
        let mut taken = Self { path: path.to_owned(), file };
        if !taken.is_still_named() {
            return Ok(None);
        }
        let number = format!("{}\n", std::process::id());
        let written = taken.file.set_len(0).and_then(|()| taken.file.write_all(number.as_bytes()));
        written.map_err(|err| refused(path, &err))?;
        Ok(Some(taken))
    }

    /// Lets everybody read it.
    fn show(self) -> Result<Self, PidFileError> {
        let readable = Permissions::from_mode(PUBLIC);
        self.file.set_permissions(readable).map_err(|err| refused(&self.path, &err))?;
        Ok(self)
    }

    fn is_still_named(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
            (_, _) => false,
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_still_named() {
            // Nobody is left to tell of a failure, and the next start takes the file over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a file to be locked. One that is made here cannot be opened by other users.
fn open(path: &Path) -> Result<File, PidFileError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(PRIVATE);
    // In a folder that others can change, a link may lead to any file of ours.
    let follow = if folders::is_shared(path) { libc::O_NOFOLLOW } else { 0 };
    let opened = options.custom_flags(libc::O_NONBLOCK | follow).open(path);
    let file = opened.map_err(|err| refused(path, &err))?;
    match file.metadata().map_err(|err| refused(path, &err))?.is_file() {
        true => Ok(file),
        false => Err(PidFileError::NotAFile(path.to_owned())),
    }
}

/// False if another process has a lock on it, of either kind.
fn try_lock(file: &File, path: &Path) -> Result<bool, PidFileError> {
    match lock_first_byte(file) {
        Ok(()) => Ok(true),
        Err(err) if matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(err) => Err(refused(path, &err)),
    }
}

/// Whether this user alone can write to a file, and so lock it for writing.
fn is_private(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let is_ours = metadata.uid() == process::effective_uid() && metadata.nlink() == 1;
    Ok(is_ours && metadata.mode() & 0o022 == 0)
}

/// Where the kernel does not tell the holder (a process of another pid namespace), its number is
/// not positive.
fn held(path: &Path, holder: Option<libc::pid_t>) -> PidFileError {
    PidFileError::Held { path: path.to_owned(), holder: holder.filter(|pid| *pid > 0) }
}

fn refused(path: &Path, err: &io::Error) -> PidFileError {
    PidFileError::Host(HostError::new("claim pid file", path.display().to_string(), err))
}
