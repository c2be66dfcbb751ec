// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs that are executed by this process, since tests cannot fork; and a process that dies.

use super::*;
use crate::execution::{HookScript, Occasion};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Returns an executor that runs a shell script in place of every program.
fn shell(script: &'static str) -> Executor {
    Executor::within(Box::new(move |_| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::piped()).process_group(0).spawn()
    }))
}

fn program() -> Program {
    Program::Hook { script: HookScript::Daemon, occasion: Occasion::Start }
}

fn end_of(execution: &Execution) -> String {
    loop {
        execution.executor.read();
        if let Some(end) = execution.end() {
            assert!(execution.executor.take_news() && !execution.executor.has_news());
            return end.to_string();
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_program_is_told_to_end_in_three_ways_and_ends_by_itself() {
    type Act = fn(&Execution);
    for (script, act, want) in [
        ("exit 3", (|_| ()) as Act, "exit status: 3"),
        ("exec sleep 20", Execution::terminate, "signal: 15 (SIGTERM)"),
        ("trap '' TERM; sleep 20; :", Execution::kill_group, "signal: 9 (SIGKILL)"),
        ("read line; exit 7", Execution::dismiss, "exit status: 7"),
    ] {
        let execution = shell(script).start(program(), None).unwrap();
        act(&execution);
        assert_eq!(end_of(&execution), want, "{script}");
    }
}

#[test]
fn a_pid_is_reserved_until_the_program_is_forgotten() {
    let executor = shell("exit 0");
    let execution = executor.start(program(), None).unwrap();
    assert_eq!(end_of(&execution), "exit status: 0");
    let stat = format!("/proc/{}/stat", execution.pid());
    assert!(fs::read_to_string(&stat).unwrap().contains(") Z "));
    drop(execution);
    assert!(fs::read_to_string(&stat).is_err(), "reaped");
    assert!(!executor.has_news());
}

#[test]
fn a_program_that_was_forgotten_runs_on() {
    let executor = shell("read line; exit 0");
    let execution = executor.start(program(), None).unwrap();
    let pid = execution.pid();
    let stat = format!("/proc/{pid}/stat");
    drop(execution);
    executor.read();
    assert!(!fs::read_to_string(&stat).unwrap().contains(") Z "));
    process::signal_number(pid, libc::SIGKILL).unwrap();
    while fs::exists(&stat).unwrap() {
        executor.read();
    }
    assert!(!executor.has_news());
}

#[test]
fn a_program_whose_time_is_over_is_killed_with_its_group() {
    let executor = shell("(sleep 20; exit 1) & wait");
    let execution = executor.start(program(), Some(Duration::from_millis(50))).unwrap();
    assert_eq!(end_of(&execution), "killed, as it took too long");
    assert!(!executor.has_news(), "reported once");
}

#[test]
fn a_program_that_cannot_be_executed_is_refused_with_the_reason() {
    let executor = Executor::within(Box::new(|_| File::open("/nonexistent").map(|_| panic!())));
    let refused = executor.start(program(), None).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOENT));
}

/// Returns an executor whose process is played by the other end.
fn played() -> (Executor, UnixStream) {
    let (near_end, far_end) = UnixStream::pair().unwrap();
    near_end.set_nonblocking(true).unwrap();
    (Executor::over(Way::Process(near_end), None), far_end)
}

fn say(far_end: &mut UnixStream, report: Report) {
    let mut bytes = Vec::new();
    report.encode(&mut bytes);
    far_end.write_all(&bytes).unwrap();
}

#[test]
fn when_the_process_dies_running_programs_have_an_unknown_end_and_none_is_started() {
    let (executor, mut far_end) = played();
    say(&mut far_end, Report::Started { id: ProgramId(1), pid: 4711 });
    let execution = executor.start(program(), None).unwrap();
    assert_eq!((execution.pid(), execution.end()), (4711, None));
    drop(far_end);
    executor.read();
    assert_eq!((execution.end(), executor.is_alive()), (Some(End::Unknown), false));
    assert!(executor.take_news());
    let refused = executor.start(program(), None).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(GONE));
}

#[test]
fn a_process_that_says_nonsense_is_given_up() {
    for nonsense in [&[0xff; 4][..], &[0, 0, 0, 4, 0, 0, 0, 9]] {
        let (executor, mut far_end) = played();
        far_end.write_all(nonsense).unwrap();
        assert_eq!(executor.start(program(), None).unwrap_err().raw_os_error(), Some(GONE));
        assert!(!executor.is_alive());
    }
}

#[test]
fn a_report_that_comes_too_late_or_twice_changes_nothing() {
    let (executor, mut far_end) = played();
    let id = ProgramId(1);
    say(&mut far_end, Report::Started { id, pid: 4711 });
    say(&mut far_end, Report::Overdue { id });
    say(&mut far_end, Report::Ended { id, status: 9 });
    say(&mut far_end, Report::Ended { id: ProgramId(99), status: 9 });
    let execution = executor.start(program(), None).unwrap();
    executor.read();
    assert_eq!(execution.end(), Some(End::Overdue));
    drop(execution);
    let mut sent = Vec::new();
    read_now(
        &mut {
            far_end.set_nonblocking(true).unwrap();
            far_end
        },
        &mut sent,
    )
    .unwrap();
    let mut requests = Vec::new();
    while let Some(message) = execution::take(&mut sent).unwrap() {
        requests.push(Request::decode(&message).unwrap());
    }
    let start = Request::Start { id, program: program(), time_max: None };
    assert_eq!(requests, [start, Request::Forget(id)]);
}
