// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `definition`: the bytes of a file named eth0.xml.
//!
//! They are either the definition of eth0 or ignored, with a reason of one line. In both cases the
//! edits that define eth0, make it a bridge's port or undefine it begin with these bytes, end with a
//! readable definition, and can be undone.

use std::path::PathBuf;

use virtinterfaced::backend::Backend;
use virtinterfaced::backend::native::{self, Native};
use virtinterfaced::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use virtinterfaced::definitions::{Definitions, Note};
use virtinterfaced::model::interface::{Bridge, Ethernet, Interface, Kind, Port, PortKind};
use virtinterfaced::model::name::IfName;

/// See the module.
pub fn run(input: &[u8]) {
    let paths = [FilePath::new("eth0.xml"), FilePath::new("br0.xml")];
    let [Some(eth0_path), Some(br0_path)] = paths else { return };
    let [Some(eth0), Some(br0)] = [&eth0_path, &br0_path].map(native::name_of) else { return };
    let native = Native::new(PathBuf::new());
    let content = FileState::Content(input.to_vec());
    let files = FileSet::from_iter([(eth0_path.clone(), content)]);
    let definitions = native.parse(&files);
    check_meaning(&definitions, &eth0, &eth0_path);

    let undefined = native.undefine(&eth0, &files);
    check(&native, &files, &undefined.unwrap_or_default());
    let own = definitions.named(&eth0).cloned().unwrap_or_else(|| ethernet(eth0));
    check(&native, &files, &native.define(&own, &files).unwrap_or_default());
    let edits = native.define(&bridge(br0, eth0), &files).unwrap_or_default();
    check(&native, &files, &edits);
    let edited: Vec<_> = edits.iter().map(|edit| &edit.path).collect();
    assert_eq!(edited, [&br0_path, &eth0_path], "the bridge, then its port");
}

fn check_meaning(definitions: &Definitions, name: &IfName, path: &FilePath) {
    let is_defined = definitions.named(name).is_some();
    assert_eq!(definitions.iter().count(), usize::from(is_defined), "the file's own alone");
    for note in definitions.notes_on(path) {
        let (Note::Ignored(text) | Note::Remark(text)) = note;
        assert_eq!(matches!(note, Note::Ignored(_)), !is_defined, "{text}");
        let is_line = !text.is_empty() && !text.contains(char::is_control);
        assert!(is_line, "{text:?} is not one line");
    }
    assert!(is_defined || !definitions.notes_on(path).is_empty(), "the reason is reported");
}

/// Performs the edits, then undoes them.
fn check(native: &Native, files: &FileSet, edits: &[FileEdit]) {
    let mut changed = files.clone();
    let mut definitions = native.parse(files);
    for edit in edits {
        assert_ne!(edit.before, edit.after, "an edit changes something");
        carry_out(&mut changed, edit);
        native.update(&mut definitions, &changed, std::slice::from_ref(&edit.path));
        let name = native::name_of(&edit.path);
        let is_there = name.is_some_and(|name| definitions.named(&name).is_some());
        assert_eq!(is_there, edit.after.is_some(), "what is written can be read");
    }
    for edit in edits.iter().rev() {
        carry_out(&mut changed, &edit.inverse());
    }
    assert_eq!(&changed, files, "undone");
}

fn carry_out(files: &mut FileSet, edit: &FileEdit) {
    let before = files.content(&edit.path);
    assert_eq!(before, edit.before.as_deref(), "an edit begins with the current content");
    files.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
}

fn ethernet(name: IfName) -> Interface {
    interface(name, Kind::Ethernet(Ethernet::default()))
}

fn bridge(name: IfName, port: IfName) -> Interface {
    let port = Port { name: port, kind: PortKind::Ethernet(Ethernet::default()) };
    interface(name, Kind::Bridge(Bridge { ports: vec![port], ..Bridge::default() }))
}

fn interface(name: IfName, kind: Kind) -> Interface {
    Interface { name, start: None, mtu: None, protocols: Vec::new(), kind }
}
