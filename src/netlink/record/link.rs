// SPDX-License-Identifier: LGPL-2.1-or-later
//! Links in the kernel's own words, so that what somebody has changed of one can be set back, and one
//! that is gone can be made again (`linux/if_link.h`).
//!
//! Of the message that tells of a link a [`LinkRecord`] keeps what can be said again, and leaves out
//! what only the kernel says: counters, timers, what it is made of.

use std::fmt;

use crate::model::ipv6::Ipv6Switches;
use crate::netlink::change::{self, LINK_REQUEST};
use crate::netlink::link::{
    self, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINK_NETNSID,
    IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_OPERSTATE, Link, LinkEvent, LinkIndex, LinkKind,
    RTM_NEWLINK,
};
use crate::netlink::wire::{
    self, Attribute, Header, Message, PayloadWriter, WireError, attributes, take_array, take_u32,
};

const IFLA_TXQLEN: u16 = 13;
const IFLA_IFALIAS: u16 = 20;
pub(super) const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;

/// `AF_INET6`, as an attribute within `IFLA_AF_SPEC`.
const AF_INET6: u16 = 10;
const IFLA_INET6_CONF: u16 = 2;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;

/// Places in the list of `IFLA_INET6_CONF` (`linux/ipv6.h`, `DEVCONF_*`), and how much of it holds
/// them.
const DEVCONF_FORWARDING: usize = 0;
const DEVCONF_ACCEPT_RA: usize = 3;
const DEVCONF_AUTOCONF: usize = 5;
const DEVCONF_DISABLE_IPV6: usize = 26;
const DEVCONF_COUNT: usize = 27;

/// Flags that can be set (`net/if.h`), and what `ip` calls them. Whether a link is up is apart.
const FLAGS: [(u32, &str); 4] =
    [(0x80, "noarp"), (0x100, "promisc"), (0x200, "allmulticast"), (0x1000, "multicast")];

/// An attribute that can be set, and what `ip` calls it.
type Settable = (u16, &'static str);

const OF_LINK: [Settable; 3] =
    [(IFLA_TXQLEN, "txqueuelen"), (IFLA_IFALIAS, "alias"), (IFLA_GROUP, "group")];

const OF_INET6: [Settable; 1] = [(IFLA_INET6_ADDR_GEN_MODE, "addrgenmode")];

/// `IFLA_BR_*`. The delay and STP are apart: the one allows the other or not.
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
const BRIDGE_STP: [u16; 2] = [1, 5];

/// The VLAN that whatever joins a bridge is given, or 0.
const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;

/// `IFLA_BR_*` of VLANs that count from the first port on: `VLAN_FILTERING`, without which whatever is
/// sent meanwhile reaches all ports, `VLAN_PROTOCOL`, the default, and `VLAN_STATS_PER_PORT`, which is
/// refused where a port has VLANs. A kernel whose bridges do not look at VLANs tells no default, and
/// refuses the rest.
const BRIDGE_VLANS: [u16; 4] = [7, 8, IFLA_BR_VLAN_DEFAULT_PVID, 45];

/// `IFLA_BOND_*`, without the mode and what belongs to monitoring.
const OF_BOND: [Settable; 18] = [
    (12, "primary_reselect"),
    (13, "fail_over_mac"),
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
    (27, "tlb_dynamic_lb"),
    (28, "peer_notify_delay"),
    (29, "lacp_active"),
    (30, "missed_max"),
    (11, "primary"),
];

/// `IFLA_BOND_*` of the mode, of monitoring, and `IFLA_BOND_ARP_ALL_TARGETS`.
const BOND_MONITORING: [u16; 9] = [1, 3, 4, 5, 6, 7, 8, 9, 10];

/// `IFLA_BRPORT_*`: what a bridge knows of a port.
const OF_BRIDGE_PORT: [Settable; 20] = [
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

/// A link, with all that the kernel says of it and takes back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkRecord {
    /// As the table has it.
    pub link: Link,
    pub switches: Ipv6Switches,
    /// The message's flags and attributes, as far as they are kept.
    flags: u32,
    attributes: Vec<u8>,
}

/// One attribute of a link, and where in a request it is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkSetting {
    place: Place,
    kind: u16,
    name: &'static str,
    payload: Vec<u8>,
}

