// SPDX-License-Identifier: LGPL-2.1-or-later
//! Open transactions survive the daemon's end, are rolled back when their deadline passes, and do
//! not survive a reboot.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::crash::STRACE;
use crate::host::{
    TWO_NICS, addresses, await_addresses, define, ethernet, find_link, folder, is_up, ports,
    virsh_destroy, with_virsh,
};
use crate::support::command::{command, ip, ip_batch, run, virsh};
use crate::support::daemon::{Background, Daemon, config_file, daemon_command, run_daemon};
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::{DIR, is_installed};
use crate::transaction::{CHANGE, Tree, begin, commit, roll_back, set_down};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Runs `test` on a host that is reached through `eth0`, which has a definition.
fn on_a_host(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link set eth0 up\naddress add 192.0.2.2/24 dev eth0\n\
             route add default via 192.0.2.1 dev eth0\n",
        );
        // The link has been up, which leaves traces in the kernel.
        ip_batch("link set eth1 up\n");
        await_addresses();
        set_down("eth1", "far1");
        test();
    });
}

/// Begins a transaction and makes changes that cut the host off.
fn go_wrong() {
    begin();
    virsh("iface-bridge eth0 br0 --no-stp").ok();
    define(&ethernet("eth1", &["192.0.2.200/24"], &[]));
    assert_eq!(ports("br0"), ["eth0"]);
}

/// Gives the current boot another id, as after a reboot.
fn pretend_to_have_rebooted() {
    let id = format!("{DIR}/boot_id");
    fs::write(&id, "00000000-0000-4000-8000-000000000000\n").unwrap();
    run(command("mount").args(["--bind", &id, BOOT_ID])).ok();
}

/// Enough seconds for virsh to begin a transaction and make changes on a busy machine.
const DEADLINE: u32 = 5;
const AFTER_DEADLINE: Duration = Duration::from_millis(5500);

/// The command of a daemon with this `change_timeout`.
fn with_deadline(seconds: u32) -> Command {
    let mut daemon = daemon_command();
    daemon.args(["-f", &config_file(&format!("change_timeout = {seconds}\nlog_level = 2\n"))]);
    daemon
}

#[test]
fn a_change_outlives_a_daemon_that_is_killed() {
    on_a_host(|| {
        let (before, tree) = (Snapshot::take(), Tree::take());
        let daemon = Daemon::start();
        go_wrong();
        daemon.kill();
        let daemon = Daemon::start();
        assert!(
            daemon.stderr().contains("found an open change left by an earlier daemon, begun at 20")
        );
        assert!(virsh("iface-begin").failed().contains("one is already open, begun at 20"));
        assert_eq!(ports("br0"), ["eth0"], "nothing is undone without a rollback");
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "after the rollback");
        assert_eq!(Tree::take(), tree);
    });
}

#[test]
fn a_change_outlives_a_daemon_that_is_stopped_and_can_be_committed_by_the_next() {
    on_a_host(|| {
        let daemon = Daemon::start();
        go_wrong();
        assert!(daemon.stop().success());
        let daemon = Daemon::start();
        commit();
        assert!(daemon.stop().success());
        let daemon = Daemon::start();
        assert_eq!(daemon.stderr(), "");
        assert!(virsh("iface-rollback").failed().contains("none has been begun"));
        assert_eq!(ports("br0"), ["eth0"]);
    });
}

#[test]
fn a_change_without_a_commit_in_time_is_rolled_back() {
    on_a_host(|| {
        let (before, tree) = (Snapshot::take(), Tree::take());
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        let begun = Instant::now();
        go_wrong();
        eventually("the bridge goes", || find_link("br0").is_none());
        assert!(begun.elapsed() >= Duration::from_secs(DEADLINE.into()));
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
        assert_eq!(Tree::take(), tree);
        let said = daemon.stderr();
        let line = said.lines().find(|line| line.contains("change_timeout expired"));
        assert!(line.is_some_and(|line| line.contains(" warning : ")), "{said}");
        assert_tells_of_a_rollback("iface-commit", "change_timeout expired; the edited definition");
    });
}

/// Asserts that a late call's error describes the rollback: when, why, and where edited files are.
fn assert_tells_of_a_rollback(command: &str, why: &str) {
    let said = virsh(command).failed();
    assert!(said.contains(" transaction: none is open: the change begun at 20"), "{said}");
    let (_, end) = said.split_once(" was rolled back at 20").unwrap_or_else(|| panic!("{said}"));
    assert!(end.contains(&format!(" UTC: {why}")), "{said}");
    let aside = format!("files are kept in {CHANGE}/aside/1");
    assert!(end.contains(&aside), "{said}");
    assert!(fs::read_dir(Path::new(CHANGE).join("aside/1")).unwrap().count() > 0);
}

