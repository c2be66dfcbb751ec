// SPDX-License-Identifier: LGPL-2.1-or-later
//! Kernels differ in their handling of a router advertisement whose route exists already: each of
//! them continues to use the router on a bridge.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::host::{Scene, addresses, on_host};
use crate::support::command::{ip, ip_batch};
use crate::support::eventually;
use crate::support::router::Router;

/// In seconds.
const LIFETIME: u16 = 6;

const BRIDGE: &str = "\
<interface type='bridge' name='br0'>\
<protocol family='ipv6'><autoconf/></protocol>\
<bridge stp='off'><interface type='ethernet' name='eth0'/></bridge></interface>";

/// Whether the kernel has everything that the router advertises, and nothing twice.
fn is_heard(link: &str) -> bool {
    let defaults = ip(&format!("-6 route show default dev {link}"));
    let has_address = addresses(link).iter().any(|it| it.starts_with("2001:db8:7:"));
    let to_prefix = ip(&format!("-6 route show 2001:db8:7::/64 dev {link}"));
    has_address
        && defaults.lines().count() == 1
        && defaults.contains("proto ra")
        && !to_prefix.is_empty()
}

#[test]
fn an_advertised_router_is_the_kernels_again_at_a_bridge() {
    on_host(|| {
        fs::write("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "0").unwrap();
        ip_batch(
            "link add eth0 address 02:00:00:00:00:05 type veth peer name far0\nlink set eth0 up\n",
        );
        let _router = Router::start("far0", LIFETIME);
        eventually("an advertisement", || is_heard("eth0"));
        let mut scene = Scene::start();
        scene.define(BRIDGE);
        scene.create("br0");
        eventually("an advertisement at the bridge", || is_heard("br0"));
        thread::sleep(Duration::from_secs(u64::from(LIFETIME) + 3));
        assert!(is_heard("br0"), "{}{}", ip("-6 address"), ip("-6 route"));
    });
}
