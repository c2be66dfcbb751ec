// SPDX-License-Identifier: LGPL-2.1-or-later
//! A DHCP server (RFC 2131) that gives every client the same address, for as few seconds as a test
//! can wait; the shortest lease of dnsmasq is two minutes.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The address for every client.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// The server, in a thread of its own.
#[derive(Debug)]
pub(crate) struct ShortLeases {
    acknowledged: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ShortLeases {
    /// Serves in the network namespace of another process, with leases of this many seconds.
    pub(crate) fn serve(pid: u32, seconds: u32) -> Self {
        let (acknowledged, is_over) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            enter(pid);
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67)).unwrap();
            bind_to(&socket, "far0");
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut message = [0; 1500];
            while !end.load(Ordering::Relaxed) {
                let Ok((len, _)) = socket.recv_from(&mut message) else { continue };
                let Some((kind, to, reply)) = answer(&message[..len], seconds) else { continue };
                socket.send_to(&reply, SocketAddrV4::new(to, 68)).unwrap();
                count.fetch_add(usize::from(kind == ACK), Ordering::Relaxed);
            }
        });
        Self { acknowledged, is_over, thread: Some(thread) }
    }

    /// How many times a lease was given or renewed.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

impl Drop for ShortLeases {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the server");
    }
}

/// The answer to a message: its type, destination and bytes.
fn answer(message: &[u8], seconds: u32) -> Option<(u8, Ipv4Addr, Vec<u8>)> {
    let asked = message.get(OPTIONS..)?;
    let [kind] = option(asked, 53)?.try_into().ok()?;
    let has: [u8; 4] = message[12..16].try_into().unwrap();
    let has = Ipv4Addr::from(has);
    let wanted = option(asked, 50).and_then(|it| <[u8; 4]>::try_from(it).ok()).map(Ipv4Addr::from);
    let kind = match kind {
        DISCOVER => OFFER,
        REQUEST if wanted.unwrap_or(has) == ADDRESS => ACK,
        REQUEST => NAK,
        _ => return None,
    };
    let mut reply = message[..OPTIONS].to_vec();
    reply[0] = 2;
    reply[16..20].copy_from_slice(&if kind == NAK { [0; 4] } else { ADDRESS.octets() });
    reply[20..24].copy_from_slice(&SERVER.octets());
    reply[44..236].fill(0);
    reply[236..].copy_from_slice(&COOKIE);
    reply.extend([53, 1, kind, 54, 4]);
    reply.extend(SERVER.octets());
    if kind != NAK {
        for (code, value) in [(51, seconds), (58, seconds / 2), (59, seconds * 3 / 4)] {
            reply.extend([code, 4]);
            reply.extend(value.to_be_bytes());
        }
        reply.extend([1, 4, 255, 255, 255, 0, 3, 4]);
        reply.extend(SERVER.octets());
    }
    reply.push(255);
    let to = if has.is_unspecified() || kind == NAK { Ipv4Addr::BROADCAST } else { has };
    Some((kind, to, reply))
}

/// The value of an option.
fn option(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *rest {
            [0, ..] => rest = &rest[1..],
            [255, ..] | [] | [_] => return None,
            [code, len, ..] => {
                let value = rest.get(2..2 + usize::from(len))?;
                if code == wanted {
                    return Some(value);
                }
                rest = &rest[2 + usize::from(len)..];
            }
        }
    }
}

#[allow(unsafe_code, reason = "namespaces are entered by system calls")]
fn enter(pid: u32) {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    // SAFETY: setns takes integers; it moves this thread alone.
    let rc = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
}

/// Sends broadcasts through this link, whatever the routes are.
#[allow(unsafe_code, reason = "std does not know this option")]
fn bind_to(socket: &UdpSocket, link: &str) {
    let len = libc::socklen_t::try_from(link.len()).unwrap();
    let (fd, name) = (socket.as_raw_fd(), link.as_ptr().cast());
    // SAFETY: the name lives as long as the call, and the kernel reads no more of it than `len` bytes.
    let rc = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name, len) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
}
