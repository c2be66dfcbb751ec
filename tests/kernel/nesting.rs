// SPDX-License-Identifier: LGPL-2.1-or-later
//! Nested definitions that libvirt's schema permits: a bridge over a bond, over a VLAN, over all of
//! them. It is created completely, or not at all.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::host::{
    NO_INTERFACE, OPERATION_INVALID, Picture, SYSTEM_ERROR, Scene, addresses, assert_unchanged,
    exists, master, on_host_with, picture, routes,
};
use crate::support::StopOnDrop;
use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::link::Tunnel;
use crate::{BOND, DUMMY, MEMBERS, VLAN, fact};

const MODULES: [&str; 3] = [BOND, DUMMY, VLAN];

/// NICs other than the bond's members: two free ones, and the parent of a VLAN.
const NICS: &str = "\
link add e0 address 52:54:00:00:00:21 type veth peer name far2
link add e1 address 52:54:00:00:00:22 type dummy
link add p0 address 52:54:00:00:00:23 type veth peer name far3
link set far2 up
link set far3 up
link set p0 up
";

const ETHERNET: &str = "<interface type='ethernet' name='e0'/>";
const VLAN_PORT: &str =
    "<interface type='vlan' name='p0.5'><vlan tag='5'><interface name='p0'/></vlan></interface>";
const ADDRESSED: &str = "\
<protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/><route gateway='192.0.2.254'/></protocol>\
<protocol family='ipv6'><ip address='2001:db8::1' prefix='64'/></protocol>";
/// An address that the kernel accepts only on the loopback link.
const REFUSED: &str = "\
<protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/></protocol>\
<protocol family='ipv6'><ip address='::1' prefix='128'/></protocol>";

fn bond_port(monitor: &str, members: &[&str]) -> String {
    let members: String =
        members.iter().map(|name| format!("<interface type='ethernet' name='{name}'/>")).collect();
    format!(
        "<interface type='bond' name='bond0'><bond mode='active-backup'>{monitor}{members}</bond></interface>"
    )
}

/// The bond that most tests have in their bridge.
fn bond() -> String {
    bond_port("<miimon freq='100' carrier='netif'/>", &["m0", "m1"])
}

fn bridge_xml(more: &str, attributes: &str, ports: &[&str]) -> String {
    let ports = ports.concat();
    format!(
        "<interface type='bridge' name='br0'><start mode='none'/>{more}\
         <bridge {attributes}>{ports}</bridge></interface>"
    )
}

/// Checks the masters of the links below a bridge with these ports.
fn assert_masters(rows: &[(&str, Option<&str>)]) {
    for (name, want) in rows {
        assert_eq!(master(name).as_deref(), *want, "{name}");
    }
}

#[test]
fn each_nesting_comes_up_as_it_is_defined_and_leaves_nothing_behind() {
    on_host_with(&MODULES, || {
        ip_batch(MEMBERS);
        ip_batch(NICS);
        ip_batch("link add bond9 type bond mode active-backup miimon 100\nlink set bond9 up\n");
        let mut scene = Scene::start();
        let bond = bond();
        let over_bond = "<interface type='vlan' name='bond9.4094'>\
                         <vlan tag='4094'><interface name='bond9'/></vlan></interface>";
        let with_own_mac = "<interface type='ethernet' name='e0'>\
                            <mac address='52:54:00:00:00:99'/></interface>";
        let rows: [(&str, &[&str], &str); 7] = [
            ("a bond", &[&bond], "52:54:00:00:00:11"),
            ("a VLAN", &[VLAN_PORT], "52:54:00:00:00:23"),
            ("a VLAN over a bond", &[over_bond], "bond9"),
            ("a NIC, a bond, a VLAN", &[ETHERNET, &bond, VLAN_PORT], "52:54:00:00:00:21"),
            ("the other way round", &[VLAN_PORT, &bond, ETHERNET], "52:54:00:00:00:23"),
            ("a NIC with another address", &[with_own_mac, &bond], "52:54:00:00:00:99"),
            ("nothing", &[], ""),
        ];
        let attributes = [
            "stp='off' delay='0'",
            "stp='on' delay='4'",
            "stp='off' delay='0.02'",
            "stp='on' delay='30'",
        ];
        for (at, (label, ports, mac)) in rows.into_iter().enumerate() {
            println!("{label}");
            let before = picture();
            let attributes = attributes[at % attributes.len()];
            scene.define(&bridge_xml(&format!("<mtu size='1400'/>{ADDRESSED}"), attributes, ports));
            assert_unchanged(&before, "a definition is made");
            scene.create("br0");
            scene.assert_live_as_defined("br0");
            assert_eq!(addresses("br0"), ["192.0.2.1/24", "2001:db8::1/64"], "{label}");
            assert_eq!(routes("br0"), ["default via 192.0.2.254 proto static"], "{label}");
            assert_eq!(fact("br0", "mtu"), "1400", "{label}");
            match mac {
                "" => {}
                "bond9" => assert_eq!(fact("br0", "address"), fact("bond9", "address")),
                mac => assert_eq!(fact("br0", "address"), mac, "{label}"),
            }
            scene.assert_running("br0");
            scene.destroy("br0");
            if label == "a NIC with another address" {
                ip("link set e0 address 52:54:00:00:00:21");
            }
            assert_unchanged(&before, label);
            scene.undefine("br0");
        }
    });
}

