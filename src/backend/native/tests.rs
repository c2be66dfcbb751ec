// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files, what they define, and the edits that change them.

use super::*;
use crate::model::interface::{
    Bond, BondMember, Bridge, Ethernet, Kind, LinkStatus, Port, PortKind, Vlan,
};
use std::io;

use crate::definitions::files::FileState;
use crate::error::HostError;

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

fn native() -> Native {
    Native::new("/etc/libvirt/interface".into())
}

fn path(name: &str) -> FilePath {
    FilePath::new(format!("{name}.xml")).unwrap()
}

fn text(interface: &Interface) -> Option<Vec<u8>> {
    Some(format(interface).into_bytes())
}

fn file(interface: &Interface) -> (FilePath, FileState) {
    let state = FileState::Content(format(interface).into_bytes());
    (path(interface.name.as_str()), state)
}

fn unreadable() -> FileState {
    let err = io::Error::from_raw_os_error(21);
    FileState::Unreadable(HostError::new("read", "/x.xml", &err))
}

/// Every kind of file: a set of which each name can be a part of something.
fn usual() -> FileSet {
    let mut interfaces = ["eth0", "eth1", "eth2"].map(ethernet).to_vec();
    interfaces.extend([bond("bond0", &["eth3"]), vlan("eth0.7", "eth0")]);
    let mut files: FileSet = interfaces.iter().map(file).collect();
    files.note(path("eth4"), Some(FileState::Content(b"rubbish".to_vec())));
    files.note(path("eth5"), Some(unreadable()));
    files
}

/// The edits, as path and what is done to the file.
fn summary(edits: &[FileEdit]) -> Vec<String> {
    let word = |edit: &FileEdit| match (&edit.before, &edit.after) {
        (None, None) => "nothing",
        (None, Some(_)) => "add",
        (Some(_), None) => "remove",
        (Some(_), Some(_)) => "replace",
    };
    let name = |edit: &FileEdit| edit.path.to_string().replace(".xml", "");
    edits.iter().map(|edit| format!("{} {}", word(edit), name(edit))).collect()
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
        let edits = native().define(&interface, &usual()).unwrap();
        assert_eq!(summary(&edits), want, "{label}");
        let own = path(interface.name.as_str());
        for edit in edits.iter().filter(|edit| edit.path == own) {
            assert_eq!(edit.after, text(&interface), "{label}");
        }
    }
}

#[test]
fn the_same_meaning_in_other_bytes_is_written_again() {
    let bytes = b"<interface name='eth0'   type='ethernet'/>".to_vec();
    let files = FileSet::from_iter([(path("eth0"), FileState::Content(bytes.clone()))]);
    assert_eq!(native().parse(&files).named(&name("eth0")), Some(&ethernet("eth0")));
    let edit = FileEdit { path: path("eth0"), before: Some(bytes), after: text(&ethernet("eth0")) };
    assert_eq!(native().define(&ethernet("eth0"), &files), Ok(vec![edit]));
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
        let edit = |before| FileEdit { path: path(of), before, after: None };
        let want: Vec<_> = want.map(edit).into_iter().collect();
        assert_eq!(native().undefine(&name(of), &usual()), Ok(want), "{of}");
    }
}

#[test]
fn a_name_whose_file_would_be_hidden_is_refused() {
    let refused = native().define(&ethernet(".eth0"), &usual()).unwrap_err();
    assert_eq!(refused.to_string(), "its name begins with a dot");
    assert_eq!(native().undefine(&name(".eth0"), &usual()), Ok(Vec::new()));
}

#[test]
fn files_are_definitions_or_ignored_for_a_reason() {
    let definitions = native().parse(&usual());
    let names = |names: &[&str]| names.iter().map(|of| name(of)).collect::<Vec<_>>();
    let listed: Vec<_> = definitions.iter().map(|interface| interface.name).collect();
    assert_eq!(listed, names(&["bond0", "eth0", "eth0.7", "eth1", "eth2"]));
    for of in listed {
        assert_eq!(definitions.files_of(&of), [path(of.as_str())]);
        assert_eq!(definitions.notes_on(&path(of.as_str())), []);
    }
    assert_eq!(definitions.files_of(&name("eth4")), []);
    assert!(matches!(definitions.notes_on(&path("eth4")), [Note::Ignored(_)]));
    assert_eq!(definitions.notes_on(&path("eth5")), []);
}

