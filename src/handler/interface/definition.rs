// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls that change definitions: define, undefine. They change files, not the kernel.

use crate::backend::DefinitionRefusal;
use crate::change::decision::{Change, Decision};
use crate::definitions::files::FileEdit;
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::World;
use crate::handler::interface::target::Target;
use crate::host::survey::Survey;
use crate::managers::{Claim, Stake};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::{self, Plan, tear_down};
use crate::proto::Reply;
use crate::proto::interface::InterfaceRef;
use crate::xml::parse::{self, Remarks, Strictness};

/// `VIR_INTERFACE_DEFINE_VALIDATE`: definitions that the schema forbids are refused as well.
const DEFINE_VALIDATE: u32 = 1;

/// Stores a definition, which replaces those of its name and of its members.
pub(super) fn define(xml: &str, flags: u32, world: &World<'_>) -> Result<Decision, CallError> {
    let (interface, remarks) = parse(xml, flags)?;
    if let Some(err) = taken(&interface, world) {
        return Err(err);
    }
    let name = interface.name;
    let edits = world.files.define(&interface);
    let edits = edits.map_err(|refusal| unwritten(name, "defined", &refusal))?;
    let mac = match world.host.link_named(&name) {
        Some(link) => link.mac,
        None => interface.kind.mac(),
    };
    let warnings = remarks.texts().map(|text| format!("the definition of {name}: {text}"));
    Ok(Decision::Change(Box::new(Change {
        warnings: warnings.collect(),
        claims: Claim::all(&interface, |_| Stake::Settings),
        plan: plan_of(edits, world),
        reply: Reply::Interface(InterfaceRef { name, mac }),
        removed: Vec::new(),
        shelved: None,
        failure: format!("failed to define interface {name}"),
    })))
}

/// Parses the arguments of a definition.
pub(super) fn parse(xml: &str, flags: u32) -> Result<(Interface, Remarks), CallError> {
    let unknown = flags & !DEFINE_VALIDATE;
    if unknown != 0 {
        return Err(CallError::flags(Domain::Interface, "netcfInterfaceDefineXML", unknown));
    }
    let is_strict = flags & DEFINE_VALIDATE != 0;
    let strictness = if is_strict { Strictness::Schema } else { Strictness::Parser };
    Ok(parse::remarked(xml, strictness)?)
}

/// Removes a definition. A running interface is not changed. A bridge without a definition that was
/// taken down is deleted: `virsh iface-unbridge` has destroyed it by then, and could not go back.
pub(super) fn undefine(
    name: &str,
    world: &World<'_>,
    survey: Option<&Survey>,
) -> Result<Decision, CallError> {
    let plan = match Target::named(name, world)? {
        Target::Link { definition: Some(definition), .. } | Target::Defined(definition) => {
            let edits = world.files.undefine(&definition.name);
            let refuse = |refusal| unwritten(definition.name, "undefined", &refusal);
            plan_of(edits.map_err(refuse)?, world)
        }
        Target::Link { link, definition: None } => {
            let refused = || {
                let detail = format!("interface '{name}' has no definition");
                CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
            };
            if !matches!(link.kind, LinkKind::Bridge(_)) || link.up {
                return Err(refused());
            }
            let Some(survey) = survey else {
                return Ok(Decision::Survey(plan::survey_order(link.name, None)));
            };
            if !survey.shelved.iter().any(|shelved| shelved.is_left(link)) {
                return Err(refused());
            }
            tear_down::delete_bridge(link.name, world.host, survey)?
        }
    };
    Ok(Decision::Change(Box::new(Change {
        warnings: Vec::new(),
        claims: Vec::new(),
        plan,
        reply: Reply::Empty,
        removed: Vec::new(),
        shelved: None,
        failure: format!("failed to undefine interface {name}"),
    })))
}

/// The plan that makes these edits, if the host's own program can read the files afterwards.
fn plan_of(edits: Vec<FileEdit>, world: &World<'_>) -> Plan {
    let check = world.files.check(&edits).filter(|_| !edits.is_empty());
    Plan::of_edits(check, edits)
}

/// The error for a definition that the backend does not write.
fn unwritten(name: IfName, verb: &str, refusal: &DefinitionRefusal) -> CallError {
    let detail = format!("interface '{name}' cannot be {verb}: {refusal}");
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

/// Refuses a definition of a part of another one, as it would not be clear which of the two
/// applies. A definition that contains all of the other, as a bridge contains a bond with its
/// members, replaces it.
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
