// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definition files that are symbolic links.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::scene::{Scene, edit, path, summary};
use crate::snapshot::files::{FileRestoration, KeptFile, restorations};

/// `eth0` in a folder below, by way of another link.
const LINKED: &str = "cd interface; mkdir real; printf eth0 > real/a; chmod 640 real/a
    ln -s a real/b; ln -s real/b eth0.xml";

/// Type, mode, owner, and content or text, of a file of the folder.
fn state(scene: &Scene, name: &str) -> Option<(bool, u32, u32, String)> {
    let place = scene.path("interface").join(name);
    let metadata = fs::symlink_metadata(&place).ok()?;
    let text = match metadata.is_symlink() {
        true => fs::read_link(&place).unwrap().display().to_string(),
        false => String::from_utf8(fs::read(&place).unwrap()).unwrap(),
    };
    let mode = metadata.permissions().mode() & 0o777;
    Some((metadata.is_symlink(), mode, metadata.uid() | metadata.gid(), text))
}

#[test]
fn an_edit_is_written_through_a_link_and_its_file_keeps_mode_and_owner() {
    let scene = Scene::new();
    scene.sh(LINKED);
    let is_root = fs::metadata(scene.path("interface")).unwrap().uid() == 0;
    if is_root {
        scene.sh("chown 8:8 interface/real/a");
    }
    let owner = if is_root { 8 } else { state(&scene, "real/a").unwrap().2 };
    let links = ["eth0.xml", "real/b"].map(|name| state(&scene, name));
    let mut store = scene.open();
    for (edit, want) in [
        (edit("eth0", Some("eth0"), Some("eth0:9")), "eth0:9"),
        (edit("eth0", Some("eth0:9"), Some("eth0:99")), "eth0:99"),
        (edit("eth0", Some("eth0:99"), Some("eth0:9")), "eth0:9"),
    ] {
        assert_eq!(store.apply(&edit), Ok(()));
        assert_eq!(summary(&store), [want]);
        store.drain();
        assert_eq!(summary(&store), [want], "the news of it changes nothing");
        assert_eq!(summary(&scene.open()), [want], "a later daemon agrees");
        let written = Some((false, 0o640, owner, want.to_owned()));
        assert_eq!(state(&scene, "real/a"), written);
        assert_eq!(["eth0.xml", "real/b"].map(|name| state(&scene, name)), links);
    }
    scene.sh("printf eth0:7 > interface/real/a");
    store.drain();
    assert_eq!(summary(&store), ["eth0:7"], "an edit by hand of the file counts");
    let err = store.apply(&edit("eth0", Some("eth0:9"), Some("eth0"))).unwrap_err();
    assert_eq!(err.errno(), libc::ECANCELED);
    assert_eq!(store.apply(&edit("eth0", Some("eth0:7"), None)), Ok(()));
    assert_eq!((state(&scene, "eth0.xml"), summary(&store)), (None, Vec::new()));
    assert_eq!(state(&scene, "real/a").unwrap().3, "eth0:7", "the link alone is removed");
    assert_eq!(fs::read_dir(scene.path("interface/real")).unwrap().count(), 2);
}

#[test]
fn a_link_that_cannot_be_written_through_is_named_and_nothing_is_changed() {
    struct Case(&'static str, &'static str, Option<&'static str>, libc::c_int, &'static str);
    let cases = [
        Case(
            "dangling",
            "ln -s nowhere eth0.xml",
            None,
            libc::ENOENT,
            "eth0.xml, a symbolic link to nowhere: No such file or directory",
        ),
        Case(
            "a loop",
            "ln -s eth0.xml eth0.xml",
            None,
            libc::ELOOP,
            "eth0.xml, a symbolic link to eth0.xml: Too many levels of symbolic links",
        ),
        Case(
            "out of the root",
            "printf eth0 > ../x; ln -s ../x eth0.xml",
            Some("eth0"),
            libc::ENOTSUP,
            "eth0.xml, a symbolic link to ../x outside ROOT: Operation not supported",
        ),
        Case(
            "out of it by way of a folder",
            "mkdir ../y; printf eth0 > ../y/x; ln -s ../y in; ln -s in/x eth0.xml",
            Some("eth0"),
            libc::ENOTSUP,
            "eth0.xml, a symbolic link to in/x outside ROOT: Operation not supported",
        ),
        Case(
            "another definition",
            "printf eth1 > eth1.xml; ln -s eth1.xml eth0.xml",
            Some("eth1"),
            libc::ENOTSUP,
            "eth0.xml, a symbolic link to the definition file eth1.xml: Operation not supported",
        ),
        Case(
            "a folder",
            "mkdir real; ln -s real eth0.xml",
            None,
            libc::EISDIR,
            "eth0.xml: Is a directory",
        ),
    ];
    for Case(label, script, before, errno, text) in cases {
        let scene = Scene::new();
        scene.sh(&format!("cd interface; {script}"));
        let mut store = scene.open();
        let there = (scene.names(), state(&scene, "eth0.xml"), state(&scene, "eth1.xml"));
        let err = store.apply(&edit("eth0", before, Some("eth0:9"))).unwrap_err();
        assert_eq!(err.errno(), errno, "{label}: {err}");
        let text = text.replace("ROOT", &scene.path("interface").display().to_string());
        assert!(err.to_string().ends_with(&text), "{label}: {err}");
        let now = (scene.names(), state(&scene, "eth0.xml"), state(&scene, "eth1.xml"));
        assert_eq!(now, there, "{label}");
    }
}

