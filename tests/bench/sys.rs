// SPDX-License-Identifier: LGPL-2.1-or-later
//! System calls that std does not wrap, as the daemon's `sys` has them for the daemon.

#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The most events that one wait returns.
const BATCH_COUNT: usize = 256;

/// Leaves the host's network and mount namespaces. The process must have only one thread.
pub(crate) fn leave_namespaces() -> io::Result<()> {
    // SAFETY: unshare takes one integer.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    Ok(())
}

/// Leaves the network namespace alone. The process must have only one thread.
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: unshare takes one integer.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Sends a signal to a child that is not reaped yet.
pub(crate) fn signal(child: &std::process::Child, signal: libc::c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    // SAFETY: kill takes only integers.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Changes the user of the calling thread alone, whereas libc's function would change that of all.
pub(crate) fn set_thread_user(uid: u32) -> io::Result<()> {
    let unchanged = u32::MAX;
    // SAFETY: setresuid takes three integers.
    let rc = unsafe { libc::syscall(libc::SYS_setresuid, unchanged, uid, unchanged) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the calling thread run only when no other one wants the processor.
pub(crate) fn yield_to_all() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    let caller = 0;
    // SAFETY: the parameter is a live local, which the kernel only reads.
    check(unsafe { libc::sched_setscheduler(caller, libc::SCHED_IDLE, &raw const priority) })?;
    Ok(())
}

/// Raises the limit of open files as far as it goes, for later children too.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local, which the kernel fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live local, which the kernel only reads.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

/// Restricts a process, and its later children, to these processors; 0 is this process.
pub(crate) fn stay_on(pid: u32, processors: std::ops::Range<usize>) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: `cpu_set_t` is a plain array of bits, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for processor in processors {
        // SAFETY: the set is a live local; CPU_SET checks the index against the set's size.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    let len = size_of::<libc::cpu_set_t>();
    // SAFETY: the set is a live local of the length given, which the kernel only reads.
    check(unsafe { libc::sched_setaffinity(pid, len, &raw const set) })?;
    Ok(())
}

/// A route netlink socket, whose writes go to the kernel.
pub(crate) fn route_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes only integers.
    let fd = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A link's index.
pub(crate) fn link_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: the name is a live, NUL-terminated string that is only read.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A level-triggered epoll instance that waits for input.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: [libc::epoll_event; BATCH_COUNT],
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes one integer.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: [libc::epoll_event { events: 0, u64: 0 }; BATCH_COUNT] })
    }

    /// Waits for `fd` too, until it is closed. [`Epoll::wait`] returns `token` for it.
    pub(crate) fn add(&self, fd: impl AsFd, token: usize) -> io::Result<()> {
        let token = u64::try_from(token).map_err(io::Error::other)?;
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        let fd = fd.as_fd().as_raw_fd();
        let epoll = self.fd.as_raw_fd();
        // SAFETY: both fds are borrowed, so open; the event is a live local.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// The tokens of all readable descriptors, at least one.
    pub(crate) fn wait(&mut self) -> io::Result<impl Iterator<Item = usize> + use<'_>> {
        let room = libc::c_int::try_from(BATCH_COUNT).map_err(io::Error::other)?;
        // SAFETY: the fd is owned, so open; the kernel writes at most `room` events into the array.
        let rc =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, -1) };
        let count = usize::try_from(check(rc)?).map_err(io::Error::other)?;
        Ok(self.events.iter().take(count).filter_map(|event| usize::try_from(event.u64).ok()))
    }
}

fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}
