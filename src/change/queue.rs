// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Queue`]: the waiting requests, and the pause in which read-only clients are served.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::change::request::Request;
use crate::limits::CHANGES_WAITING_MAX;

/// After a turn with a change, read-only clients get this many times the duration of the change.
/// However many they are, the calls of at most one turn in five then wait for a change. A client
/// that only waits for a change does not count.
const CLIENTS_SHARE: u32 = 4;

/// The queue of requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Request>,
    pause: Pause,
}

/// Why changes are paused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Pause {
    #[default]
    None,
    /// A result is expected, until then at most.
    Waiting(Option<Instant>),
    /// Read-only clients are served until then.
    Yielding(Instant),
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns whether clients' requests are refused.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= CHANGES_WAITING_MAX
    }

    pub(super) fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// Queues a request before all others.
    pub(super) fn push_first(&mut self, request: Request) {
        self.waiting.push_front(request);
    }

    /// Takes the request that has waited longest.
    pub(super) fn pop(&mut self) -> Option<Request> {
        self.waiting.pop_front()
    }

    /// Takes all requests.
    pub(super) fn drain(&mut self) -> Vec<Request> {
        self.waiting.drain(..).collect()
    }

    /// Pauses until a result comes, or until then.
    pub(super) fn wait(&mut self, until: Option<Instant>) {
        self.pause = Pause::Waiting(until);
    }

    /// Pauses for the clients' share, after changes have taken this much time.
    pub(super) fn yield_to_clients(&mut self, spent: Duration, now: Instant) {
        self.pause = Pause::Yielding(now + spent * CLIENTS_SHARE);
    }

    pub(super) fn resume(&mut self) {
        self.pause = Pause::None;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pause != Pause::None
    }

    /// Whether read-only clients are being served.
    pub(super) fn is_yielding(&self, now: Instant) -> bool {
        matches!(self.pause, Pause::Yielding(until) if until > now)
    }

    /// Returns when to continue.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.pause {
            Pause::None => Some(now),
            Pause::Waiting(deadline) => deadline,
            Pause::Yielding(until) => Some(until),
        }
    }
}
