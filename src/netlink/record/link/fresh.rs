// SPDX-License-Identifier: LGPL-2.1-or-later
//! The attributes of a link that was just made, so that only the differences have to be set on a
//! link that is made again.

use crate::netlink::record::link::kinds::{
    BRIDGE_VLANS, IFLA_BOND_AD_ACTOR_SYSTEM, IFLA_BROADCAST, IFLA_GRO_IPV4_MAX_SIZE,
    IFLA_GRO_MAX_SIZE, IFLA_GROUP, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GSO_MAX_SEGS, IFLA_GSO_MAX_SIZE,
    IFLA_LINKMODE, IFLA_PROTO_DOWN, IFLA_TXQLEN,
};
use crate::netlink::record::link::setting::AttributeOwner;
use crate::netlink::record::link::{LinkRecord, LinkSetting};

/// `IFF_MULTICAST`, the one settable flag that a new bridge, bond or VLAN has.
const MULTICAST: u32 = 0x1000;

/// Attributes of any link with their values on a new bridge, bond or VLAN.
const OF_LINK: [(u16, u64); 9] = [
    (IFLA_TXQLEN, 1000),
    (IFLA_GROUP, 0),
    (IFLA_LINKMODE, 0),
    (IFLA_PROTO_DOWN, 0),
    (IFLA_GSO_MAX_SEGS, 65_535),
    (IFLA_GSO_MAX_SIZE, 65_536),
    (IFLA_GRO_MAX_SIZE, 65_536),
    (IFLA_GSO_IPV4_MAX_SIZE, 65_536),
    (IFLA_GRO_IPV4_MAX_SIZE, 65_536),
];

/// `IFLA_BR_*` that are not 0, without the group address.
const OF_BRIDGE: [(u16, u64); 17] = [
    (2, 200),
    (3, 2_000),
    (4, 30_000),
    (6, 0x8000),
    (22, 1),
    (23, 1),
    (27, 4_096),
    (28, 2),
    (29, 2),
    (30, 100),
    (31, 26_000),
    (32, 25_500),
    (33, 12_500),
    (34, 1_000),
    (35, 3_125),
    (43, 2),
    (44, 1),
];
const IFLA_BR_GROUP_ADDR: u16 = 20;
const GROUP_ADDR: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];
/// Flags, with a mask of those that the kernel knows.
const IFLA_BR_MULTI_BOOLOPT: u16 = 46;

/// `IFLA_BOND_*` that are not 0.
const OF_BOND: [(u16, u64); 8] =
    [(15, 1), (16, 1), (19, 1), (20, 1), (24, 65_535), (27, 1), (29, 1), (30, 2)];

impl LinkRecord {
    /// The settings that give a bridge, bond or VLAN that [`LinkRecord::encode_add`] has just made
    /// all attributes of this record, except those of a port.
    pub(crate) fn settings_of_new(&self) -> Vec<LinkSetting> {
        let mut settings = self.settings();
        let is_said = |it: &LinkSetting| {
            it.place == AttributeOwner::Kind("vlan")
                || (it.place == AttributeOwner::Kind("bridge") && BRIDGE_VLANS.contains(&it.kind))
        };
        settings
            .retain(|it| !it.is_of_port() && !is_said(it) && !is_of_new(it) && self.is_for_new(it));
        settings
    }
}

/// Whether a bridge, bond or VLAN that was just made has this already.
pub(super) fn is_of_new(setting: &LinkSetting) -> bool {
    let LinkSetting { place, kind, payload, .. } = setting;
    let number_in = |of: &[(u16, u64)]| {
        let found = of.iter().find(|(attribute, _)| attribute == kind);
        is_number(payload, found.map_or(0, |(_, value)| *value))
    };
    match place {
        AttributeOwner::Flag(flag) => is_number(payload, u64::from(flag & MULTICAST)),
        AttributeOwner::Link if *kind == IFLA_BROADCAST => payload.iter().all(|byte| *byte == 0xff),
        AttributeOwner::Link if OF_LINK.iter().any(|(attribute, _)| attribute == kind) => {
            number_in(&OF_LINK)
        }
        AttributeOwner::Kind("bridge") if *kind == IFLA_BR_GROUP_ADDR => *payload == GROUP_ADDR,
        AttributeOwner::Kind("bridge") if *kind == IFLA_BR_MULTI_BOOLOPT => {
            payload.first_chunk::<4>().is_none_or(|flags| is_number(flags, 0))
        }
        AttributeOwner::Kind("bridge") => number_in(&OF_BRIDGE),
        AttributeOwner::Kind("bond") if *kind == IFLA_BOND_AD_ACTOR_SYSTEM => {
            payload.iter().all(|byte| *byte == 0)
        }
        AttributeOwner::Kind("bond") => number_in(&OF_BOND),
        AttributeOwner::Link
        | AttributeOwner::Inet6
        | AttributeOwner::AltName
        | AttributeOwner::NoAltName
        | AttributeOwner::Kind(_) => false,
        AttributeOwner::Port(_) => false,
    }
}

/// Whether bytes are a number, of any width.
fn is_number(payload: &[u8], value: u64) -> bool {
    match *payload {
        [byte] => u64::from(byte) == value,
        [a, b] => u64::from(u16::from_ne_bytes([a, b])) == value,
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])) == value,
        [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]) == value,
        _ => payload.is_empty(),
    }
}
