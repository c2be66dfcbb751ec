// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls that change definitions: define, undefine. They change files, and not the kernel.

use crate::backend::Refusal;
use crate::change::decision::Change;
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::interface::target::Target;
use crate::handler::{Answer, Outcome, Question, World};
use crate::managers::{Claim, Stake};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::{self, Plan, tear_down};
use crate::proto::Reply;
use crate::proto::interface::InterfaceRef;
use crate::xml::parse::{self, Strictness};

/// `VIR_INTERFACE_DEFINE_VALIDATE`: what the schema forbids is refused as well.
const DEFINE_VALIDATE: u32 = 1;

/// Stores a definition in the place of what was defined under its name, and of its members.
pub(super) fn define(xml: &str, flags: u32, world: &World<'_>) -> Outcome {
    let unknown = flags & !DEFINE_VALIDATE;
    if unknown != 0 {
        let err = CallError::flags(Domain::Interface, "netcfInterfaceDefineXML", unknown);
        return Outcome::Done(Err(err));
    }
    let is_strict = flags & DEFINE_VALIDATE != 0;
    let strictness = if is_strict { Strictness::Schema } else { Strictness::Parser };
    let (interface, remarks) = match parse::remarked(xml, strictness) {
        Ok(parsed) => parsed,
        Err(err) => return Outcome::Done(Err(err.into())),
    };
    if let Some(err) = taken(&interface, world) {
        return Outcome::Done(Err(err));
    }
    let name = interface.name;
    let edits = match world.files.define(&interface) {
        Ok(edits) => edits,
        Err(refusal) => return Outcome::Done(Err(unwritten(name, "defined", &refusal))),
    };
    let mac = match world.host.link_named(&name) {
        Some(link) => link.mac,
        None => interface.kind.mac(),
    };
    let warnings = remarks.texts().map(|text| format!("the definition of {name}: {text}"));
    Outcome::Change(Change {
        warnings: warnings.collect(),
        claims: Claim::all(&interface, |_| Stake::Settings),
        plan: Plan::of_edits(edits),
        reply: Reply::Interface(InterfaceRef { name, mac }),
        removed: Vec::new(),
        shelved: None,
        failure: format!("failed to define interface {name}"),
    })
}

/// Removes a definition. A running interface stays as it is. A bridge without a definition that was
/// taken down goes: `virsh iface-unbridge` has destroyed it by then, and could not go back.
pub(super) fn undefine(name: &str, world: &World<'_>, answer: Option<&Answer>) -> Outcome {
    let target = match Target::named(name, world) {
        Ok(target) => target,
        Err(err) => return Outcome::Done(Err(err)),
    };
    let plan = match target {
        Target::Link { definition: Some(definition), .. } | Target::Defined(definition) => {
            match world.files.undefine(&definition.name) {
                Ok(edits) => Plan::of_edits(edits),
                Err(refusal) => {
                    let err = unwritten(definition.name, "undefined", &refusal);
                    return Outcome::Done(Err(err));
                }
            }
        }
        Target::Link { link, definition: None } => {
            let refused = || {
                let detail = format!("interface '{name}' has no definition");
                CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
            };
            if !matches!(link.kind, LinkKind::Bridge(_)) || link.up {
                return Outcome::Done(Err(refused()));
            }
            let Some(Answer::Survey(survey)) = answer else {
                return Outcome::Ask(Question::Survey(plan::survey_order(link.name, None)));
            };
            if !survey.shelved.iter().any(|shelved| shelved.is_left(link)) {
                return Outcome::Done(Err(refused()));
            }
            match tear_down::delete_bridge(link.name, world.host, survey) {
                Ok(plan) => plan,
                Err(refusal) => return Outcome::Done(Err(refusal.into())),
            }
        }
    };
    Outcome::Change(Change {
        warnings: Vec::new(),
        claims: Vec::new(),
        plan,
        reply: Reply::Empty,
        removed: Vec::new(),
        shelved: None,
        failure: format!("failed to undefine interface {name}"),
    })
}

/// The error for what the backend does not write.
fn unwritten(name: IfName, verb: &str, refusal: &Refusal) -> CallError {
    let detail = format!("interface '{name}' cannot be {verb}: {refusal}");
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

/// Refuses a definition of what is a part of another one: which of the two should hold? One that takes
/// in all of the other, as a bridge does a bond with its members, takes its place.
fn taken(interface: &Interface, world: &World<'_>) -> Option<CallError> {
    let members = interface.members();
    let names = std::iter::once(interface.name).chain(members.iter().copied());
    let holder = names
        .filter_map(|name| world.definitions().holder_of(&name).map(|holder| (name, holder.name)))
        .find(|(_, holder)| *holder != interface.name && !members.contains(holder));
    let (name, holder) = holder?;
    let detail = format!(
        "interface '{name}' is a part of the definition of '{holder}': undefine that first"
    );
    Some(CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail))
}