#[test]
fn a_commit_in_time_stays() {
    on_a_host(|| {
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        go_wrong();
        commit();
        thread::sleep(AFTER_DEADLINE);
        assert_eq!(ports("br0"), ["eth0"]);
        assert!(!daemon.stderr().contains("change_timeout expired"));
    });
}

/// No daemon ran when the deadline passed; the next one finds the commit waiting.
#[test]
fn a_commit_that_comes_too_late_does_not_win_over_the_deadline() {
    on_a_host(|| {
        let before = Snapshot::take();
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        go_wrong();
        daemon.signal(libc::SIGSTOP);
        thread::scope(|scope| {
            let commit = scope.spawn(|| virsh("iface-commit").failed());
            thread::sleep(AFTER_DEADLINE);
            assert_eq!(ports("br0"), ["eth0"], "it is the daemon's affair as long as there is one");
            daemon.signal(libc::SIGCONT);
            let said = commit.join().unwrap();
            assert!(said.contains("none is open: the change begun at 20"), "{said}");
        });
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
    });
}

#[test]
fn another_deadline_counts_for_the_next_change() {
    on_a_host(|| {
        let daemon = Daemon::start_with(&mut with_deadline(600));
        begin();
        config_file("change_timeout = 1\nlog_level = 2\n");
        daemon.signal(libc::SIGHUP);
        eventually("the reload", || daemon.stderr().contains("configuration reloaded"));
        thread::sleep(Duration::from_millis(1500));
        commit();
        begin();
        eventually("the deadline", || daemon.stderr().contains("change_timeout expired"));
    });
}

/// The change under way is undone, and the rollback restores the initial state.
#[test]
fn a_deadline_does_not_wait_for_a_lease() {
    on_a_host(|| {
        let before = Snapshot::take();
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        begin();
        define(
            "<interface type='ethernet' name='eth1'><protocol family='ipv4'><dhcp/></protocol>\
             </interface>",
        );
        let asked = Instant::now();
        let said = virsh("iface-start eth1").failed();
        assert!(said.contains("the change is rolled back"), "{said}");
        // Half a minute is the time to wait for a lease.
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        eventually("the rollback", || daemon.stderr().contains("rolled back the change"));
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
        assert_eq!(folder(), [""; 0]);
    });
}

/// Neither a daemon nor the process that keeps the deadline runs.
#[test]
fn a_deadline_that_passes_without_a_daemon_is_kept_by_the_next() {
    on_a_host(|| {
        let (before, tree) = (Snapshot::take(), Tree::take());
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        go_wrong();
        let standby = standby();
        daemon.kill();
        assert!(standby.signal(libc::SIGKILL));
        thread::sleep(AFTER_DEADLINE);
        assert_eq!(ports("br0"), ["eth0"]);
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        // When the daemon answers, the host is already restored.
        assert!(find_link("br0").is_none());
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);
        before.assert_unchanged(Strictness::AlikeLinks, "after the start");
        assert_eq!(Tree::take(), tree);
        assert!(daemon.stderr().contains("rolled back the change begun at"));
    });
}

pub(crate) const STANDBY: &str = "/run/libvirt/interface/deadline.pid";

/// The process that keeps the deadline of the open transaction.
fn standby() -> Background {
    let is_there = || fs::read_to_string(STANDBY).is_ok_and(|text| text.ends_with('\n'));
    eventually("a process stands by", is_there);
    Background::of_pid_file(STANDBY)
}

fn assert_gone(standby: &Background) {
    eventually("nothing stands by any more", || !standby.is_running());
    assert!(!Path::new(STANDBY).exists());
}

