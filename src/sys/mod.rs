// SPDX-License-Identifier: LGPL-2.1-or-later
//! The system calls that std has no safe word for. The only unsafe code of the program.
//!
//! Each function is safe for every argument, makes one system call a block, and hands descriptors
//! out as [`std::os::fd::OwnedFd`]. What to do about a failure is the callers' to say.

pub mod clock;
pub mod process;
pub mod descriptors;
pub mod file;
pub mod inotify;
pub mod netlink;
pub mod signal;
pub mod socket;
pub mod route;

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The kernel's answer as a result: -1 means that `errno` says what went wrong.
fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

/// Waits so long at most until something can be read. Tells whether there is.
pub fn wait_readable(fd: impl AsFd, time: Duration) -> bool {
    let fd = fd.as_fd().as_raw_fd();
    let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time = clock::timespec(time);
    // SAFETY: both pointers are to live locals, one pollfd as the count says; no mask of signals is set.
    let count = unsafe { libc::ppoll(&raw mut wanted, 1, &raw const time, std::ptr::null()) };
    count == 1
}

/// A byte count, or -1 with `errno`.
fn check_len(rc: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(rc).map_err(|_| io::Error::last_os_error())
}

/// The size of a type that the kernel is told about.
fn socklen_of<T>() -> libc::socklen_t {
    const { assert!(size_of::<T>() <= 4096) };
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// A pipe with close-on-exec and `flags` (pipe(2)): its reading and its writing end.
fn pipe(flags: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: pipe2 writes two descriptors into the array, which has room for just these.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | flags) })?;
    let [read, write] = fds;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((read, write))
}