/// Whose attribute it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Any link's.
    Link,
    /// One of any link's flags: this one.
    Flag(u32),
    /// IPv6's.
    Inet6,
    /// That of a link of this kind.
    Kind(&'static str),
    /// That of a port of such a link.
    Port(&'static str),
}

impl LinkRecord {
    /// Reads what the kernel says of a link. `None` if the message is about something else, or about a
    /// link that nobody could name.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        if message.kind != RTM_NEWLINK {
            return Ok(None);
        }
        let Some(LinkEvent::New(link)) = link::decode(message)? else { return Ok(None) };
        let mut rest = message.payload;
        take_array::<8>(&mut rest, "ifinfomsg")?;
        let flags = take_u32(&mut rest, "ifinfomsg")?;
        take_u32(&mut rest, "ifinfomsg")?;
        let mut record =
            Self { link, switches: Ipv6Switches::default(), flags, attributes: Vec::new() };
        for attribute in attributes(rest) {
            record.keep(&attribute?);
        }
        record.switches = record.read_switches();
        Ok(Some(record))
    }

    fn keep(&mut self, attribute: &Attribute<'_>) {
        let mut kept = PayloadWriter::new(&mut self.attributes);
        match attribute.kind {
            IFLA_ADDRESS | IFLA_IFNAME | IFLA_MTU | IFLA_LINK | IFLA_MASTER | IFLA_TXQLEN
            | IFLA_OPERSTATE | IFLA_IFALIAS | IFLA_GROUP | IFLA_LINK_NETNSID => {
                kept.attribute(attribute.kind, attribute.payload);
            }
            IFLA_LINKINFO => kept.nested(IFLA_LINKINFO, |info| keep_info(info, attribute)),
            IFLA_AF_SPEC => kept.nested(IFLA_AF_SPEC, |families| {
                let ipv6 = attribute.nested().flatten().filter(|family| family.kind == AF_INET6);
                ipv6.for_each(|family| families.nested(AF_INET6, |out| keep_ipv6(out, &family)));
            }),
            _ => {}
        }
    }

    fn read_switches(&self) -> Ipv6Switches {
        let conf = self.ipv6().find(|attribute| attribute.kind == IFLA_INET6_CONF);
        let value = |at: usize| {
            let bytes = conf?.payload.get(at * 4..)?;
            bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
        };
        Ipv6Switches {
            accept_ra: value(DEVCONF_ACCEPT_RA),
            autoconf: value(DEVCONF_AUTOCONF),
            disable_ipv6: value(DEVCONF_DISABLE_IPV6),
            forwarding: value(DEVCONF_FORWARDING),
        }
    }

    /// Appends the record as the kernel would tell it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::write_message(out, Header { kind: RTM_NEWLINK, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[0; 4]);
            payload.bytes(&self.link.index.0.to_ne_bytes());
            payload.bytes(&self.flags.to_ne_bytes());
            payload.bytes(&[0; 4]);
            payload.bytes(&self.attributes);
        });
    }

    /// Appends the request that makes such a link again, over `parent` if it is over one. It is down
    /// at first, and nobody's port. Only bridges, bonds and VLANs can be made.
    pub fn encode_add(&self, out: &mut Vec<u8>, sequence: u32, parent: Option<LinkIndex>) {
        wire::write_message(out, Header { sequence, ..LINK_REQUEST }, |payload| {
            payload.bytes(&[0; 16]);
            payload.attribute_text(IFLA_IFNAME, self.link.name.as_str());
            if let Some(mac) = &self.link.mac {
                payload.attribute(IFLA_ADDRESS, mac.as_bytes());
            }
            if let Some(parent) = parent {
                payload.attribute_u32(IFLA_LINK, parent.0);
            }
            payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_KIND, kind_name(&self.link.kind).unwrap_or_default());
                info.nested(IFLA_INFO_DATA, |data| match &self.link.kind {
                    LinkKind::Bond(bond) => change::write_bond_again(data, bond),
                    // The rest can be set one by one: some kernels know less of it.
                    LinkKind::Bridge(_) => self.write_info(data, |kind| {
                        let has_vlans = self.default_vlan().is_some();
                        BRIDGE_STP.contains(&kind) || has_vlans && BRIDGE_VLANS.contains(&kind)
                    }),
                    LinkKind::Vlan { .. } => self.write_info(data, |_| true),
                    LinkKind::Nic | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => {}
                });
            });
        });
    }

    /// Some of what belongs to its kind.
    fn write_info(&self, data: &mut PayloadWriter<'_>, is_said: impl Fn(u16) -> bool) {
        for attribute in self.info(IFLA_INFO_DATA).filter(|it| is_said(it.kind)) {
            data.attribute(attribute.kind, attribute.payload);
        }
    }

    /// What has to be set so that a link that is as `now` becomes as this record has it, but for what
    /// the table knows of it and has words of its own for. Of a link that is yet to be made, all but
    /// the flags: which of them the kernel gives it is to be seen when it is there.
    pub fn settings_besides(&self, now: Option<&Self>) -> Vec<LinkSetting> {
        let has = now.map(Self::settings).unwrap_or_default();
        let mut settings = self.settings();
        settings.retain(|setting| now.is_some() || !matches!(setting.place, Place::Flag(_)));
        // Where there was no alias an empty one is the same.
        if let Some(alias) =
            has.iter().find(|it| it.kind == IFLA_IFALIAS && it.place == Place::Link)
            && !settings.iter().any(|it| it.kind == IFLA_IFALIAS && it.place == Place::Link)
        {
            settings.push(LinkSetting { payload: Vec::new(), ..alias.clone() });
        }
        settings.retain(|setting| !has.contains(setting));
        settings
    }

    /// All that can be set.
    fn settings(&self) -> Vec<LinkSetting> {
        let flag = |(flag, name): &(u32, &'static str)| {
            let payload = (self.flags & *flag).to_ne_bytes().to_vec();
            LinkSetting { place: Place::Flag(*flag), kind: 0, name, payload }
        };
        let mut settings: Vec<_> = FLAGS.iter().map(flag).collect();
        let mut add = |place, attribute: Attribute<'_>, of: &[Settable]| {
            let found = of.iter().find(|(kind, _)| *kind == attribute.kind);
            settings.extend(found.map(|(kind, name)| {
                let payload = attribute.payload.to_vec();
                LinkSetting { place, kind: *kind, name, payload }
            }));
        };
        self.attributes().for_each(|attribute| add(Place::Link, attribute, &OF_LINK));
        self.ipv6().for_each(|attribute| add(Place::Inet6, attribute, &OF_INET6));
        if let (Some(name), Some(of)) = (kind_name(&self.link.kind), settable_of(&self.link.kind)) {
            self.info(IFLA_INFO_DATA).for_each(|it| add(Place::Kind(name), it, of));
        }
        if self.is_bridge_port() {
            let port = self.info(IFLA_INFO_SLAVE_DATA);
            port.for_each(|attribute| add(Place::Port("bridge"), attribute, &OF_BRIDGE_PORT));
        }
        settings
    }

    /// The VLAN that a bridge gives to whatever joins it, or 0. `None` from what is no bridge, and from
    /// a kernel whose bridges do not look at VLANs.
    pub fn default_vlan(&self) -> Option<u16> {
        matches!(self.link.kind, LinkKind::Bridge(_)).then_some(())?;
        let mut data = self.info(IFLA_INFO_DATA);
        let default = data.find(|attribute| attribute.kind == IFLA_BR_VLAN_DEFAULT_PVID)?;
        default.u16("IFLA_BR_VLAN_DEFAULT_PVID").ok()
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        attributes(&self.attributes).flatten()
    }

    /// What stands below one attribute of `IFLA_LINKINFO`.
    fn info(&self, kind: u16) -> impl Iterator<Item = Attribute<'_>> {
        let info = self.attributes().filter(|attribute| attribute.kind == IFLA_LINKINFO);
        let parts = info.flat_map(|info| info.nested().flatten());
        parts.filter(move |part| part.kind == kind).flat_map(|part| part.nested().flatten())
    }

    fn is_bridge_port(&self) -> bool {
        let info = self.attributes().filter(|attribute| attribute.kind == IFLA_LINKINFO);
        let mut parts = info.flat_map(|info| info.nested().flatten());
        parts.any(|part| part.kind == IFLA_INFO_SLAVE_KIND && part.text() == b"bridge")
    }

    /// What stands below `AF_INET6` of `IFLA_AF_SPEC`.
    fn ipv6(&self) -> impl Iterator<Item = Attribute<'_>> {
        let families = self.attributes().filter(|attribute| attribute.kind == IFLA_AF_SPEC);
        let families = families.flat_map(|families| families.nested().flatten());
        families.filter(|family| family.kind == AF_INET6).flat_map(|it| it.nested().flatten())
    }
}

