// SPDX-License-Identifier: LGPL-2.1-or-later
//! Links and addresses decoded from messages that the simulation writes. Messages from real kernels
//! are in `tests/golden/netlink`.

use std::net::Ipv4Addr;

use simulation::announce::{self, events};
use virtinterfaced::model::address::{IpPrefix, MacAddr};
use virtinterfaced::model::interface::{
    ArpValidate, BondMode, ForwardDelay, MiiCarrier, OperState,
};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::Event;
use virtinterfaced::netlink::address::{
    Address, AddressEvent, AddressOrigin, Lifetime, Role, Scope,
};
use virtinterfaced::netlink::link::{Link, LinkBond, LinkBridge, LinkEvent, LinkIndex, LinkKind};
use virtinterfaced::netlink::wire::messages;

const MODES: [BondMode; 7] = [
    BondMode::BalanceRr,
    BondMode::ActiveBackup,
    BondMode::BalanceXor,
    BondMode::Broadcast,
    BondMode::Ieee8023ad,
    BondMode::BalanceTlb,
    BondMode::BalanceAlb,
];
const OPER_STATES: [OperState; 7] = [
    OperState::Unknown,
    OperState::NotPresent,
    OperState::Down,
    OperState::LowerLayerDown,
    OperState::Testing,
    OperState::Dormant,
    OperState::Up,
];
const ORIGINS: [AddressOrigin; 4] = [
    AddressOrigin::Unknown,
    AddressOrigin::Loopback,
    AddressOrigin::RouterAdvertisement,
    AddressOrigin::LinkLocal,
];
/// The kernel's own limit (`BOND_MAX_ARP_TARGETS`).
const BOND_TARGET_COUNT_MAX: usize = 16;
const HEADER_LEN: usize = 16;

fn link(name: &str, kind: LinkKind) -> Link {
    Link {
        index: LinkIndex(7),
        name: IfName::new(name).unwrap(),
        up: true,
        mtu: 1500,
        mac: MacAddr::parse("52:54:00:00:00:07"),
        carrier: true,
        oper_state: OperState::Up,
        master: None,
        parent: None,
        kind,
    }
}

fn bond() -> LinkBond {
    LinkBond {
        mode: Some(BondMode::ActiveBackup),
        miimon: 100,
        updelay: 200,
        downdelay: 300,
        carrier: MiiCarrier::Ioctl,
        arp_interval: 0,
        arp_targets: vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)],
        arp_validate: Some(ArpValidate::All),
    }
}

fn links() -> Vec<Link> {
    let forward_delay = ForwardDelay(1500);
    let mut samples = vec![
        link("br0", LinkKind::Bridge(LinkBridge { stp: true, forward_delay })),
        link("bond0", LinkKind::Bond(Box::new(bond()))),
        link("bond1", LinkKind::Bond(Box::default())),
        Link { parent: Some(LinkIndex(2)), ..link("eth0.5", LinkKind::Vlan { tag: 5 }) },
        Link { mac: None, up: false, ..link("tun0", LinkKind::Tun) },
        Link {
            master: Some(LinkIndex(9)),
            mtu: u32::MAX,
            ..link("123456789012345", LinkKind::Nic)
        },
    ];
    for mode in MODES {
        let bond = LinkBond { mode: Some(mode), arp_interval: 1, ..bond() };
        samples.push(link("bond2", LinkKind::Bond(Box::new(bond))));
    }
    for oper_state in OPER_STATES {
        samples.push(Link { oper_state, ..link("eth0", LinkKind::Nic) });
    }
    samples
}

fn address(ip: &str, prefix_len: u8) -> Address {
    Address {
        link: LinkIndex(7),
        prefix: IpPrefix::new(ip.parse().unwrap(), prefix_len).unwrap(),
        peer: None,
        role: Role::Primary,
        scope: Scope::Global,
        lifetime: Lifetime::Permanent,
        origin: AddressOrigin::Unknown,
    }
}

