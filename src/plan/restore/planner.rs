// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Planner`]: plans how to restore a network, in parts that take a millisecond each.
//!
//! Links are compared at once, their names and the rest of them in two parts. There may be a hundred
//! thousand addresses and routes, so they are compared a few at a time, and clients do not wait
//! longer than that.

use std::collections::BTreeSet;

use crate::model::name::IfName;
use crate::plan::step::Step;
use crate::plan::{Plan, Planned};

use super::addresses::{AddressOutcome, AddressRestoration};
use super::addressing::{Outlined, Scene};
use super::aparts::ApartRestoration;
use super::matching::Budget;
use super::names::{self, Renaming};
use super::outline::OutlineBuilder;
use super::routes::RouteRestoration;
use super::told::Told;
use super::{Inputs, Loss, Restoration};

/// A plan in the making. Each part must be given the same inputs.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    stage: PlannerStage,
    /// The restored names of links, which the rest of the plan uses.
    renaming: Option<Box<Renaming>>,
    /// All links in the snapshot.
    names: Vec<IfName>,
    links: Vec<Outlined>,
    /// Their names; routes through other links cannot be restored.
    leads: BTreeSet<IfName>,
    told: Told,
    aparts: ApartRestoration,
    /// The outcomes of the links' addresses.
    outcomes: Vec<AddressOutcome>,
    steps: Vec<Step>,
    planned: Vec<Planned>,
    last: Vec<Step>,
    discarded: Vec<IfName>,
    lost: Vec<Loss>,
}

/// The next part of the work.
#[derive(Clone, Debug, Default)]
enum PlannerStage {
    #[default]
    Names,
    Aparts,
    Links,
    Told,
    /// Of the link at this position.
    Addresses(usize, AddressRestoration),
    Routes(usize, RouteRestoration),
}

impl Planner {
    /// Continues until `entry_count` addresses and routes are examined. Returns the plan at the
    /// end.
    pub fn poll(&mut self, inputs: &Inputs<'_>, entry_count: usize) -> Option<Restoration> {
        // At least one for a link and one for an entry of it, or there would be no progress.
        let mut budget = Budget::new(entry_count.max(2));
        if matches!(self.stage, PlannerStage::Names) {
            self.renaming = names::renaming(inputs.then, inputs.now).map(Box::new);
            self.stage = PlannerStage::Aparts;
            budget.charge(inputs.now.iter().count());
        }
        let renaming = self.renaming.take();
        let now = renaming.as_ref().map_or(inputs.now, |renaming| &renaming.now);
        let restoration =
            self.poll_named(&Inputs { now, ..*inputs }, renaming.as_deref(), &mut budget);
        self.renaming = renaming;
        restoration
    }

    /// Does the same with inputs in which all links have their former names.
    fn poll_named(
        &mut self,
        inputs: &Inputs<'_>,
        renaming: Option<&Renaming>,
        budget: &mut Budget,
    ) -> Option<Restoration> {
        while budget.take() {
            if self.go_on(inputs, renaming, budget) {
                return Some(self.finish());
            }
        }
        None
    }

    /// Returns whether everything is planned.
    fn go_on(
        &mut self,
        inputs: &Inputs<'_>,
        renaming: Option<&Renaming>,
        budget: &mut Budget,
    ) -> bool {
        match &mut self.stage {
            PlannerStage::Names | PlannerStage::Aparts => {
                if self.aparts.poll(inputs, budget) {
                    self.steps.append(&mut self.aparts.rules_to_go);
                    self.stage = PlannerStage::Links;
                }
            }
            PlannerStage::Links => {
                self.outline(inputs, renaming);
                budget.charge(self.names.len());
                self.stage = PlannerStage::Told;
            }
            PlannerStage::Told => {
                if self.told.poll(inputs, &self.names, budget) {
                    self.stage = PlannerStage::Addresses(0, AddressRestoration::default());
                }
            }
            PlannerStage::Addresses(at, work) => match scene(inputs, &self.links, *at) {
                None => {
                    self.steps.extend(self.aparts.before_routes(&self.leads));
                    self.stage = PlannerStage::Routes(0, RouteRestoration::default());
                }
                Some(scene) => {
                    if let Some(outcome) = work.poll(&scene, &self.told, budget, &mut self.steps) {
                        self.outcomes.push(outcome);
                        self.stage =
                            PlannerStage::Addresses(*at + 1, AddressRestoration::default());
                    }
                }
            },
            PlannerStage::Routes(at, work) => {
                let Some(scene) = scene(inputs, &self.links, *at) else { return true };
                let Some(outcome) = self.outcomes.get(*at) else { return true };
                // A link that is down has no routes.
                let is_over = !scene.then.link().up
                    || work.poll(&scene, (&self.told, outcome), budget, &mut self.steps);
                // Without a reservation, the steps so far would be moved when the list grows. A
                // failure is harmless.
                let _ = self.planned.try_reserve(work.foreseen(&scene));
                if is_over {
                    self.stage = PlannerStage::Routes(*at + 1, RouteRestoration::default());
                }
            }
        }
        let planned = |step| Planned { step, undo: Vec::new() };
        self.planned.extend(self.steps.drain(..).map(planned));
        false
    }

    /// Plans the steps for links and DHCP clients.
    fn outline(&mut self, inputs: &Inputs<'_>, renaming: Option<&Renaming>) {
        let mut builder = OutlineBuilder::new(inputs);
        if let Some(Renaming { steps, discarded, downed, .. }) = renaming {
            builder.steps.clone_from(steps);
            builder.discarded.clone_from(discarded);
            builder.downed.clone_from(downed);
        }
        let outline = builder.build();
        self.names = inputs.then.host.iter().map(|recorded| recorded.link().name).collect();
        self.told = Told::new(inputs);
        (self.links, self.steps, self.last) = (outline.links, outline.first, outline.last);
        self.leads = self.links.iter().map(|outlined| outlined.link).collect();
        (self.discarded, self.lost) = (outline.discarded, outline.lost);
    }

    fn finish(&mut self) -> Restoration {
        let planned = |step| Planned { step, undo: Vec::new() };
        self.steps.extend(self.aparts.behind_routes(&self.leads));
        self.planned.extend(self.steps.drain(..).chain(self.last.drain(..)).map(planned));
        let steps = std::mem::take(&mut self.planned);
        let discarded = std::mem::take(&mut self.discarded);
        let plan = Plan { steps, discarded, ..Plan::default() };
        Restoration { plan, lost: std::mem::take(&mut self.lost) }
    }
}

/// Returns a link, in the snapshot and now.
fn scene<'a>(inputs: &Inputs<'a>, links: &[Outlined], at: usize) -> Option<Scene<'a>> {
    let outlined = *links.get(at)?;
    let then = inputs.then.host.named(&outlined.link)?;
    let now = inputs.now.named(&outlined.link).filter(|_| outlined.is_kept);
    Some(Scene { inputs: *inputs, link: outlined.link, then, now, stays_up: outlined.stays_up })
}
