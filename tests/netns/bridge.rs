// SPDX-License-Identifier: LGPL-2.1-or-later
//! `virsh iface-bridge` and `iface-unbridge`, with all their options.

use crate::host::{
    TWO_NICS, addresses, await_addresses, bridge, define, definition_file, ethernet, find_link,
    folder, link, ports, routes, sorted, with_virsh,
};
use crate::support::command::{ip, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};

/// The initial configuration of `eth0`.
const BUSY: &str = "\
link set eth0 up
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 198.51.100.1/32 dev eth0
address add 2001:db8::2/64 dev eth0 nodad
address add 2001:db8:1::2/112 dev eth0 nodad
route add default via 192.0.2.1 dev eth0
route add 203.0.113.0/24 via 192.0.2.9 dev eth0
route add 2001:db8:ffff::/48 via 2001:db8::9 dev eth0
route add default via 2001:db8::1 dev eth0
";

const ADDRESSES: [&str; 5] =
    ["192.0.2.2/24", "192.0.2.3/24", "198.51.100.1/32", "2001:db8::2/64", "2001:db8:1::2/112"];

/// In the order of `ip`'s output.
const ROUTES: [&str; 4] = [
    "default via 192.0.2.1",
    "203.0.113.0/24 via 192.0.2.9",
    "2001:db8:ffff::/48 via 2001:db8::9",
    "default via 2001:db8::1",
];

/// Sets up `eth0`. The kernel announces IPv6 addresses a moment after `ip` has ended.
fn make_busy() {
    ip_batch(BUSY);
    eventually("IPv6 addresses are in use", || {
        let routes = ip("-6 route show table local");
        ["2001:db8::2 ", "2001:db8:1::2 "].iter().all(|address| routes.contains(address))
    });
}

fn with_daemon(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        test();
    });
}

/// Compares addresses in any order, as IPv6 lists its newest first.
#[track_caller]
fn assert_addresses(name: &str, want: &[&str]) {
    let want = want.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(sorted(addresses(name)), sorted(want), "{name}");
}

#[track_caller]
fn assert_routes(name: &str, want: &[&str]) {
    let want = want.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(sorted(routes(name)), sorted(want), "{name}");
}

/// The kernel's STP state, and the delay in hundredths of a second.
#[track_caller]
fn settings(name: &str) -> (u64, u64) {
    let data = &link(name)["linkinfo"]["info_data"];
    (data["stp_state"].as_u64().unwrap(), data["forward_delay"].as_u64().unwrap())
}

#[test]
fn every_option_of_iface_bridge_does_what_it_says() {
    struct Case(&'static str, (u64, u64), &'static str);
    const CASES: [Case; 7] = [
        Case("", (1, 200), "<bridge stp='on' delay='0'>"),
        Case("--delay 4", (1, 400), "<bridge stp='on' delay='4'>"),
        // STP does not permit so much, so the kernel uses the maximum.
        Case("--delay 100", (1, 3000), "<bridge stp='on' delay='100'>"),
        // virsh does not pass on the delay in this case.
        Case("--no-stp", (0, 1500), "<bridge stp='off'>"),
        Case("--no-stp --delay 5", (0, 1500), "<bridge stp='off'>"),
        Case("--no-stp --no-start", (0, 1500), "<bridge stp='off'>"),
        Case("--delay 15 --no-start", (1, 1500), "<bridge stp='on' delay='15'>"),
    ];
    with_daemon(|| {
        make_busy();
        await_addresses();
        let judge = Snapshot::take();
        for Case(options, want, xml) in CASES {
            let is_started = !options.contains("--no-start");
            let said = virsh(&format!("iface-bridge eth0 br0 {options}")).ok();
            assert!(said.contains("Created bridge br0 with attached device eth0"), "{said}");
            assert_eq!(said.contains("Bridge interface br0 started"), is_started, "{said}");
            assert_eq!(folder(), ["br0.xml"], "{options}");
            let definition = virsh("iface-dumpxml --inactive br0").ok();
            assert!(definition.contains(xml), "{options}: {definition}");
            if is_started {
                assert_eq!(settings("br0"), want, "{options}");
                let running = virsh("iface-start br0").failed();
                assert!(running.contains("interface is already running"), "{options}: {running}");
                assert_eq!(ports("br0"), ["eth0"], "{options}");
                assert_eq!(link("br0")["address"], "52:54:00:00:00:01", "{options}");
                assert_addresses("br0", &ADDRESSES);
                assert_addresses("eth0", &[]);
                assert_routes("eth0", &[]);
            } else {
                assert!(find_link("br0").is_none(), "{options}");
                assert_addresses("eth0", &ADDRESSES);
            }

            if !is_started {
                // virsh ignores the option, and tries to stop the bridge first.
                let said = virsh("iface-unbridge br0 --no-start").failed();
                assert!(said.contains("interface is not running"), "{said}");
                virsh("iface-undefine br0").ok();
                assert_eq!(folder(), [""; 0]);
                continue;
            }
            let said = virsh("iface-unbridge br0").ok();
            assert!(said.contains("Device eth0 un-attached from bridge br0"), "{said}");
            assert!(said.contains("Interface eth0 started"), "{said}");
            assert_eq!(folder(), ["eth0.xml"], "{options}");
            judge.assert_unchanged(Strictness::AlikeLinks, options);
            virsh("iface-undefine eth0").ok();
        }
    });
}

