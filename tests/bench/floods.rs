// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures how much one user who takes all that it can get delays others: 63 clients of another
//! user, and root.
//!
//! The user's threads run only when nothing else wants the processor, so that the figures show the
//! daemon, not the competition for processors.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::server::{Kind, Log, Server};
use crate::sys;
use crate::table::{Figures, Target, Unit};

const GREEDY: u32 = 65_534;
const MODEST: u32 = 65_533;
const MODEST_COUNT: usize = 63;

/// Time to connect, and to measure in.
const PREPARATION: Duration = Duration::from_millis(1500);
const DURATION: Duration = Duration::from_secs(3);

/// The pause between two calls of the other user's clients.
const PAUSE: Duration = Duration::from_micros(200);

/// The time after which the daemon must have given the memory back.
const REST: Duration = Duration::from_secs(1);

const DISTURBANCE_MAX: f64 = 1.3;
const ROOT_TIME_MAX: f64 = 100e-3;
const MEMORY_MAX: f64 = 64e6;
const MEMORY_LEFT_MAX: f64 = 1.5;

/// The largest message, less one byte.
const LARGEST_LEN: usize = 33_554_436 - 1;

/// What the greedy user does on its connections until it is told to stop.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Connects so many times, and does nothing.
    Hold(usize),
    /// Sends a message up to its last byte, on so many connections.
    Largest(usize),
    /// Makes this call over and over on 1,000 connections, and reads the replies.
    Call(fn() -> CallFrame),
    /// The same without reading.
    Unread(fn() -> CallFrame),
    /// Connects and leaves.
    Visit,
}

const ATTACKS: [(&str, Attack); 9] = [
    ("5,000 connections", Attack::Hold(5_000)),
    ("32 MiB messages on 50", Attack::Largest(50)),
    ("lists on 1,000", Attack::Call(CallFrame::list_all)),
    ("look-ups by MAC on 1,000", Attack::Call(CallFrame::lookup_by_mac)),
    ("opens on 1,000", Attack::Call(CallFrame::open)),
    ("pings on 1,000", Attack::Call(CallFrame::ping)),
    ("half calls on 1,000", Attack::Unread(CallFrame::half)),
    ("lists on 1,000, unread", Attack::Unread(CallFrame::list_all)),
    ("connecting and leaving", Attack::Visit),
];

/// Whether the user reads the replies to its calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Replies {
    Read,
    Unread,
}

/// The figures of one run.
#[derive(Debug)]
struct Disturbance {
    /// The 99th percentile of the calls of the other user's clients.
    call: f64,
    /// The longest time in which root connects and gets a list. It then begins and commits, which
    /// the disk may delay.
    root: f64,
    memory: f64,
    memory_left: f64,
}

/// Measures and prints.
pub(crate) fn print() -> io::Result<()> {
    sys::raise_descriptor_limit()?;
    isolated_host::add_shared_links()?;
    let quiet = measure(None)?;
    let time = |seconds| Figures::of_ours(seconds);
    time(quiet.call).print("63 clients of a user, 99 %", Unit::Time, Target::None);
    time(quiet.root).print("root: connect, open, list; longest", Unit::Time, Target::None);
    time(quiet.memory_left).print("memory", Unit::Memory, Target::None);
    for (name, attack) in ATTACKS {
        let disturbed = measure(Some(attack))?;
        let target = Target::AtMost(DISTURBANCE_MAX * quiet.call);
        time(disturbed.call).print(&format!("99 % with {name}"), Unit::Time, target);
        time(disturbed.root).print("... root", Unit::Time, Target::AtMost(ROOT_TIME_MAX));
        time(disturbed.memory).print("... memory", Unit::Memory, Target::AtMost(MEMORY_MAX));
        let target = Target::AtMost(MEMORY_LEFT_MAX * quiet.memory_left);
        time(disturbed.memory_left).print("... afterwards", Unit::Memory, target);
    }
    isolated_host::remove_shared_links()
}

