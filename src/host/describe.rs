// SPDX-License-Identifier: LGPL-2.1-or-later
//! From the table of links and addresses to an [`Interface`]: what the XML will say.
//!
//! Pure: what the table does not hold is named by [`inspection`] and comes back as [`Findings`]: link
//! speeds, default gateways, and links whose changes the kernel does not announce. A link that the
//! schema has no place for as what it is (a bond without members, a VLAN whose parent is in another
//! namespace) is described as ethernet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::host::Host;
use crate::limits::MTU_MAX;
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::{
    Bond, BondMember, BondMode, BondMonitor, Bridge, Dhcp, Ethernet, Interface, Kind, LinkStatus,
    OperState, Port, PortKind, Protocol, StartMode, Vlan,
};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::address::{Address, Lifetime, Origin, Role, Scope};
use crate::netlink::link::{Link, LinkBond, LinkIndex, LinkKind};

/// The link that the kernel has in each network namespace, and that its own scripts bring up first.
const LOOPBACK: &str = "lo";

/// Which XML is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum View {
    /// What the host does now.
    Live,
    /// The definition that would lead to what the host does now.
    Inactive,
}

/// What must be asked of the kernel before an interface can be described.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inspection {
    /// The link whose default gateways are wanted.
    pub gateways_of: LinkIndex,
    /// Links that change in silence, and are wanted as they are now.
    pub silent: Vec<LinkIndex>,
    /// The links whose speed is wanted.
    pub speeds_of: Vec<(LinkIndex, IfName)>,
    /// The link whose DHCP clients are wanted: those that give their address no lifetime are told by
    /// nothing else.
    pub clients_of: Option<IfName>,
    /// The link of which it is wanted whether it makes itself addresses of what routers advertise: where
    /// there are none, nothing else tells.
    pub sysctls_of: Option<IfName>,
}

/// What the kernel said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// At most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Those of them that a router has advertised.
    pub advertised: Vec<IpAddr>,
    /// The silent links. Where one is missing, the table's word stands.
    pub links: BTreeMap<LinkIndex, Link>,
    /// Mb/s; a link without a known speed is left out.
    pub speeds: SortedMap<LinkIndex, u32>,
    /// The families that a DHCP client runs for.
    pub clients: Vec<Family>,
    /// Whether the link takes addresses and routes from routers, if any advertise some.
    pub hears_routers: bool,
}

/// What must be known to describe `link` and all that it holds. A link that is not up has no
/// speed.
pub fn inspection(host: &Host, link: &Link) -> Inspection {
    let mut shown = Vec::new();
    collect_shown(host, link, &mut shown);
    let silent = shown.iter().filter(|link| is_silent(host, link)).map(|link| link.index).collect();
    let has_speed = |link: &&&Link| {
        link.oper_state == OperState::Up && !matches!(link.kind, LinkKind::Bridge(_))
    };
    let speeds = shown.iter().filter(has_speed).map(|link| (link.index, link.name));
    let speeds_of = speeds.collect();
    Inspection { gateways_of: link.index, silent, speeds_of, clients_of: None, sysctls_of: None }
}

/// The same, for what would be defined.
pub(crate) fn inspection_to_define(host: &Host, link: &Link) -> Inspection {
    let is_static = |address: &Address| matches!(source(address), Source::Static);
    let addresses = host.addresses_of(link.index);
    let mut fixed = addresses.iter().filter(|it| is_static(it)).peekable();
    let clients_of = fixed.peek().map(|_| link.name);
    let has_ipv6 = fixed.any(|address| address.prefix.family() == Family::Ipv6);
    let sysctls_of = has_ipv6.then_some(link.name);
    Inspection { clients_of, sysctls_of, ..inspection(host, link) }
}

/// Whether something of `link` changes that the kernel does not announce: the attributes of a
/// bridge or bond that is down, and the addresses of a balance-tlb bond's members, which swap them.
pub fn is_silent(host: &Host, link: &Link) -> bool {
    let has_attributes = matches!(link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_));
    let master = link.master.and_then(|master| host.link(master));
    let swaps = master.is_some_and(|master| match &master.kind {
        LinkKind::Bond(bond) => bond.mode == Some(BondMode::BalanceTlb),
        LinkKind::Bridge(_)
        | LinkKind::Nic
        | LinkKind::Tun
        | LinkKind::Veth
        | LinkKind::Vlan { .. }
        | LinkKind::Other => false,
    });
    swaps || (has_attributes && !link.up)
}

/// `link` and everything that its description names as a part of it.
fn collect_shown<'a>(host: &'a Host, link: &'a Link, shown: &mut Vec<&'a Link>) {
    shown.push(link);
    match link.kind {
        LinkKind::Bridge(_) => {
            // The kernel allows no bridge in a bridge; nor do we follow one.
            let is_bridge = |port: &&Link| matches!(port.kind, LinkKind::Bridge(_));
            for port in shown_ports(host, link).filter(|port| !is_bridge(port)) {
                collect_shown(host, port, shown);
            }
        }
        LinkKind::Bond(_) => shown.extend(host.ports_of(link.index)),
        LinkKind::Nic
        | LinkKind::Tun
        | LinkKind::Veth
        | LinkKind::Vlan { .. }
        | LinkKind::Other => {}
    }
}

