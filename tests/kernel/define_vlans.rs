// SPDX-License-Identifier: LGPL-2.1-or-later
//! VLANs that are defined, created, edited, and destroyed, over every kind of parent; and parents
//! that cannot be destroyed while VLANs use them.

use crate::host::{
    NO_INTERFACE, OPERATION_INVALID, SYSTEM_ERROR, Scene, addresses, assert_unchanged, exists,
    on_host_with, picture, routes,
};
use crate::support::command::{ip, ip_batch};
use crate::{BOND, DUMMY, MEMBERS, VLAN, fact};

/// A NIC, a bond and a bridge, all of them up and in use.
const PARENTS: &str = "\
link add eth0 mtu 1450 address 52:54:00:00:00:21 type veth peer name far2
link set far2 up
link set eth0 up
address add 192.0.2.9/24 dev eth0
link add bond0 type bond mode active-backup miimon 100
link set m0 master bond0
link set bond0 up
link add br0 type bridge
link set m1 master br0
link set m1 up
link set br0 up
address add 203.0.113.9/24 dev br0
";

/// A definition; `more` consists of whole elements.
fn vlan_xml(name: &str, more: &str, tag: u16, parent: &str) -> String {
    format!(
        "<interface type='vlan' name='{name}'><start mode='none'/>{more}\
         <vlan tag='{tag}'><interface name='{parent}'/></vlan></interface>"
    )
}

const ADDRESSED: &str = "\
<protocol family='ipv4'><ip address='198.51.100.1' prefix='24'/><route gateway='198.51.100.254'/></protocol>\
<protocol family='ipv6'><ip address='2001:db8:5::1' prefix='64'/></protocol>";

/// Compares tag and parent with the kernel's own table.
#[track_caller]
fn assert_tagged(name: &str, tag: u16, parent: &str) {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/vlan/{name}")).unwrap();
    assert!(text.contains(&format!("VID: {tag}\t")), "{text}");
    assert!(text.contains(&format!("Device: {parent}\n")), "{text}");
}

fn is_up(name: &str) -> bool {
    u32::from_str_radix(&fact(name, "flags")[2..], 16).unwrap() & 1 == 1
}

#[test]
fn a_vlan_comes_up_over_every_kind_of_parent_and_goes_without_it() {
    on_host_with(&[BOND, VLAN], || {
        ip_batch(MEMBERS);
        ip_batch(PARENTS);
        let mut scene = Scene::start();
        let before = picture();
        for parent in ["eth0", "bond0", "br0"] {
            for tag in [1, 4094] {
                let name = format!("{parent}.{tag}");
                scene.define(&vlan_xml(&name, ADDRESSED, tag, parent));
                scene.create(&name);
                scene.assert_live_as_defined(&name);
                assert_tagged(&name, tag, parent);
                assert_eq!(addresses(&name), ["198.51.100.1/24", "2001:db8:5::1/64"]);
                assert_eq!(routes(&name), ["default via 198.51.100.254 proto static"]);
                assert_eq!(fact(&name, "address"), fact(parent, "address"));
                assert_eq!(fact(&name, "mtu"), fact(parent, "mtu"));
                scene.assert_running(&name);
                scene.destroy(&name);
                assert_unchanged(&before, &name);
                scene.undefine(&name);
            }
        }
    });
}

#[test]
fn a_vlan_has_at_most_its_parents_mtu() {
    on_host_with(&[VLAN], || {
        ip_batch(
            "link add eth0 mtu 1450 type veth peer name far0\n\
             link set far0 up\n\
             link set eth0 up\n",
        );
        let mut scene = Scene::start();
        for (wanted, mtu) in [(9000, "1450"), (1450, "1450"), (1300, "1300")] {
            scene.define(&vlan_xml("v0", &format!("<mtu size='{wanted}'/>"), 5, "eth0"));
            scene.create("v0");
            assert_eq!(fact("v0", "mtu"), mtu, "{wanted}");
            scene.assert_running("v0");
            scene.destroy("v0");
            assert_eq!(fact("eth0", "mtu"), "1450", "{wanted}");
        }
        // In place, to smaller and larger values.
        for (wanted, mtu) in [(1300, "1300"), (9000, "1450"), (1400, "1400")] {
            scene.define(&vlan_xml("v0", &format!("<mtu size='{wanted}'/>"), 5, "eth0"));
            scene.create("v0");
            assert_eq!(fact("v0", "mtu"), mtu, "{wanted}");
            scene.assert_running("v0");
        }
    });
}

