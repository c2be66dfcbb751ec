// SPDX-License-Identifier: LGPL-2.1-or-later
//! The admin program (libvirt's `admin_protocol.x`).
//!
//! A server is the name that the client sent, a client its server and number: the handler checks
//! whether they exist.

use std::borrow::Cow;

use crate::limits::{SERVER_PARAM_COUNT_MAX, STRING_LEN_MAX};
use crate::model::server::ServerName;
use crate::proto::params::{self, TypedParam};
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::writer::Writer;

/// A call about the daemon itself. LOOKUP_SERVER's flags are left out, as any are accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminCall {
    Open {
        flags: u32,
    },
    Close,
    GetLibVersion,
    ListServers {
        need_results: bool,
        flags: u32,
    },
    LookupServer {
        server: String,
    },
    GetThreadPool {
        server: String,
        flags: u32,
    },
    SetThreadPool {
        server: String,
        params: Vec<TypedParam>,
        flags: u32,
    },
    ListClients {
        server: String,
        need_results: bool,
        flags: u32,
    },
    LookupClient {
        server: String,
        id: u64,
        flags: u32,
    },
    GetClientInfo {
        server: String,
        id: u64,
        flags: u32,
    },
    CloseClient {
        server: String,
        id: u64,
        flags: u32,
    },
    GetClientLimits {
        server: String,
        flags: u32,
    },
    SetClientLimits {
        server: String,
        params: Vec<TypedParam>,
        flags: u32,
    },
    GetLogOutputs {
        flags: u32,
    },
    GetLogFilters {
        flags: u32,
    },
    /// Absent outputs count as empty ones.
    SetLogOutputs {
        outputs: String,
        flags: u32,
    },
    /// Absent filters count as empty ones.
    SetLogFilters {
        filters: String,
        flags: u32,
    },
    UpdateTlsFiles {
        server: String,
        flags: u32,
    },
    SetDaemonTimeout {
        seconds: u32,
        flags: u32,
    },
    Shutdown {
        flags: u32,
    },
}

impl AdminCall {
    /// The call of `procedure` with these arguments; `None` if there is no such procedure.
    pub fn decode(procedure: i32, reader: &mut Reader<'_>) -> Result<Option<Self>, XdrError> {
        Ok(Some(match procedure {
            1 => Self::Open { flags: flags(reader)? },
            2 => Self::Close,
            3 => Self::GetLibVersion,
            4 => Self::ListServers { need_results: need_results(reader)?, flags: flags(reader)? },
            5 => {
                let server = server(reader)?;
                flags(reader)?;
                Self::LookupServer { server }
            }
            6 => Self::GetThreadPool { server: server(reader)?, flags: flags(reader)? },
            7 => {
                let (server, params) = (server(reader)?, server_params(reader)?);
                Self::SetThreadPool { server, params, flags: flags(reader)? }
            }
            8 => {
                let (server, need_results) = (server(reader)?, need_results(reader)?);
                Self::ListClients { server, need_results, flags: flags(reader)? }
            }
            9 => {
                let (server, id) = (server(reader)?, reader.u64("id")?);
                Self::LookupClient { server, id, flags: flags(reader)? }
            }
            10 => {
                let (server, id) = client(reader)?;
                Self::GetClientInfo { server, id, flags: flags(reader)? }
            }
            11 => {
                let (server, id) = client(reader)?;
                Self::CloseClient { server, id, flags: flags(reader)? }
            }
            12 => Self::GetClientLimits { server: server(reader)?, flags: flags(reader)? },
            13 => {
                let (server, params) = (server(reader)?, server_params(reader)?);
                Self::SetClientLimits { server, params, flags: flags(reader)? }
            }
            14 => Self::GetLogOutputs { flags: flags(reader)? },
            15 => Self::GetLogFilters { flags: flags(reader)? },
            16 => Self::SetLogOutputs { outputs: text(reader)?, flags: flags(reader)? },
            17 => Self::SetLogFilters { filters: text(reader)?, flags: flags(reader)? },
            18 => Self::UpdateTlsFiles { server: server(reader)?, flags: flags(reader)? },
            19 => Self::SetDaemonTimeout { seconds: reader.u32("timeout")?, flags: flags(reader)? },
            20 => Self::Shutdown { flags: flags(reader)? },
            _ => return Ok(None),
        }))
    }
}

fn flags(reader: &mut Reader<'_>) -> Result<u32, XdrError> {
    reader.u32("flags")
}

fn need_results(reader: &mut Reader<'_>) -> Result<bool, XdrError> {
    reader.flag("need_results")
}

/// Decodes a server argument, which consists of its name.
fn server(reader: &mut Reader<'_>) -> Result<String, XdrError> {
    reader.string("server", STRING_LEN_MAX).map(Cow::into_owned)
}

/// A client as an argument: only its server and number are used.
fn client(reader: &mut Reader<'_>) -> Result<(String, u64), XdrError> {
    let client = (server(reader)?, reader.u64("id")?);
    reader.u64("timestamp")?;
    reader.u32("transport")?;
    Ok(client)
}

fn server_params(reader: &mut Reader<'_>) -> Result<Vec<TypedParam>, XdrError> {
    params::decode(reader, SERVER_PARAM_COUNT_MAX)
}

fn text(reader: &mut Reader<'_>) -> Result<String, XdrError> {
    Ok(reader.optional_string("text", STRING_LEN_MAX)?.unwrap_or_default().into_owned())
}

/// The result of a successful admin call, unless other programs have the same result.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminReply {
    /// The list, if it was requested, and the count in any case.
    Servers {
        list: Vec<ServerName>,
        count: u32,
    },
    Server(ServerName),
    Params(Vec<TypedParam>),
    /// The list, if it was requested, and the count in any case.
    Clients {
        list: Vec<ClientRef>,
        count: u32,
    },
    Client(ClientRef),
    LogOutputs {
        outputs: String,
        count: u32,
    },
    /// Absent if there are none.
    LogFilters {
        filters: Option<String>,
        count: u32,
    },
}

impl AdminReply {
    /// Encodes the result as the payload of a successful reply.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Servers { list, count } => {
                writer.count(list.len());
                list.iter().for_each(|server| writer.string(server.as_str()));
                writer.u32(*count);
            }
            Self::Server(server) => writer.string(server.as_str()),
            Self::Params(list) => params::encode(writer, list),
            Self::Clients { list, count } => {
                writer.count(list.len());
                list.iter().for_each(|client| client.encode(writer));
                writer.u32(*count);
            }
            Self::Client(client) => client.encode(writer),
            Self::LogOutputs { outputs, count } => {
                writer.string(outputs);
                writer.u32(*count);
            }
            Self::LogFilters { filters, count } => {
                writer.optional_string(filters.as_deref());
                writer.u32(*count);
            }
        }
    }
}

/// A client in a result (`admin_nonnull_client`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientRef {
    pub server: ServerName,
    pub id: u64,
    /// Seconds since 1970.
    pub connected_at: u64,
}

/// `VIR_CLIENT_TRANS_UNIX`, the only transport.
const TRANSPORT_UNIX: u32 = 0;

impl ClientRef {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.server.as_str());
        writer.u64(self.id);
        writer.u64(self.connected_at);
        writer.u32(TRANSPORT_UNIX);
    }
}

#[cfg(test)]
mod tests;
