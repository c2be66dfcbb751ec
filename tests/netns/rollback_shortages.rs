// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback needs no file, no descriptor and no luck: the disk is full or read-only, a directory
//! is missing, the daemon may open no file. The network is restored at once, the rest as soon as
//! possible, and until then nothing is committed or forgotten.

use std::fs;
use std::path::Path;

use crate::host::{
    FOLDER, TWO_NICS, addresses, await_addresses, define, definition_file, ethernet, find_link,
    ports, virsh_destroy, with_virsh,
};
use crate::support::command::{command, ip_batch, run, virsh};
use crate::support::daemon::{Daemon, config_file, daemon_command, run_daemon};
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::transaction::{CHANGE, Tree, begin, commit, roll_back};

/// Enough seconds for virsh to begin a transaction and make changes, and for the test to create a
/// shortage.
const DEADLINE: u32 = 5;

/// A host that is reached through `eth0`.
struct Host {
    before: Snapshot,
    tree: Tree,
}

impl Host {
    /// Both directories are on file systems of their own, which can be filled or made read-only.
    fn new() -> Self {
        ip_batch(TWO_NICS);
        ip_batch(
            "link set eth0 up\naddress add 192.0.2.2/24 dev eth0\n\
             route add default via 192.0.2.1 dev eth0\n",
        );
        for folder in [CHANGE, FOLDER] {
            fs::create_dir_all(folder).unwrap();
            let options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", folder];
            run(command("mount").args(options)).ok();
        }
        // Large enough that removing another file does not make room for it.
        let comment = format!("<!-- {} -->\n", "x".repeat(100_000));
        let definition = comment + &ethernet("eth1", &["192.0.2.9/24"], &[]);
        fs::write(definition_file("eth1"), definition).unwrap();
        await_addresses();
        Self { before: Snapshot::take(), tree: Tree::take() }
    }

    /// Begins a transaction with a deadline, and changes both network and files.
    fn go_wrong(&self) -> Daemon {
        let text = format!("change_timeout = {DEADLINE}\nlog_level = 2\n");
        let daemon = Daemon::start_with(daemon_command().args(["-f", &config_file(&text)]));
        begin();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        virsh("iface-undefine eth1").ok();
        assert_eq!(ports("br0"), ["eth0"]);
        daemon
    }

    fn assert_network_is_back(&self, label: &str) {
        eventually("the bridge goes", || find_link("br0").is_none());
        eventually("the address", || addresses("eth0") == ["192.0.2.2/24"]);
        self.before.assert_unchanged(Strictness::AlikeLinks, label);
    }

    /// Asserts that everything is restored, and that the daemon works as before.
    fn assert_is_back(&self, label: &str) {
        self.assert_network_is_back(label);
        assert_eq!(Tree::take(), self.tree, "{label}");
        begin();
        virsh_destroy("eth0").unwrap();
        roll_back();
        self.assert_network_is_back(label);
    }
}

impl Drop for Host {
    /// Otherwise the process that keeps the deadline of an open transaction would try for ever.
    fn drop(&mut self) {
        for folder in [CHANGE, FOLDER] {
            run(command("mount").args(["-o", "remount,rw", folder]));
        }
    }
}

fn remount(folder: &str, how: &str) {
    run(command("mount").args(["-o", &format!("remount,{how}"), folder])).ok();
}

/// Fills a directory completely.
fn fill(folder: &str) {
    let mut filler = vec![0_u8; 256 * 1024];
    while fs::write(Path::new(folder).join("full"), &filler).is_err() {
        filler.truncate(filler.len() - 4096);
    }
}

fn make_room(folder: &str) {
    fs::remove_file(Path::new(folder).join("full")).unwrap();
}

/// Asserts that all calls except the rollback are refused, for this reason.
fn assert_only_rolls_back(why: &str) {
    for (call, failure) in [
        ("iface-begin", "failed to begin transaction"),
        ("iface-commit", "failed to commit transaction"),
        ("iface-destroy eth0", "failed to destroy"),
    ] {
        let said = virsh(call).failed();
        assert!(said.contains(failure), "{call}: {said}");
        assert!(said.contains(" has failed and will be retried: "), "{said}");
        assert!(said.contains(why), "{call}: {said}");
    }
}

/// The number of failed attempts so far: each is logged as an error.
fn failed_tries(daemon: &Daemon) -> usize {
    let said = daemon.stderr();
    let is_try = |line: &&str| line.contains(" has failed; retrying in ");
    said.lines().filter(is_try).inspect(|line| assert!(line.contains(" error : "))).count()
}

