// SPDX-License-Identifier: LGPL-2.1-or-later
//! The log of the built daemon: which lines go where, and that a failing output does not disturb
//! the service.
//!
//! syslog and the journal are sockets of the test, on a private `/dev` and `/run`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::ptr;

use crate::sockets;
use crate::support::client::RawClient;
use crate::support::command::{command, run};
use crate::support::daemon::{Daemon, READ_ONLY_SOCKET, SOCKET, config_file, daemon_command};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace};
use crate::support::peer::as_user;
use crate::support::wire::{Arg, procedure};

const LOG_FILE: &str = "/run/test/daemon.log";
const SYSLOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";

/// More lines than a pipe or a terminal holds.
const LINES_TO_FILL_IT: u32 = 4_000;

/// The configuration of a start, and which of two messages (of the start and of a refused call)
/// must be on standard error, in the file, in syslog and in the journal.
struct Case {
    label: &'static str,
    config: &'static str,
    environment: &'static [(&'static str, &'static str)],
    options: &'static [&'static str],
    wanted: [&'static str; 4],
}

/// The defaults of a case. The start is logged at info, the refusal at debug.
const QUIET: Case =
    Case { label: "", config: "", environment: &[], options: &[], wanted: ["", "", "", ""] };

const CASES: [Case; 15] = [
    Case { label: "nothing said", ..QUIET },
    Case { label: "level", config: "log_level = 2", wanted: ["", "", "", "start"], ..QUIET },
    Case {
        label: "the journal is spared debug lines by default",
        config: "log_level = 1",
        wanted: ["", "", "", "start"],
        ..QUIET
    },
    Case {
        label: "unless they are asked for",
        config: "log_level = 1\nlog_outputs = '1:journald'",
        wanted: ["", "", "", "start refusal"],
        ..QUIET
    },
    Case {
        label: "stderr",
        config: "log_level = 1\nlog_outputs = '1:stderr'",
        wanted: ["start refusal", "", "", ""],
        ..QUIET
    },
    Case {
        label: "file",
        config: "log_level = 1\nlog_outputs = '1:file:/run/test/daemon.log'",
        wanted: ["", "start refusal", "", ""],
        ..QUIET
    },
    Case {
        label: "relative file",
        config: "log_level = 1\nlog_outputs = '1:file:run/test/x/../daemon.log'",
        wanted: ["", "start refusal", "", ""],
        ..QUIET
    },
    Case {
        label: "syslog",
        config: "log_level = 1\nlog_outputs = '1:syslog:me'",
        wanted: ["", "", "start refusal", ""],
        ..QUIET
    },
    Case {
        label: "all, each with its level",
        config: "log_level = 1\n\
                 log_outputs = '2:stderr 1:file:/run/test/daemon.log 3:journald 2:syslog:me'",
        wanted: ["start", "start refusal", "start", ""],
        ..QUIET
    },
    Case {
        label: "a filter raises one source",
        config: "log_filters = '1:rpc'\nlog_outputs = '1:stderr'",
        wanted: ["refusal", "", "", ""],
        ..QUIET
    },
    Case {
        label: "a filter silences one source",
        config: "log_level = 1\nlog_filters = '4:daemon 1:x'\nlog_outputs = '1:stderr'",
        wanted: ["refusal", "", "", ""],
        ..QUIET
    },
    Case {
        label: "environment goes before configuration",
        config: "log_level = 4\nlog_filters = '4:rpc'\nlog_outputs = '4:stderr'",
        environment: &[
            ("LIBVIRT_DEBUG", "info"),
            ("LIBVIRT_LOG_FILTERS", "1:rpc"),
            ("LIBVIRT_LOG_OUTPUTS", "1:file:/run/test/daemon.log"),
        ],
        wanted: ["", "start refusal", "", ""],
        ..QUIET
    },
    Case {
        label: "empty variables count as unset",
        config: "log_level = 1\nlog_filters = '4:rpc'\nlog_outputs = '1:stderr'",
        environment: &[
            ("LIBVIRT_DEBUG", ""),
            ("LIBVIRT_LOG_FILTERS", ""),
            ("LIBVIRT_LOG_OUTPUTS", ""),
        ],
        wanted: ["start", "", "", ""],
        ..QUIET
    },
    Case {
        label: "verbose goes before both",
        config: "log_level = 4\nlog_outputs = '1:stderr'",
        environment: &[("LIBVIRT_DEBUG", "4")],
        options: &["-v"],
        wanted: ["start", "", "", ""],
    },
    Case {
        label: "verbose hides nothing",
        config: "log_outputs = '1:stderr'",
        environment: &[("LIBVIRT_DEBUG", "1")],
        options: &["-v"],
        wanted: ["start refusal", "", "", ""],
    },
];

