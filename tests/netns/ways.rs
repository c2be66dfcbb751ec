// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback restores everything that decides where packets go: rules, routes of every form, next
//! hops, addresses. The whole output of `ip` is compared.

use crate::host::{TWO_NICS, await_addresses, with_virsh};
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::transaction::{begin, roll_back};

/// Each form of a rule, a route and an address that this kernel supports.
const WAYS: &str = "\
link set lo up
link set eth0 up
link set eth1 up
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 10.6.0.1/16 dev eth1
address add 203.0.113.5/32 peer 203.0.113.1 dev eth1
address add 198.51.100.5/24 dev eth1 noprefixroute
address add 2001:db8::2/64 dev eth0 nodad
address add 2001:db8:1::2/64 dev eth1 nodad
address add 2001:db8:2::2/64 dev eth1 nodad noprefixroute
route add default via 192.0.2.1 metric 100
route add default via 203.0.113.1 dev eth1 metric 200 mtu 1400
route add 10.20.0.0/16 via 10.6.0.9 tos 0x10
route add 10.20.0.0/16 via 10.6.0.8
route add 10.21.0.0/16 via inet6 fe80::9 dev eth0
route add 10.22.0.0/16 via 172.31.1.1 dev eth0 onlink
route add 10.23.0.0/16 via 10.6.0.9 src 192.0.2.3 table 100
route add default via 10.6.0.9 table 100
route add 10.24.0.0/16 nexthop via 192.0.2.9 weight 2 nexthop via 10.6.0.9
route add blackhole 10.30.0.0/16
route add unreachable 10.31.0.0/16 metric 7
route add prohibit 10.32.0.0/16 table 100
route add throw 10.33.0.0/16 table 100
nexthop add id 1 via 192.0.2.8 dev eth0
nexthop add id 2 via 10.6.0.7 dev eth1
nexthop add id 3 blackhole
nexthop add id 4 via 2001:db8::8 dev eth0
nexthop add id 10 group 1,3/2,2
route add 10.40.0.0/16 nhid 1
route add 10.41.0.0/16 nhid 3
route add 10.42.0.0/16 nhid 10
route add default via 2001:db8::1 metric 50
route add 2001:db8:a::/48 nexthop via 2001:db8::9 nexthop via 2001:db8:1::9
route add blackhole 2001:db8:b::/48
route add prohibit 2001:db8:c::/48 table 100
route add 2001:db8:d::/48 nhid 4
route add 2001:db8:e::/48 from 2001:db8::/64 via 2001:db8:1::9 dev eth1
";

const RULES: &str = "\
rule add pref 100 from 203.0.113.5 lookup 100
rule add pref 100 from 203.0.113.0/24 lookup 101
rule add pref 101 not from 10.0.0.0/8 to 10.9.0.0/16 iif eth1 fwmark 0x10/0xff tos 0x10 lookup 5000
rule add pref 102 oif eth1 ipproto tcp sport 80 dport 1000-2000 uidrange 0-10 lookup 100
rule add pref 103 from 10.50.0.0/16 prohibit
rule add pref 104 from 10.51.0.0/16 goto 32766
rule add pref 105 lookup main suppress_prefixlength 0
";

/// Changes. Each line is a change of its own that is rolled back.
const CHANGES: &[&str] = &[
    "rule del pref 103",
    "rule add pref 1 prohibit",
    "rule add pref 99 from all blackhole\nrule del pref 101\nrule del pref 102",
    "rule del pref 100 lookup 100\nrule add pref 100 from 203.0.113.5 lookup 100",
    "rule del pref 32766\nrule add pref 5 lookup main",
    "-6 rule del pref 103\n-6 rule add pref 2 unreachable",
    "route del blackhole 10.30.0.0/16\nroute del unreachable 10.31.0.0/16",
    "route del prohibit 10.32.0.0/16 table 100\nroute add blackhole 10.32.0.0/16 table 100",
    "route add prohibit default metric 1\nroute add unreachable 2001:db8:99::/48",
    "route del blackhole 2001:db8:b::/48\nroute del 2001:db8:a::/48",
    "route del 10.24.0.0/16\nroute add 10.24.0.0/16 via 10.6.0.9",
    "route replace 10.24.0.0/16 nexthop via 192.0.2.9 nexthop via 10.6.0.9 weight 3",
    "route del 10.20.0.0/16 tos 0x10\nroute del 10.21.0.0/16\nroute del 10.22.0.0/16",
    "route flush table 100",
    "nexthop del id 1",
    "nexthop replace id 2 via 10.6.0.6 dev eth1",
    "nexthop add id 7 via 10.6.0.5 dev eth1\nroute add 10.43.0.0/16 nhid 7",
    "nexthop flush",
    "route del 10.40.0.0/16\nroute add 10.40.0.0/16 nhid 10",
    "address del 203.0.113.5/32 peer 203.0.113.1 dev eth1",
    "address flush dev eth1",
    "link set eth1 down",
    "link set eth0 down\nlink set eth1 down\nrule del pref 104\nrule del pref 105",
    "nexthop flush\nroute flush table main proto boot\n-6 route flush table main proto boot",
    // Also the kernel's own routes, through which gateways are reached.
    "nexthop flush\nroute flush table main\n-6 route flush table main",
    "route del 192.0.2.0/24 dev eth0 proto kernel\n-6 route del fe80::/64 dev eth1",
];

#[test]
fn every_change_of_routing_is_rolled_back() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(WAYS);
        for line in RULES.lines() {
            ip(line);
            // IPv6 has the same rules, except those with addresses.
            if !line.contains("10.") && !line.contains("203.") {
                ip(&format!("-6 {line}"));
            }
        }
        ip("-6 rule add pref 103 from 2001:db8:50::/48 prohibit");
        await_addresses();
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        for changes in CHANGES {
            begin();
            changes.lines().for_each(|change| drop(ip(change)));
            roll_back();
            before.assert_unchanged(Strictness::AlikeLinks, changes);
        }
    });
}
