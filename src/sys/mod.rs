// SPDX-License-Identifier: LGPL-2.1-or-later
//! The system calls that std has no safe word for. The only unsafe code of the program.
//!
//! Each function is safe for every argument, makes one system call a block, and hands descriptors
//! out as [`std::os::fd::OwnedFd`]. What to do about a failure is the callers' to say.

pub mod clock;
pub mod file;
pub mod netlink;
pub mod process;
pub mod signal;
pub mod socket;

use std::io;

/// The kernel's answer as a result: -1 means that `errno` says what went wrong.
fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
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