#[test]
fn lines_arrive_where_configuration_environment_and_options_want_them() {
    in_namespace(|| {
        own_dev();
        // The services read only at the end of each case.
        fs::write("/proc/sys/net/unix/max_dgram_qlen", "100").unwrap();
        let (syslog, journal) = (Service::bind(SYSLOG), Service::bind(JOURNAL));
        for Case { label, config, environment, options, wanted } in CASES {
            let file = config_file(config);
            let mut started = daemon_command();
            started.envs(environment.iter().copied()).args(options).args(["-f", &file]);
            let daemon = Daemon::start_with(&mut started);
            refused_call("x");
            let logged = fs::read_to_string(LOG_FILE).unwrap_or_default();
            if !logged.is_empty() {
                assert_eq!(sockets::mode(LOG_FILE), 0o600, "{label}");
                fs::remove_file(LOG_FILE).unwrap();
            }
            let got = [daemon.stderr(), logged, syslog.received(), journal.received()];
            assert_eq!(got.clone().map(|text| seen(&text)), wanted, "{label}: {got:#?}");
            assert_eq!(daemon.stop().code(), Some(0), "{label}");
            // The daemon's stop logs too, which must not affect the next case.
            drop((syslog.received(), journal.received(), fs::remove_file(LOG_FILE)));
        }
    });
}

#[test]
fn each_output_has_libvirts_form() {
    in_namespace(|| {
        own_dev();
        let (syslog, journal) = (Service::bind(SYSLOG), Service::bind(JOURNAL));
        let outputs = "1:stderr 1:syslog:me 1:journald";
        let mut started = daemon_command();
        let daemon = Daemon::start_with(
            started.env("LIBVIRT_DEBUG", "1").env("LIBVIRT_LOG_OUTPUTS", outputs),
        );
        refused_call("x");
        let pid = daemon.pid();
        let stderr = daemon.stderr();
        let lines: Vec<_> = stderr.lines().collect();
        assert!(lines[0].contains(": info : libvirt version: 11.0.0, package: virtinterfaced "));
        assert!(lines[1].contains(": info : hostname: "), "{stderr}");
        for line in &lines {
            let (time, rest) = line.split_at("2024-02-29 12:34:56.007008+0000".len());
            let shape = time.replace(|c: char| c.is_ascii_digit(), "0");
            assert_eq!(shape, "0000-00-00 00:00:00.000000+0000", "{line}");
            assert!(rest.starts_with(&format!(": {pid}: ")), "{line}");
        }
        let ready = lines.iter().find(|line| line.ends_with(" : ready")).unwrap();
        assert!(ready.contains(": info : daemon:"), "{ready}");

        let syslog = syslog.received();
        assert!(syslog.starts_with(&format!("<30>me: {pid}: info : libvirt version: ")));
        assert!(syslog.contains(&format!("<31>me: {pid}: debug : rpc:")), "{syslog}");
        let journal = journal.received();
        for field in [
            "PRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=virtinterfaced\n\
             MESSAGE=libvirt version: 11.0.0, ",
            "LIBVIRT_SOURCE=rpc\nCODE_FILE=src/session/mod.rs\nCODE_LINE=",
            "CODE_FUNC=virtinterfaced::session\nMESSAGE=procedure ",
        ] {
            assert!(journal.contains(field), "{field} is not in {journal}");
        }
    });
}

