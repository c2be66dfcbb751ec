// SPDX-License-Identifier: LGPL-2.1-or-later
//! The pid file: it is written, locked, named in a conflict, and removed at the end.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::command::command;
use crate::support::daemon::{
    ADMIN_SOCKET, Daemon, PID_FILE, READ_ONLY_SOCKET, SOCKET, daemon_command, daemon_program,
    run_daemon,
};
use crate::support::namespace::{DIR, in_namespace};

const DRIVER_LOCK: &str = "/run/libvirt/interface/virtinterfaced.pid";

/// A user other than root.
const NOBODY: u32 = 65_534;

fn number_in(path: &str) -> u32 {
    fs::read_to_string(path).unwrap().trim_end().parse().unwrap()
}

#[test]
fn it_holds_the_number_and_all_users_can_read_it() {
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
            for path in [PID_FILE, SOCKET, READ_ONLY_SOCKET, ADMIN_SOCKET, DRIVER_LOCK] {
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
            "virtinterfaced: {DRIVER_LOCK} is held by process {}: already running\n",
            first.pid()
        );
        assert_eq!((output.stderr, output.status.code()), (want, Some(1)));
        assert_eq!(number_in(PID_FILE), first.pid());
    });
}

/// A process that holds a lock on the first byte of a file (fcntl(2)). It is killed when dropped.
struct Locker(Child);

impl Locker {
    /// `kind` is `LOCK_SH`, for which the file is opened read-only, or `LOCK_EX`.
    fn start(uid: u32, kind: &str, path: &str) -> Self {
        let script = format!(
            "import fcntl, sys, time\n\
             file = open('{path}', 'rb' if '{kind}' == 'LOCK_SH' else 'r+b')\n\
             fcntl.lockf(file, fcntl.{kind}, 1)\n\
             print('locked', flush=True)\n\
             time.sleep(600)\n"
        );
        let mut python = command("/usr/bin/python3");
        python.args(["-c", &script]).uid(uid).gid(uid).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut said = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"locked\n");
        Self(child)
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_other_user_keeps_a_dead_daemon_from_starting_again() {
    in_namespace(|| {
        Daemon::start().kill();
        let _reader = Locker::start(NOBODY, "LOCK_SH", PID_FILE);
        let daemon = Daemon::start();
        assert_eq!(number_in(PID_FILE), daemon.pid());
        assert_eq!(fs::metadata(PID_FILE).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(DRIVER_LOCK).unwrap().mode() & 0o777, 0o600);
        assert_eq!(run_daemon(&[]).status.code(), Some(1), "the driver's lock is another");
        assert_eq!(daemon.stop().code(), Some(0));
        assert!(!Path::new(PID_FILE).exists());
    });
}

#[test]
fn a_pid_file_that_another_user_can_write_is_replaced() {
    in_namespace(|| {
        for (label, owner, mode) in [("its mode", 0, 0o666), ("its owner", NOBODY, 0o644)] {
            fs::write(PID_FILE, "12345").unwrap();
            fs::set_permissions(PID_FILE, Permissions::from_mode(mode)).unwrap();
            chown(PID_FILE, Some(owner), Some(owner)).unwrap();
            let _writer = Locker::start(NOBODY, "LOCK_EX", PID_FILE);
            let daemon = Daemon::start();
            assert_eq!(number_in(PID_FILE), daemon.pid(), "{label}");
            let now = fs::metadata(PID_FILE).unwrap();
            assert_eq!((now.uid(), now.mode() & 0o777), (0, 0o644), "{label}");
            daemon.stop();
        }
    });
}

#[test]
fn a_pid_file_that_a_daemon_with_another_drivers_lock_holds_is_left_to_it() {
    in_namespace(|| {
        fs::write(PID_FILE, "12345\n").unwrap();
        let older = Locker::start(0, "LOCK_EX", PID_FILE);
        let output = run_daemon(&[]);
        let want = format!(
            "virtinterfaced: {PID_FILE} is held by process {}: already running\n",
            older.0.id()
        );
        assert_eq!((output.stderr, output.status.code()), (want, Some(1)));
        assert_eq!(number_in(PID_FILE), 12345);
        assert!(!Path::new(DRIVER_LOCK).exists(), "the driver's lock was given back");
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
fn in_a_folder_that_others_can_change_no_link_is_followed_and_no_other_name_written_to() {
    in_namespace(|| {
        let (dir, precious) = (format!("{DIR}/shared"), format!("{DIR}/precious"));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
        fs::write(&precious, "precious").unwrap();
        let pid_file = format!("{dir}/pid");
        symlink(&precious, &pid_file).unwrap();
        let output = run_daemon(&["-p", &pid_file]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        fs::remove_file(&pid_file).unwrap();
        fs::hard_link(&precious, &pid_file).unwrap();
        let daemon = Daemon::start_with(daemon_command().args(["-p", &pid_file]));
        assert_eq!(number_in(&pid_file), daemon.pid());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    });
}

#[test]
fn a_path_that_is_not_a_regular_file_is_refused_and_left_alone() {
    in_namespace(|| {
        let pipe = format!("{DIR}/pipe");
        command("mkfifo").arg(&pipe).status().unwrap();
        for path in ["/run", &pipe] {
            let output = run_daemon(&["-p", path]);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(output.stderr.contains(path) && Path::new(path).exists(), "{output:?}");
        }
        // The pipe stands for a device, which the test cannot create. It has a reader and a writer
        // already, so opening it does not block.
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let output = run_daemon(&["-p", &pipe]);
        assert!(
            output.stderr.ends_with("is not a regular file, so it cannot hold a pid\n"),
            "{output:?}"
        );
        assert!(Path::new(&pipe).exists());
    });
}

#[test]
fn modes_do_not_depend_on_the_starters_umask() {
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
