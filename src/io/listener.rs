// SPDX-License-Identifier: LGPL-2.1-or-later
//! Listening sockets: bound with the requested mode and group, and never accessible to more users,
//! not even briefly.
//!
//! The socket has its mode from its creation, or no permissions at all until it has its group, and
//! it refuses connections until then. Group and mode are changed through a descriptor of the
//! socket's file, so that no symbolic link in its place is followed. An existing path is replaced
//! only if no process listens on its socket. A listener removes its path on drop, if the path is
//! still its own.
//!
//! A socket opened by a supervisor is adopted: its path, mode and group belong to the supervisor,
//! and stay as they are.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use log::warn;

use crate::error::HostError;
use crate::model::client::Endpoint;
use crate::sys::{file, process, socket};

/// The properties of a listener.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    pub endpoint: Endpoint,
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// `None` keeps the daemon's own group.
    pub group: Option<libc::gid_t>,
    /// The number of connections that may wait to be accepted.
    pub backlog: u32,
}

/// A socket that accepts clients.
#[derive(Debug)]
pub struct Listener {
    pub endpoint: Endpoint,
    /// For an adopted socket, its name in log lines.
    path: PathBuf,
    /// Device and inode of the path that was created; `None` if the socket was adopted.
    made: Option<(u64, u64)>,
    socket: OwnedFd,
}

/// The reason why a path cannot be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// Another process accepts connections there.
    InUse(PathBuf),
    /// The path is not a socket.
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
                write!(f, "{} exists and is not a socket; remove it first", path.display())
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
        let first_mode = if spec.group.is_none() { spec.mode } else { 0 };
        bind_with_mode(&socket, &spec.path, first_mode).map_err(|err| {
            match err.raw_os_error() {
                Some(libc::EADDRINUSE) => ListenError::InUse(spec.path.clone()),
                _ => fail("bind")(err),
            }
        })?;
        let place = SocketFile::open(&spec.path).map_err(fail("find"))?;
        // From here on, a failure removes the path again.
        let made = Some(place.identity());
        let listener = Self { endpoint: spec.endpoint, path: spec.path.clone(), made, socket };
        if let Some(gid) = spec.group {
            place.set_group(gid).map_err(fail("change the group of"))?;
            place.set_mode(spec.mode).map_err(fail("change the mode of"))?;
        }
        socket::listen(&listener.socket, spec.backlog).map_err(fail("listen on"))?;
        Ok(listener)
    }

    /// Adopts a listening socket that a supervisor has opened.
    pub(crate) fn adopt(
        endpoint: Endpoint,
        socket: OwnedFd,
        backlog: u32,
    ) -> Result<Self, ListenError> {
        let socket = UnixListener::from(socket);
        let fail = |verb, object: &Path| {
            let object = object.display().to_string();
            move |err: io::Error| ListenError::Host(HostError::new(verb, object, &err))
        };
        let address = socket.local_addr().map_err(fail("find", Path::new("a socket's address")))?;
        let path = shown(&address);
        socket.set_nonblocking(true).map_err(fail("stop waiting on", &path))?;
        socket::listen(&socket, backlog).map_err(fail("listen on", &path))?;
        Ok(Self { endpoint, path, made: None, socket: socket.into() })
    }

    /// Changes the mode, group and backlog of a running listener; without a group it keeps its own.
    /// Only the backlog changes if the socket was adopted, or if its path now belongs to another
    /// process.
    ///
    /// # Errors
    /// A property could not be changed. The mode is then narrower than the old and the new one.
    pub fn apply(
        &self,
        mode: u32,
        group: Option<libc::gid_t>,
        backlog: u32,
    ) -> Result<(), ListenError> {
        let fail = |verb: &'static str| {
            let object = self.path.display().to_string();
            move |err: io::Error| ListenError::Host(HostError::new(verb, object, &err))
        };
        socket::listen(&self.socket, backlog).map_err(fail("listen on"))?;
        let Some(place) = self.still_made() else {
            if self.made.is_some() {
                warn!(
                    "{} was replaced by another process; its mode and group are not changed",
                    self.path.display()
                );
            }
            return Ok(());
        };
        if let Some(gid) = group.filter(|gid| *gid != place.metadata.gid()) {
            // The new group must not get the old mode at any moment, nor the old group the new
            // mode.
            place.set_mode(place.metadata.mode() & mode).map_err(fail("change the mode of"))?;
            place.set_group(gid).map_err(fail("change the group of"))?;
        }
        place.set_mode(mode).map_err(fail("change the mode of"))
    }

    /// Returns its path; for an adopted socket, as far as it is known.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether a supervisor has opened it.
    pub(crate) fn is_adopted(&self) -> bool {
        self.made.is_none()
    }

    /// Returns the file at its path, if the listener has created it.
    fn still_made(&self) -> Option<SocketFile> {
        let now = SocketFile::open(&self.path).ok()?;
        (Some(now.identity()) == self.made).then_some(now)
    }
}

/// A socket's file, held by a descriptor that stays valid whatever its path becomes.
struct SocketFile {
    /// Opened with `O_PATH`, the only way to open a socket's file.
    file: File,
    path: PathBuf,
    metadata: Metadata,
}

