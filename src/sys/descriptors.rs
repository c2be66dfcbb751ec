// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table of descriptors: how large it may grow, and what is closed without an owner.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use super::check;
use super::process::INHERITED_FD_FIRST;
use crate::limits::CLOSED_BY_NUMBER_MAX;

/// The soft limit of open files that this process was started with.
static INHERITED_LIMIT: OnceLock<libc::rlim_t> = OnceLock::new();

/// Raises the soft limit of open files to the hard one, as a client costs a descriptor, and returns
/// it.
pub fn raise_limit() -> io::Result<u64> {
    let mut limit = limit()?;
    INHERITED_LIMIT.get_or_init(|| limit.rlim_cur);
    limit.rlim_cur = limit.rlim_max;
    set_limit(&limit)?;
    #[allow(clippy::useless_conversion, reason = "its width depends on the C library")]
    Ok(u64::from(limit.rlim_cur))
}

/// Gives a program that is to be started the soft limit of open files that this one was started
/// with: programs that use select(2) or close each descriptor that they may have rely on a low one.
pub(crate) fn restore_limit(command: &mut Command) -> &mut Command {
    let restore = || {
        let Some(inherited) = INHERITED_LIMIT.get() else { return Ok(()) };
        let mut limit = limit()?;
        limit.rlim_cur = (*inherited).min(limit.rlim_max);
        set_limit(&limit)
    };
    // SAFETY: between fork and exec only functions may be called that are safe in a signal handler.
    // The closure makes two system calls and reads a value that was set before; it allocates nothing
    // and takes no lock.
    unsafe { command.pre_exec(restore) }
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

/// Closes what the program that started this one has left open, except the standard streams and
/// `passed` descriptors behind them, which a supervisor passes in. To be called before this program
/// opens anything.
pub(crate) fn close_inherited(passed: u32) {
    let passed = RawFd::try_from(passed).unwrap_or(RawFd::MAX);
    let first = INHERITED_FD_FIRST.saturating_add(passed);
    if close_range(first, RawFd::MAX).is_err() {
        // Before Linux 5.9, and in sandboxes that do not know the call.
        let open_max = limit().ok().and_then(|limit| RawFd::try_from(limit.rlim_cur).ok());
        let end = open_max.unwrap_or(RawFd::MAX).min(CLOSED_BY_NUMBER_MAX);
        for number in first..end {
            // SAFETY: close takes an integer. Nothing is open here that has an owner, and a number
            // that is not open is refused.
            let _ = unsafe { libc::close(number) };
        }
    }
}

/// Closes every descriptor behind the standard streams but those `kept`. Only for a process that will
/// end by [`super::process::end_now`], as the owners of these descriptors do not know.
///
/// # Errors
/// `ENOSYS` before Linux 5.9: then all stay open.
pub(crate) fn close_all_but(kept: &mut [RawFd]) -> io::Result<()> {
    kept.sort_unstable();
    let mut first = INHERITED_FD_FIRST;
    for fd in kept {
        close_range(first, fd.saturating_sub(1))?;
        first = first.max(fd.saturating_add(1));
    }
    close_range(first, RawFd::MAX)
}

/// Closes the descriptors from `first` to `last` (close_range(2)), whether or not they are open.
fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: close_range takes integers. The two callers say why nothing that it closes is used.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
