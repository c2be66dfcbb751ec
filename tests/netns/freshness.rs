// SPDX-License-Identifier: LGPL-2.1-or-later
//! A call that follows a change sees it: at once and completely, even if the event socket lost
//! events.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::scene::{fact, shown};
use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::{Daemon, daemon_command};
use crate::support::link::{State, Switch, Tunnel};
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, procedure};
use crate::support::{StopOnDrop, eventually, meanwhile};
use crate::transaction::{begin, roll_back};

/// `VIR_CONNECT_LIST_INTERFACES_ACTIVE`.
const ACTIVE: u32 = 2;

/// How many names of 127 characters the kernel accepts for one link.
const ALTNAME_COUNT: usize = 496;

#[test]
fn a_thousand_changes_of_state_are_each_seen_by_the_next_call() {
    in_namespace(|| {
        ip("link add veth0 type veth peer name veth1");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let switch = Switch::new();
        for round in 0..500 {
            switch.set("veth0", State::Up);
            assert_eq!(client.list(ACTIVE), ["lo", "veth0"], "up in round {round}");
            switch.set("veth0", State::Down);
            assert_eq!(client.list(ACTIVE), ["lo"], "down in round {round}");
        }
    });
}

/// The change is made while the daemon handles the first call, with others waiting: the table from
/// the beginning of that turn is too old for the second.
#[test]
fn a_change_between_two_calls_of_one_turn_is_seen_by_the_second() {
    in_namespace(|| {
        ip("link add veth0 type veth peer name veth1");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let switch = Switch::new();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut busy = RawClient::open();
                    while !stop.load(Ordering::Relaxed) {
                        busy.list_all();
                    }
                });
            }
            for round in 0..1_000 {
                let (state, want) = match round % 2 {
                    0 => (State::Up, &["lo", "veth0"][..]),
                    _ => (State::Down, &["lo"][..]),
                };
                client.send_list(ACTIVE);
                switch.set("veth0", state);
                client.send_list(ACTIVE);
                client.receive_list();
                assert_eq!(client.receive_list(), want, "{state:?} in round {round}");
            }
        });
    });
}

#[test]
fn a_hundred_new_and_removed_links_are_each_seen_by_the_next_call() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for round in 0..50 {
            ip("link add br0 mtu 1300 type bridge");
            assert_eq!(client.list_all(), ["br0", "lo"], "added in round {round}");
            assert!(client.xml("br0").contains("<mtu size='1300'/>"), "round {round}");
            ip("link set br0 name br1");
            assert_eq!(client.list_all(), ["br1", "lo"], "renamed in round {round}");
            ip("address add 192.0.2.1/24 dev br1");
            assert!(client.xml("br1").contains("address='192.0.2.1'"), "round {round}");
            ip("link del br1");
            assert_eq!(client.list_all(), ["lo"], "removed in round {round}");
        }
    });
}

#[test]
fn a_tap_that_dies_with_its_owner_is_gone_from_the_next_call() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for round in 0..50 {
            let tap = Tunnel::tap("tap0");
            assert!(client.xml("tap0").contains("name='tap0'"), "round {round}");
            drop(tap);
            // Programs that other tests have just forked may hold the tap for a moment.
            eventually("the tap goes", || !Path::new("/sys/class/net/tap0").exists());
            let reply = client.call(procedure::INTERFACE_LOOKUP_BY_NAME, &[Arg::Text("tap0")]);
            assert_eq!(reply.fault().code, 57, "round {round}");
        }
    });
}

/// While the daemon is stopped, the kernel sends more events than its socket can hold.
#[test]
fn news_that_the_event_socket_lost_is_found_by_a_new_dump() {
    const LOSS: &str = "events were lost";
    in_namespace(|| {
        ip("link add veth0 type veth peer name veth1");
        let daemon = Daemon::start_with(daemon_command().env("LIBVIRT_DEBUG", "1"));
        let mut client = RawClient::open();
        assert_eq!(client.list_all(), ["lo", "veth0", "veth1"]);
        daemon.signal(libc::SIGSTOP);
        let switch = Switch::new();
        for _ in 0..10_000 {
            switch.set("veth0", State::Up);
            switch.set("veth0", State::Down);
        }
        ip_batch("link add br0 type bridge\naddress add 192.0.2.1/24 dev br0\nlink del veth0\n");
        assert!(!daemon.stderr().contains(LOSS));
        daemon.signal(libc::SIGCONT);
        assert_eq!(client.list_all(), ["br0", "lo"]);
        assert!(client.xml("br0").contains("address='192.0.2.1'"));
        assert!(daemon.stderr().contains(LOSS), "the event socket never overflowed");
    });
}

#[test]
fn four_thousand_links_are_listed_as_they_are() {
    const COUNT: usize = 4_000;
    in_namespace(|| {
        let mut lines = String::new();
        for number in 0..COUNT / 2 {
            writeln!(lines, "link add a{number} type veth peer name b{number}").unwrap();
        }
        ip_batch(&lines);
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let want: Vec<_> = shown("").into_iter().map(|link| link.name).collect();
        assert_eq!(want.len(), COUNT + 1);
        assert_eq!(client.list_all(), want);
        ip("link set a0 up");
        assert_eq!(client.list(ACTIVE), ["a0", "lo"]);
        ip("link del a7");
        assert_eq!(client.list_all().len(), COUNT - 1);
    });
}

/// Calls wait until pending events are read, but events never stop coming.
#[test]
fn a_kernel_that_never_stops_telling_does_not_silence_the_daemon() {
    in_namespace(|| {
        ip("link add veth0 type veth peer name veth1");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let switch = Switch::new();
        let flap = || {
            switch.set("veth0", State::Up);
            switch.set("veth0", State::Down);
        };
        meanwhile(flap, || {
            for _ in 0..500 {
                assert_eq!(client.list_all(), ["lo", "veth0", "veth1"]);
            }
        });
        assert_eq!(client.list(ACTIVE), ["lo"]);
    });
}

/// Every list shows the state at one moment: of two links that exist in turn, exactly one is
/// listed.
#[test]
fn a_list_is_never_half_of_a_change() {
    in_namespace(|| {
        ip("link add ping type bridge");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let batch = "link set ping name pong\nlink set pong name ping\n".repeat(50);
        meanwhile(
            || ip_batch(&batch),
            || {
                for _ in 0..2_000 {
                    let list = client.list_all();
                    assert!(list == ["lo", "ping"] || list == ["lo", "pong"], "{list:?}");
                }
            },
        );
    });
}

/// Its messages exceed 64 KiB, and each new name causes another one.
#[test]
fn a_link_with_as_many_names_as_it_can_have_is_a_link_like_others() {
    in_namespace(|| {
        ip_batch("link add veth0 type veth peer name veth1\nlink add br0 type bridge\n");
        let daemon = Daemon::start();
        let mut client = RawClient::open();
        let mut names = String::new();
        for number in 0..ALTNAME_COUNT {
            writeln!(names, "link property add dev br0 altname n{number:0126}").unwrap();
        }
        ip_batch(&names);
        assert_eq!(client.list_all(), ["br0", "lo", "veth0", "veth1"]);
        ip("link set br0 mtu 1400");
        assert!(client.xml("br0").contains("<mtu size='1400'/>"));
        // A link that is down is queried by a dump.
        begin();
        ip_batch("link set br0 mtu 1300\nlink set veth0 up\n");
        roll_back();
        assert_eq!(fact("br0", "mtu"), "1400");
        daemon.stop();
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        assert_eq!(client.list_all(), ["br0", "lo", "veth0", "veth1"]);
    });
}
