// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Agenda`]: the clients that have something to do, and the order in which they get their turns.
//!
//! Clients of the read-write and the admin socket go first. In each lane the user goes first whose
//! clients have taken the least time; a user without waiting clients saves none up (start-time fair
//! queueing). So however many clients a user has, each client of another user waits for one of them,
//! not for all.
//!
//! Knows neither sockets nor the clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::limits::{CLIENTS_PER_TURN_MAX, READERS_PER_TURN_MIN};
use crate::model::client::{ClientId, Endpoint};

/// The time that a turn is assumed to take until it is known.
const COST_GUESS: Duration = Duration::from_micros(20);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Read-write and admin sockets.
    first: Lane,
    readers: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    users: BTreeMap<u32, Waiting>,
    waiting_count: usize,
    /// The time of the user who had the last turn: a user that comes starts from here.
    floor: Duration,
}

/// The waiting clients of one user.
#[derive(Debug, Default)]
struct Waiting {
    clients: VecDeque<ClientId>,
    /// The time that the user's clients have taken.
    taken: Duration,
}

/// One client's turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Turn {
    pub(crate) client: ClientId,
    endpoint: Endpoint,
    uid: u32,
}

impl Agenda {
    /// Adds a client, which does not wait yet.
    pub(crate) fn push(&mut self, client: ClientId, endpoint: Endpoint, uid: u32) {
        self.lane(endpoint).waiting_of(uid).push_back(client);
    }

    /// The turns that come next.
    pub(crate) fn take(&mut self) -> Vec<Turn> {
        let left_to_readers = READERS_PER_TURN_MIN.min(self.readers.waiting_count);
        let mut turns = Vec::new();
        self.first.take(CLIENTS_PER_TURN_MAX - left_to_readers, &mut turns, Endpoint::ReadWrite);
        self.readers.take(CLIENTS_PER_TURN_MAX, &mut turns, Endpoint::ReadOnly);
        turns
    }

    /// Notes what a turn took.
    pub(crate) fn charge(&mut self, turn: Turn, time: Duration) {
        if let Some(user) = self.lane(turn.endpoint).users.get_mut(&turn.uid) {
            user.taken = (user.taken + time).saturating_sub(COST_GUESS);
        }
    }

    /// Puts a turn that was not had at the front again.
    pub(crate) fn put_back(&mut self, turn: Turn) {
        self.lane(turn.endpoint).waiting_of(turn.uid).push_front(turn.client);
        self.charge(turn, Duration::ZERO);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.waiting_count == 0 && self.readers.waiting_count == 0
    }

    fn lane(&mut self, endpoint: Endpoint) -> &mut Lane {
        match endpoint {
            Endpoint::ReadWrite | Endpoint::Admin => &mut self.first,
            Endpoint::ReadOnly => &mut self.readers,
        }
    }
}

impl Lane {
    /// The queue of a user to which a client will be added.
    fn waiting_of(&mut self, uid: u32) -> &mut VecDeque<ClientId> {
        self.waiting_count += 1;
        let floor = self.floor;
        let user = self.users.entry(uid).or_default();
        if user.clients.is_empty() {
            user.taken = user.taken.max(floor);
        }
        &mut user.clients
    }

    fn take(&mut self, count_max: usize, turns: &mut Vec<Turn>, endpoint: Endpoint) {
        while turns.len() < count_max {
            let waiting = self.users.iter_mut().filter(|(_, user)| !user.clients.is_empty());
            let Some((uid, user)) = waiting.min_by_key(|(_, user)| user.taken) else { break };
            let Some(client) = user.clients.pop_front() else { break };
            turns.push(Turn { client, endpoint, uid: *uid });
            self.floor = self.floor.max(user.taken);
            user.taken += COST_GUESS;
            self.waiting_count -= 1;
        }
        let floor = self.floor;
        self.users.retain(|_, user| !user.clients.is_empty() || user.taken > floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: u32 = 1_000;
    const MODEST: u32 = 1_001;

    /// An agenda with 1,000 clients of one user at the read-only socket.
    fn crowded() -> Agenda {
        let mut agenda = Agenda::default();
        (0..1_000).for_each(|id| agenda.push(ClientId(id), Endpoint::ReadOnly, GREEDY));
        agenda
    }

    fn position(turns: &[Turn], client: usize) -> Option<usize> {
        turns.iter().position(|turn| turn.client == ClientId(client))
    }

    #[test]
    fn a_client_waits_for_one_client_of_each_other_user() {
        let mut agenda = crowded();
        assert_eq!(agenda.take().len(), CLIENTS_PER_TURN_MAX);
        agenda.push(ClientId(2_000), Endpoint::ReadOnly, MODEST);
        agenda.push(ClientId(2_001), Endpoint::ReadOnly, MODEST);
        let turns = agenda.take();
        assert!(position(&turns, 2_000).unwrap() <= 1, "{turns:?}");
        assert!(position(&turns, 2_001).unwrap() <= 3, "{turns:?}");
    }

    #[test]
    fn the_user_who_took_more_time_waits_for_it() {
        let mut agenda = crowded();
        for turn in agenda.take() {
            agenda.charge(turn, Duration::from_millis(1));
        }
        (0..100).for_each(|id| agenda.push(ClientId(2_000 + id), Endpoint::ReadOnly, MODEST));
        let turns = agenda.take();
        assert!(turns.iter().all(|turn| turn.uid == MODEST), "{turns:?}");
    }

    #[test]
    fn other_sockets_go_first_and_leave_readers_some_turns() {
        let mut agenda = crowded();
        agenda.push(ClientId(2_000), Endpoint::ReadWrite, 0);
        agenda.push(ClientId(2_001), Endpoint::Admin, 0);
        let turns = agenda.take();
        assert_eq!((position(&turns, 2_000), position(&turns, 2_001)), (Some(0), Some(1)));
        (0..100).for_each(|id| agenda.push(ClientId(3_000 + id), Endpoint::ReadWrite, 0));
        let turns = agenda.take();
        let readers = turns.iter().filter(|turn| turn.endpoint == Endpoint::ReadOnly).count();
        assert_eq!((turns.len(), readers), (CLIENTS_PER_TURN_MAX, READERS_PER_TURN_MIN));
    }

    #[test]
    fn a_turn_that_was_not_had_comes_first_and_costs_nothing() {
        let mut agenda = crowded();
        let turns = agenda.take();
        turns.iter().rev().for_each(|turn| agenda.put_back(*turn));
        assert_eq!(agenda.take(), turns);
        while !agenda.is_empty() {
            agenda.take();
        }
        assert!(agenda.readers.users.len() <= 1);
    }
}
