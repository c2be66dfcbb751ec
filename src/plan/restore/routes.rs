// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compares one link's present routes with those in the snapshot, and plans the steps to restore
//! them.
//!
//! Each route is examined a constant number of times, and the work can pause after each. Among
//! routes that differ only in their gateway the kernel uses the first, and it dumps them in this
//! order.

use crate::model::address::Family;
use crate::netlink::record::route::RouteRecord;
use crate::plan::request::KernelRequest;
use crate::plan::step::Step;

use super::addresses::AddressOutcome;
use super::addressing::Scene;
use super::matching::{Budget, Index};
use super::told::{self, Told};

/// The progress of restoring one link's routes.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteRestoration {
    phase: RoutePhase,
    /// The number of entries that the phase has examined.
    at: usize,
    index: Index,
    own_index: Index,
    /// The positions within `kept` of the snapshot's routes.
    kept_at: Vec<Option<usize>>,
    /// The positions of routes that exist in both: among the present ones, and in the snapshot.
    kept: Vec<(usize, usize)>,
    /// The route examined last, which is the next one in the snapshot's order: its position, and
    /// whether exactly the snapshot's routes follow it at present.
    behind: Option<(usize, bool)>,
    /// The positions of routes to be added, and whether they exist in the wrong place.
    missing: Vec<(usize, bool)>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum RoutePhase {
    /// Compares both lists, entry by entry.
    #[default]
    Compare,
    Index,
    Sort,
    Order,
    /// Adds routes that the kernel had created with addresses and that were flushed since.
    IndexOwn,
    AddOwn,
    /// Adds routes without a gateway, by which others reach theirs.
    AddNear,
    AddFar,
    Done,
}

impl RouteRestoration {
    /// Continues as far as the budget allows, and appends the steps found. Returns whether the work
    /// is complete.
    pub(super) fn poll(
        &mut self,
        scene: &Scene<'_>,
        (told, outcome): (&Told, &AddressOutcome),
        budget: &mut Budget,
        steps: &mut Vec<Step>,
    ) -> bool {
        let (then, now) = (scene.then.routes.as_slice(), scene.routes_now());
        let own_now = scene.own_routes_now();
        let own_then = scene.then.own_routes.as_slice();
        // The kernel creates them itself when addresses are added or the link comes up.
        let own_then = if outcome.is_settled && scene.stays_up { own_then } else { &[] };
        loop {
            let is_over = match self.phase {
                RoutePhase::Compare => self.at >= then.len().max(now.len()),
                RoutePhase::Index | RoutePhase::Order => self.at >= then.len(),
                RoutePhase::Sort => self.at >= now.len(),
                RoutePhase::IndexOwn => own_then.is_empty() || self.at >= own_now.len(),
                RoutePhase::AddOwn => self.at >= own_then.len(),
                RoutePhase::AddNear | RoutePhase::AddFar => self.at >= self.missing.len(),
                RoutePhase::Done => return true,
            };
            if is_over {
                (self.phase, self.at) = (self.next_phase(), 0);
                continue;
            }
            if !budget.take() {
                return false;
            }
            let at = self.at;
            self.at += 1;
            match self.phase {
                RoutePhase::Compare if then.get(at) == now.get(at) && !outcome.is_emptied => {}
                RoutePhase::Compare => {
                    self.index.expect(then.len());
                    self.kept_at.reserve(then.len());
                    self.kept.reserve(then.len().min(now.len()));
                    (self.phase, self.at) = (RoutePhase::Index, 0);
                }
                RoutePhase::Index => {
                    if let Some(route) = then.get(at) {
                        self.index.push(route.way());
                        self.kept_at.push(None);
                    }
                }
                RoutePhase::Sort => self.sort(scene, (told, outcome), at, steps),
                RoutePhase::Order => {
                    let last = then.len().saturating_sub(1);
                    self.order(scene, outcome, last.saturating_sub(at));
                }
                RoutePhase::IndexOwn => {
                    own_now.get(at).into_iter().for_each(|route| self.own_index.push(route.way()));
                }
                RoutePhase::AddOwn => {
                    let Some(route) = own_then.get(at) else { continue };
                    let is_it = |at: usize| own_now.get(at).is_some_and(|now| now.is_same(route));
                    if self.own_index.find(route.way(), is_it).is_none() {
                        let record = route.to_add();
                        steps.push(Step::Request(KernelRequest::AddRoute {
                            link: scene.link,
                            record,
                        }));
                    }
                }
                RoutePhase::AddNear => self.add(scene, at, |route| route.gateway.is_none(), steps),
                RoutePhase::AddFar => self.add(scene, at, |route| route.gateway.is_some(), steps),
                RoutePhase::Done => {}
            }
        }
    }

