// SPDX-License-Identifier: LGPL-2.1-or-later
//! Signals as readiness: a handler writes the signal's number to a pipe that the event loop polls.
//!
//! signalfd needs the signals blocked, and a process that std starts inherits a blocked mask; it
//! does not inherit a handler. The pipe lives as long as the process, so the handler never writes
//! to a closed descriptor.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::{check, pipe};

/// The descriptor that the handler writes to; -1 before the pipe exists.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// The read end of the pipe.
#[derive(Debug)]
pub struct Signals {
    pipe: File,
}

/// The signals that the daemon acts on, and SIGXFSZ, which would kill it when its log grows beyond
/// the file size limit.
pub(crate) const HANDLED: [libc::c_int; 6] =
    [libc::SIGCHLD, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGXFSZ];

impl Signals {
    /// Installs the handler for [`HANDLED`]. Must be called only once in a process, and once more after
    /// [`Signals::disconnect`].
    pub fn install() -> io::Result<Self> {
        let (read, write) = pipe(libc::O_NONBLOCK)?;
        // The write end is never closed: the handler may use it until the process ends.
        PIPE.store(std::os::fd::IntoRawFd::into_raw_fd(write), Ordering::SeqCst);
        for signal in HANDLED {
            install_handler(signal)?;
        }
        unblock_handled()?;
        Ok(Self { pipe: File::from(read) })
    }

    /// Disables the handler, for a process that closes the pipe, whose number may be reused.
    pub fn disconnect() {
        PIPE.store(-1, Ordering::SeqCst);
    }

    /// Returns the next signal received, if any.
    pub fn take(&mut self) -> Option<libc::c_int> {
        let mut number = [0];
        match self.pipe.read(&mut number) {
            Ok(1) => Some(libc::c_int::from(number[0])),
            Ok(_) | Err(_) => None,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

fn install_handler(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: `sigaction` is a plain struct, for which zero is valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = handle;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action is a live local, its handler only does what signal-safety(7) allows, and
    // the old action is not asked for.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}

/// Unblocks the signals, whatever mask was inherited: a daemon that ignores SIGTERM could only be
/// killed.
fn unblock_handled() -> io::Result<()> {
    // SAFETY: `sigset_t` is a plain struct of integers, for which zero is valid.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a live local.
    check(unsafe { libc::sigemptyset(&raw mut set) })?;
    for signal in HANDLED {
        // SAFETY: the set is a live local that was made empty.
        check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    let no_old = std::ptr::null_mut();
    // SAFETY: the set is a live local, which is only read; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, no_old) })?;
    Ok(())
}

/// The signal handler. It may run between any two instructions, so it only writes, and preserves
/// `errno`.
extern "C" fn handle(signal: libc::c_int) {
    let number = u8::try_from(signal).unwrap_or(0);
    // SAFETY: the location of `errno` is valid for the calling thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; reading an integer.
    let saved = unsafe { *errno };
    // SAFETY: write is signal-safe and reads one byte of a live local. A full pipe loses a signal
    // that is queued many times already; a descriptor of -1 is refused.
    let _ = unsafe { libc::write(PIPE.load(Ordering::SeqCst), (&raw const number).cast(), 1) };
    // SAFETY: as above; writing an integer.
    unsafe { *errno = saved };
}
