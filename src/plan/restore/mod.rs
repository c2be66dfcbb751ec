// SPDX-License-Identifier: LGPL-2.1-or-later
//! The plan that sets a host back to what it was: a rollback's, from the difference between then and
//! now.
//!
//! What is as it was is not touched. What was made since goes, and what has gone is made again; what
//! belongs to guests is left alone, but for the bridge that a guest was a port of. Unlike other plans
//! this one is not undone where a step is refused: the rest of it is done all the same, and whoever
//! carries it out compares again. So no step here has anything that takes it back, and a step whose
//! effect the kernel may have spoilt by a later one is not worth a forecast.

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
use crate::plan::step::Step;
use crate::plan::{Plan, Planned};
use crate::snapshot::{self, FileRestoration, Files, Network};

use addressing::Outlined;
use outline::{OutlineBuilder, Pair};
pub use planner::Planner;

/// What a rollback starts from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub then: &'a Network,
    pub now: &'a HostRecord,
    /// The DHCP clients that we run now.
    pub leases: &'a [Lease],
    /// The DHCP clients that somebody else has started, and that run now.
    pub foreign: &'a [ForeignClient],
    /// Those of them that this rollback has started.
    pub given_back: &'a [ForeignClient],
    /// How long ago it was.
    pub elapsed: Duration,
}

/// What leads back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Restoration {
    pub plan: Plan,
    /// What no step brings back.
    pub lost: Vec<Loss>,
}

/// Something that cannot be as it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loss {
    /// A link that only its owner can make: a NIC that was pulled out.
    Gone(IfName),
    /// A link of the name is there that is something else, and not ours to remove.
    Replaced(IfName),
    /// A DHCP client that ran, and that only whoever looks after it can start.
    Client(Box<ForeignClient>),
    /// A bridge that was not there then, and that guests are on now.
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

/// The plan that makes the files `now` those of `then`.
pub(crate) fn restore_files(then: &Files, now: &Files) -> Plan {
    let step = |file: FileRestoration| Planned { step: Step::RestoreFile(file), undo: Vec::new() };
    let steps = snapshot::restorations(then, now).into_iter().map(step).collect();
    Plan { steps, ..Plan::default() }
}

/// What there is to do about links and DHCP clients.
struct Outline {
    /// Before addresses and routes, and behind them.
    first: Vec<Step>,
    last: Vec<Step>,
    /// The links whose addresses and routes are to be seen to, what is below others first.
    links: Vec<Outlined>,
    discarded: Vec<IfName>,
    lost: Vec<Loss>,
}

impl<'a> OutlineBuilder<'a> {
    /// Plans all but addresses and routes.
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
