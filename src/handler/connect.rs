// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls about the connection itself: open, close, features, identity, and facts about the
//! daemon.

use crate::auth;
use crate::call_errors::{self, Driver};
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::uri::{self, UriSettings};
use crate::handler::{Answers, Facts, Outcome, Question, identity};
use crate::model::client::{ClientState, Opened, Privilege};
use crate::proto::Reply;
use crate::proto::connect::{ConnectCall, feature};
use crate::release::LIBVIRT_VERSION_NUMBER;

/// CONNECT_OPEN's only flag (`VIR_CONNECT_RO`). Others are ignored, as by libvirt.
const OPEN_READ_ONLY: u32 = 1;

/// The offered authentication schemes (`REMOTE_AUTH_NONE`): "none" on every socket.
const AUTH_TYPES: &[i32] = &[0];

/// Answers one call about the connection.
///
/// # Errors
/// The call is refused.
pub fn handle(
    call: &ConnectCall,
    client: &ClientState,
    facts: &Facts,
    answers: &Answers,
) -> Result<Outcome, CallError> {
    let reply = match call {
        ConnectCall::Open { name, flags } => {
            return open(name.as_deref(), *flags, client, facts.privilege, answers);
        }
        ConnectCall::Close => Reply::Closing,
        ConnectCall::GetType => Reply::Text("interface".to_owned()),
        ConnectCall::GetHostname => match &answers.hostname {
            Some(name) => Reply::Text(name.clone()),
            None => return Ok(Outcome::Ask(Question::Hostname)),
        },
        ConnectCall::SupportsFeature { feature: feature::PROGRAM_KEEPALIVE } => {
            Reply::KeepaliveSupported
        }
        ConnectCall::SupportsFeature { feature } => Reply::Number(i32::from(has_feature(*feature))),
        ConnectCall::AuthList => Reply::AuthTypes(AUTH_TYPES),
        ConnectCall::AuthSasl => {
            let detail = "authentication failed";
            return Err(CallError::new(ErrorCode::AuthFailed, Domain::Rpc, detail));
        }
        ConnectCall::AuthPolkit => return Err(CallError::unset()),
        ConnectCall::GetUri => {
            let opened = client.opened.as_ref();
            let opened = opened.ok_or_else(|| call_errors::not_open(Driver::Hypervisor))?;
            Reply::Text(opened.uri.clone())
        }
        ConnectCall::IsSecure => Reply::Number(1),
        ConnectCall::GetLibVersion => Reply::Version(LIBVIRT_VERSION_NUMBER),
        ConnectCall::CloseCallback => Reply::Empty,
        ConnectCall::SetIdentity { params } => {
            let identity = identity::parse(params)?;
            match auth::may_set_identity(client.caller.uid, facts.uid) {
                true => Reply::Identified(Box::new(identity)),
                false => Reply::Empty,
            }
        }
    };
    Ok(Outcome::Reply(reply))
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
    privilege: Privilege,
    answers: &Answers,
) -> Result<Outcome, CallError> {
    if client.opened.is_some() {
        let detail = "connection already open";
        return Err(CallError::new(ErrorCode::Internal, Domain::Rpc, detail));
    }
    let name = name.ok_or_else(|| call_errors::not_open(Driver::Interface))?;
    let settings = match &answers.uri_settings {
        Some(settings) => settings,
        None if uri::needs_settings(name) => return Ok(Outcome::Ask(Question::UriSettings)),
        None => &UriSettings::default(),
    };
    let name = settings.resolve(name).ok_or_else(uri::no_default)?;
    let uri = uri::accept(name, privilege)?;
    let access = auth::access(client.caller.endpoint, flags & OPEN_READ_ONLY != 0);
    Ok(Outcome::Reply(Reply::Opened(Opened { uri, access })))
}
