// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of the accounts: the part of each user, and its return.

use std::time::Duration;

use super::*;

const OWN: u32 = 0;
const GREEDY: u32 = 1_000;
const MODEST: u32 = 1_001;
const PLACES: u32 = 5_000;

/// Lets a user in at the read-only socket until it is refused, and returns its tabs.
fn fill(shares: &mut Shares, uid: u32, connected: u32) -> Vec<Tab> {
    let mut tabs = Vec::new();
    let mut room = PLACES - connected;
    while shares.admit(uid, Endpoint::ReadOnly, room, PLACES) == Admission::Enter {
        tabs.push(shares.open(uid, 1));
        room -= 1;
    }
    tabs
}

#[test]
fn a_user_alone_has_all_places_but_the_reserved_ones() {
    let mut shares = Shares::new(OWN);
    let tabs = fill(&mut shares, GREEDY, 0);
    assert_eq!(tabs.len(), 5_000 - 2 * 32);
    let admit = |uid, endpoint| shares.admit(uid, endpoint, 64, PLACES);
    assert_eq!(admit(GREEDY, Endpoint::ReadOnly), Admission::Refuse);
    assert_eq!(admit(GREEDY, Endpoint::ReadWrite), Admission::Enter);
    assert_eq!(admit(MODEST, Endpoint::ReadOnly), Admission::Replace(GREEDY));
    assert_eq!(admit(OWN, Endpoint::ReadOnly), Admission::Enter);
    let admit = |uid, endpoint, room| shares.admit(uid, endpoint, room, PLACES);
    assert_eq!(admit(MODEST, Endpoint::ReadWrite, 32), Admission::Replace(GREEDY));
    assert_eq!(admit(OWN, Endpoint::ReadWrite, 1), Admission::Enter);
    assert_eq!(admit(OWN, Endpoint::ReadWrite, 0), Admission::Replace(GREEDY), "root gets in");
}

#[test]
fn users_who_come_later_have_as_many_places_in_the_end() {
    let mut shares = Shares::new(OWN);
    let mut greedy = fill(&mut shares, GREEDY, 0);
    let mut modest = Vec::new();
    while shares.admit(MODEST, Endpoint::ReadOnly, 64, PLACES) == Admission::Replace(GREEDY) {
        greedy.pop();
        modest.push(shares.open(MODEST, 1));
    }
    assert_eq!((greedy.len(), modest.len()), (5_000 / 2, 2_436));
    drop(greedy);
    assert_eq!(shares.admit(MODEST, Endpoint::ReadOnly, 65, PLACES), Admission::Enter);
}

#[test]
fn few_places_have_few_reserved_ones() {
    let shares = Shares::new(OWN);
    let admit = |room, count_max| shares.admit(GREEDY, Endpoint::ReadOnly, room, count_max);
    assert_eq!((admit(1, 15), admit(0, 15)), (Admission::Enter, Admission::Refuse));
    assert_eq!((admit(3, 16), admit(2, 16)), (Admission::Enter, Admission::Refuse));
    assert!(!shares.may_replace(), "no client has a place");
}

#[test]
fn the_daemons_own_user_shares_with_nobody() {
    let mut shares = Shares::new(GREEDY);
    assert_eq!(fill(&mut shares, GREEDY, 0).len(), 5_000);
    let tabs = [shares.open(GREEDY, 1), shares.open(OWN, 1)];
    assert!(!shares.may_replace(), "own clients and root's are not disconnected: {tabs:?}");
    assert_eq!(tabs[0].bytes_left(0), CLIENT_BYTES_POOL);
}

/// Takes all memory that a user may have, in one client's tab.
fn fill_memory(tab: &mut Tab) -> usize {
    let mut held = 0;
    while tab.has_room() {
        held += tab.bytes_left(held);
        tab.hold(held);
    }
    held
}

