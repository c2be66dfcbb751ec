// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tables of definitions and of the edits that change them.

use super::*;
use crate::model::interface::{
    Bond, BondMember, Bridge, Ethernet, Kind, LinkStatus, Port, PortKind, Vlan,
};
use std::io;

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

fn vlan(of: &str, parent: &str) -> Interface {
    interface(of, Kind::Vlan(vlan_over(parent)))
}

fn bridge(of: &str, ports: &[(&str, PortKind)]) -> Interface {
    let port = |(of, kind): &(&str, PortKind)| Port { name: name(of), kind: kind.clone() };
    let ports = ports.iter().map(port).collect();
    interface(of, Kind::Bridge(Bridge { ports, ..Bridge::default() }))
}

fn nic(of: &str) -> (&str, PortKind) {
    (of, PortKind::Ethernet(Ethernet::default()))
}

fn text(interface: &Interface) -> Option<Vec<u8>> {
    Some(format(interface).into_bytes())
}

fn broken(bytes: &[u8]) -> Entry {
    Entry::Broken { bytes: bytes.to_vec(), reason: "no XML".to_owned() }
}

fn unreadable() -> Entry {
    let err = io::Error::from_raw_os_error(21);
    Entry::Unreadable(HostError::new("read", "/x.xml", &err))
}

/// Every kind of entry: a set of definitions of which each name can be a part of something.
fn usual() -> Definitions {
    let mut definitions: Definitions = ["eth0", "eth1", "eth2"].map(ethernet).into_iter().collect();
    for interface in [bond("bond0", &["eth3"]), vlan("eth0.7", "eth0")] {
        let bytes = text(&interface).unwrap();
        definitions.note(interface.name, Some(Entry::Defined { interface, bytes }));
    }
    definitions.note(name("eth4"), Some(broken(b"rubbish")));
    definitions.note(name("eth5"), Some(unreadable()));
    definitions
}

/// The edits, as name and what is written or removed.
fn summary(edits: &[FileEdit]) -> Vec<String> {
    let word = |edit: &FileEdit| match (&edit.before, &edit.after) {
        (None, None) => "nothing",
        (None, Some(_)) => "add",
        (Some(_), None) => "remove",
        (Some(_), Some(_)) => "replace",
    };
    edits.iter().map(|edit| format!("{} {}", word(edit), edit.name)).collect()
}

