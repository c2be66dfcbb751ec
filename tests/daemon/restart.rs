// SPDX-License-Identifier: LGPL-2.1-or-later
//! Daemons that run one after the other, and two at once.

use std::path::Path;

use crate::support::client::RawClient;
use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, daemon_command,
};
use crate::support::eventually;
use crate::support::namespace::in_namespace;

const LEFT_BY_NOBODY: [&str; 5] =
    [PID_FILE, SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET, "/run/libvirt/interface/virtinterfaced.pid"];

#[test]
fn fifty_restarts_in_a_row_leave_no_trace() {
    in_namespace(|| {
        for round in 0..50 {
            let daemon = Daemon::start();
            assert_eq!(RawClient::open().list_all(), ["lo"], "round {round}");
            // Every other daemon is killed, and the next one finds its files.
            if round % 2 == 0 {
                daemon.kill();
                assert!(Path::new(SOCKET).exists());
            } else {
                assert_eq!(daemon.stop().code(), Some(0), "round {round}");
                let left = LEFT_BY_NOBODY.iter().find(|path| Path::new(path).exists());
                assert_eq!(left, None, "round {round}");
            }
        }
    });
}

#[test]
fn of_two_starts_at_once_exactly_one_wins() {
    in_namespace(|| {
        for round in 0..100 {
            // With pid files of their own, they compete for the driver's lock.
            let other_pid_file = ["-p", "/run/test/other.pid"];
            let arguments = if round % 2 == 0 { &[][..] } else { &other_pid_file };
            let mut two = [
                Daemon::spawn(&mut daemon_command()),
                Daemon::spawn(daemon_command().args(arguments)),
            ];
            let mut lost = None;
            eventually("one of two ends", || {
                lost = two.iter_mut().position(|daemon| !daemon.is_running());
                lost.is_some()
            });
            let loser = lost.unwrap();
            assert_eq!(two[loser].wait().code(), Some(1), "round {round}");
            let winner = 1 - loser;
            let held = format!("is held by process {}: already running\n", two[winner].pid());
            let said = two[loser].stderr();
            // The winner may not have written its number yet, but the kernel knows it.
            assert!(said.ends_with(&held), "round {round}: {said}");
            two[winner].wait_for(SOCKET);
            assert_eq!(RawClient::open().list_all(), ["lo"], "round {round}");
            let [first, second] = two;
            let winner = if winner == 0 { first } else { second };
            assert_eq!(winner.stop().code(), Some(0), "round {round}");
        }
    });
}
