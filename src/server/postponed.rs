// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls whose answer needs information that a process is asking the kernel for
//! ([`Kernel::learn`]). They wait for it, and so do the later calls of their client, but no other
//! client.
//!
//! [`Kernel::learn`]: crate::io::kernel::Kernel::learn

use std::time::Instant;

use crate::limits::SPEED_TIME_MAX;
use crate::model::client::ClientId;
use crate::session::PendingCall;

/// Waiting calls: one of a client at most.
#[derive(Debug, Default)]
pub(crate) struct Postponed(Vec<(ClientId, PostponedCall)>);

/// A waiting call, until then at most.
#[derive(Debug)]
pub(crate) struct PostponedCall {
    pub(crate) pending: PendingCall,
    pub(crate) until: Instant,
}

impl PostponedCall {
    /// A new call.
    pub(crate) fn new(pending: PendingCall, now: Instant) -> Self {
        Self { pending, until: now + SPEED_TIME_MAX }
    }
}

impl Postponed {
    pub(crate) fn push(&mut self, id: ClientId, call: PostponedCall) {
        self.0.push((id, call));
    }

    /// Takes the waiting call of a client.
    pub(crate) fn take(&mut self, id: ClientId) -> Option<PostponedCall> {
        let at = self.0.iter().position(|(of, _)| *of == id)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Whether a client has a waiting call.
    pub(crate) fn has(&self, id: ClientId) -> bool {
        self.0.iter().any(|(of, _)| *of == id)
    }

    /// The clients whose calls have waited long enough, or all if no process is asking any more.
    pub(crate) fn ready(&self, is_asking: bool, now: Instant) -> Vec<ClientId> {
        let is_ready = |call: &PostponedCall| !is_asking || call.until <= now;
        self.0.iter().filter(|(_, call)| is_ready(call)).map(|(id, _)| *id).collect()
    }

    /// When the first call has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|(_, call)| call.until).min()
    }

    /// Ends all waits.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|(_, call)| call.until = now);
    }
}
