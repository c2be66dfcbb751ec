// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Acceptor`]: accepts connections, in the order of the sockets' importance.
//!
//! While all places belong to root or the daemon's own user, and while the process has no descriptor
//! to spare, connections wait in the kernel's backlog. Otherwise each is accepted, as only then its
//! user is known, and a user who is over its share is refused. The admin socket serves the daemon's
//! own user alone.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::auth;
use crate::config::Settings;
use crate::error::HostError;
use crate::io::listener::{ListenError, Listener};
use crate::logging;
use crate::model::client::Endpoint;
use crate::model::server::ServerName;
use crate::server::occupancy::Occupancy;
use crate::shares::Shares;
use crate::sys::socket::PeerCreds;
use crate::sys::{process, socket};

/// How long no connection is accepted after the process ran out of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) endpoint: Endpoint,
    pub(crate) peer: PeerCreds,
}

/// The next connection.
#[derive(Debug)]
pub(crate) enum Next {
    Accepted(Accepted),
    /// It was closed.
    Refused,
    /// None waits, or none can be accepted now.
    Nothing,
}

/// All listeners, and their readiness.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listeners: Vec<Listener>,
    /// For each listener, whether connections wait there.
    waiting: Vec<bool>,
    /// No connection is accepted before this.
    paused_until: Option<Instant>,
}

impl Acceptor {
    /// Takes these listeners in any order. The read-only socket, which is open to all users, is served
    /// last, so that a crowd there delays no other client.
    pub(crate) fn new(mut listeners: Vec<Listener>) -> Self {
        listeners.sort_by_key(|listener| match listener.endpoint {
            Endpoint::Admin => 0,
            Endpoint::ReadWrite => 1,
            Endpoint::ReadOnly => 2,
        });
        Self { waiting: vec![false; listeners.len()], listeners, paused_until: None }
    }

    /// Closes for good: the sockets that the daemon made are removed.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
        self.waiting.clear();
        self.paused_until = None;
    }

    /// Sets the sockets' modes, group and backlogs. `None` leaves the group unchanged.
    ///
    /// # Errors
    /// The first socket that refuses. Those before it have changed.
    pub(crate) fn apply(
        &self,
        settings: &Settings,
        group: Option<libc::gid_t>,
    ) -> Result<(), ListenError> {
        self.listeners.iter().try_for_each(|listener| {
            let mode = settings.mode(listener.endpoint).bits();
            listener.apply(mode, group, settings.backlog(listener.endpoint))
        })
    }

    /// Whether a supervisor has opened any of the sockets; the settings for sockets do not apply to
    /// those.
    pub(crate) fn is_a_supervisors(&self) -> bool {
        self.listeners.iter().any(Listener::is_adopted)
    }

    /// The listeners. Each is known by its position here.
    pub(crate) fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Notes that connections wait at the listener of this position; false if there is none.
    pub(crate) fn note(&mut self, position: usize) -> bool {
        let slot = self.waiting.get_mut(position);
        slot.map(|waiting| *waiting = true).is_some()
    }

    /// When the pause ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether a waiting connection can be accepted at once.
    pub(crate) fn is_unfinished(
        &self,
        occupancy: &Occupancy,
        shares: &Shares,
        now: Instant,
    ) -> bool {
        let has_space = |listener: &Listener| has_space(listener.endpoint, occupancy, shares);
        let mut listeners = self.listeners.iter().zip(&self.waiting);
        !self.is_paused(now) && listeners.any(|(listener, waiting)| *waiting && has_space(listener))
    }

    /// Accepts the next connection, if there may be a place for it.
    pub(crate) fn next(&mut self, occupancy: &Occupancy, shares: &Shares, now: Instant) -> Next {
        if self.is_paused(now) {
            return Next::Nothing;
        }
        self.paused_until = None;
        for (listener, waiting) in self.listeners.iter().zip(&mut self.waiting) {
            let endpoint = listener.endpoint;
            while *waiting && has_space(endpoint, occupancy, shares) {
                match socket::accept(listener) {
                    Ok(socket) => {
                        let peer = check(endpoint, &socket);
                        return peer.map_or(Next::Refused, |peer| {
                            Next::Accepted(Accepted { socket, endpoint, peer })
                        });
                    }
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => *waiting = false,
                    // It was closed before it was accepted.
                    Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                    Err(err) => {
                        let path = listener.path().display().to_string();
                        let err = HostError::new("accept clients at", path, &err);
                        warn!("{err}; accepting again in {} s", PAUSE.as_secs());
                        self.paused_until = Some(now + PAUSE);
                        return Next::Nothing;
                    }
                }
            }
        }
        Next::Nothing
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|end| end > now)
    }
}

/// Whether a connection at this socket may find a place: a free one, or that of a client whose user
/// has more than its share.
fn has_space(endpoint: Endpoint, occupancy: &Occupancy, shares: &Shares) -> bool {
    let is_main = ServerName::behind(endpoint) == ServerName::Main;
    occupancy.has_space(endpoint) || (is_main && shares.may_replace())
}

/// Refuses a peer that the admin socket does not serve, or whose credentials are unknown.
fn check(endpoint: Endpoint, socket: &OwnedFd) -> Option<PeerCreds> {
    let peer = match socket::peer_creds(socket) {
        Ok(peer) => peer,
        Err(err) => {
            warn!("disconnecting a client without credentials: {err}");
            return None;
        }
    };
    if !auth::may_connect(endpoint, peer.uid, process::effective_uid()) {
        let _charged = logging::charge_to(peer.uid);
        info!("user {} is refused at the admin socket", peer.uid);
        return None;
    }
    Some(peer)
}