/// As on hosts where no supervisor restarts the daemon.
#[test]
fn a_deadline_is_kept_when_the_daemon_and_its_process_group_are_killed() {
    on_a_host(|| {
        let (before, tree) = (Snapshot::take(), Tree::take());
        let daemon = Daemon::start_with(with_deadline(DEADLINE).process_group(0));
        let begun = Instant::now();
        go_wrong();
        let standby = standby();
        run(command("sh").args(["-c", &format!("kill -9 -{}", daemon.pid())])).ok();
        eventually("the bridge goes", || find_link("br0").is_none());
        assert!(begun.elapsed() >= Duration::from_secs(DEADLINE.into()));
        assert_gone(&standby);
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
        assert_eq!(Tree::take(), tree);
        assert!(daemon.stderr().contains("rolled back the change begun at"));
        // The next daemon has nothing to restore, and reports the rollback.
        let _daemon = Daemon::start();
        assert_tells_of_a_rollback("iface-commit", "change_timeout expired; ");
    });
}

/// The process writes to the log of the daemon in the background.
#[test]
fn a_deadline_is_kept_when_a_daemon_in_the_background_is_stopped() {
    on_a_host(|| {
        let before = Snapshot::take();
        let log = format!("{DIR}/log");
        let text = format!("change_timeout = {DEADLINE}\nlog_outputs = '2:file:{log}'\n");
        let daemon =
            Background::start_with(daemon_command().args(["-d", "-f", &config_file(&text)]));
        go_wrong();
        let standby = standby();
        daemon.stop();
        assert_eq!(ports("br0"), ["eth0"]);
        assert_gone(&standby);
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains("rolled back the change begun at"), "{said}");
    });
}

#[test]
fn the_standby_process_ends_with_the_transaction() {
    on_a_host(|| {
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        begin();
        let standby_of_first = standby();
        roll_back();
        assert_gone(&standby_of_first);
        go_wrong();
        let standby_of_second = standby();
        commit();
        assert_gone(&standby_of_second);
        daemon.kill();
        thread::sleep(AFTER_DEADLINE);
        assert_eq!(ports("br0"), ["eth0"]);
        // Without a deadline, no such process runs.
        let _daemon = Daemon::start();
        begin();
        commit();
        assert!(!Path::new(STANDBY).exists());
    });
}

/// Whether a process other than `first` keeps the deadline.
fn is_another_than(first: &Background) -> bool {
    fs::read_to_string(STANDBY)
        .is_ok_and(|pid| pid.ends_with('\n') && pid.trim_end() != first.pid().to_string())
}

#[test]
fn another_process_stands_by_when_one_is_killed() {
    on_a_host(|| {
        let before = Snapshot::take();
        let daemon = Daemon::start_with(&mut with_deadline(2 * DEADLINE));
        go_wrong();
        let first = standby();
        assert!(first.signal(libc::SIGKILL));
        eventually("another one stands by", || is_another_than(&first));
        let second = standby();
        daemon.kill();
        eventually("the bridge goes", || find_link("br0").is_none());
        assert_gone(&second);
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
    });
}

#[test]
fn none_stands_by_for_a_change_that_is_over_when_it_is_due() {
    on_a_host(|| {
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        begin();
        let first = standby();
        assert!(first.signal(libc::SIGKILL));
        eventually("the daemon knows", || {
            daemon.stderr().contains("has ended: until the next try")
        });
        commit();
        // It would have started within a second.
        thread::sleep(Duration::from_millis(1500));
        assert!(!is_another_than(&first));
        begin();
        eventually("the next change has one", || is_another_than(&first));
    });
}

#[test]
fn a_daemon_that_takes_a_change_over_has_a_process_of_its_own_stand_by() {
    on_a_host(|| {
        let before = Snapshot::take();
        let daemon = Daemon::start_with(&mut with_deadline(2 * DEADLINE));
        go_wrong();
        let first = standby();
        daemon.kill();
        let daemon = Daemon::start_with(&mut with_deadline(2 * DEADLINE));
        eventually("the first has ended", || !first.is_running());
        eventually("another one stands by", || is_another_than(&first));
        let second = standby();
        // While a daemon runs, the daemon keeps the deadline.
        eventually("the bridge goes", || find_link("br0").is_none());
        assert!(daemon.stderr().contains("change_timeout expired"));
        assert_gone(&second);
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
    });
}

/// A daemon's start at that moment does not block for long.
#[test]
fn a_daemon_that_starts_while_its_change_is_rolled_back_waits_for_that() {
    on_a_host(|| {
        if !is_installed(STRACE) {
            return;
        }
        let (before, tree) = (Snapshot::take(), Tree::take());
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        go_wrong();
        let standby = standby();
        daemon.kill();
        // The disk is slow, and the network is restored before the files.
        let mut strace = command(STRACE);
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fsync"]);
        strace.args(["-e", "inject=fsync:delay_enter=500000", "-p", &standby.pid().to_string()]);
        let mut strace = strace.stderr(Stdio::null()).spawn().unwrap();
        eventually("the bridge goes", || find_link("br0").is_none());
        assert_ne!(Tree::take(), tree, "it is under way");
        let daemon = Daemon::start();
        assert_eq!(Tree::take(), tree);
        before.assert_unchanged(Strictness::AlikeLinks, "after the start");
        assert!(!daemon.stderr().contains("found an open change"), "{}", daemon.stderr());
        assert_gone(&standby);
        strace.wait().unwrap();
    });
}

