// SPDX-License-Identifier: LGPL-2.1-or-later
//! Unix sockets: stream sockets that are listened on, accepted, read and written, and datagrams
//! sent to a path.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{check, check_len, socklen_of};
use crate::limits::{IDENTITY_STRING_LEN_MAX, MESSAGE_FD_COUNT_MAX};

/// The credentials of a socket's peer (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerCreds {
    pub pid: libc::pid_t,
    pub uid: libc::uid_t,
    pub gid: libc::gid_t,
}

/// Creates a non-blocking, close-on-exec stream socket.
pub fn stream() -> io::Result<OwnedFd> {
    let flags = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes only integers.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, flags, 0) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Creates a non-blocking, close-on-exec datagram socket.
pub fn datagram() -> io::Result<OwnedFd> {
    let flags = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes only integers.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, flags, 0) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a socket to a path.
///
/// # Errors
/// `ENAMETOOLONG` if the path does not fit a socket address, else the error of bind(2).
pub fn bind(socket: impl AsFd, path: &Path) -> io::Result<()> {
    let (address, len) = address(path)?;
    // SAFETY: the fd is borrowed, so open; the address is a live local of which `len` bytes are
    // set.
    check(unsafe { libc::bind(socket.as_fd().as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}

/// Connects to the socket at `path`.
///
/// # Errors
/// `ECONNREFUSED` if no process listens there, else the error of connect(2).
pub fn connect(socket: impl AsFd, path: &Path) -> io::Result<()> {
    let (address, len) = address(path)?;
    // SAFETY: as for bind.
    check(unsafe { libc::connect(socket.as_fd().as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}

/// Makes a bound socket listen, with a backlog of `backlog` connections.
pub fn listen(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: the fd is borrowed, so open; listen takes only integers.
    check(unsafe { libc::listen(socket.as_fd().as_raw_fd(), backlog) })?;
    Ok(())
}

/// Accepts the next waiting connection, as a non-blocking, close-on-exec socket.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let (no_address, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: the fd is borrowed, so open; null pointers mean that the address is not wanted.
    let fd = check(unsafe { libc::accept4(listener, no_address, no_len, flags) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns the credentials of the peer of a connected socket.
pub(crate) fn peer_creds(socket: impl AsFd) -> io::Result<PeerCreds> {
    let mut creds = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = socklen_of::<libc::ucred>();
    // SAFETY: the fd is borrowed, so open; the kernel writes at most `len` bytes into `creds`,
    // which has that size and no invalid bit pattern; both pointers are to live locals.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut creds).cast(),
            &raw mut len,
        )
    })?;
    Ok(PeerCreds { pid: creds.pid, uid: creds.uid, gid: creds.gid })
}

/// Returns the peer's label from the host's security module (`SO_PEERSEC`), or `None` if there is
/// no such module or the label is not valid text.
pub(crate) fn peer_security(socket: impl AsFd) -> Option<String> {
    let mut label = vec![0_u8; IDENTITY_STRING_LEN_MAX];
    let mut len = libc::socklen_t::try_from(label.len()).ok()?;
    // SAFETY: the fd is borrowed, so open; the kernel writes at most `len` bytes into the vector,
    // which has as many; both pointers are to live objects.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERSEC,
            label.as_mut_ptr().cast(),
            &raw mut len,
        )
    })
    .ok()?;
    label.truncate(usize::try_from(len).ok()?);
    // Some modules count the NUL that ends the label, others do not write one.
    if label.last() == Some(&0) {
        label.pop();
    }
    String::from_utf8(label).ok().filter(|label| !label.is_empty())
}

/// Returns an integer option of `SOL_SOCKET`, such as `SO_TYPE` or `SO_ACCEPTCONN`.
///
/// # Errors
/// `ENOTSOCK` if the descriptor is not a socket, else the error of getsockopt(2).
pub fn option(socket: impl AsFd, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = socklen_of::<libc::c_int>();
    // SAFETY: the fd is borrowed, so open; the kernel writes at most `len` bytes into the value,
    // which has that size and no invalid bit pattern; both pointers are to live locals.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut len,
        )
    })?;
    Ok(value)
}

/// The result of one read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Received {
    /// The number of bytes; 0 at the end of the stream.
    pub len: usize,
    /// Whether descriptors came with the bytes. They are closed already, as no call needs them.
    pub with_fds: bool,
}

/// Space for the descriptors of one sendmsg: a header, and four bytes for each.
const CONTROL_LEN: usize = 16 + 4 * MESSAGE_FD_COUNT_MAX as usize;

/// A control buffer, aligned as its header must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// Reads into `buffer`, and closes the descriptors that came with the bytes.
///
/// # Errors
/// `WouldBlock` if no bytes wait, else the error of recvmsg(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL_LEN]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `msghdr` is a plain struct of integers and pointers, for all of which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_LEN as _;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the fd is borrowed, so open; the message points to one part and one control buffer,
    // both live, each with its true length.
    let rc = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let len = check_len(rc)?;
    #[allow(clippy::useless_conversion, reason = "on musl the length has 32 bits")]
    let control_len = usize::try_from(message.msg_controllen).unwrap_or(0);
    let fd_count = close_received(control.0.get(..control_len).unwrap_or_default());
    // More descriptors came than fit: the kernel has closed the rest itself.
    let truncated = message.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(Received { len, with_fds: fd_count > 0 || truncated })
}

