// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback restores the VLANs of bridges and their ports, as `bridge` shows them.

use std::collections::BTreeMap;

use crate::host::{Scene, on_host};
use crate::support::command::{command, ip, ip_batch, run, run_with_input};
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link::Tunnel;
use crate::support::wire::{Arg, procedure};
use crate::{fact, skip};

/// A bridge with one port, and one with two ports and without a default VLAN; each also has a
/// guest.
const HOST: &str = "\
link add br0 type bridge vlan_filtering 1
link add br1 type bridge vlan_filtering 1 vlan_default_pvid 0
link add p0 type veth peer name far0
link add p1 type veth peer name far1
link add p2 type veth peer name far2
link set p0 master br0
link set p1 master br1
link set p2 master br1
link set vnet0 master br0
link set vnet1 master br1
link set far0 up
link set far1 up
link set far2 up
link set p0 up
link set p1 up
link set p2 up
link set br0 up
link set br1 up
";

const VLANS: &str = "\
vlan add dev br0 vid 20 self
vlan add dev p0 vid 20-29
vlan add dev p0 vid 30 pvid untagged
vlan add dev vnet0 vid 20 pvid untagged
vlan del dev vnet0 vid 1
vlan add dev br1 vid 2-4094 self
vlan add dev p1 vid 2-4094
vlan add dev vnet1 vid 7 pvid untagged
fdb add 52:54:00:00:01:01 dev p0 master static
fdb add 52:54:00:00:01:02 dev p0 master static vlan 25
fdb add 52:54:00:00:01:03 dev p1 master permanent vlan 4000
fdb add 52:54:00:00:01:04 dev br1 self permanent vlan 9
fdb add 52:54:00:00:01:05 dev vnet0 master static vlan 20
";

/// A change made with `ip` or `bridge`, and its arguments.
struct Deed(&'static str, &'static str);

/// Runs `test` with a running daemon on such a host, if the kernel's bridges support VLANs.
fn with_vlans(test: impl FnOnce(&mut Scene) + Send + 'static) {
    on_host(|| {
        let probe = ["link", "add", "probe", "type", "bridge", "vlan_filtering", "1"];
        if !run(command("ip").args(probe)).status.success() {
            return skip("the kernel's bridges do not look at VLANs");
        }
        ip("link del probe");
        let _guests = ["vnet0", "vnet1"].map(Tunnel::tap);
        ip_batch(HOST);
        bridge(VLANS);
        for name in ["p0", "p1", "p2", "br0", "br1"] {
            eventually(name, || fact(name, "operstate") == "up");
        }
        let mut scene = Scene::start();
        for (name, ports) in [("br0", &["p0"][..]), ("br1", &["p1", "p2"])] {
            let port = |port| format!("<interface type='ethernet' name='{port}'/>");
            let ports: String = ports.iter().map(port).collect();
            // Ports that no definition names may be guests'.
            scene.define(&format!(
                "<interface type='bridge' name='{name}'><bridge>{ports}</bridge></interface>"
            ));
        }
        test(&mut scene);
    });
}

/// Runs `bridge` commands, one a line; all must succeed.
#[track_caller]
fn bridge(lines: &str) {
    run_with_input(command("bridge").args(["-batch", "-"]), lines).ok();
}

/// The VLANs of each link, by its name.
fn vlans() -> BTreeMap<String, String> {
    let text = run(command("bridge").args(["-json", "-compressvlans", "vlan", "show"])).ok();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let links = told.as_array().unwrap().iter();
    links.map(|link| (link["ifname"].to_string(), link["vlans"].to_string())).collect()
}

#[track_caller]
fn call(scene: &mut Scene, procedure: i32) {
    scene.client.call(procedure, &[Arg::Word(0)]).results();
}

#[track_caller]
fn assert_undone(scene: &mut Scene, deeds: &[Deed]) {
    let before = Snapshot::take();
    call(scene, procedure::INTERFACE_CHANGE_BEGIN);
    for Deed(program, line) in deeds {
        run(command(program).args(line.split_whitespace())).ok();
    }
    let changed = before.differences(&Snapshot::take(), Strictness::AlikeLinks);
    assert!(changed.iter().any(|it| it.starts_with("/VLANs of bridges/")), "{changed:?}");
    call(scene, procedure::INTERFACE_CHANGE_ROLLBACK);
    before.assert_unchanged(Strictness::AlikeLinks, "a change that was rolled back");
}

#[test]
fn vlans_are_restored_with_their_bridges() {
    with_vlans(|scene| {
        assert_undone(scene, &[Deed("ip", "link del br0"), Deed("ip", "link del br1")])
    });
}

#[test]
fn vlans_are_restored_with_a_membership() {
    with_vlans(|scene| {
        let deeds = ["p0", "p1", "vnet0"].map(|port| format!("link set {port} nomaster").leak());
        let deeds = deeds.map(|line| Deed("ip", line));
        assert_undone(scene, &deeds);
    });
}

#[test]
fn vlans_are_restored_if_nothing_else_has_changed() {
    with_vlans(|scene| {
        let deeds = [
            "vlan add dev br0 vid 21 self",
            "vlan del dev br0 vid 20 self",
            "vlan del dev p0 vid 22-25",
            "vlan add dev p0 vid 26 pvid",
            "vlan add dev p0 vid 100-110 untagged",
            "vlan del dev p1 vid 2-4094",
            "vlan add dev p2 vid 5",
        ];
        assert_undone(scene, &deeds.map(|line| Deed("bridge", line)));
    });
}

#[test]
fn a_bridges_default_vlan_is_restored() {
    with_vlans(|scene| {
        let deeds = [
            "link set br0 type bridge vlan_filtering 0",
            "link set br0 type bridge vlan_default_pvid 5",
            "link set br1 type bridge vlan_default_pvid 5",
            "link set p2 nomaster",
        ];
        assert_undone(scene, &deeds.map(|line| Deed("ip", line)));
    });
}

/// When a bridge without a default VLAN gets one again, the kernel adds it to every port without a
/// VLAN.
#[test]
fn guests_stay_in_their_vlan_when_a_bridge_has_a_default_again() {
    with_vlans(|scene| {
        let deed = Deed("ip", "link set br0 type bridge vlan_default_pvid 0");
        assert_undone(scene, &[deed]);
    });
}

#[test]
fn a_guest_that_comes_under_the_name_of_another_does_not_get_its_vlans() {
    with_vlans(|scene| {
        call(scene, procedure::INTERFACE_CHANGE_BEGIN);
        ip("link del vnet1");
        let _other = Tunnel::tap("vnet1");
        ip("link set vnet1 master br1");
        ip("link set p1 nomaster");
        call(scene, procedure::INTERFACE_CHANGE_ROLLBACK);
        let vlans = vlans();
        assert!(vlans.contains_key("\"p1\"") && !vlans.contains_key("\"vnet1\""), "{vlans:?}");
    });
}

#[test]
fn vlans_of_a_guest_that_stays_are_left_alone() {
    with_vlans(|scene| {
        call(scene, procedure::INTERFACE_CHANGE_BEGIN);
        bridge("vlan add dev vnet1 vid 8\nvlan add dev vnet0 vid 21\n");
        let now = vlans();
        ip("address add 192.0.2.1/24 dev br0");
        call(scene, procedure::INTERFACE_CHANGE_ROLLBACK);
        assert_eq!(vlans(), now);
    });
}
