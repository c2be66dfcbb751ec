// SPDX-License-Identifier: LGPL-2.1-or-later
//! A link that replaces another one takes over its state: bonds, VLANs and bridges with every
//! attribute that `ip -d` shows are recreated unchanged, or continue as the same links. The
//! comparison covers everything.

use crate::host::{SYSTEM_ERROR, Scene, assert_words, on_host_with};
use crate::restore_links::build_host;
use crate::support::command::{command, ip, run_with_input};
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::{BOND, DUMMY, VLAN, fact};

const MODULES: [&str; 3] = [BOND, DUMMY, VLAN];

const VLAN_PORT: &str =
    "<interface type='vlan' name='v5'><vlan tag='5'><interface name='e1'/></vlan></interface>";
const BOND_PORT: &str = "\
<interface type='bond' name='bond0'><bond mode='802.3ad'>\
<miimon freq='50' downdelay='150' updelay='100' carrier='netif'/>\
<interface type='ethernet' name='m0'/><interface type='ethernet' name='m1'/></bond></interface>";

/// The settings that each link gets besides, and that its definition expresses in part.
const SETTINGS: &str = "\
address add 198.51.100.1/24 brd + dev LINK
ntable change name arp_cache dev LINK base_reachable 44000 gc_stale 77000 locktime 1236 ucast_probes 5
ntable change name ndisc_cache dev LINK retrans 1104 queue 51 proxy_queue 65
route add default via 198.51.100.254 dev LINK proto static
";

/// A link that another one replaces: how `ip` makes it, the VLANs of its ports, and its definition.
struct Original {
    name: &'static str,
    batch: &'static str,
    vlans: &'static str,
    xml: fn() -> String,
}

impl Original {
    fn build(&self) {
        let settings = SETTINGS.replace("LINK", self.name);
        build_host(&format!("{}{settings}", self.batch), &[self.name]);
        run_with_input(command("bridge").args(["-batch", "-"]), self.vlans).ok();
    }
}

/// A VLAN with attributes that no definition can express.
const A_VLAN: Original = Original {
    name: "v5",
    batch: "\
link add v5 link e1 address 52:54:00:00:00:55 mtu 1400 txqueuelen 77 type vlan protocol 802.1ad id 5 \
    reorder_hdr off gvrp on mvrp on loose_binding on \
    ingress-qos-map 1:2 3:4 egress-qos-map 2:3 5:6
link set v5 alias uplink group 7
link property add dev v5 altname the-uplink altname vlan-five
link set v5 up
",
    vlans: "",
    xml: || of_port(VLAN_PORT),
};

/// A bond likewise, whose peer has no LACP.
const A_BOND: Original = Original {
    name: "bond0",
    batch: "\
link add bond0 type bond mode 802.3ad miimon 50 updelay 100 downdelay 150 use_carrier 1 \
    xmit_hash_policy layer3+4 lacp_rate fast ad_select bandwidth ad_actor_sys_prio 99 \
    ad_user_port_key 7 ad_actor_system 02:00:00:00:00:aa min_links 1 all_slaves_active 1 \
    resend_igmp 3 num_grat_arp 4 peer_notify_delay 50 lacp_active off
link set m0 master bond0
link set m1 master bond0
link set bond0 up
link set m1 type bond_slave queue_id 3
",
    vlans: "",
    xml: || of_port(BOND_PORT),
};

const A_BRIDGE: Original = Original {
    name: "br0",
    batch: "\
link add br0 address 52:54:00:00:00:b0 type bridge forward_delay 700 hello_time 300 max_age 2100 ageing_time 20000 \
    stp_state 0 priority 4096 group_fwd_mask 8 group_address 01:80:c2:00:00:0d vlan_filtering 1 \
    vlan_default_pvid 5 vlan_stats_enabled 1 mcast_snooping 1 mcast_router 2 mcast_querier 1 \
    mcast_query_use_ifaddr 1 mcast_hash_max 1024 mcast_last_member_count 3 mcast_startup_query_count 3 \
    mcast_last_member_interval 200 mcast_membership_interval 20000 mcast_querier_interval 20000 \
    mcast_query_interval 10000 mcast_query_response_interval 900 mcast_startup_query_interval 3000 \
    mcast_stats_enabled 1 mcast_igmp_version 3 mcast_mld_version 2 no_linklocal_learn 1
link set e1 master br0
link set e1 type bridge_slave cost 7 priority 9 hairpin on guard on root_block on fastleave on learning off \
    flood off proxy_arp on proxy_arp_wifi on mcast_router 2 mcast_flood off mcast_to_unicast on \
    vlan_tunnel on bcast_flood off group_fwd_mask 16 neigh_suppress on isolated on locked on
link set br0 alias inside txqueuelen 55
link set br0 up
",
    vlans: VLANS,
    xml: || definition("bridge", "br0", PORT),
};

/// A bridge that does not filter VLANs.
const AN_OPEN_BRIDGE: Original = Original {
    name: "br0",
    batch: "\
link add br0 address 52:54:00:00:00:b0 type bridge forward_delay 700 stp_state 0 vlan_default_pvid 5
link set e1 master br0
link set br0 up
",
    vlans: VLANS,
    xml: || definition("bridge", "br0", PORT),
};

