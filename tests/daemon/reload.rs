// SPDX-License-Identifier: LGPL-2.1-or-later
//! SIGHUP: a valid file takes effect at once, for connected clients too; an invalid one changes
//! nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::configuration::{GUARDS, WRONG_FILES};
use crate::sockets;
use crate::support::client::RawClient;
use crate::support::command::command;
use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, READ_ONLY_SOCKET, SOCKET, config_file, daemon_command, daemon_program,
};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace};
use crate::support::peer::has_news_within;
use crate::support::wire::{Arg, Head, PING, PONG, procedure};

/// `VIR_DRV_FEATURE_PROGRAM_KEEPALIVE`.
const FEATURE_KEEPALIVE: u32 = 10;

/// A user other than root.
const NOBODY: u32 = 65_534;

/// How long a client must be unanswered to count as waiting.
const A_WHILE: Duration = Duration::from_millis(300);

/// Starts a daemon that logs its actions, with this configuration.
fn start(text: &str) -> Daemon {
    Daemon::start_with(daemon_command().args(["-v", "-f", &config_file(text)]))
}

impl Daemon {
    /// Has it reload its configuration; returns the log lines of that.
    fn reload(&self) -> Vec<String> {
        let is_result =
            |line: &&str| line.contains("configuration reloaded") || line.contains("are unchanged");
        let count = |text: &str| text.lines().filter(is_result).count();
        let (before, from) = (count(&self.stderr()), self.stderr().len());
        self.signal(libc::SIGHUP);
        eventually("the reload's result is in the log", || count(&self.stderr()) > before);
        self.stderr()[from..].lines().map(str::to_owned).collect()
    }

    /// Writes a configuration and reloads it; it must be accepted.
    fn reload_with(&self, text: &str) -> Vec<String> {
        config_file(text);
        let lines = self.reload();
        assert!(lines.iter().any(|line| line.contains("configuration reloaded")), "{lines:?}");
        lines
    }
}

fn errors(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.contains(": error : ")).collect()
}

#[test]
fn a_bad_file_is_one_error_that_names_the_place_and_changes_nothing() {
    const GOOD: &str = "unix_sock_ro_perms = '0750'\nmax_clients = 3\nmax_anonymous_clients = 0\n";
    const MORE: [(&str, &str); 8] = [
        ("max_clients = [ 1, 2", ":1:15: this list has no ']'"),
        ("max_clients = 5 6", ":1:17: "),
        ("= 5", ":1:1: "),
        ("unix_sock_group = 'no such group'", "unix_sock_group: no such group"),
        ("log_filters = '9:rpc'", ":1:15: log_filters: "),
        ("log_outputs = '1:file:/run/nosuch/log'", ".conf: log_outputs: "),
        ("keepalive_count = -1", ":1:19: keepalive_count: "),
        ("host_uuid_source = 'dice'", ":1:20: host_uuid_source: "),
    ];
    in_namespace(|| {
        let daemon = start(GOOD);
        let file = config_file(GOOD);
        let mut client = RawClient::open();
        let mut kinds = 0;
        let mut refused = |label: &str, words: &str| {
            let lines = daemon.reload();
            let errors = errors(&lines);
            let [error] = errors.as_slice() else { panic!("{label}: {lines:?}") };
            assert!(error.contains(words), "{label}: {error}");
            assert_eq!(sockets::mode(READ_ONLY_SOCKET), 0o750, "{label}");
            assert_eq!(client.list_all(), ["lo"], "{label}");
            kinds += 1;
        };
        let guards = GUARDS.iter().map(|case| (case.0, case.2));
        let wrong = WRONG_FILES.iter().map(|case| (case.0, case.2));
        for (text, words) in wrong.chain(guards).chain(MORE) {
            config_file(text);
            refused(text, words);
        }
        fs::write(&file, b"max_clients = 5 # \xff\n").unwrap();
        refused("not UTF-8", &file);
        fs::write(&file, "# \0\nmax_clients = \0").unwrap();
        refused("zeros", &format!("{file}:2:15: "));
        fs::write(&file, vec![b'#'; 10 * 1024 * 1024 + 1]).unwrap();
        refused("one byte too large", &file);
        fs::remove_file(&file).unwrap();
        refused("gone", &file);
        fs::create_dir(&file).unwrap();
        refused("a folder", &file);
        fs::remove_dir(&file).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        refused("a link to itself", &file);
        fs::remove_file(&file).unwrap();
        assert!(kinds >= 30, "{kinds} kinds");
        // Three clients reach the limit of the first file.
        let _others = (RawClient::open(), RawClient::open());
        let mut fourth = RawClient::connect();
        fourth.send_call(procedure::AUTH_LIST, &[]);
        assert!(!has_news_within(&fourth.stream, A_WHILE));
        // A valid file is still accepted.
        daemon.reload_with("unix_sock_ro_perms = '0700'\n");
        assert_eq!(sockets::mode(READ_ONLY_SOCKET), 0o700);
        assert!(fourth.receive().is_some());
    });
}

