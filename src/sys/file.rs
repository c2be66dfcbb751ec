// SPDX-License-Identifier: LGPL-2.1-or-later
//! File locks, owners and permissions, opening by folder, and polling before a write.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;

/// Takes the write lock on a file's first byte, as libvirt locks its pid files (fcntl(2)).
///
/// # Errors
/// `EAGAIN` or `EACCES` if another process holds it.
pub(crate) fn lock_first_byte(file: impl AsFd) -> io::Result<()> {
    let lock = first_byte(libc::F_WRLCK);
    // SAFETY: the fd is borrowed, so open; F_SETLK reads one `flock`, which is a live local.
    check(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_SETLK, &raw const lock) })?;
    Ok(())
}

/// Returns the other process, if any, that holds the write lock on a file's first byte. Read locks
/// do not count: every user who may read the file can take one.
pub(crate) fn first_byte_writer(file: impl AsFd) -> io::Result<Option<libc::pid_t>> {
    // Only a write lock conflicts with a read lock.
    let mut lock = first_byte(libc::F_RDLCK);
    // SAFETY: the fd is borrowed, so open; F_GETLK reads and writes one `flock`, a live local.
    check(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETLK, &raw mut lock) })?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

/// Returns whether a write to `file` would not wait now (poll(2)): false for a full pipe and a
/// stopped terminal, always true for a regular file. A broken pipe also gives true, as writing to
/// it fails at once.
pub(crate) fn is_ready_for_writing(file: impl AsFd) -> bool {
    let mut wanted =
        libc::pollfd { fd: file.as_fd().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is to one live pollfd, as the count says; a time of zero never waits.
    let count = unsafe { libc::poll(&raw mut wanted, 1, 0) };
    count == 1
}

/// Returns a lock of this kind on the first byte.
fn first_byte(kind: libc::c_int) -> libc::flock {
    // SAFETY: `flock` is a plain struct of integers, for all of which zero is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_len = 1;
    lock
}

/// Opens `path` as a location only, without following a symbolic link (`O_PATH`, open(2)). With
/// musl, std treats that flag as an access mode and drops it.
pub(crate) fn open_place(path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the path is a live, NUL-terminated string; open only reads it, and makes no file.
    let fd = check(unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Opens a file for reading, relative to an open folder (openat(2)). For many files of one folder
/// this halves the time of each lookup.
pub(crate) fn open_in(folder: impl AsFd, name: &str) -> io::Result<File> {
    let name = CString::new(name)?;
    let folder = folder.as_fd().as_raw_fd();
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the fd is borrowed, so open; the name is a live, NUL-terminated string, which is only
    // read.
    let fd = check(unsafe { libc::openat(folder, name.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Gives a file to the group `gid` and keeps its owner. The descriptor may be opened with `O_PATH`.
pub(crate) fn set_group(file: impl AsFd, gid: libc::gid_t) -> io::Result<()> {
    let (fd, itself) = (file.as_fd().as_raw_fd(), c"".as_ptr());
    // SAFETY: the fd is borrowed, so open; the path is a static, NUL-terminated string, and an
    // empty one stands for the descriptor. A uid of all ones leaves the owner unchanged.
    check(unsafe { libc::fchownat(fd, itself, libc::uid_t::MAX, gid, libc::AT_EMPTY_PATH) })?;
    Ok(())
}

/// Returns whether this process may execute `path` (access(2)). A symbolic link is followed.
pub(crate) fn is_executable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path is a live, NUL-terminated string; access only reads it.
    check(unsafe { libc::access(path.as_ptr(), libc::X_OK) }).is_ok()
}
