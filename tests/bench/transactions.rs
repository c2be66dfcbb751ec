// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures how long it takes to begin a transaction on a host with 4,000 links, to commit it, and
//! to roll it back after one link was changed.
//!
//! Also measures how long a client that looks waits meanwhile, and the memory that is left in use.
//!
//! Each round also measures the necessary kernel requests sent bare, from the dump of everything to
//! the request for the restored link.

use std::fs::File;
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::looks::{Waits, beside_looks};
use crate::request::{Request, dump_all, dump_of, set_mtu};
use crate::rounds::{COUNT, median};
use crate::server::{Kind, Log, Server};
use crate::size;
use crate::sys;
use crate::table::{Figures, Target, Unit};

/// The link that is changed, and its MTU before and after.
const LINK: &str = isolated_host::PORTS[0];
const MTU: u32 = 1500;
const OTHER_MTU: u32 = 1400;

/// How many times as long as the bare dumps a begin may take.
const BEGIN_MAX: f64 = 1.2;

/// How long 99 of 100 looks may wait, in seconds.
const WAIT_MAX: f64 = 2e-3;

/// The time after which memory is given back.
const MEMORY_PAUSE: Duration = Duration::from_secs(1);

/// `NLMSG_DONE`, `NLMSG_ERROR`.
const DONE: u16 = 3;
const ERROR: u16 = 2;

/// Measures and prints everything, on a host that has its links already.
pub(crate) fn print() -> io::Result<()> {
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let mut client = Client::open(server.path())?;
    let mut socket = File::from(sys::route_socket()?);
    let index = sys::link_index(LINK)?;
    let [mut begin, mut commit, mut rollback, mut bare_begin, mut bare_rollback] =
        [const { Vec::new() }; 5];
    let (all, of_link) = (dump_all(), dump_of(index));
    let before = size::resident(&server)?;
    for _ in 0..COUNT {
        begin.push(timed(|| client.call(&CallFrame::begin()))?);
        commit.push(timed(|| client.call(&CallFrame::commit()))?);
        client.call(&CallFrame::begin())?;
        send(&mut socket, &set_mtu(LINK, index, OTHER_MTU))?;
        rollback.push(timed(|| client.call(&CallFrame::rollback()))?);
        bare_begin.push(timed(|| all.iter().try_for_each(|it| send(&mut socket, it)))?);
        send(&mut socket, &set_mtu(LINK, index, OTHER_MTU))?;
        bare_rollback.push(timed(|| {
            all.iter().try_for_each(|request| send(&mut socket, request))?;
            send(&mut socket, &set_mtu(LINK, index, MTU))?;
            of_link.iter().try_for_each(|request| send(&mut socket, request))
        })?);
    }
    let of = |times| median(times).ok_or_else(|| io::Error::other("no round"));
    let begin = Figures::beside_bare(of(begin)?, of(bare_begin)?);
    begin.print("begin, with 4,000 links", Unit::Time, Target::OfBare(BEGIN_MAX));
    let rollback = Figures::beside_bare(of(rollback)?, of(bare_rollback)?);
    rollback.print("... rollback of one changed link", Unit::Time, Target::OverBare(20e-3));
    Figures::of_ours(of(commit)?).print("... commit", Unit::Time, Target::None);
    thread::sleep(MEMORY_PAUSE);
    let more = Figures::of_ours(size::resident(&server)? - before);
    more.print("... more memory a second after them", Unit::Memory, Target::AtMost(1e6));
    print_waits(&server, &mut client, &mut socket, index)
}

/// Measures the waits of a client that looks during begin and rollback.
fn print_waits(
    server: &Server,
    client: &mut Client,
    socket: &mut File,
    index: u32,
) -> io::Result<()> {
    let [mut begin, mut rollback] = [const { Waits::none() }; 2];
    for _ in 0..COUNT {
        begin.append(beside_looks(server, || client.call(&CallFrame::begin()))?.1);
        send(socket, &set_mtu(LINK, index, OTHER_MTU))?;
        rollback.append(beside_looks(server, || client.call(&CallFrame::rollback()))?.1);
    }
    for (text, waits) in [("begin", begin), ("rollback", rollback)] {
        let text = format!("... 99 % of looks during {text}");
        Figures::of_ours(waits.of_most()?).print(&text, Unit::Time, Target::AtMost(WAIT_MAX));
    }
    Ok(())
}

fn timed(action: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Sends one request, and reads the complete answer.
fn send(socket: &mut File, request: &Request) -> io::Result<()> {
    socket.write_all(&request.bytes)?;
    let mut answer = vec![0; 64 * 1024];
    loop {
        let len = socket.read(&mut answer)?;
        let kind = answer.get(..len).and_then(|answer| answer.get(4..6)?.first_chunk());
        match kind.map(|kind| u16::from_ne_bytes(*kind)) {
            Some(DONE | ERROR) => return Ok(()),
            Some(_) => {}
            None => return Err(io::Error::other(format!("{}: no answer", request.text))),
        }
    }
}
