// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runs beside Debian's libvirtd with its interface and QEMU drivers: in either order, and each
//! daemon answers on its own URI.

use std::fs;

use crate::support::command::{Output, command, ip, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::libvirtd::{self, DRIVER, LIBVIRTD, QEMU_DRIVER};
use crate::support::namespace::{DIR, in_namespace, is_installed};

/// Runs `virsh` against libvirtd, which runs guests and has a read-only interface driver.
fn virsh_of_guests(arguments: &str) -> Output {
    let mut virsh = command("virsh");
    run(virsh.args(["-c", "qemu:///system"]).args(arguments.split_whitespace()))
}

/// The names of all interfaces in a list of virsh's.
fn names(list: Output) -> Vec<String> {
    let rows = list.ok();
    let rows = rows.lines().skip(2).filter_map(|row| row.split_whitespace().next());
    rows.map(str::to_owned).collect()
}

/// Bridges `port` through our daemon; libvirtd shows the bridge, and refuses to create one.
#[track_caller]
fn assert_each_has_its_part(bridge: &str, port: &str) {
    virsh(&format!("iface-bridge {port} {bridge} --no-stp")).ok();
    for list in [virsh("iface-list --all"), virsh_of_guests("iface-list --all")] {
        assert!(names(list).iter().any(|name| name == bridge), "{bridge}");
    }
    let refused = virsh_of_guests(&format!("iface-destroy {bridge}")).failed();
    assert!(refused.contains("not supported by the connection driver"), "{refused}");
    virsh_of_guests("list --all").ok();
    assert_eq!(virsh_of_guests("uri").ok().trim_end(), "qemu:///system");
}

/// A libvirtd guest with a NIC on `br0`; it need not run for the test.
const GUEST: &str = "\
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'><source bridge='br0'/><target dev='guest0'/></interface>
  </devices>
</domain>
";

#[test]
fn a_guest_comes_up_on_a_bridge_of_ours() {
    let needs = [LIBVIRTD, DRIVER, QEMU_DRIVER, "/usr/bin/qemu-system-x86_64"];
    if !needs.iter().all(|program| is_installed(program)) {
        return;
    }
    in_namespace(|| {
        libvirtd::prepare_beside();
        ip("link add a0 type veth peer name a1");
        let _ours = Daemon::start();
        let _theirs = libvirtd::start_beside();
        virsh("iface-bridge a0 br0 --no-stp").ok();
        let xml = format!("{DIR}/guest.xml");
        fs::write(&xml, GUEST).unwrap();
        virsh_of_guests(&format!("create {xml} --paused")).ok();
        assert!(ip("link show master br0").contains(" guest0: "));
        let refused = virsh("iface-destroy br0").failed();
        assert!(refused.contains("guest0"), "its bridge is not taken from it: {refused}");
        virsh_of_guests("destroy guest").ok();
    });
}

#[test]
fn each_starts_and_restarts_while_the_other_runs() {
    let needs = [LIBVIRTD, DRIVER, QEMU_DRIVER];
    if !needs.iter().all(|program| is_installed(program)) {
        return;
    }
    in_namespace(|| {
        libvirtd::prepare_beside();
        for port in ["a0", "a1", "a2", "a3"] {
            ip(&format!("link add {port} type veth peer name {port}-peer"));
        }
        let theirs = libvirtd::start_beside();
        let ours = Daemon::start();
        assert_each_has_its_part("br0", "a0");

        theirs.kill();
        let theirs = libvirtd::start_beside();
        assert_each_has_its_part("br1", "a1");

        assert_eq!(ours.stop().code(), Some(0));
        assert!(names(virsh_of_guests("iface-list --all")).contains(&"br1".to_owned()));
        let ours = Daemon::start();
        assert_each_has_its_part("br2", "a2");

        assert_eq!(theirs.stop().code(), Some(0));
        ours.kill();
        let _ours = Daemon::start();
        let _theirs = libvirtd::start_beside();
        assert_each_has_its_part("br3", "a3");
    });
}
