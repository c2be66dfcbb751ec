// SPDX-License-Identifier: LGPL-2.1-or-later
//! Links of every kind that a record can hold, with every attribute that `ip -d` shows: a rollback
//! undoes every change of them, and the comparison covers everything.

use crate::host::{Scene, on_host_with};
use crate::support::client::RawClient;
use crate::support::command::ip_batch;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::wire::{Arg, procedure};
use crate::{BOND, DUMMY, VLAN, fact};

const MODULES: [&str; 3] = [BOND, DUMMY, VLAN];

/// Two cables, and the ends of two more without addresses.
const NICS: &str = "\
link add e0 address 52:54:00:00:00:21 mtu 9000 type veth peer name far0
link add e1 address 52:54:00:00:00:22 mtu 9000 type veth peer name far1
link add m0 address 52:54:00:00:00:11 type veth peer name far2
link add m1 address 52:54:00:00:00:12 type veth peer name far3
link set far0 mtu 9000 up
link set far1 mtu 9000 up
link set far2 up
link set far3 up
link set e0 up
link set e1 up
address add 192.0.2.1/24 dev e0
address add 2001:db8::1/64 dev e0
";

/// The lines that set up a host, the links that become active, and changes by `ip`: each is made in
/// a transaction of its own, which is rolled back.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) host: &'static str,
    pub(crate) up: &'static [&'static str],
    pub(crate) deeds: &'static [&'static str],
}

pub(crate) fn assert_undone(case: &'static Case) {
    on_host_with(&MODULES, || assert_deeds_undone(case));
}

/// The same on the current host.
pub(crate) fn assert_deeds_undone(case: &Case) {
    assert_deeds_undone_with(case, Strictness::AlikeLinks);
}

fn assert_deeds_undone_with(case: &Case, strictness: Strictness) {
    build(case);
    let mut scene = Scene::start();
    for deed in case.deeds {
        let before = Snapshot::take();
        scene.client.call(procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)]).results();
        ip_batch(deed);
        let changed = before.differences(&Snapshot::take(), strictness);
        assert!(!changed.is_empty(), "{deed} changes nothing");
        let reply = scene.client.call(procedure::INTERFACE_CHANGE_ROLLBACK, &[Arg::Word(0)]);
        before.assert_unchanged(strictness, deed);
        reply.results();
    }
}

pub(crate) fn build(case: &Case) {
    build_host(case.host, case.up);
}

/// NICs and the result of `batch`, once the links of `up` have a carrier.
pub(crate) fn build_host(batch: &str, up: &[&str]) {
    ip_batch(NICS);
    ip_batch(batch);
    for name in ["e0", "e1"].iter().chain(up) {
        let is_settled = || matches!(fact(name, "operstate").as_str(), "up" | "unknown");
        eventually(&format!("{name} is up"), || is_settled() && fact(name, "carrier") == "1");
    }
}

#[test]
fn a_vlan_with_everything() {
    assert_undone(&Case {
        host: "\
link add v5 link e0 address 52:54:00:00:00:55 mtu 1400 txqueuelen 77 type vlan id 5 \
    reorder_hdr off gvrp on mvrp on loose_binding on \
    ingress-qos-map 1:2 3:4 egress-qos-map 2:3 5:6
link set v5 alias uplink group 7
link property add dev v5 altname the-uplink altname vlan-five
link set v5 up
address add 198.51.100.1/24 dev v5
route add default via 198.51.100.254 dev v5
address add 2001:db8:5::1/64 dev v5 nodad
ntable change name arp_cache dev v5 base_reachable 44000 locktime 1236
",
        up: &["v5"],
        deeds: &[
            "ntable change name arp_cache dev v5 base_reachable 30000 gc_stale 77000\n\
             ntable change name ndisc_cache dev v5 retrans 1104\n",
            "link del v5\n",
            "link set v5 type vlan reorder_hdr on gvrp off mvrp off loose_binding off ingress-qos-map 1:5 3:0 6:1 egress-qos-map 2:0 4:4\n",
            "link set v5 alias \"\" group 0 mtu 1300 txqueuelen 5 address 52:54:00:00:00:56\n\
             link property del dev v5 altname the-uplink\n\
             link property add dev v5 altname other\n",
            "link del v5\n\
             link add v5 link e0 type vlan protocol 802.1ad id 5\n",
            "link del v5\n\
             link add v5 link e1 type vlan id 5\n\
             link set v5 up\n",
            "link set v5 type vlan mvrp off\n\
             link set v5 down\n",
        ],
    });
}

#[test]
fn a_vlan_that_follows_its_parent() {
    assert_undone(&Case {
        host: "\
link add e0.5 link e0 type vlan id 5
link set e0.5 up
",
        up: &["e0.5"],
        deeds: &[
            "link del e0.5\n",
            "link set e0.5 type vlan reorder_hdr off egress-qos-map 1:1\n",
            "link set e0 address 52:54:00:00:00:99\n",
        ],
    });
}

