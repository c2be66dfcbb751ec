// SPDX-License-Identifier: LGPL-2.1-or-later
//! Sockets that a supervisor has opened for the daemon (sd_listen_fds(3)).
//!
//! Environment variables state the number of descriptors, the process that they are for, and their
//! names. Each descriptor is checked to be a listening Unix stream socket. One that the daemon
//! cannot serve ends the start: clients would connect to it and wait for ever.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::error::strerror;
use crate::limits::ACTIVATION_FD_COUNT_MAX;
use crate::model::client::{Endpoint, Privilege};
use crate::sys::{process, socket};

/// The environment variables of the protocol.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Variables {
    /// `LISTEN_PID`
    pub pid: Option<String>,
    /// `LISTEN_FDS`
    pub fds: Option<String>,
    /// `LISTEN_FDNAMES`
    pub names: Option<String>,
}

/// The names of the sockets: those of libvirt's socket units.
const NAMES: [(&str, Endpoint); 3] = [
    ("virtinterfaced.socket", Endpoint::ReadWrite),
    ("virtinterfaced-ro.socket", Endpoint::ReadOnly),
    ("virtinterfaced-admin.socket", Endpoint::Admin),
];

/// The reason why the passed descriptors cannot be served.
#[derive(Debug)]
pub enum ActivationError {
    /// More descriptors than any configuration has.
    TooMany(u32),
    /// One descriptor is unsuitable.
    Descriptor { number: RawFd, name: Option<String>, problem: Problem },
}

/// The fault of a descriptor.
#[derive(Debug)]
pub enum Problem {
    /// It is not open, or cannot be examined.
    Broken(io::Error),
    NotASocket,
    NotUnix,
    NotStream,
    NotListening,
    /// It has an unknown name, or a session daemon has no such socket.
    UnknownName,
    /// It has no name, and an unknown path; `None` if it has no path.
    UnknownPath(Option<PathBuf>),
}

impl fmt::Display for ActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => {
                write!(f, "LISTEN_FDS: {count} descriptors, over {ACTIVATION_FD_COUNT_MAX}")
            }
            Self::Descriptor { number, name, problem } => {
                if matches!(problem, Problem::UnknownName | Problem::UnknownPath(_)) {
                    f.write_str("Some activation file descriptors are unclaimed: ")?;
                }
                write!(f, "descriptor {number}")?;
                if let Some(name) = name {
                    write!(f, " ({name:?})")?;
                }
                write!(f, ": {problem}")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(err) => f.write_str(&strerror(err.raw_os_error().unwrap_or(0))),
            Self::NotASocket => f.write_str("not a socket"),
            Self::NotUnix => f.write_str("not a Unix socket"),
            Self::NotStream => f.write_str("not a stream socket"),
            Self::NotListening => f.write_str("does not listen"),
            Self::UnknownName => f.write_str("this daemon has no socket of that name"),
            Self::UnknownPath(Some(path)) => {
                write!(f, "it has no name, and {} is not a path of this daemon", path.display())
            }
            Self::UnknownPath(None) => f.write_str("it has neither a name nor a path"),
        }
    }
}

impl std::error::Error for ActivationError {}

/// Returns the number of descriptors passed to this process, according to the environment.
pub(crate) fn passed_count(variables: &Variables) -> u32 {
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    let is_for_us = number(&variables.pid) == Some(std::process::id());
    number(&variables.fds).filter(|_| is_for_us).unwrap_or(0)
}

/// Takes ownership of the descriptors that were passed to this process, in their order. Returns
/// `None` if none were, or if they were meant for another process.
pub fn take(
    variables: &Variables,
    privilege: Privilege,
) -> Result<Option<Vec<(Endpoint, OwnedFd)>>, ActivationError> {
    let count = passed_count(variables);
    if count == 0 {
        return Ok(None);
    }
    if count > ACTIVATION_FD_COUNT_MAX {
        return Err(ActivationError::TooMany(count));
    }
    let mut names = names(variables.names.as_deref(), count);
    let take = |(_, number)| {
        let name = names.next();
        let claimed = process::inherited_fd(number)
            .map_err(Problem::Broken)
            .and_then(|fd| claim(fd, name.as_deref(), privilege));
        claimed.map_err(|problem| ActivationError::Descriptor { number, name, problem })
    };
    (0..count).zip(process::INHERITED_FD_FIRST..).map(take).collect::<Result<_, _>>().map(Some)
}

