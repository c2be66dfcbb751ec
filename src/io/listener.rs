// SPDX-License-Identifier: LGPL-2.1-or-later
//! Listening sockets: bound with the mode and group asked for, and never a moment wider.
//!
//! The socket is bound with no permission at all and refuses connections until it has its group
//! and mode. A path is only taken over from a socket that nobody listens on any more. Dropped, a
//! listener removes its path, if the path is still its own.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::model::client::Entrance;
use crate::sys::{file, process, socket};

/// What a listener is to be.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    pub entrance: Entrance,
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// `None` keeps the daemon's own group.
    pub group: Option<libc::gid_t>,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

/// A socket that accepts clients.
#[derive(Debug)]
pub struct Listener {
    pub entrance: Entrance,
    path: PathBuf,
    /// Device and inode of the path as we made it.
    identity: (u64, u64),
    socket: OwnedFd,
}

/// Why a path could not be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// Somebody accepts connections there.
    InUse(PathBuf),
    /// Something that is no socket stands there.
    NotASocket(PathBuf),
    Host(HostError),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "{}: another daemon listens there; stop it first", path.display())
            }
            Self::NotASocket(path) => {
                write!(f, "{}: in the way, and no socket; remove it first", path.display())
            }
            Self::Host(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for ListenError {}

impl Listener {
    /// Binds and listens.
    pub fn bind(spec: &ListenerSpec) -> Result<Self, ListenError> {
        remove_stale(&spec.path)?;
        let fail = |verb: &'static str| {
            let object = spec.path.display().to_string();
            move |err: io::Error| ListenError::Host(HostError::new(verb, object, &err))
        };
        let socket = socket::stream().map_err(fail("open a socket for"))?;
        bind_closed(&socket, &spec.path).map_err(|err| match err.raw_os_error() {
            Some(libc::EADDRINUSE) => ListenError::InUse(spec.path.clone()),
            _ => fail("bind")(err),
        })?;
        let made = fs::symlink_metadata(&spec.path).map_err(fail("find"))?;
        let identity = (made.dev(), made.ino());
        // From here on, a failure removes the path again.
        let listener = Self { entrance: spec.entrance, path: spec.path.clone(), identity, socket };
        if let Some(gid) = spec.group {
            file::set_group(&spec.path, gid).map_err(fail("change the group of"))?;
        }
        let permissions = Permissions::from_mode(spec.mode);
        fs::set_permissions(&spec.path, permissions).map_err(fail("change the mode of"))?;
        socket::listen(&listener.socket, spec.backlog).map_err(fail("listen on"))?;
        Ok(listener)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == self.identity);
        if ours {
            // Nobody is left to tell of a failure, and the next start replaces a stale socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds with no permission for anybody, whatever the process's mask is.
fn bind_closed(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let mask = process::set_umask(0o777);
    let result = socket::bind(socket, path);
    process::set_umask(mask);
    result
}

/// Clears the way of a socket that nobody listens on, and of nothing else.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let fail = |verb| {
        move |err: io::Error| {
            ListenError::Host(HostError::new(verb, path.display().to_string(), &err))
        }
    };
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => return Err(ListenError::NotASocket(path.to_owned())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(fail("look at")(err)),
    }
    let probe = socket::stream().map_err(fail("open a socket for"))?;
    match socket::connect(&probe, path).map_err(|err| (err.raw_os_error(), err)) {
        Err((Some(libc::ECONNREFUSED), _)) => fs::remove_file(path).map_err(fail("remove")),
        // A full backlog is a living daemon's too.
        Ok(()) | Err((Some(libc::EAGAIN), _)) => Err(ListenError::InUse(path.to_owned())),
        Err((_, err)) => Err(fail("connect to")(err)),
    }
}
