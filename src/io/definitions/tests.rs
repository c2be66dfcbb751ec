// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests with real folders, and edits by other processes, as an administrator makes them.

mod scene;
mod includes;
mod links;

use super::*;
use crate::definitions::files::FileEdit;
use crate::io::definitions::folders::{Folder, FolderState};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::sys::inotify::Watch;
use scene::{Scene, edit, open, path, summary};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn every_edit_by_hand_counts_from_the_next_drain_on() {
    struct Case(&'static str, &'static str, &'static [&'static str]);
    let cases = [
        Case("nothing", "", &["eth0", "eth1"]),
        Case("a new file", "echo br0 > interface/br0.xml", &["br0", "eth0", "eth1"]),
        Case("written in place", "echo eth0:9 > interface/eth0.xml", &["eth0:9", "eth1"]),
        Case("appended", "printf :9 >> interface/eth0.xml", &["eth0:9", "eth1"]),
        Case("renamed over", "echo eth0:9 > x; mv x interface/eth0.xml", &["eth0:9", "eth1"]),
        Case("edited by sed", "sed -i s/0/0:9/ interface/eth0.xml", &["eth0:9", "eth1"]),
        Case("removed", "rm interface/eth0.xml", &["eth1"]),
        Case("moved away", "mv interface/eth0.xml .", &["eth1"]),
        Case("to another name", "mv interface/eth0.xml interface/a.xml", &["a broken", "eth1"]),
        Case("to no name", "mv interface/eth0.xml interface/eth0.xml~", &["eth1"]),
        Case("a hard link", "echo a > x; ln x interface/a.xml", &["a", "eth0", "eth1"]),
        Case("a link", "echo a > x; ln -s ../x interface/a.xml", &["a", "eth0", "eth1"]),
        Case(
            "a link elsewhere",
            "echo eth1:9 > x; ln -sf ../x interface/eth1.xml",
            &["eth0", "eth1:9"],
        ),
        Case("the linked", "echo eth2 > linked", &["eth0", "eth1", "eth2"]),
        Case("rubbish", "echo ? > interface/eth0.xml", &["eth0 broken", "eth1"]),
        Case("emptied", ": > interface/eth0.xml", &["eth0 broken", "eth1"]),
        Case("a folder", "mkdir interface/a.xml", &["a Is a directory", "eth0", "eth1"]),
        Case("the folder moved away", "mv interface x", &[]),
        Case("and edited and back", "mv interface x; rm x/eth0.xml; mv x interface", &["eth1"]),
        Case("removed with all", "rm -r interface", &[]),
        Case("and made anew", "rm -r interface; mkdir interface; echo a > interface/a.xml", &["a"]),
        Case("another", "mkdir x; echo a > x/a.xml; mv interface y; mv x interface", &["a"]),
        Case("a file in its place", "mv interface x; echo > interface", &[]),
        Case("a link in its place", "mv interface x; ln -s x interface", &["eth0", "eth1"]),
        Case(
            "many",
            "for i in $(seq 300); do echo e$i > interface/e$i.xml; done; rm interface/e*",
            &[],
        ),
    ];
    for Case(label, script, want) in cases {
        for open in [Scene::open, Scene::open_without_news] {
            let scene = Scene::new();
            scene.sh("ln -s ../linked interface/eth2.xml");
            scene.sh("printf eth0 > interface/eth0.xml; printf eth1 > interface/eth1.xml");
            let mut store = open(&scene);
            scene.sh(script);
            store.drain();
            let dangling = "eth2 No such file or directory";
            let found: Vec<_> =
                summary(&store).into_iter().filter(|word| word != dangling).collect();
            assert_eq!(found, want, "{label}");
            // Again, from the state that the folder has now.
            scene.sh("rm -rf interface; mkdir interface; echo last > interface/last.xml");
            store.drain();
            assert_eq!(summary(&store), ["last"], "{label}");
        }
    }
}

#[test]
fn a_folder_that_comes_later_is_noticed() {
    let scene = Scene::without_folder();
    let mut store = open(scene.path("etc/interface"), Privilege::System);
    for (script, want) in [
        ("true", &[][..]),
        ("mkdir etc", &[]),
        ("mkdir etc/interface; echo eth0 > etc/interface/eth0.xml", &["eth0"]),
        ("echo eth1 > etc/interface/eth1.xml", &["eth0", "eth1"]),
        ("mv etc elsewhere", &[]),
        ("echo eth2 > elsewhere/interface/eth2.xml", &[]),
        ("mv elsewhere etc", &["eth0", "eth1", "eth2"]),
        ("rm etc/interface/eth0.xml", &["eth1", "eth2"]),
    ] {
        scene.sh(script);
        store.drain();
        assert_eq!(summary(&store), want, "{script}");
    }
}