#[test]
fn a_user_has_half_of_the_memory_and_leaves_others_some() {
    let mut shares = Shares::new(OWN);
    let mut tabs = [GREEDY, MODEST, 1_002, OWN].map(|uid| shares.open(uid, 1));
    let held = tabs.each_mut().map(fill_memory);
    let total: usize = held.iter().sum();
    assert_eq!(held[0].div_ceil(1024), CLIENT_BYTES_POOL / 2 / 1024 + 1);
    assert!(held[1] >= CLIENT_BYTES_POOL / 6 && held[2] >= CLIENT_BYTES_POOL / 12, "{held:?}");
    assert!(held[3] >= CLIENT_BYTES_POOL / 6, "root: {held:?}");
    assert!(total <= CLIENT_BYTES_POOL + 4 * CLIENT_BYTES_FREE, "{held:?}");
    let mut another = shares.open(GREEDY, 1);
    assert_eq!((another.bytes_left(0), another.has_room()), (CLIENT_BYTES_FREE, false));
    another.hold(CLIENT_BYTES_FREE);
    assert_eq!(another.bytes_left(CLIENT_BYTES_FREE), 0);
    assert!(!shares.has_freed());
    drop(tabs);
    assert!(shares.has_freed() && shares.take_freed() && !shares.has_freed());
    assert_eq!(fill_memory(&mut another), held[0], "all of it came back");
}

#[test]
fn a_flood_is_over_once_its_memory_is_given_back() {
    let mut shares = Shares::new(OWN);
    let mut tabs: Vec<_> = (0..4).map(|_| shares.open(GREEDY, 1)).collect();
    tabs.iter_mut().for_each(|tab| tab.hold(FLOOD_BYTES_MIN / 4));
    assert!(!shares.is_flood_over(), "each has a little for nothing");
    tabs.iter_mut().for_each(|tab| tab.hold(FLOOD_BYTES_MIN));
    tabs.pop();
    assert!(!shares.is_flood_over());
    tabs.clear();
    assert!(shares.is_flood_over() && !shares.is_flood_over());
}

#[test]
fn all_accounts_end_with_their_clients() {
    let mut shares = Shares::new(OWN);
    for uid in 0..1_000 {
        shares.open(uid, 1).hold(100_000);
    }
    let last = shares.open(MODEST, 0);
    assert_eq!(shares.accounts.len(), 1);
    assert_eq!((shares.totals.bytes.get(), shares.totals.holders.get()), (0, 0));
    assert_eq!(last.account.connections.get(), 0);
}

#[test]
fn a_user_has_half_of_the_queue_of_changes_and_root_all_of_it() {
    let shares = Shares::new(OWN);
    let fill = |uid, len, waiting: &mut Vec<WaitingChange>| {
        let before = waiting.len();
        while shares.may_queue(uid, len, waiting) {
            waiting.push(WaitingChange { uid, len });
        }
        waiting.len() - before
    };
    let mut waiting = Vec::new();
    assert_eq!(fill(GREEDY, 100, &mut waiting), CHANGES_WAITING_MAX / 2);
    assert_eq!(fill(MODEST, 100, &mut waiting), CHANGES_WAITING_MAX / 6);
    assert_eq!(fill(OWN, 100, &mut waiting), CHANGES_WAITING_MAX - waiting.len() + 171);
    assert_eq!(waiting.len(), CHANGES_WAITING_MAX);
    let mut waiting = Vec::new();
    assert_eq!(fill(GREEDY, 256 * 1024, &mut waiting), 32);
    assert_eq!(fill(OWN, 256 * 1024, &mut waiting), 32);
}

#[test]
fn the_log_has_a_line_a_minute_for_each_resource() {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    let start = Instant::now();
    let mut shares = Shares::new(OWN);
    let tab = shares.open(GREEDY, 1);
    assert!(tab.may_note(Resource::Memory, start) && tab.may_note(Resource::Connections, start));
    let soon = start + Duration::from_secs(59);
    assert!(!tab.may_note(Resource::Memory, soon));
    assert!(shares.may_note(GREEDY, Resource::Changes, soon));
    assert!(shares.may_note(GREEDY, Resource::Memory, start + Duration::from_secs(60)));
    assert!(!shares.may_note(MODEST, Resource::Memory, start), "it has no clients");
}
