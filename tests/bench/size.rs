// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures memory and threads.

use std::io;

use crate::client::Client;
use crate::server::{Server, Servers};
use crate::table::Figures;

const CLIENT_COUNT: usize = 4_000;

pub(crate) fn threads(servers: &Servers) -> io::Result<Figures> {
    servers.each(|server| server.status("Threads"))
}

pub(crate) fn memory(servers: &Servers) -> io::Result<Figures> {
    servers.each(resident)
}

/// The same, with thousands of idle clients connected.
pub(crate) fn with_clients(servers: &Servers) -> io::Result<Figures> {
    let open = |server: &Server| Client::open(server.path());
    servers.each(|server| {
        let clients: io::Result<Vec<_>> = (0..CLIENT_COUNT).map(|_| open(server)).collect();
        let _clients = clients?;
        resident(server)
    })
}

/// Resident bytes, shared libraries included.
pub(crate) fn resident(server: &Server) -> io::Result<f64> {
    const KIB: f64 = 1024.0;
    Ok(server.status("VmRSS")? * KIB)
}
