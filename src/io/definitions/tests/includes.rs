// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definition files that name others, in other folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::scene::Scene;
use super::{Folder, FolderState};
use crate::backend::{Backend, DefinitionRefusal};
use crate::definitions::Definitions;
use crate::definitions::files::{FileEdit, FilePath, FileSet};
use crate::definitions::sources::Source;
use crate::io::definitions::DefinitionStore;
use crate::limits::{DEFINITION_FOLDER_COUNT_MAX, DEFINITION_SOURCE_COUNT_MAX};
use crate::model::client::Privilege;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::snapshot::files::{KeptFile, restorations};

/// A backend for tests: the file `main`, and those whose patterns are lines of files.
#[derive(Debug)]
struct Lines(PathBuf);

impl Backend for Lines {
    fn root(&self) -> &Path {
        &self.0
    }

    fn sources(&self, files: &FileSet) -> Vec<Source> {
        let mut sources = vec![Source::file(&path("main"))];
        let mut is_more = true;
        while is_more {
            let is_in = |path: &FilePath| sources.iter().any(|source| source.has(path));
            let texts = files.iter().filter(|(path, _)| is_in(path));
            let texts: Vec<_> = texts.filter_map(|(_, state)| state.content()).collect();
            let patterns = texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
            let mut new: Vec<_> = patterns.filter_map(Source::pattern).collect();
            new.retain(|source| !sources.contains(source));
            is_more = !new.is_empty();
            sources.extend(new);
        }
        sources
    }

    fn parse(&self, _: &FileSet) -> Definitions {
        Definitions::default()
    }

    fn define(&self, _: &Interface, _: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        Ok(Vec::new())
    }

    fn undefine(&self, _: &IfName, _: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        Ok(Vec::new())
    }
}

fn path(path: &str) -> FilePath {
    FilePath::new(path).unwrap()
}

fn open(scene: &Scene) -> DefinitionStore {
    DefinitionStore::open(Rc::new(Lines(scene.dir.clone())), Privilege::System)
}

fn open_without_news(scene: &Scene) -> DefinitionStore {
    let mut store = open(scene);
    store.folders.queue = None;
    store.read_all();
    store
}

/// Each file that was read, and its content: `main=d/a`.
fn summary(store: &DefinitionStore) -> Vec<String> {
    let files = store.files().files().iter();
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().replace('\n', ",");
    let content = files.map(|(path, state)| (path, word(state.content().unwrap_or(b"-"))));
    content.map(|(path, content)| format!("{path}={content}")).collect()
}

fn watched(store: &DefinitionStore) -> Vec<String> {
    let folders = store.folders.by_path.iter();
    let is_watched = |folder: &Folder| matches!(folder.state, FolderState::Watched { .. });
    let watched = folders.filter(|(_, folder)| is_watched(folder));
    watched.map(|(path, _)| String::from_utf8(path.clone()).unwrap()).collect()
}