#[test]
fn a_links_file_is_followed_wherever_it_is() {
    let scene = Scene::new();
    scene.sh("mkdir a b; echo eth0 > a/x; echo eth0:9 > b/x; ln -s a c");
    scene.sh("ln -s ../c/x interface/eth0.xml");
    let mut store = scene.open();
    for (script, want) in [
        ("true", "eth0"),
        ("echo eth0:1400 > a/x", "eth0:1400"),
        ("ln -sfn b c", "eth0:9"),
        ("rm b/x", "eth0 No such file or directory"),
        ("echo ? > b/x", "eth0 broken"),
        ("rm interface/eth0.xml; echo eth0 > interface/eth0.xml", "eth0"),
        ("echo eth0:9 > b/x", "eth0"),
    ] {
        scene.sh(script);
        store.drain();
        assert_eq!(summary(&store), [want], "{script}");
    }
    assert!(store.links.is_empty(), "nothing is looked at in vain");
}

#[test]
fn rubbish_is_an_interface_less_and_nothing_worse() {
    let scene = Scene::new();
    let large = DEFINITION_LEN_MAX + 1;
    scene.sh("cd interface; echo eth0 > eth0.xml; echo eth1 > eth2.xml; printf '\\377' > byte.xml
        : > empty.xml; mkdir folder.xml; mkfifo pipe.xml; ln -s nowhere dangling.xml
        ln -s loop.xml loop.xml; ln -s /dev/zero device.xml; ln -s folder.xml through.xml
        echo x > .x.xml; echo y > 'y y.xml'; echo z > z.xml~; echo > 12345678901234567.xml");
    scene.sh(&format!("head -c {large} /dev/zero > interface/large.xml"));
    let mut store = scene.open();
    let want = [
        "byte broken",
        "dangling No such file or directory",
        "device Invalid argument",
        "empty broken",
        "eth0",
        "eth2 broken",
        "folder Is a directory",
        "large File too large",
        "loop Too many levels of symbolic links",
        "pipe Invalid argument",
        "through Is a directory",
    ];
    assert_eq!(summary(&store), want);
    for _ in 0..2 {
        store.drain();
        assert_eq!(summary(&store), want);
    }
    let defined: Vec<_> = store.definitions().iter().map(|defined| defined.name).collect();
    assert_eq!(defined, [IfName::new("eth0").unwrap()]);
    let notes = store.definitions().notes_on(&path("eth2"));
    assert_eq!(notes, [Note::Ignored("it is another's".to_owned())]);
}

#[test]
fn a_file_that_is_about_to_be_written_is_not_there_yet() {
    let scene = Scene::new();
    let mut store = scene.open();
    let mut writer = Command::new("sh");
    writer.args(["-c", "exec 3> interface/eth0.xml; echo; read x; echo eth0 >&3"]);
    writer.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut writer = writer.current_dir(&scene.dir).spawn().unwrap();
    writer.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    store.drain();
    assert_eq!(summary(&store), [""; 0]);
    drop(writer.stdin.take());
    writer.wait().unwrap();
    store.drain();
    assert_eq!(summary(&store), ["eth0"]);
}

/// The watch of the store's only folder.
fn watch_of(store: &DefinitionStore) -> Option<Watch> {
    let folders: Vec<_> = store.folders.by_path.values().collect();
    let [Folder { state: FolderState::Watched { watch, .. }, .. }] = folders[..] else {
        return None;
    };
    Some(*watch)
}

#[test]
fn lost_news_and_an_end_of_the_watch_mean_everything() {
    let scene = Scene::new();
    let store = scene.open();
    let watch = watch_of(&store).unwrap();
    let other = inotify::watch_folder(store.folders.queue.as_ref().unwrap(), &scene.dir).unwrap();

    let file = |watch, name, change| FileEvent::File { watch, name, change };
    let files = |changes: &[(&str, FileChange)]| {
        Stale::Files(changes.iter().map(|(of, change)| (path(of), *change)).collect())
    };
    struct Case<'a>(&'static str, Vec<FileEvent<'a>>, Stale);
    let written = file(watch, &b"a.xml"[..], FileChange::Other);
    let created = file(watch, &b"a.xml"[..], FileChange::Created);
    let a = |change| files(&[("a", change)]);
    let cases = [
        Case("none", vec![], files(&[])),
        Case("a file", vec![written, written], a(FileChange::Other)),
        Case("a new one", vec![created], a(FileChange::Created)),
        Case("made and written", vec![created, written], a(FileChange::Other)),
        Case("removed and made", vec![written, created], a(FileChange::Other)),
        Case("none of ours", vec![file(watch, b"a.tmp", FileChange::Other)], files(&[])),
        Case("of another folder", vec![file(other, b"a.xml", FileChange::Other)], files(&[])),
        Case("another folder", vec![FileEvent::Folder { watch: other }], files(&[])),
        Case("the folder", vec![written, FileEvent::Folder { watch }, written], Stale::Everything),
        Case("lost", vec![written, FileEvent::Overflow, written], Stale::Everything),
    ];
    for Case(label, events, want) in cases {
        let mut stale = Stale::default();
        events.into_iter().for_each(|event| store.add_news(&mut stale, event));
        assert_eq!(stale, want, "{label}");
    }
}

#[test]
fn a_file_that_is_rewritten_stays_for_whom_it_was_for() {
    let scene = Scene::new();
    scene.sh("printf eth0 > interface/eth0.xml; chmod 640 interface/eth0.xml");
    let mut store = scene.open();
    assert_eq!(store.apply(&edit("eth0", Some("eth0"), Some("eth0:9"))), Ok(()));
    assert_eq!(store.apply(&edit("br0", None, Some("br0"))), Ok(()));
    let mode = |name: &str| {
        let path = scene.path("interface").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode("eth0.xml"), mode("br0.xml")), (0o640, 0o600));
}

