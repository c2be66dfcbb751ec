// SPDX-License-Identifier: LGPL-2.1-or-later
//! Shared parts of the integration tests: a network namespace for each test, the built daemon, a
//! client that sends raw bytes, and the host's tools.
//!
//! Nothing here outlives its test: files are on a tmpfs of the namespace, and processes are killed
//! when their value is dropped. Every wait has a limit, and no wait measures time.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod libvirtd;
pub(crate) mod link;
pub(crate) mod namespace;
pub(crate) mod link_numbers;
pub(crate) mod peer;
pub(crate) mod router;
pub(crate) mod judge;
pub(crate) mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The limit of every wait. Only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `fact` holds; `what` names it in the failure.
pub(crate) fn eventually(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !fact() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Compares the time that `measure` returns with `bound`, up to three times, as the machine may be
/// busy once.
#[track_caller]
pub(crate) fn assert_takes_less_than(bound: Duration, mut measure: impl FnMut() -> Duration) {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        least = least.min(measure());
        if least < bound {
            return;
        }
    }
    panic!("{least:?} at least");
}

/// Runs `test` while another thread calls `again` repeatedly.
pub(crate) fn meanwhile(mut again: impl FnMut() + Send, test: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                again();
            }
        });
        test();
    });
}

/// Sets its flag when dropped, also by a panic: a thread that works until then always ends.
#[derive(Debug)]
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
