// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Request`]: a change that a client or the daemon itself requests.

use std::fmt;

use crate::model::client::{Caller, ClientId};
use crate::model::name::IfName;
use crate::proto::Reply;
use crate::proto::interface::{ChangeCall, TransactionCall};
use crate::session::ReplyTo;
use crate::shares::WaitingChange;

/// A requested change.
#[derive(Clone, Debug)]
pub struct Request {
    pub origin: Origin,
    pub call: RequestedCall,
}

impl Request {
    /// The request as a part of its user's share, if a client made it.
    pub(crate) fn waiting(&self) -> Option<WaitingChange> {
        let uid = self.origin.caller()?.uid;
        Some(WaitingChange { uid, len: self.call.len() })
    }

    /// The interface that the daemon brings up automatically, if the request is such a try.
    pub(super) fn attempted(&self) -> Option<IfName> {
        let (Origin::Daemon(_), RequestedCall::Change(ChangeCall::Create { name, .. })) =
            (&self.origin, &self.call)
        else {
            return None;
        };
        IfName::new(name).ok()
    }
}

/// The calls that wait for their turn.
#[derive(Clone, Debug)]
pub enum RequestedCall {
    Change(ChangeCall),
    Transaction(TransactionCall),
}

impl RequestedCall {
    /// libvirt's public name of the call.
    pub fn api(&self) -> &'static str {
        match self {
            Self::Change(call) => call.api(),
            Self::Transaction(call) => call.api(),
        }
    }

    /// The length of its text.
    fn len(&self) -> usize {
        match self {
            Self::Change(ChangeCall::DefineXml { xml, .. }) => xml.len(),
            Self::Change(call) => call.interface_name().map_or(0, str::len),
            Self::Transaction(_) => 0,
        }
    }

    /// The name of the interface that is changed, if the call has one.
    pub(super) fn interface_name(&self) -> Option<&str> {
        match self {
            Self::Change(call) => call.interface_name(),
            Self::Transaction(_) => None,
        }
    }
}

impl From<ChangeCall> for RequestedCall {
    fn from(call: ChangeCall) -> Self {
        Self::Change(call)
    }
}

impl From<TransactionCall> for RequestedCall {
    fn from(call: TransactionCall) -> Self {
        Self::Transaction(call)
    }
}

/// The origin of a request.
#[derive(Clone, Debug)]
pub enum Origin {
    Client {
        id: ClientId,
        reply_to: ReplyTo,
        caller: Caller,
    },
    /// The daemon itself, for this reason.
    Daemon(&'static str),
}

impl Origin {
    /// Returns the client, if a client made the request.
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Client { caller, .. } => Some(caller),
            Self::Daemon(_) => None,
        }
    }
}

/// Formats a change for the log: its origin, the call, and the interface.
pub(super) struct RequestSummary<'a> {
    pub(super) request: &'a Request,
    /// The reply to the call: for a definition it has the name, which the call lacks.
    pub(super) reply: &'a Reply,
}

impl fmt::Display for RequestSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { origin, call } = self.request;
        match origin {
            Origin::Client { caller, .. } => {
                let (client, uid, pid) =
                    (caller.number, caller.subject_uid(), caller.subject_pid());
                write!(f, "for client {client} (uid {uid}, pid {pid}): ")?;
            }
            Origin::Daemon(why) => write!(f, "{why}: ")?,
        }
        f.write_str(call.api())?;
        match (call.interface_name(), self.reply) {
            (Some(name), _) => write!(f, " of {name}"),
            (None, Reply::Interface(interface)) => write!(f, " of {}", interface.name),
            (None, _) => Ok(()),
        }
    }
}
