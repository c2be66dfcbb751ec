// SPDX-License-Identifier: LGPL-2.1-or-later
//! Plans to destroy (take down) an interface.
//!
//! Links in its definition that the daemon created are removed: they are renamed at once and
//! deleted later, as a deletion takes the kernel long. NICs are only taken down. If a link outside
//! the definition would be cut off, the whole change is refused.

use std::cmp::Reverse;

use crate::host::state::LinkState;
use crate::host::survey::Survey;
use crate::host::{Host, may_be_guest};
use crate::limits::LINK_DEPTH_MAX;
use crate::model::interface::{Bond, BondMember, Interface, Kind, PortKind};
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::route::RouteRecord;
use crate::plan::Plan;
use crate::plan::bring_up::is_of_kind;
use crate::plan::builder::Builder;
use crate::plan::refusal::PlanRefusal;
use crate::plan::remake;
use crate::plan::request::{KernelRequest, LinkValue};
use crate::plan::step::{Condition, Step};

/// Plans to take `name` down, by its `definition` if there is one.
///
/// # Errors
/// The link is not up, or a link depends on it that must not be cut off.
pub fn tear_down(
    name: IfName,
    definition: Option<&Interface>,
    host: &Host,
    survey: &Survey,
) -> Result<Plan, PlanRefusal> {
    let mut builder = Builder::new(host, survey);
    let now = builder.find(&name).filter(|now| now.link().up).ok_or(PlanRefusal::NotRunning)?;
    // A definition of another kind does not describe this link.
    let definition = definition.filter(|definition| is_of_kind(definition, &now.link().kind));
    let guests = guests(&builder, now.link(), definition);
    if !guests.is_empty() {
        return Err(PlanRefusal::Guests { name, guests });
    }
    builder.stop_all_clients(name)?;
    // A multipath route keeps its paths through other links.
    for rest in now.routes.iter().filter_map(RouteRecord::without_link) {
        builder.add_route(name, rest);
    }
    builder.strip(now);
    builder.set_down(now.link());
    let Some(definition) = definition else {
        builder.push(Step::WaitFor(Condition::Down(name)), Vec::new());
        return Ok(builder.finish());
    };
    builder.delete_rules(name, &definition.members());
    let mut to_delete = vec![now];
    match &definition.kind {
        Kind::Bridge(bridge) => {
            for port in &bridge.ports {
                let Some(port_now) = release_from_bridge(&mut builder, now.link(), port.name)
                else {
                    continue;
                };
                match (&port.kind, &port_now.link().kind) {
                    // The link existed before the bridge, and stays.
                    _ if survey.found.contains(&port_now.link().index) => {}
                    (PortKind::Bond(bond), LinkKind::Bond(_)) => {
                        release_members(&mut builder, port_now.link(), bond)?;
                        to_delete.push(port_now);
                    }
                    (PortKind::Vlan(_), LinkKind::Vlan { .. }) => to_delete.push(port_now),
                    (PortKind::Ethernet(_) | PortKind::Bond(_) | PortKind::Vlan(_), _) => {}
                }
            }
        }
        Kind::Bond(bond) => release_members(&mut builder, now.link(), bond)?,
        Kind::Ethernet(_) | Kind::Vlan(_) => {}
    }
    let (mut vlans, others): (Vec<_>, Vec<_>) = to_delete
        .into_iter()
        .partition(|surveyed| matches!(surveyed.link().kind, LinkKind::Vlan { .. }));
    others.into_iter().for_each(|surveyed| builder.discard(surveyed.link()));
    // VLANs are deleted last, as a link cannot be created again exactly, and each before its
    // parent, whose deletion would include it. They are deleted immediately, since the parent can
    // have no other VLAN with the same tag before that.
    vlans.sort_by_cached_key(|surveyed| Reverse(depth(&builder, surveyed.link())));
    for surveyed in vlans {
        let undo = remake_vlan(&builder, surveyed);
        builder.push(KernelRequest::DeleteLink(surveyed.link().name), undo);
    }
    builder.push(Step::WaitFor(Condition::Gone(name)), Vec::new());
    Ok(builder.finish())
}

/// Plans to delete a bridge without a definition that was taken down: `virsh iface-unbridge`
/// continues with its port.
///
/// # Errors
/// A link depends on it that must not be cut off.
pub(crate) fn delete_bridge(
    name: IfName,
    host: &Host,
    survey: &Survey,
) -> Result<Plan, PlanRefusal> {
    let mut builder = Builder::new(host, survey);
    let now = builder.find(&name).ok_or(PlanRefusal::NotRunning)?;
    let ports = builder.ports_of(now.link());
    let guests = ports.iter().copied().filter(|port| may_be_guest(port));
    let guests: Vec<_> =
        guests.chain(builder.links_over(now.link())).map(|guest| guest.name).collect();
    if !guests.is_empty() {
        return Err(PlanRefusal::Guests { name, guests });
    }
    ports.into_iter().for_each(|port| builder.release(now.link(), port));
    builder.discard(now.link());
    builder.push(Step::WaitFor(Condition::Gone(name)), Vec::new());
    Ok(builder.finish())
}

