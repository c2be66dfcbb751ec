// SPDX-License-Identifier: LGPL-2.1-or-later
//! Access: which process may connect at which socket, and which call a client may make.
//!
//! Each call is checked once, when it has been read and before anything is queued. No handler and no
//! change checks again.

use crate::call_errors::{self, Driver};
use crate::error::CallError;
use crate::error::Domain;
use crate::model::client::{Access, Endpoint};
use crate::proto::Call;
use crate::proto::connect::{ConnectCall, feature};
use crate::proto::requirement::Requirement;

/// Whether a process of this user may connect: the admin socket serves only the daemon's own user.
pub(crate) fn may_connect(endpoint: Endpoint, uid: u32, own_uid: u32) -> bool {
    match endpoint {
        Endpoint::ReadWrite | Endpoint::ReadOnly => true,
        Endpoint::Admin => uid == own_uid,
    }
}

/// Whether SET_IDENTITY of a process of this user counts. Others could name any user; libvirt's daemons,
/// which relay calls, belong to root here.
pub(crate) fn may_set_identity(uid: u32, own_uid: u32) -> bool {
    uid == own_uid
}

/// The access that CONNECT_OPEN gives to a client that requests read-only or full access.
pub(crate) fn access(endpoint: Endpoint, is_read_only: bool) -> Access {
    match endpoint {
        Endpoint::ReadOnly => Access::ReadOnly,
        Endpoint::ReadWrite | Endpoint::Admin if is_read_only => Access::ReadOnly,
        Endpoint::ReadWrite | Endpoint::Admin => Access::ReadWrite,
    }
}

/// Checks a call of a client with this access from CONNECT_OPEN; `None` before that.
///
/// # Errors
/// The call is refused with libvirt's message.
pub fn check(opened: Option<Access>, call: &Call) -> Result<(), CallError> {
    match (requirement(call), opened) {
        (Requirement::Nothing, _)
        | (Requirement::Open(_), Some(Access::ReadOnly | Access::ReadWrite))
        | (Requirement::Write { .. }, Some(Access::ReadWrite)) => Ok(()),
        (Requirement::Open(driver) | Requirement::Write { driver, .. }, None) => {
            Err(call_errors::not_open(driver))
        }
        (Requirement::Write { domain, api, .. }, Some(Access::ReadOnly)) => {
            Err(call_errors::read_only(domain, api))
        }
    }
}

/// The table of calls. The session knows that the admin program is served only at the admin socket,
/// and [`may_connect`] has checked its callers.
fn requirement(call: &Call) -> Requirement {
    let write =
        |api| Requirement::Write { driver: Driver::Interface, domain: Domain::Interface, api };
    match call {
        Call::Connect(
            ConnectCall::Open { .. }
            | ConnectCall::Close
            | ConnectCall::AuthList
            | ConnectCall::AuthSasl
            | ConnectCall::AuthPolkit
            | ConnectCall::SupportsFeature { feature: feature::PROGRAM_KEEPALIVE },
        ) => Requirement::Nothing,
        Call::Connect(
            ConnectCall::GetType
            | ConnectCall::GetHostname
            | ConnectCall::SupportsFeature { .. }
            | ConnectCall::GetUri
            | ConnectCall::IsSecure
            | ConnectCall::GetLibVersion
            | ConnectCall::CloseCallback
            | ConnectCall::SetIdentity { .. },
        ) => Requirement::Open(Driver::Hypervisor),
        Call::Query(_) => Requirement::Open(Driver::Interface),
        Call::Change(call) => write(call.api()),
        Call::Transaction(call) => write(call.api()),
        Call::Refused(call) => call.requirement,
        Call::Admin(_) => Requirement::Nothing,
    }
}

#[cfg(test)]
mod tests;
