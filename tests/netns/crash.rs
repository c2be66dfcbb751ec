// SPDX-License-Identifier: LGPL-2.1-or-later
//! A daemon that dies at any point of a change: the next one finds the state before it or after it.
//!
//! The points are the system calls with an effect outside the daemon. strace(1) kills the daemon
//! just before the n-th call of a kind, counted from the call under test on, for every n until that
//! call is answered; then another daemon is started, or the process that keeps the deadline does
//! its work. A process that the daemon forks to delete a link is not traced: once forked, it does
//! its work whether or not the daemon lives, and the fork is a point of its own.
//!
//! Each point is tried in namespaces of its own, so all of them begin with the same state. Where
//! there are many of a kind, one in [`STRIDE`] is tried, and others in each run; `CRASH=all` tries
//! all of them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::full_host::{
    Found, State, await_settled, done, lay_out, settle, try_begin, try_call, try_commit,
    try_roll_back,
};
use crate::host::{bridge, definition_file, ethernet, ip_json, text};
use crate::random::seed;
use crate::recovery::STANDBY;
use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch};
use crate::support::daemon::{Daemon, SOCKET, daemon_program};
use crate::support::namespace::{DIR, in_namespace, is_installed};
use crate::support::wire::{Arg, Fault, Head, procedure};
use crate::support::{PATIENCE, eventually};

pub(crate) const STRACE: &str = "/usr/bin/strace";

/// System calls with an effect outside the daemon, as far as this architecture has them. Opening a
/// file for writing is left out, as dying before the first write has the same result.
const CALLS: &str = "?chmod,?chown,?clone,?clone3,?fchmod,?fchmodat,?fchown,?fchownat,?fdatasync,\
                     ?fork,?fsync,?ftruncate,?link,?linkat,?mkdir,?mkdirat,?pwrite64,?rename,\
                     ?renameat,?renameat2,?rmdir,?sendmsg,?sendto,?symlink,?symlinkat,?unlink,\
                     ?unlinkat,?vfork,?write,?writev";

const STRIDE: u32 = 4;

/// A scenario with a call or start during which the daemon dies.
#[derive(Clone, Copy)]
struct Story {
    name: &'static str,
    /// The calls before it.
    prepare: fn(&mut RawClient),
    deed: Deed,
    judge: fn(&World) -> Found,
    /// The number of points of a kind up to which all of them are tried.
    few: u32,
    survivor: Survivor,
}

/// The process that continues after the daemon's death.
#[derive(Clone, Copy)]
enum Survivor {
    /// Another daemon.
    Daemon,
    /// The process that keeps the deadline, with this `change_timeout` in seconds.
    Standby(u32),
}

impl Survivor {
    fn daemon(self) -> Daemon {
        match self {
            Self::Daemon => Daemon::start(),
            Self::Standby(seconds) => Daemon::configured(&format!("change_timeout = {seconds}\n")),
        }
    }

    /// Starts the daemon, or waits until the other process has rolled back.
    fn act(self) -> Option<Daemon> {
        match self {
            Self::Daemon => Some(Daemon::start()),
            Self::Standby(_) => {
                eventually("it has rolled back", || !Path::new(STANDBY).exists());
                None
            }
        }
    }
}

/// The operation under test.
#[derive(Clone, Copy)]
enum Deed {
    /// A call: its result, or `None` if it was not answered.
    Call(fn(&mut RawClient) -> Option<Result<(), Fault>>),
    /// The start of a daemon, after this preparation.
    Start(fn()),
}

/// The states of a host in a scenario.
struct World {
    /// At the beginning of the scenario.
    begun: State,
    /// Just before the operation under test.
    before: State,
    /// After the operation, if the daemon did not die.
    after: Option<Arc<State>>,
}

/// The result of trying one point.
enum Visit {
    /// The operation completed before reaching the point; the system calls that were made.
    Answered {
        called: Vec<String>,
        after: State,
    },
    Died(Found),
}

