// SPDX-License-Identifier: LGPL-2.1-or-later
//! Links that the daemon never creates for a definition, but can recreate from a dump; the error
//! names those for which a dump does not suffice. Ports of bridges and VRFs get their attributes
//! back.

use crate::DUMMY;
use crate::host::{SYSTEM_ERROR, Scene, assert_words, on_host_with};
use crate::restore_links::{Case, assert_deeds_undone, assert_undone, build};
use crate::support::command::{command, ip, ip_batch, run};
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link::Tunnel;
use crate::support::wire::{Arg, procedure};

#[test]
fn a_dummy() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 mtu 1300 numtxqueues 4 type dummy
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link set x0 arp off multicast off mtu 1200\n",
            "link set x0 down\n",
        ],
    });
}

#[test]
fn an_ifb() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 numtxqueues 2 type ifb
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n", "link set x0 mtu 1200\n"],
    });
}

#[test]
fn a_vxlan() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 type vxlan id 77 dev e0 local 192.0.2.1 remote 192.0.2.9 ttl 9 tos 4 dstport 4790 srcport 5000 6000 nolearning proxy rsc l2miss l3miss ageing 77 maxaddress 100 udpcsum udp6zerocsumtx udp6zerocsumrx gbp df set
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link del x0\n\
             link add x0 type vxlan id 78 dstport 4789\n",
            "link set e0 mtu 8000\n",
        ],
    });
}

#[test]
fn a_vxlan_of_ipv6() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 type vxlan id 77 dev e0 group ff05::1 ttl inherit dstport 4789
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n"],
    });
}

#[test]
fn a_vxlan_of_metadata() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 type vxlan external dstport 4789
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n"],
    });
}

#[test]
fn a_geneve() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 type geneve id 7 remote 192.0.2.9 ttl 9 tos 4 dstport 6082 noudpcsum
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link set x0 mtu 1200\n",
        ],
    });
}

#[test]
fn a_macvlan() {
    assert_undone(&Case {
        host: "\
link add x0 link e0 address 52:54:00:00:00:77 type macvlan mode vepa bcqueuelen 50
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link set x0 type macvlan mode private\n",
            "link del x0\n\
             link add x0 link e1 type macvlan mode vepa\n",
        ],
    });
}

#[test]
fn a_macvlan_that_hears_some() {
    assert_undone(&Case {
        host: "\
link add x0 link e0 address 52:54:00:00:00:77 type macvlan mode source
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
link set x0 type macvlan macaddr add 52:54:00:00:00:78
",
        up: &["x0"],
        deeds: &["link del x0\n", "link set x0 type macvlan macaddr flush\n"],
    });
}

#[test]
fn an_ipvlan() {
    assert_undone(&Case {
        host: "\
link add x0 link e0 type ipvlan mode l3s private
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n", "link set x0 type ipvlan mode l2\n"],
    });
}

#[test]
fn a_gre_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 type gre local 192.0.2.1 remote 192.0.2.9 dev e0 ttl 9 tos 4 ikey 1 okey 2 iseq ocsum
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n", "link set x0 type gre local 192.0.2.1 remote 192.0.2.8 ttl 7\n"],
    });
}

#[test]
fn a_gretap_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 type gretap local 192.0.2.1 remote 192.0.2.9 dev e0 nopmtudisc ignore-df
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link set x0 mtu 1200\n",
        ],
    });
}

#[test]
fn an_ipip_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 type ipip local 192.0.2.1 remote 192.0.2.9 dev e0 ttl 9
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n", "link set x0 type ipip local 192.0.2.1 remote 192.0.2.8\n"],
    });
}

#[test]
fn a_sit_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 type sit local 192.0.2.1 remote 192.0.2.9 ttl 9
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link del x0\n\
             link add x0 type sit local 192.0.2.1 remote 192.0.2.8\n",
        ],
    });
}

#[test]
fn an_ip6tnl_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 type ip6tnl mode any local 2001:db8::1 remote 2001:db8::9 dev e0 hoplimit 9 encaplimit 5 flowlabel 0x12
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link del x0\n\
             link add x0 type ip6tnl local 2001:db8::1 remote 2001:db8::8\n",
        ],
    });
}

#[test]
fn an_ip6gre_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 type ip6gre local 2001:db8::1 remote 2001:db8::9 dev e0 ikey 1 okey 2
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n"],
    });
}

#[test]
fn an_ip6gretap_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 address 52:54:00:00:00:77 type ip6gretap local 2001:db8::1 remote 2001:db8::9
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &["link del x0\n"],
    });
}