#[test]
fn files_are_followed_as_they_name_each_other() {
    const STEPS: [(&str, &[&str], &[&str]); 19] = [
        ("true", &[], &[""]),
        ("echo d/a > main", &["main=d/a"], &[""]),
        ("mkdir d", &["main=d/a"], &["", "d"]),
        ("echo 1 > d/a; echo 1 > d/b", &["d/a=1", "main=d/a"], &["", "d"]),
        ("echo 'd/*' > main", &["d/a=1", "d/b=1", "main=d/*"], &["", "d"]),
        ("echo 2 > d/b; echo 3 > d/.c", &["d/a=1", "d/b=2", "main=d/*"], &["", "d"]),
        ("rm d/b; echo e/x > d/a", &["d/a=e/x", "main=d/*"], &["", "d"]),
        (
            "mkdir e; echo f/y > e/x; mkdir f; echo z > f/y",
            &["d/a=e/x", "e/x=f/y", "f/y=z", "main=d/*"],
            &["", "d", "e", "f"],
        ),
        (
            "echo zz > f/y; echo y > z",
            &["d/a=e/x", "e/x=f/y", "f/y=zz", "main=d/*"],
            &["", "d", "e", "f"],
        ),
        ("rm e/x; echo n > f/y", &["d/a=e/x", "main=d/*"], &["", "d", "e"]),
        ("mv d g", &["main=d/*"], &[""]),
        ("echo '*/a' > main", &["g/a=e/x", "main=*/a"], &["", "e", "f", "g"]),
        ("mkdir h; echo 1 > h/a", &["g/a=e/x", "h/a=1", "main=*/a"], &["", "e", "f", "g", "h"]),
        ("echo 2 > h/a; rm g/a", &["h/a=2", "main=*/a"], &["", "e", "f", "g", "h"]),
        // Itself, twice the same file, and a way out of the root.
        (
            "printf 'main\\nh/a\\nh/*\\n../x\\n/etc/passwd' > main",
            &["h/a=2", "main=main,h/a,h/*,../x,/etc/passwd"],
            &["", "h"],
        ),
        ("mv h i; ln -s i h", &["h/a=2", "main=main,h/a,h/*,../x,/etc/passwd"], &["", "h"]),
        ("echo 3 > i/a", &["h/a=3", "main=main,h/a,h/*,../x,/etc/passwd"], &["", "h"]),
        (
            "mv main k; ln -s k main; echo 'h/[bc]' > k; echo 4 > i/c",
            &["h/c=4", "main=h/[bc]"],
            &["", "h"],
        ),
        ("echo > k", &["main="], &[""]),
    ];
    for open in [open, open_without_news] {
        let scene = Scene::without_folder();
        let mut store = open(&scene);
        for (script, want, folders) in STEPS {
            scene.sh(script);
            store.drain();
            assert_eq!(summary(&store), want, "{script}");
            assert_eq!(summary(&self::open(&scene)), want, "{script}: a later daemon");
            if store.folders.queue.is_some() {
                assert_eq!(watched(&store), folders, "{script}");
            }
        }
        assert_eq!(store.complaint, None);
    }
}

#[test]
fn two_paths_of_one_folder_are_both_followed() {
    let scene = Scene::without_folder();
    scene.sh("mkdir d; ln -s d e; echo 1 > d/a; printf 'd/a\\ne/a' > main");
    let mut store = open(&scene);
    scene.sh("echo 2 > e/a");
    store.drain();
    assert_eq!(summary(&store), ["d/a=2", "e/a=2", "main=d/a,e/a"]);
    scene.sh("printf 'd/a' > main");
    store.drain();
    scene.sh("echo 3 > e/a");
    store.drain();
    assert_eq!(summary(&store), ["d/a=3", "main=d/a"], "the watch is still there");
}

#[test]
fn an_included_file_is_edited_where_it_is_and_never_over_an_edit_by_hand() {
    let scene = Scene::without_folder();
    scene.sh("mkdir d; echo 1 > d/x; chmod 640 d/x; ln -s x d/a; echo 'd/a\nn/b' > main");
    let mut store = open(&scene);
    let edit = |of: &str, before: Option<&str>, after: Option<&str>| {
        let [before, after] = [before, after].map(|text| text.map(|it| it.as_bytes().to_vec()));
        FileEdit { path: path(of), before, after }
    };
    assert_eq!(store.apply(&edit("d/a", Some("1\n"), Some("2\n"))), Ok(()));
    assert_eq!(store.apply(&edit("n/b", None, Some("3\n"))), Ok(()), "its folder is made");
    assert_eq!(fs::read(scene.path("d/x")).unwrap(), b"2\n");
    assert!(scene.path("d/a").is_symlink());
    scene.sh("echo by hand > d/x");
    let err = store.apply(&edit("d/a", Some("2\n"), Some("3\n"))).unwrap_err();
    assert_eq!(err.errno(), libc::ECANCELED);
    assert_eq!(fs::read(scene.path("d/x")).unwrap(), b"by hand\n");
    // It is a definition file no longer.
    scene.sh("echo > main");
    let err = store.apply(&edit("d/a", Some("by hand\n"), Some("3\n"))).unwrap_err();
    assert_eq!(err.errno(), libc::EINVAL);
    assert_eq!(fs::read(scene.path("d/x")).unwrap(), b"by hand\n");
    // An edit that names a file makes it one at once.
    assert_eq!(store.apply(&edit("main", Some("\n"), Some("n/b"))), Ok(()));
    assert_eq!(summary(&store), ["main=n/b", "n/b=3"]);
}

