// SPDX-License-Identifier: LGPL-2.1-or-later
//! Pid files: a number to read, and a lock that says whether it is true.
//!
//! The lock on the first byte (libvirt's protocol) lives as long as the process, so a file left by
//! a daemon that was killed is taken over, and one of a living daemon never.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::sys::file::{first_byte_holder, lock_first_byte};

/// A pid file that is ours. Dropped, it is removed.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// Why a pid file could not be had.
#[derive(Debug)]
pub enum PidFileError {
    /// Another process lives behind it; its number, if the kernel tells.
    Held {
        path: PathBuf,
        holder: Option<libc::pid_t>,
    },
    /// A device, a pipe or a folder stands there: it must not be removed at the end.
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

impl PidFile {
    /// Takes `path` for this process: creates it with mode 0644, locks it, writes our number.
    pub fn claim(path: &Path) -> Result<Self, PidFileError> {
        let refuse = |err: &io::Error| {
            PidFileError::Host(HostError::new("claim pid file", path.display().to_string(), err))
        };
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(libc::O_NONBLOCK)
                .open(path)
                .map_err(|err| refuse(&err))?;
            if !file.metadata().map_err(|err| refuse(&err))?.is_file() {
                return Err(PidFileError::NotAFile(path.to_owned()));
            }
            match lock_first_byte(&file) {
                Ok(()) => {}
                Err(err) if matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                    let holder = first_byte_holder(&file).unwrap_or(None);
                    return Err(PidFileError::Held { path: path.to_owned(), holder });
                }
                Err(err) => return Err(refuse(&err)),
            }
            let mut claimed = Self { path: path.to_owned(), file };
            // The holder before us may have removed the file between our opening and our locking
            // it: what we hold then has no name any more.
            if claimed.is_still_named() {
                claimed.write_pid().map_err(|err| refuse(&err))?;
                return Ok(claimed);
            }
        }
    }

    fn write_pid(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(format!("{}\n", std::process::id()).as_bytes())
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
