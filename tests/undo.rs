// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every plan of the golden cases, carried out on a kernel made of values: to its end, and with
//! each of its steps refused in turn, after which the host must be unchanged.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and prints how much it tried"
)]

#[path = "support/case.rs"]
mod case;
#[path = "support/golden.rs"]
mod golden;
#[path = "support/rollback_case.rs"]
mod rollback_case;

use std::time::Instant;

use case::{Case, cases};
use virtinterfaced::change::job::StepError;
use virtinterfaced::model::name::IfName;
use virtinterfaced::plan::refusal::PlanRefusal;
use virtinterfaced::plan::request::{KernelRequest, LinkValue};
use virtinterfaced::plan::step::{Condition, Step};
use virtinterfaced::plan::{Plan, Planned};

const ERRNO: i32 = 5;

/// The cases that yield a plan.
fn planned() -> Vec<(Case, Plan)> {
    let planned =
        cases().into_iter().filter_map(|case| case.plan.clone().ok().map(|plan| (case, plan)));
    planned.collect()
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
fn start() -> Instant {
    Instant::now()
}

fn refused() -> Option<StepError> {
    Some(StepError::kernel(ERRNO, None))
}

#[test]
fn a_plan_that_is_carried_out_leaves_nothing_to_do() {
    for (case, plan) in planned() {
        let mut kernel = case.kernel.clone();
        let outcome = kernel.carry_out(plan, start(), &mut |_| None);
        outcome.unwrap_or_else(|err| panic!("{}: {err}", case.name));
        let refusal = case.plan_on(&kernel).map(|plan| plan.to_string());
        match (case.verb.as_str(), refusal) {
            ("create", Err(PlanRefusal::Running)) | ("destroy", Err(PlanRefusal::NotRunning)) => {}
            (_, again) => panic!("{}, again: {again:?}\n{kernel}", case.name),
        }
    }
}

#[test]
fn a_refused_step_leaves_the_host_unchanged() {
    let mut pairs = 0;
    for (case, mut plan) in planned() {
        let before = case.kernel.to_string();
        // An additional step that fails, so that the last one is undone too.
        let step = Step::Request(KernelRequest::SetLink {
            link: IfName::new("nowhere").unwrap(),
            value: LinkValue::Up,
        });
        plan.steps.push(Planned { step, undo: Vec::new() });
        for (at, planned) in plan.steps.iter().enumerate() {
            let Some(want) = failing_as(&planned.step) else { continue };
            let mut kernel = case.kernel.clone();
            let mut performed = 0;
            let outcome = kernel.carry_out(plan.clone(), start(), &mut |step| {
                if let Step::WaitFor(_) = step {
                    return refused().filter(|_| is_waited_for(step, &planned.step));
                }
                if let Step::WaitFor(_) = planned.step {
                    return None;
                }
                let is_it = performed == steps_before(&plan, at);
                performed += 1;
                refused().filter(|_| is_it)
            });
            let label = format!("{}, step {at}: {}", case.name, planned.step);
            let failure = outcome.expect_err(&label);
            if failure.step != planned.step && matches!(planned.step, Step::WaitFor(_)) {
                // The link inherited the lease of a port, so no wait was refused.
                continue;
            }
            assert_eq!(failure.step, planned.step, "{label}");
            assert!(failure.to_string().starts_with(&want), "{label}: {failure}");
            assert_eq!(failure.remains, [], "{label}");
            assert_eq!(kernel.to_string(), before, "{label}");
            pairs += 1;
        }
    }
    println!("{pairs} pairs of a plan and a step that is refused");
    assert!(pairs > 300, "{pairs} are not all");
}

#[test]
fn steps_that_cannot_be_undone_are_named_and_the_rest_is_undone() {
    let mut triples = 0;
    for (case, plan) in planned() {
        let Some(last) = plan.steps.iter().rposition(|it| !matches!(it.step, Step::WaitFor(_)))
        else {
            continue;
        };
        let failing = steps_before(&plan, last);
        let undoing: Vec<_> =
            plan.steps[..last].iter().rev().flat_map(|it| it.undo.clone()).collect();
        for (at, stuck) in undoing.iter().enumerate() {
            let mut kernel = case.kernel.clone();
            let mut performed = 0;
            let mut undone = Vec::new();
            let outcome = kernel.carry_out(plan.clone(), start(), &mut |step| {
                if let Step::WaitFor(_) = step {
                    return None;
                }
                let count = performed;
                performed += 1;
                if count > failing {
                    undone.push(step.clone());
                }
                refused().filter(|_| count == failing || count == failing + 1 + at)
            });
            let label = format!("{}, undoing {at}: {stuck}", case.name);
            let failure = outcome.expect_err(&label);
            // Steps that depend on it may not be undone either.
            assert_eq!(failure.remains.first().map(|(step, _)| step), Some(stuck), "{label}");
            assert!(
                failure.to_string().contains(&format!("undone: {stuck}: ")),
                "{label}: {failure}"
            );
            assert_eq!(undone, undoing, "{label}");
            triples += 1;
        }
    }
    println!("{triples} pairs of a plan and an undoing that is refused");
    assert!(triples > 250, "{triples} are not all");
}

#[test]
fn a_rollback_that_is_carried_out_leaves_nothing_to_do() {
    for case in rollback_case::rollback_cases() {
        let back = case.plan_from(&case.now);
        let mut kernel = case.now.clone();
        let refused = kernel.carry_out_what_can_be(back.plan, start(), &mut |_| None);
        assert_eq!(refused, [], "{}", case.name);
        let again = case.plan_from(&kernel);
        assert_eq!(again.plan.to_string(), "", "{}, again\n{kernel}", case.name);
        assert_eq!(again.lost, back.lost, "{}, again", case.name);
    }
}

/// How many steps before this one are performed, rather than waited for.
fn steps_before(plan: &Plan, at: usize) -> usize {
    plan.steps.iter().take(at).filter(|it| !matches!(it.step, Step::WaitFor(_))).count()
}

/// The beginning of the message for a failure of this step; `None` if it cannot fail. Waits for
/// links to go up or down do not fail a plan, and deletions are immediate here.
fn failing_as(step: &Step) -> Option<String> {
    match step {
        Step::WaitFor(Condition::Leased { .. }) => Some(format!("{step}: Connection timed out")),
        Step::WaitFor(Condition::Up(_) | Condition::Down(_) | Condition::Gone(_)) => None,
        step => Some(format!("{step}: ")),
    }
}

/// Whether two waits are for the same lease.
fn is_waited_for(asked: &Step, waiting: &Step) -> bool {
    let lease = |step: &Step| match step {
        Step::WaitFor(Condition::Leased { link, family, .. }) => Some((*link, *family)),
        _ => None,
    };
    lease(asked) == lease(waiting)
}
