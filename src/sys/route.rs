// SPDX-License-Identifier: LGPL-2.1-or-later
//! The ioctl of IPv6 routes (ipv6(7)). Only it can add a route that the kernel treats as learnt
//! from a router advertisement.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// The flags of a default route made by a router advertisement (`linux/ipv6_route.h`).
const OF_ROUTER: u32 = RTF_UP | RTF_GATEWAY | libc::RTF_DEFAULT | libc::RTF_ADDRCONF | RTF_EXPIRES;
const RTF_UP: u32 = 0x1;
const RTF_GATEWAY: u32 = 0x2;
const RTF_EXPIRES: u32 = 0x0040_0000;
/// The bit position of the router preference (two bits) within the flags.
const RTF_PREF_SHIFT: u32 = 27;

/// Units per second of a route's lifetime (`USER_HZ`).
const TICKS_PER_SECOND: libc::c_ulong = 100;

/// `struct in6_rtmsg` (`linux/ipv6_route.h`), whose fields are private in libc.
#[repr(C)]
#[derive(Default)]
struct In6RtMsg {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_len: u16,
    source_len: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    link: libc::c_int,
}

const _: () = assert!(size_of::<In6RtMsg>() == size_of::<libc::in6_rtmsg>());

/// Adds a default route by `router` as if the kernel had learnt it from an advertisement.
///
/// # Errors
/// The kernel refuses the route.
pub(crate) fn add_router(
    link: u32,
    router: Ipv6Addr,
    metric: u32,
    lifetime: u32,
    preference: u8,
) -> io::Result<()> {
    let flags = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes only integers.
    let socket = check(unsafe { libc::socket(libc::AF_INET6, flags, 0) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let route = In6RtMsg {
        gateway: router.octets(),
        metric,
        info: libc::c_ulong::from(lifetime).saturating_mul(TICKS_PER_SECOND),
        flags: OF_ROUTER | (u32::from(preference & 0b11) << RTF_PREF_SHIFT),
        link: libc::c_int::try_from(link).unwrap_or(0),
        ..In6RtMsg::default()
    };
    // SAFETY: the fd is open, and the request reads one struct, a live local.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) })?;
    Ok(())
}
