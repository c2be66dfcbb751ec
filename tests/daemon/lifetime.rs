// SPDX-License-Identifier: LGPL-2.1-or-later
//! How long the daemon runs.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::assert_takes_less_than;
use crate::support::client::RawClient;
use crate::support::daemon::{ADMIN_SOCKET, Daemon, READ_ONLY_SOCKET, SOCKET, daemon_command};
use crate::support::namespace::in_namespace;

fn start_with_timeout(seconds: &str) -> Daemon {
    Daemon::start_with(daemon_command().args(["--timeout", seconds]))
}

#[test]
fn timeout_ends_it_after_that_long_without_clients_and_not_before() {
    in_namespace(|| {
        // The daemon needs two seconds; the rest is for slow machines.
        assert_takes_less_than(Duration::from_secs(5), || {
            let start = Instant::now();
            let mut daemon = start_with_timeout("2");
            assert_eq!(daemon.wait().code(), Some(0));
            let elapsed = start.elapsed();
            assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
            elapsed
        });
    });
}

#[test]
fn any_client_at_any_socket_keeps_it() {
    in_namespace(|| {
        for path in [SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET] {
            assert_takes_less_than(Duration::from_secs(5), || {
                let mut daemon = start_with_timeout("2");
                let silent = RawClient::connect_to(path).unwrap();
                thread::sleep(Duration::from_millis(3_500));
                assert!(daemon.is_running(), "{path}");
                let departure = Instant::now();
                drop(silent);
                assert_eq!(daemon.wait().code(), Some(0), "{path}");
                let elapsed = departure.elapsed();
                assert!(elapsed >= Duration::from_millis(1_990), "{path}: {elapsed:?}");
                elapsed
            });
        }
    });
}

#[test]
fn a_timeout_of_zero_is_none() {
    in_namespace(|| {
        let mut daemon = start_with_timeout("0");
        thread::sleep(Duration::from_millis(1_500));
        assert!(daemon.is_running());
    });
}

#[test]
fn sighup_and_sigpipe_do_not_end_it() {
    in_namespace(|| {
        let mut daemon = Daemon::start();
        for signal in [libc::SIGHUP, libc::SIGPIPE] {
            daemon.signal(signal);
            assert_eq!(RawClient::open().list_all(), ["lo"], "{signal}");
        }
        assert!(daemon.is_running());
    });
}

#[test]
fn clients_are_dropped_when_it_is_stopped() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let mut client = RawClient::open();
        assert_eq!(daemon.stop().code(), Some(0));
        assert_eq!(client.receive(), None);
    });
}
