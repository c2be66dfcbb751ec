// SPDX-License-Identifier: LGPL-2.1-or-later
//! Makes an [`Interface`] from any bytes: every kind, every field of the model, at the ends of each
//! range.
//!
//! It makes nothing that the parser refuses: a name used twice, a VLAN over itself, an MTU over the
//! bound, a monitor that the bond's mode excludes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::input::Input;
use virtinterfaced::limits::MTU_MAX;
use virtinterfaced::model::address::{Family, Ip, MacAddr};
use virtinterfaced::model::interface::{
    ArpValidate, Bond, BondMember, BondMode, BondMonitor, Bridge, Dhcp, Ethernet, ForwardDelay,
    Interface, Kind, LinkStatus, MiiCarrier, OperState, Port, PortKind, Protocol, StartMode, Vlan,
};
use virtinterfaced::model::name::IfName;

/// The interface that these bytes choose.
pub fn interface(bytes: &[u8]) -> Interface {
    let mut maker = Maker { input: Input::new(bytes), name_count: 0 };
    let name = maker.name();
    let start = maker
        .maybe(|maker| maker.input.pick(&[StartMode::Onboot, StartMode::Hotplug, StartMode::None]));
    let mtu = maker.maybe(|maker| maker.number(&[1, 1280, 1500, MTU_MAX]));
    let protocols = maker.protocols();
    let kind = match maker.input.choice(4) {
        0 => Kind::Ethernet(maker.ethernet()),
        1 => Kind::Bridge(maker.bridge()),
        2 => Kind::Bond(maker.bond()),
        _ => Kind::Vlan(maker.vlan(&[])),
    };
    Interface { name, start, mtu, protocols, kind }
}

/// Bytes that are read as choices. At their end every choice is the first.
struct Maker<'a> {
    input: Input<'a>,
    name_count: u16,
}

