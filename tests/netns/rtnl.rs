// SPDX-License-Identifier: LGPL-2.1-or-later
//! Queries while the kernel's lock for network devices (RTNL) is busy: a network namespace with
//! many bridges is removed, and the kernel needs time to delete them.
//!
//! The order of events, not a duration, shows that calls are answered meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::scene::fact;
use crate::support::client::RawClient;
use crate::support::command::{command, ip, ip_batch, run, run_with_input};
use crate::support::daemon::Daemon;
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, OK, procedure};
use crate::support::{PATIENCE, StopOnDrop, eventually};

/// The kernel takes about twenty milliseconds for each.
const BRIDGE_COUNT: usize = 30;

/// The minimum number of rounds of calls that are answered while another process waits for the
/// lock.
const ROUND_COUNT: usize = 5;

/// How many times the lock is taken during changes: each time it may meet another kind of change.
const JAM_COUNT: usize = 4;

/// A longer wait shows that the lock was busy.
const JAM_TIME_MIN: Duration = Duration::from_millis(200);

#[test]
fn queries_do_not_wait_for_the_kernels_lock() {
    in_namespace(|| {
        ip_batch(
            "link add eth0 type veth peer name far0\nlink set eth0 up\nlink set far0 up\n\
             link add br0 type bridge\n",
        );
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        eventually("the speed", || client.xml("eth0").contains("speed='10000'"));
        eventually("the other end", || fact("far0", "operstate") == "up");
        let mut other = RawClient::open();
        let jam = jammed(
            || {
                assert_eq!(client.list_all(), ["br0", "eth0", "far0", "lo"]);
                let found = client.call(procedure::INTERFACE_LOOKUP_BY_NAME, &[Arg::Text("br0")]);
                assert_eq!(found.head.status, OK);
                assert!(client.xml("eth0").contains("speed='10000'"), "it is known");
                // The link is down, so it changes without an event.
                assert!(client.xml("br0").contains("<bridge stp='off' delay='15'>"));
            },
            // Querying a link takes the lock.
            || drop(ip("link show lo")),
            // The speed of this link is not known yet: only the client that asks for it waits.
            || assert!(other.xml("far0").contains("<link speed='10000' state='up'/>")),
        );
        assert!(jam.rounds >= ROUND_COUNT, "calls while the lock was taken: {jam:?}");
    });
}

#[test]
fn queries_do_not_wait_for_a_change_that_waits() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let mut other = RawClient::open();
        let defined = other.call(
            procedure::INTERFACE_DEFINE_XML,
            &[Arg::Text("<interface type='bridge' name='br7'><bridge/></interface>"), Arg::Word(0)],
        );
        assert_eq!(defined.head.status, OK);
        let br7 = [Arg::Text("br7"), Arg::Text(""), Arg::Word(0)];
        // A call that dumps the whole host, one that creates a link, one that queries and sets a
        // few links, and a rollback.
        let mut changes = [
            (procedure::INTERFACE_CHANGE_BEGIN, &br7[2..]),
            (procedure::INTERFACE_CREATE, &br7[..]),
            (procedure::INTERFACE_DESTROY, &br7[..]),
            (procedure::INTERFACE_CHANGE_ROLLBACK, &br7[2..]),
        ]
        .into_iter()
        .cycle();
        for _ in 0..JAM_COUNT {
            let change = || {
                let (procedure, arguments) = changes.next().unwrap();
                assert_eq!(other.call(procedure, arguments).head.status, OK, "{procedure}");
            };
            let jam = jammed(|| drop(client.list_all()), change, || {});
            assert!(jam.longest < jam.time / 2, "a query waited as long as the change: {jam:?}");
        }
    });
}

#[test]
fn a_killed_messenger_process_is_replaced() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let mut client = RawClient::open();
        assert_eq!(messenger_of(&daemon), None, "no change was made");
        let mut last = None;
        for _ in 0..5 {
            for change in [procedure::INTERFACE_CHANGE_BEGIN, procedure::INTERFACE_CHANGE_COMMIT] {
                assert_eq!(client.call(change, &[Arg::Word(0)]).head.status, OK);
            }
            let messenger = messenger_of(&daemon).unwrap();
            assert_ne!(Some(messenger), last);
            run(command("kill").args(["-KILL", &messenger.to_string()])).ok();
            eventually("its end", || messenger_of(&daemon).is_none());
            last = Some(messenger);
        }
    });
}

/// The process that queries the kernel for changes, if it runs.
fn messenger_of(daemon: &Daemon) -> Option<u32> {
    let pid = daemon.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let is_messenger = |child: &u32| {
        let comm = fs::read_to_string(format!("/proc/{child}/comm"));
        comm.is_ok_and(|comm| comm == "virt-messenger\n")
    };
    children.split_whitespace().map(|child| child.parse().unwrap()).find(is_messenger)
}