#[test]
fn vlans_in_each_other() {
    assert_undone(&Case {
        host: "\
link add outer link e0 type vlan protocol 802.1ad id 3000 gvrp on
link set outer up
link add inner link outer type vlan id 8 reorder_hdr off
link set inner up
address add 198.51.100.1/24 dev inner
",
        up: &["outer", "inner"],
        deeds: &["link del outer\n", "link del inner\n", "link set inner type vlan gvrp on\n"],
    });
}

#[test]
fn a_bridge_with_a_vlan_as_port_and_one_over_it() {
    assert_undone(&Case {
        host: "\
link add br0 type bridge
link add v5 link e1 type vlan id 5 reorder_hdr off
link set v5 master br0
link set v5 up
link set br0 up
link add br0.7 link br0 type vlan id 7 bridge_binding on
link set br0.7 up
address add 198.51.100.1/24 dev br0
address add 203.0.113.1/24 dev br0.7
",
        up: &["v5", "br0"],
        deeds: &[
            "link del v5\n",
            "link del br0\n",
            "link del br0\n\
             link del v5\n",
            "link set br0.7 type vlan bridge_binding off\n",
        ],
    });
}

#[test]
fn a_bridge_with_everything() {
    assert_undone(&Case {
        host: "\
link add br0 address 52:54:00:00:00:b0 type bridge forward_delay 700 hello_time 300 max_age 2100 ageing_time 20000 \
    stp_state 1 priority 4096 group_fwd_mask 8 group_address 01:80:c2:00:00:0d vlan_filtering 1 \
    vlan_default_pvid 5 vlan_stats_enabled 1 mcast_snooping 1 mcast_router 2 mcast_querier 1 \
    mcast_query_use_ifaddr 1 mcast_hash_max 1024 mcast_last_member_count 3 mcast_startup_query_count 3 \
    mcast_last_member_interval 200 mcast_membership_interval 20000 mcast_querier_interval 20000 \
    mcast_query_interval 10000 mcast_query_response_interval 900 mcast_startup_query_interval 3000 \
    mcast_stats_enabled 1 mcast_igmp_version 3 mcast_mld_version 2 no_linklocal_learn 1
link add p0 type dummy
link set p0 up
link set p0 master br0
link set p0 type bridge_slave cost 7 priority 9 hairpin on guard on root_block on fastleave on learning off \
    flood off proxy_arp on proxy_arp_wifi on mcast_router 2 mcast_flood off mcast_to_unicast on \
    vlan_tunnel on bcast_flood off group_fwd_mask 16 neigh_suppress on isolated on locked on
link set br0 type bridge stp_state 0
link set br0 up
address add 198.51.100.1/24 dev br0
",
        up: &["br0"],
        deeds: &[
            "link del br0\n",
            "link set p0 nomaster\n",
            "link set br0 type bridge forward_delay 1500 hello_time 200 max_age 2000 ageing_time 30000 priority 32768 group_fwd_mask 0 group_address 01:80:c2:00:00:00 vlan_filtering 0 vlan_stats_enabled 0 mcast_snooping 0 mcast_router 1 mcast_querier 0 mcast_query_use_ifaddr 0 mcast_hash_max 4096 mcast_last_member_count 2 mcast_startup_query_count 2 mcast_last_member_interval 100 mcast_membership_interval 26000 mcast_querier_interval 25500 mcast_query_interval 12500 mcast_query_response_interval 1000 mcast_startup_query_interval 3125 mcast_stats_enabled 0 mcast_igmp_version 2 mcast_mld_version 1 no_linklocal_learn 0\n",
            "link set p0 type bridge_slave cost 8 priority 10 hairpin off guard off root_block off fastleave off learning on flood on proxy_arp off proxy_arp_wifi off mcast_router 1 mcast_flood on mcast_to_unicast off vlan_tunnel off bcast_flood on group_fwd_mask 0 neigh_suppress off isolated off locked off\n",
        ],
    });
}

#[test]
fn an_lacp_bond_with_everything() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode 802.3ad miimon 50 updelay 100 downdelay 150 use_carrier 1 \
    xmit_hash_policy layer3+4 lacp_rate fast ad_select bandwidth ad_actor_sys_prio 99 \
    ad_user_port_key 7 ad_actor_system 02:00:00:00:00:aa min_links 1 all_slaves_active 1 \
    resend_igmp 3 num_grat_arp 4 peer_notify_delay 50 lacp_active off
link set m0 master bond0
link set m1 master bond0
link set bond0 up
link set m1 type bond_slave queue_id 3
address add 198.51.100.1/24 dev bond0
link add bond0.9 link bond0 type vlan id 9
link set bond0.9 up
",
        up: &["bond0", "bond0.9"],
        deeds: &[
            "link del bond0\n",
            "link set m1 nomaster\n",
            "link set m1 type bond_slave queue_id 0\n",
            "link set bond0 down\n\
             link set bond0 type bond miimon 200 updelay 200 downdelay 0 xmit_hash_policy layer2 lacp_rate slow ad_select stable ad_actor_sys_prio 65535 ad_user_port_key 0 ad_actor_system 02:00:00:00:00:bb min_links 0 all_slaves_active 0 resend_igmp 1 num_grat_arp 1 peer_notify_delay 0 lacp_active on\n\
             link set bond0 up\n",
        ],
    });
}