#[test]
fn the_standby_process_tries_until_all_is_restored() {
    on_a_host(|| {
        let (before, tree) = (Snapshot::take(), Tree::take());
        fs::create_dir_all(CHANGE).unwrap();
        run(command("mount").args(["-t", "tmpfs", "tmpfs", CHANGE])).ok();
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        go_wrong();
        let standby = standby();
        daemon.kill();
        run(command("mount").args(["-o", "remount,ro", CHANGE])).ok();
        eventually("the bridge goes", || find_link("br0").is_none());
        thread::sleep(Duration::from_secs(2));
        assert!(standby.is_running() && Path::new(CHANGE).join("snapshot").exists());
        run(command("mount").args(["-o", "remount,rw", CHANGE])).ok();
        assert_gone(&standby);
        assert!(!Path::new(CHANGE).join("snapshot").exists());
        before.assert_unchanged(Strictness::AlikeLinks, "after the deadline");
        assert_eq!(Tree::take(), tree);
    });
}

#[test]
fn a_daemon_with_an_open_change_does_not_end_for_want_of_clients() {
    on_a_host(|| {
        let mut daemon = Daemon::start_with(daemon_command().args(["-t", "3"]));
        begin();
        thread::sleep(Duration::from_secs(5));
        assert!(daemon.is_running());
        commit();
        assert!(daemon.wait().success());
    });
}

/// The network state ended with the earlier boot; the files are restored before any interface
/// starts by them.
#[test]
fn a_change_of_another_boot_is_rolled_back_before_interfaces_come_up() {
    on_a_host(|| {
        let daemon = Daemon::start();
        let onboot = |address: &str| {
            ethernet("eth1", &[address], &[])
                .replace("<protocol", "<start mode='onboot'/><protocol")
        };
        define(&onboot("192.0.2.7/24"));
        let tree = Tree::take();
        begin();
        define(&onboot("192.0.2.99/24"));
        define(&ethernet("eth0", &["192.0.2.98/24"], &[]));
        daemon.kill();
        pretend_to_have_rebooted();
        let daemon = Daemon::start();
        eventually("eth1 comes up", || is_up("eth1"));
        eventually("its address", || addresses("eth1") == ["192.0.2.7/24"]);
        assert_eq!(Tree::take(), tree);
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"], "what runs now is another boot's");
        assert!(
            daemon.stderr().contains("found an open change left by an earlier daemon, begun at")
        );
        let why = "the host rebooted before a commit; ";
        assert_tells_of_a_rollback("iface-rollback", why);
        // Another daemon reports it too, until a transaction begins.
        assert!(daemon.stop().success());
        let _daemon = Daemon::start();
        assert_tells_of_a_rollback("iface-commit", why);
        begin();
        commit();
        assert!(virsh("iface-commit").failed().contains("none has been begun"));
    });
}

