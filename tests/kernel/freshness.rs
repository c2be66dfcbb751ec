// SPDX-License-Identifier: LGPL-2.1-or-later
//! The next call sees every change, whether the bond or bridge is up or down, and however the
//! change was made.

use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::{BOND, MEMBERS, VLAN, on_kernel_with, set};

/// Both states of the bond under test.
const STATES: [&str; 2] = ["up", "down"];

/// The names of the members in the bond's description.
fn members(client: &mut RawClient) -> Vec<String> {
    let xml = client.xml("bond0");
    let name = |line: &str| {
        let rest = line.strip_prefix("    <interface type='ethernet' name='")?;
        Some(rest.strip_suffix("'>")?.to_owned())
    };
    xml.lines().filter_map(name).collect()
}

/// The line of an interface's description with this element.
fn element(client: &mut RawClient, name: &str, element: &str) -> String {
    let xml = client.xml(name);
    let line = xml.lines().find(|line| line.trim_start().starts_with(&format!("<{element} ")));
    line.unwrap_or_else(|| panic!("no {element} in {xml}")).trim().to_owned()
}

#[test]
fn members_that_come_and_go_are_seen_by_the_next_call() {
    on_kernel_with(&[BOND], || {
        ip_batch(MEMBERS);
        ip("link add bond0 type bond mode active-backup miimon 100");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for state in STATES {
            ip(&format!("link set bond0 {state}"));
            for round in 0..5 {
                let label = format!("bond {state}, round {round}");
                assert!(client.xml("bond0").starts_with("<interface type='ethernet'"), "{label}");
                ip("link set m0 master bond0");
                assert_eq!(members(&mut client), ["m0"], "{label}");
                assert_eq!(client.list_all(), ["bond0", "far0", "far1", "lo", "m1"], "{label}");
                ip("link set m1 down");
                set("bond0", "bonding/slaves", "+m1");
                assert_eq!(members(&mut client), ["m0", "m1"], "{label}");
                set("bond0", "bonding/slaves", "-m0");
                assert_eq!(members(&mut client), ["m1"], "{label}");
                ip("link set m1 nomaster");
                assert_eq!(client.list_all(), ["bond0", "far0", "far1", "lo", "m0", "m1"]);
                ip_batch("link set m0 down\nlink set m1 down\n");
            }
        }
    });
}

#[test]
fn a_bonds_mode_is_seen_by_the_next_call_however_it_is_set() {
    on_kernel_with(&[BOND], || {
        ip_batch(MEMBERS);
        ip("link add bond0 type bond miimon 100");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let modes = [
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ];
        for mode in modes.into_iter().chain(modes.into_iter().rev()) {
            // The kernel changes the mode only of a bond that is down and has no members.
            set("bond0", "bonding/mode", mode);
            ip("link set m0 master bond0");
            assert_eq!(element(&mut client, "bond0", "bond"), format!("<bond mode='{mode}'>"));
            ip_batch("link set m0 nomaster\nlink set m0 down\n");
        }
    });
}

#[test]
fn a_bonds_monitor_is_seen_by_the_next_call_however_it_is_set() {
    on_kernel_with(&[BOND], || {
        ip_batch(MEMBERS);
        ip("link add bond0 type bond mode active-backup miimon 100");
        ip("link set m0 master bond0");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for state in STATES {
            ip(&format!("link set bond0 {state}"));
            for freq in (100..1_000).step_by(100) {
                set("bond0", "bonding/miimon", &freq.to_string());
                let want = format!("<miimon freq='{freq}' carrier='netif'/>");
                assert_eq!(element(&mut client, "bond0", "miimon"), want, "bond {state}");
            }
            set("bond0", "bonding/miimon", "100");
            set("bond0", "bonding/updelay", "200");
            set("bond0", "bonding/downdelay", "300");
            set("bond0", "bonding/use_carrier", "0");
            let want = "<miimon freq='100' downdelay='300' updelay='200' carrier='ioctl'/>";
            assert_eq!(element(&mut client, "bond0", "miimon"), want, "bond {state}");
            ip("link set bond0 type bond miimon 0 arp_interval 60000 arp_ip_target 192.0.2.1");
            let want = "<arpmon interval='60000' target='192.0.2.1'/>";
            assert_eq!(element(&mut client, "bond0", "arpmon"), want, "bond {state}");
            set("bond0", "bonding/arp_validate", "all");
            set("bond0", "bonding/arp_ip_target", "+192.0.2.2");
            set("bond0", "bonding/arp_ip_target", "-192.0.2.1");
            let want = "<arpmon interval='60000' target='192.0.2.2' validate='all'/>";
            assert_eq!(element(&mut client, "bond0", "arpmon"), want, "bond {state}");
            // Restores the initial state. The kernel turns ARP monitoring off when MII monitoring
            // is set.
            ip("link set bond0 type bond arp_validate none");
            set("bond0", "bonding/arp_ip_target", "-192.0.2.2");
            set("bond0", "bonding/miimon", "100");
            set("bond0", "bonding/updelay", "0");
            set("bond0", "bonding/downdelay", "0");
            set("bond0", "bonding/use_carrier", "1");
            let want = "<miimon freq='100' carrier='netif'/>";
            assert_eq!(element(&mut client, "bond0", "miimon"), want, "bond {state}");
        }
    });
}

#[test]
fn vlans_that_come_and_go_are_seen_by_the_next_call() {
    on_kernel_with(&[VLAN], || {
        ip("link add eth0 type veth peer name far0");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for tag in [1, 2, 100, 4094] {
            ip(&format!("link add v0 link eth0 type vlan id {tag}"));
            assert_eq!(client.list_all(), ["eth0", "far0", "lo", "v0"], "{tag}");
            assert_eq!(element(&mut client, "v0", "vlan"), format!("<vlan tag='{tag}'>"));
            ip("link set eth0 name other0");
            let parent = "    <interface name='other0'/>\n";
            assert!(client.xml("v0").contains(parent), "{tag}");
            ip("link set other0 name eth0");
            ip("link del v0");
            assert_eq!(client.list_all(), ["eth0", "far0", "lo"], "{tag}");
        }
        ip("link add v0 link eth0 type vlan id 5");
        ip("link del eth0");
        assert_eq!(client.list_all(), ["lo"], "a VLAN goes with its parent");
    });
}
