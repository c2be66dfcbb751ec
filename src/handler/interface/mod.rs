// SPDX-License-Identifier: LGPL-2.1-or-later
//! The interface calls.
//!
//! An interface is a link of the host, a definition, or both with one name. It is active if the
//! link is administratively up.

mod target;
pub mod query;
mod definition;
mod lifecycle;
mod transaction;

use crate::change::decision::Decision;
use crate::change::request::RequestedCall;
use crate::change::transaction::Status;
use crate::error::CallError;
use crate::handler::World;
use crate::host::survey::Survey;
use crate::limits::XML_LEN_MAX;
use crate::proto::interface::ChangeCall;

/// Decides a request whose turn has come, with the survey that it has requested.
///
/// # Errors
/// The request is refused.
pub fn decide(
    call: &RequestedCall,
    world: &World<'_>,
    status: Status<'_>,
    survey: Option<&Survey>,
) -> Result<Decision, CallError> {
    match call {
        RequestedCall::Change(ChangeCall::DefineXml { xml, flags }) => {
            definition::define(xml, *flags, world)
        }
        RequestedCall::Change(ChangeCall::Undefine { name }) => {
            definition::undefine(name, world, survey)
        }
        RequestedCall::Change(ChangeCall::Create { name, flags }) => {
            lifecycle::create(name, *flags, world, survey)
        }
        RequestedCall::Change(ChangeCall::Destroy { name, flags }) => {
            lifecycle::destroy(name, *flags, world, survey)
        }
        RequestedCall::Transaction(call) => {
            transaction::decide(*call, status).map(Decision::Transact)
        }
    }
}

/// Refuses a definition that is too long for any host, so that it does not wait its turn in memory.
///
/// # Errors
/// The error of [`decide`] for it.
pub(crate) fn check_len(call: &ChangeCall) -> Result<(), CallError> {
    match call {
        ChangeCall::DefineXml { xml, flags } if xml.len() > XML_LEN_MAX => {
            definition::parse(xml, *flags).map(drop)
        }
        ChangeCall::DefineXml { .. }
        | ChangeCall::Undefine { .. }
        | ChangeCall::Create { .. }
        | ChangeCall::Destroy { .. } => Ok(()),
    }
}
