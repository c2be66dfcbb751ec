// SPDX-License-Identifier: LGPL-2.1-or-later
//! Locks on files, and their owners.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;

/// Takes the write lock on a file's first byte, as libvirt's pid files are locked (fcntl(2)).
///
/// # Errors
/// `EAGAIN` or `EACCES` if another process holds it.
pub fn lock_first_byte(file: impl AsFd) -> io::Result<()> {
    let lock = first_byte();
    // SAFETY: the fd is borrowed, so open; F_SETLK reads one `flock`, which is a live local.
    check(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_SETLK, &raw const lock) })?;
    Ok(())
}

/// The process that holds the lock on a file's first byte, if another one does.
pub fn first_byte_holder(file: impl AsFd) -> io::Result<Option<libc::pid_t>> {
    let mut lock = first_byte();
    // SAFETY: the fd is borrowed, so open; F_GETLK reads and writes one `flock`, a live local.
    check(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETLK, &raw mut lock) })?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

fn first_byte() -> libc::flock {
    // SAFETY: `flock` is a plain struct of integers, for all of which zero is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(libc::F_WRLCK).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_len = 1;
    lock
}

/// Gives `path` to the group `gid`; the owner stays. A link is not followed.
pub fn set_group(path: &Path, gid: libc::gid_t) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a live, NUL-terminated string; lchown only reads it. The uid of all ones
    // means "leave the owner".
    check(unsafe { libc::lchown(path.as_ptr(), libc::uid_t::MAX, gid) })?;
    Ok(())
}
