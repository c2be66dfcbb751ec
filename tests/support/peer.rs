// SPDX-License-Identifier: LGPL-2.1-or-later
//! Operations of a peer on a Unix socket that std lacks: sending descriptors, waiting for data
//! without reading it, and connecting as another user.

#![allow(unsafe_code, reason = "std has none of this")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{io, panic, thread};

/// The most descriptors that the kernel takes with one message (`SCM_MAX_FD`).
pub(crate) const FD_COUNT_MAX: usize = 253;

/// Sends `bytes` with `count` copies of a descriptor. The protocol sends each with a byte of its
/// own after its message.
pub(crate) fn send_with_fds(stream: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>, count: usize) {
    assert!(count <= FD_COUNT_MAX);
    let fds_len = u32::try_from(size_of::<libc::c_int>() * count).unwrap();
    // SAFETY: CMSG_LEN only counts.
    let len = unsafe { libc::CMSG_LEN(fds_len) };
    // SAFETY: CMSG_SPACE only counts.
    let space = unsafe { libc::CMSG_SPACE(fds_len) };
    let mut control = Vec::with_capacity(usize::try_from(space).unwrap());
    control.extend(usize::try_from(len).unwrap().to_ne_bytes());
    control.extend(libc::SOL_SOCKET.to_ne_bytes());
    control.extend(libc::SCM_RIGHTS.to_ne_bytes());
    (0..count).for_each(|_| control.extend(fd.as_raw_fd().to_ne_bytes()));
    control.resize(usize::try_from(space).unwrap(), 0);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: msghdr is made of integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len() as _;
    // SAFETY: all that `message` points to is live, and only read.
    let sent = unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    assert_eq!(usize::try_from(sent), Ok(bytes.len()), "{}", io::Error::last_os_error());
}

/// Whether bytes, or the peer's end, come within `patience`. Nothing is read.
pub(crate) fn has_news_within(stream: &UnixStream, patience: Duration) -> bool {
    let mut wanted = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let patience = i32::try_from(patience.as_millis()).unwrap();
    // SAFETY: the pointer is to one live pollfd, as the count says.
    let count = unsafe { libc::poll(&raw mut wanted, 1, patience) };
    assert!(count >= 0, "{}", io::Error::last_os_error());
    count == 1
}

/// Runs `what` as another user, in a thread of its own: the system call changes the user of the
/// calling thread alone, whereas libc's function would change that of all threads.
pub(crate) fn as_user(uid: u32, what: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let ended = scope.spawn(move || {
            let unchanged = u32::MAX;
            // SAFETY: setresuid takes three integers.
            let rc = unsafe { libc::syscall(libc::SYS_setresuid, unchanged, uid, unchanged) };
            assert_eq!(rc, 0, "{}", io::Error::last_os_error());
            what();
        });
        ended.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
    });
}
