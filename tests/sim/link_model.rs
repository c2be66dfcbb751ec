// SPDX-License-Identifier: LGPL-2.1-or-later
//! A model of a host's links: their addresses, the kernel's events, and the expected lists.
//!
//! It has its own implementation of the rules for lists, so it can check the handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use simulation::announce::{self, events};
use virtinterfaced::host::Host;
use virtinterfaced::model::address::{IpPrefix, MacAddr};
use virtinterfaced::model::interface::OperState;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::Event;
use virtinterfaced::netlink::address::{
    Address, AddressEvent, AddressOrigin, Lifetime, Role, Scope,
};
use virtinterfaced::netlink::link::{Link, LinkBridge, LinkEvent, LinkIndex, LinkKind};

use crate::random::{Chance, Rng};

/// Names of links that exist or are asked for. The name determines the kind: a bridge (`br`) or a
/// tap (`vnet`).
pub(crate) const NAMES: [&str; 8] =
    ["eth0", "eth1", "wlan0", "lo", "dummy0", "br0", "br1", "vnet0"];

/// One link.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) name: &'static str,
    pub(crate) up: bool,
    pub(crate) mac: u8,
    master: Option<u32>,
}

impl Device {
    pub(crate) fn mac_text(&self) -> String {
        mac_text(self.mac)
    }

    fn is_bridge(&self) -> bool {
        self.name.starts_with("br")
    }

    fn is_tap(&self) -> bool {
        self.name.starts_with("vnet")
    }
}

/// An address as clients write it.
pub(crate) fn mac_text(mac: u8) -> String {
    format!("02:00:00:00:00:{mac:02x}")
}

/// All links and addresses, and the daemon's table of them.
#[derive(Debug, Default)]
pub(crate) struct LinkModel {
    pub(crate) host: Host,
    devices: BTreeMap<u32, Device>,
    /// Index and last octet.
    addresses: BTreeSet<(u32, u8)>,
}

impl LinkModel {
    /// Makes a random change, and sends the daemon its events.
    pub(crate) fn change(&mut self, random: &mut Rng) {
        let indexes: Vec<_> = self.devices.keys().copied().collect();
        if indexes.is_empty() || random.once_in(4) {
            return self.add(random);
        }
        let index = *random.pick(&indexes);
        let master = *random.pick(&indexes);
        let octet = random.u8(..) % 4;
        let free_name = self.free_name(random);
        let device = self.devices.get_mut(&index).unwrap();
        match random.usize(..7) {
            0 => device.up = !device.up,
            1 => device.mac = random.u8(..) % 8,
            2 => device.master = Some(master).filter(|master| *master != index),
            3 => device.master = None,
            4 => device.name = free_name.unwrap_or(device.name),
            5 => return self.toggle_address(index, octet),
            _ => return self.remove(index),
        }
        self.announce(index);
    }

    fn add(&mut self, random: &mut Rng) {
        let Some(name) = self.free_name(random) else { return };
        // Indexes are reused, as after an overflow.
        let is_free = |index: &u32| !self.devices.contains_key(index);
        let index = (1..).find(is_free).unwrap();
        let device = Device { name, up: random.once_in(2), mac: random.u8(..) % 8, master: None };
        self.devices.insert(index, device);
        self.announce(index);
    }

    fn free_name(&self, random: &mut Rng) -> Option<&'static str> {
        Some(*random.pick(&NAMES)).filter(|name| self.named(name).is_none())
    }

    fn remove(&mut self, index: u32) {
        self.devices.remove(&index);
        self.addresses.retain(|(link, _)| *link != index);
        self.host.apply(Event::Link(LinkEvent::Removed(LinkIndex(index))));
        // The kernel releases a master's ports before it announces that the master is gone.
        let of_master = |device: &&mut Device| device.master == Some(index);
        self.devices.values_mut().filter(of_master).for_each(|device| device.master = None);
        let left: Vec<_> = self.devices.keys().copied().collect();
        left.into_iter().for_each(|index| self.announce(index));
    }

    fn toggle_address(&mut self, index: u32, octet: u8) {
        let address = address(index, octet);
        if self.addresses.remove(&(index, octet)) {
            self.host.apply(Event::Address(AddressEvent::Removed(address.id())));
        } else {
            self.addresses.insert((index, octet));
            let mut bytes = Vec::new();
            announce::address(&mut bytes, 0, &address);
            self.tell(&bytes);
        }
    }

    fn announce(&mut self, index: u32) {
        let mut bytes = Vec::new();
        announce::link(&mut bytes, 0, &link(index, &self.devices[&index]));
        self.tell(&bytes);
    }

    fn tell(&mut self, datagram: &[u8]) {
        for event in events(datagram) {
            self.host.apply(event.unwrap());
        }
    }

    /// The link of a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Device> {
        self.devices.values().find(|device| device.name == name)
    }

    /// The addresses of a link, as its XML writes them.
    pub(crate) fn addresses_of(&self, name: &str) -> Vec<String> {
        let of_name = |(index, _): &&(u32, u8)| self.devices[index].name == name;
        let text = |(_, octet): &(u32, u8)| format!("<ip address='192.0.2.{octet}' prefix='24'/>");
        self.addresses.iter().filter(of_name).map(text).collect()
    }

    /// The interfaces that lists contain, by name: no taps and no bridge ports.
    pub(crate) fn listed(&self) -> Vec<&Device> {
        let is_bridge = |index: u32| self.devices.get(&index).is_some_and(Device::is_bridge);
        let is_shown = |device: &&Device| !device.is_tap() && !device.master.is_some_and(is_bridge);
        let mut listed: Vec<_> = self.devices.values().filter(is_shown).collect();
        listed.sort_by_key(|device| device.name);
        listed
    }
}

fn link(index: u32, device: &Device) -> Link {
    let kind = match device {
        bridge if bridge.is_bridge() => LinkKind::Bridge(LinkBridge::default()),
        tap if tap.is_tap() => LinkKind::Tun,
        _ => LinkKind::Nic,
    };
    Link {
        index: LinkIndex(index),
        name: IfName::new(device.name).unwrap(),
        up: device.up,
        mtu: 1500,
        mac: MacAddr::parse(&device.mac_text()),
        carrier: true,
        oper_state: OperState::Unknown,
        master: device.master.map(LinkIndex),
        parent: None,
        kind,
    }
}

fn address(index: u32, octet: u8) -> Address {
    Address {
        link: LinkIndex(index),
        prefix: IpPrefix::new(Ipv4Addr::new(192, 0, 2, octet).into(), 24).unwrap(),
        peer: None,
        role: Role::Primary,
        scope: Scope::Global,
        lifetime: Lifetime::Permanent,
        origin: AddressOrigin::Unknown,
    }
}
