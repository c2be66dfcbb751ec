// SPDX-License-Identifier: LGPL-2.1-or-later
//! The interface calls.
//!
//! An interface is a link of the host, a definition, or both under one name. Active means
//! administratively up.

mod target;
mod query;
mod definition;
mod lifecycle;
mod transaction;

use crate::call_errors::{self, Driver};
use crate::handler::{Answer, Outcome, World};
use crate::model::client::{Access, ClientState};
use crate::proto::interface::InterfaceCall;

/// Answers one call about interfaces.
pub fn handle(
    call: &InterfaceCall,
    client: &ClientState,
    world: &World<'_>,
    answer: Option<&Answer>,
) -> Outcome {
    let Some(opened) = &client.opened else {
        return Outcome::Done(Err(call_errors::not_open(Driver::Interface)));
    };
    if let (Some(api), Access::ReadOnly) = (call.changing_api(), opened.access) {
        return Outcome::Done(Err(call_errors::read_only(api)));
    }
    match call {
        InterfaceCall::GetXmlDesc { name, flags } => query::xml_desc(name, *flags, world, answer),
        InterfaceCall::DefineXml { xml, flags } => definition::define(xml, *flags, world),
        InterfaceCall::Undefine { name } => definition::undefine(name, world, answer),
        InterfaceCall::Create { name, flags } => lifecycle::create(name, *flags, world, answer),
        InterfaceCall::Destroy { name, flags } => lifecycle::destroy(name, *flags, world, answer),
        InterfaceCall::ChangeBegin { flags } => transaction::begin(*flags, world),
        InterfaceCall::ChangeCommit { flags } => transaction::commit(*flags, world),
        InterfaceCall::ChangeRollback { flags } => transaction::roll_back(*flags, world),
        InterfaceCall::NumOfInterfaces
        | InterfaceCall::ListInterfaces { .. }
        | InterfaceCall::LookupByName { .. }
        | InterfaceCall::LookupByMac { .. }
        | InterfaceCall::NumOfDefinedInterfaces
        | InterfaceCall::ListDefinedInterfaces { .. }
        | InterfaceCall::IsActive { .. }
        | InterfaceCall::ListAllInterfaces { .. } => Outcome::Done(query::query(call, world)),
    }
}