fn measure(attack: Option<Attack>) -> io::Result<Disturbance> {
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let read_only = &*read_only(&server);
    let mut modest = as_user(MODEST, || {
        (0..MODEST_COUNT).map(|_| Client::open(read_only)).collect::<io::Result<Vec<_>>>()
    })??;
    let is_over = &AtomicBool::new(false);
    let (call, root, memory) = thread::scope(|scope| {
        let attacker = attack.map(|attack| {
            let run = move || run(attack, read_only, is_over);
            scope.spawn(move || {
                sys::set_thread_user(GREEDY).and_then(|()| sys::yield_to_all()).and_then(|()| run())
            })
        });
        if attack.is_some() {
            thread::sleep(PREPARATION);
        }
        let figures = watch(&server, &mut modest);
        is_over.store(true, Ordering::Relaxed);
        let ended = attacker.map(|attacker| attacker.join());
        match ended {
            Some(Ok(Err(err))) => Err(err),
            Some(Err(_)) => Err(io::Error::other("the greedy user failed")),
            Some(Ok(Ok(()))) | None => figures,
        }
    })?;
    thread::sleep(REST);
    Ok(Disturbance { call, root, memory, memory_left: resident(&server)? })
}

/// Calls as the other user and as root: the figures of [`Disturbance`], but for the last.
fn watch(server: &Server, modest: &mut [Client]) -> io::Result<(f64, f64, f64)> {
    let call = CallFrame::lookup_by_name(isolated_host::BRIDGE);
    let (mut times, mut root, mut memory) = (Vec::new(), 0.0_f64, 0.0_f64);
    let begin = Instant::now();
    while begin.elapsed() < DURATION {
        for client in &mut *modest {
            let before = Instant::now();
            client.call(&call)?;
            times.push(before.elapsed().as_secs_f64());
            thread::sleep(PAUSE);
        }
        let before = Instant::now();
        let mut client = Client::open(server.path())?;
        client.call(&CallFrame::list_all())?;
        root = root.max(before.elapsed().as_secs_f64());
        client.call(&CallFrame::begin())?;
        client.call(&CallFrame::commit())?;
        memory = memory.max(resident(server)?);
    }
    times.sort_by(f64::total_cmp);
    let percentile = times.get(times.len() * 99 / 100).copied();
    percentile.map(|time| (time, root, memory)).ok_or_else(|| io::Error::other("no call was made"))
}

/// Does what the user does, until it is over. That it is refused is no failure.
fn run(attack: Attack, path: &Path, is_over: &AtomicBool) -> io::Result<()> {
    let connect = |count: usize| (0..count).map(|_| UnixStream::connect(path));
    match attack {
        Attack::Hold(count) => {
            let held = connect(count).collect::<io::Result<Vec<_>>>()?;
            wait(is_over);
            drop(held);
        }
        Attack::Largest(count) => {
            let frame = CallFrame::of_len(LARGEST_LEN + 1);
            let mut held = connect(count).collect::<io::Result<Vec<_>>>()?;
            for client in &mut held {
                client.write_all(frame.bytes().get(..LARGEST_LEN).unwrap_or_default())?;
            }
            wait(is_over);
        }
        Attack::Call(call) => flood(path, &call(), is_over, Replies::Read)?,
        Attack::Unread(call) => flood(path, &call(), is_over, Replies::Unread)?,
        Attack::Visit => {
            while !is_over.load(Ordering::Relaxed) {
                drop(UnixStream::connect(path)?);
            }
        }
    }
    Ok(())
}

/// Opens 1,000 connections, and makes the call on each of them in turn.
fn flood(path: &Path, call: &CallFrame, is_over: &AtomicBool, replies: Replies) -> io::Result<()> {
    const COUNT: usize = 1_000;
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        let mut client = UnixStream::connect(path)?;
        client.write_all(CallFrame::open().bytes())?;
        client.set_nonblocking(true)?;
        clients.push(client);
    }
    let mut buffer = vec![0; 65_536];
    while !is_over.load(Ordering::Relaxed) {
        for client in &mut clients {
            // A full socket, and a connection that the daemon has closed, count for nothing.
            let _ = client.write(call.bytes());
            while replies == Replies::Read
                && client.read(&mut buffer).is_ok_and(|len| len == buffer.len())
            {}
        }
    }
    Ok(())
}

fn wait(is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `what` as a user, in a thread of its own.
fn as_user<T: Send>(uid: u32, what: impl FnOnce() -> T + Send) -> io::Result<T> {
    let ended = thread::scope(|scope| {
        scope.spawn(move || sys::set_thread_user(uid).map(|()| what())).join()
    });
    ended.unwrap_or_else(|_| Err(io::Error::other("a user's thread failed")))
}

fn read_only(server: &Server) -> PathBuf {
    server.path().with_file_name("virtinterfaced-sock-ro")
}

fn resident(server: &Server) -> io::Result<f64> {
    Ok(server.status("VmRSS")? * 1024.0)
}
