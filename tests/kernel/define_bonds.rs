// SPDX-License-Identifier: LGPL-2.1-or-later
//! Bonds that are defined, created, edited while they are active, and destroyed; and the state of
//! the host if that fails.

use crate::host::{
    NO_INTERFACE, OPERATION_INVALID, Picture, SYSTEM_ERROR, Scene, addresses, assert_unchanged,
    assert_words, exists, master, on_host_with, picture, routes,
};
use crate::support::command::{ip, ip_batch};
use crate::{BOND, DUMMY, MEMBERS, fact, set};

/// Modes by libvirt's names, and in the kernel's format.
const MODES: [(&str, &str); 7] = [
    ("balance-rr", "balance-rr 0"),
    ("active-backup", "active-backup 1"),
    ("balance-xor", "balance-xor 2"),
    ("broadcast", "broadcast 3"),
    ("802.3ad", "802.3ad 4"),
    ("balance-tlb", "balance-tlb 5"),
    ("balance-alb", "balance-alb 6"),
];

/// Modes for which the kernel supports ARP monitoring.
const ARP_MODES: [(&str, &str); 4] = [MODES[0], MODES[1], MODES[2], MODES[3]];

/// Monitors, and the kernel's attributes for each: interval, delays and carrier of MII; interval,
/// targets and validation of ARP.
const MII: [(&str, &[(&str, &str)]); 3] = [
    (
        "<miimon freq='100' carrier='netif'/>",
        &[("miimon", "100"), ("updelay", "0"), ("downdelay", "0"), ("use_carrier", "1")],
    ),
    (
        "<miimon freq='100' downdelay='300' updelay='200' carrier='ioctl'/>",
        &[("miimon", "100"), ("updelay", "200"), ("downdelay", "300"), ("use_carrier", "0")],
    ),
    (
        "<miimon freq='50' updelay='100' carrier='netif'/>",
        &[("miimon", "50"), ("updelay", "100"), ("downdelay", "0"), ("use_carrier", "1")],
    ),
];

/// With a minute between ARP probes, the state does not change during the test.
const ARP: [(&str, &[(&str, &str)]); 4] = [
    (
        "<arpmon interval='60000' target='192.0.2.1'/>",
        &[("arp_interval", "60000"), ("arp_ip_target", "192.0.2.1"), ("arp_validate", "none 0")],
    ),
    (
        "<arpmon interval='60000' target='192.0.2.1' validate='active'/>",
        &[("arp_interval", "60000"), ("arp_ip_target", "192.0.2.1"), ("arp_validate", "active 1")],
    ),
    (
        "<arpmon interval='60000' target='192.0.2.1' validate='backup'/>",
        &[("arp_interval", "60000"), ("arp_ip_target", "192.0.2.1"), ("arp_validate", "backup 2")],
    ),
    (
        "<arpmon interval='60000' target='192.0.2.1' validate='all'/>",
        &[("arp_interval", "60000"), ("arp_ip_target", "192.0.2.1"), ("arp_validate", "all 3")],
    ),
];

/// A definition of `bond0`; `protocols` and `monitor` are whole elements.
fn bond_xml(mode: &str, mtu: u32, protocols: &str, monitor: &str, members: &[&str]) -> String {
    let members: String =
        members.iter().map(|name| format!("<interface type='ethernet' name='{name}'/>")).collect();
    format!(
        "<interface type='bond' name='bond0'><start mode='none'/><mtu size='{mtu}'/>{protocols}\
         <bond mode='{mode}'>{monitor}{members}</bond></interface>"
    )
}

