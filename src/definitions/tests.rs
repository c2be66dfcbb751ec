// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tables of definitions.

use super::*;
use crate::model::interface::{
    Bond, BondMember, Bridge, Ethernet, Kind, LinkStatus, Port, PortKind, Vlan,
};

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn interface(of: &str, kind: Kind) -> Interface {
    Interface { name: name(of), start: None, mtu: None, protocols: vec![], kind }
}

fn ethernet(of: &str) -> Interface {
    interface(of, Kind::Ethernet(Ethernet::default()))
}

fn bond_of(members: &[&str]) -> Bond {
    let member = |of: &&str| BondMember { name: name(of), ethernet: Ethernet::default() };
    let members = members.iter().map(member).collect();
    Bond { link: LinkStatus::default(), mode: None, monitor: None, members }
}

fn bond(of: &str, members: &[&str]) -> Interface {
    interface(of, Kind::Bond(bond_of(members)))
}

fn vlan_over(parent: &str) -> Vlan {
    Vlan { link: LinkStatus::default(), tag: 7, parent: name(parent) }
}

fn bridge(of: &str, ports: &[(&str, PortKind)]) -> Interface {
    let port = |(of, kind): &(&str, PortKind)| Port { name: name(of), kind: kind.clone() };
    let ports = ports.iter().map(port).collect();
    interface(of, Kind::Bridge(Bridge { ports, ..Bridge::default() }))
}

fn nic(of: &str) -> (&str, PortKind) {
    (of, PortKind::Ethernet(Ethernet::default()))
}

#[test]
fn a_holder_is_the_definition_inside_of_which_another_stands() {
    let mut definitions: Definitions = ["eth0", "eth1", "eth2"].map(ethernet).into_iter().collect();
    definitions.insert(bond("bond0", &["eth3"]), Vec::new());
    let bond_port = ("bond1", PortKind::Bond(bond_of(&["eth1"])));
    let vlan_port = ("v", PortKind::Vlan(vlan_over("eth0")));
    let holder = bridge("br0", &[nic("eth2"), bond_port, vlan_port, nic("br0")]);
    definitions.insert(holder, Vec::new());
    for (of, want) in [
        ("eth2", Some("br0")),
        ("bond1", Some("br0")),
        ("eth1", Some("br0")),
        ("v", Some("br0")),
        ("eth3", Some("bond0")),
        // The parent of a VLAN, a bridge that names itself, and an unknown name.
        ("eth0", None),
        ("br0", None),
        ("nowhere", None),
    ] {
        let found = definitions.holder_of(&name(of)).map(|holder| holder.name);
        assert_eq!(found, want.map(name), "{of}");
    }
}
