// SPDX-License-Identifier: LGPL-2.1-or-later
//! The built daemon as a child: starts it, waits until it answers, and stops it.
//!
//! Its standard error goes to a file, so it never blocks on the test.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{env, io};

use super::client::RawClient;
use super::command::{Output, command, run};
use super::namespace::DIR;
use super::wire::procedure;
use super::{PATIENCE, eventually};

pub(crate) const SOCKET: &str = "/run/libvirt/virtinterfaced-sock";
pub(crate) const READ_ONLY_SOCKET: &str = "/run/libvirt/virtinterfaced-sock-ro";
pub(crate) const ADMIN_SOCKET: &str = "/run/libvirt/virtinterfaced-admin-sock";
pub(crate) const PID_FILE: &str = "/run/virtinterfaced.pid";

/// A running daemon. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts it without options and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&mut daemon_command())
    }

    /// Starts it with this configuration and waits until it answers.
    pub(crate) fn configured(text: &str) -> Self {
        Self::start_with(daemon_command().args(["-f", &config_file(text)]))
    }

    /// Starts it by `command` and waits until it answers.
    pub(crate) fn start_with(command: &mut Command) -> Self {
        let mut daemon = Self::spawn(command);
        daemon.wait_for(SOCKET);
        daemon
    }

    /// Starts it by `command`.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let stderr = PathBuf::from(format!("{DIR}/stderr-{number}"));
        let file = File::create(&stderr).unwrap();
        let child = command.stdin(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, stderr }
    }

    /// Starts it by `command`, and waits until the started process ends, even if a daemon remains:
    /// returns its status and standard error.
    pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
        let mut daemon = Self::spawn(command);
        (daemon.wait().code(), daemon.stderr())
    }

    /// Waits until it answers at the socket at `path` and has closed that connection.
    pub(crate) fn wait_for(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        eventually(&format!("an answer at {}", path.display()), || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended early: {ended:?}\n{}", self.stderr());
            RawClient::connect_to(path).is_ok_and(|mut client| {
                client.call(procedure::AUTH_LIST, &[]);
                client.end();
                true
            })
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Sends it a signal.
    #[allow(unsafe_code, reason = "std sends no signal but SIGKILL")]
    pub(crate) fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).unwrap();
        // SAFETY: kill takes integers; the child is not reaped yet, so the number is still its own.
        let rc = unsafe { libc::kill(pid, signal) };
        assert_eq!(rc, 0, "signal {signal}");
    }

    /// Stops it as an init system does, and returns how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Kills it, so that its files remain.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptor_count(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// How many context switches it had: the count stays the same while it sleeps.
    pub(crate) fn switch_count(&self) -> u64 {
        self.status_number("voluntary_ctxt_switches")
            + self.status_number("nonvoluntary_ctxt_switches")
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident_len(&self) -> u64 {
        self.status_number("VmRSS") * 1024
    }

    /// Waits until it has a handler for this signal, and no longer: much of the rest of its start
    /// is done within a millisecond.
    pub(crate) fn wait_for_handler(&self, signal: i32) {
        let deadline = Instant::now() + PATIENCE;
        while u64::from_str_radix(&self.status("SigCgt"), 16).unwrap() & 1 << (signal - 1) == 0 {
            assert!(Instant::now() < deadline, "no handler for signal {signal}");
        }
    }

    /// A number of `/proc/PID/status`.
    fn status_number(&self, field: &str) -> u64 {
        self.status(field).parse().unwrap()
    }

    /// The first word of a field of `/proc/PID/status`.
    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap().split_whitespace().next().unwrap().to_owned()
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The daemon may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the daemon's last words:\n{}", self.last_words());
        }
    }
}

impl Daemon {
    fn last_words(&self) -> String {
        const LINE_COUNT_MAX: usize = 40;
        let text = self.stderr();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LINE_COUNT_MAX)..].join("\n")
    }
}

/// A daemon in the background, which is not a child of the test. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Background {
    pid: u32,
    /// A pidfd (pidfd_open(2)), as the number may be reused.
    process: OwnedFd,
}

impl Background {
    /// Starts it by `command`, which has `-d`, and returns when the started process has ended
    /// successfully.
    #[track_caller]
    pub(crate) fn start_with(command: &mut Command) -> Self {
        let starter = Daemon::run(command);
        assert_eq!(starter, (Some(0), String::new()));
        Self::of_pid_file(PID_FILE)
    }

    /// The process named in a pid file.
    #[allow(unsafe_code, reason = "std has no word for such a descriptor")]
    pub(crate) fn of_pid_file(path: &str) -> Self {
        let pid: u32 = fs::read_to_string(path).unwrap().trim_end().parse().unwrap();
        // SAFETY: pidfd_open takes integers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(fd).unwrap();
        assert!(fd >= 0, "process {pid}: {}", io::Error::last_os_error());
        // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
        Self { pid, process: unsafe { OwnedFd::from_raw_fd(fd) } }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A file of its `/proc/PID`.
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    /// Stops it as an init system does, and waits for its end.
    pub(crate) fn stop(self) {
        assert!(self.signal(libc::SIGTERM), "it has ended already");
        eventually("the daemon ends", || !self.is_running());
    }

    /// Whether it still runs; a zombie does not count.
    #[allow(unsafe_code, reason = "std cannot poll")]
    pub(crate) fn is_running(&self) -> bool {
        let fd = self.process.as_raw_fd();
        let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one live pollfd, as the count says.
        let count = unsafe { libc::poll(&raw mut wanted, 1, 0) };
        assert!(count >= 0, "{}", io::Error::last_os_error());
        count == 0
    }

    /// Sends it a signal; false if it has ended.
    #[allow(unsafe_code, reason = "std sends no signal but SIGKILL")]
    pub(crate) fn signal(&self, signal: i32) -> bool {
        let (fd, no_info) = (self.process.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: the descriptor is open; a null pointer is what kill would send.
        let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, 0) };
        rc == 0
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The daemon may have ended already.
        self.signal(libc::SIGKILL);
    }
}

/// The path of the daemon: the one that was built with the test, or the one that `TEST_DAEMON`
/// names, as on a machine that both were copied to.
pub(crate) fn daemon_program() -> String {
    let carried = env::var("TEST_DAEMON");
    carried.unwrap_or_else(|_| env!("CARGO_BIN_EXE_virtinterfaced").to_owned())
}

/// The daemon's command, without options.
pub(crate) fn daemon_command() -> Command {
    command(&daemon_program())
}

/// Runs the daemon to its end: for options with which it does not keep running.
pub(crate) fn run_daemon(arguments: &[&str]) -> Output {
    run(daemon_command().args(arguments))
}

/// Writes a configuration file; returns its path.
pub(crate) fn config_file(text: &str) -> String {
    let path = format!("{DIR}/virtinterfaced.conf");
    fs::write(&path, text).unwrap();
    path
}