#[test]
fn an_edit_is_on_the_disk_and_in_the_definitions_at_once_and_its_inverse_undoes_it() {
    let scene = Scene::new();
    scene.sh("printf 'eth0:9 \\n' > interface/eth0.xml; printf '?\\377' > interface/bad.xml");
    let bad = FileEdit { path: path("bad"), before: Some(b"?\xff".to_vec()), after: None };
    let mut store = scene.open();
    let first = summary(&store);
    let edits = [
        (edit("eth0", Some("eth0:9 \n"), Some("eth0")), &["bad broken", "eth0"][..]),
        (edit("br0", None, Some("br0:7")), &["bad broken", "br0:7", "eth0"]),
        (bad, &["br0:7", "eth0"]),
        (edit("eth0", Some("eth0"), None), &["br0:7"]),
    ];
    for (edit, want) in &edits {
        assert_eq!(store.apply(edit), Ok(()));
        assert_eq!(summary(&store), *want);
        store.drain();
        assert_eq!(summary(&store), *want, "the news of it changes nothing");
        assert_eq!(summary(&scene.open()), *want, "a later daemon agrees");
    }
    for (edit, _) in edits.iter().rev() {
        assert_eq!(store.apply(&edit.inverse()), Ok(()));
    }
    assert_eq!(summary(&store), first);
    assert_eq!(scene.content("eth0.xml").unwrap(), b"eth0:9 \n");
    assert_eq!(scene.content("bad.xml").unwrap(), b"?\xff");
    assert_eq!(scene.names(), ["bad.xml", "eth0.xml"]);
}

#[test]
fn the_folder_is_made_when_it_is_needed() {
    // The test's own folder shows the mask of this process.
    let scene = Scene::without_folder();
    let mask = fs::metadata(&scene.dir).unwrap().permissions().mode();
    for (privilege, dir, mode) in
        [(Privilege::System, "system", 0o755), (Privilege::Session, "session", 0o700)]
    {
        let dir = scene.path(dir);
        let mut store = open(dir.join("a/b"), privilege);
        assert!(!dir.exists(), "reading makes nothing");
        assert_eq!(store.apply(&edit("eth0", None, Some("eth0"))), Ok(()));
        for dir in [dir.join("a/b"), dir.join("a"), dir.clone()] {
            let permissions = fs::metadata(&dir).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o7777, mode & mask, "{}", dir.display());
        }
        assert!(watch_of(&store).is_some());
        fs::remove_dir_all(&dir).unwrap();
        store.drain();
        assert_eq!(summary(&store), [""; 0]);
        assert_eq!(store.apply(&edit("eth1", None, Some("eth1"))), Ok(()));
        assert_eq!(summary(&store), ["eth1"]);
    }
}