#[test]
fn define_writes_the_interface_and_drops_the_definitions_of_its_parts() {
    struct Case(&'static str, Interface, &'static [&'static str]);
    let bond_port = ("bond1", PortKind::Bond(bond_of(&["eth0", "eth1"])));
    let known_bond = ("bond0", PortKind::Bond(bond_of(&["eth3"])));
    let vlan_port = ("eth0.7", PortKind::Vlan(vlan_over("eth0")));
    let cases = [
        Case("a new one", ethernet("eth9"), &["add eth9"]),
        Case("as it is", ethernet("eth0"), &[]),
        Case("of another kind", vlan("eth0", "eth1"), &["replace eth0"]),
        Case("over rubbish", ethernet("eth4"), &["replace eth4"]),
        Case("a VLAN's parent keeps its own", vlan("v", "eth0"), &["add v"]),
        Case("a bridge without ports", bridge("br0", &[]), &["add br0"]),
        Case("a port", bridge("br0", &[nic("eth1")]), &["add br0", "remove eth1"]),
        Case("a port without one", bridge("br0", &[nic("eth9")]), &["add br0"]),
        Case("a port's rubbish", bridge("br0", &[nic("eth4")]), &["add br0", "remove eth4"]),
        Case("a port's folder", bridge("br0", &[nic("eth5")]), &["add br0"]),
        Case("a port twice", bridge("b", &[nic("eth0"), nic("eth0")]), &["add b", "remove eth0"]),
        Case("itself", bridge("eth0", &[nic("eth0")]), &["replace eth0"]),
        Case("members", bond("b", &["eth1", "eth0"]), &["add b", "remove eth0", "remove eth1"]),
        Case(
            "a port's members",
            bridge("br0", &[bond_port]),
            &["add br0", "remove eth0", "remove eth1"],
        ),
        Case("a bond as port", bridge("br0", &[known_bond]), &["add br0", "remove bond0"]),
        Case("a VLAN as port", bridge("br0", &[vlan_port]), &["add br0", "remove eth0.7"]),
    ];
    for Case(label, interface, want) in cases {
        let edits = usual().define(&interface);
        assert_eq!(summary(&edits), want, "{label}");
        for edit in edits.iter().filter(|edit| edit.name == interface.name) {
            assert_eq!(edit.after, text(&interface), "{label}");
        }
    }
}

#[test]
fn the_same_meaning_in_other_bytes_is_written_again() {
    let mut definitions = Definitions::default();
    let bytes = b"<interface name='eth0'   type='ethernet'/>".to_vec();
    let entry = Entry::Defined { interface: ethernet("eth0"), bytes: bytes.clone() };
    definitions.note(name("eth0"), Some(entry));
    let edit = FileEdit { name: name("eth0"), before: Some(bytes), after: text(&ethernet("eth0")) };
    assert_eq!(definitions.define(&ethernet("eth0")), [edit]);
}

#[test]
fn undefine_removes_whatever_bytes_are_there() {
    for (of, want) in [
        ("eth0", Some(text(&ethernet("eth0")))),
        ("eth4", Some(Some(b"rubbish".to_vec()))),
        ("eth5", None),
        ("eth3", None),
        ("nowhere", None),
    ] {
        let edit = |before| FileEdit { name: name(of), before, after: None };
        let want: Vec<_> = want.map(edit).into_iter().collect();
        assert_eq!(usual().undefine(&name(of)), want, "{of}");
    }
}

#[test]
fn an_inverse_undoes_and_its_inverse_does_again() {
    for edit in usual().define(&bridge("br0", &[nic("eth0"), nic("eth4")])) {
        let inverse = edit.inverse();
        assert_eq!((&inverse.before, &inverse.after), (&edit.after, &edit.before));
        assert_eq!(inverse.inverse(), edit);
    }
}

#[test]
fn a_holder_is_the_definition_inside_of_which_another_stands() {
    let mut definitions = usual();
    let bond_port = ("bond1", PortKind::Bond(bond_of(&["eth1"])));
    let vlan_port = ("v", PortKind::Vlan(vlan_over("eth0")));
    let holder = bridge("br0", &[nic("eth2"), bond_port, vlan_port, nic("br0")]);
    let bytes = text(&holder).unwrap();
    definitions.note(name("br0"), Some(Entry::Defined { interface: holder, bytes }));
    for (of, want) in [
        ("eth2", Some("br0")),
        ("bond1", Some("br0")),
        ("eth1", Some("br0")),
        ("v", Some("br0")),
        ("eth3", Some("bond0")),
        // The parent of a VLAN, a bridge that names itself, and what nobody knows.
        ("eth0", None),
        ("br0", None),
        ("nowhere", None),
    ] {
        let found = definitions.holder_of(&name(of)).map(|holder| holder.name);
        assert_eq!(found, want.map(name), "{of}");
    }
}

#[test]
fn only_definitions_are_listed_but_all_that_lies_there_is_known() {
    let definitions = usual();
    let names = |names: &[&str]| names.iter().map(|of| name(of)).collect::<Vec<_>>();
    let listed: Vec<_> = definitions.iter().map(|interface| interface.name).collect();
    assert_eq!(listed, names(&["bond0", "eth0", "eth0.7", "eth1", "eth2"]));
    let known: Vec<_> = definitions.entries().map(|(name, _)| *name).collect();
    assert_eq!(known, names(&["bond0", "eth0", "eth0.7", "eth1", "eth2", "eth4", "eth5"]));
    assert_eq!(definitions.named(&name("eth4")), None);
    assert_eq!(definitions.entry(&name("eth4")), Some(&broken(b"rubbish")));
    assert_eq!(definitions.entry(&name("eth5")).unwrap().bytes(), None);
}
