// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures the time of single operations.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::rounds::{compare, median};
use crate::server::{Kind, Log, Server, Servers};
use crate::table::Figures;

const CALLS_A_ROUND: usize = 2_000;
const CONNECTIONS_A_ROUND: usize = 200;

/// From a server's start to its first answer, less the time of a process that does nothing.
pub(crate) fn start() -> io::Result<Figures> {
    compare(|kind| {
        if kind == Kind::Libvirtd && !isolated_host::has_libvirtd() {
            return Ok(None);
        }
        let empty = timed(|| Command::new("true").status())?;
        let begin = Instant::now();
        let server = Server::start(kind, Log::Quiet)?;
        let start = begin.elapsed().as_secs_f64();
        drop(server);
        Ok(Some(start - empty))
    })
}

/// One call after the other on one connection.
pub(crate) fn serial(servers: &Servers, call: &CallFrame) -> io::Result<Figures> {
    compare(|kind| {
        let measure = |server: &Server| median_of_call(server, call, CALLS_A_ROUND);
        servers.get(kind).map(measure).transpose()
    })
}

/// A call that the bare server does not support, `count` times a round.
pub(crate) fn of_call(servers: &Servers, call: &CallFrame, count: usize) -> io::Result<Figures> {
    compare(|kind| match kind {
        Kind::Ours | Kind::Libvirtd => {
            let measure = |server| median_of_call(server, call, count);
            servers.get(kind).map(measure).transpose()
        }
        Kind::Bare => Ok(None),
    })
}

/// A whole session: connect, authenticate, open, close.
pub(crate) fn connect(servers: &Servers) -> io::Result<Figures> {
    let visit = |path: &Path| Client::open(path)?.call(&CallFrame::close());
    compare(|kind| {
        let measure = |server: &Server| median_time(CONNECTIONS_A_ROUND, || visit(server.path()));
        servers.get(kind).map(measure).transpose()
    })
}

pub(crate) fn median_of_call(server: &Server, call: &CallFrame, count: usize) -> io::Result<f64> {
    let mut client = Client::open(server.path())?;
    median_time(count, || client.call(call))
}

fn median_time(count: usize, mut action: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let times: io::Result<_> = (0..count).map(|_| timed(&mut action)).collect();
    median(times?).ok_or_else(|| io::Error::other("nothing was measured"))
}

fn timed<T>(action: impl FnOnce() -> io::Result<T>) -> io::Result<f64> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed().as_secs_f64())
}