fn slaves() -> Vec<String> {
    let mut names: Vec<_> =
        fact("bond0", "bonding/slaves").split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_monitor(facts: &[(&str, &str)], label: &str) {
    for (attribute, value) in facts {
        assert_eq!(fact("bond0", &format!("bonding/{attribute}")), *value, "{label}: {attribute}");
    }
}

/// Defines a bond, creates it, checks it and destroys it; afterwards the host is in its initial
/// state.
fn round_trip(
    scene: &mut Scene,
    idle: &Picture,
    (mode, kernel_mode): (&str, &str),
    monitor: &str,
    facts: &[(&str, &str)],
) {
    let label = format!("{mode} {monitor}");
    scene.define(&bond_xml(mode, 1400, "", monitor, &["m0", "m1"]));
    scene.create("bond0");
    scene.assert_live_as_defined("bond0");
    assert_eq!(fact("bond0", "bonding/mode"), kernel_mode, "{label}");
    assert_monitor(facts, &label);
    assert_eq!(slaves(), ["m0", "m1"], "{label}");
    assert_eq!(fact("bond0", "address"), "52:54:00:00:00:11", "{label}");
    for link in ["bond0", "m0", "m1"] {
        assert_eq!(fact(link, "mtu"), "1400", "{label}: {link}");
        assert_eq!(u32::from_str_radix(&fact(link, "flags")[2..], 16).unwrap() & 1, 1, "{label}");
    }
    scene.assert_running("bond0");
    scene.destroy("bond0");
    assert_unchanged(idle, &label);
    let fault = scene.call_destroy("bond0").fault();
    assert_words(&fault, OPERATION_INVALID, &["interface is not running"]);
}

#[test]
fn a_bond_of_each_mode_comes_up_with_mii_monitoring_as_it_is_defined_and_goes() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        let mut scene = Scene::start();
        let idle = picture();
        for mode in MODES {
            for (monitor, facts) in MII {
                round_trip(&mut scene, &idle, mode, monitor, facts);
            }
        }
    });
}

#[test]
fn a_bond_of_each_mode_that_may_comes_up_with_arp_monitoring_as_it_is_defined_and_goes() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        let mut scene = Scene::start();
        let idle = picture();
        for mode in ARP_MODES {
            for (monitor, facts) in ARP {
                round_trip(&mut scene, &idle, mode, monitor, facts);
            }
        }
    });
}

#[test]
fn a_bond_whose_definition_leaves_mode_and_monitor_open_is_up_with_any() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        let mut scene = Scene::start();
        let members = "<interface type='ethernet' name='m0'/>";
        scene.define(&format!(
            "<interface type='bond' name='bond0'><start mode='none'/><bond>{members}</bond></interface>"
        ));
        scene.create("bond0");
        assert_eq!(fact("bond0", "bonding/mode"), "balance-rr 0");
        scene.assert_running("bond0");
        scene.destroy("bond0");
        ip("link add bond0 type bond mode active-backup miimon 70");
        scene.create("bond0");
        assert_eq!(slaves(), ["m0"]);
        assert_monitor(&[("mode", "active-backup 1"), ("miimon", "70")], "mode and monitor stay");
        scene.assert_running("bond0");
    });
}

/// The kernel rounds delays to whole intervals.
#[test]
fn a_delay_that_the_kernel_rounds_is_no_difference() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        let mut scene = Scene::start();
        let monitor = "<miimon freq='100' downdelay='10' updelay='250'/>";
        scene.define(&bond_xml("active-backup", 1500, "", monitor, &["m0"]));
        scene.create("bond0");
        assert_monitor(&[("miimon", "100"), ("updelay", "200"), ("downdelay", "0")], "rounded");
        scene.assert_running("bond0");
    });
}

#[test]
fn a_bond_that_is_defined_without_monitoring_has_none() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        let mut scene = Scene::start();
        let off = [("miimon", "0"), ("arp_interval", "0")];
        let modes = [("active-backup", 2), ("802.3ad", 1)];
        for (mode, count) in modes {
            let monitors = ["<miimon freq='0'/>", "<arpmon interval='0' target='192.0.2.1'/>"];
            for monitor in &monitors[..count] {
                for before in
                    ["<miimon freq='100'/>", "<arpmon interval='100' target='192.0.2.1'/>"]
                        .into_iter()
                        .take(count)
                {
                    scene.define(&bond_xml(mode, 1500, "", before, &["m0"]));
                    scene.create("bond0");
                    scene.define(&bond_xml(mode, 1500, "", monitor, &["m0"]));
                    scene.create("bond0");
                    assert_monitor(&off, &format!("{mode}: {before} becomes {monitor}"));
                    scene.assert_running("bond0");
                    scene.destroy("bond0");
                    scene.create("bond0");
                    assert_monitor(&off, &format!("{mode}: {monitor}"));
                    scene.assert_running("bond0");
                    scene.destroy("bond0");
                }
            }
        }
    });
}

