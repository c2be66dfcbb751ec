// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the command line leads to.

use std::path::Path;

use crate::support::client::RawClient;
use crate::support::command::run;
use crate::support::daemon::{Daemon, PID_FILE, SOCKET, daemon_command, run_daemon};
use crate::support::namespace::in_namespace;
use crate::support::wire::procedure;

#[test]
fn version_is_the_line_that_scripts_look_for() {
    for option in ["--version", "-V"] {
        let output = run_daemon(&[option]);
        assert_eq!(output.stderr, "", "{option}");
        assert_eq!(output.ok(), "virtinterfaced (libvirt) 11.0.0\n", "{option}");
    }
}

#[test]
fn help_names_every_option_and_file() {
    in_namespace(|| {
        for option in ["--help", "-h"] {
            let output = run_daemon(&[option]);
            assert!(output.status.success(), "{output:?}");
            assert!(output.stderr.starts_with("Usage: virtinterfaced "), "{output:?}");
            for word in [
                "--help",
                "--verbose",
                "--daemon",
                "--timeout",
                "--config",
                "--pid-file",
                "--version",
                "/etc/libvirt/virtinterfaced.conf",
                SOCKET,
                PID_FILE,
            ] {
                assert!(output.stderr.contains(word), "{word} is not in {output:?}");
            }
        }
    });
}

#[test]
fn wrong_usage_is_one_line_and_exit_status_1() {
    const CASES: [(&str, &[&str]); 9] = [
        ("unknown long option", &["--listen"]),
        ("unknown short option", &["-l"]),
        ("left-over argument", &["rubbish"]),
        ("timeout without a number", &["--timeout"]),
        ("timeout that is no number", &["--timeout=soon"]),
        ("negative timeout", &["-t", "-1"]),
        ("timeout over the limit", &["-t", "2147484"]),
        ("config without a file", &["-f"]),
        ("an option twice", &["-p", "a", "-p", "b"]),
    ];
    in_namespace(|| {
        for (label, arguments) in CASES {
            assert_refused(label, arguments, &["virtinterfaced: ", "--help"], 1);
        }
    });
}

#[test]
fn a_configuration_file_that_is_asked_for_must_be_there() {
    in_namespace(|| {
        let missing = "/run/test/missing.conf";
        assert_refused("missing", &["-f", missing], &[missing, "No such file"], 1);
        assert_refused("a folder", &["-f", "/run/test"], &["/run/test", "Is a directory"], 1);
        assert_refused("no end", &["-f", "/dev/zero"], &["/dev/zero", "too large"], 1);
    });
}

#[test]
fn options_are_taken_in_both_forms() {
    in_namespace(|| {
        for arguments in [
            &["-v", "-p", "/run/test/a.pid", "-t", "600"][..],
            &["--verbose", "--pid-file=/run/test/a.pid", "--timeout=600"],
            &["-vp/run/test/a.pid", "-t600"],
        ] {
            let daemon = Daemon::start_with(daemon_command().args(arguments));
            assert!(Path::new("/run/test/a.pid").exists(), "{arguments:?}");
            assert!(!Path::new(PID_FILE).exists(), "{arguments:?}");
            assert!(daemon.stderr().contains(": info : "), "{arguments:?}");
            assert_eq!(daemon.stop().code(), Some(0), "{arguments:?}");
        }
    });
}

#[test]
fn the_environment_sets_the_log_level() {
    in_namespace(|| {
        for (value, wanted) in [("1", ": debug : "), ("debug", ": debug : "), ("2", ": info : ")] {
            let daemon = Daemon::start_with(daemon_command().env("LIBVIRT_DEBUG", value));
            RawClient::connect().call(procedure::CONNECT_OPEN, &[]);
            assert!(daemon.stderr().contains(wanted), "{value}: {}", daemon.stderr());
            daemon.stop();
        }
        let output = run(daemon_command().env("LIBVIRT_DEBUG", "loud"));
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.contains("'loud' is invalid"), "{output:?}");
    });
}

/// Asserts that the daemon ends with `status` and one line that has all these words.
#[track_caller]
fn assert_refused(label: &str, arguments: &[&str], words: &[&str], status: i32) {
    let output = run_daemon(arguments);
    assert_eq!(output.status.code(), Some(status), "{label}: {output:?}");
    let words_are_there = words.iter().all(|word| output.stderr.contains(word));
    assert!(words_are_there && output.stderr.lines().count() == 1, "{label}: {output:?}");
}
