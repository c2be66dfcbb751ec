// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hosts that lack usual facilities: the daemon works without them, or reports in one line what it
//! cannot do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch, run};
use crate::support::daemon::{Background, Daemon, PID_FILE, config_file, daemon_command};
use crate::{await_xml, in_quiet_namespace, skip};

const RUN_DIR: &str = "/run/libvirt";

/// The description of a bridge with a port, on every host.
const BRIDGE: &str = "\
<interface type='bridge' name='br0'>
  <mtu size='1500'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
  <bridge stp='off' delay='15'>
    <interface type='ethernet' name='p0'>
      <link speed='10000' state='up'/>
      <mac address='52:54:00:00:00:51'/>
    </interface>
  </bridge>
</interface>
";

fn make_bridge() {
    ip_batch(
        "link add br0 type bridge\n\
         link add p0 address 52:54:00:00:00:51 type veth peer name far0\n\
         link set far0 up\n\
         link set p0 master br0 up\n\
         link set br0 up\n\
         address add 192.0.2.1/24 dev br0\n\
         route add default via 192.0.2.254\n",
    );
}

/// Mounts an empty file system with these options over `place`.
fn cover(place: &str, options: &str) {
    run(command("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", place])).ok();
}

#[track_caller]
fn assert_serves() {
    let mut client = RawClient::open();
    assert_eq!(client.list_all(), ["br0", "far0", "lo"]);
    await_xml(&mut client, "br0", BRIDGE);
}

#[test]
fn a_run_directory_that_is_missing_is_made_for_all_to_enter() {
    in_quiet_namespace(|| {
        make_bridge();
        assert!(!Path::new(RUN_DIR).exists());
        let daemon = Daemon::start();
        assert_eq!(fs::metadata(RUN_DIR).unwrap().mode() & 0o7777, 0o755);
        assert_serves();
        assert!(daemon.stop().success());
    });
}

#[test]
fn a_host_without_proc_or_sys_or_anything_in_etc_is_served_like_any_other() {
    for missing in [&["/proc"][..], &["/sys"], &["/etc"], &["/proc", "/sys", "/etc"]] {
        in_quiet_namespace(move || {
            make_bridge();
            missing.iter().for_each(|place| cover(place, "ro"));
            let mut command = daemon_command();
            let daemon = Daemon::start_with(command.env("LIBVIRT_DEBUG", "1"));
            assert_serves();
            daemon.signal(libc::SIGHUP);
            assert_serves();
            let words = daemon.stderr();
            assert!(words.contains(": debug : "), "{missing:?}: nothing was logged: {words}");
            assert!(daemon.stop().success(), "{missing:?}");
            let background = Background::start_with(daemon_command().arg("-d"));
            assert_serves();
            background.stop();
            assert!(!Path::new(PID_FILE).exists(), "{missing:?}");
        });
    }
}

#[test]
fn a_host_without_syslog_is_served() {
    in_quiet_namespace(|| {
        if Path::new("/dev/log").exists() {
            return skip("this host has a syslog");
        }
        make_bridge();
        let daemon = Daemon::configured("log_level = 1\nlog_outputs = '1:syslog:me'");
        assert_serves();
        assert!(daemon.stop().success());
    });
}

#[test]
fn a_run_directory_on_a_full_disk_ends_the_start_with_a_line_that_says_so() {
    // Each file takes an inode, and the file system itself another.
    let cases = [
        ("no folder", "mode=755,nr_inodes=1", 2, "cannot create /run/libvirt/interface: "),
        (
            "no lock",
            "mode=755,nr_inodes=2",
            1,
            "cannot claim pid file /run/libvirt/interface/virtinterfaced.pid: ",
        ),
        (
            "no socket",
            "mode=755,nr_inodes=3",
            6,
            "cannot bind /run/libvirt/virtinterfaced-admin-sock: ",
        ),
        ("no second", "mode=755,nr_inodes=4", 6, "cannot bind /run/libvirt/virtinterfaced-sock: "),
    ];
    for (label, options, status, words) in cases {
        in_quiet_namespace(move || {
            make_bridge();
            fs::create_dir(RUN_DIR).unwrap();
            cover(RUN_DIR, options);
            let want = format!("virtinterfaced: {words}No space left on device\n");
            assert_eq!(Daemon::run(&mut daemon_command()), (Some(status), want), "{label}");
            assert!(!Path::new(PID_FILE).exists(), "{label}");
            run(command("mount").args(["-o", "remount,nr_inodes=100", RUN_DIR])).ok();
            let _daemon = Daemon::start();
            assert_serves();
        });
    }
}

#[test]
fn a_pid_file_on_a_full_disk_ends_the_start_with_a_line_that_says_so() {
    in_quiet_namespace(|| {
        make_bridge();
        const DISK: &str = "/run/test/disk";
        let (pid_file, ballast) = (format!("{DISK}/pid"), format!("{DISK}/ballast"));
        fs::create_dir(DISK).unwrap();
        cover(DISK, "size=4k");
        fs::write(&ballast, "full").unwrap();
        let (status, words) = Daemon::run(daemon_command().args(["-p", &pid_file]));
        assert_eq!(status, Some(1));
        let reason = "No space left on device";
        assert_eq!(words, format!("virtinterfaced: cannot claim pid file {pid_file}: {reason}\n"));
        assert!(!Path::new(&pid_file).exists(), "a pid file without a number was left behind");
        fs::remove_file(&ballast).unwrap();
        let _daemon = Daemon::start_with(daemon_command().args(["-p", &pid_file]));
        assert_serves();
    });
}

#[test]
fn a_log_on_a_full_disk_costs_nothing_but_the_log() {
    in_quiet_namespace(|| {
        make_bridge();
        const DISK: &str = "/run/test/disk";
        let (log, ballast) = (format!("{DISK}/log"), format!("{DISK}/ballast"));
        fs::create_dir(DISK).unwrap();
        cover(DISK, "size=4k");
        fs::write(&ballast, "full").unwrap();
        let config = config_file(&format!("log_level = 1\nlog_outputs = '1:file:{log}'"));
        let daemon = Daemon::start_with(daemon_command().args(["-f", &config]));
        assert_serves();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        fs::remove_file(&ballast).unwrap();
        assert_serves();
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.contains(" log lines were lost: "), "{text}");
        assert!(daemon.stop().success());
    });
}

#[test]
fn a_log_that_cannot_be_made_ends_the_start_with_a_line_that_says_so() {
    in_quiet_namespace(|| {
        const DISK: &str = "/run/test/disk";
        fs::create_dir(DISK).unwrap();
        cover(DISK, "mode=755,nr_inodes=1");
        let config = config_file(&format!("log_outputs = '1:file:{DISK}/log'"));
        let (status, words) = Daemon::run(daemon_command().args(["-f", &config]));
        assert_eq!(status, Some(1));
        let reason = format!("cannot open log file {DISK}/log: No space left on device");
        let want = format!("virtinterfaced: log output \"1:file:{DISK}/log\": {reason}\n");
        assert_eq!(words, want);
    });
}
