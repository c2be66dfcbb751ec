// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls to replies: the meaning of each call.
//!
//! Handlers decide and never wait. They see the world as values; for information that no value has,
//! they return a question, and are called again with the answers so far. [`crate::auth`] has
//! checked that the client may make the call.
//!
//! The calls of the admin program concern the daemon, not the host: [`admin::handle`] has questions
//! of its own.

pub mod uri;
pub mod params;
pub mod identity;
pub mod connect;
pub mod interface;
pub mod admin;

use crate::backend::DefinitionFiles;
use crate::definitions::Definitions;
use crate::handler::uri::UriSettings;
use crate::host::Host;
use crate::host::describe::{Findings, Inspection};
use crate::model::client::Privilege;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::LinkIndex;
use crate::proto::Reply;

/// The facts about the daemon that hold from its start on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub privilege: Privilege,
    /// The daemon's own user.
    pub uid: u32,
}

/// The host, for calls about interfaces.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub host: &'a Host,
    /// The definition files, and the definitions in them.
    pub files: &'a DefinitionFiles,
}

impl<'a> World<'a> {
    /// The definitions.
    pub(crate) fn definitions(&self) -> &'a Definitions {
        self.files.definitions()
    }
}

/// The result of a handler that needs no answer, or has all of them.
#[derive(Debug)]
pub enum Outcome {
    Reply(Reply),
    /// Answer this question and call again.
    Ask(Question),
}

/// A question that only the outside world can answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    Hostname,
    /// The settings of URIs in libvirt.conf and the environment.
    UriSettings,
    /// The speeds of these links. The kernel may take its time.
    Speeds(Vec<(LinkIndex, IfName)>),
    /// The attributes of links that the table does not hold, except for speeds.
    Links(Inspection),
}

/// The answer to a [`Question`], of the same kind.
#[derive(Clone, Debug)]
pub enum Answer {
    Hostname(String),
    UriSettings(UriSettings),
    /// Mb/s; a link without a known speed is left out.
    Speeds(SortedMap<LinkIndex, u32>),
    Links(Findings),
}

/// The answers for a call so far. A handler asks for the missing ones.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub hostname: Option<String>,
    pub uri_settings: Option<UriSettings>,
    pub speeds: Option<SortedMap<LinkIndex, u32>>,
    pub links: Option<Findings>,
}

impl Answers {
    /// Keeps an answer.
    pub fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Hostname(name) => self.hostname = Some(name),
            Answer::UriSettings(settings) => self.uri_settings = Some(settings),
            Answer::Speeds(speeds) => self.speeds = Some(speeds),
            Answer::Links(findings) => self.links = Some(findings),
        }
    }
}

#[cfg(test)]
mod tests;
