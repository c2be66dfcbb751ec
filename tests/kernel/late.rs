// SPDX-License-Identifier: LGPL-2.1-or-later
//! Bonds and VLANs that start at boot while their members and parents are missing.

use std::fs;

use crate::host::{DEFINITIONS, addresses, exists, on_host_with};
use crate::support::command::ip_batch;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::{BOND, VLAN, fact};

/// Writes a definition file with the start mode `onboot`.
fn store(kind: &str, name: &str, more: &str) {
    let xml =
        format!("<interface type='{kind}' name='{name}'><start mode='onboot'/>{more}</interface>");
    fs::create_dir_all(DEFINITIONS).unwrap();
    fs::write(format!("{DEFINITIONS}/{name}.xml"), xml).unwrap();
}

fn await_incomplete(want: &[&str]) {
    eventually(&format!("the marker says {want:?}"), || {
        let text = fs::read_to_string("/run/libvirt/interface/booted").unwrap_or_default();
        !text.is_empty() && text.lines().skip(1).eq(want.iter().copied())
    });
}

fn members(bond: &str) -> String {
    fs::read_to_string(format!("/sys/class/net/{bond}/bonding/slaves")).unwrap().trim().to_owned()
}

/// Adds a cable with one end called `name`.
fn plug(name: &str) {
    ip_batch(&format!("link add {name} type veth peer name far-{name}\nlink set far-{name} up\n"));
}

#[test]
fn members_parents_and_what_stands_over_them_follow_each_other() {
    on_host_with(&[BOND, VLAN], || {
        let member = |name| format!("<interface type='ethernet' name='{name}'/>");
        let ip = |address| {
            format!("<protocol family='ipv4'><ip address='{address}' prefix='24'/></protocol>")
        };
        let bond = format!(
            "<bond mode='active-backup'><miimon freq='100'/>{}{}</bond>",
            member("m0"),
            member("m1")
        );
        let vlan =
            |tag: u8, parent| format!("<vlan tag='{tag}'><interface name='{parent}'/></vlan>");
        store("bond", "bond0", &(ip("192.0.2.1") + &bond));
        store("vlan", "bond0.5", &(ip("198.51.100.1") + &vlan(5, "bond0")));
        let inner = format!("<interface type='vlan' name='m2.7'>{}</interface>", vlan(7, "m2"));
        let nested = bond.replace("'m0'", "'m3'").replace("'m1'", "'m4'");
        let nested = format!("<interface type='bond' name='bond1'>{nested}</interface>");
        store("bridge", "br0", &format!("{}<bridge>{inner}{nested}</bridge>", ip("203.0.113.1")));
        let daemon = Daemon::start();
        await_incomplete(&["bond0 onboot down", "bond0.5 onboot down", "br0 onboot up"]);
        assert!(!exists("bond0"));
        assert_eq!(addresses("br0"), ["203.0.113.1/24"]);

        plug("m1");
        await_incomplete(&["bond0 onboot usable", "br0 onboot up"]);
        assert_eq!(
            (members("bond0"), addresses("bond0")),
            ("m1".into(), vec!["192.0.2.1/24".into()])
        );
        assert_eq!(addresses("bond0.5"), ["198.51.100.1/24"], "over the bond that has come");
        assert_eq!(fact("bond0.5", "address"), fact("m1", "address"));
        plug("m2");
        await_incomplete(&["bond0 onboot usable", "br0 onboot usable"]);
        assert_eq!(fact("m2.7", "master/ifindex"), fact("br0", "ifindex"));
        assert!(!exists("bond1"));

        // The next daemon continues.
        daemon.kill();
        let _daemon = Daemon::start();
        let before = ["bond0", "br0", "bond0.5"].map(|name| fact(name, "ifindex"));
        plug("m0");
        await_incomplete(&["br0 onboot usable"]);
        assert_eq!(members("bond0"), "m1 m0");
        plug("m4");
        eventually("the bond", || exists("bond1"));
        await_incomplete(&["br0 onboot usable"]);
        plug("m3");
        await_incomplete(&[]);
        assert_eq!(members("bond1"), "m4 m3");
        assert_eq!(["bond0", "br0", "bond0.5"].map(|name| fact(name, "ifindex")), before);
    });
}
