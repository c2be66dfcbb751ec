// SPDX-License-Identifier: LGPL-2.1-or-later
//! The plan that makes a link as it is defined, be it that all of it is missing or a trifle.
//!
//! Only differences become steps, so that an edited definition changes a running bridge under its
//! guests, and nothing that is as it should be is touched.

use crate::host::Host;
use crate::host::survey::{Survey, Surveyed};
use crate::model::interface::{Bridge, Interface, Kind};
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::Plan;
use crate::plan::draft::Draft;
use crate::plan::refusal::Refusal;
use crate::plan::step::{Condition, Step};

/// Plans to bring `definition` up.
///
/// # Errors
/// It is up as it is defined, or cannot be.
pub fn bring_up(definition: &Interface, host: &Host, survey: &Survey) -> Result<Plan, Refusal> {
    let name = definition.name;
    let donors: Vec<_> = donors(definition, survey);
    let mut draft = Draft::new(host, survey);
    definition.members().into_iter().for_each(|member| draft.stop_all_clients(member));
    let mut parent = None;
    let mut bridge: Option<&Bridge> = None;
    match &definition.kind {
        Kind::Ethernet(ethernet) => draft.ethernet(name, ethernet)?,
        Kind::Bridge(kind) => {
            draft.bridge(name, kind)?;
            bridge = Some(kind);
        }
        Kind::Bond(bond) => draft.bond(name, bond)?,
        Kind::Vlan(vlan) => {
            draft.vlan(name, vlan)?;
            parent = Some(&vlan.parent);
        }
    }
    draft.check_is_no_port(name)?;
    draft.set_switches(definition);
    if bridge.is_none() {
        draft.set_mtu(name, definition.mtu, parent);
    }
    draft.set_up(name);
    let was_up = draft.find(&name).is_some_and(|now| now.link.up);
    if bridge.is_none() && !was_up {
        // What is sent before the kernel has noted the carrier is thrown away, and a question for a
        // neighbour's address asked again after a second.
        draft.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    }
    draft.stop_clients(definition);
    draft.add_addresses(definition, &donors);
    if let Some(bridge) = bridge {
        draft.enslave(name, bridge, definition.mtu)?;
        draft.set_mtu(name, definition.mtu, None);
        draft.await_carrier(name, bridge);
    }
    draft.replace_addresses(definition, &donors);
    draft.add_routes(definition, &donors);
    if let Some(bridge) = bridge {
        // A bond's members have been stripped when they became that.
        for port in &bridge.ports {
            if let Some(now) = survey.named(&port.name) {
                draft.strip(now);
            }
        }
    }
    draft.start_clients(definition, &donors);
    if draft.is_empty() {
        return Err(Refusal::Running);
    }
    draft.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    Ok(draft.finish())
}

/// Plans to bring up a link that nobody has defined, just as it is.
///
/// # Errors
/// It is up already, or the port of another.
pub fn bring_up_undefined(name: IfName, host: &Host, survey: &Survey) -> Result<Plan, Refusal> {
    let mut draft = Draft::new(host, survey);
    let now = draft.require(&name, || "which is to be brought up".to_owned())?;
    if now.link.up {
        return Err(Refusal::Running);
    }
    draft.set_up(name);
    draft.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    Ok(draft.finish())
}

/// The links whose addressing the definition's link takes over: its members, and a link that was
/// taken down a moment ago to make room for it.
fn donors<'a>(definition: &Interface, survey: &'a Survey) -> Vec<&'a Surveyed> {
    let mut names = definition.members();
    let mut donors: Vec<_> = names.iter().filter_map(|name| survey.named(name)).collect();
    names.push(definition.name);
    donors.extend(survey.rested_for(&names));
    donors
}

/// Whether a link that is there is of the kind that a definition describes.
pub(super) fn is_of_kind(definition: &Interface, kind: &LinkKind) -> bool {
    match (&definition.kind, kind) {
        (Kind::Bridge(_), LinkKind::Bridge(_))
        | (Kind::Bond(_), LinkKind::Bond(_))
        | (Kind::Vlan(_), LinkKind::Vlan { .. }) => true,
        (Kind::Ethernet(_) | Kind::Bridge(_) | Kind::Bond(_) | Kind::Vlan(_), _) => false,
    }
}
