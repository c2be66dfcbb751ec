// SPDX-License-Identifier: LGPL-2.1-or-later
//! The benchmark: compares the daemon with libvirt's own driver, with ifupdown, and with the limit
//! of this kernel.
//!
//! It runs in namespaces of its own, so it does not touch the host's interfaces or sockets, and
//! needs only one command. Servers are measured in many short rounds in turn, so that other load on
//! the machine affects all of them equally. The comparison with the bare server reserves a
//! processor for the server; the comparison with libvirtd leaves placement to the scheduler.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, waits, and gets its measures as arguments"
)]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(clippy::print_stderr, reason = "so is saying why there is none")]

mod bare;
mod bare_changes;
mod changes;
mod client;
mod crowd;
mod definitions;
mod floods;
mod growth;
mod latency;
mod looks;
mod readers;
mod request;
mod rollbacks;
mod rounds;
mod server;
mod size;
mod sys;
mod table;
mod throughput;
mod transactions;
mod isolated_host;

use std::io;
use std::process::ExitCode;

use crate::client::CallFrame;
use crate::server::{Log, Placement, Servers};
use crate::table::{Target, Unit};

/// From the small host to the large one, as added links are never removed.
const PARTS: [(&str, Part); 13] = [
    ("start", start),
    ("calls", calls),
    ("crowds", crowds),
    ("memory", memory),
    ("changes", changes::print),
    ("readers", readers::print),
    ("rollbacks", rollbacks::print),
    ("shares", floods::print),
    ("definitions", definitions::print),
    ("links", links),
    ("transactions", transactions::print),
    ("routes", routes),
    ("growth", growth::print),
];

/// How many times as long as without routes a link's description may take: within the measure's
/// own error.
const ROUTES_BURDEN_MAX: f64 = 1.1;

/// Measures and prints.
type Part = fn() -> io::Result<()>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let result = match arguments.as_slice() {
        [argument, path] if argument == bare::ARGUMENT => bare::serve(path.as_ref()),
        [argument] if argument == bare_changes::ARGUMENT => bare_changes::serve(),
        wanted => isolated_host::enter().and_then(|()| bench(wanted)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("bench: {err}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all parts, or those that are named.
fn bench(wanted: &[String]) -> io::Result<()> {
    isolated_host::add_bridge()?;
    isolated_host::add_ports()?;
    table::print_head();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| part == name);
    PARTS.into_iter().filter(|(name, _)| is_wanted(name)).try_for_each(|(_, part)| part())
}

fn start() -> io::Result<()> {
    let start = latency::start()?;
    start.print(
        "start to first answer, over an empty process's",
        Unit::Time,
        Target::AtMost(10e-3),
    );
    Ok(())
}

fn calls() -> io::Result<()> {
    // Counted before this process is restricted to some of them.
    let processor_count = std::thread::available_parallelism()?.get();
    let servers = Servers::start()?;
    servers.place(Placement::Apart, processor_count)?;
    let serial = latency::serial(&servers, &CallFrame::lib_version())?;
    serial.print("GET_LIB_VERSION, serial", Unit::Time, Target::OfBare(1.25));
    let lookup = latency::serial(&servers, &CallFrame::lookup_by_name(isolated_host::BRIDGE))?;
    lookup.print("LOOKUP_BY_NAME, serial", Unit::Time, Target::BesideBare);
    let pipelined = throughput::one_connection(&servers)?;
    pipelined.print("... 4 in flight", Unit::Rate, Target::RateOfBare(0.7));
    let many = throughput::many_connections(&servers)?;
    many.print("... on 200 connections", Unit::Rate, Target::RateOfBare(0.7));
    let connect = latency::connect(&servers)?;
    connect.print("connect, auth list, open, close", Unit::Time, Target::OfBare(1.5));
    servers.place(Placement::Free, processor_count)?;
    let bridge = latency::of_call(&servers, &CallFrame::xml_desc(isolated_host::BRIDGE), 100)?;
    bridge.print("GET_XML_DESC of a bridge", Unit::Time, Target::FasterThanLibvirtd(10.0));
    drop(servers);
    log(serial.ours)
}

fn log(quiet: f64) -> io::Result<()> {
    let processor_count = std::thread::available_parallelism()?.get();
    let servers = Servers::start_logging(Log::Debug)?;
    servers.place(Placement::Apart, processor_count)?;
    let serial = latency::serial(&servers, &CallFrame::lib_version())?;
    serial.print("... logged at debug level", Unit::Time, Target::AtMost(3.0 * quiet));
    servers.place(Placement::Free, processor_count)
}

fn crowds() -> io::Result<()> {
    let servers = Servers::start()?;
    let idle = crowd::idle(&servers)?;
    idle.print("processor, 1,000 clients with keepalive", Unit::Part, Target::AtMost(0.005));
    let longest = crowd::no_reload(&servers)?;
    longest.print("longest of many calls, 1,000 clients", Unit::Time, Target::None);
    let reload = crowd::reload(&servers)?;
    reload.print("... with 40 reloads", Unit::Time, Target::AtMost(20e-3));
    Ok(())
}

fn memory() -> io::Result<()> {
    let servers = Servers::start()?;
    size::threads(&servers)?.print("threads", Unit::Count, Target::AtMost(1.0));
    let idle = size::memory(&servers)?;
    idle.print("memory, idle", Unit::Memory, Target::AtMost(3e6));
    let clients = size::with_clients(&servers)?.minus(&idle);
    clients.print("... more with 4,000 idle clients", Unit::Memory, Target::AtMost(4e6));
    Ok(())
}

fn routes() -> io::Result<()> {
    let servers = Servers::start()?;
    let idle = size::memory(&servers)?;
    isolated_host::add_routed_link()?;
    let call = CallFrame::xml_desc(isolated_host::ROUTED_LINK);
    let without = latency::of_call(&servers, &call, 100)?;
    without.print("GET_XML_DESC of a link without routes", Unit::Time, Target::None);
    isolated_host::add_routes()?;
    let with = latency::of_call(&servers, &call, 100)?;
    let target = Target::AtMost(ROUTES_BURDEN_MAX * without.ours);
    with.print("... of a link with 200,000 routes", Unit::Time, target);
    let more = size::memory(&servers)?.minus(&idle);
    more.print("... more memory with them", Unit::Memory, Target::None);
    Ok(())
}

fn links() -> io::Result<()> {
    let servers = Servers::start()?;
    let idle = size::memory(&servers)?;
    isolated_host::add_links(0..2_000)?;
    let list = latency::of_call(&servers, &CallFrame::list_all(), 1)?;
    list.print("LIST_ALL of 4,000 links", Unit::Time, Target::FasterThanLibvirtd(200.0));
    let more = size::memory(&servers)?.minus(&idle);
    more.print("... more memory with them", Unit::Memory, Target::AtMost(2e6));
    Ok(())
}
