// SPDX-License-Identifier: LGPL-2.1-or-later
//! Users who take all that they can get: others, and root above all, are served as before, and the
//! daemon's memory stays within its bound.

use std::net::Shutdown;
use std::thread;

use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch};
use crate::support::daemon::{ADMIN_SOCKET, Daemon, READ_ONLY_SOCKET, daemon_program};
use crate::support::eventually;
use crate::support::namespace::in_namespace;
use crate::support::peer::as_user;
use crate::support::wire::{Arg, Head, OK, payload, procedure};

const GREEDY: u32 = 65_534;
const MODEST: u32 = 65_533;

/// Places that are reserved for root, and as many for the read-write socket.
const RESERVED: usize = 32;

const MIB: u64 = 1024 * 1024;

/// Connections of a user at the read-only socket. Nothing is sent.
fn crowd(uid: u32, count: usize) -> Vec<RawClient> {
    let mut clients = Vec::new();
    as_user(uid, || {
        clients.extend((0..count).map(|_| RawClient::connect_to(READ_ONLY_SOCKET).unwrap()));
    });
    clients
}

/// Connects as a user, and calls.
fn is_served(uid: u32) -> bool {
    let mut client = crowd(uid, 1).remove(0);
    client.send_call(procedure::AUTH_LIST, &[]);
    client.receive().is_some_and(|reply| reply.head.status == OK)
}

/// The connections that the daemon has not closed.
fn living(clients: &[RawClient]) -> usize {
    let is_closed = |client: &&RawClient| {
        let mut byte = [0];
        client.stream.set_nonblocking(true).unwrap();
        matches!(std::io::Read::read(&mut &client.stream, &mut byte), Ok(0))
    };
    clients.len() - clients.iter().filter(is_closed).count()
}

/// Begins and commits as root, at the read-write socket.
fn commit_as_root() {
    let mut root = RawClient::open();
    for call in [procedure::INTERFACE_CHANGE_BEGIN, procedure::INTERFACE_CHANGE_COMMIT] {
        assert_eq!(root.call(call, &[Arg::Word(0)]).head.status, OK, "{call}");
    }
}

#[test]
fn idle_connections_of_one_user_lock_nobody_out() {
    in_namespace(|| {
        let daemon = Daemon::configured("max_clients = 5000\n");
        let greedy = crowd(GREEDY, 5_000);
        commit_as_root();
        let more = crowd(GREEDY, 20);
        eventually("it has all places but the reserved ones, and is refused beyond", || {
            living(&greedy) + living(&more) == 5_000 - 2 * RESERVED
        });
        let mut roots: Vec<_> = (0..2 * RESERVED + 10).map(|_| RawClient::connect()).collect();
        for root in &mut roots {
            assert_eq!(root.call(procedure::AUTH_LIST, &[]).head.status, OK, "root gets in");
        }
        let modest = crowd(MODEST, 40);
        assert!(is_served(MODEST));
        assert_eq!(living(&modest), 40);
        let over_share = "user 65534 is over its share of connections";
        let lines = daemon.stderr().matches(over_share).count();
        assert_eq!(lines, 1, "{}", daemon.stderr());
        drop((greedy, more, roots));
        eventually("its places are free again", || is_served(GREEDY));
        assert_eq!(living(&modest), 40, "who is within its share stays");
    });
}

#[test]
fn descriptors_are_left_to_root_and_to_administrators() {
    in_namespace(|| {
        let mut limited = command("prlimit");
        let _daemon = Daemon::start_with(limited.args(["--nofile=4096:4096", &daemon_program()]));
        let greedy = crowd(GREEDY, 4_500);
        commit_as_root();
        let mut admin = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        assert_eq!(admin.call(procedure::AUTH_LIST, &[]).fault().code, 39);
        assert!(is_served(MODEST));
        // Root and the other user had one of its places at times.
        let places = 4_096 - 160 - 2 * RESERVED;
        eventually("its further connections are refused", || {
            (places - 10..=places).contains(&living(&greedy))
        });
    });
}

