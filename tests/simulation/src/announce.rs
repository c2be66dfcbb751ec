// SPDX-License-Identifier: LGPL-2.1-or-later
//! Links and addresses as netlink messages, as the kernel announces them.

use std::net::IpAddr;

use virtinterfaced::model::interface::OperState;
use virtinterfaced::netlink::Event;
use virtinterfaced::netlink::address::{
    Address, AddressOrigin, Lifetime, Role, Scope, encode_family,
};
use virtinterfaced::netlink::link::{
    Link, LinkBond, LinkIndex, LinkKind, encode_arp_validate, encode_bond_mode, encode_carrier,
};
use virtinterfaced::netlink::wire::{
    NetlinkHeader, PayloadWriter, WireError, messages, write_message,
};

const AF_UNSPEC: u8 = 0;
const IFA_ADDRESS: u16 = 1;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_LOCAL: u16 = 2;
const IFA_PROTO: u16 = 11;
const IFF_LOWER_UP: u32 = 0x1_0000;
const IFF_MULTICAST: u32 = 0x1000;
const IFF_UP: u32 = 0x1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_BOND_ARP_INTERVAL: u16 = 7;
const IFLA_BOND_ARP_IP_TARGET: u16 = 8;
const IFLA_BOND_ARP_VALIDATE: u16 = 9;
const IFLA_BOND_DOWNDELAY: u16 = 5;
const IFLA_BOND_MIIMON: u16 = 3;
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_UPDELAY: u16 = 4;
const IFLA_BOND_USE_CARRIER: u16 = 6;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_IFNAME: u16 = 3;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_MASTER: u16 = 10;
const IFLA_MTU: u16 = 4;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_VLAN_ID: u16 = 1;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWLINK: u16 = 16;

/// The events in a datagram, in order. After an error within a message the next one is decoded.
pub fn events(datagram: &[u8]) -> impl Iterator<Item = Result<Event, WireError>> {
    messages(datagram).filter_map(|message| message.and_then(|it| Event::decode(&it)).transpose())
}

/// Appends `link` as the kernel would announce it.
pub fn link(out: &mut Vec<u8>, sequence: u32, link: &Link) {
    write_message(out, NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence }, |payload| {
        payload.bytes(&[AF_UNSPEC, 0, 0, 0]);
        payload.bytes(&link.index.0.to_ne_bytes());
        let up = if link.up { IFF_UP } else { 0 };
        let carrier = if link.carrier { IFF_LOWER_UP } else { 0 };
        let flags = up | carrier | IFF_MULTICAST;
        payload.bytes(&flags.to_ne_bytes());
        payload.bytes(&[0; 4]);
        payload.attribute_text(IFLA_IFNAME, link.name.as_str());
        payload.attribute_u32(IFLA_MTU, link.mtu);
        if let Some(mac) = &link.mac {
            payload.attribute(IFLA_ADDRESS, mac.as_bytes());
        }
        payload.attribute(IFLA_OPERSTATE, &[encode_oper_state(link.oper_state)]);
        if let Some(LinkIndex(master)) = link.master {
            payload.attribute_u32(IFLA_MASTER, master);
        }
        if let Some(LinkIndex(parent)) = link.parent {
            payload.attribute_u32(IFLA_LINK, parent);
        }
        encode_kind(payload, &link.kind);
    });
}

fn encode_oper_state(state: OperState) -> u8 {
    match state {
        OperState::Unknown => 0,
        OperState::NotPresent => 1,
        OperState::Down => 2,
        OperState::LowerLayerDown => 3,
        OperState::Testing => 4,
        OperState::Dormant => 5,
        OperState::Up => 6,
    }
}

