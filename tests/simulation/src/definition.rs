// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `definition`: the bytes of a file named eth0.xml.
//!
//! The bytes are kept unchanged, and are either the definition of eth0 or broken, with a reason of
//! one line. In both cases the edits that define eth0, make it a bridge's port or undefine it begin
//! with these bytes, end with a readable definition, and can be undone.

use virtinterfaced::backend::native;
use virtinterfaced::definitions::{Definitions, Entry, FileEdit};
use virtinterfaced::model::interface::{Bridge, Ethernet, Interface, Kind, Port, PortKind};
use virtinterfaced::model::name::IfName;

/// See the module.
pub fn run(input: &[u8]) {
    let (Some(eth0), Some(br0)) = (native::name_of(b"eth0.xml"), native::name_of(b"br0.xml"))
    else {
        return;
    };
    let entry = native::read(eth0, input.to_vec(), native::parse);
    assert_eq!(entry.bytes(), Some(input), "the bytes as they are");
    check_meaning(&entry, eth0);
    let definitions: Definitions = [(eth0, entry)].into_iter().collect();

    check(&definitions, &definitions.undefine(&eth0));
    let own = definitions.named(&eth0).cloned().unwrap_or_else(|| ethernet(eth0));
    check(&definitions, &definitions.define(&own));
    let edits = definitions.define(&bridge(br0, eth0));
    check(&definitions, &edits);
    let names: Vec<_> = edits.iter().map(|edit| edit.name).collect();
    assert_eq!(names, [br0, eth0], "the bridge, then its port");
}

fn check_meaning(entry: &Entry, name: IfName) {
    match entry {
        Entry::Defined { interface, .. } => assert_eq!(interface.name, name),
        Entry::Broken { reason, .. } => {
            let is_line = !reason.is_empty() && !reason.contains(char::is_control);
            assert!(is_line, "{reason:?} is not one line");
        }
        // Its bytes are unknown.
        Entry::Unreadable(_) => {}
    }
}

/// Performs the edits, then undoes them.
fn check(definitions: &Definitions, edits: &[FileEdit]) {
    let mut changed = definitions.clone();
    for edit in edits {
        assert_ne!(edit.before, edit.after, "an edit changes something");
        carry_out(&mut changed, edit);
        let is_there = changed.named(&edit.name).is_some();
        assert_eq!(is_there, edit.after.is_some(), "what is written can be read");
    }
    for edit in edits.iter().rev() {
        carry_out(&mut changed, &edit.inverse());
    }
    assert_eq!(&changed, definitions, "undone");
}

fn carry_out(definitions: &mut Definitions, edit: &FileEdit) {
    let before = definitions.entry(&edit.name).and_then(Entry::bytes);
    assert_eq!(before, edit.before.as_deref(), "an edit begins with the current content");
    let entry = |bytes| native::read(edit.name, bytes, native::parse);
    definitions.note(edit.name, edit.after.clone().map(entry));
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
