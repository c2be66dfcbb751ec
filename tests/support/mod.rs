// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the integration tests share: a network namespace of their own, the built daemon, a client
//! that speaks raw bytes, and the host's tools.
//!
//! Nothing here outlives its test: files stand on a tmpfs of the namespace, and what was started
//! is killed when its value is dropped. No wait is without end, and none is a measurement.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod libvirtd;
pub(crate) mod link;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod peer;
pub(crate) mod router;
pub(crate) mod snapshot;
pub(crate) mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take. Only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `fact` holds; `what` names it where it never does.
pub(crate) fn eventually(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !fact() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Holds what `measure` takes against `bound`, three times at most: a machine may be busy once.
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

/// Runs `test` while another thread does `again` over and over.
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

/// Sets its flag when it goes, be it by a panic: a thread that works until then always ends.
#[derive(Debug)]
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
