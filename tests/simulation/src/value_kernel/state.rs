// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's state of each link: [`Device`], with its [`Address`]es and [`Route`]s, and their
//! messages.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::announce;
use crate::value_kernel::vlan_options::VlanOptions;
use virtinterfaced::model::address::{Family, IpPrefix, MacAddr};
use virtinterfaced::model::interface::OperState;
use virtinterfaced::model::ipv6::Ipv6Sysctls;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::{Link, LinkIndex, LinkKind};
use virtinterfaced::netlink::wire::{
    NetlinkHeader, PayloadWriter, attributes, messages, write_message,
};

pub(super) const IFA_F_SECONDARY: u32 = 0x01;
pub(super) const IFA_F_PERMANENT: u32 = 0x80;
pub(super) const FOREVER: u32 = u32::MAX;
pub(super) const TABLE_MAIN: u32 = 254;
/// Untagged frames that arrive belong to this VLAN (`BRIDGE_VLAN_INFO_PVID`).
pub(super) const PVID: u16 = 2;
/// Frames of this VLAN leave untagged (`BRIDGE_VLAN_INFO_UNTAGGED`).
pub(super) const UNTAGGED: u16 = 4;
/// `IFAPROT_KERNEL_LL`.
const ORIGIN_LINK_LOCAL: u8 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const TICKS_PER_SECOND: u32 = 100;
/// The metric of an IPv6 route that was added without one.
pub(super) const IPV6_METRIC: u32 = 1024;

/// One link, and everything that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) index: LinkIndex,
    pub(super) name: IfName,
    pub(super) up: bool,
    pub(super) mtu: u32,
    pub(super) mac: MacAddr,
    pub(super) has_wire: bool,
    pub(super) master: Option<LinkIndex>,
    pub(super) parent: Option<LinkIndex>,
    pub(super) kind: LinkKind,
    /// The address and MTU that a member of a bond gets back when it is released.
    pub(super) before_bond: Option<(MacAddr, u32)>,
    /// Whether the MTU or the address was set explicitly, so it no longer follows other links.
    pub(super) owns_mtu: bool,
    pub(super) owns_mac: bool,
    pub(super) sysctls: Ipv6Sysctls,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    /// The VLANs of a bridge or of its port: numbers, and their flags.
    pub(super) vlans: BTreeMap<u16, u16>,
    /// A bridge's default VLAN for its ports, or 0.
    pub(super) default_vlan: Option<u16>,
    /// A VLAN's attributes other than its tag.
    pub(super) vlan: VlanOptions,
}

impl Device {
    pub(super) fn link(&self) -> Link {
        let carrier = self.up && self.has_wire;
        Link {
            index: self.index,
            name: self.name,
            up: self.up,
            mtu: self.mtu,
            mac: Some(self.mac),
            carrier,
            oper_state: if carrier { OperState::Up } else { OperState::Down },
            master: self.master,
            parent: self.parent,
            kind: self.kind.clone(),
        }
    }