fn encode_kind(payload: &mut PayloadWriter<'_>, kind: &LinkKind) {
    let name = match kind {
        LinkKind::Bond(_) => "bond",
        LinkKind::Bridge(_) => "bridge",
        LinkKind::Nic => return,
        LinkKind::Tun => "tun",
        LinkKind::Veth => "veth",
        LinkKind::Vlan { .. } => "vlan",
        LinkKind::Other => "dummy",
    };
    payload.nested(IFLA_LINKINFO, |info| {
        info.attribute_text(IFLA_INFO_KIND, name);
        info.nested(IFLA_INFO_DATA, |data| match kind {
            LinkKind::Bond(bond) => encode_bond(data, bond),
            LinkKind::Bridge(bridge) => {
                data.attribute_u32(IFLA_BR_FORWARD_DELAY, bridge.forward_delay.0);
                data.attribute_u32(IFLA_BR_STP_STATE, u32::from(bridge.stp));
            }
            LinkKind::Vlan { tag } => data.attribute(IFLA_VLAN_ID, &tag.to_ne_bytes()),
            LinkKind::Nic | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => {}
        });
    });
}

fn encode_bond(data: &mut PayloadWriter<'_>, bond: &LinkBond) {
    if let Some(mode) = bond.mode {
        data.attribute(IFLA_BOND_MODE, &[encode_bond_mode(mode)]);
    }
    data.attribute_u32(IFLA_BOND_MIIMON, bond.miimon);
    data.attribute_u32(IFLA_BOND_UPDELAY, bond.updelay);
    data.attribute_u32(IFLA_BOND_DOWNDELAY, bond.downdelay);
    data.attribute(IFLA_BOND_USE_CARRIER, &[encode_carrier(bond.carrier)]);
    data.attribute_u32(IFLA_BOND_ARP_INTERVAL, bond.arp_interval);
    data.nested(IFLA_BOND_ARP_IP_TARGET, |list| {
        for (slot, target) in (0..).zip(&bond.arp_targets) {
            list.attribute(slot, &target.octets());
        }
    });
    data.attribute_u32(IFLA_BOND_ARP_VALIDATE, encode_arp_validate(bond.arp_validate));
}

/// Appends `address` as the kernel would announce it.
pub fn address(out: &mut Vec<u8>, sequence: u32, address: &Address) {
    let Address { link, prefix, peer, .. } = *address;
    let local = prefix.address();
    write_message(out, NetlinkHeader { kind: RTM_NEWADDR, flags: 0, sequence }, |payload| {
        let family = encode_family(prefix.family());
        let scope = encode_scope(address.scope);
        payload.bytes(&[family, prefix.prefix_len(), 0, scope]);
        payload.bytes(&link.0.to_ne_bytes());
        with_octets(peer.unwrap_or(local), |octets| payload.attribute(IFA_ADDRESS, octets));
        with_octets(local, |octets| payload.attribute(IFA_LOCAL, octets));
        payload.attribute_u32(IFA_FLAGS, encode_flags(address));
        if let Some(origin) = encode_origin(address.origin) {
            payload.attribute(IFA_PROTO, &[origin]);
        }
    });
}

fn encode_scope(scope: Scope) -> u8 {
    match scope {
        Scope::Global => 0,
        Scope::Site => 200,
        Scope::Link => 253,
        Scope::Host => 254,
    }
}

fn encode_flags(address: &Address) -> u32 {
    let role = match address.role {
        Role::Primary => 0,
        Role::Secondary | Role::Temporary => IFA_F_SECONDARY,
    };
    let lifetime = match address.lifetime {
        Lifetime::Permanent => IFA_F_PERMANENT,
        Lifetime::Finite => 0,
    };
    role | lifetime
}

fn encode_origin(origin: AddressOrigin) -> Option<u8> {
    match origin {
        AddressOrigin::Unknown => None,
        AddressOrigin::Loopback => Some(1),
        AddressOrigin::RouterAdvertisement => Some(2),
        AddressOrigin::LinkLocal => Some(3),
    }
}

/// Passes the bytes of `address` on, as many as its family has.
fn with_octets(address: IpAddr, then: impl FnOnce(&[u8])) {
    match address {
        IpAddr::V4(address) => then(&address.octets()),
        IpAddr::V6(address) => then(&address.octets()),
    }
}