/// Iterates over one name for each of `count` descriptors, or over none if a name is missing, since
/// the others could not be assigned.
fn names(text: Option<&str>, count: u32) -> impl Iterator<Item = String> + use<> {
    let names: Vec<_> = text.into_iter().flat_map(|text| text.split(':')).collect();
    let fits = u32::try_from(names.len()) == Ok(count);
    let names: Vec<_> = names.into_iter().filter(|_| fits).map(str::to_owned).collect();
    names.into_iter()
}

/// Determines which socket a descriptor is.
fn claim(
    fd: OwnedFd,
    name: Option<&str>,
    privilege: Privilege,
) -> Result<(Endpoint, OwnedFd), Problem> {
    check(&fd)?;
    let listener = UnixListener::from(fd);
    let mut endpoints = NAMES.iter();
    let (found, unknown) = match name {
        Some(name) => (endpoints.find(|(known, _)| *known == name), Problem::UnknownName),
        None => {
            let path = bound_path(&listener).map_err(Problem::Broken)?;
            let file_name = path.as_deref().and_then(Path::file_name);
            let is_it =
                |endpoint: Endpoint| file_name.is_some_and(|name| name == endpoint.socket_name());
            (endpoints.find(|(_, endpoint)| is_it(*endpoint)), Problem::UnknownPath(path))
        }
    };
    match found.map(|(_, endpoint)| *endpoint) {
        // A session daemon has no read-only socket, as its user may do everything.
        Some(Endpoint::ReadOnly) if privilege == Privilege::Session => Err(unknown),
        Some(endpoint) => Ok((endpoint, listener.into())),
        None => Err(unknown),
    }
}

/// Checks that clients can connect to a descriptor.
fn check(fd: &OwnedFd) -> Result<(), Problem> {
    let option = |name| {
        socket::option(fd, name).map_err(|err| match err.raw_os_error() {
            Some(libc::ENOTSOCK) => Problem::NotASocket,
            _ => Problem::Broken(err),
        })
    };
    if option(libc::SO_DOMAIN)? != libc::AF_UNIX {
        return Err(Problem::NotUnix);
    }
    if option(libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Err(Problem::NotStream);
    }
    if option(libc::SO_ACCEPTCONN)? == 0 {
        return Err(Problem::NotListening);
    }
    Ok(())
}