/// Describes `link` and all that it holds.
pub fn interface(host: &Host, link: &Link, findings: &Findings, view: View) -> Interface {
    let describer = Describer { host, findings, view };
    Interface {
        name: link.name,
        start: describer.start(link),
        // Some devices have sizes that no definition can have, and 0 means none there.
        mtu: Some(link.mtu).filter(|mtu| (1..=MTU_MAX).contains(mtu)),
        protocols: describer.protocols(link),
        kind: describer.kind(link),
    }
}

struct Describer<'a> {
    host: &'a Host,
    findings: &'a Findings,
    view: View,
}

impl Describer<'_> {
    /// What is up and the host's own would be up after the next boot, too. A veth may be that, as a
    /// container's NIC is.
    fn start(&self, link: &Link) -> Option<StartMode> {
        let is_own = match link.kind {
            LinkKind::Bond(_) | LinkKind::Bridge(_) | LinkKind::Veth | LinkKind::Vlan { .. } => {
                true
            }
            LinkKind::Nic => link.name.as_str() != LOOPBACK,
            LinkKind::Tun | LinkKind::Other => false,
        };
        (self.view == View::Inactive && link.up && is_own).then_some(StartMode::Onboot)
    }

    fn kind(&self, link: &Link) -> Kind {
        if let LinkKind::Bridge(bridge) = &self.now(link).kind {
            let ports = shown_ports(self.host, link).map(|port| self.port(port)).collect();
            return Kind::Bridge(Bridge {
                stp: Some(bridge.stp),
                delay: Some(bridge.forward_delay),
                ports,
            });
        }
        match self.port_kind(link) {
            PortKind::Ethernet(ethernet) => Kind::Ethernet(ethernet),
            PortKind::Bond(bond) => Kind::Bond(bond),
            PortKind::Vlan(vlan) => Kind::Vlan(vlan),
        }
    }

    fn port(&self, link: &Link) -> Port {
        Port { name: link.name, kind: self.port_kind(link) }
    }

    fn port_kind(&self, link: &Link) -> PortKind {
        match &self.now(link).kind {
            LinkKind::Bond(bond) => self.bond(link, bond),
            LinkKind::Vlan { tag } => self.vlan(link, *tag),
            LinkKind::Bridge(_)
            | LinkKind::Nic
            | LinkKind::Tun
            | LinkKind::Veth
            | LinkKind::Other => None,
        }
        .unwrap_or_else(|| PortKind::Ethernet(self.ethernet(link)))
    }

    /// The link as the kernel told it last.
    fn now<'a>(&'a self, link: &'a Link) -> &'a Link {
        self.findings.links.get(&link.index).unwrap_or(link)
    }

    fn ethernet(&self, link: &Link) -> Ethernet {
        let mac = self.now(link).mac.filter(|mac| mac.is_ethernet());
        Ethernet { link: self.status(link), mac }
    }

    fn bond(&self, link: &Link, bond: &LinkBond) -> Option<PortKind> {
        let ports = self.host.ports_of(link.index);
        let member = |port: &&Link| BondMember { name: port.name, ethernet: self.ethernet(port) };
        let members: Vec<_> = ports.iter().map(member).collect();
        (!members.is_empty()).then(|| {
            PortKind::Bond(Bond {
                link: self.status(link),
                mode: bond.mode,
                monitor: monitor(bond),
                members,
            })
        })
    }

    fn vlan(&self, link: &Link, tag: u16) -> Option<PortKind> {
        let parent = self.host.link(link.parent?)?.name;
        Some(PortKind::Vlan(Vlan { link: self.status(link), tag, parent }))
    }

    fn status(&self, link: &Link) -> LinkStatus {
        match self.view {
            View::Live => LinkStatus {
                speed: self.findings.speeds.get(&link.index).copied(),
                state: Some(link.oper_state),
            },
            View::Inactive => LinkStatus::default(),
        }
    }

    fn protocols(&self, link: &Link) -> Vec<Protocol> {
        let addresses = self.host.addresses_of(link.index);
        [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .filter_map(|family| {
                let of_family = |address: &&Address| address.prefix.family() == family;
                let addresses: Vec<_> = addresses.iter().filter(of_family).collect();
                let gateways = &self.findings.gateways;
                let gateway = gateways.iter().copied().find(|ip| Family::of(*ip) == family);
                match self.view {
                    View::Live => live_protocol(family, &addresses, gateway),
                    View::Inactive => {
                        let has_client = self.findings.clients.contains(&family);
                        let leased = leased(&addresses, gateway).filter(|_| has_client);
                        let is_fixed = |ip: &IpAddr| !self.findings.advertised.contains(ip);
                        let gateway = gateway.filter(is_fixed);
                        let mut protocol = defining_protocol(family, &addresses, gateway, leased)?;
                        protocol.autoconf |= family == Family::Ipv6 && self.findings.hears_routers;
                        Some(protocol)
                    }
                }
            })
            .collect()
    }
}