    /// Appends its message, with the IPv6 sysctls (`IFLA_INET6_CONF`).
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut plain = Vec::new();
        announce::link(&mut plain, 0, &self.link());
        let Some(Ok(message)) = messages(&plain).next() else { return };
        let header = NetlinkHeader { kind: message.kind, flags: 0, sequence: 0 };
        write_message(out, header, |payload| {
            self.encode_with_data(message.payload, payload);
            let Ipv6Sysctls { accept_ra, autoconf, disable_ipv6, forwarding } = self.sysctls;
            let values = [(0, forwarding), (3, accept_ra), (5, autoconf), (26, disable_ipv6)];
            if disable_ipv6.is_none() {
                return;
            }
            payload.nested(26, |families| {
                families.nested(10, |ipv6| {
                    ipv6.nested(2, |list| {
                        for at in 0..=26 {
                            let value = values.iter().find(|(place, _)| *place == at);
                            let value = value.and_then(|(_, value)| *value).unwrap_or_default();
                            list.bytes(&value.to_ne_bytes());
                        }
                    });
                });
            });
        });
    }

    /// Appends the attributes of `plain`, and within `IFLA_INFO_DATA` of `IFLA_LINKINFO` a bridge's
    /// default VLAN (`IFLA_BR_VLAN_DEFAULT_PVID`) and a VLAN's options.
    fn encode_with_data(&self, plain: &[u8], payload: &mut PayloadWriter<'_>) {
        let Some((head, rest)) = plain.split_first_chunk::<16>() else {
            return payload.bytes(plain);
        };
        payload.bytes(head);
        for attribute in attributes(rest).flatten() {
            if attribute.kind != 18 {
                payload.attribute(attribute.kind, attribute.payload);
                continue;
            }
            payload.nested(18, |info| {
                let parts = attribute.nested().flatten();
                parts.for_each(|part| match part.kind {
                    2 => info.nested(2, |data| {
                        let own = part.nested().flatten();
                        own.for_each(|it| data.attribute(it.kind, it.payload));
                        if let Some(default) = self.default_vlan {
                            data.attribute(39, &default.to_ne_bytes());
                        }
                        if self.is_vlan() {
                            self.vlan.encode(data);
                        }
                    }),
                    kind => info.attribute(kind, part.payload),
                });
            });
        }
    }

    pub(super) fn is_bridge(&self) -> bool {
        matches!(self.kind, LinkKind::Bridge(_))
    }

    pub(super) fn is_bond(&self) -> bool {
        matches!(self.kind, LinkKind::Bond(_))
    }

    pub(super) fn is_vlan(&self) -> bool {
        matches!(self.kind, LinkKind::Vlan { .. })
    }

    /// Labels begin with the name of the link.
    pub(super) fn rename(&mut self, name: IfName) {
        for label in self.addresses.iter_mut().filter_map(|it| it.label.as_mut()) {
            if let Some(rest) = label.strip_prefix(self.name.as_str()) {
                *label = format!("{name}{rest}");
            }
        }
        self.name = name;
    }

    /// Removes IPv6 addresses and routes, as when the link goes down. The link-local address, which
    /// the kernel would add again, stays.
    pub(super) fn lose_ipv6(&mut self) {
        let stays = |it: &Address| it.family() == Family::Ipv4 || it.origin == ORIGIN_LINK_LOCAL;
        self.addresses.retain(stays);
        self.lose_routes(|route| route.family == Family::Ipv6);
    }

    pub(super) fn lose_routes(&mut self, is_lost: impl Fn(&Route) -> bool) {
        self.routes.retain(|route| !is_lost(route));
    }

    /// Whether this link reaches `gateway` without another gateway.
    pub(super) fn reaches(&self, gateway: IpAddr) -> bool {
        let is_link_local = matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let has_network =
            self.addresses.iter().any(|address| holds(address.destination(), gateway));
        let is_route = |route: &Route| {
            route.gateway.is_none()
                && route.table == TABLE_MAIN
                && route.destination.prefix_len() > 0
                && holds(route.destination, gateway)
        };
        is_link_local || has_network || self.routes.iter().any(is_route)
    }
}

/// Whether an address is in a network.
pub(super) fn holds(network: IpPrefix, address: IpAddr) -> bool {
    let within = IpPrefix::new(address, network.prefix_len());
    network.family() == Family::of(address)
        && within.is_some_and(|within| within.network() == network.network())
}

/// One address of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    pub(super) prefix: IpPrefix,
    pub(super) peer: Option<IpAddr>,
    pub(super) scope: u8,
    /// Without the flags that follow from lifetimes.
    pub(super) flags: u32,
    /// Seconds, or [`FOREVER`].
    pub(super) valid: u32,
    pub(super) label: Option<String>,
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) origin: u8,
}

impl Address {
    pub(super) fn family(&self) -> Family {
        self.prefix.family()
    }

    pub(super) fn is_secondary(&self) -> bool {
        self.family() == Family::Ipv4 && self.flags & IFA_F_SECONDARY != 0
    }

    /// Its network: the peer's, if it has one.
    pub(super) fn destination(&self) -> IpPrefix {
        let at = self.peer.and_then(|peer| IpPrefix::new(peer, self.prefix.prefix_len()));
        at.unwrap_or(self.prefix)
    }

    /// Whether one of two IPv4 addresses is in the network of the other one.
    pub(super) fn shares_network(&self, other: &Self) -> bool {
        let (one, other) = (self.destination(), other.destination());
        one.prefix_len() == other.prefix_len() && one.network() == other.network()
    }

