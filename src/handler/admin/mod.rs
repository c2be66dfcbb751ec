// SPDX-License-Identifier: LGPL-2.1-or-later
//! The admin calls: the daemon's state, and the settings that can be changed while it runs.
//!
//! The handler holds no server and no client. It asks for information that only the running daemon
//! has, and returns an order once all is checked. The order of checks is libvirt's: the server, the
//! names of parameters, the client where it is an argument, flags, values.

mod server;
mod client;
mod logging;

use std::time::Duration;

use crate::call_errors::{self, Seeker};
use crate::config::logging_spec::{LogFilter, LogOutput};
use crate::config::settings::{ServerLimits, Workers};
use crate::error::{CallError, Domain};
use crate::model::client::Identity;
use crate::model::server::ServerName;
use crate::proto::Reply;
use crate::proto::admin::{AdminCall, AdminReply};
use crate::proto::params::{ParamValue, TypedParam};
use crate::release::LIBVIRT_VERSION_NUMBER;

/// SHUTDOWN's only flag (`VIR_DAEMON_SHUTDOWN_PRESERVE`): keep the state of guests. There are none.
const SHUTDOWN_PRESERVE: u32 = 1;

/// Information that only the running daemon has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Question {
    Server(ServerName),
    /// All clients of a server, in the order of their connections.
    Clients(ServerName),
    Client {
        server: ServerName,
        id: u64,
    },
    Logging,
}

/// The answer to a [`Question`], of the same kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    Server(ServerStatus),
    Clients(Vec<ClientEntry>),
    /// `None` if there is no such client.
    Client(Option<ClientDetails>),
    /// The settings in force: of outputs at least the default one.
    Logging {
        outputs: Vec<LogOutput>,
        filters: Vec<LogFilter>,
    },
}

/// A server's present limits, and their use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerStatus {
    pub limits: ServerLimits,
    pub client_count: u32,
    /// The number of clients that have not authenticated yet.
    pub anonymous_count: u32,
}

/// A client in a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientEntry {
    pub id: u64,
    /// Seconds since 1970.
    pub connected_at: u64,
}

/// The details of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientDetails {
    pub entry: ClientEntry,
    /// It has only read access: by its socket, or because it asked for no more.
    pub read_only: bool,
    /// `None` until its first call.
    pub identity: Option<Identity>,
    /// The user of its process, if it acts for another identity.
    pub peer_user_id: Option<u32>,
    /// The transaction that it has begun, in words, while that is open.
    pub open_transaction: Option<String>,
}

/// An action for the loop. Each can be done at once, except for log outputs that cannot be opened.
/// The call is then answered with an empty reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Connected clients stay.
    SetClientLimits {
        server: ServerName,
        client_count_max: u32,
        anonymous_count_max: u32,
    },
    SetWorkers {
        server: ServerName,
        workers: Workers,
    },
    CloseClient {
        server: ServerName,
        id: u64,
    },
    /// An empty list means the default output.
    SetLogOutputs(Vec<LogOutput>),
    SetLogFilters(Vec<LogFilter>),
    /// How long the daemon runs without clients; `None` for ever.
    SetIdleLimit(Option<Duration>),
    Stop,
}

/// The result of a handler.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done(Result<Reply, CallError>),
    /// Answer this question and call again.
    Ask(Question),
    /// The call is valid: do this.
    Order(Order),
}

/// Handles one call: returns its reply, a question that must be answered first, or an order.
pub fn handle(call: &AdminCall, answer: Option<&Answer>) -> Outcome {
    decide(call, answer).unwrap_or_else(|err| Outcome::Done(Err(err)))
}

fn decide(call: &AdminCall, answer: Option<&Answer>) -> Result<Outcome, CallError> {
    match call {
        AdminCall::Open { flags } => {
            check_flags("adminDispatchConnectOpen", *flags)?;
            Ok(done(Reply::Empty))
        }
        AdminCall::Close => Ok(done(Reply::Closing)),
        AdminCall::GetLibVersion => Ok(done(Reply::Version(LIBVIRT_VERSION_NUMBER))),
        AdminCall::ListServers { need_results, flags } => {
            check_flags("adminConnectListServers", *flags)?;
            let (list, count) = listed(ServerName::ALL.to_vec(), *need_results);
            Ok(done(Reply::Admin(AdminReply::Servers { list, count })))
        }
        AdminCall::LookupServer { server } => {
            let server = find_server(Seeker::Daemon, server)?;
            Ok(done(Reply::Admin(AdminReply::Server(server))))
        }
        AdminCall::GetThreadPool { server, flags } => server::thread_pool(server, *flags, answer),
        AdminCall::SetThreadPool { server, params, flags } => {
            server::set_thread_pool(server, params, *flags, answer)
        }
        AdminCall::ListClients { server, need_results, flags } => {
            client::list(server, *need_results, *flags, answer)
        }
        AdminCall::LookupClient { server, id, flags } => {
            client::look_up(server, *id, *flags, answer)
        }
        AdminCall::GetClientInfo { server, id, flags } => client::info(server, *id, *flags, answer),
        AdminCall::CloseClient { server, id, flags } => client::close(server, *id, *flags, answer),
        AdminCall::GetClientLimits { server, flags } => {
            server::client_limits(server, *flags, answer)
        }
        AdminCall::SetClientLimits { server, params, flags } => {
            server::set_client_limits(server, params, *flags, answer)
        }
        AdminCall::GetLogOutputs { flags } => logging::outputs(*flags, answer),
        AdminCall::GetLogFilters { flags } => logging::filters(*flags, answer),
        AdminCall::SetLogOutputs { outputs, flags } => logging::set_outputs(outputs, *flags),
        AdminCall::SetLogFilters { filters, flags } => logging::set_filters(filters, *flags),
        AdminCall::UpdateTlsFiles { server, flags } => server::update_tls_files(server, *flags),
        AdminCall::SetDaemonTimeout { seconds, flags } => {
            check_flags("adminConnectSetDaemonTimeout", *flags)?;
            let limit = (*seconds > 0).then(|| Duration::from_secs(u64::from(*seconds)));
            Ok(Outcome::Order(Order::SetIdleLimit(limit)))
        }
        AdminCall::Shutdown { flags } => {
            check_flags("adminConnectDaemonShutdown", *flags & !SHUTDOWN_PRESERVE)?;
            Ok(Outcome::Order(Order::Stop))
        }
    }
}

fn done(reply: Reply) -> Outcome {
    Outcome::Done(Ok(reply))
}

/// Refuses a call with flags; `unknown` are those that `function` does not support.
fn check_flags(function: &str, unknown: u32) -> Result<(), CallError> {
    match unknown {
        0 => Ok(()),
        unknown => Err(CallError::flags(Domain::Admin, function, unknown)),
    }
}

fn find_server(seeker: Seeker, name: &str) -> Result<ServerName, CallError> {
    ServerName::find(name).ok_or_else(|| call_errors::no_server(seeker, name))
}

/// The list up to the client's limit, and the count in any case.
fn listed<T>(list: Vec<T>, need_results: bool) -> (Vec<T>, u32) {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    (if need_results { list } else { Vec::new() }, count)
}

/// A result that consists of parameters.
fn done_params(params: impl IntoIterator<Item = (&'static str, ParamValue)>) -> Outcome {
    let param = |(field, value): (&str, _)| TypedParam { field: field.to_owned(), value };
    done(Reply::Admin(AdminReply::Params(params.into_iter().map(param).collect())))
}

#[cfg(test)]
mod tests;
