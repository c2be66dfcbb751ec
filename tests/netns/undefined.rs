// SPDX-License-Identifier: LGPL-2.1-or-later
//! Interfaces without a definition: `iface-start` restores their addresses and routes, and a bridge
//! can be taken apart.

use std::fs;

use crate::host::{
    TWO_NICS, addresses, await_addresses, bridge, define, definition_file, find_link, ip_json,
    is_up, ports, virsh_destroy, with_virsh,
};
use crate::support::command::{ip, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link::Tunnel;

const FOLDER: &str = "/run/libvirt/interface/down";

/// The initial configuration of `eth0`.
const BUSY: &str = "\
link set eth0 up
link set eth1 up
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0 label eth0:web
address add 10.9.0.1 peer 10.9.0.2/32 dev eth0
address add 10.6.0.1/16 dev eth1
address add 2001:db8::2/64 dev eth0 nodad
address add 2001:db8::3/64 dev eth0 nodad
route add default via 192.0.2.1 dev eth0
route add default via 192.0.2.9 dev eth0 metric 50
route add 203.0.113.0/24 via 192.0.2.9 dev eth0 src 192.0.2.3 mtu 1300
route add 203.0.115.0/24 via 192.0.2.9 dev eth0 table 100
route add 203.0.117.0/24 via 172.16.0.1 dev eth0 onlink
route add default via 2001:db8::1 dev eth0
route add 2001:db8:ffff::/48 via 2001:db8::9 dev eth0 metric 7
";

fn remembered() -> Vec<String> {
    let Ok(entries) = fs::read_dir(FOLDER) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_nic_comes_back_with_all_that_it_had() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        await_addresses();
        let before = Snapshot::take();
        let mut daemon = Daemon::start();
        for restarts in [false, true] {
            virsh_destroy("eth0").unwrap();
            assert!(!is_up("eth0"));
            assert_eq!(addresses("eth0"), [""; 0]);
            assert_eq!(remembered(), ["eth0"]);
            if restarts {
                daemon.kill();
                daemon = Daemon::start();
            }
            virsh("iface-start eth0").ok();
            await_addresses();
            before.assert_unchanged(Strictness::SameLinks, &format!("restarts: {restarts}"));
            virsh("iface-list").ok();
            assert_eq!(remembered(), [""; 0], "it is up");
        }
        // The second time, it restores the same state.
        virsh_destroy("eth0").unwrap();
        virsh("iface-start eth0").ok();
        await_addresses();
        before.assert_unchanged(Strictness::SameLinks, "again");
    });
}

/// A damaged file is set aside as a whole, and the network is left alone.
#[test]
fn damaged_files_are_logged_and_set_aside() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        let daemon = Daemon::start();
        virsh_destroy("eth0").unwrap();
        await_addresses();
        let before = Snapshot::take();
        daemon.kill();
        for (place, len) in [("down/eth0", 100), ("links", 20)] {
            let path = format!("/run/libvirt/interface/{place}");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..len]).unwrap();
        }
        let daemon = Daemon::start();
        let said = daemon.stderr();
        for said_of in ["down/eth0: its checksum", "interface/links: its checksum"] {
            assert_eq!(said.matches(said_of).count(), 1, "{said}");
        }
        before.assert_unchanged(Strictness::SameLinks, "started");
        virsh("iface-start eth0").ok();
        assert!(is_up("eth0"));
        assert_eq!(addresses("eth0"), [""; 0]);
        virsh_destroy("eth0").unwrap();
        assert_eq!(remembered(), ["damaged", "eth0"]);
    });
}

