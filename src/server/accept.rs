// SPDX-License-Identifier: LGPL-2.1-or-later
//! The door: who is let in, and when nobody is.
//!
//! Nobody is turned away for want of room: beyond the limit, and while the process has no
//! descriptor to spare, connections wait in the kernel's backlog. The admin socket serves the
//! daemon's own user alone.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::io::listener::Listener;
use crate::limits::ACCEPTS_PER_TURN_MAX;
use crate::model::client::Entrance;
use crate::server::client::Client;
use crate::server::{ClientId, LISTENERS, Server};
use crate::session::Session;
use crate::sys::{process, socket};

/// How long nobody is accepted after the process ran out of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// All listeners, and what the kernel said of them.
#[derive(Debug)]
pub(crate) struct Door {
    listeners: Vec<Listener>,
    /// For each listener, whether somebody waits there.
    waiting: Vec<bool>,
    client_count_max: usize,
    /// Nobody is accepted before this.
    paused_until: Option<Instant>,
    next_id: usize,
}

impl Door {
    pub(crate) fn new(listeners: Vec<Listener>, client_count_max: u32) -> Self {
        Self {
            waiting: vec![false; listeners.len()],
            next_id: LISTENERS + listeners.len(),
            client_count_max: usize::try_from(client_count_max).unwrap_or(usize::MAX),
            listeners,
            paused_until: None,
        }
    }

    pub(crate) fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Keeps that somebody waits at the listener of this position; false if there is none such.
    pub(crate) fn note(&mut self, position: usize) -> bool {
        let slot = self.waiting.get_mut(position);
        slot.map(|waiting| *waiting = true).is_some()
    }

    /// When the pause ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether somebody waits who can be let in at once.
    pub(crate) fn is_unfinished(&self, now: Instant, client_count: usize) -> bool {
        self.waiting.contains(&true) && self.is_open(now, client_count)
    }

    fn is_open(&self, now: Instant, client_count: usize) -> bool {
        client_count < self.client_count_max && self.paused_until.is_none_or(|end| end <= now)
    }

    /// The next connection, and where it came in.
    fn accept(&mut self, now: Instant) -> Option<(Entrance, OwnedFd)> {
        for (listener, waiting) in self.listeners.iter().zip(&mut self.waiting) {
            while *waiting {
                match socket::accept(listener) {
                    Ok(socket) => return Some((listener.entrance, socket)),
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => *waiting = false,
                    // Gone before it was let in.
                    Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                    Err(err) => {
                        warn!(
                            "{}: nobody is accepted for a while: {err}",
                            listener.path().display()
                        );
                        self.paused_until = Some(now + PAUSE);
                        return None;
                    }
                }
            }
        }
        None
    }

    fn take_id(&mut self) -> ClientId {
        let id = ClientId(self.next_id);
        self.next_id += 1;
        id
    }
}

impl Server {
    /// Lets in those who wait, as many as a turn has time and the limit has room for.
    pub(super) fn accept(&mut self, now: Instant) {
        if self.door.paused_until.is_some_and(|end| end <= now) {
            self.door.paused_until = None;
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            if !self.door.is_open(now, self.clients.len()) {
                return;
            }
            let Some((entrance, socket)) = self.door.accept(now) else { return };
            if let Err(err) = self.admit(entrance, socket) {
                warn!("a client could not be admitted: {err}");
            }
        }
    }

    fn admit(&mut self, entrance: Entrance, socket: OwnedFd) -> io::Result<()> {
        let peer = socket::peer_creds(&socket)?;
        if entrance == Entrance::Admin && peer.uid != process::effective_uid() {
            info!("user {} is refused at the admin socket", peer.uid);
            return Ok(());
        }
        let limits = match entrance {
            Entrance::ReadWrite | Entrance::ReadOnly => &self.settings.main,
            Entrance::Admin => &self.settings.admin,
        };
        let session = Session::new(entrance, limits.keepalive, limits.call_count_max);
        let id = self.door.take_id();
        let fd = socket.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(id.0), Interest::READABLE)?;
        info!("client {}: process {} of user {} ({entrance:?})", id.0, peer.pid, peer.uid);
        self.clients.insert(id, Box::new(Client::new(socket, session)));
        self.idle_since = None;
        Ok(())
    }
}
