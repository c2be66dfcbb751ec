// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures the cost of a thousand idle clients, and of a reload with them connected.

use std::io;
use std::time::{Duration, Instant};

use crate::client::{CallFrame, Client};
use crate::server::{Server, Servers};
use crate::sys::Epoll;
use crate::table::Figures;

const CLIENT_COUNT: usize = 1_000;

/// Four rounds of pings at the default interval of five seconds.
const IDLE_TIME: Duration = Duration::from_secs(20);

const RELOAD_COUNT: u32 = 40;
const RELOAD_PAUSE: Duration = Duration::from_millis(50);

/// The share of a processor that a server takes while its clients only answer its pings.
pub(crate) fn idle(servers: &Servers) -> io::Result<Figures> {
    servers.each_daemon(|server| {
        let mut clients = crowd(server)?;
        let mut epoll = Epoll::new()?;
        for (token, client) in clients.iter_mut().enumerate() {
            client.call(&CallFrame::keepalive())?;
            epoll.add(&*client, token)?;
        }
        let (begin, pong) = (Instant::now(), CallFrame::pong());
        let before = server.processor_time()?;
        while begin.elapsed() < IDLE_TIME {
            for token in epoll.wait()? {
                if let Some(client) = clients.get_mut(token) {
                    client.receive()?;
                    client.send(&pong)?;
                }
            }
        }
        Ok((server.processor_time()? - before) / begin.elapsed().as_secs_f64())
    })
}

/// The longest time of a call while the server reloads repeatedly.
pub(crate) fn reload(servers: &Servers) -> io::Result<Figures> {
    servers.each_daemon(|server| longest_call(server, || server.hang_up()))
}

/// The longest time of a call without reloads.
pub(crate) fn no_reload(servers: &Servers) -> io::Result<Figures> {
    servers.each_daemon(|server| longest_call(server, || Ok(())))
}

fn longest_call(server: &Server, mut disturb: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let _crowd = crowd(server)?;
    let mut caller = Client::open(server.path())?;
    let (call, begin) = (CallFrame::lib_version(), Instant::now());
    let mut longest = Duration::ZERO;
    for round in 1..=RELOAD_COUNT {
        disturb()?;
        while begin.elapsed() < RELOAD_PAUSE * round {
            let before = Instant::now();
            caller.call(&call)?;
            longest = longest.max(before.elapsed());
        }
    }
    Ok(longest.as_secs_f64())
}

fn crowd(server: &Server) -> io::Result<Vec<Client>> {
    (0..CLIENT_COUNT).map(|_| Client::open(server.path())).collect()
}
