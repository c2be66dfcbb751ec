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
#[path = "support/ifupdown.rs"]
mod ifupdown;

use std::fmt::Write;

use ifupdown::{EXPECTED, Host, after, bridge_over, hosts, with_mtu};
use virtinterfaced::backend::ifupdown::Ifupdown;
use virtinterfaced::backend::{Backend, DefinitionRefusal};
use virtinterfaced::definitions::Note;
use virtinterfaced::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use virtinterfaced::ifupdown::Dialect;
use virtinterfaced::ifupdown::tree::Tree;
use virtinterfaced::model::interface::{Bridge, Interface, Kind, StartMode};
use virtinterfaced::model::name::IfName;
use virtinterfaced::xml::format::format;

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

/// An element, as the manual's table names it, and an interface that has it.
const ELEMENTS: [(&str, &str, &str); 24] = [
    ("start mode='onboot'", "ethernet", "<start mode='onboot'/>"),
    ("start mode='hotplug'", "ethernet", "<start mode='hotplug'/>"),
    ("start mode='none'", "ethernet", "<start mode='none'/>"),
    ("mtu", "ethernet", "<mtu size='1400'/>"),
    (
        "mtu, with ipv4 dhcp",
        "ethernet",
        "<mtu size='1400'/><protocol family='ipv4'><dhcp/></protocol>",
    ),
    ("mac", "ethernet", "<mac address='02:11:22:33:44:55'/>"),
    (
        "ipv4 ip, one or more",
        "ethernet",
        "<protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/>\
         <ip address='192.0.2.2' prefix='24'/></protocol>",
    ),
    (
        "ipv4 route",
        "ethernet",
        "<protocol family='ipv4'><ip address='192.0.2.2' prefix='24'/>\
         <route gateway='192.0.2.1'/></protocol>",
    ),
    (
        "ipv4 route without ip",
        "ethernet",
        "<protocol family='ipv4'><dhcp/><route gateway='192.0.2.1'/></protocol>",
    ),
    ("ipv4 dhcp", "ethernet", "<protocol family='ipv4'><dhcp/></protocol>"),
    (
        "ipv4 dhcp peerdns='no'",
        "ethernet",
        "<protocol family='ipv4'><dhcp peerdns='no'/></protocol>",
    ),
    (
        "ipv4 dhcp and ip",
        "ethernet",
        "<protocol family='ipv4'><dhcp/><ip address='192.0.2.2' prefix='24'/></protocol>",
    ),
    (
        "ipv6 ip, route",
        "ethernet",
        "<protocol family='ipv6'><ip address='2001:db8::2' prefix='64'/>\
         <route gateway='2001:db8::1'/></protocol>",
    ),
    ("ipv6 autoconf", "ethernet", "<protocol family='ipv6'><autoconf/></protocol>"),
    (
        "ipv6 autoconf and ip",
        "ethernet",
        "<protocol family='ipv6'><autoconf/><ip address='2001:db8::2' prefix='64'/></protocol>",
    ),
    ("ipv6 dhcp", "ethernet", "<protocol family='ipv6'><dhcp/></protocol>"),
    (
        "bridge, stp, delay",
        "bridge",
        "<bridge stp='on' delay='4.5'><interface type='ethernet' name='eth1'/></bridge>",
    ),
    ("bridge without interface", "bridge", "<bridge stp='off'/>"),
    (
        "bridge over vlan",
        "bridge",
        "<bridge><interface type='vlan' name='eth1.5'><vlan tag='5'><interface name='eth1'/></vlan>\
         </interface></bridge>",
    ),
    (
        "bridge over bond",
        "bridge",
        "<bridge><interface type='bond' name='bond0'><bond mode='802.3ad'>\
         <miimon freq='100'/><interface type='ethernet' name='eth1'/></bond></interface></bridge>",
    ),
    (
        "bond, miimon",
        "bond",
        "<bond mode='active-backup'><miimon freq='100' downdelay='200' updelay='200' \
         carrier='netif'/><interface type='ethernet' name='eth1'/>\
         <interface type='ethernet' name='eth2'/></bond>",
    ),
    (
        "bond, arpmon",
        "bond",
        "<bond mode='active-backup'><arpmon interval='500' target='192.0.2.9' validate='all'/>\
         <interface type='ethernet' name='eth1'/></bond>",
    ),
    (
        "vlan named eth0.5 or vlan5",
        "vlan' name='vlan5",
        "<vlan tag='5'><interface name='eth0'/></vlan>",
    ),
    ("vlan of any other name", "vlan' name='lan", "<vlan tag='5'><interface name='eth0'/></vlan>"),
];

fn with_element(kind: &str, element: &str) -> Interface {
    let name = if kind.contains("name=") { "" } else { "' name='dev0" };
    let text = format!("<interface type='{kind}{name}'>{element}</interface>");
    simulation::xml::parse(&text).unwrap()
}

/// The text that each element becomes in an empty file, or the refusal.
fn written(dialect: Dialect) -> Vec<(&'static str, Result<String, String>)> {
    let main = FilePath::new("interfaces").unwrap();
    let files = FileSet::from_iter([(main.clone(), FileState::Content(Vec::new()))]);
    let backend = Ifupdown::new("/etc/network".into(), dialect);
    let write = |(label, kind, element)| {
        let interface = with_element(kind, element);
        let edits = backend.define(&interface, &files).map_err(|refusal| refusal.to_string());
        let text = edits.map(|edits| {
            let files = after(&files, &edits);
            let text = files.content(&main).unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        });
        (label, text)
    };
    ELEMENTS.into_iter().map(write).collect()
}

#[test]
fn each_element_is_written_or_refused_as_expected() {
    for (dialect, file) in Dialect::ALL.into_iter().zip(["classic", "ng", "busybox"]) {
        let mut text = String::new();
        for (label, outcome) in written(dialect) {
            match outcome {
                Ok(lines) => writeln!(text, "# {label}\n{lines}").unwrap(),
                Err(refusal) => writeln!(text, "# {label}\n# refused: {refusal}\n").unwrap(),
            }
        }
        golden::compare(&golden::folder("ifupdown_written").join(format!("{file}.txt")), &text);
    }
}

#[test]
fn the_manual_says_what_each_dialect_can_express() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/man/virtinterfaced.8");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, table) = manual.split_once(".It Em element Ta").unwrap();
    let (table, _) = table.split_once(".El").unwrap();
    let rows: Vec<_> = table.lines().skip(1).map(str::to_owned).collect();
    let all = Dialect::ALL.map(written);
    let row = |(at, (label, _, _)): (usize, &(&str, &str, &str))| {
        let words = [0, 1, 2].map(|dialect: usize| match all[dialect][at].1 {
            Ok(_) => "yes",
            Err(_) => "no",
        });
        format!(".It {label} Ta {}", words.join(" Ta "))
    };
    let want: Vec<_> = ELEMENTS.iter().enumerate().map(row).collect();
    assert_eq!(rows, want);
}
