// SPDX-License-Identifier: LGPL-2.1-or-later
//! The next deadline of many.
//!
//! A client's deadline moves with each of its messages, but its timer does not: it fires at the old
//! time, finds nothing due, and is armed again. That costs one wake-up an interval instead of an
//! update a message.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::model::client::ClientId;

/// Deadlines in order; at most one for each client.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeSet<(Instant, ClientId)>,
}

impl Timers {
    /// Adds a deadline.
    pub(crate) fn arm(&mut self, deadline: Instant, client: ClientId) {
        self.deadlines.insert((deadline, client));
    }

    /// Removes a deadline.
    pub(crate) fn disarm(&mut self, deadline: Instant, client: ClientId) {
        self.deadlines.remove(&(deadline, client));
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Removes and returns one deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<ClientId> {
        let (deadline, client) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        Some(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.arm(at(2), ClientId(7));
        timers.arm(at(1), ClientId(8));
        timers.arm(at(3), ClientId(9));
        timers.disarm(at(3), ClientId(9));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop_due(at(0)), None);
        assert_eq!(timers.pop_due(at(2)), Some(ClientId(8)));
        assert_eq!(timers.pop_due(at(2)), Some(ClientId(7)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.next(), None);
    }
}
