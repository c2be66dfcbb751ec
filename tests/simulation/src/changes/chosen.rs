// SPDX-License-Identifier: LGPL-2.1-or-later
//! Makes from the bytes of target `changes` definitions over a handful of names, and manual changes
//! to the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::input::Input;
use virtinterfaced::model::address::{Family, Ip, IpPrefix, MacAddr};
use virtinterfaced::model::interface::{
    ArpValidate, Bond, BondMember, BondMode, BondMonitor, Bridge, Dhcp, Ethernet, ForwardDelay,
    Interface, Kind, LinkStatus, Port, PortKind, Protocol, Vlan,
};
use virtinterfaced::model::name::IfName;
use virtinterfaced::model::sysctl::Sysctl;
use virtinterfaced::netlink::record::address::AddressRecord;
use virtinterfaced::netlink::record::route::RouteRecord;
use virtinterfaced::plan::request::{KernelRequest, LinkSpec, LinkValue, SpecKind};
use virtinterfaced::plan::step::Step;

/// All names in use here. The kind of a link made by hand follows from its name.
const NAMES: [&str; 9] =
    ["eth0", "eth1", "eth2", "br0", "br1", "bond0", "eth0.5", "eth1.6", "bond0.7"];

const MTUS: [u32; 4] = [1280, 1500, 4000, 9000];

/// Reads choices, each of a byte. At the end of the input every choice is the first.
#[derive(Debug)]
pub(super) struct Chooser<'a> {
    pub(super) input: Input<'a>,
}

