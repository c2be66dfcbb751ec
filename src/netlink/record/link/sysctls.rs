// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysctls of a link, which are in the kernel's message about it (`IFLA_AF_SPEC`): a list of
//! numbers for each family, in the order of `IPV4_DEVCONF_*` (`linux/ip.h`) and `DEVCONF_*`
//! (`linux/ipv6.h`).
//!
//! Left out are those that only the kernel writes (`mc_forwarding`), that it does not report
//! (`stable_secret`), that have a wider value (`ioam6_id_wide`), or an attribute of their own
//! (`addr_gen_mode`).

use crate::model::ipv6::Ipv6Sysctls;
use crate::model::sysctl::Sysctl;
use crate::netlink::record::link::{IFLA_INET_CONF, IFLA_INET6_CONF, LinkRecord};

/// The files of IPv4's numbers, by position. Empty for those that are left out.
const IPV4: [&str; 33] = [
    "forwarding",
    "",
    "proxy_arp",
    "accept_redirects",
    "secure_redirects",
    "send_redirects",
    "shared_media",
    "rp_filter",
    "accept_source_route",
    "bootp_relay",
    "log_martians",
    "tag",
    "arp_filter",
    "medium_id",
    "disable_xfrm",
    "disable_policy",
    "force_igmp_version",
    "arp_announce",
    "arp_ignore",
    "promote_secondaries",
    "arp_accept",
    "arp_notify",
    "accept_local",
    "src_valid_mark",
    "proxy_arp_pvlan",
    "route_localnet",
    "igmpv2_unsolicited_report_interval",
    "igmpv3_unsolicited_report_interval",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_gratuitous_arp",
    "bc_forwarding",
    "arp_evict_nocarrier",
];

/// The files of IPv6's numbers, by position. Empty for those that are left out.
const IPV6: [&str; 60] = [
    "forwarding",
    "hop_limit",
    "mtu",
    "accept_ra",
    "accept_redirects",
    "autoconf",
    "dad_transmits",
    "router_solicitations",
    "router_solicitation_interval",
    "router_solicitation_delay",
    "use_tempaddr",
    "temp_valid_lft",
    "temp_prefered_lft",
    "regen_max_retry",
    "max_desync_factor",
    "max_addresses",
    "force_mld_version",
    "accept_ra_defrtr",
    "accept_ra_pinfo",
    "accept_ra_rtr_pref",
    "router_probe_interval",
    "accept_ra_rt_info_max_plen",
    "proxy_ndp",
    "optimistic_dad",
    "accept_source_route",
    "",
    "disable_ipv6",
    "accept_dad",
    "force_tllao",
    "ndisc_notify",
    "mldv1_unsolicited_report_interval",
    "mldv2_unsolicited_report_interval",
    "suppress_frag_ndisc",
    "accept_ra_from_local",
    "use_optimistic",
    "accept_ra_mtu",
    "",
    "use_oif_addrs_only",
    "accept_ra_min_hop_limit",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_unsolicited_na",
    "keep_addr_on_down",
    "router_solicitation_max_interval",
    "seg6_enabled",
    "seg6_require_hmac",
    "enhanced_dad",
    "",
    "disable_policy",
    "accept_ra_rt_info_min_plen",
    "ndisc_tclass",
    "rpl_seg_enabled",
    "ra_defrtr_metric",
    "ioam6_enabled",
    "ioam6_id",
    "",
    "ndisc_evict_nocarrier",
    "accept_untracked_na",
    "accept_ra_min_lft",
    "force_forwarding",
];

/// Sysctls of IPv6 that the kernel reports in milliseconds, and whose files have seconds.
const IN_SECONDS: [&str; 4] = [
    "router_solicitation_interval",
    "router_solicitation_delay",
    "router_probe_interval",
    "router_solicitation_max_interval",
];
const MILLIS_PER_SECOND: i32 = 1000;

impl LinkRecord {
    /// The sysctls that can be set, as their files have them. The switch of IPv6 comes last:
    /// otherwise it would bring addresses under sysctls that change a moment later.
    pub fn sysctls(&self) -> Vec<(Sysctl, i32)> {
        let ipv4 = self.family(super::AF_INET).find(|it| it.kind == IFLA_INET_CONF);
        let ipv6 = self.family(super::AF_INET6).find(|it| it.kind == IFLA_INET6_CONF);
        let ipv4 = named(&IPV4, ipv4.map(|list| list.payload).unwrap_or_default());
        let ipv6 = named(&IPV6, ipv6.map(|list| list.payload).unwrap_or_default());
        let ipv4 = ipv4.map(|(name, value)| (Sysctl::ipv4(name), value));
        let ipv6 = ipv6.map(|(name, value)| {
            let unit = if IN_SECONDS.contains(&name) { MILLIS_PER_SECOND } else { 1 };
            (Sysctl::ipv6(name), value / unit)
        });
        let mut sysctls: Vec<_> = ipv4.chain(ipv6).collect();
        sysctls.sort_by_key(|(sysctl, _)| *sysctl == Sysctl::DISABLE_IPV6);
        sysctls
    }

    /// The same without the MTU of IPv6, which becomes the link's whenever that comes up.
    pub(crate) fn own_sysctls(&self) -> impl Iterator<Item = (Sysctl, i32)> {
        self.sysctls().into_iter().filter(|(sysctl, _)| *sysctl != Sysctl::ipv6("mtu"))
    }
}

/// Each sysctl that [`LinkRecord::sysctls`] may return.
pub fn all() -> impl Iterator<Item = Sysctl> {
    let ipv4 = IPV4.iter().copied().filter(|name| !name.is_empty()).map(Sysctl::ipv4);
    let ipv6 = IPV6.iter().copied().filter(|name| !name.is_empty()).map(Sysctl::ipv6);
    ipv4.chain(ipv6)
}

/// The sysctls of IPv6 among these.
pub(crate) fn ipv6_sysctls(sysctls: &[(Sysctl, i32)]) -> Ipv6Sysctls {
    let value = |sysctl: Sysctl| {
        let found = sysctls.iter().find(|(it, _)| *it == sysctl);
        found.map(|(_, value)| *value)
    };
    Ipv6Sysctls {
        accept_ra: value(Sysctl::ACCEPT_RA),
        autoconf: value(Sysctl::AUTOCONF),
        disable_ipv6: value(Sysctl::DISABLE_IPV6),
        forwarding: value(Sysctl::FORWARDING_IPV6),
    }
}

/// The numbers of a list that have files, by name.
fn named<'a>(
    names: &'static [&'static str],
    list: &'a [u8],
) -> impl Iterator<Item = (&'static str, i32)> + use<'a> {
    let values = list.chunks_exact(4).map(|bytes| bytes.try_into().map(i32::from_ne_bytes));
    let named = names.iter().copied().zip(values.flatten());
    named.filter(|(name, _)| !name.is_empty())
}
