// SPDX-License-Identifier: LGPL-2.1-or-later
//! The plan of a rollback: restores the recorded state of a host, from the differences to the
//! present one.
//!
//! Only differences are changed. Links made since are removed, and links that are gone are made
//! again; guests' links are left alone, except for their bridge membership. Unlike other plans this
//! one is not undone if a step is refused: the other steps are performed all the same, and then the
//! caller compares again. So no step has an undoing here, and effects that the kernel may have on
//! later steps are not predicted.

mod names;
mod outline;
mod addressing;
mod vlans;
mod fdb;
mod links;
mod matching;
mod told;
mod addresses;
mod routes;
mod aparts;
mod planner;

use std::fmt;
use std::time::Duration;

use crate::host::record::HostRecord;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::plan::step::{FileStep, Step};
use crate::plan::{Plan, Planned};
use crate::snapshot::Network;
use crate::snapshot::files::{self, FileRestoration, KeptFiles};

use addressing::Outlined;
use outline::{OutlineBuilder, Pair};
pub use planner::Planner;

/// The inputs of a rollback.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub then: &'a Network,
    pub now: &'a HostRecord,
    /// The DHCP clients of the daemon that run now.
    pub leases: &'a [Lease],
    /// The DHCP clients of other programs that run now.
    pub foreign: &'a [ForeignClient],
    /// Those of them that this rollback has started.
    pub given_back: &'a [ForeignClient],
    /// The age of the record.
    pub elapsed: Duration,
}

/// The plan of a rollback, with its losses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Restoration {
    pub plan: Plan,
    /// The things that no step can restore.
    pub lost: Vec<Loss>,
}

/// Something that cannot be restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loss {
    /// A link that the daemon cannot make: a NIC that was pulled out.
    Gone(IfName),
    /// Another link has the name, and is not ours to remove.
    Replaced(IfName),
    /// A DHCP client that ran, and that only its supervisor can restart.
    Client(Box<ForeignClient>),
    /// A bridge that was made since, and that guests have joined.
    Occupied { name: IfName, guests: Vec<IfName> },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(name) => write!(f, "{name} is gone"),
            Self::Replaced(name) => write!(f, "{name} is another link now"),
            Self::Client(client) => {
                let keeper = client.keeper.as_deref().unwrap_or_default();
                write!(f, "{client} has ended; only {keeper} can restart it")
            }
            Self::Occupied { name, guests } => {
                let guests: Vec<_> = guests.iter().map(IfName::as_str).collect();
                write!(f, "{name} is not restored, because guests use it: {}", guests.join(", "))
            }
        }
    }
}

/// The plan that restores the files `then` from the files `now`. Files are removed last: it depends
/// on the others which files are definition files.
pub(crate) fn restore_files(then: &KeptFiles, now: &KeptFiles) -> Plan {
    let step = |file: FileRestoration| Planned {
        step: Step::File(FileStep::Restore(file)),
        undo: Vec::new(),
    };
    let (removed, written): (Vec<_>, Vec<_>) =
        files::restorations(then, now).into_iter().partition(|file| file.after.is_none());
    let steps = written.into_iter().chain(removed).map(step).collect();
    Plan { steps, ..Plan::default() }
}

/// The work on links and DHCP clients.
struct Outline {
    /// The steps before addresses and routes, and those after them.
    first: Vec<Step>,
    last: Vec<Step>,
    /// The links whose addresses and routes are compared, those below others first.
    links: Vec<Outlined>,
    discarded: Vec<IfName>,
    lost: Vec<Loss>,
}

impl<'a> OutlineBuilder<'a> {
    /// Plans everything except addresses and routes.
    fn build(mut self) -> Outline {
        self.stop_clients();
        self.release_ports();
        self.remove_links();
        self.make_links();
        self.set_links();
        self.join_ports();
        self.set_vlans();
        self.set_fdb();
        self.set_states();
        self.set_ipv6_sysctls();
        let first = std::mem::take(&mut self.steps);
        self.start_clients();
        let outlined = |pair: &Pair<'a>| {
            let (link, is_kept) = (pair.then.link().name, pair.now.is_some());
            Outlined { link, is_kept, stays_up: self.stays_up(*pair) }
        };
        let links = self.order.iter().filter_map(|name| self.links.get(name)).map(outlined);
        let links = links.collect();
        let Self { steps: last, discarded, lost, .. } = self;
        Outline { first, last, links, discarded, lost }
    }
}
