// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `interfaces`: a byte that chooses the dialect, and the bytes of /etc/network/interfaces.
//!
//! Each byte has a place in the tree. Definitions can be read; the edits that change, use or remove
//! one begin with these bytes, end with exactly the new definition, and leave nothing to be done
//! when they are repeated.

use std::path::PathBuf;

use virtinterfaced::backend::Backend;
use virtinterfaced::backend::ifupdown::Ifupdown;
use virtinterfaced::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use virtinterfaced::definitions::{Definitions, Note};
use virtinterfaced::ifupdown::Dialect;
use virtinterfaced::ifupdown::tree::Tree;
use virtinterfaced::model::interface::{Bridge, Interface, Kind, Port, PortKind, StartMode};
use virtinterfaced::model::name::IfName;

/// Definitions of which each is edited. A file of a fuzzer may have hundreds.
const EDITED_COUNT: usize = 3;

/// See the module.
pub fn run(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let [classic, ng, busybox] = Dialect::ALL;
    let dialect = match first % 3 {
        0 => classic,
        1 => ng,
        _ => busybox,
    };
    assert_eq!(Tree::parse(bytes, dialect).format(), bytes, "each byte has its place");
    let Some(main) = FilePath::new("interfaces") else { return };
    let files = FileSet::from_iter([(main.clone(), FileState::Content(bytes.to_vec()))]);
    let backend = Ifupdown::new(PathBuf::from("/etc/network"), dialect);
    let definitions = backend.parse(&files);
    check_notes(&definitions, &main);
    for interface in definitions.iter().take(EDITED_COUNT) {
        let is_none = interface.start == Some(StartMode::None);
        let start = Some(if is_none { StartMode::Onboot } else { StartMode::None });
        let mtu = Some(interface.mtu.unwrap_or(1400) % 9000 + 68);
        let changed = Interface { mtu, ..interface.clone() };
        let started = Interface { start, ..interface.clone() };
        let empty = Interface { protocols: Vec::new(), ..interface.clone() };
        for new in [changed, started, empty].into_iter().chain(bridge_over(interface)) {
            define(&backend, &files, &new);
        }
        undefine(&backend, &files, &interface.name);
    }
}

fn check_notes(definitions: &Definitions, path: &FilePath) {
    for note in definitions.notes_on(path) {
        let (Note::Ignored(text) | Note::Remark(text)) = note;
        let is_line = !text.is_empty() && !text.contains(char::is_control);
        assert!(is_line, "{text:?} is not one line");
    }
}

fn bridge_over(interface: &Interface) -> Option<Interface> {
    let kind = match interface.kind.clone() {
        Kind::Ethernet(ethernet) => PortKind::Ethernet(ethernet),
        Kind::Bond(bond) => PortKind::Bond(bond),
        Kind::Vlan(vlan) => PortKind::Vlan(vlan),
        Kind::Bridge(_) => return None,
    };
    let ports = vec![Port { name: interface.name, kind }];
    let kind = Kind::Bridge(Bridge { ports, ..Bridge::default() });
    let name = IfName::new("vbr9").ok()?;
    Some(Interface { name, kind, ..interface.clone() })
}

fn define(backend: &Ifupdown, files: &FileSet, new: &Interface) {
    let edits = match backend.define(new, files) {
        Ok(edits) => edits,
        Err(refusal) => {
            let reason = refusal.to_string();
            assert!(!reason.contains(char::is_control), "{reason:?} is not one line");
            return;
        }
    };
    let after = carry_out(files, &edits);
    let definitions = backend.parse(&after);
    let named = definitions.named(&new.name);
    let is_same = named.is_some_and(|it| it.mtu == new.mtu && it.kind == new.kind);
    assert!(is_same, "{new:?} was written as {named:?}");
    let again = backend.define(new, &after);
    assert_eq!(again, Ok(Vec::new()), "a definition that is in place");
}

fn undefine(backend: &Ifupdown, files: &FileSet, name: &IfName) {
    let Ok(edits) = backend.undefine(name, files) else { return };
    let after = carry_out(files, &edits);
    assert_eq!(backend.parse(&after).named(name), None);
    assert_eq!(backend.undefine(name, &after), Ok(Vec::new()), "{name} is removed twice");
}

fn carry_out(files: &FileSet, edits: &[FileEdit]) -> FileSet {
    let mut after = files.clone();
    for edit in edits {
        assert_ne!(edit.before, edit.after, "an edit changes something");
        assert_eq!(files.content(&edit.path), edit.before.as_deref(), "the current content");
        after.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
    }
    after
}