#[test]
fn what_somebody_else_has_changed_meanwhile_is_not_overwritten() {
    struct Case(&'static str, &'static str, FileEdit, libc::c_int, &'static str);
    let to = |after| edit("eth0", Some("eth0"), after);
    let edited = "eth0.xml, which was changed meanwhile: Operation canceled";
    let cases = [
        Case("edited", "echo eth0:9 > eth0.xml", to(Some("eth0:5")), libc::ECANCELED, edited),
        Case("edited 2", "echo eth0:9 > eth0.xml", to(None), libc::ECANCELED, edited),
        Case("gone", "rm eth0.xml", to(Some("eth0:5")), libc::ECANCELED, edited),
        Case("gone 2", "rm eth0.xml", to(None), libc::ECANCELED, edited),
        Case(
            "new",
            "echo eth1 > eth1.xml",
            edit("eth1", None, Some("eth1")),
            libc::ECANCELED,
            "eth1.xml, which was changed meanwhile: Operation canceled",
        ),
        Case("a folder", "mkdir a.xml", edit("a", None, Some("a")), libc::EISDIR, "a directory"),
        Case(
            "a pipe",
            "mkfifo a.xml",
            edit("a", None, Some("a")),
            libc::EINVAL,
            "Invalid argument",
        ),
        Case("a dot", ":", edit(".a", None, Some(".a")), libc::EINVAL, "Invalid argument"),
    ];
    for Case(label, script, edit, errno, text) in cases {
        let scene = Scene::new();
        scene.sh("printf eth0 > interface/eth0.xml");
        let mut store = scene.open();
        scene.sh(&format!("cd interface; {script}"));
        let before = (scene.names(), scene.content("eth0.xml"));
        let err = store.apply(&edit).unwrap_err();
        assert_eq!(err.errno(), errno, "{label}");
        assert!(err.to_string().ends_with(text), "{label}: {err}");
        assert_eq!((scene.names(), scene.content("eth0.xml")), before, "{label}");
        assert_eq!(summary(&store), summary(&scene.open()), "{label}");
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let scene = Scene::new();
    let mut store = scene.open();
    let len = usize::try_from(DEFINITION_LEN_MAX).unwrap();
    let text = |len: usize| format!("eth0{}", " ".repeat(len - 4));
    let err = store.apply(&edit("eth0", None, Some(&text(len + 1)))).unwrap_err();
    assert_eq!(err.errno(), libc::EFBIG);
    assert_eq!(store.apply(&edit("eth0", None, Some(&text(len)))), Ok(()));
    assert_eq!(summary(&scene.open()), ["eth0"]);
}

#[test]
fn a_folder_that_refuses_fails_the_edit_and_not_the_daemon() {
    // No process can create a file in /proc, not even root's.
    let mut store = open("/proc/interface", Privilege::System);
    store.drain();
    let err = store.apply(&edit("eth0", None, Some("eth0"))).unwrap_err();
    assert_eq!(err.to_string(), "cannot create /proc/interface: No such file or directory");
    let mut store = open("/dev/null", Privilege::System);
    let err = store.apply(&edit("eth0", None, Some("eth0"))).unwrap_err();
    assert_eq!(err.to_string(), "cannot write /dev/null/eth0.xml: Not a directory");
    assert_eq!(summary(&store), [""; 0]);
}

#[test]
fn a_killed_daemons_half_written_file_is_cleaned_up_at_the_start() {
    let scene = Scene::new();
    scene.sh("echo eth0 > interface/.eth0.xml.virtinterfaced-new; echo x > interface/.other");
    let store = scene.open();
    assert_eq!(summary(&store), [""; 0]);
    assert_eq!(scene.names(), [".other"]);
}

#[test]
fn a_reader_sees_old_or_new_at_any_time() {
    let scene = Scene::new();
    let mut store = scene.open();
    let texts = [1, 2].map(|mtu| format!("eth0:{mtu}{}", " ".repeat(50_000 * mtu)));
    let [first, second] = &texts;
    store.apply(&edit("eth0", None, Some(first))).unwrap();
    let mut reader = Command::new("sh");
    reader.args(["-c", "while test -e interface; do wc -c < interface/eth0.xml; done"]);
    let reader = reader.current_dir(&scene.dir).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut reader = reader.spawn().unwrap();
    let mut seen = BufReader::new(reader.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut output = vec![seen.next().unwrap()];
    for _ in 0..20 {
        store.apply(&edit("eth0", Some(first), Some(second))).unwrap();
        store.apply(&edit("eth0", Some(second), Some(first))).unwrap();
    }
    fs::rename(scene.path("interface"), scene.path("end")).unwrap();
    output.extend(seen);
    reader.wait().unwrap();
    let lens = texts.each_ref().map(|text| text.len().to_string());
    assert!(output.iter().all(|len| lens.iter().any(|want| len.trim() == want)), "{output:?}");
}

#[test]
fn a_thousand_definitions_are_read_and_followed() {
    let scene = Scene::new();
    scene.sh("cd interface; for i in $(seq 1000); do echo eth$i > eth$i.xml; done");
    let mut store = scene.open();
    assert_eq!(store.definitions().iter().count(), 1000);
    scene.sh("cd interface; for i in $(seq 1000); do echo eth$i:9 > eth$i.xml; done");
    store.drain();
    assert!(store.definitions().iter().all(|interface| interface.mtu == Some(9)));
}

#[test]
fn a_warning_names_the_file_and_what_is_wrong_with_it() {
    let place = Path::new("/x/a.xml");
    let content = || Some(FileState::Content(b"a".to_vec()));
    let refused = |errno| Some(FileState::Unreadable(unreadable(place, errno)));
    let ignored = Note::Ignored("it is not UTF-8".to_owned());
    let remark = Note::Remark("line 1: <odd> is ignored".to_owned());
    struct Case(&'static str, Option<FileState>, Vec<Note>, &'static [&'static str]);
    let cases = [
        Case("fine", content(), vec![], &[]),
        Case("gone", None, vec![], &[]),
        Case("broken", content(), vec![ignored.clone()], &["/x/a.xml: ignored: it is not UTF-8"]),
        Case(
            "both",
            content(),
            vec![ignored, remark],
            &["/x/a.xml: ignored: it is not UTF-8", "/x/a.xml: line 1: <odd> is ignored"],
        ),
        Case(
            "a folder",
            refused(libc::EISDIR),
            vec![],
            &["cannot read /x/a.xml: Is a directory; ignored"],
        ),
    ];
    for Case(label, state, notes, want) in cases {
        assert_eq!(warnings(place, state.as_ref(), &notes), want, "{label}");
    }
}

#[test]
fn a_file_counts_as_another_one_once_for_each_content() {
    let scene = Scene::new();
    let mut store = scene.open();
    struct Case(&'static str, &'static str, bool);
    let cases = [
        Case("new", "echo ? > interface/a.xml", true),
        Case("read again", "touch interface/a.xml", false),
        Case("other bytes", "echo ! > interface/a.xml", true),
        Case("fine", "echo a > interface/a.xml", true),
        Case("a folder", "rm interface/a.xml; mkdir interface/a.xml", true),
        Case("still", "touch interface/a.xml", false),
        Case("another cause", "rmdir interface/a.xml; mkfifo interface/a.xml", true),
        Case("gone", "rm interface/a.xml", true),
    ];
    for Case(label, script, want) in cases {
        scene.sh(script);
        assert_eq!(store.read_file(&path("a"), FileChange::Other), want, "{label}");
    }
}

#[test]
fn what_could_not_be_read_for_want_of_something_is_read_the_next_time() {
    let scene = Scene::new();
    scene.sh("echo eth0 > interface/eth0.xml; echo eth1 > interface/eth1.xml");
    let mut store = scene.open();
    let eth0 = Stale::Files(SortedMap::from([(path("eth0"), FileChange::Other)]));
    for (label, unread, want) in [
        ("nothing", Stale::default(), ["eth0", "eth1"]),
        ("a file", eth0, ["eth0:9", "eth1"]),
        ("the folder", Stale::Everything, ["eth0:9", "eth1:9"]),
    ] {
        scene.sh("echo eth0:9 > interface/eth0.xml; echo eth1:9 > interface/eth1.xml");
        let _news_that_got_lost = store.read_news();
        store.unread = unread;
        store.drain();
        assert_eq!(summary(&store), want, "{label}");
        assert_eq!(store.unread, Stale::default(), "{label}");
        assert!(store.reserve.is_some(), "{label}");
    }
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
        assert!(is_shortage(&unreadable(&scene.dir, errno)));
    }
    assert!(!is_shortage(&unreadable(&scene.dir, libc::EISDIR)));
}
