// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Rested`]: addresses of interfaces that were taken down a moment ago.
//!
//! `virsh iface-unbridge` takes a bridge down and then brings its port up. What the one had the other
//! may use at once. A lease is the same, as the hardware address is, and need not be asked for
//! before: a client may use what it has until that ends (RFC 2131, 3.2). And an IPv6 address that was
//! nobody else's a moment ago needs no search for duplicates (RFC 4862), which takes a second. Later,
//! the link may hang in another network.

use std::time::Instant;

use crate::host::survey::Surveyed;
use crate::limits::LEASE_REST_TIME_MAX;

/// Links that were taken down a moment ago, as they were.
#[derive(Debug, Default)]
pub(crate) struct Rested {
    links: Vec<(Instant, Surveyed)>,
}

impl Rested {
    /// Those that are remembered.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Surveyed> {
        self.links.iter().map(|(_, link)| link)
    }

    /// Links were taken down.
    pub(crate) fn push(&mut self, links: Vec<Surveyed>, now: Instant) {
        self.links.extend(links.into_iter().map(|link| (now, link)));
    }

    /// Forgets what is too old.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.links.retain(|(since, _)| now.saturating_duration_since(*since) < LEASE_REST_TIME_MAX);
    }
}