#[test]
fn every_static_route_goes_along() {
    with_daemon(|| {
        make_busy();
        assert_routes("eth0", &ROUTES);
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_addresses("br0", &ADDRESSES);
        assert_routes("br0", &ROUTES);
        assert_addresses("eth0", &[]);
        assert_routes("eth0", &[]);
    });
}

#[test]
fn unbridge_without_start_leaves_the_nic_down() {
    with_daemon(|| {
        make_busy();
        await_addresses();
        let judge = Snapshot::take();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        let said = virsh("iface-unbridge br0 --no-start").ok();
        assert!(said.contains("Device eth0 un-attached from bridge br0"), "{said}");
        assert!(!said.contains("started"), "{said}");
        assert_eq!(folder(), ["eth0.xml"]);
        virsh("iface-start eth0").ok();
        judge.assert_unchanged(Strictness::AlikeLinks, "started");
    });
}

/// virsh leaves the emptied `bridge` element in the NIC's definition.
#[test]
fn unbridge_brings_no_remark_on_what_virsh_wrote() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let daemon = Daemon::start();
        virsh("iface-bridge eth0 br0 --delay 2").ok();
        virsh("iface-unbridge br0").ok();
        assert!(!daemon.stderr().contains("is ignored"), "{}", daemon.stderr());
    });
}

/// A user's definition of the NIC, with a start mode and an MTU, moves to the bridge and back.
#[test]
fn a_definition_goes_along_too() {
    with_daemon(|| {
        let xml = ethernet("eth0", &["192.0.2.2/24"], &["192.0.2.1"])
            .replace("</interface>", "<start mode='onboot'/><mtu size='1400'/></interface>");
        define(&xml);
        virsh("iface-start eth0").ok();
        let before = virsh("iface-dumpxml --inactive eth0").ok();
        await_addresses();
        let judge = Snapshot::take();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        let definition = virsh("iface-dumpxml --inactive br0").ok();
        assert!(definition.contains("<start mode='onboot'/>"), "{definition}");
        assert!(definition.contains("<mtu size='1400'/>"), "{definition}");
        assert_eq!((&link("br0")["mtu"], &link("eth0")["mtu"]), (&1400.into(), &1400.into()));
        assert_routes("br0", &["default via 192.0.2.1"]);
        virsh("iface-unbridge br0").ok();
        assert_eq!(virsh("iface-dumpxml --inactive eth0").ok(), before);
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
    });
}