#[test]
fn a_log_that_cannot_be_opened_at_the_start_is_one_line_and_exit_status_1() {
    in_namespace(|| {
        for (name, value, words) in [
            ("LIBVIRT_DEBUG", "loud", "Failed to set logging priority, argument 'loud' is invalid"),
            ("LIBVIRT_LOG_FILTERS", "9:x", "LIBVIRT_LOG_FILTERS: log filter \"9:x\": level"),
            (
                "LIBVIRT_LOG_OUTPUTS",
                "1:x",
                "LIBVIRT_LOG_OUTPUTS: log output \"1:x\": \"x\" is none",
            ),
            ("LIBVIRT_LOG_OUTPUTS", "1:file:/nosuch/x", "cannot open log file /nosuch/x: No such"),
            ("LIBVIRT_LOG_OUTPUTS", "1:file:/run", "cannot open log file /run: Is a directory"),
        ] {
            let output = run(daemon_command().env(name, value));
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(output.stderr.contains(words), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(!Path::new(SOCKET).exists());
        }
    });
}

#[test]
fn a_client_forges_no_line() {
    in_namespace(|| {
        let mut started = daemon_command();
        let outputs = "1:stderr 1:file:/run/test/daemon.log";
        let daemon = Daemon::start_with(
            started.env("LIBVIRT_DEBUG", "1").env("LIBVIRT_LOG_OUTPUTS", outputs),
        );
        for uri in
            ["nosuch:a\nb: error : forged", "nosuch:a\r\x1b[2Kb", "nosuch:\u{85}b\u{2028}\u{202e}c"]
        {
            refused_call(uri);
        }
        refused_call(&format!("nosuch:{}", "\n".repeat(100_000)));
        for text in [daemon.stderr(), fs::read_to_string(LOG_FILE).unwrap()] {
            for line in text.lines() {
                assert!(line.contains(&format!("+0000: {}: ", daemon.pid())), "{line}");
                assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
                assert!(line.len() < 4096, "{}", line.len());
            }
            for shown in ["a\\nb: error : forged", "a\\r\\u{1b}[2Kb", "\\u{85}b\\u{2028}\\u{202e}c"]
            {
                assert!(text.contains(shown), "{shown} is not in {text}");
            }
        }
    });
}

#[test]
fn an_unread_pipe_does_not_stop_the_daemon_and_gets_a_count_of_lost_lines() {
    in_namespace(|| {
        let (_daemon, mut pipe) = start_with_pipe();
        let mut client = RawClient::connect();
        for _ in 0..LINES_TO_FILL_IT {
            let arguments = [Arg::Some("nosuch:"), Arg::Word(0)];
            client.call(procedure::CONNECT_OPEN, &arguments).fault();
        }
        assert_eq!(RawClient::open().list_all(), ["lo"]);

        let mut text = read_some(&mut pipe);
        assert!(text.ends_with('\n'), "the last line is whole: {:?}", text.lines().last());
        assert!(!text.contains("lines were lost"));
        refused_call("x");
        text = read_some(&mut pipe);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.iter().any(|line| line.contains(" log lines were lost: ")), "{text}");
        assert!(lines.iter().any(|line| seen(line) == "refusal"), "{text}");
    });
}

#[test]
fn an_unread_terminal_does_not_stop_the_daemon() {
    in_namespace(|| {
        let (_reader, terminal) = terminal();
        let mut started = daemon_command();
        started.env("LIBVIRT_DEBUG", "1").env("LIBVIRT_LOG_OUTPUTS", "1:stderr");
        let _daemon = start_and_wait(started.stderr(terminal));
        let mut client = RawClient::connect();
        for _ in 0..LINES_TO_FILL_IT {
            let arguments = [Arg::Some("nosuch:"), Arg::Word(0)];
            client.call(procedure::CONNECT_OPEN, &arguments).fault();
        }
        assert_eq!(RawClient::open().list_all(), ["lo"]);
    });
}

