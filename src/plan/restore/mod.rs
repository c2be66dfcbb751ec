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
mod links;
mod vlans;
mod addressing;
mod matching;
mod told;
mod addresses;
mod routes;
mod aparts;
mod planner;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::host::record::{HostRecord, Recorded};
use crate::host::{discarded_name, may_be_a_guests};
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkKind};
use crate::plan::step::{Step, Value};
use crate::plan::tear_down::DEPTH_MAX;
use crate::plan::{Plan, Planned};
use crate::snapshot::{self, FileRestoration, Files, Network};

use addressing::Outlined;
pub use planner::Planner;

/// What a rollback starts from.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
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
                write!(f, "{client} has ended, which is for {keeper} to start")
            }
            Self::Occupied { name, guests } => {
                let guests: Vec<_> = guests.iter().map(IfName::as_str).collect();
                write!(f, "{name} stays as it is, as guests use it: {}", guests.join(", "))
            }
        }
    }
}

/// The plan that makes the files `now` those of `then`.
pub fn restore_files(then: &Files, now: &Files) -> Plan {
    let step = |file: FileRestoration| Planned { step: Step::RestoreFile(file), undo: Vec::new() };
    let steps = snapshot::restorations(then, now).into_iter().map(step).collect();
    Plan { steps, ..Plan::default() }
}

/// The plan that makes the network `now` that of `then`, made at once.
pub fn restore_network(ground: &Ground<'_>) -> Restoration {
    Planner::default().poll(ground, usize::MAX).unwrap_or_default()
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

/// A plan in the making.
struct Draft<'a> {
    then: &'a Network,
    now: &'a HostRecord,
    leases: &'a [Lease],
    foreign: &'a [ForeignClient],
    /// What was there then, is no guest's, and is or will be there: as it is now, unless it has yet to
    /// be made.
    links: BTreeMap<IfName, Pair<'a>>,
    /// Their names, what is below others first.
    order: Vec<IfName>,
    /// Those of them, in the same order, about which there may be anything to do: a few of a large host's.
    unlike: Vec<IfName>,
    steps: Vec<Step>,
    discarded: Vec<IfName>,
    /// Links that are taken away.
    removed: BTreeSet<IfName>,
    /// Links that go down on the way: a bond lets go of what is down, and takes it in.
    downed: BTreeSet<IfName>,
    lost: Vec<Loss>,
}

/// One link, then and now.
#[derive(Clone, Copy)]
struct Pair<'a> {
    then: &'a Recorded,
    now: Option<&'a Recorded>,
    /// Whether there may be anything to do about the link as such.
    differs: bool,
}

impl<'a> Draft<'a> {
    fn new(ground: &Ground<'a>) -> Self {
        let Ground { then, now, leases, foreign, .. } = *ground;
        let mut draft = Self {
            then,
            now,
            leases,
            foreign,
            links: BTreeMap::new(),
            order: Vec::new(),
            unlike: Vec::new(),
            steps: Vec::new(),
            discarded: Vec::new(),
            removed: BTreeSet::new(),
            downed: BTreeSet::new(),
            lost: Vec::new(),
        };
        // A VLAN is what it was only if what it is over is.
        for recorded in in_order(&then.host) {
            let name = recorded.link().name;
            draft.order.push(name);
            // A link that another has taken the name of is not that other one.
            let is_elsewhere = names::is_elsewhere(recorded, now);
            let same = now.named(&name).filter(|now| !is_elsewhere && draft.is_same(recorded, now));
            if let Some(same) = same {
                let had = then.host.vlans_of(recorded.link().index);
                let has_others =
                    had.is_some_and(|had| now.vlans_of(same.link().index) != Some(had));
                let differs = same.record != recorded.record || has_others;
                draft.links.insert(name, Pair { then: recorded, now: Some(same), differs });
            }
        }
        draft.note_orphans();
        let is_unlike = |name: &&IfName| draft.links.get(*name).is_none_or(|pair| pair.differs);
        draft.unlike = draft.order.iter().filter(is_unlike).copied().collect();
        draft
    }

