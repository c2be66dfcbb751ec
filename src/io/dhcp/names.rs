// SPDX-License-Identifier: LGPL-2.1-or-later
//! Removal of the name servers of leases that have ended, by calling the script.
//!
//! They are not removed at once. A lease that ends on one link often continues on another, as when
//! a port becomes part of a bridge, and until then name resolution would fail. So they stay for a
//! while; the script keeps name servers that another lease has set meanwhile.
//!
//! A lease has name servers as long as the script's file for them exists ([`SUFFIX`]). This also
//! shows those that remained while no daemon ran.
//!
//! The script is not waited for.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use log::{debug, warn};

use super::{record, script};
use crate::execution::Program;
use crate::io::executor::{Execution, Executor};
use crate::model::address::Family;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;

/// The suffix of the script's file with a lease's name servers.
const SUFFIX: &str = "names";

/// The time that name servers stay after the end of their lease: longer than another link needs to
/// obtain the lease.
pub(super) const REST: Duration = Duration::from_secs(10);

/// The leases that have ended with name servers remaining.
#[derive(Debug, Default)]
pub(super) struct Names {
    resting: Vec<(Lease, Instant)>,
    scripts: Vec<Execution>,
}

impl Names {
    /// Finds those left by an earlier daemon. Those that still have a client are removed from the
    /// list by [`Names::keep`].
    pub(super) fn found(dir: &Path, now: Instant) -> Self {
        let over = record::paths(dir, SUFFIX).into_iter().filter_map(|path| {
            let (link, family) = record::lease_of(&path, SUFFIX)?;
            Some(Lease { link, family, name_servers: NameServers::Taken, wanted: None, like: None })
        });
        Self { resting: over.map(|lease| (lease, now + REST)).collect(), scripts: Vec::new() }
    }

    /// Adds a lease that has ended, or whose name servers are not wanted any more.
    pub(super) fn give_up(&mut self, dir: &Path, lease: &Lease, now: Instant) {
        self.keep(lease);
        if record::path_of(dir, lease, SUFFIX).exists() {
            self.resting.push((*lease, now + REST));
        }
    }

    /// Removes a lease that is wanted (again) with its name servers.
    pub(super) fn keep(&mut self, lease: &Lease) {
        self.resting.retain(|(other, _)| !other.is_for(lease.link, lease.family));
    }

    /// Returns when the next name servers are due for removal.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.resting.iter().map(|(_, until)| *until).min()
    }

    /// Calls the script for those that are due.
    pub(super) fn handle_time(&mut self, executor: &Executor, now: Instant) {
        self.scripts.retain(|script| script.end().is_none());
        let (due, resting) =
            std::mem::take(&mut self.resting).into_iter().partition(|(_, until)| *until <= now);
        self.resting = resting;
        let due: Vec<(Lease, Instant)> = due;
        for (lease, _) in due {
            let Lease { link, family, .. } = lease;
            match executor.start(Program::LeaseEnd { link, family }, None) {
                Ok(script) => {
                    debug!("removing the name servers of {lease}");
                    self.scripts.push(script);
                }
                Err(err) => {
                    warn!("cannot run the script that removes the name servers of {lease}: {err}")
                }
            }
        }
    }
}

/// Returns the command that removes the name servers of a lease.
pub(super) fn command(dir: &Path, link: IfName, family: Family) -> Command {
    let mut command = Command::new(dir.join(script::NAME));
    command.arg(script::END_EVENT).env_clear();
    command.env("interface", link.as_str());
    command.env(script::STATE_VARIABLE, record::state_of(dir, link, family));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
