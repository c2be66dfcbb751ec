// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Rollback`]: a way back that is under way, and what is said of one that does not lead all the way.

use std::collections::BTreeSet;

use crate::io::change_folder::Kept;
use crate::job::StepError;
use crate::model::name::IfName;
use crate::plan::Plan;
use crate::plan::restore::Loss;
use crate::plan::step::Step;
use crate::snapshot::Snapshot;

/// A way back, under way.
#[derive(Debug)]
pub(crate) struct Rollback {
    pub(super) target: Kept,
    pub(super) snapshot: Box<Snapshot>,
    pub(super) round: u32,
    /// What this round is to do, in words: one that says the same again will do no more.
    pub(super) steps: String,
    /// Whose state has been touched so far.
    pub(super) links: BTreeSet<IfName>,
    pub(super) lost: Vec<Loss>,
}

/// What could not be restored: what nobody can, and what the host refuses.
pub(super) fn remains(lost: &[Loss], plan: &Plan, refused: &[(Step, StepError)]) -> String {
    let mut parts: Vec<String> = lost.iter().map(ToString::to_string).collect();
    let steps = || plan.steps.iter().map(|planned| &planned.step);
    let is_made = |it: &&Step| matches!(it, Step::RemakeLink { .. });
    let missing: BTreeSet<_> = steps().filter(is_made).filter_map(Step::link_name).collect();
    for step in steps() {
        // What a link should have that is not there goes without saying.
        let goes_without_saying = matches!(step, Step::WaitFor(_))
            || (!is_made(&step) && step.link_name().is_some_and(|link| missing.contains(&link)));
        if goes_without_saying {
            continue;
        }
        // An address may last a second less by now.
        let text = step.to_string();
        let is_it = |(it, _): &&(Step, StepError)| it.to_string() == text;
        let why = refused.iter().find(is_it).map(|(_, err)| err.to_string());
        let why = why.unwrap_or_else(|| "it does not last".to_owned());
        parts.push(format!("{step}: {why}"));
    }
    format!("this could not be restored: {}", parts.join("; "))
}
