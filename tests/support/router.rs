// SPDX-License-Identifier: LGPL-2.1-or-later
//! A router that advertises itself, a prefix and a route (RFC 4861, RFC 4191) twice a second, with
//! lifetimes of a few seconds, which the usual daemons do not permit.

#![allow(unsafe_code, reason = "std makes no raw sockets, and enters no namespaces")]

use std::ffi::CString;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::command::ip_batch;

const ROUTER_ADVERTISEMENT: u8 = 134;
const PREFIX_OPTION: u8 = 3;
const ROUTE_OPTION: u8 = 24;
/// Flags of the prefix: it is on the link, and hosts may form addresses in it.
const PREFIX_FLAGS: u8 = ON_LINK | 0x40;
const ON_LINK: u8 = 0x80;
static HOP_LIMIT: libc::c_int = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const INTERVAL: Duration = Duration::from_millis(500);

const ROUTER: &str = "fe80::1";
/// The router's address in the prefix, and one that is reached only by the default route.
pub(crate) const NEAR: &str = "2001:db8:7::1";
pub(crate) const ANYWHERE: &str = "2001:db8:99::1";

/// The advertised prefix, of 64 bits.
pub(crate) const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
/// The network of the advertised route, of 48 bits.
pub(crate) const BEHIND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0);

/// A router, and a host behind it, in a network namespace of their own. Both are gone when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Router {
    mind: Arc<Mind>,
    thread: Option<JoinHandle<()>>,
}

/// The router's settings, which the test may change at any time.
#[derive(Debug, Default)]
struct Mind {
    /// How many seconds it is a default router; 0 for not at all.
    lifetime: AtomicU16,
    is_silent: AtomicBool,
    is_over: AtomicBool,
}

impl Router {
    /// Moves a link to the router's namespace, and advertises there with this lifetime.
    pub(crate) fn start(link: &str, lifetime: u16) -> Self {
        Self::start_with(link, lifetime, PREFIX_FLAGS)
    }

    /// The same, where hosts are not to form addresses.
    pub(crate) fn start_without_autoconf(link: &str, lifetime: u16) -> Self {
        Self::start_with(link, lifetime, ON_LINK)
    }

    fn start_with(link: &str, lifetime: u16, prefix_flags: u8) -> Self {
        let mind = Arc::new(Mind { lifetime: AtomicU16::new(lifetime), ..Mind::default() });
        let (number_is, number) = mpsc::channel();
        let (link_is_here, link_is_there) = mpsc::channel();
        let (name, of_thread) = (link.to_owned(), Arc::clone(&mind));
        let thread = thread::spawn(move || {
            // SAFETY: it affects only this thread and its children.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            // SAFETY: gettid takes nothing.
            number_is.send(unsafe { libc::gettid() }).unwrap();
            link_is_there.recv().unwrap();
            ip_batch(&format!(
                "link set lo up\nlink set {name} addrgenmode none\nlink set {name} up\n\
                 address add {ROUTER}/64 dev {name} nodad\naddress add {NEAR}/64 dev {name} nodad\n\
                 address add {ANYWHERE}/128 dev lo nodad\n"
            ));
            let socket = Socket::open(&CString::new(name).unwrap());
            while !of_thread.is_over.load(Ordering::Relaxed) {
                if !of_thread.is_silent.load(Ordering::Relaxed) {
                    let router_lifetime = of_thread.lifetime.load(Ordering::Relaxed);
                    socket.send(&advertisement(router_lifetime, lifetime, prefix_flags));
                }
                thread::sleep(INTERVAL);
            }
        });
        ip_batch(&format!("link set {link} netns {}\n", number.recv().unwrap()));
        link_is_here.send(()).unwrap();
        Self { mind, thread: Some(thread) }
    }

    /// Continues to advertise the prefix, but is no longer a default router.
    pub(crate) fn retire(&self) {
        self.mind.lifetime.store(0, Ordering::Relaxed);
    }

    /// Stops or resumes its advertisements.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.mind.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.mind.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn advertisement(router_lifetime: u16, prefix_lifetime: u16, prefix_flags: u8) -> Vec<u8> {
    let prefix_lifetime = u32::from(prefix_lifetime).to_be_bytes();
    // Type, code, checksum (filled in by the kernel), hop limit, flags, lifetime, two timers.
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0];
    message.extend(router_lifetime.to_be_bytes());
    message.extend([0; 8]);
    message.extend([PREFIX_OPTION, 4, 64, prefix_flags]);
    message.extend([prefix_lifetime, prefix_lifetime, [0; 4]].concat());
    message.extend(PREFIX.octets());
    message.extend([ROUTE_OPTION, 2, 48, 0]);
    message.extend(prefix_lifetime);
    message.extend(&BEHIND.octets()[..8]);
    message
}

/// A raw socket of ICMPv6.
struct Socket {
    socket: OwnedFd,
    link: libc::c_uint,
}

impl Socket {
    fn open(link: &CString) -> Self {
        // SAFETY: the name is NUL-terminated.
        let link = unsafe { libc::if_nametoindex(link.as_ptr()) };
        assert_ne!(link, 0);
        // SAFETY: socket takes only integers.
        let fd = unsafe { libc::socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6) };
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the kernel has just made this descriptor.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let (option, len) = (libc::IPV6_MULTICAST_HOPS, libc::socklen_t::try_from(4).unwrap());
        // SAFETY: the value is a live integer of that length.
        let rc = unsafe {
            let value = (&raw const HOP_LIMIT).cast();
            libc::setsockopt(fd, libc::IPPROTO_IPV6, option, value, len)
        };
        assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
        Self { socket, link }
    }

    /// Sends a message. If the link is down, the message is lost; the next one follows soon.
    fn send(&self, message: &[u8]) {
        // SAFETY: `sockaddr_in6` is a plain struct of integers, for all of which zero is valid.
        let mut to: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        to.sin6_family = libc::sa_family_t::try_from(libc::AF_INET6).unwrap();
        to.sin6_addr.s6_addr = ALL_NODES.octets();
        to.sin6_scope_id = self.link;
        let len = libc::socklen_t::try_from(size_of_val(&to)).unwrap();
        let fd = self.socket.as_raw_fd();
        // SAFETY: message and address are live, of the lengths that are given.
        unsafe {
            libc::sendto(fd, message.as_ptr().cast(), message.len(), 0, (&raw const to).cast(), len)
        };
    }
}
