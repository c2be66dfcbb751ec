// SPDX-License-Identifier: LGPL-2.1-or-later
//! The descriptor table: the limit of open files, and closing of descriptors that have no owner.

use std::io;
use std::os::fd::RawFd;

use super::check;
use super::process::INHERITED_FD_FIRST;
use crate::limits::CLOSED_BY_NUMBER_MAX;

/// Raises the soft limit of open files to the hard limit, since each client takes a descriptor, and
/// returns it. Programs are executed by a process that has the low limit: those that use select(2), or
/// that close every possible descriptor, need it.
pub fn raise_limit() -> io::Result<u64> {
    let mut limit = limit()?;
    limit.rlim_cur = limit.rlim_max;
    set_limit(&limit)?;
    #[allow(clippy::useless_conversion, reason = "its width depends on the C library")]
    Ok(u64::from(limit.rlim_cur))
}

fn limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local of the type that getrlimit fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

fn set_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live value, which setrlimit only reads.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) })?;
    Ok(())
}

/// Closes descriptors that the parent program left open, except the standard streams and the
/// `passed` descriptors that follow them, which a supervisor passes in. Must be called before this
/// program opens any descriptor.
pub(crate) fn close_inherited(passed: u32) {
    let passed = RawFd::try_from(passed).unwrap_or(RawFd::MAX);
    let first = INHERITED_FD_FIRST.saturating_add(passed);
    if close_range(first, RawFd::MAX).is_err() {
        close_by_number(first, None);
    }
}

/// Closes every descriptor above the standard streams except `kept`, also on a kernel without
/// close_range(2). Only for a process that will end by [`super::process::end_now`].
pub(crate) fn close_for_good(kept: RawFd) {
    if close_all_but(&mut [kept]).is_err() {
        close_by_number(INHERITED_FD_FIRST, Some(kept));
    }
}

/// Closes descriptors one by one: close_range(2) is missing before Linux 5.9 and in some sandboxes.
fn close_by_number(first: RawFd, kept: Option<RawFd>) {
    let open_max = limit().ok().and_then(|limit| RawFd::try_from(limit.rlim_cur).ok());
    let end = open_max.unwrap_or(RawFd::MAX).min(CLOSED_BY_NUMBER_MAX);
    for number in (first..end).filter(|number| Some(*number) != kept) {
        // SAFETY: close takes an integer, and the kernel refuses a number that is not open. Both
        // callers state why no closed descriptor is used later.
        let _ = unsafe { libc::close(number) };
    }
}

/// Closes every descriptor above the standard streams, except `kept`. Only for a process that will
/// end by [`super::process::end_now`], since the owners of these descriptors do not learn of it.
///
/// # Errors
/// `ENOSYS` before Linux 5.9; all descriptors then stay open.
pub(crate) fn close_all_but(kept: &mut [RawFd]) -> io::Result<()> {
    kept.sort_unstable();
    let mut first = INHERITED_FD_FIRST;
    for fd in kept {
        close_range(first, fd.saturating_sub(1))?;
        first = first.max(fd.saturating_add(1));
    }
    close_range(first, RawFd::MAX)
}

/// Closes the descriptors from `first` to `last`, whether or not they are open (close_range(2)).
fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: close_range takes integers. Both callers state why no closed descriptor is used
    // later.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
