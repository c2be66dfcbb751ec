// SPDX-License-Identifier: LGPL-2.1-or-later
//! Interfaces that are started automatically: `onboot` once a boot, `hotplug` when their device
//! appears.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::host::{
    FOLDER, TWO_NICS, addresses, await_addresses, bridge, define, definition_file, ethernet,
    find_link, is_up, link, listed_state, ports, virsh_destroy, with_virsh,
};
use crate::scene::fact;
use crate::support::command::{ip, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};

/// The daemon's note of the boot for which it has started interfaces.
pub(crate) const MARKER: &str = "/run/libvirt/interface/booted";

/// Long enough for a daemon to have done anything that it would do by itself.
const IDLE: Duration = Duration::from_millis(700);

/// Writes a definition file by hand.
pub(crate) fn store(name: &str, xml: &str, mode: &str) {
    fs::create_dir_all(FOLDER).unwrap();
    fs::write(definition_file(name), starting(xml, mode)).unwrap();
}

fn starting(xml: &str, mode: &str) -> String {
    let (head, "") = xml.rsplit_once("</interface>").unwrap() else { panic!("{xml}") };
    format!("{head}<start mode='{mode}'/></interface>")
}

pub(crate) fn await_address(name: &str, address: &str) {
    eventually(&format!("{name} has {address}"), || {
        find_link(name).is_some() && addresses(name) == [address]
    });
}

/// Waits until the daemon has started the interfaces of this boot.
fn await_marker() {
    eventually("the boot's interfaces are done", || {
        fs::read_to_string(MARKER).is_ok_and(|text| !text.is_empty())
    });
}

#[test]
fn onboot_comes_up_once_a_boot_and_no_restart_disturbs_it() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        store("br0", &bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]), "onboot");
        store("eth1", &ethernet("eth1", &["198.51.100.1/24"], &[]), "onboot");
        store("far0", &ethernet("far0", &["203.0.113.1/24"], &[]), "none");
        let daemon = Daemon::start();
        await_address("br0", "192.0.2.2/24");
        await_address("eth1", "198.51.100.1/24");
        assert_eq!(ports("br0"), ["eth0"]);
        await_marker();
        assert_eq!(addresses("far0"), [""; 0], "it is not to come up by itself");

        // An active interface is changed by hand, another is stopped with virsh.
        ip("address add 192.0.2.99/24 dev br0");
        virsh_destroy("eth1").unwrap();
        let facts = || {
            let of_link = |name| (link(name)["ifindex"].clone(), fact(name, "carrier_changes"));
            (["br0", "eth0", "eth1"].map(of_link), addresses("br0"), is_up("eth1"))
        };
        await_addresses();
        let (before, judge) = (facts(), Snapshot::take());
        assert_eq!(before.1, ["192.0.2.2/24", "192.0.2.99/24"]);
        assert!(!before.2);

        assert_eq!(daemon.stop().code(), Some(0));
        let daemon = Daemon::start();
        thread::sleep(IDLE);
        assert_eq!(facts(), before, "restarted");
        judge.assert_unchanged(Strictness::SameLinks, "restarted");
        assert_eq!(listed_state("eth1"), Some("inactive".to_owned()));
        daemon.kill();
        let daemon = Daemon::start();
        thread::sleep(IDLE);
        assert_eq!(facts(), before, "killed and started");
        judge.assert_unchanged(Strictness::SameLinks, "killed and started");

        // In another boot the run directory is empty, or contains the earlier boot's id.
        drop(daemon);
        assert!(Path::new(MARKER).exists());
        fs::write(MARKER, "another boot\n").unwrap();
        let _daemon = Daemon::start();
        await_address("eth1", "198.51.100.1/24");
        await_address("br0", "192.0.2.2/24");
    });
}

/// virsh copies the start mode from the NIC's description to the bridge's definition.
#[test]
fn a_bridge_over_a_nic_without_a_definition_starts_at_the_next_boot() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link set eth0 up\nlink set eth1 up\naddress add 192.0.2.2/24 dev eth0\n\
             route add default via 192.0.2.1\n",
        );
        let daemon = Daemon::start();
        await_marker();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(addresses("br0"), ["192.0.2.2/24"]);
        // The next boot: no bridge, a NIC that is down, an empty run directory.
        daemon.kill();
        ip_batch("link del br0\nlink set eth0 down\n");
        fs::remove_file(MARKER).unwrap();
        let _daemon = Daemon::start();
        await_address("br0", "192.0.2.2/24");
        await_marker();
        assert_eq!(ports("br0"), ["eth0"]);
        assert!(ip("-4 route").contains("default via 192.0.2.1 dev br0"));
        // After unbridging, the NIC's definition is started at boot too.
        virsh("iface-unbridge br0").ok();
        let definition = virsh("iface-dumpxml --inactive eth0").ok();
        assert!(definition.contains("<start mode='onboot'/>"), "{definition}");
    });
}

