// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Entry`]: the client of a lease, and the phase that it is in.

use std::time::{Duration, Instant};

use super::errand::Errand;
use super::process::Process;
use crate::model::lease::Lease;

/// The state of a client.
#[derive(Debug)]
pub(super) enum Phase {
    Running {
        process: Process,
        since: Instant,
    },
    /// Asked to end, again at `ask_at`, and killed at `kill_at`; `next` is started after that.
    Ending {
        process: Process,
        ask_at: Instant,
        kill_at: Instant,
        next: Option<Lease>,
    },
    /// It has died, and will be restarted.
    Pausing {
        until: Instant,
    },
}

impl Phase {
    /// Returns the client's process, if it has one.
    pub(super) fn process(&self) -> Option<&Process> {
        match self {
            Self::Running { process, .. } | Self::Ending { process, .. } => Some(process),
            Self::Pausing { .. } => None,
        }
    }

    /// Takes note of the executor's death.
    pub(super) fn settle(&mut self) {
        if let Self::Running { process, .. } | Self::Ending { process, .. } = self {
            process.settle();
        }
    }

    /// Returns the task of the manager of all links, if it is the client.
    pub(super) fn errand(&mut self) -> Option<&mut Errand> {
        match self {
            Self::Running { process, .. } | Self::Ending { process, .. } => process.errand(),
            Self::Pausing { .. } => None,
        }
    }
}

/// The client of a lease.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) lease: Lease,
    pub(super) phase: Phase,
    /// The pause before the next restart.
    pub(super) pause: Duration,
}
