// SPDX-License-Identifier: LGPL-2.1-or-later
//! `--daemon`: when the started process returns, its status and output, and the environment of the
//! daemon that remains.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::hooks::script;
use crate::support::client::RawClient;
use crate::support::command::command;
use crate::support::daemon::{
    ADMIN_SOCKET, Background, Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, config_file,
    daemon_command, daemon_program,
};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace};

fn start() -> Background {
    Background::start_with(daemon_command().arg("-d"))
}

/// Starts a daemon whose start fails: returns the started process's status and output.
fn start_in_vain(arguments: &[&str]) -> (Option<i32>, String) {
    Daemon::run(daemon_command().arg("-d").args(arguments))
}

#[test]
fn the_starter_returns_in_silence_when_clients_are_served() {
    in_namespace(|| {
        for option in ["-d", "--daemon"] {
            let daemon = Background::start_with(daemon_command().arg(option));
            // There is no wait: once the started process has reported success, the daemon answers.
            assert_eq!(RawClient::open().list_all(), ["lo"], "{option}");
            daemon.stop();
            for path in [PID_FILE, SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET] {
                assert!(!Path::new(path).exists(), "{option} left {path}");
            }
        }
    });
}

/// The daemon's working directory is `/`, but relative paths refer to that of its starter.
#[test]
fn relative_paths_are_seen_from_where_it_was_started() {
    in_namespace(|| {
        config_file("unix_sock_ro_perms = '0750'");
        let mut command = daemon_command();
        command.args(["-d", "-f", "virtinterfaced.conf", "-p", "own.pid"]).current_dir(DIR);
        assert_eq!(Daemon::run(&mut command), (Some(0), String::new()));
        let daemon = Background::of_pid_file(&format!("{DIR}/own.pid"));
        assert_eq!(crate::sockets::mode(READ_ONLY_SOCKET), 0o750);
        config_file("unix_sock_ro_perms = '0700'");
        assert!(daemon.signal(libc::SIGHUP));
        eventually("the same file is read again", || {
            crate::sockets::mode(READ_ONLY_SOCKET) == 0o700
        });
        daemon.stop();
    });
}

#[test]
fn the_pid_file_has_the_number_of_the_process_that_stays() {
    in_namespace(|| {
        let daemon = start();
        let program = fs::read_link(daemon.proc("exe")).unwrap();
        assert_eq!(program, Path::new(&daemon_program()));
        let (status, stderr) = start_in_vain(&[]);
        let want = format!("is held by process {}: already running", daemon.pid());
        assert!(stderr.contains(&want), "{stderr}");
        assert_eq!(status, Some(1));
        assert!(daemon.is_running());
    });
}

/// A field of `/proc/PID/stat` (proc(5)), counted from 1.
fn stat(daemon: &Background, field: usize) -> i64 {
    let text = fs::read_to_string(daemon.proc("stat")).unwrap();
    // The second field is the name, in parentheses, and may contain any character.
    let (_, behind_name) = text.rsplit_once(") ").unwrap();
    behind_name.split(' ').nth(field - 3).unwrap().parse().unwrap()
}

#[test]
fn the_daemon_has_left_session_directory_and_streams_of_its_starter() {
    in_namespace(|| {
        let daemon = Background::start_with(daemon_command().arg("-d").current_dir(DIR));
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let own_session: i64 =
            own.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().parse().unwrap();
        let (parent, session, terminal) = (stat(&daemon, 4), stat(&daemon, 6), stat(&daemon, 7));
        assert_ne!(session, own_session);
        assert_ne!(session, i64::from(daemon.pid()), "it could get a terminal");
        assert_eq!(terminal, 0);
        assert_ne!(parent, i64::from(std::process::id()));
        assert!(
            !Path::new(&format!("/proc/{session}")).exists(),
            "the process between them has ended"
        );
        assert_eq!(fs::read_link(daemon.proc("cwd")).unwrap(), Path::new("/"));
        for stream in ["fd/0", "fd/1", "fd/2"] {
            let target = fs::read_link(daemon.proc(stream)).unwrap();
            assert_eq!(target, Path::new("/dev/null"), "{stream}");
        }
    });
}

#[test]
fn modes_do_not_depend_on_the_mask_of_the_starter() {
    in_namespace(|| {
        for mask in ["000", "077"] {
            let mut shell = command("sh");
            let program = &daemon_program();
            shell.args(["-c", &format!("umask {mask}; exec \"$0\" -d"), program]);
            let daemon = Background::start_with(&mut shell);
            let mode = |path: &str| fs::metadata(path).unwrap().mode() & 0o777;
            assert_eq!(mode("/run/libvirt"), 0o755, "{mask}");
            assert_eq!(mode(PID_FILE), 0o644, "{mask}");
            let status = fs::read_to_string(daemon.proc("status")).unwrap();
            assert!(status.contains("Umask:\t0022"), "{mask}: {status}");
            daemon.stop();
            fs::remove_dir_all("/run/libvirt").unwrap();
        }
    });
}

#[test]
fn a_start_that_fails_after_the_fork_reports_it_on_the_starters_standard_error() {
    in_namespace(|| {
        fs::create_dir("/run/libvirt").unwrap();
        let _other = UnixListener::bind(SOCKET).unwrap();
        let (status, stderr) = start_in_vain(&[]);
        assert!(stderr.contains("another daemon listens there"), "{stderr}");
        assert_eq!((status, stderr.lines().count()), (Some(6), 1), "{stderr}");
        assert!(!Path::new(PID_FILE).exists(), "what was made is removed again");
    });
}

#[test]
fn a_start_that_fails_before_the_fork_reports_it_as_usual() {
    in_namespace(|| {
        let file = config_file("log_level = 9");
        let want = format!("virtinterfaced: {file}:1:13: log_level: expected 0 to 4\n");
        assert_eq!(start_in_vain(&["-f", &file]), (Some(1), want));
    });
}

#[test]
fn a_daemon_in_the_foreground_is_not_replaced_by_one_in_the_background() {
    in_namespace(|| {
        let mut first = Daemon::start();
        let (status, stderr) = start_in_vain(&[]);
        let want = format!("is held by process {}: already running", first.pid());
        assert!(stderr.contains(&want), "{stderr}");
        assert_eq!(status, Some(1));
        assert!(first.is_running());
    });
}

#[test]
fn the_starter_waits_for_the_start_hooks() {
    in_namespace(|| {
        let done = format!("{DIR}/done");
        if script("daemon", &format!("[ $2 = start ] && sleep 1\n: > {done}")) {
            let _daemon = start();
            assert!(Path::new(&done).exists());
        }
    });
}

#[test]
fn a_daemon_that_dies_without_a_word_is_a_failed_start() {
    in_namespace(|| {
        if script("daemon", "read -r _ _ _ daemon _ </proc/$PPID/stat; kill -9 $daemon") {
            let (status, stderr) = start_in_vain(&[]);
            assert_eq!((status, stderr.lines().count()), (Some(1), 1), "{stderr}");
        }
    });
}

#[test]
fn the_end_of_the_starters_session_does_not_end_it() {
    in_namespace(|| {
        let mut session = command("setsid");
        session.args(["--wait", &daemon_program(), "-d"]);
        let daemon = Background::start_with(&mut session);
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        daemon.stop();
    });
}