/// A failed start at boot is logged, and does not affect other interfaces.
#[test]
fn a_broken_definition_holds_up_no_other() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip("link add br2 type veth peer name br2-peer");
        store("a0", "<interface type='ethernet' name='a0'></interface>", "onboot");
        store("br0", &bridge("br0", "", &["nic7"], &[]), "onboot");
        store("br1", &bridge("br1", "stp='off'", &["eth0"], &["192.0.2.2/24"]), "onboot");
        store("br2", &bridge("br2", "stp='off'", &[], &[]), "onboot");
        store("eth1", &ethernet("eth1", &["198.51.100.1/24"], &["192.0.2.2"]), "onboot");
        store("far1", &ethernet("far1", &["203.0.113.1/24"], &[]), "onboot");
        fs::write(definition_file("broken0"), "<interface type='ethernet' name='bro").unwrap();
        let daemon = Daemon::start();
        await_address("br1", "192.0.2.2/24");
        await_address("far1", "203.0.113.1/24");
        await_marker();
        assert_eq!(ports("br0"), [""; 0], "without the port that is missing");
        assert_eq!(addresses("eth1"), ["198.51.100.1/24"], "without the route that is refused");
        let log = daemon.stderr();
        for want in [
            "a0 is not brought up (at boot): there is no link a0",
            "br0 is brought up in part (at boot): there is no link nic7",
            "br1 is brought up (at boot)",
            "br2 is not brought up (at boot): ",
            "eth1 is brought up in part (at boot): route add default via 192.0.2.2 onlink dev eth1: \
             Invalid argument",
            "br2 already exists and is not a bridge",
            "broken0.xml: ",
        ] {
            assert!(log.contains(want), "{want:?} is not in:\n{log}");
        }
    });
}

#[test]
fn hotplug_comes_up_when_its_device_appears() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        store("nic7", &ethernet("nic7", &["192.0.2.7/24"], &[]), "hotplug");
        store("br8", &bridge("br8", "stp='off'", &["nic8"], &["198.51.100.8/24"]), "hotplug");
        store("eth0", &ethernet("eth0", &["203.0.113.1/24"], &[]), "hotplug");
        let daemon = Daemon::start();
        // A device that exists at boot counts as having appeared.
        await_address("eth0", "203.0.113.1/24");
        await_marker();
        for (name, peer, holder, address) in
            [("nic7", "far7", "nic7", "192.0.2.7/24"), ("nic8", "far8", "br8", "198.51.100.8/24")]
        {
            ip(&format!("link add {name} type veth peer name {peer}"));
            await_address(holder, address);
        }
        eventually("the port", || ports("br8") == ["nic8"]);
        // Each time it appears.
        ip("link del nic7");
        ip("link add nic7 type veth peer name far7");
        await_address("nic7", "192.0.2.7/24");
        // Drivers create a device under another name first.
        ip_batch("link del nic7\nlink add temp7 type veth peer name far7\n");
        ip("link set temp7 name nic7");
        await_address("nic7", "192.0.2.7/24");

        virsh_destroy("nic7").unwrap();
        virsh("iface-dumpxml nic7").ok();
        daemon.kill();
        let _daemon = Daemon::start();
        thread::sleep(IDLE);
        assert!(!is_up("nic7"), "it has not appeared again");
        assert_eq!(addresses("eth0"), ["203.0.113.1/24"]);
        // A device that appeared while no daemon ran is not noticed; a later one is.
        ip("link del nic7");
        ip("link add nic7 type veth peer name far7");
        await_address("nic7", "192.0.2.7/24");
    });
}

#[test]
fn a_new_hotplug_definition_waits_for_its_device_to_appear() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        await_marker();
        define(&starting(&ethernet("eth0", &["203.0.113.1/24"], &[]), "hotplug"));
        // An event of another link, after which the daemon looks for devices that have appeared.
        ip("link add nic7 type veth peer name far7");
        thread::sleep(IDLE);
        assert_eq!(addresses("eth0"), [""; 0], "it was there all the time");
        ip_batch("link set eth0 down\nlink set eth0 name temp0\n");
        ip("link set temp0 name eth0");
        await_address("eth0", "203.0.113.1/24");
    });
}

/// A daemon that is stopped before an interface is complete leaves the rest to the next one.
#[test]
fn the_next_daemon_continues_after_a_stop() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let protocol = "<protocol family='ipv4'><dhcp/></protocol>";
        let nic = format!("<interface type='ethernet' name='eth0'>{protocol}</interface>");
        store("eth0", &nic, "onboot");
        store("eth1", &ethernet("eth1", &["198.51.100.1/24"], &[]), "onboot");
        let daemon = Daemon::start();
        eventually("eth0 waits for a lease", || is_up("eth0"));
        await_marker();
        assert_eq!(daemon.stop().code(), Some(0));
        assert!(is_up("eth0"));
        fs::remove_file(MARKER).unwrap();
        store("eth0", &ethernet("eth0", &["203.0.113.1/24"], &[]), "onboot");
        let _daemon = Daemon::start();
        await_address("eth0", "203.0.113.1/24");
        await_address("eth1", "198.51.100.1/24");
        await_marker();
    });
}
