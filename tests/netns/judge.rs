// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Snapshot`], which judges rollbacks, notices each kind of change. If it missed any, every other
//! test could pass wrongly.

use std::fs;

use crate::host::{TWO_NICS, await_addresses};
use crate::support::command::{command, ip_batch, run};
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::in_namespace;

const HOST: &str = "\
link set eth0 up
address add 192.0.2.2/24 dev eth0
address add 2001:db8::2/64 dev eth0 nodad
link add br0 type bridge
link set eth1 master br0
nexthop add id 1 via 192.0.2.1 dev eth0
";

/// A change, its reverse, and the section and field in which the snapshot must show it.
struct Case(&'static str, &'static str, &'static str);

const CASES: [Case; 18] = [
    Case("ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500", "links/eth0/0/mtu"),
    Case("ip link set eth0 alias x", "ip link set eth0 alias ", "links/eth0/0/ifalias"),
    Case(
        "ip link property add dev eth0 altname lan",
        "ip link property del dev eth0 altname lan",
        "links/eth0/0/altnames",
    ),
    Case(
        "ip address add 192.0.2.3/24 dev eth0",
        "ip address del 192.0.2.3/24 dev eth0",
        "addresses/eth0/0/addr_info",
    ),
    Case(
        "ip route add default dev eth0 metric 7",
        "ip route del default dev eth0 metric 7",
        "IPv4 routes/unicast default ",
    ),
    Case(
        "ip route add blackhole 203.0.113.0/24 table 9",
        "ip route del blackhole 203.0.113.0/24 table 9",
        "IPv4 routes/blackhole 203.0.113.0/24 9",
    ),
    Case(
        "ip route add default via 2001:db8::1 dev eth0",
        "ip route del default via 2001:db8::1 dev eth0",
        "IPv6 routes/unicast default ",
    ),
    Case("ip rule add priority 9 table 9", "ip rule del priority 9", "IPv4 rules/9"),
    Case("ip -6 rule add priority 9 table 9", "ip -6 rule del priority 9", "IPv6 rules/9"),
    Case("ip nexthop add id 3 blackhole", "ip nexthop del id 3", "nexthops/3"),
    Case("ip nexthop add id 4 via 2001:db8::1 dev eth0", "ip nexthop del id 4", "nexthops/4"),
    Case("ip nexthop add id 5 group 1", "ip nexthop del id 5", "nexthops/5"),
    Case(
        "bridge link set dev eth1 isolated on",
        "bridge link set dev eth1 isolated off",
        "ports/eth1/0/isolated",
    ),
    Case(
        "net/ipv4/conf/eth0/rp_filter = 2",
        "net/ipv4/conf/eth0/rp_filter = 0",
        "sysctls/eth0/ipv4/conf/rp_filter",
    ),
    Case(
        "net/ipv4/conf/eth0/promote_secondaries = 1",
        "net/ipv4/conf/eth0/promote_secondaries = 0",
        "sysctls/eth0/ipv4/conf/promote_secondaries",
    ),
    Case(
        "net/ipv6/conf/eth0/use_tempaddr = 2",
        "net/ipv6/conf/eth0/use_tempaddr = 0",
        "sysctls/eth0/ipv6/conf/use_tempaddr",
    ),
    Case(
        "net/ipv4/neigh/eth0/gc_stale_time = 61",
        "net/ipv4/neigh/eth0/gc_stale_time = 60",
        "sysctls/eth0/ipv4/neigh/gc_stale_time",
    ),
    Case(
        "net/ipv6/conf/default/forwarding = 1",
        "net/ipv6/conf/default/forwarding = 0",
        "sysctls/default/ipv6/conf/forwarding",
    ),
];

/// Runs a command, or writes a sysctl.
fn carry_out(deed: &str) {
    if let Some((file, value)) = deed.split_once(" = ") {
        return fs::write(format!("/proc/sys/{file}"), value).unwrap();
    }
    let mut words = deed.split(' ');
    run(command(words.next().unwrap()).args(words)).ok();
}

#[test]
fn the_judge_notices_each_kind_of_change_and_its_reverse() {
    in_namespace(|| {
        ip_batch(TWO_NICS);
        for sysctl in ["rp_filter", "promote_secondaries"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/eth0/{sysctl}"), "0").unwrap();
        }
        ip_batch(HOST);
        await_addresses();
        let before = Snapshot::take();
        for Case(deed, reverse, place) in CASES {
            carry_out(deed);
            let found = before.differences(&Snapshot::take(), Strictness::SameLinks);
            let is_seen = found.iter().any(|line| line.starts_with(&format!("/{place}")));
            assert!(is_seen, "{deed}: {found:?}");
            carry_out(reverse);
            before.assert_unchanged(Strictness::SameLinks, reverse);
        }
    });
}
