// SPDX-License-Identifier: LGPL-2.1-or-later
//! Guests' interfaces on a bridge: no definition names them, and the daemon never touches them.

use serde_json::Value;

use crate::host::{
    TWO_NICS, await_addresses, bridge, define, find_link, is_up, link, ports, virsh_destroy,
    virsh_edit, with_virsh,
};
use crate::scene::fact;
use crate::support::command::{ip, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link::Tunnel;

const GUESTS: [&str; 3] = ["guest0", "vnet0", "vnet1"];

/// The state of a guest's link, including counters that show any interruption.
fn state_of(name: &str) -> (Value, Value, String, bool) {
    let link = link(name);
    let (index, master) = (link["ifindex"].clone(), link["master"].clone());
    (index, master, fact(name, "carrier_changes"), is_up(name))
}

/// Runs `test` with guests on a bridge: two taps, and a veth as containers use it. A macvlan is on
/// top of the bridge.
fn with_guests(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        let _taps = ["vnet0", "vnet1"].map(Tunnel::tap);
        define(&bridge("br0", "stp='off' delay='0'", &["eth0"], &["192.0.2.2/24"]));
        virsh("iface-start br0").ok();
        ip_batch(
            "link add guest0 type veth peer name inner0\nlink set inner0 up\n\
             link set guest0 master br0\nlink set guest0 up\n\
             link set vnet0 master br0\nlink set vnet0 up\nlink set vnet1 master br0\n\
             link add macvlan0 link br0 type macvlan\nlink set macvlan0 up\n",
        );
        await_addresses();
        test();
    });
}

fn state() -> Vec<(Value, Value, String, bool)> {
    GUESTS.iter().chain(&["macvlan0", "br0"]).map(|name| state_of(name)).collect()
}

#[test]
fn guests_stay_where_they_are_whatever_becomes_of_the_definition() {
    with_guests(|| {
        let before = state();
        let all_ports = ["eth0", "guest0", "vnet0", "vnet1"];
        define(&bridge("br0", "stp='off' delay='0'", &["eth0"], &["192.0.2.2/24"]));
        assert_eq!(
            (state(), ports("br0")),
            (before.clone(), all_ports.map(str::to_owned).to_vec())
        );

        virsh_edit("br0", "sed -i 's/192.0.2.2/192.0.2.3/' \"$1\"").ok();
        virsh("iface-start br0").ok();
        assert_eq!(state(), before, "another address");

        define(&bridge("br0", "stp='on' delay='9'", &["eth0", "eth1"], &["192.0.2.2/24"]));
        virsh("iface-start br0").ok();
        assert_eq!(ports("br0"), ["eth0", "eth1", "guest0", "vnet0", "vnet1"]);
        define(&bridge("br0", "stp='off' delay='0'", &["eth0", "eth1"], &[]));
        virsh("iface-start br0").ok();
        let indices = |state: &[(Value, Value, String, bool)]| {
            state.iter().map(|it| (it.0.clone(), it.1.clone(), it.3)).collect::<Vec<_>>()
        };
        assert_eq!(indices(&state()), indices(&before), "STP comes and goes");

        virsh("iface-undefine br0").ok();
        assert_eq!(indices(&state()), indices(&before), "undefined");
    });
}

#[test]
fn a_bridge_with_guests_is_not_destroyed_and_they_are_named() {
    with_guests(|| {
        let before = Snapshot::take();
        let refused = |names: &str| {
            format!(
                "error: Failed to destroy interface br0\nerror: Requested operation is not valid: \
                 br0 is in use, and these would be cut off: {names}"
            )
        };
        let all = "guest0, vnet0, vnet1, macvlan0";
        assert_eq!(virsh_destroy("br0").unwrap_err(), refused(all));
        before.assert_unchanged(Strictness::SameLinks, "defined");
        let said = virsh("iface-unbridge br0").failed();
        assert!(said.ends_with(&format!("these would be cut off: {all}")), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "unbridge");

        // A bridge without a definition is not deleted, so only its ports are named.
        virsh("iface-undefine br0").ok();
        let said = virsh_destroy("br0").unwrap_err();
        assert!(said.contains("guest0") && said.contains("vnet0"), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "undefined");

        define(&bridge("br0", "stp='off' delay='0'", &["eth0"], &["192.0.2.2/24"]));
        for guest in GUESTS {
            ip(&format!("link set {guest} nomaster"));
        }
        assert_eq!(virsh_destroy("br0").unwrap_err(), refused("macvlan0"));
        ip("link del macvlan0");
        virsh_destroy("br0").unwrap();
        assert!(find_link("br0").is_none());
        for guest in GUESTS {
            assert!(find_link(guest).is_some(), "{guest}");
        }
    });
}

/// A macvlan depends on the NIC that `iface-bridge` takes.
#[test]
fn a_macvlan_over_a_nic_goes_on_when_the_nic_becomes_a_port() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link set eth0 up\naddress add 192.0.2.2/24 dev eth0\n\
             link add macvlan0 link eth1 type macvlan\nlink set eth1 up\nlink set macvlan0 up\n\
             address add 10.1.0.1/24 dev macvlan0\n",
        );
        let _daemon = Daemon::start();
        let before = state_of("macvlan0");
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        virsh("iface-unbridge br0").ok();
        assert_eq!(state_of("macvlan0"), before);
        // The kernel permits a device to be either a bridge port or the base of macvlans.
        await_addresses();
        let snapshot = Snapshot::take();
        let said = virsh("iface-bridge eth1 br1 --no-stp").failed();
        assert!(said.contains("link set eth1 master br1: "), "{said}");
        assert!(said.contains("the steps already done were undone"), "{said}");
        snapshot.assert_unchanged(Strictness::SameLinks, "over macvlans");
    });
}