impl SocketFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = file::open_place(path)?;
        let metadata = file.metadata()?;
        match metadata.file_type().is_socket() {
            true => Ok(Self { file, path: path.to_owned(), metadata }),
            false => Err(io::Error::from_raw_os_error(libc::ENOTSOCK)),
        }
    }

    /// Returns device and inode.
    fn identity(&self) -> (u64, u64) {
        (self.metadata.dev(), self.metadata.ino())
    }

    fn set_group(&self, gid: libc::gid_t) -> io::Result<()> {
        file::set_group(&self.file, gid)
    }

    /// Sets the mode. chmod(2) takes no such descriptor, but a path below /proc that stands for it.
    /// Without /proc the socket's own path is used, in whose folder no other user can replace
    /// files.
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let by_number = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match fs::set_permissions(by_number, Permissions::from_mode(mode)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                fs::set_permissions(&self.path, Permissions::from_mode(mode))
            }
            changed => changed,
        }
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
        if self.still_made().is_some() {
            // A failure cannot be reported any more; the next start replaces a stale socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns a socket's address for log lines: its path, or `@` and its abstract name.
fn shown(address: &SocketAddr) -> PathBuf {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) => PathBuf::from(OsStr::from_bytes(&[b"@", name].concat())),
        (None, None) => PathBuf::from("a socket without a path"),
    }
}

/// Binds with exactly these permissions, whatever the process's mask is.
fn bind_with_mode(socket: &OwnedFd, path: &Path, mode: u32) -> io::Result<()> {
    let mask = process::set_umask(!mode & 0o777);
    let result = socket::bind(socket, path);
    process::set_umask(mask);
    result
}

/// Removes a socket on which no process listens, and nothing else.
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
        // A full backlog also belongs to a running daemon.
        Ok(()) | Err((Some(libc::EAGAIN), _)) => Err(ListenError::InUse(path.to_owned())),
        Err((_, err)) => Err(fail("connect to")(err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    const BACKLOG: u32 = 3;

    /// Returns a path for a socket of one test.
    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("listener-{}-{name}", std::process::id()))
    }

    /// Returns a listener in the state that [`Listener::bind`] leaves. Bind itself briefly sets the
    /// process's mask, while other tests create files.
    fn bound(name: &str) -> Listener {
        let path = path(name);
        let socket = UnixListener::bind(&path).unwrap().into();
        let there = fs::symlink_metadata(&path).unwrap();
        let made = Some((there.dev(), there.ino()));
        Listener { endpoint: Endpoint::ReadWrite, path, made, socket }
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_running_listener_takes_another_mode_group_and_backlog() {
        let listener = bound("apply");
        let own = fs::symlink_metadata(listener.path()).unwrap().gid();
        listener.apply(0o770, None, BACKLOG).unwrap();
        assert_eq!(mode(listener.path()), 0o770);
        listener.apply(0o707, Some(own), BACKLOG).unwrap();
        assert_eq!(mode(listener.path()), 0o707);
        // The kernel queues one connection more than the backlog before it makes a client wait.
        let guest = || {
            let socket = socket::stream().unwrap();
            socket::connect(&socket, listener.path()).map(|()| socket)
        };
        let guests: Vec<_> = std::iter::from_fn(|| guest().ok()).take(10).collect();
        assert_eq!(u32::try_from(guests.len()), Ok(BACKLOG + 1));
    }

    #[test]
    fn a_path_that_is_anothers_now_keeps_its_mode_and_stays() {
        let listener = bound("lost");
        let lost = listener.path().to_owned();
        fs::remove_file(&lost).unwrap();
        fs::write(&lost, "precious").unwrap();
        fs::set_permissions(&lost, Permissions::from_mode(0o640)).unwrap();
        listener.apply(0o777, Some(u32::MAX - 1), BACKLOG).unwrap();
        assert_eq!(mode(&lost), 0o640);
        drop(listener);
        assert_eq!(fs::read_to_string(&lost).unwrap(), "precious");
        fs::remove_file(&lost).unwrap();
    }

    #[test]
    fn an_adopted_socket_is_served_and_its_path_left_alone() {
        let there = path("adopted");
        let theirs = UnixListener::bind(&there).unwrap();
        fs::set_permissions(&there, Permissions::from_mode(0o750)).unwrap();
        let ours = theirs.try_clone().unwrap().into();
        let listener = Listener::adopt(Endpoint::ReadOnly, ours, BACKLOG).unwrap();
        assert_eq!((listener.endpoint, listener.path()), (Endpoint::ReadOnly, there.as_path()));
        let empty = socket::accept(&listener).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        let _guest = UnixStream::connect(&there).unwrap();
        socket::accept(&listener).unwrap();
        listener.apply(0o777, Some(u32::MAX - 1), BACKLOG).unwrap();
        assert_eq!(mode(&there), 0o750);
        drop(listener);
        assert!(UnixStream::connect(&there).is_ok(), "the supervisor still listens");
        fs::remove_file(&there).unwrap();
    }

    #[test]
    fn an_adopted_socket_without_a_path_is_shown_by_its_name() {
        let name = format!("listener-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixListener::bind_addr(&address).unwrap().into();
        let listener = Listener::adopt(Endpoint::Admin, socket, BACKLOG).unwrap();
        assert_eq!(listener.path(), Path::new(&format!("@{name}")));
    }
}