/// Only root's daemon may change the owner of its sockets.
#[test]
fn settings_that_the_host_refuses_change_nothing_either() {
    in_namespace(|| {
        fs::create_dir("/run/user").unwrap();
        std::os::unix::fs::chown("/run/user", Some(NOBODY), Some(NOBODY)).unwrap();
        let file = format!("{DIR}/session.conf");
        fs::write(&file, "").unwrap();
        let mut session = command("setpriv");
        session.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        session.arg(daemon_program()).args(["-v", "-f", &file]);
        session.env("XDG_RUNTIME_DIR", "/run/user").env("HOME", "/run/user");
        let mut daemon = Daemon::spawn(&mut session);
        let socket = "/run/user/libvirt/virtinterfaced-sock";
        daemon.wait_for(socket);
        fs::write(&file, "unix_sock_rw_perms = '0777'\nunix_sock_group = '4321'\n").unwrap();
        let lines = daemon.reload();
        let errors = errors(&lines);
        let [error] = errors.as_slice() else { panic!("{lines:?}") };
        assert!(error.contains("cannot change the group of"), "{error}");
        assert_eq!((sockets::mode(socket), group(socket)), (0o700, NOBODY));
    });
}

#[test]
fn a_pipe_in_the_files_place_does_not_stop_the_loop() {
    in_namespace(|| {
        let daemon = start("");
        let file = format!("{DIR}/virtinterfaced.conf");
        fs::remove_file(&file).unwrap();
        command("mkfifo").arg(&file).status().unwrap();
        daemon.reload();
        assert_eq!(RawClient::open().list_all(), ["lo"]);
    });
}

#[test]
fn modes_and_group_of_the_sockets_change() {
    in_namespace(|| {
        let daemon = start("");
        let modes = || [SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET].map(sockets::mode);
        let groups = || [SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET].map(group);
        assert_eq!((modes(), groups()), ([0o700, 0o777, 0o700], [0; 3]));
        daemon.reload_with(
            "unix_sock_rw_perms='0770'\nunix_sock_ro_perms='0740'\n\
             unix_sock_admin_perms='0600'\nunix_sock_group='4321'\n",
        );
        assert_eq!((modes(), groups()), ([0o770, 0o740, 0o600], [4321; 3]));
        daemon.reload_with("");
        assert_eq!((modes(), groups()), ([0o700, 0o777, 0o700], [0; 3]));
    });
}

fn group(path: &str) -> u32 {
    fs::symlink_metadata(path).unwrap().gid()
}

#[test]
fn a_socket_that_others_put_in_place_of_ours_keeps_its_mode() {
    in_namespace(|| {
        let daemon = start("");
        fs::remove_file(SOCKET).unwrap();
        fs::write(SOCKET, "another program's").unwrap();
        let before = sockets::mode(SOCKET);
        daemon.reload_with("unix_sock_rw_perms = '0777'\n");
        assert_eq!(sockets::mode(SOCKET), before);
    });
}

#[test]
fn the_number_of_clients_follows_the_file() {
    in_namespace(|| {
        let limit = |count| format!("max_clients = {count}\nmax_anonymous_clients = 0\n");
        let daemon = start(&limit(2));
        let mut inside = vec![RawClient::open(), RawClient::open()];
        let mut waiting = RawClient::connect();
        waiting.send_call(procedure::AUTH_LIST, &[]);
        assert!(!has_news_within(&waiting.stream, A_WHILE));
        daemon.reload_with(&limit(3));
        assert!(waiting.receive().is_some(), "there is room for a third");
        daemon.reload_with(&limit(1));
        inside.iter_mut().for_each(|client| assert_eq!(client.list_all(), ["lo"]));
        drop((inside.pop(), waiting));
        let mut late = RawClient::connect();
        late.send_call(procedure::AUTH_LIST, &[]);
        assert!(!has_news_within(&late.stream, A_WHILE), "one is inside, and one may be");
        drop(inside);
        assert!(late.receive().is_some());
    });
}

#[test]
fn the_number_of_administrators_follows_the_file_too() {
    in_namespace(|| {
        let daemon = start("admin_max_clients = 1\n");
        let _first = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        let mut second = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        second.send_call(procedure::AUTH_LIST, &[]);
        assert!(!has_news_within(&second.stream, A_WHILE));
        daemon.reload_with("admin_max_clients = 2\nadmin_max_client_requests = 2\n");
        assert!(second.receive().is_some());
    });
}

