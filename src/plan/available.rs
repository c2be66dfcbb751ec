// SPDX-License-Identifier: LGPL-2.1-or-later
//! Determines the part of a definition that can be brought up now, and the missing links.
//!
//! A client's call brings up a whole definition or nothing. The daemon by itself (at boot) brings
//! up as much as it can: `part_of` omits missing ports, members and parents, and lists them. Each
//! [`Lack`] shows when it is resolved, so that the rest can follow.

use std::collections::BTreeSet;
use std::fmt;

use crate::host::Host;
use crate::model::interface::{Bond, Bridge, Interface, Kind, Port, PortKind};
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::step::Condition;

/// Something that a definition needs and the host does not have yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lack {
    /// A link that does not exist.
    Link(IfName),
    /// A port that belongs to another bridge or bond.
    Port { name: IfName, master: IfName },
    /// A DHCP lease: a [`Condition::Leased`].
    Lease(Condition),
}

impl Lack {
    /// Returns whether the missing object exists now.
    pub fn is_over(&self, host: &Host) -> bool {
        match self {
            Self::Link(name) => host.link_named(name).is_some(),
            Self::Port { name, master } => master_of(name, host) != Some(*master),
            Self::Lease(leased) => leased.holds(host),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(f, "there is no link {name}"),
            Self::Port { name, master } => write!(f, "{name} is a port of {master}"),
            Self::Lease(Condition::Leased { family, .. }) => {
                write!(f, "no DHCP server has given a lease for {}", family.as_str())
            }
            Self::Lease(condition) => write!(f, "not yet: {condition}"),
        }
    }
}

/// A part of a definition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DefinitionPart {
    /// `None` if a link is missing that the interface cannot exist without.
    pub(super) interface: Option<Interface>,
    /// The omitted links.
    pub(super) lacks: Vec<Lack>,
    /// Whether its packets cannot leave the host, as all of its ports are missing.
    pub(super) is_portless: bool,
}

/// Returns the part of `definition` whose links exist. An interface without its ports gets no DHCP
/// client yet, since its hardware address will be that of its first port.
pub(super) fn part_of(definition: &Interface, host: &Host) -> DefinitionPart {
    let mut lacks = Vec::new();
    let kind = match &definition.kind {
        Kind::Ethernet(_) => {
            is_there(&definition.name, host, &mut lacks).then(|| definition.kind.clone())
        }
        Kind::Vlan(vlan) => {
            is_there(&vlan.parent, host, &mut lacks).then(|| definition.kind.clone())
        }
        Kind::Bond(bond) => part_of_bond(definition.name, bond, host, &mut lacks).map(Kind::Bond),
        Kind::Bridge(bridge) => {
            Some(Kind::Bridge(part_of_bridge(definition.name, bridge, host, &mut lacks)))
        }
    };
    let is_portless = match (&definition.kind, &kind) {
        (Kind::Bridge(whole), Some(Kind::Bridge(part))) => {
            part.ports.is_empty() && !whole.ports.is_empty()
        }
        (Kind::Ethernet(_) | Kind::Vlan(_) | Kind::Bond(_) | Kind::Bridge(_), kind) => {
            kind.is_none()
        }
    };
    let mut interface = kind.map(|kind| Interface { kind, ..definition.clone() });
    if is_portless {
        let protocols = interface.iter_mut().flat_map(|part| &mut part.protocols);
        protocols.for_each(|protocol| protocol.dhcp = None);
    }
    DefinitionPart { interface, lacks, is_portless }
}

/// Removes from a part that was brought up before the ports that it already has, since an
/// administrator may have changed their attributes.
pub(super) fn without_ports_in_place(part: &mut Interface, host: &Host) {
    let is_in = |name: &IfName, holder: IfName| master_of(name, host) == Some(holder);
    let thin_out = |bond: &mut Bond, name| bond.members.retain(|it| !is_in(&it.name, name));
    match &mut part.kind {
        Kind::Ethernet(_) | Kind::Vlan(_) => {}
        Kind::Bond(bond) => thin_out(bond, part.name),
        Kind::Bridge(bridge) => {
            for port in &mut bridge.ports {
                if let PortKind::Bond(bond) = &mut port.kind {
                    thin_out(bond, port.name);
                }
            }
            bridge.ports.retain(|port| {
                let has_more =
                    matches!(&port.kind, PortKind::Bond(bond) if !bond.members.is_empty());
                has_more || !is_in(&port.name, part.name)
            });
        }
    }
}

/// Returns a bridge with its existing ports.
fn part_of_bridge(name: IfName, bridge: &Bridge, host: &Host, lacks: &mut Vec<Lack>) -> Bridge {
    let mut ports = Vec::new();
    for port in &bridge.ports {
        let kind = match &port.kind {
            PortKind::Ethernet(_) => is_there(&port.name, host, lacks).then(|| port.kind.clone()),
            PortKind::Bond(bond) => part_of_bond(port.name, bond, host, lacks).map(PortKind::Bond),
            // The VLAN's parent is checked below, as it may be a port too.
            PortKind::Vlan(_) => Some(port.kind.clone()),
        };
        let is_free = is_free(port.name, name, host, lacks);
        ports.extend(kind.filter(|_| is_free).map(|kind| Port { name: port.name, kind }));
    }
    // A VLAN without its parent is omitted, and then the VLANs on that VLAN.
    loop {
        let names: BTreeSet<_> = ports.iter().map(|port| port.name).collect();
        let count = ports.len();
        ports.retain(|port| {
            let PortKind::Vlan(vlan) = &port.kind else { return true };
            names.contains(&vlan.parent) || is_there(&vlan.parent, host, lacks)
        });
        if ports.len() == count {
            break;
        }
    }
    Bridge { ports, ..bridge.clone() }
}

/// Returns a bond with its existing members; `None` without a member.
fn part_of_bond(name: IfName, bond: &Bond, host: &Host, lacks: &mut Vec<Lack>) -> Option<Bond> {
    let mut members = bond.members.clone();
    members.retain(|member| {
        is_there(&member.name, host, lacks) && is_free(member.name, name, host, lacks)
    });
    (!members.is_empty()).then(|| Bond { members, ..bond.clone() })
}

fn is_there(name: &IfName, host: &Host, lacks: &mut Vec<Lack>) -> bool {
    let is_there = host.link_named(name).is_some();
    if !is_there && !lacks.contains(&Lack::Link(*name)) {
        lacks.push(Lack::Link(*name));
    }
    is_there
}

/// Returns whether a port can become one of `holder`, or is one.
fn is_free(name: IfName, holder: IfName, host: &Host, lacks: &mut Vec<Lack>) -> bool {
    let other = master_of(&name, host).filter(|master| *master != holder);
    lacks.extend(other.map(|master| Lack::Port { name, master }));
    other.is_none()
}

/// Returns the bridge or bond whose port a link is.
fn master_of(name: &IfName, host: &Host) -> Option<IfName> {
    let master = host.link(host.link_named(name)?.master?)?;
    matches!(master.kind, LinkKind::Bridge(_) | LinkKind::Bond(_)).then_some(master.name)
}