#[test]
fn of_the_largest_messages_little_is_kept() {
    const CONNECTIONS: usize = 50;
    /// What a client may make the daemon keep, with the spare capacity of a growing buffer.
    const KEPT_LEN_MAX: u64 = 256 * 1024;
    in_namespace(|| {
        let daemon = Daemon::start();
        let before = daemon.resident_len();
        let head = Head::call(procedure::AUTH_LIST, 1);
        let message = head.frame(&vec![0; 33_554_432 - 24]);
        let (last, most) = message.split_last().unwrap();
        let mut greedy = crowd(GREEDY, CONNECTIONS);
        greedy.iter_mut().for_each(|client| client.send(most));
        let bound = KEPT_LEN_MAX * u64::try_from(CONNECTIONS).unwrap() + 2 * MIB;
        let grown = daemon.resident_len().saturating_sub(before);
        assert!(grown < bound, "{grown} bytes");
        commit_as_root();
        for client in &mut greedy {
            client.send(&[*last]);
            assert_eq!(client.receive().unwrap().head, head.reply(OK));
        }
    });
}

#[test]
fn messages_that_never_end_take_no_more_than_a_users_share() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let before = daemon.resident_len();
        let half = &Head::call(procedure::CONNECT_OPEN, 1).frame(&vec![0; 60_000])[..59_000];
        let mut greedy = crowd(GREEDY, 1_000);
        for client in &mut greedy {
            client.send(half);
        }
        commit_as_root();
        assert!(is_served(MODEST));
        eventually("its share is used up", || {
            daemon.stderr().contains("user 65534 is over its share of memory")
        });
        let grown = daemon.resident_len().saturating_sub(before);
        assert!(grown < 24 * MIB, "{grown} bytes");
        greedy.truncate(1);
        greedy[0].stream.shutdown(Shutdown::Write).unwrap();
        eventually("its memory is free again", || is_served(GREEDY));
        eventually("the kernel has it back", || {
            daemon.resident_len().saturating_sub(before) < 3 * MIB
        });
    });
}

#[test]
fn replies_that_are_not_read_take_no_more_than_a_users_share() {
    const CALLS: usize = 40;
    in_namespace(|| {
        let links =
            (0..200).map(|number| format!("link add left{number} type veth peer right{number}\n"));
        ip_batch(&links.collect::<String>());
        let daemon = Daemon::start();
        let before = daemon.resident_len();
        let open = Head::call(procedure::CONNECT_OPEN, 0)
            .frame(&payload(&[Arg::Some("interface:///system"), Arg::Word(0)]));
        let list = Head::call(procedure::CONNECT_LIST_ALL_INTERFACES, 1)
            .frame(&payload(&[Arg::Word(1), Arg::Word(0)]));
        let mut greedy = crowd(GREEDY, 400);
        for client in &mut greedy {
            client.send(&open);
            client.send(&list.repeat(CALLS));
        }
        commit_as_root();
        let mut modest = crowd(MODEST, 1).remove(0);
        modest.call_open();
        assert!(modest.list_all().len() >= 400);
        let grown = daemon.resident_len().saturating_sub(before);
        assert!(grown < 32 * MIB, "{grown} bytes");
        // All read at once, as each waits for what the others give back.
        thread::scope(|scope| {
            for client in &mut greedy {
                scope.spawn(|| {
                    assert_eq!(client.receive().unwrap().head.status, OK);
                    (0..CALLS).for_each(|_| assert!(client.receive_list().len() >= 400));
                });
            }
        });
    });
}

#[test]
fn connecting_and_leaving_locks_nobody_out() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let before = daemon.resident_len();
        for _ in 0..50 {
            drop(crowd(GREEDY, 200));
        }
        commit_as_root();
        assert!(is_served(MODEST) && is_served(GREEDY));
        let grown = daemon.resident_len().saturating_sub(before);
        assert!(grown < 2 * MIB, "{grown} bytes");
    });
}
