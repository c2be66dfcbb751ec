// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Fate`]: the failure or the interruption that a call meets.

use crate::value_disk::{DiskFailure, DiskOutcome};
use virtinterfaced::change::job::StepError;
use virtinterfaced::plan::step::Step;

/// The fate of the next call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Fate {
    #[default]
    Done,
    /// A step is refused, after this many others.
    Refused(usize),
    /// The daemon is killed after this many actions.
    Killed(usize),
    /// The daemon is killed in the last of this many actions, which writes a file and leaves half
    /// of it.
    Torn(usize),
    /// This many file operations fail, after this many others.
    FilesFailed { after: usize, count: usize, failure: DiskFailure },
    /// The search for other managers and for DHCP clients finds an obstacle.
    Hindered,
}

impl Fate {
    /// The error with which this step is refused, if it is.
    pub(super) fn befall_step(&mut self, step: &Step) -> Option<StepError> {
        match self {
            Self::Done
            | Self::Killed(_)
            | Self::Torn(_)
            | Self::FilesFailed { .. }
            | Self::Hindered => None,
            Self::Refused(0) => {
                *self = Self::Done;
                Some(StepError { errno: 0, text: format!("no {step}") })
            }
            Self::Refused(left) => {
                // Waiting for a lease performs nothing.
                if !matches!(step, Step::WaitFor(_)) {
                    *left -= 1;
                }
                None
            }
        }
    }

    /// The outcome of the next file operation.
    pub(super) fn befall_file(&mut self) -> DiskOutcome {
        match self {
            Self::Torn(1) => DiskOutcome::Torn,
            Self::FilesFailed { after: 0, count: 0, .. }
            | Self::Done
            | Self::Refused(_)
            | Self::Killed(_)
            | Self::Torn(_)
            | Self::Hindered => DiskOutcome::Done,
            Self::FilesFailed { after: 0, count, failure } => {
                *count -= 1;
                DiskOutcome::Failed(*failure)
            }
            Self::FilesFailed { after, .. } => {
                *after -= 1;
                DiskOutcome::Done
            }
        }
    }

    /// Counts an action as done.
    pub(super) fn count_action(&mut self) {
        match self {
            Self::Killed(left) => *left = left.saturating_sub(1),
            Self::Torn(1) => *self = Self::Killed(0),
            Self::Torn(left) => *left = left.saturating_sub(1),
            Self::Done | Self::Refused(_) | Self::FilesFailed { .. } | Self::Hindered => {}
        }
    }
}
