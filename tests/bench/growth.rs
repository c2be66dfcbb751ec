// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures costs that must not grow with the host: a link that appears, and the description of a
//! bridge, with 10 to 16,000 links.

use std::io;
use std::thread;
use std::time::Duration;

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::latency::median_of_call;
use crate::rounds::{COUNT, median};
use crate::server::{Kind, Log, Server};
use crate::table::{Figures, Target, Unit};

/// The numbers of links.
const SIZES: [usize; 4] = [10, 1_000, 4_000, 16_000];

/// A link that appears may cost so much processor time, in seconds.
const APPEARANCE_MAX: f64 = 30e-6;

/// How many times as long as on the smallest host a description may take.
const GROWTH_MAX: f64 = 1.2;

/// The links that appear in a round, one after the other.
const APPEARANCES: usize = 100;

/// The group of these links, which the kernel deletes together.
const GROUP: u32 = 7;

/// The bridge and its port.
const SETTING: &str = "link add single0 type bridge\n\
    link add single1 type veth peer name single2\n\
    link set single1 master single0\n";
const BRIDGE: &str = "single0";

/// The pause before processor time is read: the daemon acts on the last event.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures and prints both costs, on a host of its own.
pub(crate) fn print() -> io::Result<()> {
    let _other = isolated_host::renew_network()?;
    isolated_host::ip(SETTING)?;
    let mut count = 0;
    let mut smallest = None;
    for size in SIZES {
        isolated_host::add_links(count..size / 2)?;
        count = size / 2;
        let server = Server::start(Kind::Ours, Log::Quiet)?;
        let describe = median_of_call(&server, &CallFrame::xml_desc(BRIDGE), 2_000)?;
        let smallest = *smallest.get_or_insert(describe);
        let text = format!("GET_XML_DESC of a bridge, with {size} links");
        let target = Target::AtMost(GROWTH_MAX * smallest);
        Figures::of_ours(describe).print(&text, Unit::Time, target);
        let appearance = Figures::of_ours(appearance(&server)?);
        let target = Target::AtMost(APPEARANCE_MAX);
        appearance.print("... processor, a link that appears", Unit::Time, target);
    }
    Ok(())
}

/// The daemon's processor time for a link that appears.
fn appearance(server: &Server) -> io::Result<f64> {
    let mut client = Client::open(server.path())?;
    let mut times = Vec::new();
    for _ in 0..COUNT {
        let add = |number: usize| format!("link add new{number} group {GROUP} type bridge\n");
        let before = server.processor_time()?;
        isolated_host::ip(&(0..APPEARANCES).map(add).collect::<String>())?;
        thread::sleep(PAUSE);
        let spent = server.processor_time()? - before;
        times.push(spent / APPEARANCES as f64);
        isolated_host::ip(&format!("link delete group {GROUP}\n"))?;
        client.call(&CallFrame::lib_version())?;
    }
    median(times).ok_or_else(|| io::Error::other("no round"))
}