#[test]
fn an_active_backup_bond_that_asks_neighbours() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode active-backup arp_interval 60000 arp_ip_target 192.0.2.254,192.0.2.253 \
    arp_validate filter_active arp_all_targets all ns_ip6_target 2001:db8::fe,2001:db8::fd \
    fail_over_mac active primary_reselect better arp_missed_max 5
link set m0 master bond0
link set m1 master bond0
link set bond0 type bond primary m1
link set m0 type bond_slave queue_id 2 prio 5
link set bond0 up
",
        up: &["bond0"],
        deeds: &[
            "link del bond0\n",
            "link set bond0 type bond arp_validate active arp_all_targets any primary_reselect failure arp_missed_max 2 primary m0 ns_ip6_target 2001:db8::fc\n",
            "link set bond0 type bond arp_interval 30000 arp_ip_target 192.0.2.252\n",
            "link del bond0\n\
             link add bond0 type bond mode active-backup fail_over_mac none miimon 100\n\
             link set m0 master bond0\n\
             link set bond0 up\n",
            "link set m0 nomaster\n",
            "link set m0 type bond_slave queue_id 0 prio 0\n",
        ],
    });
}

#[test]
fn a_balance_rr_bond() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode balance-rr miimon 100 packets_per_slave 3
link set m0 master bond0
link set m1 master bond0
link set bond0 up
address add 198.51.100.1/24 dev bond0
",
        up: &["bond0"],
        deeds: &["link del bond0\n", "link set bond0 type bond packets_per_slave 1\n"],
    });
}

#[test]
fn a_balance_xor_bond() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode balance-xor miimon 100 xmit_hash_policy encap2+3
link set m0 master bond0
link set m1 master bond0
link set bond0 up
address add 198.51.100.1/24 dev bond0
",
        up: &["bond0"],
        deeds: &["link del bond0\n", "link set bond0 type bond xmit_hash_policy layer2\n"],
    });
}

#[test]
fn a_broadcast_bond() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode broadcast miimon 100 
link set m0 master bond0
link set m1 master bond0
link set bond0 up
address add 198.51.100.1/24 dev bond0
",
        up: &["bond0"],
        deeds: &["link del bond0\n", "link set bond0 type bond miimon 200\n"],
    });
}

#[test]
fn a_balance_tlb_bond() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode balance-tlb miimon 100 tlb_dynamic_lb 0
link set m0 master bond0
link set m1 master bond0
link set bond0 up
address add 198.51.100.1/24 dev bond0
",
        up: &["bond0"],
        deeds: &["link del bond0\n", "link set bond0 type bond miimon 200\n"],
    });
}

#[test]
fn a_balance_alb_bond() {
    assert_undone(&Case {
        host: "\
link add bond0 type bond mode balance-alb miimon 100 
link set m0 master bond0
link set m1 master bond0
link set bond0 up
address add 198.51.100.1/24 dev bond0
",
        up: &["bond0"],
        deeds: &["link del bond0\n", "link set bond0 type bond resend_igmp 9\n"],
    });
}

/// Renamed links are renamed back, never recreated.
#[test]
fn renamed_links() {
    on_host_with(&MODULES, || {
        let case = Case {
            host: "\
link add e0.10 link e0 type vlan id 10 reorder_hdr off
link set e0.10 up
address add 192.0.2.9/24 dev e0 label e0:web
address add 198.51.100.1/24 dev e0.10
route add default via 192.0.2.254 dev e0
link add br0 type bridge
link add p0 type dummy
link set p0 up
link set p0 master br0
link set br0 up
address add 203.0.113.1/24 dev br0
",
            up: &["e0.10", "br0"],
            deeds: &[
                "link set e0 down\nlink set e0 name lan0\nlink set lan0 up\n",
                "link set e0.10 down\nlink set e0.10 name guests\n",
                "link set e0 down\nlink set e1 down\nlink set e0 name x\n\
                 link set e1 name e0\nlink set x name e1\nlink set e0 up\nlink set e1 up\n",
                "link set br0 down\nlink set br0 name old\nlink add br0 type bridge\n\
                 link set p0 master br0\nlink set br0 up\n",
                "link set e0 down\nlink set e0 name lan0\nlink add e0 type dummy\nlink set e0 up\n",
            ],
        };
        assert_deeds_undone_with(&case, Strictness::SameLinks);
    });
}

/// No client commits or rolls back.
#[test]
fn deleted_links_are_restored_at_the_deadline() {
    on_host_with(&MODULES, || {
        build(&Case {
            host: "\
link add v5 link e1 type vlan id 5 reorder_hdr off gvrp on egress-qos-map 2:3
link add br0 type bridge
link set v5 master br0
link set v5 up
link set br0 up
address add 198.51.100.1/24 dev br0
",
            up: &["v5", "br0"],
            deeds: &[],
        });
        let _daemon = Daemon::configured("change_timeout = 1\n");
        let before = Snapshot::take();
        RawClient::open().call(procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)]).results();
        ip_batch("link del v5\nlink del br0\n");
        before.assert_unchanged(Strictness::AlikeLinks, "no commit in time");
    });
}