fn bound_path(listener: &UnixListener) -> io::Result<Option<PathBuf>> {
    Ok(listener.local_addr()?.as_pathname().map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::net::TcpListener;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// A folder for the sockets of one test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("activation-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn listen(&self, name: &str) -> OwnedFd {
            let path = self.0.join(name);
            let _ = fs::remove_file(&path);
            UnixListener::bind(path).unwrap().into()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn endpoint(fd: OwnedFd, name: Option<&str>, privilege: Privilege) -> Result<Endpoint, String> {
        let claimed = claim(fd, name, privilege);
        claimed.map(|(endpoint, _)| endpoint).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_socket_is_known_by_its_name_and_without_one_by_its_path() {
        let folder = Folder::new("names");
        for (name, want) in NAMES {
            let file_name = want.socket_name();
            let named = endpoint(folder.listen("any"), Some(name), Privilege::System);
            assert_eq!(named, Ok(want), "{name}");
            let unnamed = endpoint(folder.listen(file_name), None, Privilege::System);
            assert_eq!(unnamed, Ok(want), "{file_name}");
        }
    }

    #[test]
    fn what_has_no_use_is_refused() {
        let folder = Folder::new("useless");
        let refuse = |fd, name, privilege| endpoint(fd, name, privilege).unwrap_err();
        let no_name = "this daemon has no socket of that name";
        let system = |name| refuse(folder.listen("virtinterfaced-sock"), name, Privilege::System);
        assert_eq!(system(Some("virtnetworkd.socket")), no_name);
        assert_eq!(system(Some("")), no_name);
        assert_eq!(system(Some("VIRTINTERFACED.SOCKET")), no_name);
        let session = |file, name| refuse(folder.listen(file), name, Privilege::Session);
        assert_eq!(session("any", Some("virtinterfaced-ro.socket")), no_name);
        let no_path = |path: &str| {
            let path = folder.0.join(path);
            format!("it has no name, and {} is not a path of this daemon", path.display())
        };
        let ro = "virtinterfaced-sock-ro";
        assert_eq!(session(ro, None), no_path(ro));
        assert_eq!(refuse(folder.listen("x"), None, Privilege::System), no_path("x"));
        let name = format!("virtinterfaced-sock-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let nowhere = UnixListener::bind_addr(&address).unwrap().into();
        let want = "it has neither a name nor a path";
        assert_eq!(refuse(nowhere, None, Privilege::System), want);
    }

    #[test]
    fn what_no_client_can_connect_to_is_refused_whatever_it_is_called() {
        let silent = socket::stream().unwrap();
        for (fd, want) in [
            (File::open("/dev/null").unwrap().into(), "not a socket"),
            (TcpListener::bind("127.0.0.1:0").unwrap().into(), "not a Unix socket"),
            (UnixDatagram::unbound().unwrap().into(), "not a stream socket"),
            (silent, "does not listen"),
        ] {
            let name = Some("virtinterfaced.socket");
            assert_eq!(endpoint(fd, name, Privilege::System).unwrap_err(), want);
        }
    }

    /// Returns the variables of a supervisor that passes descriptors to this process.
    fn variables(fds: &str, names: &str) -> Variables {
        let pid = Some(std::process::id().to_string());
        Variables { pid, fds: Some(fds.to_owned()), names: Some(names.to_owned()) }
    }

    #[test]
    fn without_descriptors_for_this_process_there_is_no_activation() {
        let ours = variables("1", "virtinterfaced.socket");
        let cases = [
            ("nothing set", Variables::default()),
            ("no pid", Variables { pid: None, ..ours.clone() }),
            ("another's pid", Variables { pid: Some("1".to_owned()), ..ours.clone() }),
            ("no number", Variables { pid: Some("me".to_owned()), ..ours.clone() }),
            ("no count", Variables { fds: None, ..ours }),
            ("a count of 0", variables("0", "")),
            ("a count that is none", variables("many", "")),
            ("a negative count", variables("-1", "")),
        ];
        for (label, variables) in cases {
            assert!(take(&variables, Privilege::System).unwrap().is_none(), "{label}");
        }
    }

    #[test]
    fn a_count_beyond_reason_is_refused_before_anything_is_taken() {
        let taken = |fds| take(&variables(fds, "x"), Privilege::System).unwrap_err();
        assert_eq!(taken("65").to_string(), "LISTEN_FDS: 65 descriptors, over 64");
        // The first descriptor is not one of the daemon's, as this test was passed none.
        let first = taken("64");
        assert!(matches!(first, ActivationError::Descriptor { number: 3, .. }), "{first}");
    }

    #[test]
    fn a_descriptor_is_told_by_number_and_name() {
        let problem = Problem::Broken(io::Error::from_raw_os_error(libc::EBADF));
        let err = ActivationError::Descriptor { number: 3, name: Some("x".to_owned()), problem };
        assert_eq!(err.to_string(), "descriptor 3 (\"x\"): Bad file descriptor");
    }

    #[test]
    fn names_are_taken_only_if_there_is_one_for_each() {
        let names = |text, count| names(text, count).collect::<Vec<_>>();
        assert_eq!(names(Some("a:b"), 2), ["a", "b"]);
        assert_eq!(names(Some("a:"), 2), ["a", ""]);
        assert_eq!(names(Some("a:b"), 1), [""; 0]);
        assert_eq!(names(Some("a"), 2), [""; 0]);
        assert_eq!(names(None, 1), [""; 0]);
    }

    #[test]
    fn an_unclaimed_descriptor_is_told_in_libvirts_words() {
        let name = Some("x.socket".to_owned());
        let err = ActivationError::Descriptor { number: 4, name, problem: Problem::UnknownName };
        let want = "Some activation file descriptors are unclaimed: descriptor 4 (\"x.socket\"): \
            this daemon has no socket of that name";
        assert_eq!(err.to_string(), want);
    }
}
