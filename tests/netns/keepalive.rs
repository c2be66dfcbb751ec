// SPDX-License-Identifier: LGPL-2.1-or-later
//! Clients that fall silent, and a daemon that does.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::RawClient;
use crate::support::daemon::Daemon;
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, Head, OK, PING, PONG, procedure};

/// `VIR_DRV_FEATURE_PROGRAM_KEEPALIVE`.
const FEATURE_KEEPALIVE: u32 = 10;

const EVERY_SECOND: &str = "keepalive_interval = 1\nkeepalive_count = 2\n";

fn ask_for_keepalive() -> RawClient {
    let mut client = RawClient::connect();
    let arguments = [Arg::Word(FEATURE_KEEPALIVE)];
    let reply = client.call(procedure::CONNECT_SUPPORTS_FEATURE, &arguments);
    assert_eq!(reply.results().word(), 1);
    client
}

#[test]
fn a_silent_client_is_pinged_twice_and_closed() {
    in_namespace(|| {
        let _daemon = Daemon::configured(EVERY_SECOND);
        let start = Instant::now();
        let mut client = ask_for_keepalive();
        for _ in 0..2 {
            assert_eq!(client.receive().unwrap().head, Head::keepalive(PING));
        }
        assert_eq!(client.receive(), None);
        assert!(start.elapsed() >= Duration::from_secs(3), "closed too early");
    });
}

#[test]
fn a_client_that_answers_stays() {
    in_namespace(|| {
        let _daemon = Daemon::configured(EVERY_SECOND);
        let mut client = ask_for_keepalive();
        for _ in 0..5 {
            assert_eq!(client.receive().unwrap().head, Head::keepalive(PING));
            client.send(&Head::keepalive(PONG).frame(&[]));
        }
        // Another ping may come before the answer.
        let call = client.send_call(procedure::AUTH_LIST, &[]);
        let mut next = || client.receive().unwrap().head;
        let head = std::iter::repeat_with(&mut next).find(|head| *head != Head::keepalive(PING));
        assert_eq!(head, Some(call.reply(OK)));
    });
}

#[test]
fn a_client_that_never_asked_is_never_pinged() {
    in_namespace(|| {
        let _daemon = Daemon::configured(EVERY_SECOND);
        let mut client = RawClient::open();
        thread::sleep(Duration::from_secs(4));
        // The very next message is the reply, so no ping came before it.
        assert_eq!(client.list_all(), ["lo"]);
    });
}

#[test]
fn without_an_interval_no_client_is_pinged() {
    in_namespace(|| {
        let _daemon = Daemon::configured("keepalive_interval = -1\nkeepalive_count = 0\n");
        let mut client = ask_for_keepalive();
        thread::sleep(Duration::from_secs(2));
        client.call_open();
    });
}

#[test]
fn a_daemon_with_nothing_to_do_sleeps() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let _silent = RawClient::open();
        // Earlier work may make it wake once more.
        thread::sleep(Duration::from_secs(1));
        let before = daemon.switch_count();
        thread::sleep(Duration::from_secs(2));
        assert_eq!(daemon.switch_count(), before);
    });
}
