// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`OutlineBuilder`]: a rollback's plan in the making, with its links in the snapshot and now.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::record::HostRecord;
use crate::host::state::LinkState;
use crate::host::{discarded_name, may_be_guest};
use crate::limits::LINK_DEPTH_MAX;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkKind};
use crate::plan::request::{KernelRequest, LinkValue};
use crate::plan::step::Step;
use crate::snapshot::Network;

use super::{Inputs, Loss, names};

/// A plan in the making.
pub(super) struct OutlineBuilder<'a> {
    pub(super) then: &'a Network,
    pub(super) now: &'a HostRecord,
    pub(super) leases: &'a [Lease],
    pub(super) foreign: &'a [ForeignClient],
    /// The host's links in the snapshot that exist or will exist: with their present state, unless
    /// they are yet to be created.
    pub(super) links: BTreeMap<IfName, Pair<'a>>,
    /// Their names, lower links first.
    pub(super) order: Vec<IfName>,
    /// Those among them, in the same order, that may need steps: a few of a large host's links.
    pub(super) unlike: Vec<IfName>,
    pub(super) steps: Vec<Step>,
    pub(super) discarded: Vec<IfName>,
    /// Links that are removed.
    pub(super) removed: BTreeSet<IfName>,
    /// Links that go down temporarily: a bond takes members down when it releases them, and accepts
    /// only links that are down.
    pub(super) downed: BTreeSet<IfName>,
    pub(super) lost: Vec<Loss>,
}

/// One link, in the snapshot and now.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) then: &'a LinkState,
    pub(super) now: Option<&'a LinkState>,
    /// Whether the link itself may need steps.
    pub(super) differs: bool,
}

impl<'a> OutlineBuilder<'a> {
    pub(super) fn new(inputs: &Inputs<'a>) -> Self {
        let Inputs { then, now, leases, foreign, .. } = *inputs;
        let mut builder = Self {
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
        // A VLAN is the same only if its parent is.
        for recorded in in_order(&then.host) {
            let name = recorded.link().name;
            builder.order.push(name);
            // Another link that has taken the name is not the same link.
            let is_elsewhere = names::is_elsewhere(recorded, now);
            let same =
                now.named(&name).filter(|now| !is_elsewhere && builder.is_same(recorded, now));
            if let Some(same) = same {
                let had = then.host.vlans_of(recorded.link().index);
                let has_others =
                    had.is_some_and(|had| now.vlans_of(same.link().index) != Some(had));
                let (was, is) = (recorded.link().index, same.link().index);
                let has_others = has_others || now.fdb_of(is) != then.host.fdb_of(was);
                let differs = same.record != recorded.record || has_others;
                builder.links.insert(name, Pair { then: recorded, now: Some(same), differs });
            }
        }
        builder.note_orphans();
        let is_unlike = |name: &&IfName| builder.links.get(*name).is_none_or(|pair| pair.differs);
        builder.unlike = builder.order.iter().filter(is_unlike).copied().collect();
        builder
    }

    /// Marks links whose master or parent is not the same as in the snapshot, even if the links
    /// themselves have not changed.
    pub(super) fn note_orphans(&mut self) {
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

    /// Returns whether a link is the same as in the snapshot, or can be changed to match it.
    pub(super) fn is_same(&self, then: &LinkState, now: &LinkState) -> bool {
        let parent = self.then.host.parent_of(then.link());
        let is_kept = parent.is_none_or(|parent| self.links.contains_key(&parent));
        // A parent that cannot get its name back is still the same.
        let is_renamed = parent.and_then(|parent| self.then.host.named(&parent));
        let is_renamed = is_renamed.is_some_and(|parent| names::is_elsewhere(parent, self.now))
            && then.link().parent == now.link().parent;
        let has_parent = parent == self.now.parent_of(now.link()) && is_kept;
        now.record.can_become(&then.record) && (has_parent || is_renamed)
    }

    /// Returns whether a bridge's port is a guest's: it is not one of the host's links in the
    /// snapshot.
    pub(super) fn is_guest(&self, port: &Link) -> bool {
        may_be_guest(port) && self.then.host.named(&port.name).is_none()
    }

    /// Returns the guests that are ports of a bridge, and stay ports of it.
    pub(super) fn guests_of(&self, bridge: &IfName) -> Vec<IfName> {
        let stays = |port: &&LinkState| {
            let belongs = self.then.guests.get(&port.link().name);
            self.is_guest(port.link()) && belongs.is_none_or(|belongs| belongs == bridge)
        };
        self.now.ports_of(bridge).filter(stays).map(|port| port.link().name).collect()
    }

    /// Returns the name of a link's present master, unless that is removed.
    pub(super) fn master_now(&self, now: &LinkState) -> Option<IfName> {
        self.now.master_of(now.link()).filter(|master| !self.removed.contains(master))
    }

    /// Returns whether a link is up now, and stays up until link states are restored. VLANs go down
    /// with their parents.
    pub(super) fn stays_up(&self, pair: Pair<'a>) -> bool {
        let link = pair.then.link();
        let is_vlan = matches!(link.kind, LinkKind::Vlan { .. });
        let parent = self.then.host.parent_of(link).filter(|_| is_vlan);
        let parent = parent.and_then(|parent| self.links.get(&parent).copied());
        pair.now.is_some_and(|now| now.link().up)
            && !self.downed.contains(&link.name)
            && parent.is_none_or(|parent| self.stays_up(parent))
    }

    /// Returns the links that may need steps, lower links first.
    pub(super) fn pairs(&self) -> Vec<Pair<'a>> {
        let pairs = self.unlike.iter().filter_map(|name| self.links.get(name));
        pairs.filter(|pair| pair.differs).copied().collect()
    }

    pub(super) fn push(&mut self, step: impl Into<Step>) {
        self.steps.push(step.into());
    }

    pub(super) fn set(&mut self, link: IfName, value: LinkValue) {
        self.push(KernelRequest::SetLink { link, value });
    }

    /// Renames a link that is down, so that it can be deleted later.
    pub(super) fn discard(&mut self, link: &Link) {
        if let Some(name) = discarded_name(link) {
            self.set(link.name, LinkValue::Name(name));
            self.discarded.push(name);
        }
    }
}

/// Returns links, lower ones first: NICs, then bonds, bridges, and links on other links by their
/// depth.
fn in_order(host: &HostRecord) -> Vec<&LinkState> {
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

/// Returns the number of links below one.
pub(super) fn depth(host: &HostRecord, link: &Link) -> usize {
    let below = |link: &Link| host.named(&host.parent_of(link)?).map(LinkState::link);
    std::iter::successors(below(link), |link| below(link)).take(LINK_DEPTH_MAX).count()
}
