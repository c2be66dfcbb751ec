// SPDX-License-Identifier: LGPL-2.1-or-later
//! Signals at every moment: during the start, during a call, while a client does not read, during
//! the stop.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch};
use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, daemon_command, daemon_program,
};
use crate::support::namespace::in_namespace;
use crate::support::wire::{OK, procedure};
use crate::support::{assert_takes_less_than, eventually};

const STOPPING: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT];

/// Enough links, and enough lists of them, to fill a socket.
const LINK_PAIR_COUNT: usize = 700;
const LIST_COUNT: usize = 8;

const FILES: [&str; 5] =
    [PID_FILE, SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET, "/run/libvirt/interface/virtinterfaced.pid"];

#[track_caller]
fn assert_nothing_is_left(label: &str) {
    let left: Vec<_> = FILES.iter().filter(|path| Path::new(path).exists()).collect();
    assert!(left.is_empty(), "{label}: {left:?}");
}

/// A daemon that stops, except that one client's socket is full of replies which the client does
/// not read.
fn stopping_daemon_and_deaf_client() -> (Daemon, RawClient) {
    let line = |number| format!("link add left{number} type veth peer name right{number}\n");
    // An earlier round may have added the links.
    if !Path::new("/proc/sys/net/ipv4/conf/left0").exists() {
        ip_batch(&(0..LINK_PAIR_COUNT).map(line).collect::<String>());
    }
    let daemon = Daemon::start();
    let mut client = RawClient::open();
    // Five replies of more than 60,000 bytes are in flight at a time, and the socket holds 200,000.
    (0..LIST_COUNT).for_each(|_| client.send_list(0));
    thread::sleep(Duration::from_millis(300));
    daemon.signal(libc::SIGTERM);
    eventually("the sockets are gone", || !Path::new(SOCKET).exists());
    (daemon, client)
}

#[test]
fn a_stopping_signal_at_any_moment_of_the_start_leaves_nothing() {
    in_namespace(|| {
        for (round, signal) in STOPPING.iter().cycle().take(60).enumerate() {
            let mut daemon = Daemon::spawn(&mut daemon_command());
            thread::sleep(Duration::from_micros(100 * u64::try_from(round).unwrap()));
            daemon.signal(*signal);
            let status = daemon.wait();
            // Before its first instruction a process has no handler, and nothing to clean up.
            let label = format!("{signal} after {round}00 us: {status}");
            assert!(status.success() || status.code().is_none(), "{label}\n{}", daemon.stderr());
            assert_nothing_is_left(&label);
        }
    });
}

#[test]
fn a_hangup_while_it_starts_does_not_end_it() {
    in_namespace(|| {
        for delay in [0, 1, 2, 3, 5, 8] {
            let mut daemon = Daemon::spawn(daemon_command().arg("-v"));
            // Before its first instruction a process has no handler, for a time that depends on the
            // machine.
            daemon.wait_for_handler(libc::SIGHUP);
            thread::sleep(Duration::from_millis(delay));
            daemon.signal(libc::SIGHUP);
            daemon.wait_for(SOCKET);
            eventually("a reload", || daemon.stderr().contains("configuration reloaded"));
            assert_eq!(daemon.stop().code(), Some(0), "{delay} ms");
        }
    });
}

#[test]
fn a_mask_that_was_inherited_does_not_make_it_deaf() {
    in_namespace(|| {
        for signal in STOPPING {
            let mut deaf = command("env");
            deaf.args(["--block-signal", &daemon_program()]);
            let mut daemon = Daemon::start_with(&mut deaf);
            daemon.signal(signal);
            assert_eq!(daemon.wait().code(), Some(0), "{signal}");
        }
    });
}

#[test]
fn calls_that_were_made_before_the_signal_are_answered() {
    in_namespace(|| {
        for signal in STOPPING.iter().cycle().take(30) {
            let mut daemon = Daemon::start();
            let mut client = RawClient::open();
            for _ in 0..3 {
                client.send_call(procedure::AUTH_LIST, &[]);
            }
            daemon.signal(*signal);
            for _ in 0..3 {
                let reply = client.receive().expect("a call is answered");
                assert_eq!((reply.head.procedure, reply.head.status), (procedure::AUTH_LIST, OK));
            }
            assert_eq!(client.receive(), None);
            assert_eq!(daemon.wait().code(), Some(0));
            assert_nothing_is_left("in a call");
        }
    });
}

#[test]
fn no_client_is_accepted_once_it_stops() {
    in_namespace(|| {
        let (mut daemon, deaf) = stopping_daemon_and_deaf_client();
        assert!(RawClient::connect_to(SOCKET).is_err());
        assert!(daemon.is_running(), "it waits for the client that does not read");
        drop(deaf);
        assert_eq!(daemon.wait().code(), Some(0));
    });
}

#[test]
fn a_client_that_does_not_read_holds_it_for_less_than_five_seconds() {
    in_namespace(|| {
        assert_takes_less_than(Duration::from_secs(5), || {
            let (mut daemon, _deaf) = stopping_daemon_and_deaf_client();
            let start = Instant::now();
            assert_eq!(daemon.wait().code(), Some(0));
            let elapsed = start.elapsed();
            assert_nothing_is_left("a deaf client");
            elapsed
        });
    });
}

#[test]
fn a_client_that_reads_at_last_gets_all_it_is_owed() {
    in_namespace(|| {
        let (mut daemon, mut deaf) = stopping_daemon_and_deaf_client();
        for _ in 0..LIST_COUNT {
            assert_eq!(deaf.receive_list().len(), 2 * LINK_PAIR_COUNT + 1);
        }
        assert_eq!(deaf.receive(), None);
        assert_eq!(daemon.wait().code(), Some(0));
    });
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for second in STOPPING {
        in_namespace(move || {
            let (mut daemon, _deaf) = stopping_daemon_and_deaf_client();
            assert!(daemon.is_running());
            let start = Instant::now();
            daemon.signal(second);
            assert_eq!(daemon.wait().code(), Some(0), "{second}");
            assert!(start.elapsed() < Duration::from_secs(2), "{second}: {:?}", start.elapsed());
            assert_nothing_is_left("twice");
        });
    }
}

#[test]
fn a_hangup_during_the_stop_changes_nothing() {
    in_namespace(|| {
        let (mut daemon, deaf) = stopping_daemon_and_deaf_client();
        daemon.signal(libc::SIGHUP);
        daemon.signal(libc::SIGPIPE);
        thread::sleep(Duration::from_millis(200));
        assert!(daemon.is_running());
        drop(deaf);
        assert_eq!(daemon.wait().code(), Some(0));
    });
}