/// Closes each descriptor in a control buffer that the kernel filled, and counts them.
fn close_received(mut control: &[u8]) -> usize {
    let word = |bytes: &[u8], at: usize| -> Option<libc::c_int> {
        Some(libc::c_int::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
    };
    const HEADER_LEN: usize = size_of::<libc::cmsghdr>();
    const LEVEL_AT: usize = std::mem::offset_of!(libc::cmsghdr, cmsg_level);
    const TYPE_AT: usize = std::mem::offset_of!(libc::cmsghdr, cmsg_type);
    let mut count = 0;
    while let Some(len) = control.first_chunk().map(|len| usize::from_ne_bytes(*len)) {
        let Some(message) = control.get(..len).filter(|_| len >= HEADER_LEN) else { break };
        let is_rights = word(message, LEVEL_AT) == Some(libc::SOL_SOCKET)
            && word(message, TYPE_AT) == Some(libc::SCM_RIGHTS);
        for fd in message.get(HEADER_LEN..).unwrap_or_default().chunks_exact(4) {
            if let (true, Some(fd)) = (is_rights, word(fd, 0)) {
                // SAFETY: the kernel has just put this descriptor into our table, so it has no
                // other owner; it is closed at once.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                count += 1;
            }
        }
        control = control.get(len.next_multiple_of(align_of::<libc::cmsghdr>())..).unwrap_or(&[]);
    }
    count
}

/// Writes as many of `bytes` as the socket takes now.
///
/// # Errors
/// `WouldBlock` if it takes none, `EPIPE` (without a signal) if the peer has closed, else send(2).
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the fd is borrowed, so open; the kernel reads at most the slice's length from it.
    check_len(unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) })
}

/// Sends one datagram to the socket that is bound to `path` now.
///
/// # Errors
/// `WouldBlock` if the receiver's queue is full, `ENOENT` or `ECONNREFUSED` without a receiver,
/// else the error of sendto(2).
pub fn send_to(socket: impl AsFd, path: &Path, bytes: &[u8]) -> io::Result<usize> {
    let (address, len) = address(path)?;
    // SAFETY: the fd is borrowed, so open; the kernel reads at most the slice's length from it, and
    // `len` bytes of the address, which is a live local.
    check_len(unsafe {
        libc::sendto(
            socket.as_fd().as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            (&raw const address).cast(),
            len,
        )
    })
}

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: `sockaddr_un` is a plain struct of integers, for all of which zero is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or_default();
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero, as some readers of such addresses expect.
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (slot, byte) in address.sun_path.iter_mut().zip(bytes) {
        *slot = libc::c_char::from_ne_bytes([*byte]);
    }
    Ok((address, socklen_of::<libc::sockaddr_un>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn a_read_says_how_much_came_and_that_nothing_waits() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        let empty = receive(&ours, &mut buffer).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(send(&theirs, b"abc").unwrap(), 3);
        let got = receive(&ours, &mut buffer).unwrap();
        assert_eq!(got, Received { len: 3, with_fds: false });
        drop(theirs);
        // A program that another test starts at this moment briefly holds a copy of the descriptor.
        let end = std::iter::repeat_with(|| receive(&ours, &mut buffer)).find_map(Result::ok);
        assert_eq!(end.map(|end| end.len), Some(0));
        assert_eq!(send(&ours, b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let creds = peer_creds(&ours).unwrap();
        assert_eq!(u32::try_from(creds.pid).unwrap(), std::process::id());
    }

    #[test]
    fn a_datagram_goes_to_who_is_bound_now() {
        let path = std::env::temp_dir().join(format!("datagram-{}", std::process::id()));
        let sender = datagram().unwrap();
        let refusal = || send_to(&sender, &path, b"x").unwrap_err().raw_os_error();
        assert_eq!(refusal(), Some(libc::ENOENT));
        for text in [b"first", b"again"] {
            let receiver = UnixDatagram::bind(&path).unwrap();
            assert_eq!(send_to(&sender, &path, text).unwrap(), text.len());
            let mut buffer = [0; 8];
            assert_eq!(receiver.recv(&mut buffer).unwrap(), text.len());
            assert_eq!(&buffer[..text.len()], text);
            drop(receiver);
            // As above.
            while send_to(&sender, &path, b"x").is_ok() {}
            assert_eq!(refusal(), Some(libc::ECONNREFUSED));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn an_option_is_read_and_what_is_no_socket_has_none() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(option(&ours, libc::SO_TYPE).unwrap(), libc::SOCK_STREAM);
        assert_eq!(option(&ours, libc::SO_ACCEPTCONN).unwrap(), 0);
        let file = std::fs::File::open("/dev/null").unwrap();
        let err = option(&file, libc::SO_TYPE).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn a_label_is_what_the_kernel_shows_of_this_process_or_nothing() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        if let Some(label) = peer_security(&ours) {
            let own = std::fs::read_to_string("/proc/self/attr/current").unwrap();
            assert_eq!(label, own.trim_end_matches(['\0', '\n']));
        }
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(peer_security(&file), None);
    }

    #[test]
    fn a_path_fits_or_is_refused() {
        assert!(address(Path::new(&"x".repeat(107))).is_ok());
        let err = address(Path::new(&"x".repeat(108))).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
}
