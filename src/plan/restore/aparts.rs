// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compares the present rules, next hops, and routes that do not lead through exactly one link,
//! with those in the snapshot, and plans the steps to restore them.
//!
//! An added rule may cut the host off, so rules are deleted before anything else. Objects are added
//! after those that they refer to: next hops after addresses, groups after their members, routes
//! after those of single links, and rules, which name tables, after all routes.

use std::collections::{BTreeSet, HashMap};

use crate::host::may_be_guest;
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::record::apart::Apart;
use crate::plan::request::KernelRequest;
use crate::plan::step::Step;

use super::Inputs;
use super::matching::{Budget, Index};

/// The progress of restoring these objects.
#[derive(Clone, Debug, Default)]
pub(super) struct ApartRestoration {
    phase: ApartPhase,
    /// The number of entries that the phase has examined.
    at: usize,
    index: Index,
    then: Vec<Had>,
    /// For each priority, the number of rules in the snapshot, and how many of them stay.
    places: HashMap<(Family, u32), (usize, usize)>,
    nexthop_ids: BTreeSet<u32>,
    pub(super) rules_to_go: Vec<Step>,
    routes_to_go: Vec<Step>,
    nexthops_to_go: Vec<Step>,
    groups_to_go: Vec<Step>,
    nexthops: Vec<Apart>,
    groups: Vec<Apart>,
    routes: Vec<Apart>,
    rules: Vec<Apart>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ApartPhase {
    /// Compares both lists, entry by entry.
    #[default]
    Compare,
    Index,
    Sort,
    Add,
    Done,
}

/// An object in the snapshot.
#[derive(Clone, Debug)]
struct Had {
    /// The number of rules before it with its priority.
    rank: usize,
    is_kept: bool,
}

impl ApartRestoration {
    /// Continues as far as the budget allows. Returns whether the comparison is complete.
    pub(super) fn poll(&mut self, inputs: &Inputs<'_>, budget: &mut Budget) -> bool {
        let (then, now) = (inputs.then.host.apart(), inputs.now.apart());
        loop {
            let (is_over, next) = match self.phase {
                ApartPhase::Compare => (self.at >= then.len().max(now.len()), ApartPhase::Done),
                ApartPhase::Index => (self.at >= then.len(), ApartPhase::Sort),
                ApartPhase::Sort => (self.at >= now.len(), ApartPhase::Add),
                ApartPhase::Add => (self.at >= then.len(), ApartPhase::Done),
                ApartPhase::Done => return true,
            };
            if is_over {
                (self.phase, self.at) = (next, 0);
                continue;
            }
            if !budget.take() {
                return false;
            }
            let at = self.at;
            self.at += 1;
            match (self.phase, then.get(at), now.get(at)) {
                (ApartPhase::Compare, then, now) if then == now => {}
                (ApartPhase::Compare, _, _) => (self.phase, self.at) = (ApartPhase::Index, 0),
                (ApartPhase::Index, Some(had), _) => self.index(had),
                (ApartPhase::Sort, _, Some(has)) if is_guest(inputs, has) => {}
                (ApartPhase::Sort, _, Some(has)) => self.sort(then, has),
                (ApartPhase::Add, Some(had), _) => self.add(had, at),
                (
                    ApartPhase::Index | ApartPhase::Sort | ApartPhase::Add | ApartPhase::Done,
                    _,
                    _,
                ) => {}
            }
        }
    }

    fn index(&mut self, had: &Apart) {
        let mut rank = 0;
        match had {
            Apart::Rule(rule) => {
                let (count, _) = self.places.entry((rule.family, rule.priority)).or_default();
                (rank, *count) = (*count, *count + 1);
            }
            Apart::Nexthop(nexthop) => {
                self.nexthop_ids.insert(nexthop.id);
            }
            Apart::Route(_) => {}
        }
        self.index.push(had);
        self.then.push(Had { rank, is_kept: false });
    }

