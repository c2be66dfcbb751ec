// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the process is, and what the host is called.

use std::ffi::CStr;
use std::io;

use super::check;

/// The effective user.
pub fn effective_uid() -> libc::uid_t {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The calling thread, as log lines name it.
pub fn thread_id() -> libc::pid_t {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Sets the file mode creation mask and returns the one before. It belongs to the whole process,
/// which has one thread.
pub fn set_umask(mask: libc::mode_t) -> libc::mode_t {
    // SAFETY: umask takes an integer and cannot fail.
    unsafe { libc::umask(mask) }
}

/// The host's name as the kernel has it (uname(2), `nodename`).
pub fn hostname() -> io::Result<String> {
    // SAFETY: `utsname` is a plain struct of character arrays, for which zero is valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live local of the type that uname fills.
    check(unsafe { libc::uname(&raw mut name) })?;
    // SAFETY: the kernel ends nodename with a NUL inside the array, which outlives the borrow.
    let nodename = unsafe { CStr::from_ptr(name.nodename.as_ptr()) };
    Ok(nodename.to_string_lossy().into_owned())
}

/// Raises the soft limit of open files to the hard one: a client costs a descriptor.
pub fn raise_open_files_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local of the type that getrlimit fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live local, which setrlimit only reads.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}
