// SPDX-License-Identifier: LGPL-2.1-or-later
//! Accounts of users: the connections and the memory that the clients of each user hold.
//!
//! A [`Tab`] is one client's holdings. It is charged before or as they are taken, and gives all of
//! them back when it is dropped. The scheme is that of dbus-broker: what a user may take of a pool
//! shrinks as others take of it, and never to nothing. The daemon's own user and root have no share,
//! and may take all that is free.
//!
//! Knows neither sockets nor clients.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use crate::limits::{
    CHANGES_WAITING_LEN_MAX, CHANGES_WAITING_MAX, CLIENT_BYTES_CREDIT, CLIENT_BYTES_FREE,
    CLIENT_BYTES_POOL, FLOOD_BYTES_MIN, LOG_SHARE_TIME, RESERVED_CLIENT_COUNT_MAX,
    RESERVED_CLIENT_DIVISOR,
};
use crate::model::client::Endpoint;

/// The things that are shared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resource {
    Connections,
    Memory,
    Changes,
}

impl Resource {
    /// Its name in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Changes => "waiting changes",
        }
    }
}

/// Whether a user who holds `held` may take `amount` more, if `free` is left and `user_count` users
/// hold some, this one included: a user leaves as much for each of them, and for one more, as it has
/// itself.
pub fn is_within(amount: usize, held: usize, free: usize, user_count: usize) -> bool {
    amount <= share_left(held, free, user_count)
}

/// The most that the user may take.
fn share_left(held: usize, free: usize, user_count: usize) -> usize {
    (free.saturating_add(held) / user_count.saturating_add(1)).saturating_sub(held).min(free)
}

/// All accounts.
#[derive(Debug)]
pub struct Shares {
    own_uid: u32,
    accounts: BTreeMap<u32, Rc<Account>>,
    totals: Rc<Totals>,
}

/// The sums of all accounts.
#[derive(Debug, Default)]
struct Totals {
    bytes: Cell<usize>,
    /// Users who hold memory.
    holders: Cell<usize>,
    /// Whether memory was given back since [`Shares::take_freed`].
    has_freed: Cell<bool>,
    /// The most bytes since a flood was last over.
    peak: Cell<usize>,
}

/// The holdings of the clients of one user.
#[derive(Debug)]
struct Account {
    uid: u32,
    /// Has no share of its own, and may take all that is free.
    is_exempt: bool,
    connections: Cell<u32>,
    bytes: Cell<usize>,
    /// For each resource, when the log last had a line that the user is over its share.
    noted: [Cell<Option<Instant>>; 3],
    totals: Rc<Totals>,
}

/// One client's holdings, which are given back when it is dropped.
#[derive(Debug)]
pub struct Tab {
    account: Rc<Account>,
    connections: u32,
    bytes: usize,
}

/// A change that waits for its turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaitingChange {
    /// The user whose client asked for it.
    pub uid: u32,
    /// The length of its arguments.
    pub len: usize,
}

/// The answer to a user that connects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    Enter,
    /// The user may have the place of an idle client of this other user.
    Replace(u32),
    Refuse,
}

impl Shares {
    /// No clients, in a daemon of this user.
    pub fn new(own_uid: u32) -> Self {
        Self { own_uid, accounts: BTreeMap::new(), totals: Rc::default() }
    }

    /// Whether a user may take all that is free.
    fn is_exempt(&self, uid: u32) -> bool {
        uid == self.own_uid || uid == 0
    }

    /// Opens the tab of a client that is let in, which takes `connections` of the places.
    pub fn open(&mut self, uid: u32, connections: u32) -> Tab {
        self.accounts.retain(|_, account| Rc::strong_count(account) > 1);
        let account = self.accounts.get(&uid).cloned().unwrap_or_else(|| {
            let account = Rc::new(Account {
                uid,
                is_exempt: self.is_exempt(uid),
                connections: Cell::new(0),
                bytes: Cell::new(0),
                noted: Default::default(),
                totals: Rc::clone(&self.totals),
            });
            self.accounts.insert(uid, Rc::clone(&account));
            account
        });
        account.connections.set(account.connections.get().saturating_add(connections));
        Tab { account, connections, bytes: 0 }
    }

    /// Decides about a user that connects at `endpoint`, if there are `count_max` places and `room`
    /// of them are free. Some of those are reserved: the last for root and the daemon's own user,
    /// those before them for the read-write socket.
    pub fn admit(&self, uid: u32, endpoint: Endpoint, room: u32, count_max: u32) -> Admission {
        let reserve = RESERVED_CLIENT_COUNT_MAX.min(count_max / RESERVED_CLIENT_DIVISOR);
        let reserved = match (self.is_exempt(uid), endpoint) {
            (true, _) => 0,
            (false, Endpoint::ReadWrite | Endpoint::Admin) => reserve,
            (false, Endpoint::ReadOnly) => reserve.saturating_mul(2),
        };
        if room > reserved {
            return Admission::Enter;
        }
        let is_new = self.connections_of(uid) == 0;
        let share = count_max / (self.user_count() + u32::from(is_new)).max(1);
        let is_below = self.is_exempt(uid) || self.connections_of(uid) < share;
        match self.greediest() {
            Some(other) if is_below && other.uid != uid && other.connections.get() > share => {
                Admission::Replace(other.uid)
            }
            // Root gets in however many users there are.
            Some(other) if self.is_exempt(uid) => Admission::Replace(other.uid),
            Some(_) | None => Admission::Refuse,
        }
    }

    /// Whether any user could be let in, if no place is free.
    pub fn may_replace(&self) -> bool {
        self.greediest().is_some()
    }