#[test]
fn included_files_are_kept_and_restored_and_no_others_are_removed() {
    struct Case(&'static str, &'static str);
    let cases = [
        Case("edited", "echo 2 > d/a; chmod 600 d/b"),
        Case("removed", "rm -r d"),
        Case("one more", "echo 2 > d/c"),
        Case("no longer included", "echo > main; printf 'by hand' > d/a"),
        Case("another file included", "echo o/other > main"),
        Case("all of that", "rm -r d; mkdir d; echo 2 > d/c; echo 'o/*\nd/a' > main"),
    ];
    for Case(label, script) in cases {
        let scene = Scene::without_folder();
        scene.sh("mkdir d o; echo 1 > d/a; echo 1 > d/b; chmod 640 d/*; echo 'd/*' > main");
        scene.sh("echo there before > o/other");
        let mut store = open(&scene);
        let then = store.keep(None).unwrap();
        assert_eq!(then.by_path.len(), 3);
        let mut by_hand = false;
        scene.sh(script);
        // As a rollback does it, until nothing differs.
        for round in 0..3 {
            let now = store.keep(Some(&then)).unwrap();
            let restored = restorations(&then.by_path, &now.by_path);
            assert!(round < 2 || restored.is_empty(), "{label}: {restored:?}");
            let (removed, written): (Vec<_>, Vec<_>) =
                restored.iter().partition(|file| file.after.is_none());
            for file in written.into_iter().chain(removed) {
                assert_eq!(store.restore(file), Ok(()), "{label}");
                let before = file.before.as_ref().and_then(KeptFile::content);
                let is_known = before.is_none_or(|bytes| bytes != b"by hand");
                by_hand |= !is_known;
            }
        }
        let edits_by_hand = script.contains("by hand");
        assert_eq!(by_hand, edits_by_hand, "{label}: the rollback knows what it overwrites");
        assert_eq!(store.keep(None), Ok(then), "{label}");
        assert_eq!(fs::read(scene.path("o/other")).unwrap(), b"there before\n", "{label}");
        assert!(!scene.path("d/c").exists(), "{label}");
        let kept = store.keep(None).unwrap();
        let KeptFile::File(file) = kept.by_path.get(&path("d/a")).unwrap() else { panic!() };
        assert_eq!((file.bytes.as_slice(), file.mode), (&b"1\n"[..], 0o640), "{label}");
    }
}

#[test]
fn files_without_end_are_refused_by_name_and_not_followed() {
    let scene = Scene::without_folder();
    // The same two files, by another path each time.
    scene.sh("mkdir d; ln -s . d/d; i=d/a; for n in $(seq 30); do i=d/$i; done; echo $i > main");
    let mut store = open(&scene);
    assert_eq!(store.complaint, None, "a long path is only that");
    let many = DEFINITION_SOURCE_COUNT_MAX;
    scene.sh(&format!("for n in $(seq {many}); do echo f$n; done > main; echo 1 > f{many}"));
    store.drain();
    assert_eq!(store.keep(None).unwrap_err().errno(), libc::E2BIG);
    scene.sh("sed -i 1,2d main");
    store.drain();
    assert_eq!(store.keep(None).unwrap().by_path.len(), 2);

    let many = DEFINITION_FOLDER_COUNT_MAX;
    scene.sh(&format!("for n in $(seq {many}); do mkdir m$n; : > m$n/a; done; echo 'm*/a' > main"));
    store.drain();
    assert_eq!(store.folders.by_path.len(), many);
    assert_eq!(store.keep(None).unwrap_err().errno(), libc::E2BIG);
    scene.sh("rm -r m1");
    store.drain();
    assert_eq!(store.keep(None).unwrap().by_path.len(), many);
}
