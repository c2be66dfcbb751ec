// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Request`]: a change that is asked for, by a client or by the daemon itself.

use std::fmt;

use crate::model::client::{Access, ClientId, ClientState, Endpoint, Opened};
use crate::proto::Reply;
use crate::proto::interface::InterfaceCall;
use crate::session::ReplyTo;
use crate::snapshot::Caller;

/// A change that is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub origin: Origin,
    pub call: InterfaceCall,
}

/// Who asks for a change.
#[derive(Clone, Debug)]
pub enum Origin {
    Client {
        id: ClientId,
        reply_to: ReplyTo,
        state: ClientState,
        caller: Caller,
    },
    /// The daemon itself, for this reason.
    Daemon(&'static str),
}

impl Origin {
    /// What its call depends on.
    pub fn state(&self) -> ClientState {
        match self {
            Self::Client { state, .. } => state.clone(),
            Self::Daemon(_) => {
                let opened = Some(Opened { uri: String::new(), access: Access::ReadWrite });
                ClientState { opened, ..ClientState::new(Endpoint::ReadWrite) }
            }
        }
    }

    /// The client, if one asks.
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Client { caller, .. } => Some(caller),
            Self::Daemon(_) => None,
        }
    }
}

/// A change in a log line: who asked for it, which call it is, and the interface that it is about.
pub(super) struct Brief<'a> {
    pub(super) request: &'a Request,
    /// What its answer will be: a definition has its name there, and not in the call.
    pub(super) reply: &'a Reply,
}

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { origin, call } = self.request;
        match origin {
            Origin::Client { caller: Caller { uid, pid, client }, .. } => {
                write!(f, "for client {client} (uid {uid}, pid {pid}): ")?;
            }
            Origin::Daemon(why) => write!(f, "{why}: ")?,
        }
        f.write_str(call.changing_api().unwrap_or("a change"))?;
        match (call.interface_name(), self.reply) {
            (Some(name), _) => write!(f, " of {name}"),
            (None, Reply::Interface(interface)) => write!(f, " of {}", interface.name),
            (None, _) => Ok(()),
        }
    }
}
