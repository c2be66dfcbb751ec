// SPDX-License-Identifier: LGPL-2.1-or-later
//! Converts links and addresses of the table to an [`Interface`], from which the XML is made.
//!
//! Pure: data that is not in the table (link speeds, default gateways, links whose changes the
//! kernel does not announce) is requested by [`inspection`] and comes back as [`Findings`]. A link
//! that the schema cannot describe by its kind (a bond without members, a VLAN whose parent is in
//! another namespace) is described as ethernet.

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
use crate::netlink::address::{Address, AddressOrigin, Lifetime, Role, Scope};
use crate::netlink::link::{Link, LinkBond, LinkIndex, LinkKind};

/// The loopback link, which exists in each network namespace and is brought up by the host's own
/// scripts.
const LOOPBACK: &str = "lo";

/// The kind of XML that is requested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum View {
    /// The current state of the host.
    Live,
    /// The definition that would lead to the current state of the host.
    Inactive,
}

/// The data to be requested from the kernel before an interface can be described.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inspection {
    /// The link whose default gateways are needed.
    pub gateways_of: LinkIndex,
    /// Links whose changes are not announced, to be read again.
    pub silent: Vec<LinkIndex>,
    /// The links whose speed is needed.
    pub speeds_of: Vec<(LinkIndex, IfName)>,
    /// The link whose DHCP clients are needed: addresses from a client that sets no lifetime cannot
    /// be recognized otherwise.
    pub clients_of: Option<IfName>,
    /// The link whose autoconfiguration sysctls are needed: without autoconfigured addresses
    /// nothing else shows whether the link accepts router advertisements.
    pub sysctls_of: Option<IfName>,
}

/// The kernel's answers to an [`Inspection`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// At most one of each family.
    pub gateways: Vec<IpAddr>,
    /// The gateways that were learnt from a router advertisement.
    pub advertised: Vec<IpAddr>,
    /// The silent links. For a missing one the table is used.
    pub links: BTreeMap<LinkIndex, Link>,
    /// Mb/s; links without a known speed are omitted.
    pub speeds: SortedMap<LinkIndex, u32>,
    /// The families that a DHCP client runs for.
    pub clients: Vec<Family>,
    /// Whether the link accepts addresses and routes from router advertisements.
    pub hears_routers: bool,
}

/// Returns the data needed to describe `link` and all its parts. Only links that are up have a
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

/// Returns the data needed to describe `link` as a definition.
pub(crate) fn inspection_to_define(host: &Host, link: &Link) -> Inspection {
    let is_static = |address: &Address| matches!(source(address), Source::Static);
    let addresses = host.addresses_of(link.index);
    let mut fixed = addresses.iter().filter(|it| is_static(it)).peekable();
    let clients_of = fixed.peek().map(|_| link.name);
    let has_ipv6 = fixed.any(|address| address.prefix.family() == Family::Ipv6);
    let sysctls_of = has_ipv6.then_some(link.name);
    Inspection { clients_of, sysctls_of, ..inspection(host, link) }
}

/// Returns whether the kernel changes attributes of `link` without announcing it: those of a bridge
/// or bond that is down, and the hardware addresses that the members of a balance-tlb bond swap.
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

/// Collects `link` and all links that its description contains.
fn collect_shown<'a>(host: &'a Host, link: &'a Link, shown: &mut Vec<&'a Link>) {
    shown.push(link);
    match link.kind {
        LinkKind::Bridge(_) => {
            // The kernel allows no bridge as a port of a bridge, so none is followed.
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

/// Describes `link` and all its parts.
pub fn interface(host: &Host, link: &Link, findings: &Findings, view: View) -> Interface {
    let describer = Describer { host, findings, view };
    Interface {
        name: link.name,
        start: describer.start(link),
        // Some devices have an MTU that no definition can have; 0 means that they have none.
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
    /// Returns the start mode: links that are up and belong to the host would be started at boot. A
    /// veth may belong to the host, since it is a container's NIC.
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

    /// Returns the link's most recent state.
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

/// Returns the addressing that, as a definition, would lead to these addresses. Where addresses are
/// learnt, so is the gateway.
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
            // The same address may be present several times, with different peers.
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

/// Returns whether a protocol has this address.
fn is_listed(protocol: &Protocol, prefix: IpPrefix) -> bool {
    protocol.addresses.iter().any(|ip| ip.prefix() == prefix)
}

/// Returns the address that comes from a DHCP client which sets no lifetime. If no address is a
/// recognizable lease, it is the one in the gateway's network, else the first one.
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

/// The origin of an address.
enum Source {
    /// The kernel gives this address to every link; it is not part of a definition.
    Automatic,
    Autoconf,
    Dhcp,
    Static,
}

fn source(address: &Address) -> Source {
    const HOST_PREFIX_LEN: u8 = 128;
    match (address.scope, address.prefix.family()) {
        (Scope::Link | Scope::Host, _) => Source::Automatic,
        // A router may advertise an infinite lifetime.
        (Scope::Global | Scope::Site, Family::Ipv6)
            if address.origin == AddressOrigin::RouterAdvertisement =>
        {
            Source::Autoconf
        }
        (Scope::Global | Scope::Site, _) if address.lifetime == Lifetime::Permanent => {
            Source::Static
        }
        (Scope::Global | Scope::Site, Family::Ipv4) => Source::Dhcp,
        (Scope::Global | Scope::Site, Family::Ipv6) => {
            // Kernels before 5.18 do not report an address's origin. An autoconfigured address is a
            // /64 with an interface identifier; a DHCPv6 lease is a single address.
            let advertised = address.origin == AddressOrigin::RouterAdvertisement
                || address.role == Role::Temporary
                || address.prefix.prefix_len() < HOST_PREFIX_LEN;
            if advertised { Source::Autoconf } else { Source::Dhcp }
        }
    }
}

/// Returns the monitor that a bond uses. ARP takes precedence, as in libvirt, and needs a target.
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

/// Returns a bridge's ports as the XML lists them: without the taps that libvirt creates for guests
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