#[test]
fn a_pipe_whose_reader_has_gone_stops_nothing() {
    in_namespace(|| {
        let (mut daemon, pipe) = start_with_pipe();
        drop(pipe);
        refused_call("x");
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        assert!(daemon.0.try_wait().unwrap().is_none());
    });
}

#[test]
fn a_disk_that_was_full_gets_whole_lines_again() {
    in_namespace(|| {
        const DISK: &str = "/run/test/disk";
        let (log, ballast) = (format!("{DISK}/log"), format!("{DISK}/ballast"));
        fs::create_dir(DISK).unwrap();
        run(command("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", DISK])).ok();
        fs::write(&ballast, [0; 32_768]).unwrap();
        let _daemon = Daemon::configured(&format!("log_level = 1\nlog_outputs = '1:file:{log}'"));
        let mut client = RawClient::connect();
        for _ in 0..LINES_TO_FILL_IT {
            let arguments = [Arg::Some("nosuch:"), Arg::Word(0)];
            client.call(procedure::CONNECT_OPEN, &arguments).fault();
        }
        assert!(fs::metadata(&log).unwrap().len() <= 32_768);
        fs::remove_file(&ballast).unwrap();
        refused_call("afterwards");
        let text = fs::read_to_string(&log).unwrap();
        let end: Vec<_> = text.lines().rev().take(9).collect();
        assert!(end.iter().any(|line| line.contains("log lines were lost")), "{end:#?}");
        assert!(end.iter().any(|line| line.contains("afterwards")), "{end:#?}");
        // The line that filled the disk may be cut short, but must end there.
        let is_one = |line: &str| line.starts_with("20") && line.matches("+0000: ").count() <= 1;
        assert!(text.lines().all(is_one), "{text}");
        assert!(text.ends_with('\n'));
    });
}

#[test]
fn a_full_disk_and_services_that_are_dead_or_deaf_stop_nothing() {
    in_namespace(|| {
        own_dev();
        let deaf = Service::bind(SYSLOG);
        let list = "log_level = 1\nlog_outputs = '1:file:/dev/full 1:journald 1:syslog:me'";
        let mut daemon = Daemon::configured(list);
        let mut client = RawClient::open();
        for _ in 0..1_000 {
            let arguments = [Arg::Text("nosuch")];
            client.call(procedure::INTERFACE_LOOKUP_BY_NAME, &arguments).fault();
        }
        assert_eq!(client.list_all(), ["lo"]);
        assert!(daemon.is_running());
        drop(deaf);
        fs::remove_file(SYSLOG).unwrap();
        refused_call("x");
        let anew = Service::bind(SYSLOG);
        refused_call("x");
        let text = anew.received();
        assert!(text.contains(" log lines were lost: ") && text.contains(": rpc:"), "{text}");
    });
}

/// Makes calls whose arguments are refused, with a debug line that quotes them.
fn refused_call(uri: &str) {
    let arguments = [Arg::Some(uri), Arg::Word(0)];
    RawClient::connect().call(procedure::CONNECT_OPEN, &arguments).fault();
}

/// Which of the two messages a text contains.
fn seen(text: &str) -> &'static str {
    let ends = |end: &str| text.lines().any(|line| line.trim_end().ends_with(end));
    let has_start = ends(" : ready") || ends("MESSAGE=ready");
    match (has_start, text.contains("procedure 1 of 0x20008086")) {
        (true, true) => "start refusal",
        (true, false) => "start",
        (false, true) => "refusal",
        (false, false) => "",
    }
}

/// A service that receives log lines as datagrams.
struct Service(UnixDatagram);

