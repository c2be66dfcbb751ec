// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls of `virsh iface-unbridge` for a bridge without a definition: destroy, undefine, define
//! the port, create it.

use crate::host::{
    OPERATION_INVALID, Scene, addresses, assert_unchanged, exists, master, on_host_with, picture,
    routes,
};
use crate::support::command::{ip, ip_batch};
use crate::{VLAN, fact};

const BRIDGE: &str = "\
link add eth0 address 52:54:00:00:00:21 type veth peer name far0
link set far0 up
link set eth0 up
link add eth0.5 link eth0 type vlan id 5
link add br0 address 52:54:00:00:00:21 type bridge
link set eth0.5 master br0 up
link set br0 up
address add 192.0.2.2/24 dev br0
route add default via 192.0.2.1 dev br0
";

const PORT: &str = "<interface type='vlan' name='eth0.5'><protocol family='ipv4'>\
    <ip address='192.0.2.2' prefix='24'/><route gateway='192.0.2.1'/></protocol>\
    <vlan tag='5'><interface name='eth0'/></vlan></interface>";

#[test]
fn a_bridge_without_a_definition_leaves_its_port_what_it_had() {
    on_host_with(&[VLAN], || {
        ip_batch(BRIDGE);
        let mut scene = Scene::start();
        let port = fact("eth0.5", "ifindex");
        scene.destroy("br0");
        assert_eq!(addresses("br0"), [""; 0]);
        scene.undefine("br0");
        assert!(!exists("br0"));
        scene.define(PORT);
        scene.create("eth0.5");
        assert_eq!(addresses("eth0.5"), ["192.0.2.2/24"]);
        assert_eq!(routes("eth0.5").len(), 1);
        assert_eq!(master("eth0.5"), None);
        assert_eq!(fact("eth0.5", "ifindex"), port, "it is the same link");
    });
}

#[test]
fn a_bridge_that_was_destroyed_comes_back_with_its_ports() {
    on_host_with(&[VLAN], || {
        ip_batch(BRIDGE);
        let mut scene = Scene::start();
        let before = picture();
        scene.destroy("br0");
        assert_eq!(master("eth0.5").as_deref(), Some("br0"));
        scene.create("br0");
        assert_unchanged(&before, "destroyed and started");
        // After it was up again, undefine no longer deletes it.
        assert_eq!(scene.call_undefine("br0").fault().code, OPERATION_INVALID);
        ip("link set br0 down");
        assert_eq!(scene.call_undefine("br0").fault().code, OPERATION_INVALID);
        assert!(exists("br0"));
    });
}
