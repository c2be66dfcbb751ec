// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Decision`]: what a handler makes of a request.

use crate::host::shelf::Shelved;
use crate::host::survey::{RemovedInterface, SurveyOrder};
use crate::managers::Claim;
use crate::plan::Plan;
use crate::proto::Reply;

/// What comes of a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The call is to be decided again with a survey of these links.
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
    /// The links whose other managers are looked for first.
    pub claims: Vec<Claim>,
    pub plan: Plan,
    /// The answer, once the plan is carried out.
    pub reply: Reply,
    /// Interfaces that are taken down and may soon be wanted again, as they were.
    pub removed: Vec<RemovedInterface>,
    /// The addresses, routes and leases of a link that is taken down and has no definition.
    pub shelved: Option<Box<Shelved>>,
    /// How the error begins if the change fails: "failed to ...".
    pub failure: String,
}