#[test]
fn stale_changes_are_rolled_back_without_a_daemon() {
    on_a_host(|| {
        let (before, tree) = (Snapshot::take(), Tree::take());
        let run_alone = || {
            let output = run_daemon(&["--rollback-stale"]);
            (output.status.code(), output.stderr)
        };
        assert_eq!(run_alone(), (Some(0), String::new()), "there is none");
        let daemon = Daemon::start();
        go_wrong();
        let pid_files = || fs::read_dir("/run/libvirt/interface").unwrap().count();
        assert_eq!(run_alone().0, Some(0), "the daemon sees to it");
        daemon.kill();
        assert_eq!(run_alone().0, Some(0), "this one may stay");
        assert_eq!(ports("br0"), ["eth0"]);
        let count = pid_files();
        pretend_to_have_rebooted();
        // The configuration file may be faulty as well.
        fs::write("/etc/libvirt/virtinterfaced.conf", "change_timeout = never\n").unwrap();
        let (status, said) = run_alone();
        assert!(said.contains("/etc/libvirt/virtinterfaced.conf:1"), "{said}");
        fs::remove_file("/etc/libvirt/virtinterfaced.conf").unwrap();
        assert_eq!(status, Some(0));
        assert_eq!(Tree::take(), tree);
        assert_eq!(ports("br0"), ["eth0"], "from another boot files alone come back");
        assert_eq!(pid_files(), count, "the lock is given back");
        assert!(!Path::new(CHANGE).join("snapshot").exists());
        run(command("umount").arg(BOOT_ID)).ok();
        ip_batch("link del br0\n");

        // In the same boot, the network is restored too.
        ip_batch("address add 192.0.2.2/24 dev eth0\nroute add default via 192.0.2.1 dev eth0\n");
        let daemon = Daemon::start_with(&mut with_deadline(DEADLINE));
        go_wrong();
        let standby = standby();
        daemon.kill();
        assert!(standby.signal(libc::SIGKILL));
        thread::sleep(AFTER_DEADLINE);
        assert_eq!(run_alone().0, Some(0));
        before.assert_unchanged(Strictness::AlikeLinks, "after --rollback-stale");
        assert_eq!(Tree::take(), tree);
    });
}

#[test]
fn a_damaged_snapshot_is_set_aside_and_nothing_is_rolled_back() {
    fn flip(bytes: &mut [u8]) {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    }
    check_set_aside(flip, "its checksum is wrong");
}

#[test]
fn a_snapshot_in_the_format_of_another_release_is_set_aside_too() {
    fn older(bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(b"vifchg3\n");
    }
    check_set_aside(older, "another release wrote it in format 3, not 4");
}

/// Damages the snapshot of an open change.
fn check_set_aside(damage: fn(&mut [u8]), why: &'static str) {
    on_a_host(move || {
        let daemon = Daemon::start();
        go_wrong();
        daemon.kill();
        let path = Path::new(CHANGE).join("snapshot");
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let tree = Tree::take();
        let output = run_daemon(&["--rollback-stale"]);
        assert_eq!(output.status.code(), Some(11), "an init system can tell: {output:?}");
        let last = output.stderr.lines().last().unwrap();
        assert!(last.contains(why), "{output:?}");
        assert_eq!(fs::read(Path::new(CHANGE).join("aside/1/snapshot")).unwrap(), bytes);
        // A daemon handles it the same way.
        fs::remove_dir_all(Path::new(CHANGE).join("aside")).unwrap();
        fs::write(&path, &bytes).unwrap();
        let daemon = Daemon::start();
        let said = daemon.stderr();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(why)).collect();
        assert_eq!(lines.len(), 1, "{said}");
        let kept = format!("nothing is rolled back; the file is kept in {CHANGE}/aside/1");
        assert!(lines[0].contains(" error : ") && lines[0].ends_with(&kept), "{said}");
        assert_eq!(fs::read(Path::new(CHANGE).join("aside/1/snapshot")).unwrap(), bytes);
        assert_eq!((ports("br0"), Tree::take()), (vec!["eth0".to_owned()], tree));
        // The daemon works as before.
        begin();
        virsh_destroy("br0").unwrap();
        roll_back();
        assert_eq!(ports("br0"), ["eth0"]);
    });
}

#[test]
fn a_change_that_cannot_be_kept_is_not_begun() {
    on_a_host(|| {
        let _daemon = Daemon::start();
        fs::create_dir_all(CHANGE).unwrap();
        run(command("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs", CHANGE])).ok();
        fs::write(Path::new(CHANGE).join("full"), [0; 4096]).unwrap();
        let said = virsh("iface-begin").failed();
        assert!(said.contains("No space left on device"), "{said}");
        assert!(virsh("iface-commit").failed().contains("none has been begun"));
        fs::remove_file(Path::new(CHANGE).join("full")).unwrap();
        // The space suffices for the snapshot, but not for a change's journal.
        run(command("mount").args(["-o", "remount,size=64k", CHANGE])).ok();
        begin();
        let left: usize = 64 * 1024;
        let mut filler = vec![0_u8; left];
        while fs::write(Path::new(CHANGE).join("full"), &filler).is_err() {
            filler.truncate(filler.len() - 4096);
        }
        let before = Snapshot::take();
        let said = virsh("iface-start eth1").failed();
        assert!(said.contains("journal: No space left on device"), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "what cannot be journaled is not done");
        ip("link set eth1 up");
        roll_back();
        assert!(!is_up("eth1"));
    });
}