impl Maker<'_> {
    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.input.coin().then(|| make(self))
    }

    /// One of `edges`, or a number between the first and the last.
    fn number(&mut self, edges: &[u32]) -> u32 {
        let edge = self.input.pick(edges);
        let offset = self.maybe(|maker| maker.input.number().unwrap_or_default());
        let within = edges.iter().min().zip(edges.iter().max());
        let number = edge.saturating_sub(u32::from(offset.unwrap_or_default()));
        within.map_or(number, |(min, max)| number.clamp(*min, *max))
    }

    /// A name not yet used in this interface.
    #[expect(clippy::expect_used, reason = "the parts stand here, and are short")]
    fn name(&mut self) -> IfName {
        self.name_count += 1;
        let odd = self.input.pick(&["", "", "eth", "br-", "é", "<&>'\"", "a.b_", "@", "]]>"]);
        IfName::new(format!("{odd}{}", self.name_count)).expect("a name that the kernel takes")
    }

    fn protocols(&mut self) -> Vec<Protocol> {
        let families = match self.input.choice(5) {
            0 => &[][..],
            1 => &[Family::Ipv4],
            2 => &[Family::Ipv6],
            3 => &[Family::Ipv4, Family::Ipv6],
            _ => &[Family::Ipv6, Family::Ipv4],
        };
        families.iter().map(|family| self.protocol(*family)).collect()
    }

    fn protocol(&mut self, family: Family) -> Protocol {
        let autoconf = family == Family::Ipv6 && self.input.coin();
        let dhcp = self.maybe(|maker| {
            let peer_dns = maker.maybe(|maker| maker.input.coin());
            Dhcp { peer_dns }
        });
        let mut addresses = Vec::<Ip>::new();
        for _ in 0..self.input.choice(4) {
            let address = self.address(family);
            let len = self.maybe(|maker| maker.input.choice(family.prefix_len_max() + 1));
            let is_new = addresses.iter().all(|ip| ip.address() != address);
            addresses.extend(Ip::new(address, len).filter(|_| is_new));
        }
        let gateway = self.maybe(|maker| maker.address(family));
        Protocol { family, autoconf, dhcp, addresses, gateway }
    }

    fn address(&mut self, family: Family) -> IpAddr {
        let low = self.input.number().unwrap_or_default();
        let [high, byte] = low.to_be_bytes();
        match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, high, byte)),
            Family::Ipv6 => IpAddr::V6(match self.input.choice(4) {
                0 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low),
                1 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, low, 0, 0),
                2 => Ipv4Addr::new(192, 0, high, byte).to_ipv6_mapped(),
                _ => Ipv6Addr::LOCALHOST,
            }),
        }
    }

    fn link(&mut self) -> LinkStatus {
        use OperState::{Dormant, Down, LowerLayerDown, NotPresent, Testing, Unknown, Up};
        let states = [Unknown, NotPresent, Down, LowerLayerDown, Testing, Dormant, Up];
        LinkStatus {
            speed: self.maybe(|maker| maker.number(&[1, 1000, u32::MAX])),
            state: self.maybe(|maker| maker.input.pick(&states)),
        }
    }

    fn ethernet(&mut self) -> Ethernet {
        let link = self.link();
        let mac = self.maybe(|maker| {
            let [high, low] = maker.input.number().unwrap_or_default().to_be_bytes();
            MacAddr::new(&[high & 0xfe, 0xab, 0, 0, 0xff, low])
        });
        Ethernet { link, mac: mac.flatten() }
    }

    fn bridge(&mut self) -> Bridge {
        let stp = self.maybe(|maker| maker.input.coin());
        let delay = self.maybe(|maker| ForwardDelay(maker.number(&[0, 1, 10, 1500, u32::MAX])));
        let mut ports = Vec::<Port>::new();
        for _ in 0..self.input.choice(6) {
            let name = self.name();
            let kind = match self.input.choice(3) {
                0 => PortKind::Ethernet(self.ethernet()),
                1 => PortKind::Bond(self.bond()),
                _ => PortKind::Vlan(self.vlan(&ports)),
            };
            ports.push(Port { name, kind });
        }
        Bridge { stp, delay, ports }
    }

    fn bond(&mut self) -> Bond {
        use BondMode::{
            ActiveBackup, BalanceAlb, BalanceRr, BalanceTlb, BalanceXor, Broadcast, Ieee8023ad,
        };
        let with_arp = [BalanceRr, ActiveBackup, BalanceXor, Broadcast];
        let without = [Ieee8023ad, BalanceTlb, BalanceAlb];
        let link = self.link();
        let (mode, monitor) = match self.input.choice(4) {
            0 => (None, self.maybe(Self::arp)),
            1 => (Some(self.input.pick(&with_arp)), Some(self.arp())),
            2 => (Some(self.input.pick(&without)), Some(self.mii())),
            _ => (Some(self.input.pick(&with_arp)), self.maybe(Self::mii)),
        };
        let members = (0..self.input.choice(4))
            .map(|_| BondMember { name: self.name(), ethernet: self.ethernet() })
            .collect();
        Bond { link, mode, monitor, members }
    }

    fn mii(&mut self) -> BondMonitor {
        let edges = [0, 100, i32::MAX.unsigned_abs()];
        let freq = self.number(&edges);
        let delay = |maker: &mut Self| if freq > 0 { maker.number(&edges) } else { 0 };
        BondMonitor::Mii {
            freq,
            downdelay: delay(self),
            updelay: delay(self),
            carrier: self.maybe(|maker| maker.input.pick(&[MiiCarrier::Ioctl, MiiCarrier::Netif])),
        }
    }

    fn arp(&mut self) -> BondMonitor {
        let validates = [ArpValidate::Active, ArpValidate::Backup, ArpValidate::All];
        let [high, low] = self.input.number().unwrap_or_default().to_be_bytes();
        BondMonitor::Arp {
            interval: self.number(&[0, 100, i32::MAX.unsigned_abs()]),
            target: Ipv4Addr::new(10, 255, high, low),
            validate: self.maybe(|maker| maker.input.pick(&validates)),
        }
    }

    /// A VLAN over one of `ports`, or over another link.
    fn vlan(&mut self, ports: &[Port]) -> Vlan {
        let link = self.link();
        let parent = match ports.first().filter(|_| self.input.coin()) {
            Some(port) => port.name,
            None => self.name(),
        };
        let tag = if self.input.coin() { self.name_count } else { 4094 - self.name_count };
        Vlan { link, tag, parent }
    }
}
