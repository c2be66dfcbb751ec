// SPDX-License-Identifier: LGPL-2.1-or-later
//! The real virt-admin: every command on our daemon and on libvirt's own, side by side, and the
//! effects of each setting.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::RawClient;
use crate::support::command::{Output, command, run};
use crate::support::daemon::{self, Daemon, READ_ONLY_SOCKET};
use crate::support::eventually;
use crate::support::libvirtd::{self, DRIVER, LIBVIRTD};
use crate::support::namespace::{DIR, in_namespace, is_installed};
use crate::support::peer::{as_user, has_news_within};
use crate::support::wire::{ADMIN, Arg, Fault, Head, payload, procedure};

const VIRT_ADMIN: &str = "/usr/bin/virt-admin";

/// Both daemons are started with these, so that they begin with equal settings.
const SETTINGS: &str = "log_level = 3\nlog_outputs = \"3:stderr\"\n";

/// How long to wait for something that must not happen.
const MOMENT: Duration = Duration::from_millis(300);

/// A daemon's admin URI, and the name of its main server.
#[derive(Clone, Copy, Debug)]
struct Side {
    uri: &'static str,
    server: &'static str,
    socket: &'static str,
    read_only_socket: &'static str,
}

const OURS: Side = Side {
    uri: "virtinterfaced:///system",
    server: "virtinterfaced",
    socket: daemon::SOCKET,
    read_only_socket: daemon::READ_ONLY_SOCKET,
};

const THEIRS: Side = Side {
    uri: "libvirtd:///system?socket=/run/test/libvirtd/libvirt-admin-sock",
    server: "libvirtd",
    socket: libvirtd::SOCKET,
    read_only_socket: libvirtd::READ_ONLY_SOCKET,
};

impl Side {
    /// Runs a command in which `SERVER` stands for the main server.
    fn virt_admin(self, line: &str) -> Output {
        // virt-admin parses a single argument itself, including quotes.
        let line = line.replace("SERVER", self.server);
        run(command("virt-admin").args(["-c", self.uri, &line]))
    }

    /// The output of a command, without legitimate differences.
    fn said(self, line: &str) -> Said {
        let Output { status, stdout, stderr } = self.virt_admin(line);
        let has_succeeded = status.success();
        Said { has_succeeded, stdout: masked(line, &stdout), stderr: masked(line, &stderr) }
    }

    /// Three clients that connect in turn: the second sends nothing, the third is read-only.
    fn clients(self) -> [RawClient; 3] {
        let mut opened = RawClient::connect_to(self.socket).unwrap();
        opened.call_open();
        let silent = RawClient::connect_to(self.socket).unwrap();
        let mut read_only = RawClient::connect_to(self.read_only_socket).unwrap();
        read_only.call_open();
        [opened, silent, read_only]
    }
}

#[derive(Debug, Eq, PartialEq)]
struct Said {
    has_succeeded: bool,
    stdout: String,
    stderr: String,
}

/// The output of a command with the known differences removed. Everything else must be equal.
fn masked(line: &str, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(mask_line).collect();
    if line.ends_with("-list") {
        // libvirtd keeps its servers in a hash table, whose order varies.
        let mut names: Vec<_> = rows(text).into_iter().map(|row| row[1].clone()).collect();
        names.sort_unstable();
        names.iter_mut().for_each(|name| *name = name.replace(THEIRS.server, OURS.server));
        names.sort_unstable();
        return names.join(" ");
    }
    if line.ends_with("client-list admin") {
        // virt-admin's own connection has another number each time.
        lines.iter_mut().for_each(|line| *line = mask_number(line));
    }
    lines.join("\n")
}

/// libvirt 9 has this message the wrong way round; ours is that of libvirt 11.
const OLD_WORDS: &str = "The overall maximum number of clients waiting for authentication must not \
    be less than the overall maximum number of clients";
const NEW_WORDS: &str = "The overall maximum number of clients must not be less than the number of \
    clients waiting for authentication";

fn mask_line(line: &str) -> String {
    // Our daemon has one thread, libvirtd a pool.
    if line.starts_with("nWorkers ") || line.starts_with("freeWorkers ") {
        return "threads".to_owned();
    }
    if line.starts_with("Running against daemon: ") {
        return "another release".to_owned();
    }
    // The time of a connection, at the end of its line.
    if let Some(head) = line.strip_suffix("+0000") {
        return head[..head.len() - "2026-01-31 12:00:00".len()].to_owned();
    }
    let line = line.replace(OLD_WORDS, NEW_WORDS);
    line.replace(THEIRS.uri, OURS.uri).replace(THEIRS.server, OURS.server)
}