/// The kernel rounds a bridge's delay to its own ticks of four milliseconds.
#[test]
fn a_delay_that_the_kernel_rounds_is_no_difference() {
    on_host_with(&[], || {
        let mut scene = Scene::start();
        for delay in ["0.01", "0.02", "1.55", "2.01", "29.99"] {
            for stp in ["on", "off"] {
                scene.define(&bridge_xml("", &format!("stp='{stp}' delay='{delay}'"), &[]));
                scene.create("br0");
                scene.assert_running("br0");
            }
            scene.destroy("br0");
            scene.create("br0");
            scene.assert_running("br0");
        }
    });
}

#[test]
fn a_bridges_mtu_is_that_of_all_that_is_in_it_as_far_as_they_go() {
    on_host_with(&MODULES, || {
        ip_batch(MEMBERS);
        ip_batch(NICS);
        let mut scene = Scene::start();
        let bond = bond();
        let ports: &[&str] = &[&bond, ETHERNET, VLAN_PORT];
        scene.define(&bridge_xml("<mtu size='9000'/>", "stp='off' delay='0'", ports));
        scene.create("br0");
        scene.assert_live_as_defined("br0");
        for name in ["br0", "bond0", "m0", "m1", "e0"] {
            assert_eq!(fact(name, "mtu"), "9000", "{name}");
        }
        assert_eq!((fact("p0", "mtu"), fact("p0.5", "mtu")), ("1500".into(), "1500".into()));
        scene.assert_running("br0");
    });
}

/// NICs and members that are in use.
const USED: &str = "\
link set e0 up
address add 192.0.2.1/24 dev e0
address add 192.0.2.2/24 dev e0
address add 2001:db8::1/64 dev e0
route add default via 192.0.2.254 dev e0
route add 10.0.0.0/8 via 192.0.2.253 dev e0 metric 5
route add 2001:db8:1::/48 via 2001:db8::fe dev e0
link set m0 mtu 1400
link set m0 up
address add 198.51.100.1/24 dev m0
address add 2001:db8:9::1/64 dev m0
address add 198.51.100.2/24 dev m1
link set p0 down
";

