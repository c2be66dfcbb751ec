// SPDX-License-Identifier: LGPL-2.1-or-later
//! Route netlink sockets (netlink(7), rtnetlink(7)), and the one ioctl that netlink cannot replace.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{check, check_len, socklen_of};
use crate::model::name::IfName;

/// Multicast groups to join, as bits (`RTMGRP_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Groups(u32);

impl Groups {
    pub const NONE: Self = Self(0);

    /// Links, and addresses of both families.
    pub(crate) const LINKS_AND_ADDRESSES: Self =
        Self((libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR) as u32);
}

/// Creates a non-blocking, close-on-exec route netlink socket.
pub fn route_socket(groups: Groups) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes only integers.
    let fd = check(unsafe { libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_ROUTE) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut address = kernel_address();
    address.nl_groups = groups.0;
    let len = socklen_of::<libc::sockaddr_nl>();
    // SAFETY: the fd is owned, so open; the address is a live local of the length given.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(socket)
}

/// Returns whether the kernel has an audit system that this process may see.
///
/// # Errors
/// Errors of socket(2) other than "not supported".
pub(crate) fn has_audit() -> io::Result<bool> {
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes only integers.
    match check(unsafe { libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_AUDIT) }) {
        Ok(fd) => {
            // SAFETY: the kernel has just made this descriptor, which has no other owner.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            Ok(true)
        }
        Err(err) => match err.raw_os_error() {
            Some(libc::EINVAL | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => Ok(false),
            _ => Err(err),
        },
    }
}

/// Requests a receive buffer of `len` bytes, above the system's limit if privileges allow.
pub(crate) fn set_receive_buffer_len(socket: impl AsFd, len: u32) -> io::Result<()> {
    let len = libc::c_int::try_from(len).unwrap_or(libc::c_int::MAX);
    let set = |option| {
        // SAFETY: the fd is borrowed, so open; the value is a live local of the length given.
        check(unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const len).cast(),
                socklen_of::<libc::c_int>(),
            )
        })
    };
    set(libc::SO_RCVBUFFORCE).or_else(|_| set(libc::SO_RCVBUF))?;
    Ok(())
}

/// Makes the kernel check dump requests strictly and apply their fields as a filter
/// (`NETLINK_GET_STRICT_CHK`).
///
/// # Errors
/// `ENOPROTOOPT` before Linux 4.20; the kernel then dumps everything.
pub(crate) fn check_strictly(socket: impl AsFd) -> io::Result<()> {
    switch_on(socket, libc::NETLINK_GET_STRICT_CHK)
}

/// Makes the kernel give reasons for refusals as text (`NETLINK_EXT_ACK`), and quote only the
/// header of the refused request (`NETLINK_CAP_ACK`).
///
/// # Errors
/// `ENOPROTOOPT` before Linux 4.12; the kernel then only reports an errno.
pub(crate) fn ask_for_reasons(socket: impl AsFd) -> io::Result<()> {
    switch_on(socket.as_fd(), libc::NETLINK_EXT_ACK)?;
    switch_on(socket.as_fd(), libc::NETLINK_CAP_ACK)
}

fn switch_on(socket: impl AsFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the fd is borrowed, so open; the value is a live local of the length given.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            socklen_of::<libc::c_int>(),
        )
    })?;
    Ok(())
}

/// Sends one request to the kernel.
pub fn send(socket: impl AsFd, request: &[u8]) -> io::Result<()> {
    let address = kernel_address();
    // SAFETY: the fd is borrowed, so open; the kernel reads the request's length from the slice,
    // and an address of the length given from a live local.
    check_len(unsafe {
        libc::sendto(
            socket.as_fd().as_raw_fd(),
            request.as_ptr().cast(),
            request.len(),
            0,
            (&raw const address).cast(),
            socklen_of::<libc::sockaddr_nl>(),
        )
    })?;
    Ok(())
}

/// The result of one read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Datagram {
    /// This many bytes from the kernel.
    Kernel(usize),
    /// A datagram from another process; it is not trusted.
    Stranger,
    /// A datagram of this length, longer than the buffer: its end is lost.
    Cut(usize),
}

/// Reads the next datagram into `buffer`.
///
/// # Errors
/// `WouldBlock` if no datagram waits, `ENOBUFS` if the kernel dropped messages, else recvfrom(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut sender = kernel_address();
    let mut sender_len = socklen_of::<libc::sockaddr_nl>();
    // SAFETY: the fd is borrowed, so open; the kernel writes at most the buffer's length into it
    // and at most `sender_len` bytes into the address; all pointers are to live objects.
    let len = check_len(unsafe {
        libc::recvfrom(
            socket.as_fd().as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_TRUNC,
            (&raw mut sender).cast(),
            &raw mut sender_len,
        )
    })?;
    Ok(match len {
        _ if sender.nl_pid != 0 => Datagram::Stranger,
        len if len > buffer.len() => Datagram::Cut(len),
        len => Datagram::Kernel(len),
    })
}

fn kernel_address() -> libc::sockaddr_nl {
    // SAFETY: `sockaddr_nl` is a plain struct of integers, for all of which zero is valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    address
}

/// Returns the speed of a link in Mb/s, if its driver knows it. Works on any socket (netdevice(7)).
pub(crate) fn link_speed(socket: impl AsFd, name: &IfName) -> Option<u32> {
    /// `ETHTOOL_GSET` and its `struct ethtool_cmd` (linux/ethtool.h): the command word, and the
    /// speed's low and high half.
    const GET_SETTINGS: u32 = 1;
    const SETTINGS_LEN: usize = 44;
    const SPEED_LOW_AT: usize = 12;
    const SPEED_HIGH_AT: usize = 28;

    let mut settings = [0_u8; SETTINGS_LEN];
    let (command, _) = settings.split_first_chunk_mut()?;
    *command = GET_SETTINGS.to_ne_bytes();
    // SAFETY: `ifreq` is a plain struct with a union of integers and pointers: zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *slot = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_data = settings.as_mut_ptr().cast();
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the fd is borrowed, so open; the request names the device, NUL-terminated as a name
    // has at most 15 of the 16 bytes, and points to as many bytes as the command reads and writes.
    check(unsafe { libc::ioctl(socket, libc::SIOCETHTOOL as _, &raw mut request) }).ok()?;
    let half = |at: usize| settings.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes);
    let speed = u32::from(half(SPEED_HIGH_AT)?) << 16 | u32::from(half(SPEED_LOW_AT)?);
    is_known(speed).then_some(speed)
}

/// Returns whether `speed` is known: all ones, of 16 or 32 bits, mean unknown (`SPEED_UNKNOWN`), as
/// does 0.
fn is_known(speed: u32) -> bool {
    !matches!(speed, 0 | 0xffff | 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_system_shows_among_the_kernels_own_sockets() {
        let sockets = std::fs::read_to_string("/proc/net/netlink").unwrap();
        let protocol = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        let audit = libc::NETLINK_AUDIT.to_string();
        let is_there = sockets.lines().any(|line| protocol(line).as_ref() == Some(&audit));
        assert_eq!(has_audit().unwrap(), is_there);
    }
}
