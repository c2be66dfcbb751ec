// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Rested`]: interfaces that were taken down a moment ago.
//!
//! `virsh iface-unbridge` takes a bridge down and then brings its port up. What the one had the other
//! gets back: routes with their metrics and tables, and peers of addresses. A lease is the same where
//! the hardware address is, and need not be asked for before: a client may use what it has until that
//! ends (RFC 2131, 3.2). And an IPv6 address that was unique a moment ago needs no search for duplicates
//! (RFC 4862), which takes a second. Later, the link may hang in another network.

use std::time::Instant;

use crate::host::survey::Resting;
use crate::limits::LEASE_REST_TIME_MAX;
use crate::model::name::IfName;

/// Interfaces that were taken down a moment ago, as they were.
#[derive(Debug, Default)]
pub(crate) struct Rested {
    interfaces: Vec<(Instant, Resting)>,
}

impl Rested {
    /// Those that are remembered.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Resting> {
        self.interfaces.iter().map(|(_, resting)| resting)
    }

    /// Interfaces were taken down.
    pub(crate) fn push(&mut self, taken_down: Vec<Resting>, now: Instant) {
        self.interfaces.extend(taken_down.into_iter().map(|resting| (now, resting)));
    }

    /// Links of these names are up, and have what was theirs.
    pub(crate) fn forget(&mut self, names: &[IfName]) {
        self.interfaces.retain(|(_, resting)| !resting.is_for(names));
    }

    /// Forgets what is too old.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.interfaces
            .retain(|(since, _)| now.saturating_duration_since(*since) < LEASE_REST_TIME_MAX);
    }
}