    /// Of the users with a share, the one with the most connections.
    fn greediest(&self) -> Option<&Account> {
        let accounts =
            self.accounts.values().filter(|it| !it.is_exempt && it.connections.get() > 0);
        accounts.max_by_key(|account| account.connections.get()).map(Rc::as_ref)
    }

    /// Users with connections.
    fn user_count(&self) -> u32 {
        let count = self.accounts.values().filter(|it| it.connections.get() > 0).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn connections_of(&self, uid: u32) -> u32 {
        self.accounts.get(&uid).map_or(0, |account| account.connections.get())
    }

    /// Whether a user may queue one more change of this length, beside those that wait.
    pub fn may_queue(&self, uid: u32, len: usize, waiting: &[WaitingChange]) -> bool {
        let mut users: Vec<u32> = waiting.iter().map(|change| change.uid).chain([uid]).collect();
        users.sort_unstable();
        users.dedup();
        let own = || waiting.iter().filter(|change| change.uid == uid);
        let len_of = |change: &WaitingChange| change.len;
        let free = CHANGES_WAITING_MAX.saturating_sub(waiting.len());
        let held_len: usize = own().map(len_of).sum();
        let free_len = CHANGES_WAITING_LEN_MAX.saturating_sub(waiting.iter().map(len_of).sum());
        if self.is_exempt(uid) {
            return free > 0 && len <= free_len;
        }
        is_within(1, own().count(), free, users.len())
            && is_within(len, held_len, free_len, users.len())
    }

    /// Whether the log is to have a line that a user is over its share: once a minute for each
    /// resource.
    pub fn may_note(&self, uid: u32, resource: Resource, now: Instant) -> bool {
        self.accounts.get(&uid).is_some_and(|account| account.may_note(resource, now))
    }

    /// Whether memory was given back since [`Shares::take_freed`].
    pub fn has_freed(&self) -> bool {
        self.totals.has_freed.get()
    }

    /// Whether memory was given back since this was last asked.
    pub fn take_freed(&self) -> bool {
        self.totals.has_freed.take()
    }

    /// Whether clients held much memory and hold little by now, since this was last so.
    pub fn is_flood_over(&self) -> bool {
        let Totals { bytes, peak, .. } = &*self.totals;
        let is_over = peak.get() >= FLOOD_BYTES_MIN && bytes.get() <= peak.get() / 8;
        if is_over {
            peak.set(bytes.get());
        }
        is_over
    }
}

impl Account {
    /// The memory that its clients may still take.
    fn bytes_left(&self) -> usize {
        self.bytes_left_of(self.bytes.get())
    }

    /// As if they held only so much.
    fn bytes_left_of(&self, held: usize) -> usize {
        let others = self.totals.bytes.get().saturating_sub(self.bytes.get());
        let free = CLIENT_BYTES_POOL.saturating_sub(others.saturating_add(held));
        if self.is_exempt {
            return free;
        }
        let is_new = self.bytes.get() == 0;
        share_left(held, free, self.totals.holders.get() + usize::from(is_new))
    }

    fn may_note(&self, resource: Resource, now: Instant) -> bool {
        let [connections, memory, changes] = &self.noted;
        let noted = match resource {
            Resource::Connections => connections,
            Resource::Memory => memory,
            Resource::Changes => changes,
        };
        let is_due = noted.get().is_none_or(|last| now.duration_since(last) >= LOG_SHARE_TIME);
        if is_due {
            noted.set(Some(now));
        }
        is_due
    }
}

impl Tab {
    /// The client's user.
    pub fn uid(&self) -> u32 {
        self.account.uid
    }

    /// Sets what the client's buffers hold. Each client has a little for nothing.
    pub fn hold(&mut self, held_len: usize) {
        let bytes = held_len.saturating_sub(CLIENT_BYTES_FREE);
        let (account, totals) = (&self.account, &self.account.totals);
        let was_holder = account.bytes.get() > 0;
        for cell in [&account.bytes, &totals.bytes] {
            cell.set((cell.get() + bytes).saturating_sub(self.bytes));
        }
        totals.peak.set(totals.peak.get().max(totals.bytes.get()));
        totals.has_freed.set(totals.has_freed.get() || bytes < self.bytes);
        self.bytes = bytes;
        let holders = totals.holders.get();
        match (was_holder, account.bytes.get() > 0) {
            (false, true) => totals.holders.set(holders + 1),
            (true, false) => totals.holders.set(holders.saturating_sub(1)),
            (false, false) | (true, true) => {}
        }
    }

    /// Whether the user may take any more memory.
    pub fn has_room(&self) -> bool {
        self.account.bytes_left() > 0
    }

    /// As [`Tab::has_room`], for a client whose replies are all written. It may take a little more, so
    /// that clients that do not read their replies do not stop the others of their user.
    pub fn has_room_for_reader(&self) -> bool {
        let over = self.account.bytes.get().saturating_sub(CLIENT_BYTES_CREDIT);
        self.account.bytes_left_of(over) > 0
    }

    /// How much the client may take whose buffers hold `held_len`.
    pub fn bytes_left(&self, held_len: usize) -> usize {
        self.account.bytes_left().max(CLIENT_BYTES_FREE.saturating_sub(held_len))
    }

    /// As [`Shares::may_note`].
    pub fn may_note(&self, resource: Resource, now: Instant) -> bool {
        self.account.may_note(resource, now)
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.hold(0);
        let connections = &self.account.connections;
        connections.set(connections.get().saturating_sub(self.connections));
    }
}

#[cfg(test)]
mod tests;
