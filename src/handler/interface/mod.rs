// SPDX-License-Identifier: LGPL-2.1-or-later
//! The interface calls.
//!
//! An interface is a link of the host, a definition, or both under one name. Active means
//! administratively up.

mod found;
mod look;
mod definition;
mod activation;
mod change;

use crate::faults::{self, Driver};
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
        return Outcome::Done(Err(faults::not_open(Driver::Interface)));
    };
    if let (Some(api), Access::ReadOnly) = (call.changing_api(), opened.access) {
        return Outcome::Done(Err(faults::read_only(api)));
    }
    match call {
        InterfaceCall::GetXmlDesc { name, flags } => look::xml_desc(name, *flags, world, answer),
        InterfaceCall::DefineXml { xml, flags } => definition::define(xml, *flags, world),
        InterfaceCall::Undefine { name } => definition::undefine(name, world, answer),
        InterfaceCall::Create { name, flags } => activation::create(name, *flags, world, answer),
        InterfaceCall::Destroy { name, flags } => activation::destroy(name, *flags, world, answer),
        InterfaceCall::ChangeBegin { flags } => change::begin(*flags, world),
        InterfaceCall::ChangeCommit { flags } => change::commit(*flags, world),
        InterfaceCall::ChangeRollback { flags } => change::roll_back(*flags, world),
        InterfaceCall::NumOfInterfaces
        | InterfaceCall::ListInterfaces { .. }
        | InterfaceCall::LookupByName { .. }
        | InterfaceCall::LookupByMac { .. }
        | InterfaceCall::NumOfDefinedInterfaces
        | InterfaceCall::ListDefinedInterfaces { .. }
        | InterfaceCall::IsActive { .. }
        | InterfaceCall::ListAllInterfaces { .. } => Outcome::Done(look::look(call, world)),
    }
}