/// Links whose speed is not cached. A call about one waits for the lock.
const UNKNOWN_COUNT: usize = 80;

/// A client describes a link and lists all without waiting for the description. The daemon must let the list
/// overtake a description that waits for the lock, and then reply to that.
#[test]
fn a_call_that_waits_is_overtaken_by_the_next_of_its_client() {
    in_namespace(|| {
        let mut links = String::new();
        for at in 0..UNKNOWN_COUNT {
            writeln!(links, "link add eth{at} type veth peer name far{at}").unwrap();
            writeln!(links, "link set eth{at} up\nlink set far{at} up").unwrap();
        }
        ip_batch(&links);
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let last = format!("far{}", UNKNOWN_COUNT - 1);
        eventually("all links", || fact(&last, "operstate") == "up");
        let (mut pair, mut leaver) = (RawClient::open(), RawClient::open());
        let overtaken = AtomicUsize::new(0);
        let xml_of = |client: &mut RawClient, link: &str| {
            let arguments = [Arg::Text(link), Arg::Text(""), Arg::Word(0)];
            client.send_call(procedure::INTERFACE_GET_XML_DESC, &arguments).serial
        };
        jammed(
            || drop(client.list_all()),
            || drop(ip("link show lo")),
            || {
                for at in 1..UNKNOWN_COUNT {
                    let described = xml_of(&mut pair, &format!("eth{at}"));
                    let listed = pair.send_call(procedure::CONNECT_NUM_OF_INTERFACES, &[]).serial;
                    let replies = [(); 2].map(|()| pair.receive().unwrap());
                    assert!(replies.iter().all(|reply| reply.head.status == OK));
                    let serials = replies.map(|reply| reply.head.serial);
                    match serials == [listed, described] {
                        true => drop(overtaken.fetch_add(1, Ordering::SeqCst)),
                        false => assert_eq!(serials, [described, listed]),
                    }
                    if at == 1 {
                        // It leaves with as many calls open as it may have.
                        for _ in 0..5 {
                            xml_of(&mut leaver, "eth0");
                        }
                        leaver.hang_up();
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            },
        );
        assert!(overtaken.load(Ordering::SeqCst) > 0, "the lock was not taken");
        assert!(pair.xml("eth0").contains("speed='10000'"), "it is known in the end");
    });
}

#[test]
fn a_speed_is_asked_for_again_when_there_is_news_of_the_link() {
    in_namespace(|| {
        ip_batch("link add eth0 type veth peer name far0\nlink set eth0 up\nlink set far0 up\n");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for _ in 0..20 {
            eventually("the speed", || {
                client.xml("eth0").contains("<link speed='10000' state='up'/>")
            });
            ip("link set far0 down");
            eventually("no speed", || !client.xml("eth0").contains("speed="));
            ip("link set far0 up");
        }
    });
}

/// Measurements while the lock was busy.
#[derive(Debug)]
struct Jam {
    /// How long `waiting` waited for the lock.
    time: Duration,
    /// How many times the action ran meanwhile, and its longest time, including the moments before.
    rounds: usize,
    longest: Duration,
}

/// Runs `action` repeatedly and `other` once, while the kernel deletes a namespace with bridges,
/// until `waiting`, which takes the lock, has waited for it.
fn jammed(
    mut action: impl FnMut(),
    mut waiting: impl FnMut() + Send,
    other: impl FnOnce() + Send,
) -> Jam {
    ip("netns add jam");
    let mut bridges = String::new();
    (0..BRIDGE_COUNT).for_each(|at| writeln!(bridges, "link add b{at} type bridge").unwrap());
    run_with_input(command("ip").args(["-netns", "jam", "-batch", "-"]), &bridges).ok();
    ip("netns del jam");
    let (count, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let deadline = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let _over = StopOnDrop(&is_over);
            while Instant::now() < deadline {
                let (begin, since) = (count.load(Ordering::SeqCst), Instant::now());
                waiting();
                let time = since.elapsed();
                if time > JAM_TIME_MIN {
                    return (time, count.load(Ordering::SeqCst) - begin);
                }
            }
            panic!("the lock was never busy");
        });
        scope.spawn(other);
        let mut longest = Duration::ZERO;
        while !is_over.load(Ordering::SeqCst) {
            let since = Instant::now();
            action();
            longest = longest.max(since.elapsed());
            count.fetch_add(1, Ordering::SeqCst);
        }
        let (time, rounds) = waits.join().unwrap();
        Jam { time, rounds, longest }
    })
}
