// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Interface`]: the content of libvirt's XML for one host interface.
//!
//! The shape follows libvirt's `interface.rng`: constructions that the schema does not allow, such
//! as a bridge in a bridge or an address on a port, cannot be expressed. The model does not know
//! whether it is a definition or a live state.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::address::{Family, Ip, MacAddr};
use crate::model::name::IfName;

/// One host interface, with all that the XML can say of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    pub name: IfName,
    /// Only a definition has one.
    pub start: Option<StartMode>,
    /// Bytes.
    pub mtu: Option<u32>,
    /// At most one for each family.
    pub protocols: Vec<Protocol>,
    pub kind: Kind,
}

impl Interface {
    /// The names of all its parts: the ports of a bridge, the members of a bond, also of a bond
    /// that is a port. A VLAN's parent is not a part.
    pub fn members(&self) -> Vec<IfName> {
        let of_bond =
            |bond: &Bond| -> Vec<_> { bond.members.iter().map(|member| member.name).collect() };
        match &self.kind {
            Kind::Ethernet(_) | Kind::Vlan(_) => Vec::new(),
            Kind::Bond(bond) => of_bond(bond),
            Kind::Bridge(bridge) => {
                let of_port = |port: &Port| match &port.kind {
                    PortKind::Ethernet(_) | PortKind::Vlan(_) => vec![port.name],
                    PortKind::Bond(bond) => [vec![port.name], of_bond(bond)].concat(),
                };
                bridge.ports.iter().flat_map(of_port).collect()
            }
        }
    }

    /// The names of the links that it needs below it and that are not parts of it: the parent of a
    /// VLAN, also of a VLAN that is a port.
    pub fn parents(&self) -> Vec<IfName> {
        match &self.kind {
            Kind::Ethernet(_) | Kind::Bond(_) => Vec::new(),
            Kind::Vlan(vlan) => vec![vlan.parent],
            Kind::Bridge(bridge) => {
                let of_port = |port: &Port| match &port.kind {
                    PortKind::Vlan(vlan) => Some(vlan.parent),
                    PortKind::Ethernet(_) | PortKind::Bond(_) => None,
                };
                bridge.ports.iter().filter_map(of_port).collect()
            }
        }
    }
}

impl Kind {
    /// The hardware address in the definition: the schema has one for this kind only.
    pub fn mac(&self) -> Option<MacAddr> {
        match self {
            Self::Ethernet(ethernet) => ethernet.mac,
            Self::Bridge(_) | Self::Bond(_) | Self::Vlan(_) => None,
        }
    }
}

/// When the daemon brings a definition up by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartMode {
    /// Once, when the host boots.
    Onboot,
    /// As soon as the device is there.
    Hotplug,
    /// Never.
    None,
}

/// The kind of device of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    Ethernet(Ethernet),
    Bridge(Bridge),
    Bond(Bond),
    Vlan(Vlan),
}

/// Any other device: a NIC, a veth, a tap, the loopback.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ethernet {
    pub link: LinkStatus,
    /// Six bytes: the schema knows no other address.
    pub mac: Option<MacAddr>,
}

/// A bridge and its ports.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bridge {
    /// Spanning tree protocol on or off.
    pub stp: Option<bool>,
    pub delay: Option<ForwardDelay>,
    pub ports: Vec<Port>,
}

/// How long a bridge port listens before it forwards, in hundredths of a second, the kernel's unit
/// (`IFLA_BR_FORWARD_DELAY`). The XML has seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ForwardDelay(pub u32);

impl ForwardDelay {
    /// Returns the delay that the kernel uses while STP runs: within `BR_MIN_FORWARD_DELAY` and
    /// `BR_MAX_FORWARD_DELAY`.
    pub fn with_stp(self) -> Self {
        Self(self.0.clamp(200, 3000))
    }
}

/// One port of a bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Port {
    pub name: IfName,
    pub kind: PortKind,
}

/// The kinds of link that can be a port of a bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PortKind {
    Ethernet(Ethernet),
    Bond(Bond),
    Vlan(Vlan),
}

/// A bond and its members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bond {
    pub link: LinkStatus,
    pub mode: Option<BondMode>,
    pub monitor: Option<BondMonitor>,
    pub members: Vec<BondMember>,
}

/// One member of a bond.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BondMember {
    pub name: IfName,
    pub ethernet: Ethernet,
}

/// How a bond spreads its traffic. The order is the kernel's numbering (`BOND_MODE_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BondMode {
    BalanceRr,
    ActiveBackup,
    BalanceXor,
    Broadcast,
    Ieee8023ad,
    BalanceTlb,
    BalanceAlb,
}

/// How a bond finds out that a member is dead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BondMonitor {
    Mii {
        /// Milliseconds, as are the delays; a delay of 0 is left out of the XML.
        freq: u32,
        downdelay: u32,
        updelay: u32,
        carrier: Option<MiiCarrier>,
    },
    Arp {
        /// Milliseconds.
        interval: u32,
        target: Ipv4Addr,
        validate: Option<ArpValidate>,
    },
}

/// The peers that the MII monitor asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MiiCarrier {
    Ioctl,
    Netif,
}

/// On which members ARP replies are checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArpValidate {
    Active,
    Backup,
    All,
}

/// A VLAN over another interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vlan {
    pub link: LinkStatus,
    /// 0 to 4095, the field's twelve bits (IEEE 802.1Q).
    pub tag: u16,
    pub parent: IfName,
}

/// The readiness of a link as the kernel reports it. Only a live interface has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkStatus {
    /// Mb/s.
    pub speed: Option<u32>,
    pub state: Option<OperState>,
}

/// A link's operational state (RFC 2863 `ifOperStatus`; the kernel's `IF_OPER_*`, in its order).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperState {
    Unknown,
    NotPresent,
    Down,
    LowerLayerDown,
    Testing,
    Dormant,
    Up,
}

/// The addressing of one family.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Protocol {
    pub family: Family,
    /// IPv6 only: addresses from router advertisements.
    pub autoconf: bool,
    pub dhcp: Option<Dhcp>,
    /// All of this protocol's family.
    pub addresses: Vec<Ip>,
    /// The default route's gateway, of this protocol's family.
    pub gateway: Option<IpAddr>,
}

/// Addresses from a DHCP server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dhcp {
    /// Whether the host uses the name servers of the DHCP server; absent means yes.
    pub peer_dns: Option<bool>,
}
