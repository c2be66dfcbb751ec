// SPDX-License-Identifier: LGPL-2.1-or-later
//! The names part of a rollback: links that were renamed get their former names back before any
//! other step, and the rest of the plan uses these.
//!
//! During one boot the kernel assigns an index only once, unless a program requests it explicitly.
//! So a link with the same index and kind is the same link.

use std::collections::BTreeSet;

use crate::host::record::HostRecord;
use crate::host::state::LinkState;
use crate::host::{discarded_name, is_out_of_the_way};
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::request::{KernelRequest, LinkValue};
use crate::plan::step::Step;
use crate::snapshot::Network;

/// The steps that restore names.
#[derive(Clone, Debug)]
pub(super) struct Renaming {
    pub(super) steps: Vec<Step>,
    /// Renamed links that are no longer used, to be deleted later.
    pub(super) discarded: Vec<IfName>,
    /// Links that were up and are down after the steps.
    pub(super) downed: BTreeSet<IfName>,
    /// The host's state after the steps.
    pub(super) now: HostRecord,
}

/// Returns the pairs of the present and the former name of renamed links.
fn renamed(then: &Network, now: &HostRecord) -> Vec<(IfName, IfName)> {
    let was = |recorded: &LinkState| {
        let link = recorded.link();
        let name = then.host.name_of(link.index).filter(|name| *name != link.name)?;
        let was = then.host.named(&name)?;
        is_still(was, recorded).then_some((link.name, name))
    };
    now.iter().filter_map(was).collect()
}

/// Returns whether a link still exists under another name.
pub(super) fn is_elsewhere(then: &LinkState, now: &HostRecord) -> bool {
    let found = now.name_of(then.link().index).filter(|name| *name != then.link().name);
    let found = found.and_then(|name| now.named(&name));
    found.is_some_and(|it| is_still(then, it))
}

/// Returns whether a link with the same index is the same link.
fn is_still(then: &LinkState, now: &LinkState) -> bool {
    now.record.kind_name() == then.record.kind_name() && !is_out_of_the_way(now.link())
}

/// Plans how to restore names. Returns `None` if no name differs, which is the usual case.
pub(super) fn renaming(then: &Network, now: &HostRecord) -> Option<Renaming> {
    let mut wanted = renamed(then, now);
    // A link with the wanted name is removed, if it is new and the daemon could have created it, or
    // is renamed itself.
    let is_free = |name: &IfName| {
        let Some(other) = now.named(name) else { return true };
        let is_bridge = matches!(other.link().kind, LinkKind::Bridge(_));
        let is_moving = wanted.iter().any(|(has, _)| has == name);
        let is_used =
            is_bridge && now.ports_of(name).any(|it| then.guests.contains_key(&it.link().name));
        is_moving || (other.record.can_be_made() && !is_used)
    };
    let free: BTreeSet<_> = wanted.iter().map(|(_, name)| *name).filter(|it| is_free(it)).collect();
    wanted.retain(|(_, name)| free.contains(name));
    if wanted.is_empty() {
        return None;
    }
    let mut renaming = Renaming {
        steps: Vec::new(),
        discarded: Vec::new(),
        downed: BTreeSet::new(),
        now: now.clone(),
    };
    let in_the_way = wanted.iter().filter_map(|(_, name)| now.named(name));
    for other in in_the_way.filter(|it| !wanted.iter().any(|(has, _)| *has == it.link().name)) {
        renaming.remove(other);
    }
    renaming.rename_all(now, wanted);
    Some(renaming)
}

impl Renaming {
    /// Removes a link that has another link's name.
    fn remove(&mut self, recorded: &LinkState) {
        let link = recorded.link();
        let is_slow = matches!(link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_));
        match discarded_name(link).filter(|_| is_slow) {
            Some(name) => {
                self.set(link.name, LinkValue::Down);
                self.set(link.name, LinkValue::Name(name));
                self.discarded.push(name);
            }
            None => self.steps.push(Step::Request(KernelRequest::DeleteLink(link.name))),
        }
        self.now.remove(&link.name);
    }

    /// Renames links. Two links that exchange their names need a third, temporary name. Links are
    /// taken down first, as only some kernels can rename one that is up.
    fn rename_all(&mut self, now: &HostRecord, mut wanted: Vec<(IfName, IfName)>) {
        for (has, name) in &wanted {
            if now.named(has).is_some_and(|it| it.link().up) {
                self.set(*has, LinkValue::Down);
                self.downed.insert(*name);
            }
        }
        self.now.rename(&wanted);
        while !wanted.is_empty() {
            let is_taken = |name: &IfName| wanted.iter().any(|(has, _)| has == name);
            let (later, at_once): (Vec<_>, Vec<_>) =
                wanted.iter().copied().partition(|(_, name)| is_taken(name));
            for (has, name) in &at_once {
                self.set(*has, LinkValue::Name(*name));
            }
            wanted = later;
            if at_once.is_empty() {
                let Some((has, _)) = wanted.first_mut() else { return };
                let Some(aside) = now.named(has).and_then(name_aside) else { return };
                self.steps.push(Step::Request(KernelRequest::SetLink {
                    link: *has,
                    value: LinkValue::Name(aside),
                }));
                *has = aside;
            }
        }
    }

    fn set(&mut self, link: IfName, value: LinkValue) {
        self.steps.push(Step::Request(KernelRequest::SetLink { link, value }));
    }
}

/// Returns the temporary name of a link that waits for its own.
fn name_aside(recorded: &LinkState) -> Option<IfName> {
    IfName::new(format!("was-{}", recorded.link().index.0)).ok()
}