#[test]
fn the_folder_itself_may_be_a_link() {
    let scene = Scene::without_folder();
    scene.sh("mkdir elsewhere; ln -s elsewhere interface; cd elsewhere; mkdir real
        printf eth0 > real/a; ln -s real/a eth0.xml");
    let mut store = scene.open();
    assert_eq!(store.apply(&edit("eth0", Some("eth0"), Some("eth0:9"))), Ok(()));
    assert_eq!(fs::read(scene.path("elsewhere/real/a")).unwrap(), b"eth0:9");
}

#[test]
fn a_link_and_its_file_are_kept_and_restored() {
    struct Case(&'static str, &'static str);
    let cases = [
        Case("the file edited", "printf eth0:9 > interface/real/a"),
        Case("its mode", "chmod 600 interface/real/a"),
        Case("the file gone", "rm interface/real/a"),
        Case("its folder gone", "rm -r interface/real"),
        Case("the link gone", "rm interface/eth0.xml"),
        Case("both gone", "rm -r interface/real interface/eth0.xml"),
        Case("another link", "printf eth0 > interface/c; ln -sf c interface/eth0.xml"),
        Case("a link out", "printf eth0 > x; ln -sf ../x interface/eth0.xml"),
        Case("a file", "rm interface/eth0.xml; printf eth0:9 > interface/eth0.xml"),
        Case("all gone", "rm -r interface"),
    ];
    for Case(label, script) in cases {
        let scene = Scene::new();
        scene.sh("cd interface; mkdir real; printf eth0 > real/a; chmod 640 real/a
            ln -s real/a eth0.xml");
        let mut store = scene.open();
        let then = store.keep(None).unwrap();
        scene.sh(script);
        let now = store.keep(None).unwrap();
        let restored = restorations(&then.by_path, &now.by_path);
        assert_eq!(restored.len(), 1, "{label}");
        for file in &restored {
            assert_eq!(store.restore(file), Ok(()), "{label}");
        }
        assert_eq!(store.keep(None), Ok(then), "{label}");
        let found = state(&scene, "real/a").unwrap();
        assert_eq!((found.1, found.3.as_str()), (0o640, "eth0"), "{label}");
        assert_eq!(state(&scene, "eth0.xml").unwrap().3, "real/a", "{label}");
    }
}

#[test]
fn what_is_outside_the_root_is_not_kept() {
    let scene = Scene::new();
    scene.sh("printf eth0 > x; ln -s ../x interface/eth0.xml");
    let mut store = scene.open();
    let then = store.keep(None).unwrap();
    let kept = KeptFile::Link { text: b"../x".to_vec(), target: None };
    assert_eq!(then.by_path.get(&path("eth0")), Some(&kept));
    scene.sh("printf eth0:9 > x");
    assert_eq!(restorations(&then.by_path, &store.keep(None).unwrap().by_path), []);
    assert_eq!(store.apply(&edit("eth0", Some("eth0:9"), None)), Ok(()), "the link is removed");
    let restored = restorations(&then.by_path, &store.keep(None).unwrap().by_path);
    let before = None;
    assert_eq!(restored, [FileRestoration { path: path("eth0"), before, after: Some(kept) }]);
    assert_eq!(store.restore(&restored[0]), Ok(()));
    assert_eq!(summary(&store), ["eth0:9"]);
}

#[test]
fn a_half_written_file_beside_a_linked_one_is_removed_at_the_next_start() {
    let scene = Scene::new();
    scene.sh(LINKED);
    scene.sh("echo > interface/real/.a.virtinterfaced-new; echo > interface/real/.other");
    assert_eq!(summary(&scene.open()), ["eth0"]);
    assert_eq!(state(&scene, "real/.a.virtinterfaced-new"), None);
    assert!(state(&scene, "real/.other").is_some());
}
