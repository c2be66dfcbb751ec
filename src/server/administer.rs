// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls of the admin program: gathers the information that its handler asks for, and carries
//! out its orders.

use std::time::{Instant, UNIX_EPOCH};

use log::{info, warn};

use crate::call_errors;
use crate::config::logging_spec::{LogDestination, LogOutput};
use crate::error::CallError;
use crate::handler::admin::{
    self, Answer, ClientDetails, ClientEntry, Order, Outcome, Question, ServerStatus,
};
use crate::io::accounts;
use crate::logging::{self, LoggingError};
use crate::model::client::ClientId;
use crate::model::client::{Access, Endpoint, Identity};
use crate::model::server::ServerName;
use crate::proto::Reply;
use crate::proto::admin::AdminCall;
use crate::server::Server;
use crate::server::client::Client;
use crate::snapshot::Opening;

impl Server {
    /// Answers one call of an administrator, and carries out its order.
    pub(super) fn administer(
        &mut self,
        call: &AdminCall,
        caller: ClientId,
        now: Instant,
    ) -> Result<Reply, CallError> {
        let mut answer = None;
        loop {
            match admin::handle(call, answer.as_ref()) {
                Outcome::Done(result) => return result,
                Outcome::Order(order) => {
                    return self.carry_out(order, caller, now).map(|()| Reply::Empty);
                }
                Outcome::Ask(question) => answer = Some(self.find_out(question)),
            }
        }
    }

    fn find_out(&self, question: Question) -> Answer {
        match question {
            Question::Server(name) => {
                let server = self.clients.occupancy.of(name);
                // Every accepted client has authenticated, as every socket's scheme is "none".
                let (client_count, anonymous_count) = (server.client_count(), 0);
                Answer::Server(ServerStatus {
                    limits: server.limits,
                    client_count,
                    anonymous_count,
                })
            }
            Question::Clients(server) => {
                let clients = self.clients.of(server);
                let mut entries: Vec<_> = clients.map(|(_, client)| entry(client)).collect();
                entries.sort_unstable_by_key(|entry| entry.id);
                Answer::Clients(entries)
            }
            Question::Client { server, id } => {
                let id = self.find_client(server, id);
                Answer::Client(
                    id.and_then(|id| self.clients.get(id))
                        .map(|client| details(client, self.changes.coordinator.opening())),
                )
            }
            Question::Logging => {
                Answer::Logging { outputs: logging::outputs(), filters: logging::filters() }
            }
        }
    }

    fn carry_out(&mut self, order: Order, caller: ClientId, now: Instant) -> Result<(), CallError> {
        match order {
            Order::SetClientLimits { server, client_count_max, anonymous_count_max } => {
                let limits = &mut self.clients.occupancy.of_mut(server).limits;
                limits.client_count_max = client_count_max;
                limits.anonymous_count_max = anonymous_count_max;
            }
            Order::SetWorkers { server, workers } => {
                self.clients.occupancy.of_mut(server).limits.workers = workers;
            }
            Order::CloseClient { server, id } => {
                if let Some(id) = self.find_client(server, id) {
                    if let Some(client) = self.clients.get(id) {
                        info!("{client}: disconnected by an administrator");
                    }
                    self.clients.close(id, now);
                }
            }
            Order::SetLogOutputs(outputs) => {
                logging::set_outputs(&outputs).map_err(|err| refused_output(&err))?;
            }
            Order::SetLogFilters(filters) => logging::set_filters(filters),
            Order::SetIdleLimit(limit) => {
                self.lifecycle.idle_limit = limit;
            }
            Order::Stop => {
                warn!("stopping: an administrator asked for it");
                self.stop(Some(caller), now);
            }
        }
        Ok(())
    }

    /// The client with this number at its server.
    fn find_client(&self, server: ServerName, number: u64) -> Option<ClientId> {
        let mut clients = self.clients.of(server);
        clients.find(|(_, client)| client.caller().number == number).map(|(id, _)| id)
    }
}

/// A refused log file gets libvirt's text.
fn refused_output(err: &LoggingError) -> CallError {
    match err {
        LoggingError::Output {
            output: LogOutput { destination: LogDestination::File(path), .. },
            cause,
        } => call_errors::log_file(path, cause.errno()),
        LoggingError::Output { .. }
        | LoggingError::Level(_)
        | LoggingError::Variable { .. }
        | LoggingError::OutOfOrder => call_errors::log_output(err.to_string()),
    }
}

fn entry(client: &Client) -> ClientEntry {
    let since_epoch = client.connected_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    ClientEntry { id: client.caller().number, connected_at: since_epoch.as_secs() }
}

fn details(client: &Client, transaction: Option<&Opening>) -> ClientDetails {
    let caller = client.caller();
    let read_only = match client.session.client().access() {
        Some(access) => access == Access::ReadOnly,
        None => caller.endpoint == Endpoint::ReadOnly,
    };
    let (identity, peer_user_id) = match caller.identity.as_deref() {
        Some(identity) => (Some(identity.clone()), Some(caller.uid)),
        None => (client.has_called.then(|| identity(client)), None),
    };
    let is_its_own =
        |opening: &&Opening| opening.is_by(caller) && client.server() == ServerName::Main;
    let open_transaction = transaction.filter(is_its_own).map(ToString::to_string);
    ClientDetails { entry: entry(client), read_only, identity, peer_user_id, open_transaction }
}

/// The identity of a client that acts for itself.
fn identity(client: &Client) -> Identity {
    let caller = client.caller();
    Identity {
        user_name: accounts::user_name(caller.uid),
        unix_user_id: Some(u64::from(caller.uid)),
        group_name: accounts::group_name(caller.gid),
        unix_group_id: Some(u64::from(caller.gid)),
        process_id: Some(i64::from(caller.pid)),
        selinux_context: client.security_label(),
        ..Identity::default()
    }
}
