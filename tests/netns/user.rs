// SPDX-License-Identifier: LGPL-2.1-or-later
//! An ordinary user's own daemon: it has the user's definitions, and cannot change the host.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::host::{FOLDER, TWO_NICS, VIRSH, await_addresses, ethernet, file, with_virsh};
use crate::support::command::{Output, command, ip_batch, run, run_with_input};
use crate::support::daemon::{Daemon, daemon_program};
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::skip;

const USER: u32 = 65_534;
const HOME: &str = "/run/home";
const RUNTIME_DIR: &str = "/run/user";
const OWN_FOLDER: &str = "/run/home/.config/libvirt/interface";

/// A copy of the daemon that any user may run.
const DAEMON: &str = "/run/test/virtinterfaced";

fn as_user(program: &str) -> Command {
    let mut command = command(program);
    command.uid(USER).gid(USER).env("HOME", HOME).env("XDG_RUNTIME_DIR", RUNTIME_DIR);
    command
}

fn virsh(arguments: &str) -> Output {
    let mut virsh = as_user(VIRSH);
    run(virsh.args(["-c", "interface:///session"]).args(arguments.split_whitespace()))
}

fn with_session(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch("link set eth0 up\naddress add 192.0.2.2/24 dev eth0\n");
        // Copied by another process: a process that another test has just forked would inherit our
        // descriptor that is open for writing, and the file could not be executed.
        run(command("cp").args([&daemon_program(), DAEMON])).ok();
        for dir in [HOME, RUNTIME_DIR] {
            fs::create_dir(dir).unwrap();
            chown(dir, Some(USER), Some(USER)).unwrap();
        }
        let mut daemon = Daemon::spawn(&mut as_user(DAEMON));
        daemon.wait_for(format!("{RUNTIME_DIR}/libvirt/virtinterfaced-sock"));
        test();
    });
}

#[test]
fn definitions_are_the_users_own() {
    with_session(|| {
        let path = file("eth1.xml", &ethernet("eth1", &["198.51.100.1/24"], &[]));
        virsh(&format!("iface-define {path}")).ok();
        let stored = fs::metadata(format!("{OWN_FOLDER}/eth1.xml")).unwrap();
        assert_eq!((stored.uid(), stored.mode() & 0o777), (USER, 0o600));
        assert_eq!(fs::metadata(OWN_FOLDER).unwrap().mode() & 0o777, 0o700);
        assert!(!Path::new(FOLDER).exists(), "the system's are others");
        let shown = virsh("iface-dumpxml --inactive eth1").ok();
        assert!(shown.contains("<ip address='198.51.100.1' prefix='24'/>"), "{shown}");
        virsh("iface-undefine eth1").ok();
        assert_eq!(fs::read_dir(OWN_FOLDER).unwrap().count(), 0);
    });
}

#[test]
fn the_host_is_not_the_users_to_change() {
    with_session(|| {
        await_addresses();
        let before = Snapshot::take();
        let path = file("eth1.xml", &ethernet("eth1", &["198.51.100.1/24"], &[]));
        virsh(&format!("iface-define {path}")).ok();
        let cases = [
            ("iface-start eth1", "access denied: failed to create (start) interface eth1: "),
            ("iface-start far0", "Requested operation is not valid: interface is already running"),
            ("iface-destroy eth0", "access denied: failed to destroy (stop) interface eth0: "),
            (
                "iface-bridge eth0 br0 --no-stp",
                "access denied: failed to create (start) interface br0: link add br0",
            ),
        ];
        for (arguments, want) in cases {
            let said = virsh(arguments).failed();
            assert!(said.contains(&format!("error: {want}")), "{arguments}: {said}");
            assert!(
                !said.contains("access denied") || said.contains("; nothing has been changed"),
                "{arguments}: {said}"
            );
            before.assert_unchanged(Strictness::SameLinks, arguments);
        }
    });
}

#[test]
fn a_binding_reads_that_access_is_denied() {
    const SCRIPT: &str = "\
import libvirt, sys
libvirt.registerErrorHandler(lambda context, err: None, None)
interface = libvirt.open('interface:///session').interfaceLookupByName('eth0')
try:
    interface.destroy(0)
    sys.exit('it has succeeded')
except libvirt.libvirtError as err:
    got = (err.get_error_code(), err.get_error_domain())
    if got != (libvirt.VIR_ERR_ACCESS_DENIED, libvirt.VIR_FROM_INTERFACE):
        sys.exit(repr(got))
";
    with_session(|| {
        let has_binding = command("/usr/bin/python3").args(["-c", "import libvirt"]).output();
        if !has_binding.is_ok_and(|output| output.status.success()) {
            return skip("/usr/bin/python3 lacks its libvirt binding");
        }
        run_with_input(as_user("/usr/bin/python3").arg("-"), SCRIPT).ok();
    });
}