fn addresses() -> Vec<Address> {
    let v4 = address("192.0.2.1", 24);
    let v6 = address("2001:db8::1", 64);
    let origin = AddressOrigin::RouterAdvertisement;
    let mut samples = vec![
        v4,
        v6,
        Address { peer: Some("192.0.2.2".parse().unwrap()), ..address("192.0.2.1", 32) },
        Address { peer: Some("2001:db8::2".parse().unwrap()), ..v6 },
        Address { role: Role::Secondary, lifetime: Lifetime::Finite, ..v4 },
        Address { role: Role::Temporary, lifetime: Lifetime::Finite, origin, ..v6 },
        address("0.0.0.0", 0),
    ];
    for scope in [Scope::Global, Scope::Site, Scope::Link, Scope::Host] {
        samples.push(Address { scope, ..v6 });
    }
    for origin in ORIGINS {
        samples.push(Address { origin, ..v6 });
    }
    samples
}

/// A message as the simulation writes it.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

/// The payload of the only message, without what pads it.
fn payload_of(datagram: &[u8]) -> &[u8] {
    messages(datagram).next().unwrap().unwrap().payload
}

/// The same message with another payload.
fn with_payload(message: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&message[..HEADER_LEN], payload].concat();
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

/// Messages that a broken or hostile kernel could send instead: every prefix of the payload, and
/// every word of it that might be a length changed to a wrong one.
fn corruptions(message: &[u8]) -> Vec<Vec<u8>> {
    let payload = payload_of(message);
    let prefixes = (0..payload.len()).map(|len| payload[..len].to_vec());
    let wrong = (0..payload.len() - 1).step_by(2).flat_map(|offset| {
        [0_u16, 1, 3, 4, 5, 0x7fff, 0xffff].map(|length| {
            let mut payload = payload.to_vec();
            payload[offset..offset + 2].copy_from_slice(&length.to_ne_bytes());
            payload
        })
    });
    prefixes.chain(wrong).map(|payload| with_payload(message, &payload)).collect()
}

#[test]
fn a_link_survives_the_wire() {
    for link in links() {
        let datagram = written(|out| announce::link(out, 3, &link));
        assert!(messages(&datagram).all(|message| message.unwrap().sequence == 3));
        let decoded: Vec<_> = events(&datagram).collect();
        assert_eq!(decoded, [Ok(Event::Link(LinkEvent::New(link.clone())))], "{}", link.name);
    }
}

#[test]
fn broken_links_are_refused_without_harm() {
    for link in links() {
        let datagram = written(|out| announce::link(out, 0, &link));
        // Any result will do: the call must not panic.
        for datagram in corruptions(&datagram) {
            let _ = events(&datagram).count();
        }
        let payload = payload_of(&datagram);
        let cut = with_payload(&datagram, payload.split_last_chunk::<4>().unwrap().0);
        let event = events(&cut).next().unwrap();
        let is_refused = matches!(event, Ok(Event::Link(LinkEvent::Unreadable(..))));
        assert!(is_refused, "{}: {event:?}", link.name);
    }
}

#[test]
fn a_bond_has_as_many_targets_as_the_kernel_allows() {
    for count in [BOND_TARGET_COUNT_MAX, BOND_TARGET_COUNT_MAX + 1] {
        let arp_targets = vec![Ipv4Addr::LOCALHOST; count];
        let bond = LinkBond { arp_targets, ..LinkBond::default() };
        let link = link("b", LinkKind::Bond(Box::new(bond)));
        let datagram = written(|out| announce::link(out, 0, &link));
        let Some(Ok(Event::Link(LinkEvent::New(Link { kind: LinkKind::Bond(bond), .. })))) =
            events(&datagram).next()
        else {
            panic!("a bond");
        };
        assert_eq!(bond.arp_targets.len(), BOND_TARGET_COUNT_MAX, "{count}");
    }
}

#[test]
fn an_address_survives_the_wire() {
    for address in addresses() {
        let datagram = written(|out| announce::address(out, 3, &address));
        assert!(messages(&datagram).all(|message| message.unwrap().sequence == 3));
        let decoded: Vec<_> = events(&datagram).collect();
        assert_eq!(decoded, [Ok(Event::Address(AddressEvent::New(address)))], "{address:?}");
    }
}

#[test]
fn broken_addresses_are_refused_without_harm() {
    for address in addresses() {
        let datagram = written(|out| announce::address(out, 0, &address));
        // Any result will do: the call must not panic.
        for datagram in corruptions(&datagram) {
            let _ = events(&datagram).count();
        }
    }
}