    /// A link is to be looked at whose master or parent is not what it was, be it that it is as it was
    /// itself.
    fn note_orphans(&mut self) {
        let is_kept = |name: IfName| self.links.contains_key(&name);
        let is_orphan = |pair: &Pair<'_>| {
            let link = pair.then.link();
            let above = [self.then.host.master_of(link), self.then.host.parent_of(link)];
            above.into_iter().flatten().any(|above| !is_kept(above))
        };
        let orphans = self.links.values().filter(|pair| !pair.differs && is_orphan(pair));
        let orphans: Vec<_> = orphans.map(|pair| pair.then.link().name).collect();
        for name in orphans {
            if let Some(pair) = self.links.get_mut(&name) {
                pair.differs = true;
            }
        }
    }

    /// Whether a link is still the one that it was, as far as it cannot be changed into that.
    fn is_same(&self, then: &Recorded, now: &Recorded) -> bool {
        let parent = self.then.host.parent_of(then.link());
        let is_kept = parent.is_none_or(|parent| self.links.contains_key(&parent));
        // One that cannot get its name back is still the same.
        let is_renamed = parent.and_then(|parent| self.then.host.named(&parent));
        let is_renamed = is_renamed.is_some_and(|parent| names::is_elsewhere(parent, self.now))
            && then.link().parent == now.link().parent;
        let has_parent = parent == self.now.parent_of(now.link()) && is_kept;
        now.record.can_become(&then.record) && (has_parent || is_renamed)
    }

    /// Whether a port of a bridge is a guest's: one that was none of the host's own then.
    fn is_a_guests(&self, port: &Link) -> bool {
        may_be_a_guests(port) && self.then.host.named(&port.name).is_none()
    }

    /// The guests that are, and stay, ports of a bridge.
    fn guests_of(&self, bridge: &IfName) -> Vec<IfName> {
        let stays = |port: &&Recorded| {
            let belongs = self.then.guests.get(&port.link().name);
            self.is_a_guests(port.link()) && belongs.is_none_or(|belongs| belongs == bridge)
        };
        self.now.ports_of(bridge).filter(stays).map(|port| port.link().name).collect()
    }

    /// The name of a link's master now, unless that is taken away.
    fn master_now(&self, now: &Recorded) -> Option<IfName> {
        self.now.master_of(now.link()).filter(|master| !self.removed.contains(master))
    }

    /// Whether a link is up now, and will be until it is seen to whether it is to be. VLANs go down with
    /// what they are over.
    fn stays_up(&self, pair: Pair<'a>) -> bool {
        let link = pair.then.link();
        let is_vlan = matches!(link.kind, LinkKind::Vlan { .. });
        let parent = self.then.host.parent_of(link).filter(|_| is_vlan);
        let parent = parent.and_then(|parent| self.links.get(&parent).copied());
        pair.now.is_some_and(|now| now.link().up)
            && !self.downed.contains(&link.name)
            && parent.is_none_or(|parent| self.stays_up(parent))
    }

    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn set(&mut self, link: IfName, value: Value) {
        self.push(Step::SetLink { link, value });
    }

    /// Gets a link that is down out of the way, to be deleted when there is time.
    fn discard(&mut self, link: &Link) {
        if let Some(name) = discarded_name(link) {
            self.set(link.name, Value::Name(name));
            self.discarded.push(name);
        }
    }

    /// Plans all but addresses and routes.
    fn outline(mut self) -> Outline {
        self.stop_clients();
        self.release_ports();
        self.remove_links();
        self.make_links();
        self.set_links();
        self.join_ports();
        self.set_vlans();
        self.set_states();
        self.set_switches();
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

/// What is below others comes first: NICs, then bonds, bridges, and what is over another link, by its
/// depth.
fn in_order(host: &HostRecord) -> Vec<&Recorded> {
    let mut links: Vec<_> = host.iter().collect();
    links.sort_by_cached_key(|recorded| {
        let link = recorded.link();
        let rank = match link.kind {
            LinkKind::Vlan { .. } => 3,
            _ if host.parent_of(link).is_some() => 3,
            LinkKind::Nic | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => 0,
            LinkKind::Bond(_) => 1,
            LinkKind::Bridge(_) => 2,
        };
        (rank, depth(host, link))
    });
    links
}

/// How many links there are below one.
fn depth(host: &HostRecord, link: &Link) -> usize {
    let below = |link: &Link| host.named(&host.parent_of(link)?).map(Recorded::link);
    std::iter::successors(below(link), |link| below(link)).take(DEPTH_MAX).count()
}