#[test]
fn manual_changes_replace_the_remembered_state() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        let daemon = Daemon::start();
        // An administrator brings the link up, which replaces the remembered state.
        virsh_destroy("eth0").unwrap();
        ip("link set eth0 up");
        virsh("iface-list").ok();
        ip("link set eth0 down");
        virsh("iface-start eth0").ok();
        assert_eq!(addresses("eth0"), [""; 0]);

        // An administrator adds an address, which is logged.
        virsh_destroy("eth1").unwrap();
        ip("address add 198.51.100.1/24 dev eth1");
        virsh("iface-start eth1").ok();
        assert_eq!(addresses("eth1"), ["198.51.100.1/24"]);
        let said = "eth1 was changed after it was taken down: its earlier addresses and routes are \
                    not restored";
        assert!(daemon.stderr().contains(said), "{}", daemon.stderr());
    });
}

#[test]
fn a_lease_comes_back_for_as_long_as_it_lasts_and_its_client_is_missed() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link set eth0 up\n\
             address add 10.5.0.1/16 dev eth0 valid_lft 3600 preferred_lft 1800\n\
             address add 10.5.0.2/16 dev eth0 valid_lft 1 preferred_lft 1\n",
        );
        let daemon = Daemon::start();
        virsh_destroy("eth0").unwrap();
        // After two seconds the second address has expired, however busy the machine is.
        std::thread::sleep(std::time::Duration::from_secs(2));
        virsh("iface-start eth0").ok();
        assert_eq!(addresses("eth0"), ["10.5.0.1/16"]);
        let left = ip_json("address show dev eth0")[0]["addr_info"][0]["valid_life_time"].as_u64();
        assert!((1..=3598).contains(&left.unwrap()), "{left:?}");
        let said = "eth0 has 10.5.0.1/16 only until that expires: its DHCP client is not known";
        assert!(daemon.stderr().contains(said), "{}", daemon.stderr());
    });
}

/// A bridge without a definition. Its port is a veth, which may be a guest's; `tests/kernel` has a
/// bridge over a VLAN.
const BRIDGE: &str = "\
link add br0 address 52:54:00:00:00:01 type bridge
link set eth0 master br0 up
link set br0 up
address add 192.0.2.2/24 dev br0
address add 2001:db8::2/64 dev br0 nodad
route add default via 192.0.2.1 dev br0
";

#[test]
fn a_bridge_that_cannot_be_taken_apart_stays_as_it_is() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(BRIDGE);
        await_addresses();
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        let said = virsh("iface-unbridge br0").failed();
        assert!(said.contains("these would be cut off: eth0"), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "a guest's port");
    });
}

#[test]
fn only_a_bridge_that_was_taken_down_goes_with_undefine() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link add br0 type bridge\nlink set br0 up\nlink add br1 type bridge\nlink set eth1 up\n",
        );
        let _daemon = Daemon::start();
        let refused = |name: &str| {
            let said = virsh(&format!("iface-undefine {name}")).failed();
            assert!(said.contains(&format!("interface '{name}' has no definition")), "{said}");
            assert!(find_link(name).is_some(), "{name}");
        };
        refused("br0");
        refused("br1");
        virsh_destroy("eth1").unwrap();
        refused("eth1");
        virsh_destroy("br0").unwrap();
        // A guest has started meanwhile.
        let tap = Tunnel::tap("tap0");
        ip("link set tap0 master br0");
        let said = virsh("iface-undefine br0").failed();
        assert!(said.contains("these would be cut off: tap0"), "{said}");
        assert_eq!(ports("br0"), ["tap0"]);
        drop(tap);
        virsh("iface-undefine br0").ok();
        assert!(find_link("br0").is_none());
        assert_eq!(remembered(), ["eth1"]);
    });
}

/// A definition has precedence over the remembered state.
#[test]
fn a_definition_counts_for_more_than_what_was_there() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        let _daemon = Daemon::start();
        virsh_destroy("eth1").unwrap();
        define(&bridge("br1", "stp='off'", &["eth1"], &["198.51.100.1/24"]));
        virsh("iface-start br1").ok();
        assert_eq!(addresses("br1"), ["198.51.100.1/24"]);
        assert_eq!(addresses("eth1"), [""; 0]);
        virsh("iface-list").ok();
        assert_eq!(remembered(), [""; 0]);
        assert!(definition_file("br1").exists());
    });
}
