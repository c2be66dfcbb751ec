// SPDX-License-Identifier: LGPL-2.1-or-later
//! Notifications to the supervisor that started the daemon, if it expects them (sd_notify(3)).
//!
//! Each notification is one datagram, as with libvirt's daemons. A notification that the supervisor
//! does not take at once is lost, without further effect.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use log::warn;

use crate::error::HostError;
use crate::sys::clock;

/// The supervisor, if it expects notifications.
#[derive(Debug)]
pub struct Supervisor {
    line: Option<NotifyLine>,
}

#[derive(Debug)]
struct NotifyLine {
    address: SocketAddr,
    socket: UnixDatagram,
    /// Whether the log already states that a notification was lost.
    is_lossy: Cell<bool>,
}

impl Supervisor {
    /// Opens the socket. `address` is the value of NOTIFY_SOCKET: an absolute path, or `@` and an
    /// abstract name. An unusable address causes a warning; the daemon runs without it.
    pub fn new(address: Option<OsString>) -> Self {
        let open = |address: OsString| match NotifyLine::open(&address) {
            Ok(line) => Some(line),
            Err(err) => {
                let err = HostError::new("use", address.to_string_lossy(), &err);
                warn!("NOTIFY_SOCKET: {err}");
                None
            }
        };
        Self { line: address.and_then(open) }
    }

    /// Notifies that calls are accepted; `status` is a line for people.
    pub fn ready(&self, status: &str) {
        self.tell("READY=1");
        self.status(status);
    }

    /// Notifies that the configuration is being reloaded. [`Supervisor::reloaded`] must follow.
    pub fn reloading(&self) {
        // The time distinguishes this notification from an older one.
        if let Ok(now) = clock::monotonic() {
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
        }
    }

    /// Notifies that the reload has ended; `status` has its result.
    pub(crate) fn reloaded(&self, status: &str) {
        self.ready(status);
    }

    /// Notifies that the daemon is stopping.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
        self.status("stopping");
    }

    /// Notifies the daemon's status, as one line for people.
    pub fn status(&self, text: &str) {
        // A line feed would begin another assignment.
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        self.tell(&format!("STATUS={text}"));
    }

    fn tell(&self, note: &str) {
        let Some(line) = &self.line else { return };
        if let Err(err) = line.socket.send_to_addr(note.as_bytes(), &line.address) {
            if !line.is_lossy.replace(true) {
                warn!("{}", HostError::new("notify", "the supervisor", &err));
            }
        }
    }
}

impl NotifyLine {
    fn open(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { address, socket, is_lossy: Cell::new(false) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a supervisor with its own abstract name.
    fn listen(name: &str) -> (UnixDatagram, Supervisor) {
        let name = format!("virtinterfaced-test-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let ear = UnixDatagram::bind_addr(&address).unwrap();
        ear.set_nonblocking(true).unwrap();
        (ear, Supervisor::new(Some(format!("@{name}").into())))
    }

    /// Returns all waiting notifications.
    fn notes(ear: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        let next = || ear.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec());
        std::iter::from_fn(next).map(|note| String::from_utf8(note).unwrap()).collect()
    }

    #[test]
    fn each_note_is_a_datagram() {
        let (ear, supervisor) = listen("notes");
        supervisor.ready("Serving");
        assert_eq!(notes(&ear), ["READY=1", "STATUS=Serving"]);
        supervisor.status("a\nREADY=0 ä");
        assert_eq!(notes(&ear), ["STATUS=aREADY=0 ä"]);
        supervisor.stopping();
        assert_eq!(notes(&ear), ["STOPPING=1", "STATUS=stopping"]);
        supervisor.reloaded("refused");
        assert_eq!(notes(&ear), ["READY=1", "STATUS=refused"]);
    }

    #[test]
    fn a_reload_tells_its_time_on_the_clock_of_all() {
        let (ear, supervisor) = listen("reload");
        let before = clock::monotonic().unwrap().as_micros();
        supervisor.reloading();
        let after = clock::monotonic().unwrap().as_micros();
        let notes = notes(&ear);
        let time = notes[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!((before..=after).contains(&time.parse().unwrap()), "{notes:?}");
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn a_supervisor_that_is_full_or_gone_is_not_waited_for() {
        let (ear, supervisor) = listen("full");
        for _ in 0..1_000 {
            supervisor.status("still there");
        }
        assert!(notes(&ear).len() < 1_000, "the queue has an end");
        drop(ear);
        supervisor.stopping();
        assert!(supervisor.line.unwrap().is_lossy.get());
    }

    #[test]
    fn an_address_that_is_none_is_left_alone() {
        let long = format!("/{}", "x".repeat(200));
        for address in ["", "relative", "vsock:2:1234", &long, &long.replace('/', "@")] {
            assert!(Supervisor::new(Some(address.into())).line.is_none(), "{address}");
        }
        Supervisor::new(None).ready("without a supervisor");
        assert!(Supervisor::new(Some("/run/nosuch".into())).line.is_some());
    }
}
