// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Resolver`]: passes a query to its handler, and finds the answers to the handler's questions.
//!
//! Most answers are found at once, and the reply leaves in the turn of its call. Others come later:
//! the call then waits among the [`Questions`], and continues with its answer.
//!
//! [`Questions`]: crate::server::questions::Questions

use std::time::Duration;

use crate::backend::DefinitionFiles;
use crate::call_errors;
use crate::error::CallError;
use crate::handler::interface::query;
use crate::handler::{Answer, Answers, Facts, Outcome, Question, World, connect};
use crate::host::Host;
use crate::io::dhcp::DhcpClients;
use crate::io::kernel::Kernel;
use crate::limits::SPEED_TIME_MAX;
use crate::model::client::ClientState;
use crate::proto::Reply;
use crate::proto::connect::ConnectCall;
use crate::proto::interface::QueryCall;
use crate::server::client_config::ClientConfig;
use crate::server::questions::Awaited;
use crate::sys::process;

/// The sources of answers.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) client_config: &'a mut ClientConfig,
    pub(crate) host: &'a Host,
    pub(crate) files: &'a DefinitionFiles,
    pub(crate) clients: &'a DhcpClients,
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) buffer: &'a mut [u8],
}

/// The progress of a call in one turn.
#[derive(Debug)]
pub(crate) enum CallProgress {
    Reply(Reply),
    /// It waits for an answer of this source, at most this long.
    Waits(Question, Awaited, Duration),
}

/// An answer, or its source and the time that it may take.
#[derive(Debug)]
pub(crate) enum Resolution {
    Now(Answer),
    Later(Awaited, Duration),
}

impl Resolver<'_> {
    /// Handles a call about the connection.
    ///
    /// # Errors
    /// The call is refused, or an answer cannot be found.
    pub(crate) fn connect(
        &mut self,
        call: &ConnectCall,
        client: &ClientState,
        answers: &mut Answers,
    ) -> Result<CallProgress, CallError> {
        let facts = self.facts;
        self.go_through(answers, |answers| connect::handle(call, client, facts, answers))
    }

    /// Handles a query.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub(crate) fn query(
        &mut self,
        call: &QueryCall,
        answers: &mut Answers,
    ) -> Result<CallProgress, CallError> {
        let world = World { host: self.host, files: self.files };
        self.go_through(answers, |answers| query::handle(call, &world, answers))
    }

    /// Calls a handler until it has all answers that it asks for, or one of them takes time. It
    /// asks each kind of question once.
    fn go_through(
        &mut self,
        answers: &mut Answers,
        handle: impl Fn(&Answers) -> Result<Outcome, CallError>,
    ) -> Result<CallProgress, CallError> {
        loop {
            match handle(answers)? {
                Outcome::Reply(reply) => return Ok(CallProgress::Reply(reply)),
                Outcome::Ask(question) => match self.resolve(&question)? {
                    Resolution::Now(answer) => answers.add(answer),
                    Resolution::Later(awaited, time) => {
                        return Ok(CallProgress::Waits(question, awaited, time));
                    }
                },
            }
        }
    }

    /// Finds the answer to a question.
    ///
    /// # Errors
    /// It cannot be found.
    pub(crate) fn resolve(&mut self, question: &Question) -> Result<Resolution, CallError> {
        let request = match question {
            Question::Speeds(links) => self.kernel.learn_speeds(links),
            Question::Hostname | Question::UriSettings | Question::Links(_) => None,
        };
        match request {
            Some(request) => Ok(Resolution::Later(Awaited::Speeds(request), SPEED_TIME_MAX)),
            None => self.resolve_now(question).map(Resolution::Now),
        }
    }

    /// Finds the answer to a question from present knowledge, as its time is over.
    ///
    /// # Errors
    /// As for [`Self::resolve`].
    pub(crate) fn resolve_now(&mut self, question: &Question) -> Result<Answer, CallError> {
        match question {
            Question::Hostname => {
                let name = process::hostname().map_err(|err| call_errors::no_hostname(&err))?;
                Ok(Answer::Hostname(name))
            }
            Question::UriSettings => Ok(Answer::UriSettings(self.client_config.uri_settings())),
            Question::Speeds(links) => Ok(Answer::Speeds(self.kernel.speeds(links))),
            Question::Links(inspection) => {
                let mut findings = self.kernel.inspect(inspection, self.host, self.buffer);
                findings.clients = inspection
                    .clients_of
                    .map_or_else(Vec::new, |link| self.clients.families_of(link));
                Ok(Answer::Links(findings))
            }
        }
    }
}