#[test]
fn a_client_that_is_connected_is_pinged_as_the_new_file_says() {
    in_namespace(|| {
        let daemon = start("keepalive_interval = 3600\nkeepalive_count = 9\n");
        let mut client = RawClient::connect();
        let feature = [Arg::Word(FEATURE_KEEPALIVE)];
        client.call(procedure::CONNECT_SUPPORTS_FEATURE, &feature).results();
        daemon.reload_with("keepalive_interval = 3\nkeepalive_count = 1\n");
        assert_eq!(client.receive().unwrap().head, Head::keepalive(PING));
        client.send(&Head::keepalive(PONG).frame(&[]));
        daemon.reload_with("keepalive_interval = -1\nkeepalive_count = 0\n");
        assert!(!has_news_within(&client.stream, Duration::from_secs(2)), "no ping, and no end");
        daemon.reload_with("keepalive_interval = 0\nkeepalive_count = 0\n");
        assert!(!has_news_within(&client.stream, Duration::from_secs(2)), "0 is never, too");
        daemon.reload_with("keepalive_interval = 1\nkeepalive_count = 0\n");
        assert_eq!(client.receive(), None, "without pings one silent second is the end");
    });
}

#[test]
fn calls_in_flight_follow_the_file() {
    in_namespace(|| {
        let daemon = start("max_client_requests = 1\n");
        let mut client = RawClient::open();
        daemon.reload_with("max_client_requests = 50\n");
        (0..50).for_each(|_| client.send_list(0));
        (0..50).for_each(|_| assert_eq!(client.receive_list(), ["lo"]));
    });
}

#[test]
fn log_level_outputs_and_filters_follow_the_file_and_files_are_opened_anew() {
    in_namespace(|| {
        let (first, second) = (format!("{DIR}/first.log"), format!("{DIR}/second.log"));
        let daemon = start(&format!("log_outputs = '1:stderr 1:file:{first}'\n"));
        // The file is rotated while the daemon runs.
        let rotated = format!("{DIR}/first.log.1");
        fs::rename(&first, &rotated).unwrap();
        daemon.reload();
        let len = fs::metadata(&rotated).unwrap().len();
        RawClient::open();
        eventually("lines go to the new file", || {
            fs::read_to_string(&first).is_ok_and(|text| text.contains(": process "))
        });
        assert_eq!(fs::metadata(&rotated).unwrap().len(), len);
        daemon.reload_with(&format!("log_outputs = '1:stderr 1:file:{second}'\n"));
        let len = fs::metadata(&first).unwrap().len();
        RawClient::open();
        eventually("lines go to the other file", || {
            fs::read_to_string(&second).is_ok_and(|text| text.contains(": process "))
        });
        assert_eq!(fs::metadata(&first).unwrap().len(), len);
        // -v lowers the level to info at most, so only a filter silences the rpc part.
        daemon.reload_with("log_level = 1\nlog_filters = '4:rpc'\n");
        let from = daemon.stderr().len();
        RawClient::open();
        thread::sleep(Duration::from_millis(100));
        assert!(!daemon.stderr()[from..].contains(": process "), "{}", daemon.stderr());
    });
}

#[test]
fn a_moved_log_file_is_opened_anew_though_the_configuration_is_bad() {
    in_namespace(|| {
        let log = format!("{DIR}/log");
        let good = format!("log_outputs = '1:stderr 1:file:{log}'\n");
        let daemon = start(&good);
        fs::rename(&log, format!("{log}.1")).unwrap();
        config_file("rubbish");
        daemon.reload();
        eventually("the error is in the new file", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("are unchanged"))
        });
    });
}

#[test]
fn settings_that_cannot_change_are_named_and_the_rest_is_applied() {
    in_namespace(|| {
        let daemon = start("");
        let lines = daemon.reload_with(
            "unix_sock_dir = '/run/test'\nunix_sock_ro_perms = '0700'\naudit_level = 0\n\
             host_uuid = 'c7a5fdbd-edaf-4455-926a-d65c16db1809'\nno_such_key = 1\n",
        );
        for key in ["unix_sock_dir", "audit_level", "host_uuid", "no_such_key"] {
            let warned = |line: &&String| line.contains(": warning : ") && line.contains(key);
            assert_eq!(lines.iter().filter(warned).count(), 1, "{key}: {lines:?}");
        }
        assert_eq!(sockets::mode(READ_ONLY_SOCKET), 0o700);
        assert!(Path::new(SOCKET).exists());
        // The file is compared with the settings in force, not with the previous file.
        let names_it = |lines: &[String]| lines.iter().any(|line| line.contains("unix_sock_dir"));
        assert!(names_it(&daemon.reload()));
        assert!(!names_it(&daemon.reload_with("")));
    });
}

#[test]
fn no_client_is_dropped_and_no_call_is_lost() {
    in_namespace(|| {
        let daemon = start("");
        let mut clients: Vec<_> = (0..50).map(|_| RawClient::open()).collect();
        for round in 0..20 {
            clients.iter_mut().for_each(|client| client.send_list(0));
            daemon.signal(libc::SIGHUP);
            for client in &mut clients {
                assert_eq!(client.receive_list(), ["lo"], "round {round}");
            }
        }
        assert_eq!(daemon.stop().code(), Some(0));
    });
}