#[test]
fn bad_use_changes_nothing() {
    with_daemon(|| {
        make_busy();
        define(&bridge("br1", "stp='off'", &["eth1"], &[]));
        virsh("iface-start br1").ok();
        define(&bridge("br2", "", &[], &[]));
        let before = (folder(), addresses("eth0"), routes("eth0"), ports("br1"));
        let cases = [
            ("iface-bridge eth0 br1", "error: Network device br1 already exists"),
            ("iface-bridge eth0 br2", "error: Network device br2 already exists"),
            ("iface-bridge br1 br9", "error: Existing device br1 is already a bridge"),
            ("iface-bridge nosuch0 br9", "error: failed to get interface 'nosuch0'"),
            ("iface-unbridge eth0", "error: Device eth0 is not a bridge"),
            ("iface-unbridge br2", "error: No interface attached to bridge"),
            ("iface-unbridge br9", "error: failed to get interface 'br9'"),
            ("iface-bridge eth1 br9 --no-stp", "error: Failed to define new bridge interface br9"),
        ];
        for (arguments, want) in cases {
            let said = virsh(arguments).failed();
            assert!(said.starts_with(want), "{arguments}: {said}");
            let now = (folder(), addresses("eth0"), routes("eth0"), ports("br1"));
            assert_eq!(now, before, "{arguments}");
            assert!(find_link("br9").is_none(), "{arguments}");
        }
        assert!(!definition_file("br9").exists());
    });
}

/// The host can only be reached by the addresses of `eth0`.
#[test]
fn an_address_that_the_definition_lacks_is_named_and_the_only_way_in_is_not_taken() {
    struct Case(
        &'static str,
        &'static [&'static str],
        Result<&'static [&'static str], &'static str>,
    );
    const STAYS: [&str; 2] = ["192.0.2.2/24", "2001:db8::2/64"];
    const CASES: [Case; 6] = [
        Case("no address", &[], Err("192.0.2.2/24")),
        Case("another address", &["192.0.2.77/24", STAYS[1]], Err("192.0.2.2/24")),
        Case("another family", &[STAYS[0]], Err("2001:db8::2/64")),
        Case("another network", &["198.51.100.1/32", STAYS[1]], Err("192.0.2.2/24")),
        Case(
            "the way in alone",
            &STAYS,
            Ok(&["192.0.2.3/24", "198.51.100.1/32", "2001:db8:1::2/112"]),
        ),
        Case("all of them", &ADDRESSES, Ok(&[])),
    ];
    for Case(label, addresses, want) in CASES {
        with_virsh(move || {
            ip_batch(TWO_NICS);
            make_busy();
            let daemon = Daemon::start();
            define(&bridge("br0", "stp='off'", &["eth0"], addresses));
            let started = virsh("iface-start br0");
            let warning = |prefix: &str| {
                format!("eth0, a port of br0, loses its address {prefix}, which the definition")
            };
            match want {
                Err(way) => {
                    let said = started.failed();
                    let reason = format!("a default route leads over {way} of eth0");
                    assert!(said.contains(&reason), "{label}: {said}");
                    assert!(find_link("br0").is_none(), "{label}");
                    assert_addresses("eth0", &ADDRESSES);
                }
                Ok(lost) => {
                    started.ok();
                    let log = daemon.stderr();
                    let named: Vec<_> =
                        ADDRESSES.iter().filter(|it| log.contains(&warning(it))).collect();
                    assert_eq!(named, lost.iter().collect::<Vec<_>>(), "{label}: {log}");
                    assert_addresses("br0", addresses);
                }
            }
        });
    }
}

/// One address without a default route over it, and one that was added to a port by hand.
#[test]
fn an_address_beside_the_way_in_goes_with_a_warning() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch("address add 203.0.113.5/24 dev eth1\nlink set eth1 up\n");
        let daemon = Daemon::start();
        define(&bridge("br1", "stp='off'", &["eth1"], &[]));
        virsh("iface-start br1").ok();
        let warning = |prefix: &str| format!("eth1, a port of br1, loses its address {prefix},");
        assert!(daemon.stderr().contains(&warning("203.0.113.5/24")), "{}", daemon.stderr());
        assert_addresses("eth1", &[]);

        ip_batch("address add 203.0.113.6/24 dev eth1\n");
        virsh("iface-start br1").ok();
        assert!(daemon.stderr().contains(&warning("203.0.113.6/24")), "{}", daemon.stderr());
        assert_addresses("eth1", &[]);
    });
}