impl Service {
    fn bind(path: &str) -> Self {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// All datagrams received so far, with a line feed after each.
    fn received(&self) -> String {
        let (mut text, mut buffer) = (String::new(), vec![0; 65_536]);
        while let Ok(len) = self.0.recv(&mut buffer) {
            text += std::str::from_utf8(&buffer[..len]).unwrap();
            text.push('\n');
        }
        text
    }
}

/// Mounts a private `/dev` with the few devices that programs need, and without syslog.
fn own_dev() {
    let dev = format!("{DIR}/dev");
    fs::create_dir(&dev).unwrap();
    let mount = |arguments: &[&str]| run(command("mount").args(arguments)).ok();
    mount(&["-t", "tmpfs", "tmpfs", &dev]);
    for name in ["full", "null", "urandom", "zero"] {
        let place = format!("{dev}/{name}");
        File::create(&place).unwrap();
        mount(&["--bind", &format!("/dev/{name}"), &place]);
    }
    mount(&["--rbind", &dev, "/dev"]);
    assert!(fs::symlink_metadata(SYSLOG).is_err(), "the machine's own syslog is out of reach");
}

/// A daemon that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // The daemon may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a daemon that logs everything to a pipe.
fn start_with_pipe() -> (Killed, ChildStderr) {
    let mut started = daemon_command();
    let mut daemon = start_and_wait(started.env("LIBVIRT_DEBUG", "1").stderr(Stdio::piped()));
    let pipe = daemon.0.stderr.take().unwrap();
    (daemon, pipe)
}

/// Starts a daemon with the standard error of `command`, and waits until it answers.
fn start_and_wait(command: &mut Command) -> Killed {
    let daemon = Killed(command.stdin(Stdio::null()).spawn().unwrap());
    eventually("an answer", || {
        RawClient::connect_to(SOCKET)
            .is_ok_and(|mut client| client.call(procedure::AUTH_LIST, &[]).head.serial == 1)
    });
    daemon
}

/// A terminal, and its other end, from which its output could be read.
#[allow(unsafe_code, reason = "std makes no terminals")]
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut reader, mut terminal) = (-1, -1);
    let (name, modes, size) = (ptr::null_mut(), ptr::null(), ptr::null());
    // SAFETY: both pointers are to live locals; neither name, modes nor size are wanted.
    let rc = unsafe { libc::openpty(&raw mut reader, &raw mut terminal, name, modes, size) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
    // SAFETY: openpty has just created this descriptor, and nothing else owns it.
    let reader = unsafe { OwnedFd::from_raw_fd(reader) };
    // SAFETY: the same holds for this one.
    (reader, unsafe { OwnedFd::from_raw_fd(terminal) })
}

/// Reads from a pipe that has data.
fn read_some(pipe: &mut ChildStderr) -> String {
    let mut buffer = vec![0; 1024 * 1024];
    let len = pipe.read(&mut buffer).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

#[test]
fn a_user_cannot_flood_the_log_and_other_users_are_still_logged() {
    /// A user other than root, and the number of lines that one user may cause.
    const USER: u32 = 65_534;
    const SHARE: usize = 240;
    in_namespace(|| {
        for (level, calls) in [(2, 0), (1, 5)] {
            let daemon = Daemon::configured(&format!("log_level = {level}\n"));
            as_user(USER, || {
                for _ in 0..200 {
                    let mut client = RawClient::connect_to(READ_ONLY_SOCKET).unwrap();
                    client.call_open();
                    (0..calls).for_each(|_| drop(client.list_all()));
                    client.end();
                }
            });
            let mut root = RawClient::connect();
            root.call_open();
            root.end();
            let log = daemon.stderr();
            // Client numbers are the main server's: the test's check of the start was the first.
            let by_root: Vec<_> = log.lines().filter(|line| line.contains("user 0 ")).collect();
            assert!(by_root.last().is_some_and(|line| line.contains("client 202")), "{log}");
            let told = format!("user {USER} causes too many log lines; leaving out further ones");
            assert_eq!(log.matches(&told).count(), 1, "{log}");
            let of_user = |line: &&str| {
                let number = line.split("client ").nth(1).and_then(|rest| rest.split(':').next());
                number.is_some_and(|number| (2..=201).contains(&number.parse().unwrap_or(0)))
            };
            assert_eq!(log.lines().filter(of_user).count(), SHARE, "level {level}");
            daemon.stop();
        }
    });
}
