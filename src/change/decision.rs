// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Decision`]: a handler's decision about a request.

use crate::host::shelf::Shelved;
use crate::host::survey::{RemovedInterface, SurveyOrder};
use crate::managers::Claim;
use crate::plan::Plan;
use crate::proto::Reply;

/// A handler's decision about a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The call must be decided again with a survey of these links.
    Survey(SurveyOrder),
    /// The host is changed, and then the call is answered.
    Change(Box<Change>),
    Transact(Transaction),
}

/// The three calls of libvirt's interface transactions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transaction {
    Begin,
    Commit,
    Rollback,
}

/// One change of the host.
#[derive(Clone, Debug)]
pub struct Change {
    /// Lines for the log before the change is made.
    pub warnings: Vec<String>,
    /// The links whose other managers are searched for first.
    pub claims: Vec<Claim>,
    pub plan: Plan,
    /// The reply, once the plan is carried out.
    pub reply: Reply,
    /// Interfaces that are destroyed, in their last state, as they may soon be started again.
    pub removed: Vec<RemovedInterface>,
    /// The configuration of a link without a definition that is taken down.
    pub shelved: Option<Box<Shelved>>,
    /// The beginning of the error if the change fails: "failed to ...".
    pub failure: String,
}
