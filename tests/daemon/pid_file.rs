// SPDX-License-Identifier: LGPL-2.1-or-later
//! The pid file: written, locked, named in a conflict, and taken away again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, run_daemon,
};
use crate::support::namespace::in_namespace;

#[test]
fn it_holds_the_number_and_is_for_all_to_read() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let text = fs::read_to_string(PID_FILE).unwrap();
        assert_eq!(text.trim_end(), daemon.pid().to_string());
        assert_eq!(fs::metadata(PID_FILE).unwrap().mode() & 0o777, 0o644);
    });
}

#[test]
fn after_sigterm_sigint_and_sigquit_nothing_is_left() {
    in_namespace(|| {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
            let mut daemon = Daemon::start();
            daemon.signal(signal);
            assert_eq!(daemon.wait().code(), Some(0), "{signal}");
            let driver_lock = "/run/libvirt/interface/driver.pid";
            for path in [PID_FILE, SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET, driver_lock] {
                assert!(!Path::new(path).exists(), "signal {signal} left {path}");
            }
        }
    });
}

#[test]
fn a_conflict_names_the_file_and_its_holder() {
    in_namespace(|| {
        let first = Daemon::start();
        let output = run_daemon(&[]);
        let want = format!(
            "virtinterfaced: {PID_FILE} is held by process {}: already running\n",
            first.pid()
        );
        assert_eq!((output.stderr, output.status.code()), (want, Some(1)));
        assert_eq!(fs::read_to_string(PID_FILE).unwrap().trim_end(), first.pid().to_string());
    });
}

#[test]
fn a_stale_one_is_taken_over_however_long_its_text_is() {
    in_namespace(|| {
        fs::write(PID_FILE, "4194304 and much more that is older").unwrap();
        let daemon = Daemon::start();
        let text = fs::read_to_string(PID_FILE).unwrap();
        assert_eq!(text.trim_end(), daemon.pid().to_string());
    });
}

#[test]
fn a_folder_that_does_not_exist_ends_the_start() {
    in_namespace(|| {
        let output = run_daemon(&["-p", "/run/nosuch/a.pid"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.contains("/run/nosuch/a.pid: No such file"), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    });
}
