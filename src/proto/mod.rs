// SPDX-License-Identifier: LGPL-2.1-or-later
//! The programs that a client can call: payloads to [`Call`]s, [`Reply`]s to payloads.
//!
//! Knows the numbers and the encoding of arguments and results, not the meaning of a call.

pub mod requirement;
pub mod params;
pub mod connect;
pub mod interface;
pub mod admin;
pub mod refused;

use std::rc::Rc;

use crate::call_errors;
use crate::error::CallError;
use crate::limits::{ADMIN_CALL_LEN_MAX, CALL_LEN_MAX, DEFINE_LEN_MAX, HEADER_LEN};
use crate::model::client::{Access, Endpoint, Identity, Opened};
use crate::model::name::IfName;
use crate::proto::admin::{AdminCall, AdminReply};
use crate::proto::connect::ConnectCall;
use crate::proto::interface::{ChangeCall, InterfaceRef, QueryCall, TransactionCall};
use crate::proto::refused::{Refusal, RefusedCall};
use crate::rpc::header::Header;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::writer::Writer;

/// The version of every program.
const PROGRAM_VERSION: u32 = 1;

/// A program of libvirt's RPC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    Remote,
    Qemu,
    Lxc,
    Admin,
}

impl Program {
    /// The program of this number and version, if `endpoint` serves it.
    pub fn find(number: u32, version: u32, endpoint: Endpoint) -> Option<Self> {
        if version != PROGRAM_VERSION {
            return None;
        }
        match (number, endpoint) {
            (0x2000_8086, Endpoint::ReadWrite | Endpoint::ReadOnly) => Some(Self::Remote),
            (0x2000_8087, Endpoint::ReadWrite | Endpoint::ReadOnly) => Some(Self::Qemu),
            (0x0006_8000, Endpoint::ReadWrite | Endpoint::ReadOnly) => Some(Self::Lxc),
            (0x0690_0690, Endpoint::Admin) => Some(Self::Admin),
            (_, Endpoint::ReadWrite | Endpoint::ReadOnly | Endpoint::Admin) => None,
        }
    }
}

/// A client's call, decoded.
#[derive(Clone, Debug)]
pub enum Call {
    Connect(ConnectCall),
    Query(QueryCall),
    Change(ChangeCall),
    Transaction(TransactionCall),
    /// A procedure that exists, but not for an interface daemon.
    Refused(RefusedCall),
    Admin(AdminCall),
}

/// The result of a successful call. Some also change the session, which applies them as it sends
/// them.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// No result.
    Empty,
    /// CONNECT_OPEN: the session is now open.
    Opened(Opened),
    /// CONNECT_CLOSE: the session reads nothing after this reply.
    Closing,
    /// SUPPORTS_FEATURE for keepalive: yes, and the daemon may now send pings.
    KeepaliveSupported,
    /// SET_IDENTITY: the session acts for another identity from now on.
    Identified(Box<Identity>),
    Number(i32),
    Version(u64),
    Text(String),
    Names(Vec<IfName>),
    AuthTypes(&'static [i32]),
    Interface(InterfaceRef),
    /// LIST_ALL_INTERFACES: the list, if it was requested, and the count in any case.
    Interfaces {
        list: Vec<InterfaceRef>,
        count: u32,
    },
    /// A list that was encoded before, for any number of clients.
    Prepared(Rc<[u8]>),
    /// Memory statistics for a caller that wants none.
    EmptyList,
    Admin(AdminReply),
}

impl Reply {
    /// Encodes the result as the payload of a successful reply.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Empty | Self::Opened(_) | Self::Closing | Self::Identified(_) => {}
            Self::KeepaliveSupported => writer.i32(1),
            Self::Number(number) => writer.i32(*number),
            Self::Version(version) => writer.u64(*version),
            Self::Text(text) => writer.string(text),
            Self::Names(names) => {
                writer.count(names.len());
                names.iter().for_each(|name| writer.string(name.as_str()));
            }
            Self::AuthTypes(types) => {
                writer.count(types.len());
                types.iter().for_each(|scheme| writer.i32(*scheme));
            }
            Self::Interface(interface) => interface.encode(writer),
            Self::Interfaces { list, count } => {
                writer.count(list.len());
                list.iter().for_each(|interface| interface.encode(writer));
                writer.u32(*count);
            }
            Self::Prepared(bytes) => writer.encoded(bytes),
            Self::EmptyList => writer.count(0),
            Self::Admin(reply) => reply.encode(writer),
        }
    }
}

/// The longest message of this header that is kept whole, without its length word: the longest
/// call that a client of this endpoint and access can make to an effect. The arguments of a longer
/// one are decoded from its beginning.
pub fn len_max(header: &Header, endpoint: Endpoint, access: Option<Access>) -> usize {
    let may_define = access == Some(Access::ReadWrite);
    match (Program::find(header.program, header.version, endpoint), header.procedure) {
        (Some(Program::Remote), interface::DEFINE_XML) if may_define => HEADER_LEN + DEFINE_LEN_MAX,
        // Only the daemon's own user is served here.
        (Some(Program::Admin), _) => HEADER_LEN + ADMIN_CALL_LEN_MAX,
        (Some(Program::Remote | Program::Qemu | Program::Lxc) | None, _) => CALL_LEN_MAX,
    }
}

/// Decodes the arguments of `procedure`. Bytes behind the last argument are ignored.
///
/// # Errors
/// The program has no such call, or the arguments cannot be decoded.
pub fn decode(program: Program, procedure: i32, payload: &[u8]) -> Result<Call, CallError> {
    // A refusal is decided here, where its arguments, which may be large, need not be copied.
    let refused = |refusal: Option<Refusal>| {
        let refusal = refusal.ok_or_else(|| call_errors::unknown_procedure(procedure))?;
        refusal.judge(payload).map(Call::Refused)
    };
    match program {
        Program::Remote => match remote(procedure, payload)? {
            Some(call) => Ok(call),
            None => refused(refused::remote(procedure)),
        },
        Program::Qemu => refused(refused::qemu(procedure)),
        Program::Lxc => refused(refused::lxc(procedure)),
        Program::Admin => AdminCall::decode(procedure, &mut Reader::new(payload))?
            .map(Call::Admin)
            .ok_or_else(|| call_errors::unknown_procedure(procedure)),
    }
}

/// The calls of the remote program that this daemon implements. A decoder reads nothing unless the
/// procedure is its own.
fn remote(procedure: i32, payload: &[u8]) -> Result<Option<Call>, XdrError> {
    let mut reader = Reader::new(payload);
    if let Some(call) = ConnectCall::decode(procedure, &mut reader)? {
        return Ok(Some(Call::Connect(call)));
    }
    if let Some(call) = QueryCall::decode(procedure, &mut reader)? {
        return Ok(Some(Call::Query(call)));
    }
    if let Some(call) = ChangeCall::decode(procedure, &mut reader)? {
        return Ok(Some(Call::Change(call)));
    }
    Ok(TransactionCall::decode(procedure, &mut reader)?.map(Call::Transaction))
}