    /// The lease that a DHCP server gives for a link: the address that the client asks for, or one
    /// made from the link's index.
    pub(super) fn leased(link: LinkIndex, family: Family, wanted: Option<IpPrefix>) -> Self {
        let [.., low] = link.0.to_be_bytes();
        let own: IpAddr = match family {
            Family::Ipv4 => Ipv4Addr::new(203, 0, 113, 100 | low).into(),
            Family::Ipv6 => {
                Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x100 | u16::from(low)).into()
            }
        };
        let prefix_len = match family {
            Family::Ipv4 => 24,
            Family::Ipv6 => 128,
        };
        let own = IpPrefix::new(own, prefix_len).unwrap_or(IpPrefix::host(own));
        let prefix = wanted.unwrap_or(own);
        let (peer, scope, flags, valid) = (None, 0, 0, 3600);
        Self { prefix, peer, scope, flags, valid, label: None, broadcast: None, origin: 0 }
    }

    /// Appends its message.
    pub(super) fn encode(&self, out: &mut Vec<u8>, link: LinkIndex) {
        let permanent = if self.valid == FOREVER { IFA_F_PERMANENT } else { 0 };
        let flags = self.flags | permanent;
        write_message(out, NetlinkHeader { kind: RTM_NEWADDR, flags: 0, sequence: 0 }, |payload| {
            let [.., low] = flags.to_be_bytes();
            payload.bytes(&[number(self.family()), self.prefix.prefix_len(), low, self.scope]);
            payload.bytes(&link.0.to_ne_bytes());
            ip(payload, 1, self.peer.unwrap_or(self.prefix.address()));
            if self.family() == Family::Ipv4 || self.peer.is_some() {
                ip(payload, 2, self.prefix.address());
            }
            if let Some(label) = &self.label {
                payload.attribute_text(3, label);
            }
            if let Some(broadcast) = self.broadcast {
                payload.attribute(4, &broadcast.octets());
            }
            payload.nested(6, |info| {
                for word in [self.valid, self.valid, 0, 0] {
                    info.bytes(&word.to_ne_bytes());
                }
            });
            payload.attribute_u32(8, flags);
            if self.origin != 0 {
                payload.attribute(11, &[self.origin]);
            }
        });
    }
}

/// One route through a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Route {
    pub(super) family: Family,
    pub(super) destination: IpPrefix,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
    pub(super) metric: u32,
    pub(super) table: u32,
    pub(super) protocol: u8,
    pub(super) scope: u8,
    pub(super) on_link: bool,
    /// In seconds.
    pub(super) expires: Option<u32>,
}

impl Route {
    /// Appends its message.
    pub(super) fn encode(&self, out: &mut Vec<u8>, link: LinkIndex) {
        write_message(
            out,
            NetlinkHeader { kind: RTM_NEWROUTE, flags: 0, sequence: 0 },
            |payload| {
                let table = u8::try_from(self.table).unwrap_or_default();
                let prefix_len = self.destination.prefix_len();
                payload.bytes(&[number(self.family), prefix_len, 0, 0]);
                payload.bytes(&[table, self.protocol, self.scope, 1]);
                payload.bytes(&(u32::from(self.on_link) << 2).to_ne_bytes());
                payload.attribute_u32(15, self.table);
                if prefix_len > 0 {
                    ip(payload, 1, self.destination.address());
                }
                if self.metric > 0 {
                    payload.attribute_u32(6, self.metric);
                }
                if let Some(source) = self.source {
                    ip(payload, 7, source);
                }
                if let Some(gateway) = self.gateway {
                    ip(payload, 5, gateway);
                }
                payload.attribute_u32(4, link.0);
                if self.family == Family::Ipv6 {
                    let ticks = self.expires.map_or(0, |seconds| seconds * TICKS_PER_SECOND);
                    payload.nested(12, |info| {
                        for word in [1, 0, ticks, 0, 0, 0, 0, 0] {
                            info.bytes(&word.to_ne_bytes());
                        }
                    });
                }
            },
        );
    }
}

fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

fn ip(payload: &mut PayloadWriter<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(address) => payload.attribute(kind, &address.octets()),
        IpAddr::V6(address) => payload.attribute(kind, &address.octets()),
    }
}