fn live_protocol(
    family: Family,
    addresses: &[&Address],
    gateway: Option<IpAddr>,
) -> Option<Protocol> {
    let addresses: Vec<_> = addresses.iter().map(|address| address.prefix.into()).collect();
    let present = !addresses.is_empty() || gateway.is_some();
    present.then_some(Protocol { family, autoconf: false, dhcp: None, addresses, gateway })
}

/// The addressing that, as a definition, would give these addresses. Where the host learnt its
/// addresses, it learnt the gateway too.
fn defining_protocol(
    family: Family,
    addresses: &[&Address],
    gateway: Option<IpAddr>,
    leased: Option<&Address>,
) -> Option<Protocol> {
    let mut protocol =
        Protocol { family, autoconf: false, dhcp: None, addresses: Vec::new(), gateway: None };
    for address in addresses {
        let is_leased = leased.is_some_and(|leased| leased.id() == address.id());
        match if is_leased { Source::Dhcp } else { source(address) } {
            Source::Automatic => {}
            Source::Autoconf => protocol.autoconf = true,
            Source::Dhcp => protocol.dhcp = Some(Dhcp::default()),
            // It may be there several times, each with another peer.
            Source::Static if address.peer.is_some() && is_listed(&protocol, address.prefix) => {}
            Source::Static => protocol.addresses.push(address.prefix.into()),
        }
    }
    let learnt = protocol.autoconf || protocol.dhcp.is_some();
    if protocol.addresses.is_empty() && !learnt {
        return None;
    }
    protocol.gateway = gateway.filter(|_| !learnt);
    Some(protocol)
}

/// Whether a protocol has this address.
fn is_listed(protocol: &Protocol, prefix: IpPrefix) -> bool {
    protocol.addresses.iter().any(|ip| ip.prefix() == prefix)
}

/// The address that a DHCP client has brought which gives it no lifetime: if none has one, that from
/// whose network the gateway is, or else the first.
fn leased<'a>(addresses: &[&'a Address], gateway: Option<IpAddr>) -> Option<&'a Address> {
    let is = |address: &Address, wanted: fn(&Source) -> bool| wanted(&source(address));
    if addresses.iter().any(|address| is(address, |source| matches!(source, Source::Dhcp))) {
        return None;
    }
    let is_static = |address: &&&Address| is(address, |source| matches!(source, Source::Static));
    let reaches = |address: &&&Address| {
        let len = address.prefix.prefix_len();
        let beside = gateway.and_then(|gateway| IpPrefix::new(gateway, len));
        beside.is_some_and(|beside| beside.network() == address.prefix.network())
    };
    let mut candidates = addresses.iter().filter(is_static);
    candidates.clone().find(reaches).or_else(|| candidates.next()).copied()
}

/// Where an address comes from.
enum Source {
    /// The kernel gives it to every link: no definition has it.
    Automatic,
    Autoconf,
    Dhcp,
    Static,
}

fn source(address: &Address) -> Source {
    const HOST_PREFIX_LEN: u8 = 128;
    match (address.scope, address.prefix.family()) {
        (Scope::Link | Scope::Host, _) => Source::Automatic,
        // It may advertise an address for ever.
        (Scope::Global | Scope::Site, Family::Ipv6)
            if address.origin == Origin::RouterAdvertisement =>
        {
            Source::Autoconf
        }
        (Scope::Global | Scope::Site, _) if address.lifetime == Lifetime::Permanent => {
            Source::Static
        }
        (Scope::Global | Scope::Site, Family::Ipv4) => Source::Dhcp,
        (Scope::Global | Scope::Site, Family::Ipv6) => {
            // Kernels before 5.18 do not say who made an address. A router's are a /64 with the
            // host's own part; a DHCPv6 lease is a single address.
            let advertised = address.origin == Origin::RouterAdvertisement
                || address.role == Role::Temporary
                || address.prefix.prefix_len() < HOST_PREFIX_LEN;
            if advertised { Source::Autoconf } else { Source::Dhcp }
        }
    }
}

/// The monitor that a bond uses. ARP wins, as in libvirt; without a target there is none.
pub fn monitor(bond: &LinkBond) -> Option<BondMonitor> {
    if bond.arp_interval > 0 {
        let target = *bond.arp_targets.first()?;
        let (interval, validate) = (bond.arp_interval, bond.arp_validate);
        return Some(BondMonitor::Arp { interval, target, validate });
    }
    (bond.miimon > 0).then_some(BondMonitor::Mii {
        freq: bond.miimon,
        downdelay: bond.downdelay,
        updelay: bond.updelay,
        carrier: Some(bond.carrier),
    })
}

/// A bridge's ports as the XML lists them: without the taps that libvirt itself makes for guests
/// (`vnet` and a number).
fn shown_ports<'a>(host: &'a Host, bridge: &Link) -> impl Iterator<Item = &'a Link> {
    host.ports_of(bridge.index).into_iter().filter(|port| !is_guest_tap(&port.name))
}

fn is_guest_tap(name: &IfName) -> bool {
    let number = name.as_str().strip_prefix("vnet");
    number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
