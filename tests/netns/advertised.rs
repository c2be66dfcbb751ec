// SPDX-License-Identifier: LGPL-2.1-or-later
//! Addresses and routes that routers have advertised continue to work when another link takes over:
//! at once, and beyond the lifetimes that they had at the change.

use std::fs;
use std::time::Duration;

use crate::host::{VIRSH, addresses, await_addresses, ip_json, text};
use crate::support::command::{command, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::{in_namespace, is_installed};
use crate::support::router::{ANYWHERE, BEHIND, NEAR, PREFIX, Router};

/// In seconds. The kernel collects expired routes only twice a minute, but does not use them.
const LIFETIME: u16 = 6;

/// Long enough for a lifetime that the kernel's timers have shortened to be restored by the next
/// advertisement.
const BEYOND_LIFETIME: Duration = Duration::from_secs(LIFETIME as u64 + 3);

/// Runs `test` with an `eth0` that has all its IPv6 configuration from a router.
fn with_router(has_route: bool, test: impl FnOnce(&Router, &Daemon) + Send + 'static) {
    if !is_installed(VIRSH) {
        return;
    }
    in_namespace(move || {
        ip_batch("link add eth0 address 02:00:00:00:00:05 type veth peer name far0\n");
        if has_route {
            let path = "/proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen";
            fs::write(path, "64").unwrap();
        }
        ip_batch("link set eth0 up\n");
        let router = Router::start("far0", LIFETIME);
        eventually("an address of the advertised prefix", || lacks("eth0").is_empty());
        await_addresses();
        let daemon = Daemon::start();
        test(&router, &daemon);
    });
}

/// Whether a host answers.
fn reaches(address: &str) -> bool {
    let ping = ["ping", "-c", "1", "-W", "2", address];
    command("busybox").args(ping).output().is_ok_and(|output| output.status.success())
}

/// The advertised parts that a link lacks.
fn lacks(link: &str) -> Vec<&'static str> {
    let routes = ip_json(&format!("-6 route show table main dev {link}"));
    let count = |to: &str, protocol: &str| {
        let is_it = |route: &&serde_json::Value| {
            text(&route["dst"]) == to && text(&route["protocol"]) == protocol
        };
        routes.iter().filter(is_it).count()
    };
    let own = addresses(link).into_iter().filter(|it| it.starts_with("2001:db8:7:")).count();
    let mut lacking = Vec::new();
    for (what, is_there) in [
        ("one address", own == 1),
        ("one default route of the kernel's own", count("default", "ra") == 1),
        ("no stand-in", count("default", "boot") == 0),
        ("the route to the prefix", count(&format!("{PREFIX}/64"), "kernel") == 1),
    ] {
        if !is_there {
            lacking.push(what);
        }
    }
    lacking
}

/// Asserts that the link works at once, and still does when every lifetime would have expired.
#[track_caller]
fn assert_goes_on(link: &str, label: &str) {
    // A link that comes up first performs duplicate address detection.
    await_addresses();
    assert!(reaches(ANYWHERE), "{label}: at once");
    std::thread::sleep(BEYOND_LIFETIME);
    assert_eq!(lacks(link), [""; 0], "{label}");
    assert!(reaches(ANYWHERE) && reaches(NEAR), "{label}: later");
}

#[test]
fn the_kernel_goes_on_with_it_at_a_bridge_and_at_the_nic_again() {
    with_router(false, |_, _| {
        let judge = Snapshot::take();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_goes_on("br0", "bridged");
        virsh("iface-unbridge br0").ok();
        assert_goes_on("eth0", "unbridged");
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
    });
}

#[test]
fn the_kernel_goes_on_with_it_after_a_rollback() {
    with_router(false, |_, _| {
        let judge = Snapshot::take();
        virsh("iface-begin").ok();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        virsh("iface-rollback").ok();
        assert_goes_on("eth0", "rolled back");
        judge.assert_unchanged(Strictness::AlikeLinks, "rolled back");
        virsh("iface-begin").ok();
        ip_batch("link set eth0 down\n");
        virsh("iface-rollback").ok();
        assert_goes_on("eth0", "down, and rolled back");
        judge.assert_unchanged(Strictness::AlikeLinks, "down, and rolled back");
    });
}

#[test]
fn the_kernel_goes_on_with_it_after_a_start() {
    with_router(false, |_, _| {
        let judge = Snapshot::take();
        let _ = virsh("iface-destroy eth0");
        virsh("iface-start eth0").ok();
        assert_goes_on("eth0", "started again");
        judge.assert_unchanged(Strictness::AlikeLinks, "started again");
    });
}

