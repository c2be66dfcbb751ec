// SPDX-License-Identifier: LGPL-2.1-or-later
//! The process that executes programs: what it holds, and what goes on when it or the daemon dies.

use std::fs;
use std::path::{Path, PathBuf};

use crate::hooks::script;
use crate::support::client::RawClient;
use crate::support::command::command;
use crate::support::daemon::{Daemon, daemon_command, daemon_program};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace};

/// Returns the pid of a daemon's executor: its only child when nothing changes.
pub(crate) fn executor_of(daemon: &Daemon) -> u32 {
    let pid = daemon.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let [executor] = *children.split_whitespace().collect::<Vec<_>>() else {
        panic!("{children:?}")
    };
    executor.parse().unwrap()
}

fn kill(pid: u32, signal: &str) {
    assert!(command("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn it_has_a_name_a_session_and_no_descriptor_of_the_daemons() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let executor = executor_of(&daemon);
        let of = |file: &str| fs::read_to_string(format!("/proc/{executor}/{file}")).unwrap();
        assert_eq!(of("comm"), "virt-executor\n");
        let stat = of("stat");
        let fields: Vec<_> = stat.split(' ').collect();
        assert_eq!(fields[5], executor.to_string(), "it leads a session");
        let descriptors = fs::read_dir(format!("/proc/{executor}/fd")).unwrap();
        let is_own = |path: &PathBuf| !["0", "1", "2"].iter().any(|number| path.ends_with(number));
        let paths = descriptors.map(|entry| entry.unwrap().path()).filter(is_own);
        let open: Vec<_> = paths.map(|path| fs::read_link(path).unwrap()).collect();
        let open: Vec<_> = open.iter().map(|it| it.to_str().unwrap()).collect();
        let count = |kind: &str| open.iter().filter(|it| it.starts_with(kind)).count();
        assert_eq!((count("socket:"), count("pipe:"), open.len()), (1, 2, 3), "{open:?}");
    });
}

#[test]
fn a_hook_is_its_child() {
    in_namespace(|| {
        if script("daemon", &format!("cat /proc/$PPID/comm > {DIR}/parent")) {
            let _daemon = Daemon::start();
            assert_eq!(fs::read_to_string(format!("{DIR}/parent")).unwrap(), "virt-executor\n");
        }
    });
}

#[test]
fn it_ends_with_the_daemon_and_with_no_signal_that_ends_the_daemon() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let executor = executor_of(&daemon);
        for signal in ["-TERM", "-INT", "-HUP", "-QUIT"] {
            kill(executor, signal);
        }
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        assert_eq!(executor_of(&daemon), executor);
        assert!(daemon.stop().success());
        eventually("its end", || !is_there(executor));

        let daemon = Daemon::start();
        let executor = executor_of(&daemon);
        daemon.kill();
        eventually("its end", || !is_there(executor));
    });
}

#[test]
fn without_it_clients_are_answered_and_what_needs_a_program_fails() {
    in_namespace(|| {
        if !script("daemon", "") {
            return;
        }
        let daemon = Daemon::start();
        kill(executor_of(&daemon), "-KILL");
        eventually("a line about it", || daemon.stderr().contains("virt-executor has ended"));
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        daemon.signal(libc::SIGHUP);
        let failed =
            "Hook script execution failed: /etc/libvirt/hooks/daemon - reload begin SIGHUP";
        eventually("the hook's failure", || daemon.stderr().contains(failed));
        assert_eq!(RawClient::open().list_all(), ["lo"]);
        let stderr = daemon.stderr();
        assert_eq!(stderr.matches("virt-executor has ended").count(), 1, "{stderr}");
        let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
        assert_eq!(fs::read_to_string(children).unwrap(), "", "it is reaped");
        assert!(daemon.stop().success());
    });
}

#[test]
fn a_hook_that_runs_when_it_dies_does_not_hold_up_the_daemon() {
    in_namespace(|| {
        let hook = format!("echo $PPID > {DIR}/parent.new; mv {DIR}/parent.new {DIR}/parent");
        if !script("daemon", &format!("{hook}; exec sleep 60")) {
            return;
        }
        let mut daemon = Daemon::spawn(&mut daemon_command());
        eventually("the hook", || Path::new(&format!("{DIR}/parent")).exists());
        let executor = fs::read_to_string(format!("{DIR}/parent")).unwrap();
        kill(executor.trim().parse().unwrap(), "-KILL");
        daemon.wait_for("/run/libvirt/virtinterfaced-sock");
        assert_eq!(RawClient::open().list_all(), ["lo"]);
    });
}

#[test]
fn a_daemon_in_the_background_has_one_too() {
    in_namespace(|| {
        if script("daemon", &format!("cat /proc/$PPID/comm > {DIR}/parent")) {
            let (status, stderr) = Daemon::run(command(&daemon_program()).arg("-d"));
            assert_eq!((status, stderr.as_str()), (Some(0), ""));
            assert_eq!(fs::read_to_string(format!("{DIR}/parent")).unwrap(), "virt-executor\n");
            let pid = fs::read_to_string("/run/virtinterfaced.pid").unwrap();
            kill(pid.trim().parse().unwrap(), "-TERM");
        }
    });
}
