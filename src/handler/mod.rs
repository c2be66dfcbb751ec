// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls to replies: what each call means.
//!
//! Handlers decide and never wait. They see the world as values; where a reply needs something that
//! no value holds, they say what to ask, and are called again with the answer.
//!
//! The calls of the admin program are about the daemon and not about the host: [`admin::handle`] is
//! asked for those, with questions of its own.

pub mod uri;
pub mod params;
pub mod identity;
pub mod connect;
pub mod interface;
pub mod admin;

use crate::backend::DefinitionFiles;
use crate::call_errors;
use crate::change::decision::{Change, Transaction};
use crate::change::transaction::Status;
use crate::definitions::Definitions;
use crate::error::CallError;
use crate::handler::uri::UriSettings;
use crate::host::Host;
use crate::host::describe::{Findings, Inspection};
use crate::host::survey::{Survey, SurveyOrder};
use crate::model::client::{ClientState, Privilege};
use crate::proto::{Call, Reply};

/// Everything that replies are made from.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub privilege: Privilege,
    pub host: &'a Host,
    /// The definition files, and what they define.
    pub files: &'a DefinitionFiles,
    /// What is known of a change that can be undone.
    pub change: Status<'a>,
}

impl<'a> World<'a> {
    /// What is defined.
    pub(crate) fn definitions(&self) -> &'a Definitions {
        self.files.definitions()
    }
}

/// What a handler came to.
#[derive(Debug)]
pub enum Outcome {
    Done(Result<Reply, CallError>),
    /// Find this out and call again.
    Ask(Question),
    /// Change the host, and answer when that is done.
    Change(Change),
    /// Begin or end a change that can be undone, and answer when that is done.
    Transact(Transaction),
}

/// What only the outside world can tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    Hostname,
    /// What libvirt.conf and the environment say of URIs.
    UriSettings,
    /// What the table of links does not hold of these.
    Links(Inspection),
    /// All that must be known of these links before they are changed.
    Survey(SurveyOrder),
}

/// The outside world's answer to a [`Question`], of the same kind.
#[derive(Clone, Debug)]
pub enum Answer {
    Hostname(String),
    UriSettings(UriSettings),
    Links(Findings),
    Survey(Survey),
}

/// Answers one call, or says what must be known first.
pub fn handle(
    call: &Call,
    client: &ClientState,
    world: &World<'_>,
    answer: Option<&Answer>,
) -> Outcome {
    match call {
        Call::Connect(call) => connect::handle(call, client, world, answer),
        Call::Interface(call) => interface::handle(call, client, world, answer),
        Call::Refused(answer) => Outcome::Done(answer.clone()),
        Call::Admin(_) => {
            Outcome::Done(Err(call_errors::invariant("admin calls are for handler::admin")))
        }
    }
}

#[cfg(test)]
mod tests;