/// Until the router's lifetime is over, the earlier route exists beside the kernel's own.
#[test]
fn a_route_that_a_router_advertises_is_the_kernels_again() {
    with_router(true, |router, _| {
        let alive = |link: &str| {
            let routes = ip_json(&format!("-6 route show {BEHIND}/48 dev {link}"));
            let alive = routes.iter().filter(|route| route["expires"].as_u64() > Some(0));
            alive.map(|route| route["metric"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        eventually("the route", || alive("eth0") == [1024]);
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert!(!alive("br0").is_empty());
        assert_goes_on("br0", "bridged");
        assert_eq!(alive("br0"), [1024]);
        router.set_silent(true);
        eventually("its end", || alive("br0").is_empty());
    });
}

/// The route over a silent router lasts for the advertised lifetime, and a router that retires
/// leaves no route.
#[test]
fn a_router_that_is_silent_or_retires_is_believed() {
    with_router(false, |router, _| {
        let defaults = || ip_json("-6 route show default dev br0");
        router.set_silent(true);
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert!(reaches(ANYWHERE));
        assert_eq!(defaults().len(), 1, "{:?}", defaults());
        router.set_silent(false);
        eventually("the kernel's own", || lacks("br0").is_empty());
        virsh("iface-unbridge br0").ok();
        router.retire();
        eventually("no default route", || ip_json("-6 route show default").is_empty());
        assert!(reaches(NEAR));
    });
}

/// As with ifupdown's `inet6 static`: the address is the administrator's, the default route the
/// router's.
#[test]
fn a_host_of_static_addresses_goes_on_to_hear_of_its_router() {
    if !is_installed(VIRSH) {
        return;
    }
    for autoconf in ["0", "1"] {
        in_namespace(move || {
            ip_batch("link add eth0 address 02:00:00:00:00:05 type veth peer name far0\n");
            let conf = |link: &str, name: &str| {
                let path = format!("/proc/sys/net/ipv6/conf/{link}/{name}");
                fs::read_to_string(path).unwrap().trim().to_owned()
            };
            fs::write("/proc/sys/net/ipv6/conf/eth0/autoconf", autoconf).unwrap();
            ip_batch("link set eth0 up\naddress add 2001:db8:7::50/64 dev eth0 nodad\n");
            let _router = Router::start_without_autoconf("far0", LIFETIME);
            let is_heard = |link: &str| {
                let routes = ip_json(&format!("-6 route show default dev {link}"));
                routes.len() == 1 && routes[0]["protocol"] == "ra"
            };
            eventually("an advertisement", || is_heard("eth0"));
            await_addresses();
            let _daemon = Daemon::start();
            let judge = Snapshot::take();
            virsh("iface-bridge eth0 br0 --no-stp").ok();
            assert!(reaches(ANYWHERE), "{autoconf}");
            eventually("an advertisement at the bridge", || is_heard("br0"));
            assert_eq!(
                (conf("br0", "accept_ra"), conf("br0", "autoconf")),
                ("1".into(), autoconf.into())
            );
            let xml = virsh("iface-dumpxml br0 --inactive").ok();
            assert!(
                !xml.contains("gateway") && (xml.contains("autoconf") == (autoconf == "1")),
                "{xml}"
            );
            virsh("iface-unbridge br0").ok();
            await_addresses();
            assert!(reaches(ANYWHERE), "{autoconf}");
            judge.assert_unchanged(Strictness::AlikeLinks, autoconf);
        });
    }
}

/// No router advertises anything, but the kernel would accept it: so it does for the bridge, and
/// for the NIC again.
#[test]
fn a_host_that_would_hear_of_routers_still_would() {
    if !is_installed(VIRSH) {
        return;
    }
    for accept_ra in ["0", "1", "2"] {
        for autoconf in ["0", "1"] {
            in_namespace(move || {
                ip_batch("link add eth0 address 02:00:00:00:00:05 type veth peer name far0\n");
                fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", accept_ra).unwrap();
                fs::write("/proc/sys/net/ipv6/conf/eth0/autoconf", autoconf).unwrap();
                ip_batch(
                    "link set far0 up\nlink set eth0 up\naddress add 2001:db8:7::50/64 dev eth0 nodad\n\
                     route add default via 2001:db8:7::1 dev eth0\n",
                );
                await_addresses();
                let _daemon = Daemon::start();
                let judge = Snapshot::take();
                virsh("iface-bridge eth0 br0 --no-stp").ok();
                virsh("iface-unbridge br0").ok();
                judge.assert_unchanged(Strictness::AlikeLinks, &format!("{accept_ra} {autoconf}"));
            });
        }
    }
}
