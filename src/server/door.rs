// SPDX-License-Identifier: LGPL-2.1-or-later
//! The door: who is let in, and when nobody is.
//!
//! Nobody is turned away for want of room: beyond the limit, and while the process has no
//! descriptor to spare, connections wait in the kernel's backlog. The admin socket serves the
//! daemon's own user alone.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::config::Settings;
use crate::io::listener::Listener;
use crate::model::client::Entrance;
use crate::sys::socket::PeerCreds;
use crate::sys::{process, socket};

/// How long nobody is accepted after the process ran out of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody who is let in.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) entrance: Entrance,
    pub(crate) socket: OwnedFd,
    pub(crate) peer: PeerCreds,
}

/// All listeners, what the kernel said of them, and the rooms they lead to.
#[derive(Debug)]
pub(crate) struct Door {
    listeners: Vec<Listener>,
    /// For each listener, whether somebody waits there.
    waiting: Vec<bool>,
    rooms: Rooms,
    /// Nobody is accepted before this.
    paused_until: Option<Instant>,
}

/// Two rooms, so that an administrator gets in when the other one is full.
#[derive(Clone, Copy, Debug)]
struct Rooms {
    /// Behind the read-write and the read-only socket.
    main: Room,
    admin: Room,
}

impl Rooms {
    fn behind(&self, entrance: Entrance) -> &Room {
        match entrance {
            Entrance::ReadWrite | Entrance::ReadOnly => &self.main,
            Entrance::Admin => &self.admin,
        }
    }

    fn behind_mut(&mut self, entrance: Entrance) -> &mut Room {
        match entrance {
            Entrance::ReadWrite | Entrance::ReadOnly => &mut self.main,
            Entrance::Admin => &mut self.admin,
        }
    }
}

/// How many are inside, and how many may be.
#[derive(Clone, Copy, Debug)]
struct Room {
    client_count: u32,
    client_count_max: u32,
}

impl Room {
    fn empty(client_count_max: u32) -> Self {
        Self { client_count: 0, client_count_max }
    }

    fn has_space(&self) -> bool {
        self.client_count < self.client_count_max
    }
}

impl Door {
    /// Opens on the number of clients that the settings allow at a time.
    pub(crate) fn new(listeners: Vec<Listener>, settings: &Settings) -> Self {
        Self {
            waiting: vec![false; listeners.len()],
            rooms: Rooms {
                main: Room::empty(settings.main.client_count_max),
                admin: Room::empty(settings.admin.client_count_max),
            },
            listeners,
            paused_until: None,
        }
    }

    /// The listeners. Each is known by its position here.
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
    pub(crate) fn is_unfinished(&self, now: Instant) -> bool {
        let has_space = |listener: &Listener| self.rooms.behind(listener.entrance).has_space();
        let mut doors = self.listeners.iter().zip(&self.waiting);
        !self.is_paused(now) && doors.any(|(listener, waiting)| *waiting && has_space(listener))
    }

    /// Lets the next one in, if there is room. After somebody who is sent away, the others wait for
    /// the next turn.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Guest> {
        if self.is_paused(now) {
            return None;
        }
        self.paused_until = None;
        for (position, listener) in self.listeners.iter().enumerate() {
            let waiting = self.waiting.get_mut(position)?;
            let room = self.rooms.behind_mut(listener.entrance);
            while *waiting && room.has_space() {
                match socket::accept(listener) {
                    Ok(socket) => {
                        let guest = check(listener.entrance, socket)?;
                        room.client_count += 1;
                        return Some(guest);
                    }
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => *waiting = false,
                    // Gone before it was let in.
                    Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                    Err(err) => {
                        let path = listener.path().display();
                        warn!("{path}: nobody is accepted for a while: {err}");
                        self.paused_until = Some(now + PAUSE);
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Somebody who was let in has gone.
    pub(crate) fn leave(&mut self, entrance: Entrance) {
        let room = self.rooms.behind_mut(entrance);
        room.client_count = room.client_count.saturating_sub(1);
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|end| end > now)
    }
}

/// Sends away whom the admin socket does not serve, and whom the kernel does not know.
fn check(entrance: Entrance, socket: OwnedFd) -> Option<Guest> {
    let peer = match socket::peer_creds(&socket) {
        Ok(peer) => peer,
        Err(err) => {
            warn!("a client that the kernel does not know is sent away: {err}");
            return None;
        }
    };
    if entrance == Entrance::Admin && peer.uid != process::effective_uid() {
        info!("user {} is sent away from the admin socket", peer.uid);
        return None;
    }
    Some(Guest { entrance, socket, peer })
}