    /// Decides whether a present object stays. The kernel evaluates rules of one priority in order,
    /// so they stay as long as they match the snapshot in this order.
    fn sort(&mut self, then: &[Apart], has: &Apart) {
        let had_at = self.index.find(has, |at| then.get(at) == Some(has));
        let had = had_at.and_then(|at| self.then.get_mut(at));
        match (has, had) {
            (Apart::Rule(rule), Some(had)) => {
                let (_, kept_count) = self.places.entry((rule.family, rule.priority)).or_default();
                if had.rank == *kept_count {
                    (*kept_count, had.is_kept) = (*kept_count + 1, true);
                } else {
                    self.rules_to_go.push(Step::Request(KernelRequest::DeleteApart(has.clone())));
                }
            }
            (Apart::Rule(_), None) => {
                self.rules_to_go.push(Step::Request(KernelRequest::DeleteApart(has.clone())))
            }
            (Apart::Nexthop(_) | Apart::Route(_), Some(had)) => had.is_kept = true,
            (Apart::Route(_), None) => {
                self.routes_to_go.push(Step::Request(KernelRequest::DeleteApart(has.clone())))
            }
            // It is replaced; the kernel keeps its ID.
            (Apart::Nexthop(nexthop), None) if self.nexthop_ids.contains(&nexthop.id) => {}
            (Apart::Nexthop(nexthop), None) => {
                let to_go = if nexthop.is_group {
                    &mut self.groups_to_go
                } else {
                    &mut self.nexthops_to_go
                };
                to_go.push(Step::Request(KernelRequest::DeleteApart(has.clone())));
            }
        }
    }

    fn add(&mut self, had: &Apart, at: usize) {
        if self.then.get(at).is_some_and(|it| it.is_kept) {
            return;
        }
        let missing = match had {
            Apart::Rule(_) => &mut self.rules,
            Apart::Nexthop(nexthop) if nexthop.is_group => &mut self.groups,
            Apart::Nexthop(_) => &mut self.nexthops,
            Apart::Route(_) => &mut self.routes,
        };
        missing.push(had.clone());
    }

    /// Returns the steps to perform after all addresses and before the routes of single links, as
    /// far as these links exist.
    pub(super) fn before_routes(&mut self, links: &BTreeSet<IfName>) -> impl Iterator<Item = Step> {
        let to_go = std::mem::take(&mut self.routes_to_go);
        let added = [&mut self.nexthops, &mut self.groups].map(std::mem::take);
        let added = added.into_iter().flatten().filter(|it| leads_through(it, links));
        to_go.into_iter().chain(added.map(KernelRequest::AddApart).map(Step::Request))
    }

    /// Returns the steps to perform after the routes of single links.
    pub(super) fn behind_routes(&mut self, links: &BTreeSet<IfName>) -> impl Iterator<Item = Step> {
        let to_go = [&mut self.groups_to_go, &mut self.nexthops_to_go].map(std::mem::take);
        let [routes, rules] = [&mut self.routes, &mut self.rules].map(std::mem::take);
        let routes = routes
            .into_iter()
            .filter(|it| leads_through(it, links))
            .map(KernelRequest::AddApart)
            .map(Step::Request);
        routes
            .chain(to_go.into_iter().flatten())
            .chain(rules.into_iter().map(KernelRequest::AddApart).map(Step::Request))
    }
}

/// Returns whether an object leads through a guest's link; such objects are left alone.
fn is_guest(inputs: &Inputs<'_>, apart: &Apart) -> bool {
    let is_guest = |link: &IfName| {
        let now = inputs.now.named(link).is_some_and(|now| may_be_guest(now.link()));
        now && inputs.then.host.named(link).is_none()
    };
    apart.links().iter().any(is_guest)
}

/// Returns whether an object leads through these links only. The loss of a link is reported, so
/// that of its objects is not.
fn leads_through(apart: &Apart, links: &BTreeSet<IfName>) -> bool {
    apart.links().iter().all(|link| links.contains(link))
}