/// Defines a bridge over a NIC with many addresses and routes.
pub(crate) fn try_define(client: &mut RawClient) -> Option<Result<(), Fault>> {
    let addresses = ["192.0.2.2/24", "2001:db8::2/64"];
    let xml = bridge("br0", "stp='off'", &["eth0", "eth1"], &addresses);
    try_call(client, procedure::INTERFACE_DEFINE_XML, &[Arg::Text(&xml), Arg::Word(0)])
}

pub(crate) fn try_create(client: &mut RawClient) -> Option<Result<(), Fault>> {
    let arguments = [Arg::Text("br0"), Arg::Text(""), Arg::Word(0)];
    try_call(client, procedure::INTERFACE_CREATE, &arguments)
}

pub(crate) fn try_destroy(client: &mut RawClient) -> Option<Result<(), Fault>> {
    let arguments = [Arg::Text("br8"), Arg::Text(""), Arg::Word(0)];
    try_call(client, procedure::INTERFACE_DESTROY, &arguments)
}

/// Ensures that a transaction is open; returns whether one was open already.
pub(crate) fn find_open(client: &mut RawClient) -> Found {
    match try_begin(client).expect("an answer") {
        Ok(()) => Found::New,
        Err(fault) => {
            assert_eq!(fault.code, 55, "{fault:?}");
            Found::Old
        }
    }
}

/// Changes everything that can be changed.
pub(crate) fn change(client: &mut RawClient) {
    done(try_define(client));
    done(try_create(client));
    done(try_destroy(client));
    fs::write(definition_file("eth9"), ethernet("eth9", &[], &[])).unwrap();
    fs::set_permissions(definition_file("br8"), Permissions::from_mode(0o600)).unwrap();
    ip_batch(
        "address add 203.0.113.7/24 dev br0\naddress del 2001:db8::2/64 dev br0\n\
         link set eth2 mtu 1400\n",
    );
    eventually("what is discarded is gone", is_tidy);
}

/// Whether all renamed links have been deleted.
pub(crate) fn is_tidy() -> bool {
    !ip_json("link show").iter().any(|link| text(&link["ifname"]).starts_with("gone-"))
}

pub(crate) fn begin_and_change(client: &mut RawClient) {
    done(try_begin(client));
    change(client);
}

/// Starts a daemon that strace traces from the beginning: the daemon keeps the started process's
/// number, and strace runs beside it.
pub(crate) fn start_watched(options: &[String]) -> Daemon {
    let mut strace = command(STRACE);
    strace.arg("-D").args(options).arg(daemon_program());
    Daemon::spawn(&mut strace)
}

