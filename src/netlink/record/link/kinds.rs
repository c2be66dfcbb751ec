// SPDX-License-Identifier: LGPL-2.1-or-later
//! The attributes of links that the kernel accepts: of any link, and of each kind of link whose
//! dump is enough to make it again (`linux/if_link.h`).
//!
//! Knows numbers and their names in `ip`, not how to send them.

use crate::netlink::link::{
    IFLA_BOND_ARP_VALIDATE, IFLA_BOND_MODE, IFLA_BOND_PRIMARY, IFLA_VLAN_ID,
};

/// An attribute that can be set, and its name in `ip`.
pub(super) type Settable = (u16, &'static str);

pub(super) const IFLA_BROADCAST: u16 = 2;
pub(super) const IFLA_TXQLEN: u16 = 13;
pub(super) const IFLA_LINKMODE: u16 = 17;
pub(super) const IFLA_IFALIAS: u16 = 20;
pub(super) const IFLA_GROUP: u16 = 27;
pub(super) const IFLA_PROTO_DOWN: u16 = 39;
pub(super) const IFLA_GSO_MAX_SEGS: u16 = 40;
pub(super) const IFLA_GSO_MAX_SIZE: u16 = 41;
pub(super) const IFLA_GRO_MAX_SIZE: u16 = 58;
pub(super) const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
pub(super) const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;

/// Attributes of any link, which a new one gets at once.
pub(super) const OF_NEW_LINK: [Settable; 3] =
    [(IFLA_TXQLEN, "txqueuelen"), (IFLA_IFALIAS, "alias"), (IFLA_GROUP, "group")];

/// Attributes that only some links have, or that depend on others: a new link gets them when they
/// are found to differ.
pub(super) const OF_LINK: [Settable; 8] = [
    (IFLA_BROADCAST, "broadcast"),
    (IFLA_LINKMODE, "mode"),
    (IFLA_PROTO_DOWN, "protodown"),
    (IFLA_GSO_MAX_SEGS, "gso_max_segs"),
    (IFLA_GSO_MAX_SIZE, "gso_max_size"),
    (IFLA_GRO_MAX_SIZE, "gro_max_size"),
    (IFLA_GSO_IPV4_MAX_SIZE, "gso_ipv4_max_size"),
    (IFLA_GRO_IPV4_MAX_SIZE, "gro_ipv4_max_size"),
];

pub(super) const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;

/// The host part of the addresses that the link generates.
pub(super) const IFLA_INET6_TOKEN: u16 = 7;

pub(super) const OF_INET6: [Settable; 2] =
    [(IFLA_INET6_ADDR_GEN_MODE, "addrgenmode"), (IFLA_INET6_TOKEN, "token")];

/// `IFLA_BR_*`. The delay and STP are apart, as one restricts the other.
const OF_BRIDGE: [Settable; 32] = [
    (2, "hello_time"),
    (3, "max_age"),
    (4, "ageing_time"),
    (6, "priority"),
    (7, "vlan_filtering"),
    (8, "vlan_protocol"),
    (9, "group_fwd_mask"),
    (22, "mcast_router"),
    (23, "mcast_snooping"),
    (24, "mcast_query_use_ifaddr"),
    (25, "mcast_querier"),
    (27, "mcast_hash_max"),
    (28, "mcast_last_member_count"),
    (29, "mcast_startup_query_count"),
    (30, "mcast_last_member_interval"),
    (31, "mcast_membership_interval"),
    (32, "mcast_querier_interval"),
    (33, "mcast_query_interval"),
    (34, "mcast_query_response_interval"),
    (35, "mcast_startup_query_interval"),
    (36, "nf_call_iptables"),
    (37, "nf_call_ip6tables"),
    (38, "nf_call_arptables"),
    (IFLA_BR_VLAN_DEFAULT_PVID, "vlan_default_pvid"),
    (41, "vlan_stats_enabled"),
    (42, "mcast_stats_enabled"),
    (43, "mcast_igmp_version"),
    (44, "mcast_mld_version"),
    (45, "vlan_stats_per_port"),
    (46, "boolopt"),
    (49, "fdb_max_learned"),
    (20, "group_address"),
];

/// `IFLA_BR_FORWARD_DELAY`, `IFLA_BR_STP_STATE`.
pub(super) const BRIDGE_STP: [u16; 2] = [1, 5];

pub(super) const IFLA_BR_VLAN_FILTERING: u16 = 7;
/// The VLAN that each new port of a bridge gets, or 0.
pub(super) const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;

/// `IFLA_BR_*` of VLANs that must be set before the first port: `VLAN_FILTERING`, without which
/// packets reach all ports meanwhile, `VLAN_PROTOCOL`, the default, and `VLAN_STATS_PER_PORT`,
/// which is refused if a port has VLANs. A kernel whose bridges do not filter VLANs reports no
/// default, and refuses the rest.
pub(super) const BRIDGE_VLANS: [u16; 4] =
    [IFLA_BR_VLAN_FILTERING, 8, IFLA_BR_VLAN_DEFAULT_PVID, 45];

const IFLA_BOND_FAIL_OVER_MAC: u16 = 13;
pub(super) const IFLA_BOND_AD_ACTOR_SYSTEM: u16 = 26;

/// `IFLA_BOND_*`, without the mode, the primary member, and most of monitoring, whose attributes
/// depend on each other.
const OF_BOND: [Settable; 21] = [
    (IFLA_BOND_ARP_VALIDATE, "arp_validate"),
    (10, "arp_all_targets"),
    (12, "primary_reselect"),
    (IFLA_BOND_FAIL_OVER_MAC, "fail_over_mac"),
    (14, "xmit_hash_policy"),
    (15, "resend_igmp"),
    (16, "num_grat_arp"),
    (17, "all_slaves_active"),
    (18, "min_links"),
    (19, "lp_interval"),
    (20, "packets_per_slave"),
    (21, "lacp_rate"),
    (22, "ad_select"),
    (24, "ad_actor_sys_prio"),
    (25, "ad_user_port_key"),
    (IFLA_BOND_AD_ACTOR_SYSTEM, "ad_actor_system"),
    (27, "tlb_dynamic_lb"),
    (28, "peer_notify_delay"),
    (29, "lacp_active"),
    (30, "missed_max"),
    (IFLA_BOND_NS_IP6_TARGET, "ns_ip6_target"),
];

/// A list of IPv6 addresses, which the kernel omits when it is empty.
const IFLA_BOND_NS_IP6_TARGET: u16 = 31;

/// Attributes of a bond that the kernel changes only while it is down.
const OF_BOND_DOWN: [u16; 5] = [21, 22, 25, 27, 29];

/// `IFLA_BOND_*` of the mode, of monitoring, and of the primary member.
const BOND_MONITORING: [u16; 9] = [IFLA_BOND_MODE, 3, 4, 5, 6, 7, 8, 9, IFLA_BOND_PRIMARY];

pub(super) const IFLA_VLAN_FLAGS: u16 = 2;
pub(super) const IFLA_VLAN_EGRESS_QOS: u16 = 3;
pub(super) const IFLA_VLAN_INGRESS_QOS: u16 = 4;
const IFLA_VLAN_PROTOCOL: u16 = 5;

const OF_VLAN: [Settable; 3] = [
    (IFLA_VLAN_FLAGS, "flags"),
    (IFLA_VLAN_EGRESS_QOS, "egress-qos-map"),
    (IFLA_VLAN_INGRESS_QOS, "ingress-qos-map"),
];

/// `IFLA_BRPORT_*`: attributes of a bridge's port.
pub(super) const OF_BRIDGE_PORT: [Settable; 20] = [
    (2, "priority"),
    (3, "cost"),
    (4, "hairpin"),
    (5, "guard"),
    (6, "root_block"),
    (7, "fastleave"),
    (8, "learning"),
    (9, "flood"),
    (10, "proxy_arp"),
    (12, "proxy_arp_wifi"),
    (25, "mcast_router"),
    (27, "mcast_flood"),
    (28, "mcast_to_unicast"),
    (29, "vlan_tunnel"),
    (30, "bcast_flood"),
    (31, "group_fwd_mask"),
    (32, "neigh_suppress"),
    (33, "isolated"),
    (39, "locked"),
    (40, "mab"),
];

/// `IFLA_BOND_SLAVE_*`: attributes of a bond's member.
const OF_BOND_MEMBER: [Settable; 2] = [(5, "queue_id"), (9, "prio")];

/// The attributes of ports of a master of this kind.
pub(super) fn of_port(master: &[u8]) -> Option<(&'static str, &'static [Settable])> {
    match master {
        b"bridge" => Some(("bridge", &OF_BRIDGE_PORT)),
        b"bond" => Some(("bond", &OF_BOND_MEMBER)),
        _ => None,
    }
}

/// A kind of link that can be made again.
#[derive(Debug)]
pub(super) struct RestorableKind {
    /// Its name in the kernel.
    pub(super) name: &'static str,
    /// Attributes that an existing link of this kind accepts.
    pub(super) settable: &'static [Settable],
    /// Attributes that are kept in addition, for the creation of a link.
    pub(super) kept: AttributeSet,
    /// Attributes that cannot be changed, so that the link has to be made again.
    pub(super) fixed: AttributeSet,
    /// The attribute that has the index of the link below this one.
    pub(super) below: Option<u16>,
    /// Attributes that the kernel reports as a number, and accepts as a flag without a value.
    pub(super) flags: &'static [u16],
    /// Attributes that conflict with others, even if they are 0.
    pub(super) unless_zero: &'static [u16],
}

/// Attributes of a kind.
#[derive(Debug)]
pub(super) enum AttributeSet {
    These(&'static [u16]),
    AllBut(&'static [u16]),
}

impl AttributeSet {
    pub(super) fn has(&self, kind: u16) -> bool {
        match self {
            Self::These(these) => these.contains(&kind),
            Self::AllBut(others) => !others.contains(&kind),
        }
    }
}

/// A kind whose links are made again if any attribute has changed.
const fn made_anew(name: &'static str) -> RestorableKind {
    let all = AttributeSet::AllBut(&[]);
    RestorableKind {
        name,
        settable: &[],
        kept: all,
        fixed: AttributeSet::AllBut(&[]),
        below: None,
        flags: &[],
        unless_zero: &[],
    }
}

/// As [`made_anew`], with the attribute that names the link below.
const fn made_anew_over(name: &'static str, below: u16, flags: &'static [u16]) -> RestorableKind {
    RestorableKind { below: Some(below), flags, ..made_anew(name) }
}

/// The kinds. Others need more than a dump: keys (WireGuard), another program (macvtap, tap, team),
/// or the record of the other end (veth).
static KINDS: [RestorableKind; 18] = [
    RestorableKind {
        settable: &OF_BOND,
        kept: AttributeSet::These(&BOND_MONITORING),
        fixed: AttributeSet::These(&[IFLA_BOND_MODE, IFLA_BOND_FAIL_OVER_MAC]),
        ..made_anew("bond")
    },
    RestorableKind {
        settable: &OF_BRIDGE,
        kept: AttributeSet::These(&BRIDGE_STP),
        fixed: AttributeSet::These(&[]),
        ..made_anew("bridge")
    },
    made_anew("dummy"),
    // `IFLA_GENEVE_TTL_INHERIT`, which overrides any TTL.
    RestorableKind { unless_zero: &[12], ..made_anew("geneve") },
    // `IFLA_GRE_LINK`.
    made_anew_over("gre", 1, &[]),
    made_anew_over("gretap", 1, &[]),
    made_anew("ifb"),
    made_anew_over("ip6gre", 1, &[]),
    made_anew_over("ip6gretap", 1, &[]),
    // `IFLA_IPTUN_LINK`.
    made_anew_over("ip6tnl", 1, &[]),
    made_anew_over("ipip", 1, &[]),
    made_anew("ipvlan"),
    // `IFLA_MACVLAN_MACADDR_COUNT`, `IFLA_MACVLAN_BC_QUEUE_LEN_USED`: reported, but not accepted.
    RestorableKind { kept: AttributeSet::AllBut(&[6, 8]), ..made_anew("macvlan") },
    made_anew_over("sit", 1, &[]),
    RestorableKind {
        settable: &OF_VLAN,
        fixed: AttributeSet::These(&[IFLA_VLAN_ID, IFLA_VLAN_PROTOCOL]),
        ..made_anew("vlan")
    },
    made_anew("vrf"),
    // `IFLA_VTI_LINK`.
    made_anew_over("vti", 1, &[]),
    // `IFLA_VXLAN_LINK`, `IFLA_VXLAN_TTL_INHERIT`; and `IFLA_VXLAN_REMCSUM_RX`, whose bits the
    // kernel reports as reserved.
    RestorableKind { unless_zero: &[22], ..made_anew_over("vxlan", 3, &[28]) },
];

/// The kind of this name, if its links can be made again.
pub(super) fn kind_named(name: &[u8]) -> Option<&'static RestorableKind> {
    KINDS.iter().find(|kind| kind.name.as_bytes() == name)
}

impl RestorableKind {
    /// Whether an attribute of a link of this kind is kept in its record.
    pub(super) fn keeps(&self, attribute: u16) -> bool {
        self.kept.has(attribute) || is_settable(self.settable, attribute)
    }
}

pub(super) fn is_settable(of: &[Settable], kind: u16) -> bool {
    of.iter().any(|(settable, _)| *settable == kind)
}

/// Whether the kernel omits an attribute when it is empty, so that an empty one removes it.
pub(super) fn is_left_out_when_empty(kind: &'static str, attribute: u16) -> bool {
    match kind {
        "bond" => attribute == IFLA_BOND_NS_IP6_TARGET,
        "vlan" => is_settable(&OF_VLAN, attribute),
        _ => false,
    }
}

/// Whether an attribute of a bond can only be changed while it is down.
pub(super) fn needs_bond_down(attribute: u16) -> bool {
    OF_BOND_DOWN.contains(&attribute)
}