impl Chooser<'_> {
    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.input.coin().then(|| make(self))
    }

    pub(super) fn name(&mut self) -> IfName {
        named(self.input.pick(&NAMES))
    }

    /// Some of `of`, in their order.
    fn some(&mut self, of: &[&str]) -> Vec<IfName> {
        let chosen = self.input.byte().unwrap_or_default();
        let is_chosen = |(at, _): &(usize, &&str)| chosen >> at & 1 == 1;
        of.iter().enumerate().filter(is_chosen).map(|(_, name)| named(name)).collect()
    }

    /// A definition, valid about half the time.
    pub(super) fn definition(&mut self) -> Interface {
        let mtu = self.maybe(|it| it.input.pick(&MTUS));
        let protocols = self.protocols();
        let name = self.name();
        let kind = match name.as_str() {
            "br0" | "br1" => Kind::Bridge(self.bridge()),
            "bond0" => Kind::Bond(self.bond()),
            name if name.contains('.') => Kind::Vlan(self.vlan(name)),
            _ => Kind::Ethernet(self.ethernet()),
        };
        Interface { name, start: None, mtu, protocols, kind }
    }

    fn ethernet(&mut self) -> Ethernet {
        let mac = self.maybe(|it| MacAddr::new(&[2, 0, 0, 0, 1, it.input.choice(3)])).flatten();
        Ethernet { link: LinkStatus::default(), mac }
    }

    fn bridge(&mut self) -> Bridge {
        let stp = self.maybe(|chooser| chooser.input.coin());
        let delay = self.maybe(|it| ForwardDelay(it.input.pick(&[0, 100, 200, 1500, 3000])));
        let mut ports = Vec::new();
        let with_bond = self.input.choice(4) == 0;
        let nics = if with_bond { &["eth0"][..] } else { &["eth0", "eth1", "eth2"] };
        for name in self.some(nics) {
            ports.push(Port { name, kind: PortKind::Ethernet(self.ethernet()) });
        }
        let mut vlans = vec!["eth0.5", "eth1.6"];
        if with_bond {
            let bond = Bond { members: vec![member("eth1"), member("eth2")], ..self.bond() };
            ports.push(Port { name: named("bond0"), kind: PortKind::Bond(bond) });
            vlans = vec!["bond0.7"];
        }
        for name in self.some(&vlans) {
            let vlan = self.vlan(name.as_str());
            ports.insert(0, Port { name, kind: PortKind::Vlan(vlan) });
        }
        Bridge { stp, delay, ports }
    }

    fn bond(&mut self) -> Bond {
        use BondMode::{ActiveBackup, BalanceRr, BalanceTlb, Ieee8023ad};
        let (mode, monitor) = match self.input.choice(4) {
            0 => (None, None),
            1 => (Some(self.input.pick(&[BalanceRr, ActiveBackup])), Some(self.arp())),
            2 => (Some(self.input.pick(&[Ieee8023ad, BalanceTlb])), self.maybe(Self::mii)),
            _ => (Some(self.input.pick(&[BalanceRr, ActiveBackup])), Some(self.mii())),
        };
        let members = self.some(&["eth0", "eth1", "eth2"]);
        let members = members.iter().map(|name| member(name.as_str())).collect();
        Bond { link: LinkStatus::default(), mode, monitor, members }
    }

    fn mii(&mut self) -> BondMonitor {
        let freq = self.input.pick(&[0, 100, 150]);
        let delay = |it: &mut Self| if freq > 0 { it.input.pick(&[0, 100, 250, 450]) } else { 0 };
        BondMonitor::Mii { freq, downdelay: delay(self), updelay: delay(self), carrier: None }
    }

    fn arp(&mut self) -> BondMonitor {
        BondMonitor::Arp {
            interval: self.input.pick(&[0, 100, 250]),
            target: Ipv4Addr::new(192, 0, 2, self.input.pick(&[253, 254])),
            validate: self.maybe(|it| it.input.pick(&[ArpValidate::Active, ArpValidate::All])),
        }
    }

    fn vlan(&mut self, name: &str) -> Vlan {
        let (parent, _) = name.split_once('.').unwrap_or((name, ""));
        let tag = self.input.pick(&[5, 5, 5, 6]);
        Vlan { link: LinkStatus::default(), tag, parent: named(parent) }
    }

    fn protocols(&mut self) -> Vec<Protocol> {
        let families = match self.input.choice(4) {
            0 => &[][..],
            1 => &[Family::Ipv6],
            2 => &[Family::Ipv4],
            _ => &[Family::Ipv4, Family::Ipv6],
        };
        families.iter().map(|family| self.protocol(*family)).collect()
    }

    fn protocol(&mut self, family: Family) -> Protocol {
        let autoconf = family == Family::Ipv6 && self.input.coin();
        let dhcp = (self.input.choice(4) == 1)
            .then(|| Dhcp { peer_dns: self.maybe(|chooser| chooser.input.coin()) });
        let mut addresses = Vec::<Ip>::new();
        for _ in 0..self.input.choice(4) {
            let prefix = self.prefix(family);
            let is_new = addresses.iter().all(|ip| ip.address() != prefix.address());
            addresses.extend(is_new.then(|| Ip::from(prefix)));
        }
        // Usually in the network of one of the addresses.
        let first = addresses.first().map(Ip::prefix);
        let gateway = self.maybe(|it| it.gateway(first, family));
        Protocol { family, autoconf, dhcp, addresses, gateway }
    }

    /// One of a few addresses in a few networks.
    fn prefix(&mut self, family: Family) -> IpPrefix {
        let (network, host) = (self.input.choice(2), 1 + self.input.choice(3));
        let (address, len): (IpAddr, u8) = match family {
            Family::Ipv4 => (Ipv4Addr::new(192, 0, 2 + network, host).into(), 24),
            Family::Ipv6 => {
                let (network, host) = (u16::from(network), u16::from(host));
                (Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, host).into(), 64)
            }
        };
        IpPrefix::new(address, len).unwrap_or(IpPrefix::host(address))
    }

    fn gateway(&mut self, network: Option<IpPrefix>, family: Family) -> IpAddr {
        let low = self.input.pick(&[253, 254]);
        match (family, network.map(|network| network.network())) {
            (Family::Ipv4, Some(IpAddr::V4(network))) => {
                Ipv4Addr::from_bits(network.to_bits() | u32::from(low)).into()
            }
            (Family::Ipv4, _) => Ipv4Addr::new(192, 0, 2, low).into(),
            (Family::Ipv6, _) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, low.into()).into(),
        }
    }

    /// A step that an administrator might perform by hand.
    pub(super) fn step_by_hand(&mut self) -> Step {
        let link = self.name();
        let family = self.input.pick(&[Family::Ipv4, Family::Ipv6]);
        match self.input.choice(9) {
            0 => Step::Request(KernelRequest::SetLink { link, value: self.value() }),
            1 | 2 => {
                let record = AddressRecord::permanent(self.prefix(family));
                Step::Request(KernelRequest::AddAddress { link, record })
            }
            3 => {
                let record = AddressRecord::permanent(self.prefix(family));
                Step::Request(KernelRequest::DeleteAddress { link, record })
            }
            4 => {
                let network = self.prefix(family);
                let record = RouteRecord::default_over(self.gateway(Some(network), family));
                Step::Request(KernelRequest::AddRoute { link, record })
            }
            5 => {
                let network = self.prefix(family);
                let record = RouteRecord::default_over(self.gateway(Some(network), family));
                Step::Request(KernelRequest::DeleteRoute { link, record })
            }
            6 => self.add_link(link),
            7 => Step::Request(KernelRequest::DeleteLink(link)),
            _ => {
                let sysctl =
                    self.input.pick(&[Sysctl::ACCEPT_RA, Sysctl::AUTOCONF, Sysctl::DISABLE_IPV6]);
                Step::SetSysctl { link, sysctl, value: i32::from(self.input.coin()) }
            }
        }
    }

    fn value(&mut self) -> LinkValue {
        match self.input.choice(8) {
            0 => LinkValue::Up,
            1 => LinkValue::Down,
            2 => LinkValue::Mtu(self.input.pick(&MTUS)),
            3 => LinkValue::Master(self.name()),
            4 => LinkValue::NoMaster,
            5 => LinkValue::Stp(self.input.coin()),
            6 => LinkValue::Delay(ForwardDelay(self.input.pick(&[0, 200, 1500, 3000]))),
            _ => LinkValue::Monitor(if self.input.coin() { self.arp() } else { self.mii() }),
        }
    }

    fn add_link(&mut self, name: IfName) -> Step {
        let kind = match name.as_str() {
            "bond0" => {
                let Bond { mode, monitor, .. } = self.bond();
                SpecKind::Bond { mode, monitor }
            }
            vlan if vlan.contains('.') => {
                let Vlan { tag, parent, .. } = self.vlan(vlan);
                SpecKind::Vlan { tag, parent }
            }
            _ => SpecKind::Bridge { stp: self.maybe(|chooser| chooser.input.coin()), delay: None },
        };
        Step::Request(KernelRequest::AddLink(LinkSpec { name, mac: None, kind }))
    }
}

fn member(name: &str) -> BondMember {
    BondMember { name: named(name), ethernet: Ethernet::default() }
}

#[expect(clippy::expect_used, reason = "the names stand here")]
pub(super) fn named(name: &str) -> IfName {
    IfName::new(name).expect("a name that the kernel takes")
}