#[test]
fn a_deadline_over_a_read_only_disk_brings_the_network_back_and_is_not_over() {
    with_virsh(|| {
        let host = Host::new();
        let daemon = host.go_wrong();
        remount(CHANGE, "ro");
        host.assert_network_is_back("the snapshot cannot be removed");
        assert_eq!(Tree::take(), host.tree);
        eventually("a try fails", || failed_tries(&daemon) > 0);
        assert_only_rolls_back("snapshot: Read-only file system");
        eventually("it is tried again", || failed_tries(&daemon) > 1);
        assert!(failed_tries(&daemon) < 10, "with a pause: {}", daemon.stderr());
        // Another daemon does not treat it as complete either.
        daemon.kill();
        let output = run_daemon(&["--rollback-stale"]);
        assert_eq!(output.status.code(), Some(11), "{output:?}");
        let daemon = Daemon::start();
        assert_only_rolls_back("snapshot: Read-only file system");
        remount(CHANGE, "rw");
        eventually("the end", || daemon.stderr().contains("rolled back the change"));
        assert!(!Path::new(CHANGE).join("snapshot").exists());
        host.assert_is_back("the disk can be written to again");
    });
}

#[test]
fn definitions_that_cannot_be_restored_are_restored_when_they_can_be() {
    with_virsh(|| {
        let host = Host::new();
        for (label, take, give, why) in [
            ("read-only", "ro", "rw", "eth1.xml: Read-only file system"),
            ("full", "", "", "eth1.xml: No space left on device"),
        ] {
            let daemon = host.go_wrong();
            if take.is_empty() {
                fill(FOLDER)
            } else {
                remount(FOLDER, take)
            }
            host.assert_network_is_back(label);
            eventually("a try fails", || failed_tries(&daemon) > 0);
            assert_only_rolls_back(why);
            // An explicit rollback is another attempt, and its error states the reason.
            let said = virsh("iface-rollback").failed();
            assert!(said.contains(why) && said.contains("; the daemon will retry"), "{said}");
            if give.is_empty() {
                make_room(FOLDER)
            } else {
                remount(FOLDER, give)
            }
            eventually("the end", || daemon.stderr().contains("rolled back the change"));
            host.assert_is_back(label);
        }
    });
}

#[test]
fn a_rollback_needs_no_folder_of_its_own() {
    with_virsh(|| {
        let host = Host::new();
        for is_asked_for in [true, false] {
            let daemon = host.go_wrong();
            run(command("umount").arg(CHANGE)).ok();
            fs::remove_dir_all("/var/lib/libvirt").unwrap();
            if is_asked_for {
                roll_back();
            }
            host.assert_network_is_back("the folder is gone");
            eventually("the end", || daemon.stderr().contains("rolled back the change"));
            assert_eq!(failed_tries(&daemon), 0);
            host.assert_is_back("the folder is gone");
            drop(daemon);
            fs::create_dir_all(CHANGE).unwrap();
            run(command("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs", CHANGE])).ok();
        }
    });
}

/// Replaced files are copied only if there is room for it.
#[test]
fn a_full_disk_keeps_no_copies_and_stops_no_rollback() {
    with_virsh(|| {
        let host = Host::new();
        for is_asked_for in [true, false] {
            let daemon = host.go_wrong();
            define(&ethernet("eth1", &["192.0.2.77/24"], &[]));
            fill(CHANGE);
            if is_asked_for {
                roll_back();
            }
            host.assert_network_is_back("the disk is full");
            eventually("the end", || daemon.stderr().contains("rolled back the change"));
            assert_eq!(Tree::take(), host.tree);
            let said = daemon.stderr();
            assert!(said.contains("the edited definition files are not kept"), "{said}");
            make_room(CHANGE);
            host.assert_is_back("the disk is full");
        }
    });
}

#[test]
fn a_deadline_without_descriptors_brings_the_network_back_and_the_files_later() {
    with_virsh(|| {
        let host = Host::new();
        let daemon = host.go_wrong();
        let may_open = |count: u32| {
            let pid = daemon.pid().to_string();
            run(command("prlimit").args(["--pid", &pid, &format!("--nofile={count}:")])).ok();
        };
        may_open(3);
        host.assert_network_is_back("nothing can be opened");
        eventually("a try fails", || failed_tries(&daemon) > 0);
        may_open(100);
        eventually("the end", || daemon.stderr().contains("rolled back the change"));
        host.assert_is_back("files can be opened again");
    });
}

#[test]
fn a_commit_that_cannot_be_written_down_has_not_happened() {
    with_virsh(|| {
        let host = Host::new();
        let _daemon = host.go_wrong();
        remount(CHANGE, "ro");
        assert!(virsh("iface-commit").failed().contains("Read-only file system"));
        assert!(virsh("iface-begin").failed().contains("one is already open"));
        remount(CHANGE, "rw");
        commit();
        assert_eq!(ports("br0"), ["eth0"]);
    });
}

/// The file could not be restored, so it is not removed either.
#[test]
fn a_file_that_could_not_be_read_at_the_beginning_is_left_alone() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let file = definition_file("eth9");
        fs::create_dir_all(&file).unwrap();
        let daemon = Daemon::start();
        begin();
        fs::remove_dir(&file).unwrap();
        define(&ethernet("eth9", &[], &[]));
        define(&ethernet("eth1", &[], &[]));
        roll_back();
        assert!(file.is_file() && !definition_file("eth1").exists());
        assert!(daemon.stderr().contains("a rollback will not restore this file"));
    });
}