impl LinkSetting {
    /// Whether only links of one kind have it.
    pub fn is_of_kind(&self) -> bool {
        matches!(self.place, Place::Kind(_))
    }

    /// Whether it says what a port is to the bridge that it is a port of.
    pub fn is_of_port(&self) -> bool {
        matches!(self.place, Place::Port(_))
    }

    /// The VLAN that whatever joins the bridge is to be given, or 0, if this is that.
    pub fn default_vlan(&self) -> Option<u16> {
        let is_it = self.is_of_kind() && self.kind == IFLA_BR_VLAN_DEFAULT_PVID;
        let bytes = self.payload.first_chunk().filter(|_| is_it)?;
        Some(u16::from_ne_bytes(*bytes))
    }

    /// Appends the request that sets this of `link`.
    pub fn encode(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        wire::write_message(out, Header { kind: RTM_NEWLINK, flags, sequence }, |payload| {
            payload.bytes(&[0; 4]);
            payload.bytes(&link.0.to_ne_bytes());
            match self.place {
                Place::Flag(flag) => {
                    payload.bytes(&self.payload);
                    payload.bytes(&flag.to_ne_bytes());
                }
                Place::Link | Place::Inet6 | Place::Kind(_) | Place::Port(_) => {
                    payload.bytes(&[0; 8]);
                }
            }
            self.write(payload);
        });
    }

