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
use crate::error::HostError;
use crate::io::listener::{ListenError, Listener};
use crate::logging;
use crate::model::client::Entrance;
use crate::server::room::Rooms;
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
    /// Its number in its room.
    pub(crate) number: u64,
}

/// All listeners, and what the kernel said of them.
#[derive(Debug)]
pub(crate) struct Door {
    listeners: Vec<Listener>,
    /// For each listener, whether somebody waits there.
    waiting: Vec<bool>,
    /// Nobody is accepted before this.
    paused_until: Option<Instant>,
}

impl Door {
    /// A door with these listeners, whoever made them and in whatever order. Clients are accepted
    /// where everybody may knock last, so that a crowd there keeps nobody else waiting.
    pub(crate) fn new(mut listeners: Vec<Listener>) -> Self {
        listeners.sort_by_key(|listener| match listener.entrance {
            Entrance::Admin => 0,
            Entrance::ReadWrite => 1,
            Entrance::ReadOnly => 2,
        });
        Self { waiting: vec![false; listeners.len()], listeners, paused_until: None }
    }

    /// Closes for good: the sockets that the daemon made are removed.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
        self.waiting.clear();
        self.paused_until = None;
    }

    /// Gives the sockets the modes, the group and the backlogs that the settings say. `None` leaves
    /// the group as it is.
    ///
    /// # Errors
    /// The first that does not take it. Those before it have.
    pub(crate) fn apply(
        &self,
        settings: &Settings,
        group: Option<libc::gid_t>,
    ) -> Result<(), ListenError> {
        self.listeners.iter().try_for_each(|listener| {
            let mode = settings.mode(listener.entrance).bits();
            listener.apply(mode, group, settings.backlog(listener.entrance))
        })
    }

    /// Whether a supervisor has made any of the sockets: the settings for sockets do not apply to it.
    pub(crate) fn is_a_supervisors(&self) -> bool {
        self.listeners.iter().any(Listener::is_adopted)
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
    pub(crate) fn is_unfinished(&self, rooms: &Rooms, now: Instant) -> bool {
        let has_space = |listener: &Listener| rooms.has_space(listener.entrance);
        let mut doors = self.listeners.iter().zip(&self.waiting);
        !self.is_paused(now) && doors.any(|(listener, waiting)| *waiting && has_space(listener))
    }

    /// Lets the next one in, if there is room. After somebody who is sent away, the others wait for
    /// the next turn.
    pub(crate) fn admit(&mut self, rooms: &mut Rooms, now: Instant) -> Option<Guest> {
        if self.is_paused(now) {
            return None;
        }
        self.paused_until = None;
        for (position, listener) in self.listeners.iter().enumerate() {
            let waiting = self.waiting.get_mut(position)?;
            while *waiting && rooms.has_space(listener.entrance) {
                match socket::accept(listener) {
                    Ok(socket) => {
                        let (entrance, peer) =
                            (listener.entrance, check(listener.entrance, &socket)?);
                        let number = rooms.behind_mut(entrance).enter();
                        return Some(Guest { entrance, socket, peer, number });
                    }
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => *waiting = false,
                    // Gone before it was let in.
                    Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                    Err(err) => {
                        let path = listener.path().display().to_string();
                        let err = HostError::new("accept clients at", path, &err);
                        warn!("nobody is accepted for a while: {err}");
                        self.paused_until = Some(now + PAUSE);
                        return None;
                    }
                }
            }
        }
        None
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|end| end > now)
    }
}

/// Sends away whom the admin socket does not serve, and whom the kernel does not know.
fn check(entrance: Entrance, socket: &OwnedFd) -> Option<PeerCreds> {
    let peer = match socket::peer_creds(socket) {
        Ok(peer) => peer,
        Err(err) => {
            warn!("a client that the kernel does not know is sent away: {err}");
            return None;
        }
    };
    if entrance == Entrance::Admin && peer.uid != process::effective_uid() {
        let _charged = logging::charge_to(peer.uid);
        info!("user {} is sent away from the admin socket", peer.uid);
        return None;
    }
    Some(peer)
}
