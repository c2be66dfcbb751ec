// SPDX-License-Identifier: LGPL-2.1-or-later
//! Discarded links, which have been renamed and are deleted later.
//!
//! The kernel takes tens of milliseconds to delete a link, and for most of them no other link can
//! be changed. A client that takes a bridge down, and then brings its port up, would lose
//! connections by that wait. So a plan renames such a link, which takes a fraction of a
//! millisecond, and the link is deleted here after a moment without changes.
//!
//! A daemon that is killed in between leaves a link that its successor knows by its name.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::host::{Host, is_discarded};
use crate::limits::{DISCARDED_COUNT_MAX, LINK_GONE_TIME_MAX};
use crate::model::name::IfName;

/// How long no change may happen before: longer than a client takes from one change to the next.
const QUIET_TIME: Duration = Duration::from_millis(100);

/// Links to be deleted.
#[derive(Clone, Debug)]
pub(super) struct Discard {
    links: VecDeque<IfName>,
    /// The link that is being deleted, and since when.
    current: Option<(IfName, Instant)>,
    quiet_since: Instant,
    /// Whether to delete without a delay, as the daemon stops.
    hurries: bool,
}

impl Discard {
    pub(super) fn new(now: Instant) -> Self {
        Self { links: VecDeque::new(), current: None, quiet_since: now, hurries: false }
    }

    /// Adds links left by an earlier daemon.
    pub(super) fn adopt(&mut self, host: &Host) {
        let leftovers = host.links().filter(|link| is_discarded(host, link));
        for link in leftovers {
            info!("deleting link {}, left over from an earlier daemon", link.name);
            self.links.push_back(link.name);
        }
    }

    /// Takes the links that a finished change has discarded.
    pub(super) fn push(&mut self, links: Vec<IfName>, now: Instant) {
        self.links.extend(links);
        self.quiet_since = now;
    }

    /// Takes the links that a change under way has discarded.
    pub(super) fn push_all(&mut self, links: &mut Vec<IfName>, now: Instant) {
        if !links.is_empty() {
            self.push(std::mem::take(links), now);
        }
    }

    /// Deletes without a delay from now on.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// Returns whether no link remains to be deleted.
    pub(super) fn is_done(&self) -> bool {
        self.links.is_empty() && self.current.is_none()
    }

    /// Returns whether so many links wait that changes have to wait for them.
    pub(super) fn is_full(&self) -> bool {
        self.links.len() >= DISCARDED_COUNT_MAX
    }

    /// Returns when the next deletion is due, if no event comes before.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.current {
            Some((_, since)) => Some(since + LINK_GONE_TIME_MAX),
            None if self.links.is_empty() => None,
            None if self.hurries || self.is_full() => Some(now),
            None => Some(self.quiet_since + QUIET_TIME),
        }
    }

    /// Returns the link to be deleted next, if it is due and the last one is gone.
    pub(super) fn poll_link(&mut self, host: &Host, now: Instant) -> Option<IfName> {
        if let Some((name, since)) = self.current {
            let is_gone = host.link_named(&name).is_none();
            if !is_gone && now.saturating_duration_since(since) < LINK_GONE_TIME_MAX {
                return None;
            }
            if !is_gone {
                warn!("cannot delete link {name}; it stays, down and unused");
            }
            self.current = None;
        }
        if self.deadline(now).is_none_or(|deadline| deadline > now) {
            return None;
        }
        let name = self.links.pop_front()?;
        // The link may have been deleted, or be in use again.
        host.link_named(&name).filter(|link| is_discarded(host, link))?;
        self.current = Some((name, now));
        Some(name)
    }
}
