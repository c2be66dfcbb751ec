// SPDX-License-Identifier: LGPL-2.1-or-later
//! The hosts below `tests/golden/ifupdown`, and changes of their definitions.
//!
//! The name of a host's folder begins with its dialect.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

use virtinterfaced::backend::Backend;
use virtinterfaced::backend::ifupdown::Ifupdown;
use virtinterfaced::definitions::Definitions;
use virtinterfaced::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use virtinterfaced::ifupdown::Dialect;
use virtinterfaced::model::interface::{Bridge, Ethernet, Interface, Kind, Port, PortKind};
use virtinterfaced::model::name::IfName;

use crate::golden;

pub(crate) const EXPECTED: &str = "expected.txt";

/// A host of the corpus.
pub(crate) struct Host {
    pub(crate) folder: PathBuf,
    pub(crate) dialect: Dialect,
    pub(crate) files: FileSet,
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

    pub(crate) fn backend(&self) -> Ifupdown {
        Ifupdown::new(PathBuf::from("/etc/network"), self.dialect)
    }

    pub(crate) fn parse(&self) -> Definitions {
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

pub(crate) fn hosts() -> Vec<Host> {
    let folders = fs::read_dir(golden::folder("ifupdown")).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Host::read).collect()
}

pub(crate) fn after(files: &FileSet, edits: &[FileEdit]) -> FileSet {
    let mut files = files.clone();
    for edit in edits {
        assert_eq!(files.content(&edit.path), edit.before.as_deref());
        files.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
    }
    files
}

pub(crate) fn with_mtu(interface: &Interface) -> Interface {
    Interface { mtu: Some(1280 + interface.mtu.unwrap_or_default() % 8), ..interface.clone() }
}

/// As `virsh iface-bridge` defines it.
pub(crate) fn bridge_over(interface: &Interface) -> Option<Interface> {
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