/// Whether a starting daemon begins to answer.
pub(crate) fn comes_up(daemon: &mut Daemon) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while daemon.is_running() {
        assert!(Instant::now() < deadline, "neither up nor gone");
        let call = Head::call(procedure::AUTH_LIST, 1).frame(&[]);
        // It may die between the connection and the answer.
        if RawClient::connect_to(SOCKET).is_ok_and(|mut client| {
            client.stream.write_all(&call).is_ok() && client.receive().is_some()
        }) {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Attaches strace to a running daemon.
pub(crate) fn watch(daemon: &Daemon, options: &[String]) -> Child {
    let mut strace = command(STRACE);
    strace.args(options).args(["-p", &daemon.pid().to_string()]);
    let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // By this message the daemon is stopped under strace, which counts every later call.
    let mut said = String::new();
    let mut stderr = BufReader::new(strace.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.contains("attached"), "{said}");
    strace
}

/// Runs the scenario once, with the daemon dying at `point`: the n-th call of a name.
fn tell(story: &Story, point: Option<(&str, u32)>, after: Option<Arc<State>>) -> Visit {
    lay_out();
    let log = format!("{DIR}/strace");
    let mut options = vec!["-o".to_owned(), log.clone(), "-e".to_owned()];
    options.push(match point {
        Some((call, _)) => format!("trace={call}"),
        None => format!("trace={CALLS}"),
    });
    if let Some((call, number)) = point {
        let injection = format!("inject={call}:signal=SIGKILL:when={number}");
        options.extend(["-e".to_owned(), injection]);
    }
    let mut daemon = story.survivor.daemon();
    let begun = State::take();
    let mut client = RawClient::open();
    (story.prepare)(&mut client);
    let before = State::take();
    let is_answered = match story.deed {
        Deed::Call(call) => {
            let mut strace = watch(&daemon, &options);
            let outcome = call(&mut client);
            if outcome.is_none() {
                daemon.wait();
            }
            // strace ends with the traced process.
            let after = outcome.is_some().then(|| {
                outcome.unwrap().unwrap();
                strace.kill().unwrap();
            });
            strace.wait().unwrap();
            after.is_some()
        }
        Deed::Start(leave) => {
            daemon.kill();
            leave();
            daemon = start_watched(&options);
            comes_up(&mut daemon)
        }
    };
    let mut world = World { begun, before, after };
    if is_answered {
        // The daemon may also die in the work after its answer.
        eventually("what is discarded is gone", || !daemon.is_running() || is_tidy());
        await_settled();
        let after = State::take();
        daemon.kill();
        let log = fs::read_to_string(&log).unwrap();
        let name = |line: &str| line.split_once('(').map(|(name, _)| name.to_owned());
        let called = log.lines().filter_map(name).collect();
        // The effect of an answered call is permanent.
        let _daemon = story.survivor.act();
        let after = Arc::new(after);
        world.after = Some(after.clone());
        assert_eq!((story.judge)(&world), Found::New, "{}: it was answered", story.name);
        drop(world);
        return Visit::Answered { called, after: Arc::into_inner(after).unwrap() };
    }
    drop(daemon);
    let _daemon = story.survivor.act();
    Visit::Died((story.judge)(&world))
}

/// Runs the scenario in namespaces of its own; `None` if that is impossible.
fn tell_apart(
    story: Story,
    point: Option<(String, u32)>,
    after: Option<Arc<State>>,
) -> Option<Visit> {
    let (tell_it, hear_it) = mpsc::channel();
    in_namespace(move || {
        let point = point.as_ref().map(|(call, number)| (call.as_str(), *number));
        tell_it.send(tell(&story, point, after)).unwrap();
    });
    hear_it.recv().ok()
}

/// The point under test, which is printed if the test fails.
struct Trial<'a>(&'a str, &'a str, u32);

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self(story, call, number) = self;
            println!("{story}: when it died before {call} number {number}");
        }
    }
}

/// Runs the scenario with a death at each point.
fn die_everywhere(story: Story) {
    if !is_installed(STRACE) {
        return;
    }
    let is_whole = env::var_os("CRASH").is_some();
    let phase = u32::try_from(seed("CRASH_SEED") % u64::from(STRIDE)).unwrap();
    let begun = Instant::now();
    let Some(Visit::Answered { called, after }) = tell_apart(story, None, None) else { return };
    let after = Arc::new(after);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    called.into_iter().for_each(|call| *counts.entry(call).or_default() += 1);
    let mut found: BTreeMap<Found, u32> = BTreeMap::new();
    for (call, count) in &counts {
        let is_tried = |number: &u32| is_whole || *count <= story.few || number % STRIDE == phase;
        for number in (1..).filter(is_tried) {
            let _trial = Trial(story.name, call, number);
            let point = Some((call.clone(), number));
            match tell_apart(story, point, Some(after.clone())).expect("a namespace") {
                Visit::Answered { .. } => break,
                Visit::Died(which) => *found.entry(which).or_default() += 1,
            }
        }
    }
    let (tried, total): (u32, u32) = (found.values().sum(), counts.values().sum());
    println!("{}: {tried} of {total} points tried in {:?}: {found:?}", story.name, begun.elapsed());
    println!("{}: {counts:?}", story.name);
}