#[test]
fn a_nesting_that_fails_anywhere_leaves_the_host_as_it_was() {
    on_host_with(&MODULES, || {
        ip_batch(MEMBERS);
        ip_batch(NICS);
        ip_batch(USED);
        // The kernel refuses a gateway that is one of the host's own addresses.
        ip("address add 203.0.113.254/32 dev lo");
        let mut scene = Scene::start();
        let bond = bond();
        let all: &[&str] = &[ETHERNET, &bond, VLAN_PORT];
        let no_way = ADDRESSED.replace("192.0.2.254", "203.0.113.254");
        let rows = [
            (
                "an address",
                &format!("<mtu size='9000'/>{REFUSED}"),
                all,
                &["addr add ::1/128 dev br0: "][..],
            ),
            ("a gateway", &no_way, all, &["route add default via 203.0.113.254 onlink dev br0: "]),
            (
                "an MTU",
                &format!("<mtu size='100000'/>{ADDRESSED}"),
                all,
                &[" mtu 100000: Invalid argument (mtu greater than device maximum)"],
            ),
        ];
        for (label, more, ports, words) in rows {
            println!("{label}");
            scene.define(&bridge_xml(more, "stp='on' delay='2'", ports));
            let words = [words, &["undone"]].concat();
            scene.assert_create_fails("br0", SYSTEM_ERROR, &words);
        }
        // The bond has been created when the VLAN is refused.
        ip("link add other link p0 type vlan id 5");
        scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", all));
        let words = ["link add p0.5 link p0 type vlan id 5: File exists", "undone"];
        scene.assert_create_fails("br0", SYSTEM_ERROR, &words);
        ip("link del other");
        for (name, role) in [
            ("e0", "a port of bridge br0"),
            ("m1", "a member of bond bond0"),
            ("p0", "the parent of VLAN p0.5"),
        ] {
            let with_gone = |part: &str| part.replace(&format!("'{name}'"), "'gone0'");
            let parts = [ETHERNET, &bond, VLAN_PORT].map(with_gone);
            let parts = parts.each_ref().map(String::as_str);
            scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", &parts));
            let words = [&*format!("couldn't find interface named 'gone0', {role}")];
            scene.assert_create_fails("br0", NO_INTERFACE, &words);
        }
        scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", all));
        scene.create("br0");
        scene.assert_live_as_defined("br0");
        assert_eq!(
            routes("br0"),
            [
                "default via 192.0.2.254",
                "10.0.0.0/8 via 192.0.2.253 metric 5",
                "2001:db8:1::/48 via 2001:db8::fe metric 1024 pref medium",
            ]
        );
        for name in ["e0", "m0", "m1", "bond0", "p0.5"] {
            assert_eq!(addresses(name), [""; 0], "{name}");
        }
        // The links are missing only since the definition.
        scene.destroy("br0");
        for (name, role) in [("m1", "a member of bond bond0"), ("p0", "the parent of VLAN p0.5")] {
            ip(&format!("link del {name}"));
            let words = [&*format!("couldn't find interface named '{name}', {role}")];
            scene.assert_create_fails("br0", NO_INTERFACE, &words);
            ip(&format!("link add {name} type dummy"));
        }
    });
}

#[test]
fn a_running_nesting_is_edited_in_place() {
    on_host_with(&MODULES, || {
        let _guest = Tunnel::tap("vnet0");
        ip_batch(MEMBERS);
        ip_batch(NICS);
        let mut scene = Scene::start();
        let bond = bond();
        scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", &[&bond, ETHERNET]));
        scene.create("br0");
        ip_batch("link set vnet0 master br0\nlink set vnet0 up\n");
        let indices = || ["br0", "bond0", "m0", "e0", "vnet0"].map(|name| fact(name, "ifindex"));
        let first = indices();

        let watched =
            bond_port("<arpmon interval='60000' target='192.0.2.254' validate='all'/>", &["m0"]);
        scene.define(&bridge_xml(
            ADDRESSED,
            "stp='on' delay='7'",
            &[&watched, ETHERNET, VLAN_PORT],
        ));
        scene.create("br0");
        scene.assert_live_as_defined("br0");
        scene.assert_running("br0");
        assert_eq!(fact("bond0", "bonding/arp_interval"), "60000");
        assert_masters(&[("m0", Some("bond0")), ("p0.5", Some("br0")), ("vnet0", Some("br0"))]);
        assert_eq!(
            (fact("br0", "bridge/stp_state"), fact("br0", "bridge/forward_delay")),
            ("1".into(), "700".into())
        );

        // A bond and a VLAN are interfaces of the host, so an edit of the bridge does not delete
        // them.
        scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", &[ETHERNET]));
        scene.create("br0");
        scene.assert_running("br0");
        assert_masters(&[
            ("bond0", None),
            ("p0.5", None),
            ("e0", Some("br0")),
            ("vnet0", Some("br0")),
        ]);
        assert_eq!(indices(), first, "something was made anew");

        let words = ["br0 is in use, and these would be cut off: vnet0"];
        scene.assert_destroy_fails("br0", OPERATION_INVALID, &words);
        // Destroying the bridge leaves them too, as they are no longer a part of it.
        ip("link set vnet0 nomaster");
        scene.destroy("br0");
        assert!(!exists("br0") && exists("bond0") && exists("p0.5"));
    });
}

