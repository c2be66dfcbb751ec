// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures how much readers are delayed by a client that creates and destroys bridges without a
//! pause.

use std::io;
use std::time::{Duration, Instant};

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::rounds::COUNT;
use crate::server::{Kind, Log, Server};
use crate::sys::Epoll;
use crate::table::{Figures, Target, Unit};

const READER_COUNT: usize = 32;
const ROUND: Duration = Duration::from_millis(300);

/// The token of the client that changes the host; readers have the lower ones.
const CHANGER: usize = READER_COUNT;

/// How many times its undisturbed value the median may be.
const DISTURBANCE_MAX: f64 = 1.3;

/// A client that always has one call in flight.
#[derive(Debug)]
struct Reader {
    client: Client,
    call: CallFrame,
    since: Instant,
}

/// Measures and prints both cases, which take turns.
pub(crate) fn print() -> io::Result<()> {
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let mut changer = Client::open(server.path())?;
    changer.call(&CallFrame::define(isolated_host::NEW_BRIDGE_XML))?;
    let mut readers = readers(&server)?;
    let [mut quiet, mut disturbed] = [const { Vec::new() }; 2];
    let mut change_count = 0;
    for _ in 0..COUNT {
        read(&mut readers, None, &mut quiet)?;
        change_count += read(&mut readers, Some(&mut changer), &mut disturbed)?;
        // The deferred deletion belongs to neither case.
        isolated_host::wait_until_tidy()?;
    }
    changer.call(&CallFrame::undefine(isolated_host::NEW_BRIDGE))?;
    let median = print_times("", &mut quiet, Target::None)?;
    let target = Target::AtMost(DISTURBANCE_MAX * median);
    print_times(", while bridges come and go", &mut disturbed, target)?;
    let seconds = ROUND.as_secs_f64() * f64::from(u32::try_from(COUNT).unwrap_or(u32::MAX));
    let rate = Figures::of_ours(f64::from(change_count) / seconds);
    rate.print("... changes that the bridges took", Unit::Rate, Target::None);
    Ok(())
}

/// Connects the readers. Each makes one of three calls.
fn readers(server: &Server) -> io::Result<Vec<Reader>> {
    let calls = [CallFrame::lookup_by_name, CallFrame::is_active, CallFrame::xml_desc];
    let calls = calls.into_iter().cycle().take(READER_COUNT);
    let reader = |call: fn(&str) -> CallFrame| {
        let (client, call) = (Client::open(server.path())?, call(isolated_host::BRIDGE));
        Ok(Reader { client, call, since: Instant::now() })
    };
    calls.map(reader).collect()
}

/// Has all readers call for one round, and records how long each call took. Returns the number of
/// changes made.
fn read(
    readers: &mut [Reader],
    mut changer: Option<&mut Client>,
    times: &mut Vec<f64>,
) -> io::Result<u32> {
    let mut epoll = Epoll::new()?;
    let mut calls = [CallFrame::create, CallFrame::destroy].into_iter().cycle();
    let mut next_change = || calls.next().map(|call| call(isolated_host::NEW_BRIDGE));
    let mut change_count = 0;
    if let (Some(changer), Some(change)) = (changer.as_deref_mut(), next_change()) {
        epoll.add(&*changer, CHANGER)?;
        changer.send(&change)?;
    }
    let end = Instant::now() + ROUND;
    for (token, reader) in readers.iter_mut().enumerate() {
        epoll.add(&reader.client, token)?;
        reader.call()?;
    }
    let mut under_way = readers.len() + usize::from(changer.is_some());
    while under_way > 0 {
        for token in epoll.wait()? {
            if let (CHANGER, Some(changer)) = (token, changer.as_deref_mut()) {
                if changer.receive()? == 0 {
                    continue;
                }
                change_count += 1;
                // The round ends with the bridge destroyed.
                if change_count % 2 == 1 || Instant::now() < end {
                    next_change().map_or(Ok(()), |change| changer.send(&change))?;
                } else {
                    under_way -= 1;
                }
            }
            let Some(reader) = readers.get_mut(token) else { continue };
            if reader.client.receive()? == 0 {
                continue;
            }
            times.push(reader.since.elapsed().as_secs_f64());
            if Instant::now() < end {
                reader.call()?;
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(change_count)
}

impl Reader {
    fn call(&mut self) -> io::Result<()> {
        self.since = Instant::now();
        self.client.send(&self.call)
    }
}

/// Prints the distribution, and returns the median.
fn print_times(case: &str, times: &mut [f64], target: Target) -> io::Result<f64> {
    times.sort_by(f64::total_cmp);
    let at = |part: usize, of: usize| {
        let time = times.get(times.len() * part / of).or(times.last());
        time.copied().ok_or_else(|| io::Error::other("nothing was measured"))
    };
    let print = |measure: &str, time, target| {
        Figures::of_ours(time).print(measure, Unit::Time, target);
    };
    let median = at(1, 2)?;
    print(&format!("a look by 32 clients{case}"), median, target);
    print("... 99 of 100 take no longer than", at(99, 100)?, Target::None);
    print("... the longest", at(1, 1)?, Target::None);
    Ok(median)
}
