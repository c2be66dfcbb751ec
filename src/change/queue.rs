// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Queue`]: the requests that wait for their turn, and the pause in which clients that look are served.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::change::request::Request;
use crate::limits::CHANGES_WAITING_MAX;

/// While clients look, a turn in which a change was made is followed by this many times the time that
/// it took for them. However many they are, the calls of no more than one turn in five then wait for
/// a change. A client that only waits for one does not count.
const CLIENTS_SHARE: u32 = 4;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Request>,
    pause: Pause,
}

/// Why changes do not go on at once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Pause {
    #[default]
    None,
    /// A result is waited for, until then.
    Waiting(Option<Instant>),
    /// It is the clients' turn until then.
    Yielding(Instant),
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether clients' requests are refused.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= CHANGES_WAITING_MAX
    }

    pub(super) fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// Puts a request before all others.
    pub(super) fn push_first(&mut self, request: Request) {
        self.waiting.push_front(request);
    }

    /// The request that has waited longest.
    pub(super) fn pop(&mut self) -> Option<Request> {
        self.waiting.pop_front()
    }

    /// All that wait.
    pub(super) fn drain(&mut self) -> Vec<Request> {
        self.waiting.drain(..).collect()
    }

    /// Nothing is to be done before a result comes, or then.
    pub(super) fn wait(&mut self, until: Option<Instant>) {
        self.pause = Pause::Waiting(until);
    }

    /// The clients have their share, after changes have had this much time.
    pub(super) fn yield_to_clients(&mut self, spent: Duration, now: Instant) {
        self.pause = Pause::Yielding(now + spent * CLIENTS_SHARE);
    }

    pub(super) fn resume(&mut self) {
        self.pause = Pause::None;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pause != Pause::None
    }

    /// Whether it is the clients' turn.
    pub(super) fn is_yielding(&self, now: Instant) -> bool {
        matches!(self.pause, Pause::Yielding(until) if until > now)
    }

    /// When to go on.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.pause {
            Pause::None => Some(now),
            Pause::Waiting(deadline) => deadline,
            Pause::Yielding(until) => Some(until),
        }
    }
}
