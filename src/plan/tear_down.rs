// SPDX-License-Identifier: LGPL-2.1-or-later
//! The plan that takes an interface down.
//!
//! What a definition describes and the kernel made for it goes: it gets out of the way at once, and is
//! deleted a moment later, as that takes the kernel long. NICs only go down. Whatever is not a part of
//! the definition and would be cut off stops all of it.

use crate::host::Host;
use crate::host::survey::{Survey, Surveyed};
use crate::model::interface::{Interface, Kind, PortKind};
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::plan::Plan;
use crate::plan::bring_up::is_of_kind;
use crate::plan::draft::{Draft, may_be_a_guests};
use crate::plan::refusal::Refusal;
use crate::plan::step::{Condition, LinkSpec, SpecKind, Step, Value};

/// Plans to take `name` down, which `definition` describes if there is one.
///
/// # Errors
/// It is not up, or something hangs on it that must not be cut off.
pub fn tear_down(
    name: IfName,
    definition: Option<&Interface>,
    host: &Host,
    survey: &Survey,
) -> Result<Plan, Refusal> {
    let mut draft = Draft::new(host, survey);
    let now = draft.find(&name).filter(|now| now.link.up).ok_or(Refusal::NotRunning)?;
    // A definition that describes something else than what is there does not own it.
    let definition = definition.filter(|definition| is_of_kind(definition, &now.link.kind));
    let guests = guests(&draft, &now.link, definition);
    if !guests.is_empty() {
        return Err(Refusal::Guests { name, guests });
    }
    draft.stop_all_clients(name);
    draft.strip(now);
    draft.set(name, Value::Down, Value::Up);
    let Some(definition) = definition else {
        draft.push(Step::WaitFor(Condition::Down(name)), None);
        return Ok(draft.finish());
    };
    let mut to_delete = vec![now];
    match &definition.kind {
        Kind::Bridge(bridge) => {
            for port in &bridge.ports {
                let Some(port_now) = release(&mut draft, &now.link, port.name) else { continue };
                match &port.kind {
                    PortKind::Ethernet(_) => {}
                    PortKind::Bond(bond) if matches!(port_now.link.kind, LinkKind::Bond(_)) => {
                        for member in &bond.members {
                            release(&mut draft, &port_now.link, member.name);
                        }
                        to_delete.push(port_now);
                    }
                    PortKind::Vlan(_) if matches!(port_now.link.kind, LinkKind::Vlan { .. }) => {
                        to_delete.push(port_now);
                    }
                    PortKind::Bond(_) | PortKind::Vlan(_) => {}
                }
            }
        }
        Kind::Bond(bond) => {
            for member in &bond.members {
                release(&mut draft, &now.link, member.name);
            }
        }
        Kind::Ethernet(_) | Kind::Vlan(_) => {}
    }
    let (vlans, others): (Vec<_>, Vec<_>) = to_delete
        .into_iter()
        .map(|surveyed| &surveyed.link)
        .partition(|link| matches!(link.kind, LinkKind::Vlan { .. }));
    others.into_iter().for_each(|link| draft.discard(link));
    // Last, as a link that is made again is not quite the same.
    vlans.into_iter().for_each(|link| delete_vlan(&mut draft, link));
    draft.push(Step::WaitFor(Condition::Gone(name)), None);
    Ok(draft.finish())
}

/// Deletes a VLAN on the spot: as long as it is there, its parent has no other of its tag.
fn delete_vlan(draft: &mut Draft<'_>, link: &Link) {
    let parent = link.parent.and_then(|parent| draft.host.link(parent)).map(|link| link.name);
    let undo = match (&link.kind, parent) {
        (LinkKind::Vlan { tag }, Some(parent)) => Some(Step::AddLink(LinkSpec {
            name: link.name,
            mac: link.mac,
            kind: SpecKind::Vlan { tag: *tag, parent },
        })),
        _ => None,
    };
    draft.push(Step::DeleteLink(link.name), undo);
}

/// Takes a port from its master, and down.
fn release<'a>(draft: &mut Draft<'a>, master: &Link, name: IfName) -> Option<&'a Surveyed> {
    let port = draft.find(&name).filter(|port| port.link.master == Some(master.index))?;
    draft.set(name, Value::NoMaster, Value::Master(master.name));
    if port.link.up {
        draft.set(name, Value::Down, Value::Up);
    }
    Some(port)
}

/// What must not be cut off: ports that the definition does not name, and links over one that would
/// be deleted. Of a bridge that nobody has defined, the ports that may be a guest's.
fn guests(draft: &Draft<'_>, link: &Link, definition: Option<&Interface>) -> Vec<IfName> {
    let is_named = |port: &Link| match definition.map(|definition| &definition.kind) {
        Some(Kind::Bridge(bridge)) => bridge.ports.iter().any(|named| named.name == port.name),
        Some(Kind::Bond(bond)) => bond.members.iter().any(|named| named.name == port.name),
        Some(Kind::Ethernet(_) | Kind::Vlan(_)) => true,
        None => !may_be_a_guests(port),
    };
    let ports = draft.ports_of(link).into_iter().filter(|port| !is_named(port));
    let deleted = definition.map(|definition| deleted_with(draft, link, definition));
    let deleted = deleted.unwrap_or_default();
    let is_over = |other: &&Link| other.parent.is_some_and(|below| deleted.contains(&below));
    let over = draft.host.links().filter(is_over);
    let over = over.filter(|other| !deleted.contains(&other.index));
    ports.chain(over).map(|guest| guest.name).collect()
}

/// The links that are deleted along with `link`, itself included.
fn deleted_with(draft: &Draft<'_>, link: &Link, definition: &Interface) -> Vec<LinkIndex> {
    let mut deleted = vec![link.index];
    if let Kind::Bridge(bridge) = &definition.kind {
        for port in &bridge.ports {
            match &port.kind {
                PortKind::Ethernet(_) => {}
                PortKind::Bond(_) | PortKind::Vlan(_) => {
                    deleted.extend(draft.find(&port.name).map(|port| port.link.index));
                }
            }
        }
    }
    deleted
}
