// SPDX-License-Identifier: LGPL-2.1-or-later
//! Measures how long a client that looks waits while another client's call is under way.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::server::Server;

/// The waits for replies, in seconds.
#[derive(Debug)]
pub(crate) struct Waits(Vec<f64>);

impl Waits {
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// The longest wait.
    pub(crate) fn longest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// The wait that 99 of 100 replies do not exceed.
    pub(crate) fn of_most(mut self) -> io::Result<f64> {
        self.0.sort_by(f64::total_cmp);
        let wait = self.0.get(self.0.len().saturating_sub(1) * 99 / 100);
        wait.copied().ok_or_else(|| io::Error::other("no reply"))
    }

    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }
}

/// Measures how long an action takes, and the waits of a client that looks meanwhile.
pub(crate) fn beside_looks(
    server: &Server,
    action: impl FnOnce() -> io::Result<()>,
) -> io::Result<(f64, Waits)> {
    let is_over = AtomicBool::new(false);
    let mut client = Client::open(server.path())?;
    let call = CallFrame::lookup_by_name(isolated_host::BRIDGE);
    thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut waits = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let since = Instant::now();
                client.call(&call)?;
                waits.push(since.elapsed().as_secs_f64());
            }
            Ok(Waits(waits))
        });
        let since = Instant::now();
        let done = action();
        let time = since.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        let waits: io::Result<Waits> =
            looks.join().unwrap_or_else(|_| Err(io::Error::other("the client has panicked")));
        done.and(waits).map(|waits| (time, waits))
    })
}
