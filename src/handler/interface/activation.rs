// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls that change what runs: create, destroy.

use crate::error::{CallError, Domain};
use crate::handler::interface::found::Found;
use crate::handler::{Answer, Change, Outcome, Question, World};
use crate::host::survey::Surveyed;
use crate::plan::{self, Plan, bring_up, refusal::Refusal, tear_down};
use crate::proto::Reply;

/// Brings an interface up as it is defined, or just up if it is not.
pub(super) fn create(
    name: &str,
    flags: u32,
    world: &World<'_>,
    answer: Option<&Answer>,
) -> Outcome {
    if flags != 0 {
        let err = CallError::flags(Domain::Interface, "netcfInterfaceCreate", flags);
        return Outcome::Done(Err(err));
    }
    let found = match Found::named(name, world) {
        Ok(found) => found,
        Err(err) => return Outcome::Done(Err(err)),
    };
    let (name, definition) = (found.listed().name, found.definition());
    let Some(Answer::Survey(survey)) = answer else {
        return Outcome::Ask(Question::Survey(plan::survey_order(name, definition)));
    };
    let plan = match definition {
        Some(definition) => bring_up::bring_up(definition, world.host, survey),
        None => bring_up::bring_up_undefined(name, world.host, survey),
    };
    change(plan, Vec::new(), format!("failed to create (start) interface {name}"))
}

/// Takes an interface down.
pub(super) fn destroy(
    name: &str,
    flags: u32,
    world: &World<'_>,
    answer: Option<&Answer>,
) -> Outcome {
    if flags != 0 {
        let err = CallError::flags(Domain::Interface, "netcfInterfaceDestroy", flags);
        return Outcome::Done(Err(err));
    }
    let found = match Found::named(name, world) {
        Ok(found) => found,
        Err(err) => return Outcome::Done(Err(err)),
    };
    let (name, definition) = (found.listed().name, found.definition());
    let Some(Answer::Survey(survey)) = answer else {
        return Outcome::Ask(Question::Survey(plan::survey_order(name, definition)));
    };
    let plan = tear_down::tear_down(name, definition, world.host, survey);
    let leaves = survey.at_rest(&name);
    let failure = format!("failed to destroy (stop) interface {name}");
    change(plan, leaves.into_iter().collect(), failure)
}

fn change(plan: Result<Plan, Refusal>, leaves: Vec<Surveyed>, failure: String) -> Outcome {
    match plan {
        Ok(plan) => Outcome::Change(Change { plan, reply: Reply::Empty, leaves, failure }),
        Err(refusal) => Outcome::Done(Err(refusal.into())),
    }
}
