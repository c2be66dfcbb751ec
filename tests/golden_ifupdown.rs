// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host's own network files: how each is read, and the lines that each edit changes.
//!
//! Each folder below `tests/golden/ifupdown` is a host: its name begins with the dialect, and it
//! has the files of `/etc/network`. `expected.txt` has the definitions and notes, then the lines
//! that go and come for each definition when its MTU changes, when it becomes a bridge's port, and
//! when it is removed.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use virtinterfaced::backend::ifupdown::Ifupdown;
use virtinterfaced::backend::{Backend, DefinitionRefusal};
use virtinterfaced::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use virtinterfaced::definitions::{Definitions, Note};
use virtinterfaced::ifupdown::Dialect;
use virtinterfaced::ifupdown::tree::Tree;
use virtinterfaced::model::interface::{
    Bridge, Ethernet, Interface, Kind, Port, PortKind, StartMode,
};
use virtinterfaced::model::name::IfName;
use virtinterfaced::xml::format::format;

const EXPECTED: &str = "expected.txt";

/// A host of the corpus.
struct Host {
    folder: PathBuf,
    dialect: Dialect,
    files: FileSet,
}

impl Host {
    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let dialect = match name.split('-').next().unwrap() {
            "classic" => Dialect::Classic,
            "ng" => Dialect::Ng,
            "busybox" => Dialect::BusyBox,
            other => panic!("{name}: no dialect is {other}"),
        };
        let mut files = FileSet::default();
        add_files(&mut files, &folder, &folder);
        Self { folder, dialect, files }
    }

    fn backend(&self) -> Ifupdown {
        Ifupdown::new(PathBuf::from("/etc/network"), self.dialect)
    }

    fn parse(&self) -> Definitions {
        self.backend().parse(&self.files)
    }
}

fn add_files(files: &mut FileSet, root: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let below = path.strip_prefix(root).unwrap().to_str().unwrap();
        if path.is_dir() {
            add_files(files, root, &path);
        } else if below != EXPECTED {
            let content = FileState::Content(fs::read(&path).unwrap());
            files.note(FilePath::new(below).unwrap(), Some(content));
        }
    }
}

fn hosts() -> Vec<Host> {
    let folders = fs::read_dir(golden::folder("ifupdown")).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Host::read).collect()
}

fn after(files: &FileSet, edits: &[FileEdit]) -> FileSet {
    let mut files = files.clone();
    for edit in edits {
        assert_eq!(files.content(&edit.path), edit.before.as_deref());
        files.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
    }
    files
}

/// The lines that go and come, with the number of equal lines before them.
fn show(outcome: &Result<Vec<FileEdit>, DefinitionRefusal>) -> String {
    let edits = match outcome {
        Ok(edits) if edits.is_empty() => return "  unchanged\n".to_owned(),
        Ok(edits) => edits,
        Err(refusal) => return format!("  refused: {refusal}\n"),
    };
    let mut text = String::new();
    for edit in edits {
        writeln!(text, "  {}", edit.path).unwrap();
        let lines = |bytes: &Option<Vec<u8>>| -> Vec<String> {
            let bytes = bytes.as_deref().unwrap_or_default();
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            lines.map(|line| line.escape_ascii().to_string()).collect()
        };
        let (before, after) = (lines(&edit.before), lines(&edit.after));
        show_difference(&mut text, &before, &after);
    }
    text
}