#[test]
fn a_parent_that_is_down_is_brought_up_and_goes_down_again_if_the_vlan_fails() {
    on_host_with(&[VLAN], || {
        // The kernel refuses a gateway that is one of the host's own addresses.
        ip_batch(
            "link add eth0 type veth peer name far0\n\
             link set far0 up\n\
             address add 192.0.2.254/32 dev lo\n",
        );
        let mut scene = Scene::start();
        let broken = "<protocol family='ipv4'><ip address='198.51.100.1' prefix='24'/>\
                      <route gateway='192.0.2.254'/></protocol>";
        scene.define(&vlan_xml("v0", broken, 5, "eth0"));
        let words = ["route add default via 192.0.2.254 onlink dev v0: ", "undone"];
        scene.assert_create_fails("v0", SYSTEM_ERROR, &words);
        assert!(!exists("v0") && !is_up("eth0"));
        scene.define(&vlan_xml("v0", ADDRESSED, 5, "eth0"));
        scene.create("v0");
        assert!(is_up("v0") && is_up("eth0"));
        scene.destroy("v0");
        assert!(!exists("v0") && is_up("eth0"), "the parent belongs to another program");
    });
}

#[test]
fn tag_and_parent_of_an_active_vlan_cannot_be_edited_but_the_rest_can() {
    on_host_with(&[VLAN, DUMMY], || {
        ip_batch(
            "link add eth0 type veth peer name far0\n\
             link set far0 up\n\
             link add eth1 type dummy\n",
        );
        let mut scene = Scene::start();
        scene.define(&vlan_xml("v0", ADDRESSED, 5, "eth0"));
        scene.create("v0");
        let index = fact("v0", "ifindex");
        let more = ADDRESSED.replace("198.51.100.1'", "198.51.100.2'");
        scene.define(&vlan_xml("v0", &more, 5, "eth0"));
        scene.create("v0");
        assert_eq!(addresses("v0"), ["198.51.100.2/24", "2001:db8:5::1/64"]);
        assert_eq!(routes("v0"), ["default via 198.51.100.254 proto static"]);
        for (tag, parent, what) in [(6, "eth0", "the tag"), (5, "eth1", "the parent")] {
            scene.define(&vlan_xml("v0", &more, tag, parent));
            let words = format!("{what} of v0 cannot change while it runs: destroy it first");
            scene.assert_create_fails("v0", OPERATION_INVALID, &[&words]);
        }
        assert_eq!(fact("v0", "ifindex"), index);
        scene.define(&vlan_xml("v0", &more, 5, "eth9"));
        let words = ["couldn't find interface named 'eth9', the parent of VLAN v0"];
        scene.assert_create_fails("v0", NO_INTERFACE, &words);
    });
}

#[test]
fn a_tag_that_the_parent_has_already_fails_and_is_undone() {
    on_host_with(&[VLAN], || {
        ip_batch(
            "link add eth0 type veth peer name far0\n\
             link set far0 up\n\
             link add other0 link eth0 type vlan id 5\n",
        );
        let mut scene = Scene::start();
        scene.define(&vlan_xml("v0", ADDRESSED, 5, "eth0"));
        let words = ["link add v0 link eth0 type vlan id 5: File exists", "undone"];
        scene.assert_create_fails("v0", SYSTEM_ERROR, &words);
    });
}

#[test]
fn a_parent_in_use_is_not_destroyed() {
    on_host_with(&[BOND, VLAN], || {
        ip_batch(MEMBERS);
        let mut scene = Scene::start();
        let bond = "<bond mode='active-backup'><miimon freq='100'/>\
                    <interface type='ethernet' name='m0'/></bond>";
        let bridge = "<bridge><interface type='ethernet' name='m1'/></bridge>";
        scene.define(&format!(
            "<interface type='bond' name='bond0'><start mode='none'/>{bond}</interface>"
        ));
        scene.define(&format!(
            "<interface type='bridge' name='br0'><start mode='none'/>{bridge}</interface>"
        ));
        for parent in ["bond0", "br0"] {
            scene.create(parent);
            let names = [5, 6].map(|tag| format!("{parent}.{tag}"));
            scene.define(&vlan_xml(&names[0], ADDRESSED, 5, parent));
            scene.create(&names[0]);
            // A VLAN without a definition, which is down.
            ip(&format!("link add {} link {parent} type vlan id 6", names[1]));
            let in_use = format!("{parent} is in use, and these would be cut off: ");
            let words = [in_use.as_str(), &names[0], &names[1]];
            scene.assert_destroy_fails(parent, OPERATION_INVALID, &words);
            // A VLAN over the VLAN prevents its destruction as well.
            ip(&format!("link add inner link {} type vlan id 7", names[0]));
            let words = [&*format!("{} is in use, ", names[0]), "inner"];
            scene.assert_destroy_fails(&names[0], OPERATION_INVALID, &words);
            ip("link del inner");
            scene.destroy(&names[0]);
            scene.assert_destroy_fails(parent, OPERATION_INVALID, &[&names[1]]);
            ip(&format!("link del {}", names[1]));
            scene.destroy(parent);
            assert!(!exists(parent));
        }
    });
}
