// SPDX-License-Identifier: LGPL-2.1-or-later
//! One client: its socket, its session, and the socket's readiness.
//!
//! Epoll reports a change once. Readiness is kept until a read or a write finds the opposite, and
//! each turn does the reads and writes that are both possible and wanted.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Instant, SystemTime};

use mio::Interest;

use crate::error::CallError;
use crate::model::client::Caller;
use crate::model::server::ServerName;
use crate::proto::Reply;
use crate::rpc::frame::Carrier;
use crate::session::Session;
use crate::shares::Tab;
use crate::sys::socket::{self, Received};

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    pub(crate) connected_at: SystemTime,
    /// When it connected, or made its last call.
    pub(crate) heard_at: Instant,
    /// What it holds of its user's share.
    pub(crate) tab: Tab,
    /// Whether it has made a call yet.
    pub(crate) has_called: bool,
    pub(crate) session: Session,
    readiness: Readiness,
    /// The events for which epoll is registered.
    interest: Interest,
    /// The deadline for which a timer is armed.
    pub(crate) armed: Option<Instant>,
    /// Whether the next turn serves it already.
    pub(crate) is_busy: bool,
    /// Whether it waits until its user's share of memory has room.
    pub(crate) is_short: bool,
}

/// Readiness that the kernel has reported and no read or write has refuted.
#[derive(Clone, Copy, Debug)]
struct Readiness {
    readable: bool,
    writable: bool,
    /// The peer will send no more. A short read then proves nothing, as the end still has to be
    /// read.
    ended: bool,
    /// The peer has closed its socket.
    hung_up: bool,
}

/// The work of a client that no event will announce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    Nothing,
    Ready,
    /// It can go on when clients have given memory back.
    WaitsForRoom,
}

impl Client {
    /// A new socket can be written; epoll will report whether it can be read.
    pub(crate) fn new(
        socket: OwnedFd,
        session: Session,
        tab: Tab,
        connected_at: SystemTime,
        now: Instant,
    ) -> Self {
        let readiness = Readiness { readable: false, writable: true, ended: false, hung_up: false };
        Self {
            socket,
            connected_at,
            heard_at: now,
            tab,
            has_called: false,
            session,
            readiness,
            interest: Interest::READABLE,
            armed: None,
            is_busy: false,
            is_short: false,
        }
    }

    /// Who it is.
    pub(crate) fn caller(&self) -> &Caller {
        &self.session.client().caller
    }

    /// Whether it has one of a user's places at the main server.
    pub(crate) fn is_of_share(&self, uid: u32) -> bool {
        self.tab.uid() == uid && self.server() == ServerName::Main
    }

    /// The server that it is a client of.
    pub(crate) fn server(&self) -> ServerName {
        ServerName::behind(self.caller().endpoint)
    }

    /// The label of the peer in the kernel's security module, if there is one.
    pub(crate) fn security_label(&self) -> Option<String> {
        socket::peer_security(&self.socket)
    }

    /// Reads the waiting bytes, even without an event, and none after that.
    pub(crate) fn read_for_the_last_time(&mut self, buffer: &mut [u8]) {
        self.readiness.readable = true;
        self.read(buffer);
        self.session.handle_stop();
    }

    /// Keeps the readiness that an event reports.
    pub(crate) fn note(&mut self, event: &mio::event::Event) {
        self.readiness.readable |= event.is_readable() || event.is_read_closed();
        self.readiness.writable |= event.is_writable() || event.is_write_closed();
        self.readiness.ended |= event.is_read_closed() || event.is_error();
        self.readiness.hung_up |= event.is_write_closed();
    }

    /// Whether the peer has closed its socket, and reads no reply any more.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.readiness.hung_up
    }

    /// Reads once, if the socket is ready, the session wants it, and the user's share has room.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) {
        if !self.readiness.readable || !self.session.wants_read() {
            return;
        }
        let len = self.read_len_max().min(buffer.len());
        let Some(buffer) = buffer.get_mut(..len).filter(|buffer| !buffer.is_empty()) else {
            // The end of its bytes cannot be read without room for them.
            if self.has_hung_up() {
                self.session.handle_eof();
            }
            return;
        };
        match socket::receive(&self.socket, buffer) {
            Ok(Received { len: 0, .. }) => self.session.handle_eof(),
            Ok(Received { len, with_fds }) => {
                let carrier = if with_fds { Carrier::LastByte } else { Carrier::None };
                self.session.handle_bytes(buffer.get(..len).unwrap_or_default(), carrier);
                // A short read has emptied the socket (epoll(7)), unless it ended at a descriptor.
                let emptied = len < buffer.len() && !with_fds && !self.readiness.ended;
                self.readiness.readable = !emptied;
                self.tab.hold(self.session.held_len());
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => self.readiness.readable = false,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.session.handle_eof(),
        }
    }

    /// Writes once, if something waits and the socket may accept it.
    pub(crate) fn write(&mut self) {
        let bytes = self.session.poll_bytes();
        if bytes.is_empty() || !self.readiness.writable {
            return;
        }
        let wanted = bytes.len();
        match socket::send(&self.socket, bytes) {
            Ok(len) => {
                self.session.handle_written(len);
                self.readiness.writable = len == wanted;
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => self.readiness.writable = false,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.session.handle_eof(),
        }
    }

    /// The interest to register, if it has changed: only a client whose socket is full is polled
    /// for writing, as a socket reports each reply that its peer reads.
    pub(crate) fn changed_interest(&mut self) -> Option<Interest> {
        let wanted = if self.readiness.writable {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let changed = wanted != self.interest;
        self.interest = wanted;
        changed.then_some(wanted)
    }

    /// The work that epoll will not report again.
    pub(crate) fn rest(&self) -> Rest {
        let to_write = self.readiness.writable && !self.session.poll_bytes().is_empty();
        let to_read = self.readiness.readable && self.session.wants_read();
        let to_call = self.session.wants_turn();
        let can_read = to_read && self.read_len_max() > 0;
        match (to_write || can_read || (to_call && self.may_call()), to_read || to_call) {
            (true, _) => Rest::Ready,
            (false, true) => Rest::WaitsForRoom,
            (false, false) => Rest::Nothing,
        }
    }

    /// Whether the user's share has room for a reply.
    pub(crate) fn may_call(&self) -> bool {
        let is_reader = || self.session.poll_bytes().is_empty();
        self.tab.has_room() || (is_reader() && self.tab.has_room_for_reader())
    }

    /// How much may be read: what the user's share has room for, and what will be dropped.
    fn read_len_max(&self) -> usize {
        let room = self.tab.bytes_left(self.session.held_len());
        room.saturating_add(self.session.dropped_next())
    }
}

/// The client's name in the log: its server and its number, as virt-admin shows them.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server() {
            ServerName::Main => write!(f, "client {}", self.caller().number),
            ServerName::Admin => write!(f, "admin client {}", self.caller().number),
        }
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The result of a call, in few words.
pub(super) struct Brief<'a>(pub(super) &'a Result<Reply, CallError>);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(_) => f.write_str("answered"),
            Err(err) => write!(f, "refused: {err}"),
        }
    }
}
