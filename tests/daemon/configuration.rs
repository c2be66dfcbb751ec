// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the configuration file leads to: a wrong one to one line that says where it is wrong.

use std::path::Path;

use crate::sockets;
use crate::support::daemon::{Daemon, READ_ONLY_SOCKET, SOCKET, config_file, run_daemon};
use crate::support::namespace::in_namespace;

/// A file, and how the daemon ends by it: its status, and what it says behind the file's name.
pub(crate) struct Case(pub(crate) &'static str, i32, pub(crate) &'static str);

pub(crate) const WRONG_FILES: [Case; 19] = [
    Case("max_clients 5", 1, ":1:13: expected '=' after the name"),
    Case("\n\nlog_outputs = \"x\n", 1, ":3:15: this string has no closing quote"),
    Case("max_clients = 99999999999999999999", 1, ":1:15: this integer is over 64 bits"),
    Case("# first\nmax_clients = '5'", 1, ":2:15: max_clients: expected an unsigned integer"),
    Case("max_clients = 4294967296", 1, ":1:15: max_clients: expected 0 to 4294967295"),
    Case("keepalive_interval = '5'", 1, ":1:22: keepalive_interval: expected an integer"),
    Case("unix_sock_group = 5", 1, ":1:19: unix_sock_group: expected a string"),
    Case("access_drivers = 'none'", 1, ":1:18: access_drivers: expected a list of strings"),
    Case("audit_logging = 2", 1, ":1:17: audit_logging: expected 0 to 1"),
    Case("log_level = 9", 1, ":1:13: log_level: expected 0 to 4"),
    Case("max_workers = 0", 1, ":1:15: max_workers: expected 1 to 4294967295"),
    Case("auth_unix_rw = 'x'", 1, ":1:16: auth_unix_rw: \"x\" is none of none, sasl, polkit"),
    Case("access_drivers = ['x']", 1, ":1:18: access_drivers: \"x\" is none of none, polkit"),
    Case("host_uuid = 'x'", 1, ":1:13: host_uuid: expected a UUID of 32 hexadecimal digits"),
    Case("unix_sock_dir = 'x'", 1, ":1:17: unix_sock_dir: \"x\" is no absolute path"),
    Case(
        "max_clients = 5",
        3,
        ":1:15: max_clients: 20 clients may wait for authentication, but only 5 connect",
    ),
    Case(
        "max_clients = 5\nmax_anonymous_clients = 6",
        3,
        ":2:25: max_anonymous_clients: \
         6 clients may wait for authentication, but only 5 connect",
    ),
    Case(
        "unix_sock_rw_perms = '999'",
        6,
        ":1:22: unix_sock_rw_perms: \"999\" is no octal mode up to 0777",
    ),
    Case("unix_sock_group = ''", 6, ":1:19: unix_sock_group: a group's name cannot be empty"),
];

#[test]
fn a_wrong_file_ends_the_start_with_its_place_and_libvirts_status() {
    in_namespace(|| {
        for Case(text, status, want) in WRONG_FILES {
            let file = config_file(text);
            let output = run_daemon(&["-f", &file]);
            assert_eq!(output.stderr, format!("virtinterfaced: {file}{want}\n"), "{text}");
            assert_eq!(output.status.code(), Some(status), "{text}");
            assert!(!Path::new(SOCKET).exists(), "{text}");
        }
    });
}

/// What asks for a guard that is not there.
pub(crate) const GUARDS: [Case; 4] = [
    Case("auth_unix_rw = 'polkit'", 1, "auth_unix_rw: \"polkit\" is not available"),
    Case("auth_unix_rw = 'sasl'", 1, "auth_unix_rw: \"sasl\" is not available"),
    Case("auth_unix_ro = 'polkit'", 1, "auth_unix_ro: \"polkit\" is not available"),
    Case("access_drivers = ['polkit']", 1, "access_drivers: \"polkit\" is not available"),
];

#[test]
fn a_guard_that_this_release_lacks_is_not_left_out_silently() {
    in_namespace(|| {
        for Case(text, status, want) in GUARDS {
            let file = config_file(text);
            let output = run_daemon(&["-f", &file]);
            let line = format!("virtinterfaced: {file}: {want} in this release\n");
            assert_eq!((output.stderr, output.status.code()), (line, Some(status)), "{text}");
        }
    });
}

#[test]
fn what_is_not_understood_is_warned_of_and_what_is_set_twice_counts_once() {
    in_namespace(|| {
        let text = "unix_sock_ro_perms = '0700'\nlisten_tls = 1\nunix_sock_ro_perms = '0777'\n";
        let daemon = Daemon::configured(text);
        let file = "/run/test/virtinterfaced.conf";
        let log = daemon.stderr();
        for want in [
            format!("{file}:2:1: listen_tls: unknown key, ignored"),
            format!("{file}:3:1: unix_sock_ro_perms: already set in line 1, ignored"),
        ] {
            let is_it = |line: &&str| line.contains(": warning : ") && line.ends_with(&want);
            assert_eq!(log.lines().filter(is_it).count(), 1, "{want}: {log}");
        }
        assert_eq!(sockets::mode(READ_ONLY_SOCKET), 0o700);
    });
}

#[test]
fn without_any_file_the_daemon_starts_quietly() {
    in_namespace(|| {
        let daemon = Daemon::start();
        assert_eq!(daemon.stderr(), "");
    });
}

#[test]
fn a_group_or_folder_that_does_not_exist_ends_the_start_with_status_6() {
    in_namespace(|| {
        for (text, words) in [
            ("unix_sock_group = 'no such group'", [".conf: unix_sock_group:", "'no such group'"]),
            (
                "unix_sock_dir = '/run/nosuch'",
                ["/run/nosuch/virtinterfaced-admin-sock", "No such file"],
            ),
        ] {
            let output = run_daemon(&["-f", &config_file(text)]);
            assert_eq!(output.status.code(), Some(6), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(words.iter().all(|word| output.stderr.contains(word)), "{output:?}");
        }
    });
}
