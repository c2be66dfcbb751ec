// SPDX-License-Identifier: LGPL-2.1-or-later
//! The effects of the command line.

use std::fs;
use std::path::Path;

use crate::support::client::RawClient;
use crate::support::command::{Output, command, run};
use crate::support::daemon::{Daemon, PID_FILE, SOCKET, config_file, daemon_command, run_daemon};
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
fn an_option_that_is_none_is_refused_with_the_usage() {
    const CASES: [(&str, &[&str]); 5] = [
        ("unknown long option", &["--listen"]),
        ("unknown short option", &["-l"]),
        ("timeout without a number", &["--timeout"]),
        ("config without a file", &["-f"]),
        ("an option twice", &["-p", "a", "-p", "b"]),
    ];
    in_namespace(|| {
        let usage = run_daemon(&["--help"]).stderr;
        for (label, arguments) in CASES {
            let output = run_daemon(arguments);
            assert_eq!(output.status.code(), Some(1), "{label}: {output:?}");
            let (line, rest) = output.stderr.split_once("\n\n").unwrap();
            assert!(
                line.starts_with("virtinterfaced: ") && !line.contains('\n'),
                "{label}: {line}"
            );
            assert_eq!(rest, usage, "{label}");
            assert_eq!(output.stdout, "", "{label}");
        }
    });
}

#[test]
fn other_wrong_usage_is_one_line_and_exit_status_1() {
    const CASES: [(&str, &[&str]); 4] = [
        ("left-over argument", &["rubbish"]),
        ("timeout that is not a number", &["--timeout=soon"]),
        ("negative timeout", &["-t", "-1"]),
        ("timeout over the limit", &["-t", "2147484"]),
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

/// `--check-config` refuses a configuration that a start or a reload would refuse, and starts
/// nothing.
#[test]
fn a_configuration_is_checked_without_a_daemon() {
    in_namespace(|| {
        let check = |arguments: &[&str]| run_daemon(&[&["--check-config"], arguments].concat());
        let said = |output: &Output| (output.status.code(), output.stderr.clone());
        assert_eq!(said(&check(&[])), (Some(0), String::new()), "no file, and none is asked for");
        for (text, words, status) in [
            ("max_clients = 5\nchange_timeout = 5m\n", ":2:19: ", 1),
            ("unix_sock_group = 'no such group'\n", "unix_sock_group: no such group", 6),
            ("log_outputs = '1:file:/run/nosuch/log'\n", "log_outputs: ", 1),
        ] {
            let file = config_file(text);
            let words = [file.as_str(), words];
            assert_refused(text, &["--check-config", "-f", &file], &words, status);
        }
        let file = config_file("change_timeout = 5\nchange_timeout = 300\n");
        // A service's other options may be given too.
        let (status, warned) = said(&check(&["-dv", "-t", "9", "-p", "/run/test/p", "-f", &file]));
        assert_eq!((status, warned.lines().count()), (Some(0), 1), "{warned}");
        assert!(warned.contains(&format!("warning: {file}:2")), "{warned}");
        assert!(!Path::new("/run/libvirt").exists() && !Path::new("/run/test/p").exists());
    });
}

/// The manual's commands work whatever the file contains, and can be repeated.
#[test]
fn the_manuals_way_to_set_a_deadline_always_works() {
    in_namespace(|| {
        let manual = include_str!("../../man/virtinterfaced.8");
        let is_way = |line: &&str| line.contains("change_timeout") && line.starts_with("# ");
        let way: Vec<_> = manual.lines().filter(is_way).collect();
        let file = "/etc/libvirt/virtinterfaced.conf";
        for before in ["", "change_timeout = 5\n", "max_clients = 9\n change_timeout=7"] {
            fs::write(file, before).unwrap();
            for _ in 0..2 {
                for line in &way {
                    let line = line.trim_start_matches("# ").replace("\\e", "\\");
                    run(command("sh").args(["-ec", &line])).ok();
                }
                let text = fs::read_to_string(file).unwrap();
                let is_set = |line: &&str| line.contains("change_timeout");
                let set: Vec<_> = text.lines().filter(is_set).collect();
                assert_eq!(set, ["change_timeout = 300"], "{before:?}: {text}");
            }
        }
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

/// Asserts that the daemon ends with `status` and one line that contains all these words.
#[track_caller]
fn assert_refused(label: &str, arguments: &[&str], words: &[&str], status: i32) {
    let output = run_daemon(arguments);
    assert_eq!(output.status.code(), Some(status), "{label}: {output:?}");
    let words_are_there = words.iter().all(|word| output.stderr.contains(word));
    assert!(words_are_there && output.stderr.lines().count() == 1, "{label}: {output:?}");
}