    /// Returns how many more steps there may be, as far as known.
    pub(super) fn foreseen(&self, scene: &Scene<'_>) -> usize {
        match self.phase {
            RoutePhase::Sort => scene.routes_now().len(),
            RoutePhase::AddNear | RoutePhase::AddFar => self.missing.len(),
            RoutePhase::Compare | RoutePhase::Index | RoutePhase::Order => 0,
            RoutePhase::IndexOwn | RoutePhase::AddOwn | RoutePhase::Done => 0,
        }
    }

    fn next_phase(&self) -> RoutePhase {
        match self.phase {
            RoutePhase::Compare | RoutePhase::Order => RoutePhase::IndexOwn,
            RoutePhase::IndexOwn => RoutePhase::AddOwn,
            RoutePhase::AddOwn => RoutePhase::AddNear,
            RoutePhase::AddFar | RoutePhase::Done => RoutePhase::Done,
            RoutePhase::Index => RoutePhase::Sort,
            RoutePhase::Sort => RoutePhase::Order,
            RoutePhase::AddNear => RoutePhase::AddFar,
        }
    }

    /// Decides whether a present route is in the snapshot or is removed.
    fn sort(
        &mut self,
        scene: &Scene<'_>,
        (told, outcome): (&Told, &AddressOutcome),
        at: usize,
        steps: &mut Vec<Step>,
    ) {
        let Some(route) = scene.routes_now().get(at) else { return };
        let is_lost = route.family == Family::Ipv4 && outcome.is_emptied;
        if is_lost || told::is_left_to_client(&scene.inputs, scene.link, route.family) {
            return;
        }
        let is_it = |at: usize| scene.then.routes.get(at).is_some_and(|then| is_same(then, route));
        match self.index.find(route.way(), is_it) {
            Some(then_at) => {
                if let Some(kept_at) = self.kept_at.get_mut(then_at) {
                    kept_at.get_or_insert(self.kept.len());
                }
                self.kept.push((at, then_at));
            }
            None if told.keeps_route(&scene.inputs, scene.link, route) => {}
            None => {
                steps.push(Step::Request(KernelRequest::DeleteRoute {
                    link: scene.link,
                    record: route.clone(),
                }));
            }
        }
    }

    /// Checks, from the last to the first, whether a route of the snapshot exists in its place. The
    /// kernel inserts a route before those beside it, so the last is added first.
    fn order(&mut self, scene: &Scene<'_>, outcome: &AddressOutcome, at: usize) {
        let Some(route) = scene.then.routes.get(at) else { return };
        let kept_at = self.kept_at.get(at).copied().flatten();
        let is_clients = route.is_leased() && outcome.other_leases.contains(&route.family);
        if kept_at.is_none()
            && (is_clients || told::is_left_to_client(&scene.inputs, scene.link, route.family))
        {
            return;
        }
        let behind = self.behind.filter(|(behind, _)| {
            scene.then.routes.get(*behind).is_some_and(|behind| behind.is_beside(route))
        });
        let is_followed = kept_at.is_some_and(|kept_at| {
            let next = self.kept.get(kept_at + 1).filter(|(now, _)| {
                scene.routes_now().get(*now).is_some_and(|next| next.is_beside(route))
            });
            match (behind, next) {
                (None, None) => true,
                (Some((behind, is_followed)), Some((_, next))) => is_followed && behind == *next,
                (None, Some(_)) | (Some(_), None) => false,
            }
        });
        self.behind = Some((at, is_followed));
        if !is_followed {
            self.missing.push((at, kept_at.is_some()));
        }
    }

    fn add(
        &self,
        scene: &Scene<'_>,
        at: usize,
        is_its_turn: fn(&RouteRecord) -> bool,
        steps: &mut Vec<Step>,
    ) {
        let Some((at, is_there)) = self.missing.get(at) else { return };
        let route = scene.then.routes.get(*at).filter(|route| is_its_turn(route));
        let Some(record) = route.and_then(|route| route.aged(scene.inputs.elapsed)) else { return };
        let link = scene.link;
        if *is_there {
            steps.push(Step::Request(KernelRequest::DeleteRoute { link, record: record.clone() }));
        }
        steps.push(Step::Request(KernelRequest::AddRoute { link, record: record.to_add() }));
    }
}

/// Returns whether two routes are the same. Attributes that a router or a DHCP server sets may
/// differ.
fn is_same(one: &RouteRecord, other: &RouteRecord) -> bool {
    let is_told = one.is_advertised() || one.is_leased();
    one.is_same(other)
        && one.is_lasting() == other.is_lasting()
        && (is_told || one.is_used_as(other))
}