    fn write(&self, payload: &mut PayloadWriter<'_>) {
        match self.place {
            Place::Flag(_) => {}
            Place::Link => payload.attribute(self.kind, &self.payload),
            Place::Inet6 => payload.nested(IFLA_AF_SPEC, |families| {
                families.nested(AF_INET6, |ipv6| ipv6.attribute(self.kind, &self.payload));
            }),
            Place::Kind(name) => payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_KIND, name);
                info.nested(IFLA_INFO_DATA, |data| data.attribute(self.kind, &self.payload));
            }),
            Place::Port(name) => payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_SLAVE_KIND, name);
                info.nested(IFLA_INFO_SLAVE_DATA, |data| {
                    data.attribute(self.kind, &self.payload);
                });
            }),
        }
    }
}

/// As `ip link set` has it, but for what the value is called.
impl fmt::Display for LinkSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Link | Place::Inet6 => {}
            Place::Flag(_) => {
                let is_set = self.payload.iter().any(|byte| *byte != 0);
                return write!(f, "{} {}", self.name, if is_set { "on" } else { "off" });
            }
            Place::Kind(name) => write!(f, "type {name} ")?,
            Place::Port(name) => write!(f, "type {name}_slave ")?,
        }
        write!(f, "{} ", self.name)?;
        match self.payload.as_slice() {
            text if self.kind == IFLA_IFALIAS && self.place == Place::Link => {
                let text = text.strip_suffix(&[0]).unwrap_or(text);
                write!(f, "\"{}\"", text.escape_ascii())
            }
            [byte] => write!(f, "{byte}"),
            [a, b] => write!(f, "{}", u16::from_ne_bytes([*a, *b])),
            [a, b, c, d] => write!(f, "{}", u32::from_ne_bytes([*a, *b, *c, *d])),
            bytes => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// Of what a link is: its kind and, of the attributes, those that can be said again.
fn keep_info(out: &mut PayloadWriter<'_>, info: &Attribute<'_>) {
    let name = info.nested().flatten().find(|part| part.kind == IFLA_INFO_KIND);
    let name = name.map(|name| name.text()).unwrap_or_default();
    let is_kept = |kind: u16| match name {
        b"bridge" => BRIDGE_STP.contains(&kind) || is_settable(&OF_BRIDGE, kind),
        b"bond" => BOND_MONITORING.contains(&kind) || is_settable(&OF_BOND, kind),
        b"vlan" => true,
        _ => false,
    };
    for part in info.nested().flatten() {
        match part.kind {
            IFLA_INFO_KIND | IFLA_INFO_SLAVE_KIND => out.attribute(part.kind, part.payload),
            IFLA_INFO_DATA => out.nested(part.kind, |data| {
                let kept = part.nested().flatten().filter(|it| is_kept(it.kind));
                kept.for_each(|it| data.attribute(it.kind, it.payload));
            }),
            IFLA_INFO_SLAVE_DATA => out.nested(part.kind, |data| {
                let kept = part.nested().flatten();
                let kept = kept.filter(|it| is_settable(&OF_BRIDGE_PORT, it.kind));
                kept.for_each(|it| data.attribute(it.kind, it.payload));
            }),
            _ => {}
        }
    }
}

fn keep_ipv6(out: &mut PayloadWriter<'_>, family: &Attribute<'_>) {
    for attribute in family.nested().flatten() {
        match attribute.kind {
            IFLA_INET6_CONF => {
                let values = attribute.payload.get(..DEVCONF_COUNT * 4);
                out.attribute(attribute.kind, values.unwrap_or(attribute.payload));
            }
            IFLA_INET6_ADDR_GEN_MODE => out.attribute(attribute.kind, attribute.payload),
            _ => {}
        }
    }
}

fn is_settable(of: &[Settable], kind: u16) -> bool {
    of.iter().any(|(settable, _)| *settable == kind)
}

/// What the kernel calls the kinds of links that can be made again.
fn kind_name(kind: &LinkKind) -> Option<&'static str> {
    match kind {
        LinkKind::Bond(_) => Some("bond"),
        LinkKind::Bridge(_) => Some("bridge"),
        LinkKind::Vlan { .. } => Some("vlan"),
        LinkKind::Nic | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => None,
    }
}

fn settable_of(kind: &LinkKind) -> Option<&'static [Settable]> {
    match kind {
        LinkKind::Bond(_) => Some(&OF_BOND),
        LinkKind::Bridge(_) => Some(&OF_BRIDGE),
        LinkKind::Vlan { .. }
        | LinkKind::Nic
        | LinkKind::Tun
        | LinkKind::Veth
        | LinkKind::Other => None,
    }
}

#[cfg(test)]
mod tests;