#[test]
fn an_update_of_some_files_is_as_good_as_reading_all() {
    let odd = b"<interface type='ethernet' name='eth1'><odd/></interface>".to_vec();
    let content = |bytes: &[u8]| Some(FileState::Content(bytes.to_vec()));
    struct Case(&'static str, &'static str, Option<FileState>);
    let cases = [
        Case("gone", "eth0", None),
        Case("never there", "eth9", None),
        Case("broken", "bond0", content(b"<")),
        Case("mended", "eth4", content(&text(&ethernet("eth4")).unwrap())),
        Case("another's", "eth0.7", content(b"<interface type='ethernet' name='eth0'/>")),
        Case("a remark", "eth1", content(&odd)),
        Case("no remark any more", "eth1", content(&text(&ethernet("eth1")).unwrap())),
        Case("not readable", "eth2", Some(unreadable())),
        Case("readable", "eth5", content(b"<interface type='ethernet' name='eth5'/>")),
    ];
    let (native, mut files) = (native(), usual());
    let mut definitions = native.parse(&files);
    for Case(label, of, state) in cases {
        files.note(path(of), state);
        native.update(&mut definitions, &files, &[path(of)]);
        assert_eq!(definitions, native.parse(&files), "{label}");
    }
    let remark = "line 1: <odd> in <interface> is ignored";
    files.note(path("eth1"), content(&odd));
    native.update(&mut definitions, &files, &[path("eth1")]);
    assert_eq!(definitions.notes_on(&path("eth1")), [Note::Remark(remark.to_owned())]);
}

#[test]
fn a_file_is_named_after_its_interface_or_is_none_of_these() {
    struct Case(&'static [u8], Option<&'static str>);
    let cases = [
        Case(b"eth0.xml", Some("eth0")),
        Case(b"eth0.100.xml", Some("eth0.100")),
        Case(b"a.xml.xml", Some("a.xml")),
        Case(b"veth0@if2.xml", Some("veth0@if2")),
        Case("brücke.xml".as_bytes(), Some("brücke")),
        Case(b"123456789012345.xml", Some("123456789012345")),
        Case(b"1234567890123456.xml", None),
        Case(b"eth0.XML", None),
        Case(b"eth0", None),
        Case(b"eth0.xml~", None),
        Case(b"eth0.xml.rpmsave", None),
        Case(b".eth0.xml", None),
        Case(b".#eth0.xml", None),
        Case(b".xml", None),
        Case(b"..xml", None),
        Case(b"...xml", None),
        Case(b"two words.xml", None),
        Case(b"\xff.xml", None),
        Case(b"", None),
        Case(b"below/eth0.xml", None),
    ];
    for Case(file, want) in cases {
        let found = FilePath::new(file).and_then(|path| name_of(&path));
        assert_eq!(found, want.map(name), "{}", file.escape_ascii());
        if let Some(found) = found {
            assert_eq!(path_of(&found).unwrap().as_bytes(), file);
        }
    }
}

#[test]
fn a_name_with_a_dot_in_front_has_no_file() {
    assert_eq!(path_of(&name(".hidden")), None);
    assert_eq!(path_of(&name("...")), None);
}

#[test]
fn a_file_is_the_definition_of_its_name_or_not_for_a_reason() {
    let len_max = usize::try_from(DEFINITION_LEN_MAX).unwrap();
    let own = "<interface type='ethernet' name='eth0'/>";
    let full = format!("{own}{}", " ".repeat(len_max - own.len()));
    let over = format!("{full} ");
    struct Case<'a>(&'static str, &'a [u8], Option<&'static str>);
    let cases = [
        Case("its own", own.as_bytes(), None),
        Case("as long as allowed", full.as_bytes(), None),
        Case("one byte longer", over.as_bytes(), Some("it has more than 262144 bytes")),
        Case("not text", b"eth0\xff", Some("it is not UTF-8")),
        Case(
            "another's",
            b"<interface type='ethernet' name='br0'/>",
            Some("it defines br0, whose file is br0.xml"),
        ),
    ];
    for Case(label, bytes, want) in cases {
        let files = FileSet::from_iter([(path("eth0"), FileState::Content(bytes.to_vec()))]);
        let definitions = native().parse(&files);
        let want: Vec<_> =
            want.map(|reason| Note::Ignored(reason.to_owned())).into_iter().collect();
        assert_eq!(definitions.notes_on(&path("eth0")), want, "{label}");
        let defined = want.is_empty().then(|| ethernet("eth0"));
        assert_eq!(definitions.named(&name("eth0")), defined.as_ref(), "{label}");
    }
    assert_eq!(one_line("line 1:\tbad\nbad\n---^"), "line 1: bad");
}