#[test]
fn a_vti_tunnel() {
    assert_undone(&Case {
        host: "\
link add x0 type vti local 192.0.2.1 remote 192.0.2.9 ikey 1 okey 2
link set x0 up
address add 198.51.100.1/24 dev x0
route add 203.0.113.0/24 dev x0
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link del x0\n\
             link add x0 type vti local 192.0.2.1 remote 192.0.2.8 ikey 1 okey 2\n",
        ],
    });
}

#[test]
fn a_vrf_with_its_port_and_routes() {
    assert_undone(&Case {
        host: "\
link add x0 type vrf table 77
link set x0 up
link set e1 master x0
address add 198.51.100.1/24 dev e1
address add 2001:db8:77::1/64 dev e1 nodad
route add default via 198.51.100.254 dev e1 table 77
route add default via 2001:db8:77::fe dev e1 table 77
",
        up: &["x0"],
        deeds: &[
            "link del x0\n",
            "link set e1 nomaster\n",
            "link del x0\n\
             link add x0 type vrf table 78\n\
             link set x0 up\n",
        ],
    });
}

#[test]
fn links_over_links() {
    assert_undone(&Case {
        host: "\
link add x0 type dummy
link add x0.5 link x0 type vlan id 5 reorder_hdr off
link add m5 link x0.5 type macvlan mode bridge
link add br0 type bridge
link set m5 master br0
link set x0 up
link set x0.5 up
link set m5 up
link set br0 up
link add over link br0 type macvlan mode bridge
link set over up
address add 198.51.100.1/24 dev over
",
        up: &["x0", "x0.5", "m5", "br0", "over"],
        deeds: &[
            "link del x0\n",
            "link del br0\n",
            "link del br0\n\
             link del x0\n",
            "link del x0.5\n",
        ],
    });
}

/// A bridge with two guests that are isolated from each other, one with a higher cost, and a VXLAN
/// without learning.
const TENANTS: &Case = &Case {
    host: "\
link add br0 type bridge
link add x0 address 52:54:00:00:00:77 type vxlan id 77 dstport 4789 local 192.0.2.1 nolearning
link set vnet0 up
link set vnet1 up
link set vnet2 up
link set x0 up
link set vnet0 master br0
link set vnet1 master br0
link set vnet2 master br0
link set x0 master br0
link set e1 master br0
link set vnet0 type bridge_slave isolated on learning off flood off guard on
link set vnet1 type bridge_slave isolated on neigh_suppress on mcast_flood off priority 5
link set vnet2 type bridge_slave cost 777
link set x0 type bridge_slave learning off neigh_suppress on
link set e1 type bridge_slave hairpin on cost 9
link set br0 up
",
    up: &["br0", "x0"],
    deeds: &[
        "link del br0\n",
        "link set vnet0 nomaster\nlink set vnet1 nomaster\n",
        "link set vnet2 nomaster\n",
        "link set x0 nomaster\nlink set e1 nomaster\n",
        "link del br0\nlink del x0\n",
        "link set x0 type bridge_slave learning on neigh_suppress off\n",
    ],
};

#[test]
fn attributes_of_all_ports_are_restored() {
    on_host_with(&[DUMMY], || {
        let _guests = ["vnet0", "vnet1", "vnet2"].map(Tunnel::tap);
        assert_deeds_undone(TENANTS);
    });
}

/// A rollback does not restore attributes of guests that stay on their bridge.
#[test]
fn guests_that_stay_are_left_alone() {
    on_host_with(&[DUMMY], || {
        let _guests = ["vnet0", "vnet1", "vnet2"].map(Tunnel::tap);
        build(TENANTS);
        let mut scene = Scene::start();
        scene.client.call(procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)]).results();
        ip("link set vnet0 type bridge_slave isolated off hairpin on");
        let now = Snapshot::take();
        ip("address add 198.51.100.9/24 dev br0");
        scene.client.call(procedure::INTERFACE_CHANGE_ROLLBACK, &[Arg::Word(0)]).results();
        now.assert_unchanged(Strictness::SameLinks, "a guest was changed");
    });
}

/// The error names links that only their owner can create, and everything else is restored.
#[test]
fn links_that_cannot_be_recreated_are_named() {
    on_host_with(&[DUMMY], || {
        ip_batch("link add nlmon0 type nlmon\nlink add d0 type dummy\nlink set d0 up\n");
        let mut scene = Scene::start();
        scene.client.call(procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)]).results();
        ip_batch("link del nlmon0\nlink del d0\n");
        let reply = scene.client.call(procedure::INTERFACE_CHANGE_ROLLBACK, &[Arg::Word(0)]);
        assert_words(&reply.fault(), SYSTEM_ERROR, &["not restored: nlmon0 is gone;"]);
        assert!(run(command("ip").args(["link", "show", "dev", "d0", "up"])).ok().contains("d0"));
    });
}
