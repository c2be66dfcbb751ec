// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Stage`]: the progress of the current request, and its continuation.

use crate::change::commit::Commit;
use crate::change::decision::Change;
use crate::change::keeping::Keeping;
use crate::change::recovery::Recovering;
use crate::change::request::Request;
use crate::change::running::Running;
use crate::change::undo::Undo;
use crate::host::survey::SurveyOrder;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::plan::bring_up::PartialPlan;
use crate::plan::losses::LostAddress;

/// The progress of the current request.
#[derive(Clone, Debug, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    /// A handler decides the request.
    Deciding,
    Surveying(SurveyOrder, Sought),
    Checking(Box<Checking>),
    Recording(Purpose),
    Keeping(Box<Keeping>, Purpose),
    Committing(Commit),
    Working(Box<Running>),
    Undoing(Box<Undo>),
    Recovering(Box<Recovering>),
}

/// The purpose of a survey.
#[derive(Clone, Debug)]
pub(super) enum Sought {
    Decision(Request),
    /// An interface comes up automatically.
    Attempt(Request, IfName),
}

/// The purpose of a search for other managers.
#[derive(Clone, Debug)]
pub(super) enum Checking {
    Change(Request, Change),
    Attempt {
        request: Request,
        definition: Interface,
        partial: PartialPlan,
        losses: Vec<LostAddress>,
    },
}

/// The purpose of writing the host's state.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Begin(Request),
    /// A job of a transaction.
    Journal(Box<Running>),
}

/// The owner of a file operation's result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FileOwner {
    /// The current stage waits for it.
    Stage,
    /// The journal is being removed.
    Journal,
    /// A note for administrators.
    Note,
}
