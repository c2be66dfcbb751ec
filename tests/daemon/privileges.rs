// SPDX-License-Identifier: LGPL-2.1-or-later
//! The privileges of each process, as the kernel reports them in /proc.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::executor::executor_of;
use crate::support::client::RawClient;
use crate::support::command::command;
use crate::support::daemon::{Daemon, SOCKET, daemon_program};
use crate::support::namespace::{in_namespace, is_installed};

/// CHOWN, DAC_OVERRIDE, FOWNER, KILL, NET_ADMIN and SYS_PTRACE.
const KEPT: &str = "000000000008102b";
const NONE: &str = "0000000000000000";

const SETPRIV: &str = "/usr/bin/setpriv";

/// Returns the value of a field of /proc/PID/status.
fn status(process: &str, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    value.unwrap().to_owned()
}

fn assert_status(process: u32, want: &[(&str, &str)]) {
    for (field, value) in want {
        assert_eq!(status(&process.to_string(), field), *value, "{field}");
    }
}

#[test]
fn the_daemon_has_few_capabilities_and_its_executor_those_of_its_start() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let want = [
            ("CapInh", NONE),
            ("CapPrm", KEPT),
            ("CapEff", KEPT),
            ("CapBnd", NONE),
            ("CapAmb", NONE),
            ("NoNewPrivs", "1"),
        ];
        assert_status(daemon.pid(), &want);
        for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs"] {
            let own = status("thread-self", field);
            assert_status(executor_of(&daemon), &[(field, &own)]);
        }
    });
}

#[test]
fn a_socket_gets_its_group_with_these_capabilities() {
    in_namespace(|| {
        let groups = fs::read_to_string("/etc/group").unwrap();
        let group = groups.lines().find(|line| line.starts_with("games:")).unwrap();
        let number = group.split(':').nth(2).unwrap();
        let _daemon = Daemon::configured("unix_sock_group = \"games\"\n");
        assert_eq!(fs::metadata(SOCKET).unwrap().gid().to_string(), number);
    });
}

#[test]
fn a_capability_that_a_container_lacks_is_named_and_no_hindrance() {
    if !is_installed(SETPRIV) {
        return;
    }
    in_namespace(|| {
        let mut container = command(SETPRIV);
        container.args(["--bounding-set", "-kill,-sys_ptrace", &daemon_program()]);
        let daemon = Daemon::start_with(&mut container);
        assert_status(daemon.pid(), &[("CapEff", "000000000000100b"), ("CapBnd", NONE)]);
        let stderr = daemon.stderr();
        let missing: Vec<_> =
            stderr.lines().filter(|line| line.contains(" is missing: ")).collect();
        assert_eq!(missing.len(), 2, "{stderr}");
        assert!(missing[0].ends_with(
            "CAP_SYS_PTRACE is missing: recognising the DHCP clients of other programs may fail"
        ));
        assert!(missing[1].contains("CAP_KILL is missing: "));
        assert_eq!(RawClient::open().list_all(), ["lo"]);
    });
}

#[test]
fn without_the_right_to_limit_capabilities_it_gives_them_up_all_the_same() {
    if !is_installed(SETPRIV) {
        return;
    }
    in_namespace(|| {
        let mut container = command(SETPRIV);
        container.args(["--no-new-privs", "--bounding-set", "-setpcap", &daemon_program()]);
        let daemon = Daemon::start_with(&mut container);
        assert_status(daemon.pid(), &[("CapEff", KEPT), ("CapPrm", KEPT), ("NoNewPrivs", "1")]);
        assert_ne!(status(&daemon.pid().to_string(), "CapBnd"), NONE);
        assert!(!daemon.stderr().contains("warning"), "{}", daemon.stderr());
        assert_eq!(RawClient::open().list_all(), ["lo"]);
    });
}
