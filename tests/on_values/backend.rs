// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions that share a file, through the daemon's coordinator.

use std::rc::Rc;

use simulation::stanzas::Stanzas;
use simulation::value_daemon::ValueDaemon;

use virtinterfaced::definitions::Note;
use virtinterfaced::definitions::files::FilePath;
use virtinterfaced::error::{CallError, ErrorCode};
use virtinterfaced::model::interface::StartMode;
use virtinterfaced::model::name::IfName;
use virtinterfaced::proto::interface::ChangeCall;
use virtinterfaced::snapshot::files::{KeptFile, StoredFile, Target};

const ETH0: &str = "<interface type='ethernet' name='eth0'>  <!-- mine --> </interface>";
const ETH1: &str = "<interface type=\"ethernet\"\tname=\"eth1\"/>";

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn path(path: &str) -> FilePath {
    FilePath::new(path).unwrap()
}

fn stored(text: &str) -> StoredFile {
    StoredFile { bytes: text.as_bytes().to_vec(), mode: 0o640, uid: 5, gid: 6 }
}

/// A daemon with `eth0` and `eth1` in one file, which is a link, and `eth0` in a second one.
fn daemon() -> ValueDaemon {
    let mut kernel = "link eth0 nic up\nlink eth1 nic".parse().unwrap();
    let text = format!("a comment\n---\n{ETH0}\n---\n{ETH1}\n---\n<interface\n---\nno line end");
    let target = Some(Target { path: path("real/a"), file: stored(&text) });
    let link = KeptFile::Link { text: b"real/a".to_vec(), target };
    let files = [("interfaces", link), ("autostart", KeptFile::File(stored("eth0\nother\n")))];
    put(&mut kernel, files);
    ValueDaemon::with_backend(kernel, None, Rc::new(Stanzas))
}

fn put<const N: usize>(
    kernel: &mut simulation::value_kernel::ValueKernel,
    files: [(&str, KeptFile); N],
) {
    files.into_iter().for_each(|(at, file)| kernel.put_file(path(at), Some(file)));
}

fn define(daemon: &mut ValueDaemon, xml: &str) -> Result<(), CallError> {
    daemon.call(&ChangeCall::DefineXml { xml: xml.to_owned(), flags: 0 }.into())
}

fn undefine(daemon: &mut ValueDaemon, name: &str) -> Result<(), CallError> {
    daemon.call(&ChangeCall::Undefine { name: name.to_owned() }.into())
}

/// The text of a file, or of the one that a link leads to.
fn text(daemon: &ValueDaemon, at: &str) -> String {
    let content = daemon.kernel.files().get(&path(at)).and_then(KeptFile::content).unwrap();
    String::from_utf8(content.to_vec()).unwrap()
}

fn defined(daemon: &ValueDaemon) -> Vec<String> {
    let files = daemon.definition_files();
    let start = |start| if start == Some(StartMode::Onboot) { " at boot" } else { "" };
    files.definitions().iter().map(|it| format!("{}{}", it.name, start(it.start))).collect()
}

#[test]
fn definitions_name_the_files_that_they_are_from() {
    let files = daemon().definition_files();
    let definitions = files.definitions();
    assert_eq!(defined(&daemon()), ["eth0 at boot", "eth1"]);
    let both = [path("interfaces"), path("autostart")];
    assert_eq!(definitions.files_of(&name("eth0")), both);
    assert_eq!(definitions.files_of(&name("eth1")), [path("interfaces")]);
    assert!(matches!(definitions.notes_on(&path("interfaces")), [Note::Ignored(_)]));
}

#[test]
fn an_edit_leaves_the_other_definitions_of_its_file_byte_for_byte() {
    let mut daemon = daemon();
    let before = text(&daemon, "interfaces");
    undefine(&mut daemon, "eth1").unwrap();
    assert_eq!(text(&daemon, "interfaces"), before.replace(&format!("{ETH1}\n---\n"), ""));
    assert_eq!(text(&daemon, "autostart"), "eth0\nother\n");
    undefine(&mut daemon, "eth0").unwrap();
    assert_eq!(text(&daemon, "interfaces"), "a comment\n---\n<interface\n---\nno line end");
    assert_eq!(text(&daemon, "autostart"), "other\n");
    // It is written through the link, whose file keeps its mode and owner.
    let kept = daemon.kernel.files().get(&path("interfaces")).unwrap();
    let KeptFile::Link { target: Some(target), .. } = kept else { panic!("{kept:?}") };
    let written = stored("a comment\n---\n<interface\n---\nno line end");
    assert_eq!((&target.path, &target.file), (&path("real/a"), &written));
}

#[test]
fn a_definition_that_needs_two_files_is_whole_or_not_at_all() {
    const BR0: &str = "<interface type='bridge' name='br0'><start mode='onboot'/>
        <bridge><interface type='ethernet' name='eth0'/></bridge></interface>";
    let mut done = daemon();
    define(&mut done, BR0).unwrap();
    assert_eq!(defined(&done), ["br0 at boot", "eth1"]);
    assert_eq!(text(&done, "autostart"), "other\nbr0\n");
    // Of two edits the first or the second is refused: what was done is undone. A check precedes.
    for step in 1..3 {
        let mut refused = daemon();
        let before = refused.kernel.to_string();
        refused.refuse(step);
        let err = define(&mut refused, BR0).unwrap_err();
        assert!(
            err.message().starts_with("failed to define interface br0: file rewrite "),
            "{err}"
        );
        assert_eq!(refused.kernel.to_string(), before, "step {step}");
        define(&mut refused, BR0).unwrap();
        assert_eq!(refused.kernel.files(), done.kernel.files());
    }
}

#[test]
fn the_format_s_refusal_is_the_call_s_error_and_changes_nothing() {
    let mut daemon = daemon();
    let before = daemon.kernel.to_string();
    let xml = "<interface type='ethernet' name='eth1'><start mode='hotplug'/></interface>";
    let err = define(&mut daemon, xml).unwrap_err();
    assert_eq!(err.code(), ErrorCode::OperationInvalid);
    let want = "Requested operation is not valid: interface 'eth1' cannot be defined: this format has no start mode 'hotplug'";
    assert_eq!(err.message(), want);
    assert_eq!(daemon.kernel.to_string(), before);
}

#[test]
fn a_file_that_the_host_cannot_read_is_not_put_in_place() {
    let mut daemon = daemon();
    let included = KeptFile::File(stored("by hand\n! and not for this host\n"));
    put(&mut daemon.kernel, [("more", included)]);
    let before = daemon.kernel.to_string();
    define(&mut daemon, ETH1).unwrap();
    assert_ne!(daemon.kernel.to_string(), before, "it is not a definition file yet");
    let text = "a comment\n---\ninclude more\n---\n";
    put(&mut daemon.kernel, [("interfaces", KeptFile::File(stored(text)))]);
    let before = daemon.kernel.to_string();
    let err = define(&mut daemon, ETH1).unwrap_err();
    let want = "failed to define interface eth1: file check interfaces, by ifupdown: \
                interfaces:10: what is that; nothing has been changed";
    assert!(err.message().ends_with(want), "{}", err.message());
    assert_eq!(daemon.kernel.to_string(), before);
    let included = KeptFile::File(stored("by hand\n"));
    put(&mut daemon.kernel, [("more", included)]);
    define(&mut daemon, ETH1).unwrap();
    assert_eq!(defined(&daemon), ["eth1"]);
}