/// Members that are in use: addresses of both families, the default route, other routes, MTUs.
const USED: &str = "\
link set m0 mtu 1400
link set m0 up
address add 192.0.2.1/24 dev m0
address add 192.0.2.2/24 dev m0
address add 203.0.113.1 peer 203.0.113.2/32 dev m0
address add 2001:db8::1/64 dev m0 nodad
route add default via 192.0.2.254 dev m0 metric 100
route add 198.51.100.0/24 via 192.0.2.253 dev m0 src 192.0.2.1 mtu 1300
route add 2001:db8:1::/48 via 2001:db8::fe dev m0
address add 198.51.100.7/32 dev m1
";

const ADDRESSED: &str = "\
<protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/><route gateway='192.0.2.254'/></protocol>\
<protocol family='ipv6'><ip address='2001:db8::1' prefix='64'/></protocol>";

#[test]
fn a_bond_takes_over_from_members_that_are_in_use() {
    for kind in ["veth", "dummy"] {
        on_host_with(&[BOND, DUMMY], move || {
            match kind {
                "veth" => ip_batch(MEMBERS),
                _ => ip_batch(
                    "link add m0 address 52:54:00:00:00:11 type dummy\n\
                     link add m1 address 52:54:00:00:00:12 type dummy\n",
                ),
            }
            ip_batch(USED);
            let mut scene = Scene::start();
            let monitor = "<miimon freq='100' carrier='netif'/>";
            scene.define(&bond_xml("active-backup", 1400, ADDRESSED, monitor, &["m0", "m1"]));
            scene.create("bond0");
            scene.assert_live_as_defined("bond0");
            assert_eq!(addresses("bond0"), ["192.0.2.1/24", "2001:db8::1/64"]);
            assert_eq!(
                routes("bond0"),
                [
                    "default via 192.0.2.254 metric 100",
                    "198.51.100.0/24 via 192.0.2.253 src 192.0.2.1 mtu 1300",
                    "2001:db8:1::/48 via 2001:db8::fe metric 1024 pref medium",
                ]
            );
            for member in ["m0", "m1"] {
                assert_eq!(addresses(member), [""; 0], "{kind} {member}");
                assert_eq!(routes(member), [""; 0], "{kind} {member}");
                assert_eq!(master(member).as_deref(), Some("bond0"));
            }
            scene.assert_running("bond0");
            scene.destroy("bond0");
            assert!(!exists("bond0"));
            for member in ["m0", "m1"] {
                assert_eq!(master(member), None);
                assert_eq!(addresses(member), [""; 0], "{kind} {member}");
                assert!(ip(&format!("-oneline link show {member}")).contains("state DOWN"));
            }
        });
    }
}

/// Without addresses, the bond gets no routes.
#[test]
fn a_bond_without_addresses_takes_over_none_from_members_that_are_in_use() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        ip_batch(USED);
        let mut scene = Scene::start();
        let monitor = "<miimon freq='100' carrier='netif'/>";
        scene.define(&bond_xml("active-backup", 1400, "", monitor, &["m0", "m1"]));
        let words = ["a default route leads over 192.0.2.1/24 of m0"];
        scene.assert_create_fails("bond0", OPERATION_INVALID, &words);
        ip("route del default");
        scene.create("bond0");
        scene.assert_live_as_defined("bond0");
        for name in ["bond0", "m0", "m1"] {
            assert_eq!((addresses(name), routes(name)), (vec![], vec![]), "{name}");
        }
        scene.assert_running("bond0");
    });
}

