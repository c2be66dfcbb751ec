// SPDX-License-Identifier: LGPL-2.1-or-later
//! The pid file: written, locked, named in a conflict, and taken away again.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::support::command::command;
use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, daemon_command, daemon_program,
    run_daemon,
};
use crate::support::namespace::{DIR, in_namespace};

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

#[test]
fn a_link_to_it_is_followed() {
    in_namespace(|| {
        symlink(format!("{DIR}/there.pid"), format!("{DIR}/link.pid")).unwrap();
        let daemon = Daemon::start_with(daemon_command().args(["-p", &format!("{DIR}/link.pid")]));
        let text = fs::read_to_string(format!("{DIR}/there.pid")).unwrap();
        assert_eq!(text.trim_end(), daemon.pid().to_string());
    });
}

#[test]
fn what_is_no_file_is_refused_and_left_where_it_is() {
    in_namespace(|| {
        let pipe = format!("{DIR}/pipe");
        command("mkfifo").arg(&pipe).status().unwrap();
        for path in ["/run", &pipe] {
            let output = run_daemon(&["-p", path]);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(output.stderr.contains(path) && Path::new(path).exists(), "{output:?}");
        }
        // As a device of the machine's own is too dear for a test, this one has no reader that
        // opening could wait for, and one that makes opening succeed.
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let output = run_daemon(&["-p", &pipe]);
        assert!(output.stderr.ends_with("is no file for a pid\n"), "{output:?}");
        assert!(Path::new(&pipe).exists());
    });
}

#[test]
fn modes_do_not_depend_on_the_mask_of_whoever_starts_the_daemon() {
    in_namespace(|| {
        let mut shell = command("sh");
        shell.args(["-c", "umask 077; exec \"$0\"", &daemon_program()]);
        let _daemon = Daemon::start_with(&mut shell);
        let mode = |path: &str| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode("/run/libvirt"), 0o755);
        assert_eq!(mode(PID_FILE), 0o644);
        assert_eq!(mode(READ_ONLY_SOCKET), 0o777);
    });
}
