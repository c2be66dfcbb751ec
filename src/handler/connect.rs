// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls about the connection itself: open, close, features, who and what we are.

use crate::call_errors::{self, Driver};
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::uri::{self, UriSettings};
use crate::handler::{Answer, Outcome, Question, World, identity};
use crate::model::client::{Access, ClientState, Endpoint, Opened};
use crate::proto::Reply;
use crate::proto::connect::ConnectCall;
use crate::release::LIBVIRT_VERSION_NUMBER;

/// CONNECT_OPEN's only flag (`VIR_CONNECT_RO`); all others are ignored, as libvirt does.
const OPEN_READ_ONLY: u32 = 1;

/// The authentication schemes on offer (`REMOTE_AUTH_NONE`): every socket's is "none".
const AUTH_TYPES: &[i32] = &[0];

/// The features a client may ask for (`virDrvFeature`) that this daemon has.
mod feature {
    pub(super) const FD_PASSING: i32 = 8;
    pub(super) const PROGRAM_KEEPALIVE: i32 = 10;
    pub(super) const REMOTE_EVENT_CALLBACK: i32 = 14;
    pub(super) const REMOTE_CLOSE_CALLBACK: i32 = 15;
}

/// Answers one call about the connection.
pub fn handle(
    call: &ConnectCall,
    client: &ClientState,
    world: &World<'_>,
    answer: Option<&Answer>,
) -> Outcome {
    let opened = client.opened.as_ref().ok_or_else(|| call_errors::not_open(Driver::Hypervisor));
    let reply = match call {
        ConnectCall::Open { name, flags } => {
            return open(name.as_deref(), *flags, client, world, answer);
        }
        ConnectCall::Close => Ok(Reply::Closing),
        ConnectCall::GetType => opened.map(|_| Reply::Text("interface".to_owned())),
        ConnectCall::GetHostname => match (opened, answer) {
            (Ok(_), Some(Answer::Hostname(name))) => Ok(Reply::Text(name.clone())),
            (Ok(_), _) => return Outcome::Ask(Question::Hostname),
            (Err(err), _) => Err(err),
        },
        ConnectCall::SupportsFeature { feature: feature::PROGRAM_KEEPALIVE } => {
            Ok(Reply::KeepaliveSupported)
        }
        ConnectCall::SupportsFeature { feature } => {
            opened.map(|_| Reply::Number(i32::from(has_feature(*feature))))
        }
        ConnectCall::AuthList => Ok(Reply::AuthTypes(AUTH_TYPES)),
        ConnectCall::AuthSasl => {
            Err(CallError::new(ErrorCode::AuthFailed, Domain::Rpc, "authentication failed"))
        }
        ConnectCall::AuthPolkit => Err(CallError::unset()),
        ConnectCall::GetUri => opened.map(|opened| Reply::Text(opened.uri.clone())),
        ConnectCall::IsSecure => opened.map(|_| Reply::Number(1)),
        ConnectCall::GetLibVersion => opened.map(|_| Reply::Version(LIBVIRT_VERSION_NUMBER)),
        ConnectCall::CloseCallback => opened.map(|_| Reply::Empty),
        ConnectCall::SetIdentity { params } => opened
            .and_then(|_| identity::parse(params))
            .map(|identity| Reply::Identified(Box::new(identity))),
    };
    Outcome::Done(reply)
}

fn has_feature(feature: i32) -> bool {
    matches!(
        feature,
        feature::FD_PASSING | feature::REMOTE_EVENT_CALLBACK | feature::REMOTE_CLOSE_CALLBACK
    )
}

fn open(
    name: Option<&str>,
    flags: u32,
    client: &ClientState,
    world: &World<'_>,
    answer: Option<&Answer>,
) -> Outcome {
    if client.opened.is_some() {
        let detail = "connection already open";
        return Outcome::Done(Err(CallError::new(ErrorCode::Internal, Domain::Rpc, detail)));
    }
    let Some(name) = name else {
        return Outcome::Done(Err(call_errors::not_open(Driver::Interface)));
    };
    let settings = match answer {
        Some(Answer::UriSettings(settings)) => settings,
        _ if uri::needs_settings(name) => return Outcome::Ask(Question::UriSettings),
        _ => &UriSettings::default(),
    };
    let resolved = settings.resolve(name).ok_or_else(uri::no_default);
    let uri = resolved.and_then(|name| uri::accept(name, world.privilege));
    let access = access(flags, client.endpoint);
    Outcome::Done(uri.map(|uri| Reply::Opened(Opened { uri, access })))
}

fn access(flags: u32, endpoint: Endpoint) -> Access {
    if flags & OPEN_READ_ONLY != 0 || endpoint == Endpoint::ReadOnly {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    }
}
