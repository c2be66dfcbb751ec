// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Queue`]: the waiting requests, and the pauses in which clients' queries are answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::change::request::Request;

/// While clients make queries, each turn with a change is followed by a pause of this many times
/// the turn's duration. However many clients there are, the queries of at most one turn in five
/// then wait for a change. A client that only waits for its own change does not count.
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
    /// A result is awaited, until this time at most.
    Waiting(Option<Instant>),
    /// Clients' queries are answered until this time.
    Yielding(Instant),
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the waiting requests.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.waiting.iter()
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

    /// Pauses until a result arrives, or until this time.
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

    /// Returns whether changes pause for clients' queries.
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
