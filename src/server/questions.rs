// SPDX-License-Identifier: LGPL-2.1-or-later
//! From a call to its outcome: the handler decides, and what it asks is found out here.

use crate::backend::DefinitionFiles;
use crate::call_errors;
use crate::change::decision::Decision;
use crate::change::transaction::Status;
use crate::error::CallError;
use crate::handler::{self, Answer, Outcome, Question, World};
use crate::host::Host;
use crate::io::dhcp::DhcpClients;
use crate::io::kernel::Kernel;
use crate::model::client::{ClientState, Privilege};
use crate::proto::{Call, Reply};
use crate::server::client_config::ClientConfig;
use crate::sys::process;

/// What was settled when the daemon started.
#[derive(Clone, Debug)]
pub struct Facts {
    pub privilege: Privilege,
}

/// All that is needed to answer calls.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) client_config: &'a mut ClientConfig,
    pub(crate) host: &'a Host,
    pub(crate) files: &'a DefinitionFiles,
    pub(crate) change: Status<'a>,
    pub(crate) clients: &'a DhcpClients,
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) buffer: &'a mut [u8],
    /// Whether the call may wait for what the kernel does not tell at once.
    pub(crate) is_patient: bool,
}

impl Resolver<'_> {
    /// Answers one call that only looks. `None` if it has to wait.
    pub(crate) fn answer(
        &mut self,
        call: &Call,
        client: &ClientState,
    ) -> Option<Result<Reply, CallError>> {
        let outcome = match self.handle(call, client, None) {
            Ok(outcome) => outcome?,
            Err(err) => return Some(Err(err)),
        };
        Some(match outcome {
            Outcome::Done(result) => result,
            Outcome::Ask(_) | Outcome::Change(_) | Outcome::Transact(_) => {
                Err(call_errors::invariant("a change waits for its turn"))
            }
        })
    }

    /// Decides what a call means that changes the host, with the survey that it has asked for.
    pub(crate) fn decide(
        &mut self,
        call: &Call,
        client: &ClientState,
        survey: Option<&Answer>,
    ) -> Result<Decision, CallError> {
        match self.handle(call, client, survey)? {
            Some(Outcome::Done(result)) => result.map(Decision::Reply),
            Some(Outcome::Change(change)) => Ok(Decision::Change(change)),
            Some(Outcome::Transact(transaction)) => Ok(Decision::Transact(transaction)),
            Some(Outcome::Ask(Question::Survey(order))) => Ok(Decision::Survey(order)),
            Some(Outcome::Ask(_)) => Err(call_errors::invariant("a handler asks once")),
            None => Err(call_errors::invariant("a change waits for no answer")),
        }
    }

    /// Has the handler handle a call, and answers its question unless that takes its time. `None` if the
    /// call has to wait.
    fn handle(
        &mut self,
        call: &Call,
        client: &ClientState,
        answer: Option<&Answer>,
    ) -> Result<Option<Outcome>, CallError> {
        let world = World {
            privilege: self.facts.privilege,
            host: self.host,
            files: self.files,
            change: self.change,
        };
        let outcome = handler::handle(call, client, &world, answer);
        let Outcome::Ask(question) = &outcome else { return Ok(Some(outcome)) };
        if matches!(question, Question::Survey(_)) {
            return Ok(Some(outcome));
        }
        if let Question::Links(inspection) = question {
            if self.is_patient && !self.kernel.learn(inspection) {
                return Ok(None);
            }
        }
        let answer = self.find_out(question)?;
        Ok(Some(handler::handle(call, client, &world, Some(&answer))))
    }

    fn find_out(&mut self, question: &Question) -> Result<Answer, CallError> {
        match question {
            Question::Hostname => match process::hostname() {
                Ok(name) => Ok(Answer::Hostname(name)),
                Err(err) => Err(call_errors::no_hostname(&err)),
            },
            Question::UriSettings => Ok(Answer::UriSettings(self.client_config.uri_settings())),
            Question::Links(inspection) => {
                let mut findings = self.kernel.inspect(inspection, self.host, self.buffer);
                findings.clients = inspection
                    .clients_of
                    .map_or_else(Vec::new, |link| self.clients.families_of(link));
                Ok(Answer::Links(findings))
            }
            Question::Survey(_) => Err(call_errors::invariant("a survey takes its time")),
        }
    }
}
