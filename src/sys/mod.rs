// SPDX-License-Identifier: LGPL-2.1-or-later
//! System calls that std has no safe function for. This is the only unsafe code of the program.
//!
//! Each function is safe for every argument, makes one system call per unsafe block, and returns
//! descriptors as [`std::os::fd::OwnedFd`]. Callers decide how to handle a failure.

pub mod clock;
pub mod capability;
pub mod process;
pub mod descriptors;
pub mod file;
pub mod inotify;
pub(crate) mod memory;
pub mod netlink;
pub mod signal;
pub mod socket;
pub mod route;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Converts a system call's return value: -1 means that `errno` holds the error.
fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

/// Waits for `fd` to become readable, at most for `time`. Returns whether it is.
pub fn wait_readable(fd: impl AsFd, time: Duration) -> bool {
    let fd = fd.as_fd().as_raw_fd();
    let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time = clock::timespec(time);
    // SAFETY: both pointers are to live locals, one pollfd as the count says; no mask of signals is
    // set.
    let count = unsafe { libc::ppoll(&raw mut wanted, 1, &raw const time, std::ptr::null()) };
    count == 1
}

/// Waits for one of two descriptors to become readable, for ever or at most for `time`. Returns whether
/// the first one is; also on a signal.
pub(crate) fn wait_first_readable(
    first: impl AsFd,
    second: impl AsFd,
    time: Option<Duration>,
) -> bool {
    let wanted =
        |fd: BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut both = [wanted(first.as_fd()), wanted(second.as_fd())];
    let time = time.map(clock::timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array and the time are live locals, two pollfd as the count says; no mask of
    // signals is set.
    let count = unsafe { libc::ppoll(both.as_mut_ptr(), 2, time, std::ptr::null()) };
    let [first, _] = both;
    count > 0 && first.revents != 0
}

/// Converts a byte count, or -1 with `errno`.
fn check_len(rc: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(rc).map_err(|_| io::Error::last_os_error())
}

/// Returns the size of a type as a `socklen_t`.
fn socklen_of<T>() -> libc::socklen_t {
    const { assert!(size_of::<T>() <= 4096) };
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// Creates a pipe with close-on-exec and `flags` (pipe(2)). Returns its read end and its write end.
fn pipe(flags: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: pipe2 writes two descriptors into the array, which has room for just these.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | flags) })?;
    let [read, write] = fds;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((read, write))
}
