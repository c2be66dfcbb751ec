// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host's tools: ip, virsh, and other programs that check the daemon's results.
//!
//! Their language is set to C, and their home to the test's directory.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use super::namespace::DIR;

/// The output and status of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Standard output; the program must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// Standard error without blank lines; the program must have failed.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert!(!self.status.success(), "{self:?}");
        let lines: Vec<_> = self.stderr.lines().filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }
}

/// A command whose environment refers to nothing outside the test.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("LC_ALL", "C").env("HOME", DIR).current_dir("/");
    command
}

/// Runs it to its end, with `input` on standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // A program that ends early breaks the pipe; its status shows the cause.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().unwrap()
    });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    run_with_input(command, "")
}

/// Runs `ip` with blank-separated arguments; it must succeed.
#[track_caller]
pub(crate) fn ip(arguments: &str) -> String {
    run(command("ip").args(arguments.split_whitespace())).ok()
}

/// Runs many `ip` commands, one a line, in one process; all must succeed.
#[track_caller]
pub(crate) fn ip_batch(lines: &str) {
    run_with_input(command("ip").args(["-batch", "-"]), lines).ok();
}

/// Runs `virsh` with blank-separated arguments against the system daemon.
pub(crate) fn virsh(arguments: &str) -> Output {
    let mut virsh = command("virsh");
    run(virsh.args(["-c", "interface:///system"]).args(arguments.split_whitespace()))
}

/// Runs `virsh` as [`virsh`] does, but over the read-only socket.
pub(crate) fn virsh_read_only(arguments: &str) -> Output {
    virsh(&format!("-r {arguments}"))
}
