// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures calls a second.

use std::io;
use std::time::Instant;

use crate::client::{CallFrame, Client};
use crate::rounds::compare;
use crate::server::{Server, Servers};
use crate::sys::Epoll;
use crate::table::Figures;

const CALLS_A_ROUND: usize = 10_000;

/// Below both daemons' default limit of calls in flight.
const IN_FLIGHT_COUNT: usize = 4;

const CONNECTION_COUNT: usize = 200;

/// One connection that always has several calls in flight: after each read, one write sends as many
/// new calls as replies came.
pub(crate) fn one_connection(servers: &Servers) -> io::Result<Figures> {
    compare(|kind| servers.get(kind).map(pipeline).transpose())
}

/// Many connections, each with one call in flight.
pub(crate) fn many_connections(servers: &Servers) -> io::Result<Figures> {
    compare(|kind| servers.get(kind).map(crowd).transpose())
}

fn pipeline(server: &Server) -> io::Result<f64> {
    let call = CallFrame::lib_version();
    let calls: Vec<_> = (0..=IN_FLIGHT_COUNT).map(|count| call.repeated(count)).collect();
    let mut client = Client::open(server.path())?;
    let begin = Instant::now();
    let (mut sent, mut answered, mut room) = (0, 0, IN_FLIGHT_COUNT);
    while answered < CALLS_A_ROUND {
        let new = room.min(CALLS_A_ROUND - sent);
        client.send(calls.get(new).ok_or_else(|| io::Error::other("more replies than calls"))?)?;
        sent += new;
        room = client.receive()?;
        answered += room;
    }
    rate(answered, begin)
}

fn crowd(server: &Server) -> io::Result<f64> {
    let call = CallFrame::lib_version();
    let mut epoll = Epoll::new()?;
    let mut clients = Vec::new();
    for token in 0..CONNECTION_COUNT {
        let client = Client::open(server.path())?;
        epoll.add(&client, token)?;
        clients.push(client);
    }
    let begin = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    for client in &mut clients {
        client.send(&call)?;
        sent += 1;
    }
    while answered < CALLS_A_ROUND {
        for token in epoll.wait()? {
            let Some(client) = clients.get_mut(token) else { continue };
            answered += client.receive()?;
            if sent < CALLS_A_ROUND {
                client.send(&call)?;
                sent += 1;
            }
        }
    }
    rate(answered, begin)
}

fn rate(answered: usize, begin: Instant) -> io::Result<f64> {
    let seconds = begin.elapsed().as_secs_f64();
    Ok(f64::from(u32::try_from(answered).map_err(io::Error::other)?) / seconds)
}
