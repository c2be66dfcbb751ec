// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes links by single system calls, faster than a program could be started.

#![allow(unsafe_code, reason = "interfaces are changed by ioctl")]

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Sets links up and down.
#[derive(Debug)]
pub(crate) struct Switch {
    socket: OwnedFd,
}

impl Switch {
    pub(crate) fn new() -> Self {
        // SAFETY: socket takes integers.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0);
        // SAFETY: the descriptor is new, and nothing else owns it.
        Self { socket: unsafe { OwnedFd::from_raw_fd(fd) } }
    }

    /// Sets a link up or down.
    pub(crate) fn set(&self, name: &str, state: State) {
        let flags = match state {
            State::Up => libc::IFF_UP,
            State::Down => 0,
        };
        let mut request = request(name);
        request.ifr_ifru.ifru_flags = i16::try_from(flags).unwrap();
        // SAFETY: the request is live and of the type that this ioctl reads.
        let rc =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
        assert_eq!(rc, 0, "{name}");
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Up,
    Down,
}

/// A tap or tun device, which exists as long as this value does.
#[derive(Debug)]
pub(crate) struct Tunnel {
    _file: File,
}

impl Tunnel {
    /// A device that carries frames and has a MAC address, as a guest's does.
    pub(crate) fn tap(name: &str) -> Self {
        Self::new(name, libc::IFF_TAP)
    }

    /// A device that carries packets and has no MAC address.
    pub(crate) fn tun(name: &str) -> Self {
        Self::new(name, libc::IFF_TUN)
    }

    fn new(name: &str, kind: libc::c_int) -> Self {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
        let mut request = request(name);
        request.ifr_ifru.ifru_flags = i16::try_from(kind | libc::IFF_NO_PI).unwrap();
        // SAFETY: the request is live and of the type that this ioctl reads and writes.
        let rc = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        assert_eq!(rc, 0, "{name}");
        Self { _file: file }
    }
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is made of integers and character arrays, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}