#[test]
fn an_edit_of_a_running_nesting_that_cannot_be_made_changes_nothing() {
    on_host_with(&MODULES, || {
        ip_batch(MEMBERS);
        ip_batch(NICS);
        ip("address add 198.51.100.1/24 dev e0");
        let mut scene = Scene::start();
        let bond = bond();
        scene.define(&bridge_xml(ADDRESSED, "stp='on' delay='3'", &[&bond, VLAN_PORT]));
        scene.create("br0");
        let other = bond_port("<miimon freq='50' updelay='100' carrier='ioctl'/>", &["m0"]);
        scene.define(&bridge_xml(REFUSED, "stp='off' delay='0'", &[&other, ETHERNET]));
        let words = ["addr add ::1/128 dev br0: ", "undone"];
        scene.assert_create_fails("br0", SYSTEM_ERROR, &words);
        let mode = other.replace("active-backup", "broadcast");
        scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", &[&mode, ETHERNET]));
        let words = ["the mode of bond0 cannot change while it runs: destroy it first"];
        scene.assert_create_fails("br0", OPERATION_INVALID, &words);
        let tag = VLAN_PORT.replace("tag='5'", "tag='6'");
        scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", &[&bond, &tag]));
        let words = ["the tag of p0.5 cannot change while it runs: destroy it first"];
        scene.assert_create_fails("br0", OPERATION_INVALID, &words);
    });
}

/// The picture without this link.
fn without(link: &str, picture: Picture) -> Picture {
    let keeps = |line: &String| {
        !line.contains(&format!("dev {link} ")) && !line.contains(&format!(" {link} inet"))
    };
    let without_word =
        |line: String| line.split(' ').filter(|word| *word != link).collect::<Vec<_>>().join(" ");
    let rest = picture.into_iter().filter(|(key, _)| *key != format!("link {link}"));
    rest.map(|(key, lines)| {
        (key, lines.into_iter().filter(|line| keeps(line)).map(without_word).collect())
    })
    .collect()
}

/// Runs `change` while other clients call, which slows it down, and removes the member `t0` as soon
/// as `moment` holds.
fn change_without_member(
    tap: Tunnel,
    moment: impl Fn() -> bool + Send,
    change: impl FnOnce() -> bool,
) -> bool {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopOnDrop(stop);
        scope.spawn(|| {
            let mut client = RawClient::open();
            while !stop.load(Ordering::Relaxed) {
                client.list_all();
            }
        });
        scope.spawn(move || {
            while !moment() && !stop.load(Ordering::Relaxed) {}
            drop(tap);
        });
        change()
    })
}

#[test]
fn a_member_that_goes_in_the_middle_of_a_change_leaves_all_or_nothing() {
    on_host_with(&MODULES, || {
        const ROUND_COUNT_MAX: usize = 40;
        ip_batch(MEMBERS);
        ip_batch(NICS);
        let mut scene = Scene::start();
        let bond = bond_port("<miimon freq='100' carrier='netif'/>", &["m0", "m1", "t0"]);
        let mut failures = [0; 2];
        for _ in 0..ROUND_COUNT_MAX {
            ip_batch(USED);
            let tap = Tunnel::tap("t0");
            let idle = without("t0", picture());
            scene.define(&bridge_xml(ADDRESSED, "stp='off' delay='0'", &[ETHERNET, &bond]));
            let has_begun = || fs::exists("/sys/class/net/bond0").unwrap();
            let is_up =
                change_without_member(tap, has_begun, || scene.call_create("br0").head.status == 0);
            if !is_up {
                failures[0] += 1;
                assert_unchanged(&idle, "a member went while the bridge came up");
            }
            // Removes the bridge if it was created, and creates it with all members.
            scene.call_destroy("br0");
            let tap = Tunnel::tap("t0");
            scene.create("br0");
            let running = without("t0", picture());
            let is_down = || fact("br0", "flags") == "0x1002";
            let is_down =
                change_without_member(tap, is_down, || scene.call_destroy("br0").head.status == 0);
            if !is_down {
                failures[1] += 1;
                assert_unchanged(&running, "a member went while the bridge went down");
                scene.define(&bridge_xml(
                    ADDRESSED,
                    "stp='off' delay='0'",
                    &[ETHERNET, &self::bond()],
                ));
                scene.destroy("br0");
            }
            scene.undefine("br0");
            ip_batch("link set m0 down\naddress flush dev m0\naddress flush dev m1\n");
            ip_batch("link set e0 down\naddress flush dev e0\n");
            if failures.iter().all(|count| *count > 2) {
                return;
            }
        }
        panic!("changes failed too seldom to tell: {failures:?}");
    });
}
