// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Stage`]: how far the request that is under way has come, and what comes next of it.

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
use crate::plan::bring_up::Partial;
use crate::plan::losses::Loss;

/// What is under way.
#[derive(Clone, Debug, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    /// A handler decides a request.
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

/// What a survey is for.
#[derive(Clone, Debug)]
pub(super) enum Sought {
    Decision(Request),
    /// An interface comes up by itself.
    Attempt(Request, IfName),
}

/// What a search for other managers is for.
#[derive(Clone, Debug)]
pub(super) enum Checking {
    Change(Request, Change),
    Attempt { request: Request, definition: Interface, partial: Partial, losses: Vec<Loss> },
}

/// What the host is written down for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Begin(Request),
    /// A job of a transaction.
    Journal(Box<Running>),
}

/// Where the result of a file operation belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FileOwner {
    /// The stage waits for it.
    Stage,
    /// The journal is being removed.
    Journal,
    /// A note for administrators.
    Note,
}