fn mask_number(line: &str) -> String {
    line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).to_owned()
}

/// The rows below a table's heading and rule.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().skip(2).filter(|line| !line.is_empty());
    rows.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The value of a field in a list of `NAME : VALUE`.
#[track_caller]
fn field(text: &str, name: &str) -> String {
    let of_line = |line: &str| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(of_line).unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn with_ours(settings: &'static str, test: impl FnOnce(Daemon) + Send + 'static) {
    if is_installed(VIRT_ADMIN) {
        in_namespace(move || test(Daemon::configured(settings)));
    }
}

/// Commands in the order of execution: each sees the settings of those before it. The clients have
/// the numbers 2 to 4; number 1 was the test's check of the start.
const COMMANDS: &[&str] = &[
    "uri",
    "version",
    "connect",
    "server-list",
    "srv-list",
    // The thread pool.
    "server-threadpool-info SERVER",
    "srv-threadpool-info admin",
    "server-threadpool-info nope",
    "server-threadpool-set SERVER --min-workers 7 --max-workers 9 --priority-workers 3",
    "server-threadpool-info SERVER",
    "server-threadpool-info admin",
    "srv-threadpool-set admin --min-workers 1 --max-workers 2",
    "server-threadpool-info admin",
    "server-threadpool-set SERVER --min-workers 10",
    "server-threadpool-set SERVER --max-workers 6",
    "server-threadpool-set SERVER --min-workers 9",
    "server-threadpool-set SERVER --min-workers 0 --max-workers 0",
    "server-threadpool-info SERVER",
    "server-threadpool-set SERVER --min-workers 0 --priority-workers 0",
    "server-threadpool-info SERVER",
    "server-threadpool-set SERVER --max-workers 4294967295",
    "server-threadpool-info SERVER",
    "server-threadpool-set SERVER --max-workers 4294967296",
    "server-threadpool-set SERVER --min-workers -1",
    "server-threadpool-set SERVER --min-workers many",
    "server-threadpool-set SERVER",
    "server-threadpool-set nope --min-workers 1",
    // Clients.
    "client-list SERVER",
    "srv-clients-list SERVER",
    "client-list admin",
    "client-list nope",
    "client-info SERVER 2",
    "client-info SERVER 3",
    "client-info SERVER 4",
    "client-info SERVER 99",
    "client-info SERVER 18446744073709551615",
    "client-info SERVER -1",
    "client-info SERVER two",
    "client-info nope 2",
    "client-disconnect SERVER 99",
    "client-disconnect nope 2",
    "client-disconnect SERVER 3",
    "client-disconnect SERVER 3",
    "client-info SERVER 3",
    "client-list SERVER",
    // Limits of clients.
    "server-clients-info SERVER",
    "srv-clients-info admin",
    "server-clients-info nope",
    "server-clients-set SERVER --max-clients 30 --max-unauth-clients 30",
    "server-clients-info SERVER",
    "srv-clients-set SERVER --max-clients 29",
    "server-clients-set SERVER --max-unauth-clients 31",
    "server-clients-set SERVER --max-unauth-clients 0",
    "server-clients-info SERVER",
    "server-clients-set admin --max-clients 7",
    "server-clients-info admin",
    "server-clients-set SERVER --max-clients 4294967295",
    "server-clients-info SERVER",
    "server-clients-set SERVER --max-clients 4294967296",
    "server-clients-set SERVER",
    "server-clients-set nope --max-clients 1",
    // The log.
    "daemon-log-outputs",
    "daemon-log-outputs --outputs '1:stderr 4:file:/run/test/log 2:stderr'",
    "daemon-log-outputs",
    "daemon-log-outputs --outputs '4:file:/run/test/../test//./log'",
    "daemon-log-outputs",
    "daemon-log-outputs --outputs 0:stderr",
    "daemon-log-outputs --outputs 5:stderr",
    "daemon-log-outputs --outputs stderr",
    "daemon-log-outputs --outputs 1:nowhere",
    "daemon-log-outputs --outputs 1:stderr:x",
    "daemon-log-outputs --outputs 1:file",
    "daemon-log-outputs --outputs '3:stderr bad'",
    "daemon-log-outputs --outputs 3:file:/run/test",
    "daemon-log-outputs --outputs 3:file:/run/test/nosuch/log",
    "daemon-log-outputs",
    "daemon-log-outputs --outputs ''",
    "daemon-log-outputs",
    "daemon-log-filters",
    "daemon-log-filters --filters '1:rpc 3:*util* 4:+a'",
    "daemon-log-filters",
    "daemon-log-filters --filters 0:rpc",
    "daemon-log-filters --filters 5:rpc",
    "daemon-log-filters --filters rpc",
    "daemon-log-filters --filters 1:",
    "daemon-log-filters --filters 1:+",
    "daemon-log-filters --filters '1:a b'",
    "daemon-log-filters",
    "daemon-log-filters --filters ''",
    "daemon-log-filters",
    // The rest.
    "server-update-tls SERVER",
    "srv-update-tls admin",
    "server-update-tls nope",
    "daemon-timeout",
    "daemon-timeout --timeout 300",
    "daemon-timeout --timeout 4294967295",
    "daemon-timeout --timeout 4294967296",
    "daemon-timeout --timeout soon",
    "daemon-timeout --timeout 0",
    "nonsense",
];

#[test]
fn every_command_says_what_it_says_of_libvirts_own_daemon() {
    if ![VIRT_ADMIN, LIBVIRTD, DRIVER].into_iter().all(is_installed) {
        return;
    }
    in_namespace(|| {
        let _ours = Daemon::configured(SETTINGS);
        let _theirs = libvirtd::start(SETTINGS);
        let [_ours_opened, mut ours_silent, _ours_read_only] = OURS.clients();
        let [_theirs_opened, mut theirs_silent, _theirs_read_only] = THEIRS.clients();
        for side in [OURS, THEIRS] {
            eventually("the clients are numbered 2, 3 and 4", || {
                let rows = rows(&side.virt_admin("client-list SERVER").ok());
                rows.iter().map(|row| row[0].as_str()).eq(["2", "3", "4"])
            });
        }
        for line in COMMANDS {
            let ours = OURS.said(line);
            assert_eq!(ours, theirs(line, &ours), "{line}");
        }
        assert_eq!(ours_silent.receive(), None, "disconnected here");
        assert_eq!(theirs_silent.receive(), None, "disconnected there");
    });
}

/// The output of libvirtd. Its threads come and go one by one, and it counts a client a little
/// longer after its end: commands that change nothing are repeated until the outputs agree.
fn theirs(line: &str, ours: &Said) -> Said {
    let only_tells = line.contains("-info ") || line.contains("-list ");
    let patience = if only_tells { Duration::from_secs(5) } else { Duration::ZERO };
    let deadline = Instant::now() + patience;
    loop {
        let theirs = THEIRS.said(line);
        if theirs == *ours || Instant::now() >= deadline {
            return theirs;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_thread_pool_is_one_thread() {
    with_ours("", |_daemon| {
        for (server, free) in [("SERVER", "1"), ("admin", "0")] {
            let info = OURS.virt_admin(&format!("server-threadpool-info {server}")).ok();
            assert_eq!(field(&info, "nWorkers"), "1");
            assert_eq!(field(&info, "freeWorkers"), free);
            assert_eq!(field(&info, "jobQueueDepth"), "0");
        }
    });
}

#[test]
fn settings_are_where_the_numbers_begin() {
    const NUMBERS: &str = "min_workers = 2\nmax_workers = 3\nprio_workers = 4\nmax_clients = 50\n\
        max_anonymous_clients = 6\nadmin_min_workers = 7\nadmin_max_workers = 8\n\
        admin_max_clients = 9\n";
    with_ours(NUMBERS, |_daemon| {
        let pool = OURS.virt_admin("server-threadpool-info SERVER").ok();
        let limits = OURS.virt_admin("server-clients-info SERVER").ok();
        let admin_pool = OURS.virt_admin("server-threadpool-info admin").ok();
        let admin_limits = OURS.virt_admin("server-clients-info admin").ok();
        for (text, name, want) in [
            (&pool, "minWorkers", "2"),
            (&pool, "maxWorkers", "3"),
            (&pool, "prioWorkers", "4"),
            (&limits, "nclients_max", "50"),
            (&limits, "nclients_unauth_max", "6"),
            (&admin_pool, "minWorkers", "7"),
            (&admin_pool, "maxWorkers", "8"),
            (&admin_pool, "prioWorkers", "0"),
            (&admin_limits, "nclients_max", "9"),
            (&admin_limits, "nclients", "1"),
            (&admin_limits, "nclients_unauth_max", "0"),
        ] {
            assert_eq!(field(text, name), want, "{name}");
        }
    });
}

#[test]
fn a_client_that_is_disconnected_is_gone_and_the_others_stay() {
    with_ours("", |_daemon| {
        let [mut opened, mut silent, mut read_only] = OURS.clients();
        OURS.virt_admin("client-disconnect SERVER 2").ok();
        assert_eq!(opened.receive(), None);
        let rows = rows(&OURS.virt_admin("client-list SERVER").ok());
        assert!(rows.iter().map(|row| row[0].as_str()).eq(["3", "4"]), "{rows:?}");
        silent.call_open();
        assert_eq!(read_only.list_all(), ["lo"]);
        let info = OURS.virt_admin("server-clients-info SERVER").ok();
        assert_eq!(field(&info, "nclients"), "2");
    });
}

/// Sets a client's identity to a user's number and name.
fn set_identity(client: &mut RawClient, id: u32, name: &str) -> Result<(), Fault> {
    const ULLONG: u32 = 4;
    const STRING: u32 = 7;
    let id = [Arg::Text("unix-user-id"), Arg::Word(ULLONG), Arg::Word(0), Arg::Word(id)];
    let name = [Arg::Text("user-name"), Arg::Word(STRING), Arg::Text(name)];
    let arguments = [&[Arg::Word(2)][..], &id, &name, &[Arg::Word(0)]].concat();
    client.call(procedure::CONNECT_SET_IDENTITY, &arguments).outcome()
}

#[test]
fn an_identity_is_believed_from_root_alone_and_the_kernels_is_always_shown() {
    const USER: u32 = 65_534;
    with_ours("", |_daemon| {
        let mut of_root = RawClient::open();
        assert_eq!(set_identity(&mut of_root, 1_234, "someone"), Ok(()));
        let relayed = OURS.virt_admin("client-info SERVER 2").ok();
        let fields = |text: &str| {
            ["unix_user_id", "unix_user_name", "peer_user_id"].map(|name| field(text, name))
        };
        assert_eq!(fields(&relayed), ["1234", "someone", "0"]);

        let mut of_user = None;
        as_user(USER, || {
            let mut client = RawClient::connect_to(READ_ONLY_SOCKET).unwrap();
            client.call_open();
            assert_eq!(set_identity(&mut client, 0, "root"), Ok(()), "as libvirt answers");
            let refused = set_identity(&mut client, 0, "\u{1b}[2Jroot").unwrap_err();
            assert!(refused.message.ends_with("has control characters"), "{refused:?}");
            of_user = Some(client);
        });
        let info = OURS.virt_admin("client-info SERVER 3").ok();
        assert_eq!(field(&info, "unix_user_id"), USER.to_string());
        assert_ne!(field(&info, "unix_user_name"), "root");
        assert!(!info.contains("peer_user_id"), "{info}");
    });
}

#[test]
fn a_limit_of_clients_counts_at_once() {
    with_ours("", |_daemon| {
        let _first = RawClient::open();
        OURS.virt_admin("server-clients-set SERVER --max-clients 1 --max-unauth-clients 0").ok();
        let mut second = RawClient::connect();
        second.send_call(procedure::AUTH_LIST, &[]);
        assert!(!has_news_within(&second.stream, MOMENT), "there is room for one");
        OURS.virt_admin("server-clients-set SERVER --max-clients 2").ok();
        assert_eq!(second.receive().unwrap().results().word(), 1);
        OURS.virt_admin("server-clients-set SERVER --max-clients 1").ok();
        second.call_open();
    });
}

#[test]
fn a_daemon_that_is_given_a_timeout_ends_without_clients() {
    with_ours("", |mut daemon| {
        let mut client = RawClient::open();
        OURS.virt_admin("daemon-timeout --timeout 1").ok();
        thread::sleep(Duration::from_secs(2));
        assert_eq!(client.list_all(), ["lo"], "it stays while there is a client");
        OURS.virt_admin("daemon-timeout --timeout 0").ok();
        client.hang_up();
        thread::sleep(Duration::from_secs(2));
        assert!(daemon.is_running(), "the timeout was taken back");
        OURS.virt_admin("daemon-timeout --timeout 1").ok();
        assert!(daemon.wait().success());
    });
}

const DAEMON_SHUTDOWN: i32 = 20;

/// Newer releases of virt-admin have a command for it. They use the connection after the answer,
/// and would die of SIGPIPE if it were closed.
#[test]
fn a_client_that_has_the_daemon_shut_down_closes_the_connection_itself() {
    with_ours("", |mut daemon| {
        let mut other = RawClient::open();
        let mut client = RawClient::connect_to(daemon::ADMIN_SOCKET).unwrap();
        let call = Head { program: ADMIN, ..Head::call(DAEMON_SHUTDOWN, 1) };
        client.send(&call.frame(&payload(&[Arg::Word(0)])));
        client.receive().unwrap().results();
        assert_eq!(other.receive(), None, "others are let go");
        assert!(!has_news_within(&client.stream, MOMENT), "the connection stays");
        // libvirt's client makes this call before it closes.
        const ADMIN_CONNECT_CLOSE: i32 = 2;
        let close = Head { program: ADMIN, ..Head::call(ADMIN_CONNECT_CLOSE, 2) };
        client.send(&close.frame(&[]));
        client.receive().unwrap().results();
        drop(client);
        assert!(daemon.wait().success());
    });
}

#[test]
fn a_daemon_that_is_shut_down_does_not_wait_for_its_client_for_long() {
    with_ours("", |mut daemon| {
        let mut client = RawClient::connect_to(daemon::ADMIN_SOCKET).unwrap();
        let call = Head { program: ADMIN, ..Head::call(DAEMON_SHUTDOWN, 1) };
        client.send(&call.frame(&payload(&[Arg::Word(0)])));
        client.receive().unwrap().results();
        assert!(daemon.wait().success());
        assert_eq!(client.receive(), None);
    });
}

#[test]
fn a_call_to_shut_down_ends_the_daemon() {
    for flags in [0, 1] {
        with_ours("", move |mut daemon| {
            let mut client = RawClient::connect_to(daemon::ADMIN_SOCKET).unwrap();
            let call = Head { program: ADMIN, ..Head::call(DAEMON_SHUTDOWN, 1) };
            client.send(&call.frame(&payload(&[Arg::Word(2)])));
            assert_eq!(client.receive().unwrap().fault().code, 8, "unknown flags");
            assert!(daemon.is_running());
            client.send(&call.frame(&payload(&[Arg::Word(flags)])));
            assert!(daemon.wait().success());
        });
    }
}

#[test]
fn the_log_goes_where_it_is_sent() {
    with_ours("log_level = 1\nlog_outputs = \"3:stderr\"\n", |daemon| {
        let path = format!("{DIR}/elsewhere");
        OURS.virt_admin(&format!("daemon-log-outputs --outputs 1:file:{path}")).ok();
        let before = daemon.stderr();
        RawClient::open().hang_up();
        eventually("a word about the client", || !fs::read_to_string(&path).unwrap().is_empty());
        assert_eq!(daemon.stderr(), before, "and no more to standard error");
        let bad = OURS.virt_admin("daemon-log-outputs --outputs 1:file:/run/nosuch/log").failed();
        assert!(bad.contains("No such file or directory"), "{bad}");
        let outputs = OURS.virt_admin("daemon-log-outputs").ok();
        assert_eq!(outputs.trim(), format!("Logging outputs: 1:file:{path}"));
    });
}

#[test]
fn a_filter_lets_through_what_the_level_keeps_back() {
    with_ours("log_level = 4\n", |_daemon| {
        let path = format!("{DIR}/elsewhere");
        OURS.virt_admin(&format!("daemon-log-outputs --outputs 1:file:{path}")).ok();
        let log = || fs::read_to_string(&path).unwrap();
        RawClient::open().hang_up();
        eventually("the client is gone", || {
            rows(&OURS.virt_admin("client-list SERVER").ok()).is_empty()
        });
        assert_eq!(log(), "", "nothing has gone wrong");
        OURS.virt_admin("daemon-log-filters --filters '1:*'").ok();
        RawClient::open().hang_up();
        eventually("a word about the client", || !log().is_empty());
    });
}