#[test]
fn in_begin() {
    die_everywhere(Story {
        name: "begin",
        few: 25,
        survivor: Survivor::Daemon,
        prepare: |_| {},
        deed: Deed::Call(try_begin),
        judge: |world| {
            world.before.assert_is_back("begin changes nothing");
            let mut client = RawClient::open();
            let open = find_open(&mut client);
            change(&mut client);
            done(try_roll_back(&mut client));
            world.before.assert_is_back("rolled back");
            match open {
                Found::Old => Found::New,
                Found::New => Found::Old,
            }
        },
    });
}

#[test]
fn in_commit() {
    die_everywhere(Story {
        name: "commit",
        few: 25,
        survivor: Survivor::Daemon,
        prepare: begin_and_change,
        deed: Deed::Call(try_commit),
        judge: |world| {
            world.before.assert_is_back("as the change has made it");
            let mut client = RawClient::open();
            let found = find_open(&mut client);
            done(try_roll_back(&mut client));
            match found {
                Found::Old => world.begun.assert_is_back("rolled back"),
                Found::New => world.before.assert_is_back("committed"),
            }
            found
        },
    });
}

fn judge_rollback(world: &World) -> Found {
    let mut client = RawClient::open();
    let found = find_open(&mut client);
    if found == Found::Old {
        world.before.assert_is_back("not rolled back yet");
    }
    done(try_roll_back(&mut client));
    world.begun.assert_is_back("rolled back");
    found
}

#[test]
fn in_rollback() {
    die_everywhere(Story {
        name: "rollback",
        few: 25,
        survivor: Survivor::Daemon,
        prepare: begin_and_change,
        deed: Deed::Call(try_roll_back),
        judge: judge_rollback,
    });
}

/// A call within a transaction is undone or done, and the transaction is still open.
fn judge_part(world: &World) -> Found {
    let mut states = vec![(Found::Old, &world.before)];
    states.extend(world.after.as_deref().map(|after| (Found::New, after)));
    let found = settle(&states, "neither as before nor done");
    let mut client = RawClient::open();
    assert_eq!(find_open(&mut client), Found::Old, "the change is open still");
    done(try_roll_back(&mut client));
    world.begun.assert_is_back("rolled back");
    found
}

#[test]
fn in_define_within_a_change() {
    die_everywhere(Story {
        name: "define",
        few: 25,
        survivor: Survivor::Daemon,
        prepare: |client| done(try_begin(client)),
        deed: Deed::Call(try_define),
        judge: judge_part,
    });
}

#[test]
fn in_create_within_a_change() {
    die_everywhere(Story {
        name: "create",
        few: 40,
        survivor: Survivor::Daemon,
        prepare: |client| {
            done(try_begin(client));
            done(try_define(client));
        },
        deed: Deed::Call(try_create),
        judge: judge_part,
    });
}

/// No other daemon is started.
#[test]
fn in_create_within_a_change_that_has_a_deadline() {
    die_everywhere(Story {
        name: "create with a deadline",
        few: 1,
        survivor: Survivor::Standby(4),
        prepare: |client| {
            done(try_begin(client));
            eventually("a process stands by", || Path::new(STANDBY).exists());
            done(try_define(client));
        },
        deed: Deed::Call(try_create),
        judge: |world| {
            world.begun.assert_is_back("rolled back in time");
            Found::New
        },
    });
}

#[test]
fn in_destroy_within_a_change() {
    die_everywhere(Story {
        name: "destroy",
        few: 25,
        survivor: Survivor::Daemon,
        prepare: |client| done(try_begin(client)),
        deed: Deed::Call(try_destroy),
        judge: judge_part,
    });
}

/// The second daemon dies too.
#[test]
fn in_a_start_that_rolls_back() {
    die_everywhere(Story {
        name: "start",
        few: 2,
        survivor: Survivor::Daemon,
        prepare: begin_and_change,
        deed: Deed::Start(|| {
            let folder = "/var/lib/libvirt/interface/change";
            fs::rename(format!("{folder}/snapshot"), format!("{folder}/rollback")).unwrap();
        }),
        judge: |world| {
            assert_eq!(judge_rollback(world), Found::New);
            Found::New
        },
    });
}
