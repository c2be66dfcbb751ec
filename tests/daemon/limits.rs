// SPDX-License-Identifier: LGPL-2.1-or-later
//! More clients than the limits permit: they wait, none is refused, and all are served once others
//! leave.

use std::time::Duration;

use crate::support::client::RawClient;
use crate::support::command::command;
use crate::support::daemon::{ADMIN_SOCKET, Daemon, READ_ONLY_SOCKET, daemon_program};
use crate::support::namespace::in_namespace;
use crate::support::peer::has_news_within;
use crate::support::wire::{Arg, Head, Reply, procedure};
use crate::support::{PATIENCE, eventually};

/// How long a client must be unanswered to count as waiting.
const A_WHILE: Duration = Duration::from_millis(300);

/// Connects and calls, without waiting for an answer.
fn knock() -> RawClient {
    let mut client = RawClient::connect();
    client.send_call(procedure::AUTH_LIST, &[]);
    client
}

fn is_answered(reply: Option<Reply>) -> bool {
    let head = Head::call(procedure::AUTH_LIST, 1).reply(0);
    reply.is_some_and(|reply| reply.head == head)
}

/// Whether a client's call stays unanswered.
fn waits(client: &RawClient) -> bool {
    !has_news_within(&client.stream, A_WHILE)
}

#[test]
fn beyond_max_clients_connections_wait_and_are_served_later() {
    in_namespace(|| {
        let _daemon = Daemon::configured("max_clients = 25\nmax_anonymous_clients = 20\n");
        let mut inside: Vec<_> = (0..25).map(|_| knock()).collect();
        assert!(inside.iter_mut().all(|client| is_answered(client.receive())));
        let mut outside: Vec<_> = (0..5).map(|_| knock()).collect();
        assert!(outside.iter().all(waits));
        let mut reader = RawClient::connect_to(READ_ONLY_SOCKET).unwrap();
        reader.send_call(procedure::AUTH_LIST, &[]);
        assert!(waits(&reader), "both sockets share the limit");
        inside.truncate(19);
        assert!(outside.iter_mut().all(|client| is_answered(client.receive())));
        assert!(is_answered(reader.receive()));
    });
}

#[test]
fn a_full_house_does_not_lock_the_administrator_out() {
    in_namespace(|| {
        let _daemon = Daemon::configured("max_clients = 20\n");
        let mut inside: Vec<_> = (0..20).map(|_| knock()).collect();
        assert!(inside.iter_mut().all(|client| is_answered(client.receive())));
        let mut admins: Vec<_> =
            (0..3).map(|_| RawClient::connect_to(ADMIN_SOCKET).unwrap()).collect();
        for admin in &mut admins {
            assert_eq!(admin.call(procedure::AUTH_LIST, &[]).fault().code, 39);
        }
        inside.clear();
        let mut inside: Vec<_> = (0..20).map(|_| knock()).collect();
        assert!(inside.iter_mut().all(|client| is_answered(client.receive())));
    });
}

#[test]
fn admins_beyond_their_own_limit_wait() {
    in_namespace(|| {
        let _daemon = Daemon::configured("admin_max_clients = 1\n");
        let mut first = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        assert_eq!(first.call(procedure::AUTH_LIST, &[]).fault().code, 39);
        let mut second = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        second.send_call(procedure::AUTH_LIST, &[]);
        assert!(waits(&second));
        assert!(is_answered(knock().receive()), "others are served");
        first.hang_up();
        assert_eq!(second.receive().unwrap().fault().code, 39);
    });
}

#[test]
fn a_crowd_leaves_descriptors_to_administrators_and_to_changes() {
    in_namespace(|| {
        let mut limited = command("prlimit");
        limited.args(["--nofile=256:256", &daemon_program()]);
        let daemon = Daemon::start_with(&mut limited);
        eventually("a word of it", || {
            daemon.stderr().contains("the limit of open files has room for 96 clients")
        });
        let mut changing = RawClient::open();
        let mut inside: Vec<_> = (1..96).map(|_| knock()).collect();
        assert!(inside.iter_mut().all(|client| is_answered(client.receive())));
        let outside: Vec<_> = (0..5).map(|_| knock()).collect();
        assert!(outside.iter().all(waits));
        let mut admins: Vec<_> =
            (0..32).map(|_| RawClient::connect_to(ADMIN_SOCKET).unwrap()).collect();
        for admin in &mut admins {
            assert_eq!(admin.call(procedure::AUTH_LIST, &[]).fault().code, 39);
        }
        let mut late = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        late.send_call(procedure::AUTH_LIST, &[]);
        assert!(waits(&late));
        assert!(daemon.descriptor_count() <= 256 / 2 + 21, "{}", daemon.descriptor_count());
        for what in [procedure::INTERFACE_CHANGE_BEGIN, procedure::INTERFACE_CHANGE_ROLLBACK] {
            assert_eq!(changing.call(what, &[Arg::Word(0)]).head.status, 0, "{what}");
        }
        assert!(!daemon.stderr().contains("accepting again in"), "{}", daemon.stderr());
    });
}

/// Limits the daemon's descriptors by the hard limit, to which the daemon raises its soft one. They
/// are too few to reserve any.
#[test]
fn without_descriptors_it_goes_on_and_recovers_when_some_are_free_again() {
    in_namespace(|| {
        let mut limited = command("prlimit");
        limited.args(["--nofile=24:24", &daemon_program()]);
        let daemon = Daemon::start_with(&mut limited);
        let mut crowd: Vec<_> = (0..60).map(|_| knock()).collect();
        eventually("descriptors run out", || daemon.stderr().contains("accepting again in"));
        // All that can be served are served in one turn.
        assert!(has_news_within(&crowd[0].stream, PATIENCE));
        let served = crowd.iter().position(waits).expect("not all can be served");
        assert!((1..24).contains(&served), "{served} were served");
        let mut later = crowd.split_off(served);
        assert!(crowd.iter_mut().all(|client| is_answered(client.receive())));
        drop(crowd);
        while !later.is_empty() {
            let count = served.min(later.len());
            let now: Vec<_> = later.drain(..count).collect();
            assert!(now.into_iter().all(|mut client| is_answered(client.receive())));
        }
        assert_eq!(daemon.stop().code(), Some(0));
    });
}
