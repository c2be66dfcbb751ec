// SPDX-License-Identifier: LGPL-2.1-or-later
//! Name servers of leases that are over: the script is called to take them out again.
//!
//! Not at once. A lease that ends on one link often goes on with another, as when a bridge takes a
//! port over, and until that has it nobody could look up a name. So they rest for a while; what has
//! taken their place by then stays, which is for the script to see.
//!
//! A lease has name servers for as long as the script's file says so ([`SUFFIX`]): by it are also
//! found those that no daemon was there to take out.
//!
//! Nothing waits for the script: it is cleared away when the signal of its end comes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use log::{debug, warn};

use super::{record, script};
use crate::model::lease::{Lease, NameServers};
use crate::sys::process;

/// What the name of the script's file ends with that has a lease's name servers.
const SUFFIX: &str = "names";

/// How long name servers stay when their lease is over: longer than another link needs to get it.
pub(super) const REST: Duration = Duration::from_secs(10);

/// The leases that are over and have left name servers behind.
#[derive(Debug, Default)]
pub(super) struct Names {
    resting: Vec<(Lease, Instant)>,
    scripts: Vec<Child>,
}

impl Names {
    /// Those that an earlier daemon has left behind; what still has a client is for [`Names::keep`].
    pub(super) fn found(dir: &Path, now: Instant) -> Self {
        let over = record::paths(dir, SUFFIX).into_iter().filter_map(|path| {
            let (link, family) = record::lease_of(&path, SUFFIX)?;
            Some(Lease { link, family, name_servers: NameServers::Taken, wanted: None, like: None })
        });
        Self { resting: over.map(|lease| (lease, now + REST)).collect(), scripts: Vec::new() }
    }

    /// A lease is over, or leaves name servers alone from now on.
    pub(super) fn give_up(&mut self, dir: &Path, lease: &Lease, now: Instant) {
        self.keep(lease);
        if record::path_of(dir, lease, SUFFIX).exists() {
            self.resting.push((*lease, now + REST));
        }
    }

    /// A lease is wanted (again), with its name servers.
    pub(super) fn keep(&mut self, lease: &Lease) {
        self.resting.retain(|(other, _)| !other.is_for(lease.link, lease.family));
    }

    /// When the next have rested long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.resting.iter().map(|(_, until)| *until).min()
    }

    /// Calls the script for those that have rested long enough. Clears away scripts that have ended.
    pub(super) fn handle_time(&mut self, dir: &Path, now: Instant) {
        self.scripts.retain_mut(|child| {
            let has_ended = process::has_ended(child).unwrap_or(true);
            if has_ended {
                // This does not wait.
                let _ = child.wait();
            }
            !has_ended
        });
        let (due, resting) =
            std::mem::take(&mut self.resting).into_iter().partition(|(_, until)| *until <= now);
        self.resting = resting;
        let due: Vec<(Lease, Instant)> = due;
        for (lease, _) in due {
            match command(dir, &lease).spawn() {
                Ok(child) => {
                    debug!("the name servers of {lease} are taken out");
                    self.scripts.push(child);
                }
                Err(err) => warn!("the name servers of {lease} stay: no script: {err}"),
            }
        }
    }
}

fn command(dir: &Path, lease: &Lease) -> Command {
    let mut command = Command::new(dir.join(script::NAME));
    command.arg(script::END_EVENT).env_clear();
    command.env("interface", lease.link.as_str());
    command.env(script::STATE_VARIABLE, record::state_of(dir, lease));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
