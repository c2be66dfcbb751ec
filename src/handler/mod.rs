// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls to replies: what each call means.
//!
//! Handlers decide and never wait. They see the world as values; where a reply needs something that
//! no value holds, they say what to ask, and are called again with the answers so far. A call that comes
//! here may be made by its client: [`crate::auth`] has checked it.
//!
//! The calls of the admin program are about the daemon and not about the host: [`admin::handle`] has
//! questions of its own.

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
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::LinkIndex;
use crate::proto::Reply;

/// The host as calls about interfaces see it.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub host: &'a Host,
    /// The definition files, and what they define.
    pub files: &'a DefinitionFiles,
}

impl<'a> World<'a> {
    /// What is defined.
    pub(crate) fn definitions(&self) -> &'a Definitions {
        self.files.definitions()
    }
}

/// The result of a handler that can do without the outside world, or go on with an answer.
#[derive(Debug)]
pub enum Outcome {
    Reply(Reply),
    /// Find this out and call again.
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
    /// The attributes of links that the table of links does not hold, but for speeds.
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

/// The answers that a call has so far. A handler asks for what is missing.
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