const PORT: &str = "<bridge stp='off' delay='7'><interface type='ethernet' name='e1'/></bridge>";
/// The VLANs of `A_BRIDGE`.
const VLANS: &str = "\
vlan add dev e1 vid 10-20
vlan add dev e1 vid 30 pvid untagged
vlan del dev e1 vid 5
vlan add dev br0 vid 10 self
";

const ADDRESSED: &str = "\
<protocol family='ipv4'><ip address='198.51.100.1' prefix='24'/>\
<route gateway='198.51.100.254'/></protocol>";

fn definition(kind: &str, name: &str, within: &str) -> String {
    format!(
        "<interface type='{kind}' name='{name}'><start mode='none'/>{ADDRESSED}{within}</interface>"
    )
}

/// The definition of a port as an interface of its own.
fn of_port(port: &str) -> String {
    let (head, rest) = port.split_once('>').unwrap();
    format!("{head}><start mode='none'/>{ADDRESSED}{rest}")
}

/// Starting an interface again restores the attributes that were set by hand, also if the daemon is
/// killed in between.
fn assert_started_again(original: &'static Original) {
    on_host_with(&MODULES, || {
        original.build();
        let name = original.name;
        let mut scene = Scene::start();
        scene.define(&(original.xml)());
        scene.assert_running(name);
        let before = Snapshot::take();
        scene.destroy(name);
        scene.create(name);
        before.assert_unchanged(Strictness::AlikeLinks, name);
        scene.assert_running(name);
        scene.destroy(name);
        let mut scene = scene.restart();
        scene.create(name);
        before.assert_unchanged(Strictness::AlikeLinks, "the daemon was killed");
    });
}

#[test]
fn a_vlan_that_is_started_again() {
    assert_started_again(&A_VLAN);
}

#[test]
fn a_bond_that_is_started_again() {
    assert_started_again(&A_BOND);
}

#[test]
fn a_bridge_that_is_started_again() {
    assert_started_again(&A_BRIDGE);
}

#[test]
fn a_bridge_that_does_not_filter_vlans_and_is_started_again() {
    assert_started_again(&AN_OPEN_BRIDGE);
}

/// The edit releases the port, and its undo adds it again.
#[test]
fn a_bridge_whose_edit_is_undone() {
    on_host_with(&MODULES, || {
        A_BRIDGE.build();
        ip("link add d0 type dummy");
        ip("link add link d0 v0 type vlan id 8 reorder_hdr off");
        ip("link set v0 master br0");
        ip("link set v0 type bridge_slave isolated on");
        let mut scene = Scene::start();
        let before = Snapshot::take();
        // The kernel refuses a gateway that is one of the host's own addresses, after the port was
        // released.
        let xml = (A_BRIDGE.xml)().replace("198.51.100.254", "192.0.2.1");
        scene.define(&xml);
        assert_words(&scene.call_create("br0").fault(), SYSTEM_ERROR, &["192.0.2.1", "undone"]);
        before.assert_unchanged(Strictness::AlikeLinks, "undone");
    });
}

/// As by `virsh iface-bridge` and `iface-unbridge`, with `between` in the middle.
fn assert_bridged_and_back(
    original: &'static Original,
    port: &'static str,
    between: fn(Scene) -> Scene,
) {
    on_host_with(&MODULES, move || {
        original.build();
        let (name, xml) = (original.name, (original.xml)());
        let mut scene = Scene::start();
        let bridge = definition("bridge", "br1", &format!("<bridge stp='off'>{port}</bridge>"));
        scene.define(&xml);
        let before = Snapshot::take();
        let index = fact(name, "ifindex");
        scene.define(&bridge);
        scene.create("br1");
        assert_eq!(fact("br1", "address"), fact(name, "address"));
        let mut scene = between(scene);
        scene.destroy("br1");
        scene.undefine("br1");
        scene.define(&xml);
        scene.create(name);
        before.assert_unchanged(Strictness::SameLinks, name);
        assert_eq!(fact(name, "ifindex"), index);
        scene.assert_running(name);
        // A link that a bridge has created is deleted with the bridge.
        scene.destroy(name);
        scene.define(&bridge);
        scene.create("br1");
        scene.destroy("br1");
        let is_gone = || !std::path::Path::new("/sys/class/net").join(name).exists();
        eventually(&format!("{name} is gone with its bridge"), is_gone);
        scene.undefine("br1");
        let mut scene = between(scene);
        scene.define(&xml);
        scene.create(name);
        before.assert_unchanged(Strictness::AlikeLinks, "made again");
    });
}

#[test]
fn a_vlan_that_becomes_a_port_and_none() {
    assert_bridged_and_back(&A_VLAN, VLAN_PORT, |scene| scene);
}

#[test]
fn a_bond_that_becomes_a_port_and_none() {
    assert_bridged_and_back(&A_BOND, BOND_PORT, |scene| scene);
}

#[test]
fn a_vlan_that_becomes_a_port_and_none_while_the_daemon_is_killed() {
    assert_bridged_and_back(&A_VLAN, VLAN_PORT, Scene::restart);
}

#[test]
fn a_bond_that_becomes_a_port_and_none_while_the_daemon_is_killed() {
    assert_bridged_and_back(&A_BOND, BOND_PORT, Scene::restart);
}
