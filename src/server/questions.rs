// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Resolver`]: from a call that reads to its reply. The handler decides, and what it asks is found out
//! here.

use crate::backend::DefinitionFiles;
use crate::call_errors;
use crate::error::CallError;
use crate::handler::interface::query;
use crate::handler::{Answers, Outcome, Question, World, connect};
use crate::host::Host;
use crate::io::dhcp::DhcpClients;
use crate::io::kernel::Kernel;
use crate::model::client::{ClientState, Privilege};
use crate::proto::Reply;
use crate::proto::connect::ConnectCall;
use crate::proto::interface::QueryCall;
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
    pub(crate) clients: &'a DhcpClients,
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) buffer: &'a mut [u8],
    /// Whether the call may wait for what the kernel does not tell at once.
    pub(crate) is_patient: bool,
}

impl Resolver<'_> {
    /// Answers a call about the connection. `None` if it has to wait.
    pub(crate) fn connect(
        &mut self,
        call: &ConnectCall,
        client: &ClientState,
    ) -> Result<Option<Reply>, CallError> {
        let privilege = self.facts.privilege;
        self.go_through(|answers| connect::handle(call, client, privilege, answers))
    }

    /// Answers a query. `None` if it has to wait.
    pub(crate) fn query(&mut self, call: &QueryCall) -> Result<Option<Reply>, CallError> {
        let world = World { host: self.host, files: self.files };
        self.go_through(|answers| query::handle(call, &world, answers))
    }

    /// Has a handler handle a call until all that it asks is answered, or a question has to wait.
    fn go_through(
        &mut self,
        handle: impl Fn(&Answers) -> Result<Outcome, CallError>,
    ) -> Result<Option<Reply>, CallError> {
        let mut answers = Answers::default();
        loop {
            match handle(&answers)? {
                Outcome::Reply(reply) => return Ok(Some(reply)),
                Outcome::Ask(question) => {
                    if !self.resolve(&question, &mut answers)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Adds the answer to a question, unless that takes its time.
    fn resolve(&mut self, question: &Question, answers: &mut Answers) -> Result<bool, CallError> {
        match question {
            Question::Hostname => {
                let name = process::hostname().map_err(|err| call_errors::no_hostname(&err))?;
                answers.hostname = Some(name);
            }
            Question::UriSettings => {
                answers.uri_settings = Some(self.client_config.uri_settings());
            }
            Question::Links(inspection) => {
                if self.is_patient && !self.kernel.learn(inspection) {
                    return Ok(false);
                }
                let mut findings = self.kernel.inspect(inspection, self.host, self.buffer);
                findings.clients = inspection
                    .clients_of
                    .map_or_else(Vec::new, |link| self.clients.families_of(link));
                answers.links = Some(findings);
            }
        }
        Ok(true)
    }
}