/// Shows what is not in a longest common subsequence of lines.
fn show_difference(text: &mut String, before: &[String], after: &[String]) {
    let mut common = vec![vec![0; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            common[i][j] = match before[i] == after[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < before.len() && (j == after.len() || common[i + 1][j] >= common[i][j + 1]) {
            writeln!(text, "  {:3} -{}", i + 1, before[i]).unwrap();
            i += 1;
        } else {
            writeln!(text, "  {:3} +{}", j + 1, after[j]).unwrap();
            j += 1;
        }
    }
}

fn with_mtu(interface: &Interface) -> Interface {
    Interface { mtu: Some(1280 + interface.mtu.unwrap_or_default() % 8), ..interface.clone() }
}

/// As `virsh iface-bridge` defines it.
fn bridge_over(interface: &Interface) -> Option<Interface> {
    let kind = match interface.kind.clone() {
        Kind::Ethernet(ethernet) => PortKind::Ethernet(Ethernet { mac: None, ..ethernet }),
        Kind::Bond(bond) => PortKind::Bond(bond),
        Kind::Vlan(vlan) => PortKind::Vlan(vlan),
        Kind::Bridge(_) => return None,
    };
    let ports = vec![Port { name: interface.name, kind }];
    let bridge = Bridge { stp: Some(false), ports, ..Bridge::default() };
    let name = IfName::new("vbr0").unwrap();
    Some(Interface { name, mtu: None, kind: Kind::Bridge(bridge), ..interface.clone() })
}

fn account(host: &Host) -> String {
    let definitions = host.parse();
    let mut text = String::new();
    for interface in definitions.iter() {
        text += &format(interface);
    }
    for (path, _) in host.files.iter() {
        for note in definitions.notes_on(path) {
            let (Note::Ignored(note) | Note::Remark(note)) = note;
            writeln!(text, "note {path}: {note}").unwrap();
        }
    }
    let backend = host.backend();
    for interface in definitions.iter() {
        let name = interface.name;
        let outcome = backend.define(&with_mtu(interface), &host.files);
        writeln!(text, "mtu of {name}\n{}", show(&outcome).trim_end()).unwrap();
        if let Some(bridge) = bridge_over(interface) {
            let outcome = backend.define(&bridge, &host.files);
            writeln!(text, "bridge over {name}\n{}", show(&outcome).trim_end()).unwrap();
        }
        let outcome = backend.undefine(&name, &host.files);
        writeln!(text, "undefine {name}\n{}", show(&outcome).trim_end()).unwrap();
    }
    text
}

#[test]
fn hosts_are_read_and_edited_as_expected() {
    for host in hosts() {
        golden::compare(&host.folder.join(EXPECTED), &account(&host));
    }
}

#[test]
fn there_are_forty_hosts_and_each_byte_has_its_place() {
    let hosts = hosts();
    assert!(hosts.len() >= 40, "{}", hosts.len());
    for host in hosts {
        for (path, state) in host.files.iter() {
            let bytes = state.content().unwrap();
            for dialect in Dialect::ALL {
                let tree = Tree::parse(bytes, dialect);
                assert_eq!(tree.format(), bytes, "{}/{path}", host.folder.display());
            }
        }
    }
}

#[test]
fn a_definition_as_it_is_changes_nothing() {
    for host in hosts() {
        for interface in host.parse().iter() {
            let outcome = host.backend().define(interface, &host.files);
            let shown = host.folder.display();
            match outcome {
                Ok(edits) => assert_eq!(edits, [], "{shown}: {}", interface.name),
                Err(refusal) => assert!(refusal.0.starts_with("interfaces"), "{shown}: {refusal}"),
            }
        }
    }
}

#[test]
fn a_start_mode_changes_words_only() {
    for host in hosts() {
        for interface in host.parse().iter() {
            let is_none = interface.start == Some(StartMode::None);
            let start = Some(if is_none { StartMode::Onboot } else { StartMode::None });
            let changed = Interface { start, ..interface.clone() };
            let Ok(edits) = host.backend().define(&changed, &host.files) else { continue };
            let files = after(&host.files, &edits);
            let named = host.backend().parse(&files).named(&interface.name).cloned();
            assert_eq!(named, Some(changed), "{}", host.folder.display());
        }
    }
}

#[test]
fn a_new_bridge_is_read_back_and_removed_again() {
    let name = IfName::new("vbr9").unwrap();
    let bridge = Interface {
        name,
        start: Some(StartMode::Onboot),
        mtu: None,
        protocols: Vec::new(),
        kind: Kind::Bridge(Bridge { stp: Some(true), ..Bridge::default() }),
    };
    for host in hosts() {
        let Ok(edits) = host.backend().define(&bridge, &host.files) else { continue };
        let files = after(&host.files, &edits);
        assert_eq!(host.backend().parse(&files).named(&name), Some(&bridge));
        let edits = host.backend().undefine(&name, &files).unwrap();
        let restored = after(&files, &edits);
        let main = FilePath::new("interfaces").unwrap();
        let text = |files: &FileSet| {
            String::from_utf8_lossy(files.content(&main).unwrap()).trim_end().to_owned()
        };
        assert_eq!(text(&restored), text(&host.files), "{}", host.folder.display());
    }
}
