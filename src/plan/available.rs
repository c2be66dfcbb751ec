// SPDX-License-Identifier: LGPL-2.1-or-later
//! What of a definition can be brought up now, and what it lacks.
//!
//! A person's call brings up the whole of a definition or nothing. What the daemon brings up by
//! itself comes up as far as it can: `part_of` leaves out the ports, members and parents that are
//! not there, and names them. Each [`Lack`] knows when it is over, so that the rest can follow.

use std::collections::BTreeSet;
use std::fmt;

use crate::host::Host;
use crate::model::interface::{Bond, Bridge, Interface, Kind, Port, PortKind};
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::step::Condition;

/// Something that a definition needs and that is not there yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lack {
    /// A link that does not exist.
    Link(IfName),
    /// A port that another bridge or bond has.
    Port { name: IfName, master: IfName },
    /// A DHCP lease: a [`Condition::Leased`].
    Lease(Condition),
}

impl Lack {
    /// Whether what was missing is there now.
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
pub(super) struct Part {
    /// Nothing, if a link is missing without which there is no interface.
    pub(super) interface: Option<Interface>,
    /// The links that are left out.
    pub(super) lacks: Vec<Lack>,
    /// Whether nothing that it sends can leave the host: it has no port, and is to have some.
    pub(super) is_portless: bool,
}

/// The part of `definition` whose links are there. An interface without its ports gets no DHCP client
/// yet: its hardware address will be that of its first port.
pub(super) fn part_of(definition: &Interface, host: &Host) -> Part {
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
    Part { interface, lacks, is_portless }
}

/// What is left to do of a part that was brought up before: without the ports that it has already, as
/// an administrator may have tuned them since.
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

/// A bridge with those of its ports that are there.
fn part_of_bridge(name: IfName, bridge: &Bridge, host: &Host, lacks: &mut Vec<Lack>) -> Bridge {
    let mut ports = Vec::new();
    for port in &bridge.ports {
        let kind = match &port.kind {
            PortKind::Ethernet(_) => is_there(&port.name, host, lacks).then(|| port.kind.clone()),
            PortKind::Bond(bond) => part_of_bond(port.name, bond, host, lacks).map(PortKind::Bond),
            // Over what it stands is seen to below, as that may be a port too.
            PortKind::Vlan(_) => Some(port.kind.clone()),
        };
        let is_free = is_free(port.name, name, host, lacks);
        ports.extend(kind.filter(|_| is_free).map(|kind| Port { name: port.name, kind }));
    }
    // Without its parent a VLAN goes, and with it what stands over that.
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

/// A bond with those of its members that are there; none without a member.
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

/// Whether a port can become one of `holder`, or is one.
fn is_free(name: IfName, holder: IfName, host: &Host, lacks: &mut Vec<Lack>) -> bool {
    let other = master_of(&name, host).filter(|master| *master != holder);
    lacks.extend(other.map(|master| Lack::Port { name, master }));
    other.is_none()
}

/// The bridge or bond that has a link as its port.
fn master_of(name: &IfName, host: &Host) -> Option<IfName> {
    let master = host.link(host.link_named(name)?.master?)?;
    matches!(master.kind, LinkKind::Bridge(_) | LinkKind::Bond(_)).then_some(master.name)
}
