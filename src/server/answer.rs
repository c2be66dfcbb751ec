// SPDX-License-Identifier: LGPL-2.1-or-later
//! From a call to its outcome: the handler decides, and what it asks is found out here.

use crate::change::transaction::Status;
use crate::definitions::Definitions;
use crate::error::CallError;
use crate::faults;
use crate::handler::{self, Answer, Change, Outcome, Question, Transaction, World};
use crate::host::Host;
use crate::host::survey::SurveyOrder;
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
pub(crate) struct Desk<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) client_config: &'a mut ClientConfig,
    pub(crate) host: &'a Host,
    pub(crate) definitions: &'a Definitions,
    pub(crate) change: Status<'a>,
    pub(crate) clients: &'a DhcpClients,
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) buffer: &'a mut [u8],
    /// Whether the call may wait for what the kernel does not tell at once.
    pub(crate) is_patient: bool,
}

/// What comes of a call.
#[derive(Debug)]
pub(crate) enum Decision {
    Reply(Reply),
    /// Nothing yet: something is asked for.
    Later,
    /// Nothing yet: this must be known of links first.
    Survey(SurveyOrder),
    /// The answer, if this has been done to the host.
    Change(Change),
    Transact(Transaction),
}

impl Desk<'_> {
    /// Answers one call that only looks. `None` if it has to wait.
    pub(crate) fn answer(
        &mut self,
        call: &Call,
        client: &ClientState,
    ) -> Option<Result<Reply, CallError>> {
        match self.decide(call, client, None) {
            Ok(Decision::Reply(reply)) => Some(Ok(reply)),
            Ok(Decision::Later) => None,
            Ok(Decision::Survey(_) | Decision::Change(_) | Decision::Transact(_)) => {
                Some(Err(faults::invariant("a change waits for its turn")))
            }
            Err(err) => Some(Err(err)),
        }
    }

    /// Decides what a call means, with the answer to what had to be known first, if something had.
    pub(crate) fn decide(
        &mut self,
        call: &Call,
        client: &ClientState,
        answer: Option<&Answer>,
    ) -> Result<Decision, CallError> {
        let world = World {
            privilege: self.facts.privilege,
            host: self.host,
            definitions: self.definitions,
            change: self.change,
        };
        let mut outcome = handler::handle(call, client, &world, answer);
        if let Outcome::Ask(question) = outcome {
            if let Question::Survey(order) = question {
                return Ok(Decision::Survey(order));
            }
            if let Question::Links(inspection) = &question
                && self.is_patient
                && !self.kernel.learn(inspection)
            {
                return Ok(Decision::Later);
            }
            let answer = self.find_out(&question)?;
            outcome = handler::handle(call, client, &world, Some(&answer));
        }
        match outcome {
            Outcome::Done(result) => result.map(Decision::Reply),
            Outcome::Change(change) => Ok(Decision::Change(change)),
            Outcome::Transact(transaction) => Ok(Decision::Transact(transaction)),
            Outcome::Ask(_) => Err(faults::invariant("a handler asks once")),
        }
    }

    fn find_out(&mut self, question: &Question) -> Result<Answer, CallError> {
        match question {
            Question::Hostname => match process::hostname() {
                Ok(name) => Ok(Answer::Hostname(name)),
                Err(err) => Err(faults::no_hostname(&err)),
            },
            Question::UriSettings => Ok(Answer::UriSettings(self.client_config.uri_settings())),
            Question::Links(inspection) => {
                let mut findings = self.kernel.inspect(inspection, self.host, self.buffer);
                findings.clients = inspection
                    .clients_of
                    .map_or_else(Vec::new, |link| self.clients.families_of(link));
                Ok(Answer::Links(findings))
            }
            Question::Survey(_) => Err(faults::invariant("a survey takes its time")),
        }
    }
}
