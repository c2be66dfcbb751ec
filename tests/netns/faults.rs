// SPDX-License-Identifier: LGPL-2.1-or-later
//! A system call that fails at any point of a change: the change is complete or undone, and a
//! rollback succeeds in the end.
//!
//! strace(1) makes the n-th call of a kind fail, counted from the operation under test on, like a
//! bad disk, a full table or a lack of memory; the daemon survives and may try again. [`TRIED`]
//! points of an operation are tried, and others in each run; `FAULTS=60` tries more, and
//! `FAULTS=all` all points with all errors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, panic};

use crate::crash::{
    STRACE, begin_and_change, change, comes_up, find_open, start_watched, try_create, try_define,
    watch,
};
use crate::full_host::{
    Found, State, await_settled, done, lay_out, try_begin, try_call, try_commit, try_roll_back,
};
use crate::random::seed;
use crate::support::client::RawClient;
use crate::support::daemon::{Daemon, SOCKET, config_file, daemon_command};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace, is_installed};
use crate::support::wire::{Arg, Fault, procedure};
use crate::transaction::CHANGE;

/// How many points of an operation are tried.
const TRIED: usize = 8;

/// System calls, and the errors that they fail with. Calls that exist only on some architectures
/// have an equivalent on the others.
const FAULTS: [(&str, &[&str]); 24] = [
    ("clone", &["EAGAIN", "ENOMEM"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("fchmod", &["EIO", "EROFS"]),
    ("fchown", &["EIO", "EPERM"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("fork", &["EAGAIN", "ENOMEM"]),
    ("getdents64", &["EIO"]),
    ("mkdir", &["ENOSPC", "EROFS", "EACCES", "ENOENT"]),
    ("mkdirat", &["ENOSPC", "EROFS", "EACCES", "ENOENT"]),
    ("newfstatat", &["EIO", "EACCES"]),
    ("openat", &["EIO", "EMFILE", "ENFILE", "EROFS", "ENOSPC", "ENOENT"]),
    ("readlink", &["EIO"]),
    ("readlinkat", &["EIO"]),
    ("recvfrom", &["ENOBUFS", "ENOMEM"]),
    ("recvmsg", &["ENOBUFS", "ENOMEM"]),
    ("rename", &["EROFS", "EIO", "ENOSPC", "EACCES", "ENOENT"]),
    ("renameat", &["EROFS", "EIO", "ENOSPC", "EACCES", "ENOENT"]),
    ("sendmsg", &["ENOBUFS", "ENOMEM"]),
    ("sendto", &["ENOBUFS", "ENOMEM"]),
    ("statx", &["EIO", "EACCES"]),
    ("symlink", &["ENOSPC", "EIO", "ENOENT"]),
    ("unlink", &["EROFS", "EIO", "EACCES"]),
    ("vfork", &["EAGAIN", "ENOMEM"]),
    ("write", &["ENOSPC", "EIO"]),
];

/// A scenario with an operation during which a system call fails.
#[derive(Clone, Copy)]
struct Story {
    name: &'static str,
    /// `change_timeout` in seconds; 0 for none.
    timeout: u32,
    prepare: fn(&mut RawClient),
    deed: Deed,
    /// Checks the host afterwards, given the result of the operation.
    judge: fn(&World, Option<Result<(), Fault>>),
}

#[derive(Clone, Copy)]
enum Deed {
    Call(fn(&mut RawClient) -> Option<Result<(), Fault>>),
    /// The deadline passes.
    Wait,
    /// A daemon starts and completes a rollback.
    Start,
}

struct World {
    /// Before the transaction.
    begun: State,
    /// Just before the operation.
    before: State,
}

/// A failing system call: its name, its ordinal, and its error.
#[derive(Clone, Copy, Debug)]
struct Point(&'static str, usize, &'static str);

fn daemon(story: &Story) -> Command {
    let mut daemon = daemon_command();
    daemon.args(["-f", &config_file(&format!("change_timeout = {}\n", story.timeout))]);
    daemon
}

/// Begins a transaction as soon as none is open or being rolled back. Connecting may fail, as it is
/// also affected.
fn begin_again() {
    let try_open = || {
        let mut client = RawClient::connect_to(SOCKET).ok()?;
        let arguments = [Arg::Some("interface:///system"), Arg::Word(0)];
        try_call(&mut client, procedure::CONNECT_OPEN, &arguments)?.ok().map(|()| client)
    };
    eventually("a change can begin", || {
        try_open().and_then(|mut client| try_begin(&mut client)).is_some_and(|it| it.is_ok())
    });
}

/// Checks that another transaction can begin, and that all its changes are undone.
fn assert_as_good_as_new(state: &State) {
    begin_again();
    state.assert_is_back("before another change");
    let mut client = RawClient::open();
    change(&mut client);
    done(try_roll_back(&mut client));
    state.assert_is_back("after another change");
}

/// Runs the scenario once; returns how often each system call was made.
fn tell(story: &Story, point: Option<Point>) -> BTreeMap<String, usize> {
    lay_out();
    let log = format!("{DIR}/strace");
    let mut options = vec!["-o".to_owned(), log.clone(), "-e".to_owned()];
    match point {
        Some(Point(call, number, errno)) => {
            options.push(format!("trace={call}"));
            options.push("-e".to_owned());
            options.push(format!("inject={call}:error={errno}:when={number}"));
        }
        None => {
            let calls: Vec<_> = FAULTS.iter().map(|(call, _)| format!("?{call}")).collect();
            options.push(format!("trace={}", calls.join(",")));
        }
    }
    let mut of_story = Daemon::start_with(&mut daemon(story));
    let begun = State::take();
    let mut client = RawClient::open();
    (story.prepare)(&mut client);
    await_settled();
    let world = World { begun, before: State::take() };
    let mut outcome = None;
    match story.deed {
        Deed::Call(call) => {
            let mut strace = watch(&of_story, &options);
            outcome = call(&mut client);
            strace.kill().unwrap();
            strace.wait().unwrap();
        }
        Deed::Wait => {
            let mut strace = watch(&of_story, &options);
            let is_there = |name: &str| Path::new(CHANGE).join(name).exists();
            eventually("the snapshot goes", || !is_there("snapshot") && !is_there("rollback"));
            strace.kill().unwrap();
            strace.wait().unwrap();
        }
        Deed::Start => {
            of_story.kill();
            fs::rename(format!("{CHANGE}/snapshot"), format!("{CHANGE}/rollback")).unwrap();
            of_story = start_watched(&options);
            if !comes_up(&mut of_story) {
                of_story = Daemon::start();
            }
        }
    }
    let mut counts = BTreeMap::new();
    let log = fs::read_to_string(&log).unwrap();
    for (call, _) in log.lines().filter_map(|line| line.split_once('(')) {
        *counts.entry(call.to_owned()).or_default() += 1;
    }
    (story.judge)(&world, outcome);
    assert!(of_story.is_running());
    counts
}

/// Runs the scenario in namespaces of its own; `None` if that is impossible.
fn tell_apart(story: Story, point: Option<Point>) -> Option<BTreeMap<String, usize>> {
    let (tell_it, hear_it) = std::sync::mpsc::channel();
    in_namespace(move || tell_it.send(tell(&story, point)).unwrap());
    hear_it.recv().ok()
}

fn fail_everywhere(story: Story) {
    if !is_installed(STRACE) {
        return;
    }
    let started = Instant::now();
    let Some(counts) = tell_apart(story, None) else { return };
    let wanted = env::var("FAULTS").unwrap_or_else(|_| TRIED.to_string());
    let is_whole = wanted == "all";
    let seed = seed("FAULTS_SEED");
    println!("FAULTS_SEED={seed}");
    let phase = usize::try_from(seed % 1000).unwrap();
    let mut points = Vec::new();
    for (call, errnos) in FAULTS {
        for number in 1..=counts.get(call).copied().unwrap_or_default() {
            let all = errnos.iter().map(|errno| Point(call, number, errno));
            let one = (number + phase) % errnos.len();
            points.extend(all.enumerate().filter(|(at, _)| is_whole || *at == one).map(|it| it.1));
        }
    }
    let total = points.len();
    let stride = if is_whole { 1 } else { total.div_ceil(wanted.parse().unwrap()).max(1) };
    let chosen: Vec<_> = points.into_iter().skip(phase % stride).step_by(stride).collect();
    // A failure does not stop the test, so the others are found too.
    let is_survived = |point: &&Point| {
        let told = panic::catch_unwind(|| tell_apart(story, Some(**point)).expect("a namespace"));
        told.inspect_err(|_| println!("{}: when {point:?} failed", story.name)).is_ok()
    };
    let survived_count = chosen.iter().filter(is_survived).count();
    let tried = chosen.len();
    println!("{}: {tried} of {total} points tried in {:?}", story.name, started.elapsed());
    assert_eq!(survived_count, tried, "{}: the points are named above", story.name);
}

#[test]
fn in_begin() {
    fail_everywhere(Story {
        name: "begin",
        timeout: 0,
        prepare: |_| {},
        deed: Deed::Call(try_begin),
        judge: |world, outcome| {
            world.before.assert_is_back("begin changes nothing");
            match outcome {
                Some(Ok(())) => {
                    let mut client = RawClient::open();
                    change(&mut client);
                    done(try_roll_back(&mut client));
                }
                // No transaction was begun.
                Some(Err(_)) => {}
                None => {
                    if find_open(&mut RawClient::open()) == Found::Old {
                        done(try_roll_back(&mut RawClient::open()));
                    } else {
                        done(try_commit(&mut RawClient::open()));
                    }
                }
            }
            assert_as_good_as_new(&world.before);
        },
    });
}

#[test]
fn in_commit() {
    fail_everywhere(Story {
        name: "commit",
        timeout: 0,
        prepare: begin_and_change,
        deed: Deed::Call(try_commit),
        judge: |world, outcome| {
            world.before.assert_is_back("commit changes nothing");
            let found = find_open(&mut RawClient::open());
            match outcome {
                Some(Ok(())) => assert_eq!(found, Found::New),
                Some(Err(_)) => assert_eq!(found, Found::Old, "it is open still"),
                None => {}
            }
            done(try_roll_back(&mut RawClient::open()));
            let state = if found == Found::Old { &world.begun } else { &world.before };
            state.assert_is_back("rolled back");
        },
    });
}

#[test]
fn in_rollback() {
    fail_everywhere(Story {
        name: "rollback",
        timeout: 0,
        prepare: begin_and_change,
        deed: Deed::Call(try_roll_back),
        judge: |world, outcome| {
            // If the client's connection was lost, the call may not have arrived.
            if outcome.is_none() {
                let _ = try_roll_back(&mut RawClient::open());
            }
            assert_as_good_as_new(&world.begun);
        },
    });
}

#[test]
fn at_a_deadline() {
    fail_everywhere(Story {
        name: "deadline",
        timeout: 4,
        prepare: begin_and_change,
        deed: Deed::Wait,
        judge: |world, _| {
            begin_again();
            world.begun.assert_is_back("after the deadline");
        },
    });
}

#[test]
fn in_a_job_of_a_change() {
    fail_everywhere(Story {
        name: "job",
        timeout: 0,
        prepare: |client| done(try_begin(client)),
        deed: Deed::Call(|client| match try_define(client) {
            Some(Ok(())) => try_create(client),
            outcome => outcome,
        }),
        judge: |world, _| {
            assert_eq!(find_open(&mut RawClient::open()), Found::Old);
            let _ = try_roll_back(&mut RawClient::open());
            assert_as_good_as_new(&world.begun);
        },
    });
}

#[test]
fn in_a_start_that_rolls_back() {
    fail_everywhere(Story {
        name: "start",
        timeout: 0,
        prepare: begin_and_change,
        deed: Deed::Start,
        judge: |world, _| assert_as_good_as_new(&world.begun),
    });
}
