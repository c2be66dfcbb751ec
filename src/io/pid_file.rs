// SPDX-License-Identifier: LGPL-2.1-or-later
//! The driver's lock, which excludes a second daemon, and the pid file, which publishes the
//! daemon's pid.
//!
//! Both are locked on their first byte with fcntl(2), which lasts as long as the process, so the
//! kernel knows whether a file is stale. Any user who can open a file can hold a read lock on it,
//! which blocks a daemon's write lock. Therefore only the driver's lock, which no other user can
//! open, is decisive. The pid file is readable for all users: unless a daemon of this user holds
//! its write lock, it is replaced.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::io::{files, folders};
use crate::sys::file::{first_byte_writer, lock_first_byte};
use crate::sys::process;

/// A locked file with the pid of this process. It is removed on drop.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// The reason why a lock or a pid file cannot be taken.
#[derive(Debug)]
pub enum PidFileError {
    /// Another process holds it; its pid, if the kernel reports it.
    Held {
        path: PathBuf,
        holder: Option<libc::pid_t>,
    },
    /// The path is a device, a pipe or a folder, which must not be removed at the end.
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
            Self::NotAFile(path) => {
                write!(f, "{} is not a regular file, so it cannot hold a pid", path.display())
            }
            Self::Host(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for PidFileError {}

/// Permission bits of a file that only its owner can open, and so lock.
const PRIVATE: u32 = 0o600;

/// Permission bits of a pid file.
const PUBLIC: u32 = 0o644;

impl PidFile {
    /// Takes the driver's lock. Its file and its folder are accessible for the daemon's user alone,
    /// so its holder is a daemon.
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

    /// Writes this process's pid for all users to read. An existing file is reused, or replaced if
    /// another user can write to it or holds a read lock on it. The caller must hold the driver's
    /// lock, as two daemons that replace files could remove each other's.
    ///
    /// # Errors
    /// [`PidFileError::Held`] if a daemon with another driver's lock holds its write lock.
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

    /// Writes the pid to a locked file. Returns `None` if the file has lost its name, since its
    /// previous holder may have removed it between opening and locking.
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

    /// Makes it readable for all users.
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
            // A failure cannot be reported any more; the next start reuses the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a file to be locked. Other users cannot open a file that is created here.
fn open(path: &Path) -> Result<File, PidFileError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(PRIVATE);
    // In a folder that others can change, a symbolic link may lead to any file of the daemon's
    // user.
    let follow = if folders::is_shared(path) { libc::O_NOFOLLOW } else { 0 };
    let opened = options.custom_flags(libc::O_NONBLOCK | follow).open(path);
    let file = opened.map_err(|err| refused(path, &err))?;
    match file.metadata().map_err(|err| refused(path, &err))?.is_file() {
        true => Ok(file),
        false => Err(PidFileError::NotAFile(path.to_owned())),
    }
}

/// Takes the lock; returns false if another process holds a lock of either kind.
fn try_lock(file: &File, path: &Path) -> Result<bool, PidFileError> {
    match lock_first_byte(file) {
        Ok(()) => Ok(true),
        Err(err) if matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(err) => Err(refused(path, &err)),
    }
}

/// Returns whether only this user can write to a file, and so take its write lock.
fn is_private(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let is_ours = metadata.uid() == process::effective_uid() && metadata.nlink() == 1;
    Ok(is_ours && metadata.mode() & 0o022 == 0)
}

/// Returns the error for a lock held by another process. For a holder in another pid namespace the
/// kernel reports no positive pid.
fn held(path: &Path, holder: Option<libc::pid_t>) -> PidFileError {
    PidFileError::Held { path: path.to_owned(), holder: holder.filter(|pid| *pid > 0) }
}

fn refused(path: &Path, err: &io::Error) -> PidFileError {
    PidFileError::Host(HostError::new("claim pid file", path.display().to_string(), err))
}