#[test]
fn a_bond_that_fails_late_leaves_its_members_as_they_were() {
    let ipv4 = |text: &str| format!("<protocol family='ipv4'>{text}</protocol>");
    let ipv6 = |text: &str| format!("<protocol family='ipv6'>{text}</protocol>");
    let rows = [
        (
            "a gateway that is the host's own address",
            1500,
            ipv4("<ip address='192.0.2.1' prefix='24'/><route gateway='203.0.113.77'/>"),
            &["route add default via 203.0.113.77 onlink dev bond0: ", "undone"][..],
        ),
        (
            "the same of IPv6",
            1500,
            ipv4("<ip address='192.0.2.1' prefix='24'/>")
                + &ipv6("<ip address='2001:db8::1' prefix='64'/><route gateway='2001:db8:77::1'/>"),
            &["route add default via 2001:db8:77::1 onlink dev bond0: ", "undone"],
        ),
        (
            "an address that the kernel has for the loopback alone",
            1500,
            ipv4("<ip address='192.0.2.1' prefix='24'/>")
                + &ipv6("<ip address='::1' prefix='128'/>"),
            &["addr add ::1/128 dev bond0: ", "undone"],
        ),
        (
            "an MTU that is over what bonds can have",
            100_000,
            ipv4("<ip address='192.0.2.1' prefix='24'/>"),
            &[
                "link set bond0 mtu 100000: Invalid argument (mtu greater than device maximum)",
                "undone",
            ],
        ),
    ];
    on_host_with(&[BOND], move || {
        ip_batch(MEMBERS);
        ip_batch(USED);
        ip_batch("address add 203.0.113.77/32 dev lo\naddress add 2001:db8:77::1/128 dev lo\n");
        let mut scene = Scene::start();
        // The release of members depends on the mode.
        let modes = MODES.map(|(mode, _)| mode);
        for (at, (label, mtu, protocols, words)) in rows.into_iter().enumerate() {
            let modes = if at == 0 { &modes[..] } else { &modes[at..=at] };
            for mode in modes {
                println!("{label}, {mode}");
                let monitor = "<miimon freq='100'/>";
                scene.define(&bond_xml(mode, mtu, &protocols, monitor, &["m0", "m1"]));
                scene.assert_create_fails("bond0", SYSTEM_ERROR, words);
                assert!(!exists("bond0"), "{label}");
            }
        }
    });
}

#[test]
fn foreseeable_failures_are_refused_before_anything_is_changed() {
    on_host_with(&[BOND, DUMMY], || {
        ip_batch(MEMBERS);
        ip_batch(USED);
        ip_batch("link add br0 type bridge\nlink add d0 type dummy\nlink set d0 master br0\n");
        let mut scene = Scene::start();
        let monitor = "<miimon freq='100'/>";
        scene.define(&bond_xml("broadcast", 1500, ADDRESSED, monitor, &["m0", "m1", "m2"]));
        let words = ["couldn't find interface named 'm2', a member of bond bond0"];
        scene.assert_create_fails("bond0", NO_INTERFACE, &words);
        scene.define(&bond_xml("broadcast", 1500, ADDRESSED, monitor, &["m0", "d0"]));
        let words = ["d0 is a port of br0: take it out of there first"];
        scene.assert_create_fails("bond0", OPERATION_INVALID, &words);
        scene.define(&bond_xml("broadcast", 1500, ADDRESSED, monitor, &["m0", "m1"]));
        ip("link add bond0 type dummy");
        let words = ["bond0 already exists and is not a bond"];
        scene.assert_create_fails("bond0", OPERATION_INVALID, &words);
        ip("link del bond0");
        ip("link del m1");
        let words = ["couldn't find interface named 'm1', a member of bond bond0"];
        scene.assert_create_fails("bond0", NO_INTERFACE, &words);
    });
}

