// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures the cost of a thousand definitions: the same links with and without them, in turns.

use std::io;
use std::time::Instant;

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::rounds::{COUNT, median};
use crate::server::{Kind, Log, Server};
use crate::table::{Figures, Target, Unit};

const LISTS_A_ROUND: usize = 10;

/// How many times as long a list may take with definitions as without.
const BURDEN_MAX: f64 = 1.5;

/// The name of an additional definition; no link has it.
const ONE_MORE: &str = "one-more";

/// The largest size of the inotify events for one new file: for the temporary file and the final
/// one, an event each for creating, closing, moving and removing it.
const NEWS_LEN_MAX: f64 = 512.0;

/// The measured costs of one of the two cases.
#[derive(Debug, Default)]
struct Cost {
    list: Vec<f64>,
    list_bytes: Vec<f64>,
    define: Vec<f64>,
    define_bytes: Vec<f64>,
}

/// Measures and prints both cases.
pub(crate) fn print() -> io::Result<()> {
    isolated_host::add_definable_links()?;
    let server = Server::start(Kind::Ours, Log::Quiet)?;
    let mut client = Client::open(server.path())?;
    let (mut without, mut with) = (Cost::default(), Cost::default());
    let mut first = Vec::new();
    for _ in 0..COUNT {
        without.measure(&server, &mut client)?;
        isolated_host::write_definitions()?;
        first.push(timed(|| client.call(&CallFrame::list_all()))?);
        with.measure(&server, &mut client)?;
        isolated_host::remove_definitions()?;
        client.call(&CallFrame::list_all())?;
    }
    let list = of(without.list)?;
    Figures::of_ours(list).print("LIST_ALL of 1,000 links", Unit::Time, Target::None);
    let target = Target::AtMost(BURDEN_MAX * list);
    let figures = Figures::of_ours(of(with.list)?);
    figures.print("... with 1,000 definitions", Unit::Time, target);
    let bytes = Figures::of_ours(of(with.list_bytes)?);
    bytes.print("... of whose files it reads", Unit::Bytes, Target::AtMost(0.0));
    let first = Figures::of_ours(of(first)?);
    first.print("... just after all of them were written", Unit::Time, Target::None);
    let define = Figures::of_ours(of(without.define)?);
    define.print("one more definition, of none", Unit::Time, Target::None);
    let define = Figures::of_ours(of(with.define)?);
    define.print("... of 1,000", Unit::Time, Target::None);
    let bytes = Figures::of_ours(of(with.define_bytes)?);
    bytes.print("... of whose files it reads", Unit::Bytes, Target::AtMost(one_file()?));
    Ok(())
}

/// The largest number of bytes read after one change: the definition's file and its events.
fn one_file() -> io::Result<f64> {
    let len = u32::try_from(isolated_host::definition(ONE_MORE).len()).map_err(io::Error::other)?;
    Ok(f64::from(len) * 1.5 + NEWS_LEN_MAX)
}

impl Cost {
    fn measure(&mut self, server: &Server, client: &mut Client) -> io::Result<()> {
        for _ in 0..LISTS_A_ROUND {
            let before = server.bytes_read()?;
            self.list.push(timed(|| client.call(&CallFrame::list_all()))?);
            self.list_bytes.push(server.bytes_read()? - before);
        }
        let before = server.bytes_read()?;
        let call = CallFrame::define(&isolated_host::definition(ONE_MORE));
        self.define.push(timed(|| client.call(&call))?);
        // The reply shows that the daemon has processed the event of its own change.
        client.call(&CallFrame::lookup_by_name(ONE_MORE))?;
        self.define_bytes.push(server.bytes_read()? - before);
        client.call(&CallFrame::undefine(ONE_MORE))?;
        client.call(&CallFrame::is_active(isolated_host::BRIDGE))
    }
}

fn of(figures: Vec<f64>) -> io::Result<f64> {
    median(figures).ok_or_else(|| io::Error::other("nothing was measured"))
}

fn timed(action: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed().as_secs_f64())
}