/// Releases a port from its bridge, and strips it and takes it down, unless another link needs it.
fn release_from_bridge<'a>(
    builder: &mut Builder<'a>,
    bridge: &Link,
    name: IfName,
) -> Option<&'a LinkState> {
    let port = port_of(builder, bridge, name)?;
    builder.release(bridge, port.link());
    if port.link().up && builder.check_is_free(port.link()).is_ok() {
        builder.strip(port);
        builder.set_down(port.link());
    }
    Some(port)
}

/// Releases the members of a bond, which takes them down. Without members the bond loses its
/// hardware address, and it takes that of the first member that is added. Each undo restores the
/// address, since a member may also leave by itself, so which is the last one is not certain.
fn release_members(builder: &mut Builder<'_>, now: &Link, bond: &Bond) -> Result<(), PlanRefusal> {
    let find = |member: &BondMember| builder.find(&member.name);
    let members: Vec<_> = bond.members.iter().filter_map(find).collect();
    let is_member = |member: &&&LinkState| member.link().master == Some(now.index);
    let members: Vec<_> = members.iter().filter(is_member).copied().collect();
    for member in &members {
        builder.check_is_free(member.link())?;
        builder.strip(member);
        builder.release(now, member.link());
        if let Some(mac) = now.mac {
            builder
                .also_undo(KernelRequest::SetLink { link: now.name, value: LinkValue::Mac(mac) });
        }
    }
    Ok(())
}

/// Returns the links that would be cut off although they must not: ports outside the definition,
/// links on one that would be deleted, and links that are up on one that is taken down. For a
/// bridge without a definition, these are the ports that may be guests'; for the NIC, bond or VLAN
/// that connects a bridge to the network, those of that bridge.
fn guests(builder: &Builder<'_>, link: &Link, definition: Option<&Interface>) -> Vec<IfName> {
    let is_named = |port: &Link| match definition.map(|definition| &definition.kind) {
        Some(Kind::Bridge(bridge)) => bridge.ports.iter().any(|named| named.name == port.name),
        Some(Kind::Bond(bond)) => bond.members.iter().any(|named| named.name == port.name),
        Some(Kind::Ethernet(_) | Kind::Vlan(_)) => true,
        None => !may_be_guest(port),
    };
    let mut guests = builder.ports_of(link);
    guests.retain(|port| !is_named(port));
    guests.extend(guests_beside(builder, link));
    let Some(definition) = definition else {
        guests.extend(builder.links_over(link).into_iter().filter(|over| over.up));
        return guests.into_iter().map(|guest| guest.name).collect();
    };
    let mut deleted = vec![link];
    if let Kind::Bridge(bridge) = &definition.kind {
        for port in &bridge.ports {
            let Some(now) = port_of(builder, link, port.name) else { continue };
            match (&port.kind, &now.link().kind) {
                _ if builder.survey.found.contains(&now.link().index) => {}
                (PortKind::Bond(bond), LinkKind::Bond(_)) => {
                    let is_member = |it: &&Link| bond.members.iter().any(|m| m.name == it.name);
                    let members = builder.ports_of(now.link()).into_iter();
                    guests.extend(members.filter(|member| !is_member(member)));
                    deleted.push(now.link());
                }
                (PortKind::Vlan(_), LinkKind::Vlan { .. }) => deleted.push(now.link()),
                (PortKind::Ethernet(_) | PortKind::Bond(_) | PortKind::Vlan(_), _) => {}
            }
        }
    }
    let is_deleted = |other: &&Link| deleted.iter().any(|deleted| deleted.index == other.index);
    let over = deleted.iter().flat_map(|deleted| builder.links_over(deleted));
    guests.extend(over.filter(|other| !is_deleted(other)));
    guests.into_iter().map(|guest| guest.name).collect()
}

/// Returns the other ports of this port's bridge that may be guests'. None if the port itself may
/// be a guest's, as it does not connect the others.
fn guests_beside<'a>(builder: &Builder<'a>, link: &Link) -> Vec<&'a Link> {
    let master = link.master.filter(|_| !may_be_guest(link));
    let bridge = master.and_then(|master| builder.host.link(master));
    let bridge = bridge.filter(|bridge| matches!(bridge.kind, LinkKind::Bridge(_)));
    let mut beside = bridge.map(|bridge| builder.ports_of(bridge)).unwrap_or_default();
    beside.retain(|port| may_be_guest(port));
    beside
}

/// Returns a port, if it is one of the bridge.
fn port_of<'a>(builder: &Builder<'a>, bridge: &Link, name: IfName) -> Option<&'a LinkState> {
    builder.find(&name).filter(|port| port.link().master == Some(bridge.index))
}

/// Returns the number of links below a VLAN.
fn depth(builder: &Builder<'_>, link: &Link) -> usize {
    let below = |link: &Link| {
        let parent = link.parent.filter(|_| matches!(link.kind, LinkKind::Vlan { .. }));
        parent.and_then(|parent| builder.host.link(parent))
    };
    std::iter::successors(below(link), |link| below(link)).take(LINK_DEPTH_MAX).count()
}

/// Returns the steps that create a VLAN again.
fn remake_vlan(builder: &Builder<'_>, surveyed: &LinkState) -> Vec<Step> {
    let name = surveyed.link().name;
    let Some(removed) = builder.survey.removable(&name, builder.host) else { return Vec::new() };
    let sysctls = remake::own_sysctls(name, &removed.record, &builder.survey.defaults);
    [remake::remade(&removed), sysctls].concat()
}