/// The index of the bond. A recreated bond has another one.
fn index() -> String {
    fact("bond0", "ifindex")
}

#[test]
fn a_running_bond_is_edited_in_place() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        ip_batch(
            "link add m2 address 52:54:00:00:00:13 type veth peer name far2\n\
             link set far2 up\n\
             link set m2 up\n\
             address add 198.51.100.1/24 dev m2\n",
        );
        let mut scene = Scene::start();
        let xml =
            |monitor, members: &[_]| bond_xml("active-backup", 1500, ADDRESSED, monitor, members);
        scene.define(&xml(MII[0].0, &["m0", "m1"]));
        scene.create("bond0");
        let (first, index) = (picture(), index());
        // Each kind of monitor is replaced by each other one.
        let monitors: Vec<_> = MII.iter().chain(&ARP).collect();
        for at in [1, 2, 3, 0, 4, 5, 1, 6, 2, 5, 6, 4, 0] {
            let (monitor, facts) = monitors[at];
            scene.define(&xml(monitor, &["m0", "m1"]));
            scene.create("bond0");
            assert_monitor(facts, monitor);
            scene.assert_running("bond0");
        }
        // An attribute that the definition leaves out may have any value.
        for (at, facts) in [(6, ARP[3].1), (3, ARP[3].1), (0, MII[0].1)] {
            scene.define(&xml(monitors[at].0, &["m0", "m1"]));
            scene.call_create("bond0");
            assert_monitor(facts, monitors[at].0);
            scene.assert_running("bond0");
        }
        scene.define(&xml(MII[0].0, &["m0", "m1", "m2"]));
        scene.create("bond0");
        scene.assert_live_as_defined("bond0");
        assert_eq!(slaves(), ["m0", "m1", "m2"]);
        assert_eq!(addresses("m2"), [""; 0]);
        scene.define(&xml(MII[0].0, &["m0", "m1"]));
        scene.create("bond0");
        scene.assert_live_as_defined("bond0");
        assert_eq!((slaves(), master("m2")), (vec!["m0".to_owned(), "m1".to_owned()], None));
        assert_eq!(self::index(), index, "the bond was made anew");
        // The kernel keeps the ARP target.
        set("bond0", "bonding/arp_ip_target", "-192.0.2.1");
        ip("link set m2 up");
        ip("address add 198.51.100.1/24 dev m2");
        assert_unchanged(&first, "all of it was edited, and edited back");
    });
}

#[test]
fn an_edit_of_a_running_bond_that_cannot_be_made_changes_nothing() {
    on_host_with(&[BOND], || {
        ip_batch(MEMBERS);
        ip_batch(
            "link add m2 address 52:54:00:00:00:13 type veth peer name far2\n\
             link set far2 up\n\
             link set m2 up\n\
             address add 198.51.100.1/24 dev m2\n\
             address add 2001:db8:2::1/64 dev m2 nodad\n",
        );
        let mut scene = Scene::start();
        let monitor = "<miimon freq='100' updelay='200'/>";
        scene.define(&bond_xml("active-backup", 1500, ADDRESSED, monitor, &["m0", "m1"]));
        scene.create("bond0");
        for (mode, _) in MODES.into_iter().filter(|(mode, _)| *mode != "active-backup") {
            scene.define(&bond_xml(mode, 1500, ADDRESSED, monitor, &["m0", "m1"]));
            let words = ["the mode of bond0 cannot change while it runs: destroy it first"];
            scene.assert_create_fails("bond0", OPERATION_INVALID, &words);
        }
        // A new member, a removed member, another monitor, and finally an address that is refused.
        let broken = "<protocol family='ipv6'><ip address='::1' prefix='128'/></protocol>";
        let words = ["addr add ::1/128 dev bond0: ", "undone"];
        for monitor in [MII[1].0, ARP[3].0] {
            scene.define(&bond_xml("active-backup", 9000, broken, monitor, &["m1", "m2"]));
            scene.assert_create_fails("bond0", SYSTEM_ERROR, &words);
        }
    });
}
