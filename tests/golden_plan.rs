// SPDX-License-Identifier: LGPL-2.1-or-later
//! Plans for a host, step by step, with the steps that undo each of them.
//!
//! A network engineer can review them: in which order, with which gap, and whether a step can be
//! undone.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/case.rs"]
mod case;
#[path = "support/golden.rs"]
mod golden;
#[path = "support/rollback_case.rs"]
mod rollback_case;

use std::fmt::Write;

#[test]
fn plans_are_what_their_cases_say() {
    for case in case::cases() {
        let text = match &case.plan {
            Ok(plan) => plan.to_string(),
            Err(refusal) => format!("refused: {refusal}\n"),
        };
        golden::compare(&case.folder.join("plan.txt"), &text);
    }
}

#[test]
fn rollbacks_are_what_their_cases_say() {
    for case in rollback_case::rollback_cases() {
        let back = case.plan_from(&case.now);
        let mut text = back.plan.to_string();
        for loss in &back.lost {
            writeln!(text, "lost   {loss}").unwrap();
        }
        golden::compare(&case.folder.join("plan.txt"), &text);
    }
}

#[test]
fn a_rollback_that_is_planned_in_parts_is_the_same() {
    for case in rollback_case::rollback_cases() {
        let whole = case.plan_from(&case.now);
        for entry_count in 0..4 {
            assert_eq!(case.plan_in_parts(entry_count), whole, "{}: {entry_count}", case.name);
        }
    }
}
