// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel as text, parsed and formatted: a line for each link, address, route, DHCP client and
//! file, and one for each link whose IPv6 sysctls are not the default.
//!
//! ```text
//! # what a line may say, and what it means to leave out
//! link br0 bridge up mtu 1400 mac 02:00:00:00:00:01 stp on delay 15
//! link eth0 nic up master br0 no-carrier
//! link bond0 bond mode active-backup miimon 100 updelay 200 downdelay 200 carrier ioctl
//! link bond1 bond mode balance-rr arp 100 validate all target 192.0.2.1 target 192.0.2.2
//! link eth0.5 vlan parent eth0 tag 5 flags 6 egress 1 2 ingress 3 4
//! addr br0 192.0.2.1/24 secondary finite 300 label br0:1 scope link peer 192.0.2.9 flags 0x200 origin 2
//! route br0 default via 192.0.2.254 metric 100 src 192.0.2.1 proto dhcp table 10 scope 253 expires 60 onlink
//! dhcp br0 ipv4 wanted 192.0.2.1/24 without-dns
//! ipv6 br0 accept_ra 0 autoconf 0 disable_ipv6 1 forwarding 1
//! vlan eth0 10 pvid untagged
//! promote-secondaries
//! bridge-vlans
//! number eth0 7
//! ```
//!
//! Masters and parents come before the links that name them. `ipv6 default` is for links that are
//! yet to be created, and `ipv6 NAME none` for a kernel without IPv6. With `bridge-vlans` before
//! all links, bridges filter VLANs. `number` sets the index of a link that comes later. `vlan NAME
//! none` is for a port without even the bridge's default VLAN.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::{FromStr, SplitWhitespace};

use crate::value_kernel::apart::Apart;
use crate::value_kernel::state::{
    Address, Device, FOREVER, IFA_F_SECONDARY, IPV6_METRIC, PVID, Route, TABLE_MAIN, UNTAGGED,
};
use crate::value_kernel::vlan_options::VlanOptions;
use crate::value_kernel::{ValueKernel, bridge_vlans};
use virtinterfaced::model::address::{Family, IpPrefix, MacAddr};
use virtinterfaced::model::foreign::{
    ClientLinks, ClientProgram, CommandLine, ForeignClient, Leaving, LinkPatterns,
};
use virtinterfaced::model::interface::{ArpValidate, BondMode, ForwardDelay, MiiCarrier};
use virtinterfaced::model::ipv6::Ipv6Sysctls;
use virtinterfaced::model::lease::{Lease, NameServers};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::{LinkBond, LinkBridge, LinkIndex, LinkKind};
use virtinterfaced::snapshot::files::{KeptFile, StoredFile, Target};

const MODES: [(&str, BondMode); 7] = [
    ("balance-rr", BondMode::BalanceRr),
    ("active-backup", BondMode::ActiveBackup),
    ("balance-xor", BondMode::BalanceXor),
    ("broadcast", BondMode::Broadcast),
    ("802.3ad", BondMode::Ieee8023ad),
    ("balance-tlb", BondMode::BalanceTlb),
    ("balance-alb", BondMode::BalanceAlb),
];
const VALIDATES: [(&str, ArpValidate); 3] =
    [("active", ArpValidate::Active), ("backup", ArpValidate::Backup), ("all", ArpValidate::All)];
/// `RTPROT_*`.
const PROTOCOLS: [(&str, u8); 5] =
    [("kernel", 2), ("boot", 3), ("static", 4), ("ra", 9), ("dhcp", 16)];
const SCOPES: [(&str, u8); 4] = [("global", 0), ("site", 200), ("link", 253), ("host", 254)];

const USUAL: Ipv6Sysctls = Ipv6Sysctls {
    accept_ra: Some(1),
    autoconf: Some(1),
    disable_ipv6: Some(0),
    forwarding: Some(0),
};

/// Why a line is invalid.
type TextError = String;

impl FromStr for ValueKernel {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let mut kernel = Self { defaults: USUAL, ..Self::default() };
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        for line in lines.filter(|line| !line.is_empty()) {
            let mut words = Words { rest: line.split_whitespace() };
            kernel.read_line(&mut words).map_err(|err| format!("{line}: {err}"))?;
        }
        Ok(kernel)
    }
}

struct Words<'a> {
    rest: SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, TextError> {
        self.rest.next().ok_or_else(|| "something is missing".to_owned())
    }

    fn value<T: FromStr>(&mut self) -> Result<T, TextError> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("{word}?"))
    }

    fn name(&mut self) -> Result<IfName, TextError> {
        let word = self.word()?;
        IfName::new(word).map_err(|err| err.to_string())
    }

    fn of<T: Copy>(&mut self, all: &[(&str, T)]) -> Result<T, TextError> {
        let word = self.word()?;
        let found = all.iter().find(|(known, _)| *known == word);
        found.map(|(_, value)| *value).ok_or_else(|| format!("{word}?"))
    }

    fn mac(&mut self) -> Result<MacAddr, TextError> {
        let word = self.word()?;
        MacAddr::parse(word).ok_or_else(|| format!("{word}?"))
    }

    fn prefix(&mut self) -> Result<IpPrefix, TextError> {
        let word = self.word()?;
        let (address, len) = word.split_once('/').ok_or_else(|| format!("{word}?"))?;
        let prefix = address.parse().ok().zip(len.parse().ok());
        prefix.and_then(|(ip, len)| IpPrefix::new(ip, len)).ok_or_else(|| format!("{word}?"))
    }
}

impl ValueKernel {
    fn read_line(&mut self, words: &mut Words<'_>) -> Result<(), TextError> {
        match words.word()? {
            "link" => self.read_link(words),
            "addr" => {
                let name = words.name()?;
                let address = read_address(words, &name)?;
                self.known_mut(&name)?.addresses.push(address);
                Ok(())
            }
            "route" => {
                let name = words.name()?;
                let route = read_route(words)?;
                let routes = &mut self.known_mut(&name)?.routes;
                routes.push(route);
                routes.sort_by_key(|route| (route.family, route.destination, route.metric));
                Ok(())
            }
            "dhcp" => {
                let client = read_client(words)?;
                self.clients.push(client);
                Ok(())
            }
            "foreign" => {
                let client = read_foreign(words)?;
                self.foreign.push(client);
                Ok(())
            }
            "ended" => {
                let client = read_foreign(words)?;
                self.ended.push(client);
                Ok(())
            }
            "ipv6" => {
                let name = words.word()?;
                let sysctls = read_sysctls(words)?;
                if name == "default" {
                    self.defaults = sysctls;
                    return Ok(());
                }
                let name = IfName::new(name).map_err(|err| err.to_string())?;
                self.known_mut(&name)?.sysctls = sysctls;
                Ok(())
            }
            "number" => {
                let (name, number) = (words.name()?, words.value()?);
                self.last_index = self.last_index.max(number);
                self.numbers.insert(name, LinkIndex(number));
                Ok(())
            }
            "vlan" => {
                let name = words.name()?;
                read_vlan(words, &mut self.known_mut(&name)?.vlans)
            }
            word @ ("rule" | "nowhere") => {
                let apart = Apart::read(word == "rule", &mut words.rest);
                self.add_apart(apart.ok_or("a word?")?).map_err(|_| "again".to_owned())
            }
            "bridge-vlans" => {
                self.filters_vlans = true;
                Ok(())
            }
            "promote-secondaries" => {
                self.promotes = true;
                Ok(())
            }
            word => Err(format!("{word}?")),
        }
    }

    fn known_mut(&mut self, name: &IfName) -> Result<&mut Device, TextError> {
        self.named_mut(name).ok_or_else(|| format!("no link {name} yet"))
    }

    fn index_of(&self, name: &IfName) -> Result<LinkIndex, TextError> {
        self.named(name).map(|it| it.index).ok_or_else(|| format!("no link {name} yet"))
    }

    /// Parses a line for a link, without its first word.
    pub(super) fn read_link_line(&mut self, line: &str) -> Result<(), TextError> {
        self.read_link(&mut Words { rest: line.split_whitespace() })
    }

    fn read_link(&mut self, words: &mut Words<'_>) -> Result<(), TextError> {
        let name = words.name()?;
        let index = self.numbers.get(&name).copied().unwrap_or(LinkIndex(self.last_index + 1));
        self.last_index = self.last_index.max(index.0);
        let [.., low] = index.0.to_be_bytes();
        let kind = match words.word()? {
            "nic" => LinkKind::Nic,
            "tun" => LinkKind::Tun,
            "veth" => LinkKind::Veth,
            "other" => LinkKind::Other,
            "vlan" => LinkKind::Vlan { tag: 0 },
            "bond" => LinkKind::Bond(Box::new(LinkBond {
                mode: Some(BondMode::BalanceRr),
                ..LinkBond::default()
            })),
            "bridge" => {
                LinkKind::Bridge(LinkBridge { stp: false, forward_delay: ForwardDelay(1500) })
            }
            word => return Err(format!("{word}?")),
        };
        let mut device = Device {
            index,
            name,
            up: false,
            mtu: 1500,
            mac: MacAddr::new(&[2, 0, 0, 0, 0, low]).ok_or("no address")?,
            has_wire: true,
            master: None,
            parent: None,
            kind,
            before_bond: None,
            owns_mtu: true,
            owns_mac: true,
            sysctls: USUAL,
            addresses: Vec::new(),
            routes: Vec::new(),
            vlans: BTreeMap::new(),
            default_vlan: None,
            vlan: VlanOptions::default(),
        };
        if self.filters_vlans && device.is_bridge() {
            device.default_vlan = Some(1);
        }
        while let Some(word) = words.rest.next() {
            match word {
                "up" => device.up = true,
                "mtu" => device.mtu = words.value()?,
                "auto-mtu" => device.owns_mtu = false,
                "mac" => device.mac = words.mac()?,
                "no-carrier" => device.has_wire = false,
                "master" => device.master = Some(self.index_of(&words.name()?)?),
                "parent" => device.parent = Some(self.index_of(&words.name()?)?),
                "default-vlan" => device.default_vlan = Some(words.value()?),
                "flags" | "egress" | "ingress" => read_vlan_option(&mut device.vlan, word, words)?,
                word => read_kind(&mut device.kind, word, words)?,
            }
        }
        let master = device.master.and_then(|master| self.devices.get(&master));
        if let Some(bond) = master.filter(|master| master.is_bond()) {
            device.before_bond = Some((device.mac, device.mtu));
            device.mac = bond.mac;
        }
        let bridge = master.filter(|_| !device.is_bridge()).unwrap_or(&device);
        device.vlans = bridge_vlans::of_default(bridge.default_vlan);
        self.devices.insert(index, device);
        Ok(())
    }
}

/// Parses an attribute of a VLAN other than its tag.
fn read_vlan_option(
    vlan: &mut VlanOptions,
    word: &str,
    words: &mut Words<'_>,
) -> Result<(), TextError> {
    match word {
        "flags" => vlan.flags = words.value()?,
        "egress" => {
            vlan.egress.insert(words.value()?, words.value()?);
        }
        _ => {
            vlan.ingress.insert(words.value()?, words.value()?);
        }
    }
    Ok(())
}

/// Parses a word that belongs to one kind of link.
fn read_kind(kind: &mut LinkKind, word: &str, words: &mut Words<'_>) -> Result<(), TextError> {
    match (kind, word) {
        (LinkKind::Bridge(bridge), "stp") => {
            bridge.stp = words.of(&[("on", true), ("off", false)])?;
        }
        (LinkKind::Bridge(bridge), "delay") => {
            let seconds: f64 = words.value()?;
            let hundredths = format!("{:.0}", seconds * 100.0);
            bridge.forward_delay = ForwardDelay(hundredths.parse().map_err(|_| "delay?")?);
        }
        (LinkKind::Vlan { tag }, "tag") => *tag = words.value()?,
        (LinkKind::Bond(bond), "mode") => bond.mode = Some(words.of(&MODES)?),
        (LinkKind::Bond(bond), "miimon") => bond.miimon = words.value()?,
        (LinkKind::Bond(bond), "updelay") => bond.updelay = words.value()?,
        (LinkKind::Bond(bond), "downdelay") => bond.downdelay = words.value()?,
        (LinkKind::Bond(bond), "carrier") => {
            let carriers = [("ioctl", MiiCarrier::Ioctl), ("netif", MiiCarrier::Netif)];
            bond.carrier = words.of(&carriers)?;
        }
        (LinkKind::Bond(bond), "arp") => bond.arp_interval = words.value()?,
        (LinkKind::Bond(bond), "target") => bond.arp_targets.push(words.value()?),
        (LinkKind::Bond(bond), "validate") => bond.arp_validate = Some(words.of(&VALIDATES)?),
        (_, word) => return Err(format!("{word}?")),
    }
    Ok(())
}

fn read_address(words: &mut Words<'_>, link: &IfName) -> Result<Address, TextError> {
    let prefix = words.prefix()?;
    let label = (prefix.family() == Family::Ipv4).then(|| link.as_str().to_owned());
    let (peer, scope, flags, valid, broadcast, origin) = (None, 0, 0, FOREVER, None, 0);
    let mut address = Address { prefix, peer, scope, flags, valid, label, broadcast, origin };
    while let Some(word) = words.rest.next() {
        match word {
            "secondary" => address.flags |= IFA_F_SECONDARY,
            "finite" => address.valid = words.value()?,
            "label" => address.label = Some(words.word()?.to_owned()),
            "scope" => address.scope = words.of(&SCOPES)?,
            "peer" => address.peer = Some(words.value()?),
            "brd" => address.broadcast = Some(words.value()?),
            "origin" => address.origin = words.value()?,
            "flags" => {
                let flags = words.word()?.trim_start_matches("0x");
                address.flags |= u32::from_str_radix(flags, 16).map_err(|err| err.to_string())?;
            }
            word => return Err(format!("{word}?")),
        }
    }
    Ok(address)
}

fn read_route(words: &mut Words<'_>) -> Result<Route, TextError> {
    let mut gateway = None;
    let destination = match words.word()? {
        "default" => None,
        word => Some(Words { rest: word.split_whitespace() }.prefix()?),
    };
    let (mut source, mut metric, mut table, mut protocol) = (None, None, TABLE_MAIN, 3);
    let (mut scope, mut on_link, mut expires) = (None, false, None);
    let mut family = destination.map(|destination| destination.family());
    while let Some(word) = words.rest.next() {
        match word {
            "via" => {
                let via: IpAddr = words.value()?;
                family = family.or(Some(Family::of(via)));
                gateway = Some(via);
            }
            "src" => source = Some(words.value()?),
            "metric" => metric = Some(words.value()?),
            "table" => table = words.value()?,
            "proto" => protocol = words.of(&PROTOCOLS)?,
            "scope" => scope = Some(words.value()?),
            "expires" => expires = Some(words.value()?),
            "onlink" => on_link = true,
            word => return Err(format!("{word}?")),
        }
    }
    let family = family.unwrap_or(Family::Ipv4);
    let destination = destination.unwrap_or(IpPrefix::everything(family));
    let metric = metric.unwrap_or(match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => IPV6_METRIC,
    });
    let scope = scope.unwrap_or(default_scope(family, gateway));
    Ok(Route {
        family,
        destination,
        gateway,
        source,
        metric,
        table,
        protocol,
        scope,
        on_link,
        expires,
    })
}

/// The scope of a route without an explicit one. IPv6 has no scopes; an IPv4 route without a
/// gateway has scope link.
fn default_scope(family: Family, gateway: Option<IpAddr>) -> u8 {
    match (family, gateway) {
        (Family::Ipv4, None) => 253,
        (Family::Ipv4, Some(_)) | (Family::Ipv6, _) => 0,
    }
}

/// Parses a foreign DHCP client: a program, its link or `all`, and its supervisor; or `told`, for a
/// program that manages all links, and the links that it has released.
fn read_foreign(words: &mut Words<'_>) -> Result<ForeignClient, TextError> {
    let name = words.word()?;
    let program = ClientProgram::ALL.into_iter().find(|program| program.name() == name);
    let program = program.ok_or_else(|| format!("{name}?"))?;
    let mut links = match words.word()? {
        "all" => ClientLinks::All(LinkPatterns::default()),
        link => ClientLinks::One(IfName::new(link).map_err(|err| err.to_string())?),
    };
    let mut keeper = words.word().ok().map(str::to_owned);
    let is_told = keeper.take_if(|word| word == "told").is_some();
    let leaving = if is_told { Leaving::Told } else { Leaving::Ended };
    if let ClientLinks::All(choice) = &mut links {
        while let Some(link) = words.word().ok().filter(|_| is_told) {
            choice.let_go.push(IfName::new(link).map_err(|err| err.to_string())?);
        }
    }
    let (families, pid, command) = (vec![Family::Ipv4], 7, CommandLine::default());
    Ok(ForeignClient { program, links, families, pid, keeper, leaving, command })
}

fn read_client(words: &mut Words<'_>) -> Result<Lease, TextError> {
    let link = words.name()?;
    let family = words.of(&[("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)])?;
    let mut lease =
        Lease { link, family, name_servers: NameServers::Taken, wanted: None, like: None };
    while let Some(word) = words.rest.next() {
        match word {
            "wanted" => lease.wanted = Some(words.prefix()?),
            "without-dns" => lease.name_servers = NameServers::Left,
            word => return Err(format!("{word}?")),
        }
    }
    Ok(lease)
}

fn read_vlan(words: &mut Words<'_>, vlans: &mut BTreeMap<u16, u16>) -> Result<(), TextError> {
    let number = words.word()?;
    if number == "none" {
        vlans.clear();
        return Ok(());
    }
    let mut flags = 0;
    for word in words.rest.by_ref() {
        flags |= match word {
            "pvid" => PVID,
            "untagged" => UNTAGGED,
            word => return Err(format!("{word}?")),
        };
    }
    bridge_vlans::set(vlans, number.parse().map_err(|_| format!("{number}?"))?, flags);
    Ok(())
}

fn read_sysctls(words: &mut Words<'_>) -> Result<Ipv6Sysctls, TextError> {
    let mut sysctls = USUAL;
    while let Some(word) = words.rest.next() {
        match word {
            "none" => sysctls = Ipv6Sysctls::default(),
            "accept_ra" => sysctls.accept_ra = Some(words.value()?),
            "autoconf" => sysctls.autoconf = Some(words.value()?),
            "disable_ipv6" => sysctls.disable_ipv6 = Some(words.value()?),
            "forwarding" => sysctls.forwarding = Some(words.value()?),
            word => return Err(format!("{word}?")),
        }
    }
    Ok(sysctls)
}

/// The whole kernel, in an order that does not depend on indexes: two kernels with equal texts are
/// indistinguishable from outside.
impl fmt::Display for ValueKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_name: BTreeMap<_, _> = self.devices.values().map(|it| (it.name, it)).collect();
        for device in by_name.values() {
            self.write_link(f, device)?;
            let mut addresses: Vec<_> = device.addresses.iter().collect();
            // The order of networks is irrelevant; the order within a network is not.
            addresses.sort_by_key(|address| {
                let network = address.destination();
                (network.family(), network.prefix_len(), network.network())
            });
            for address in addresses {
                write_address(f, device, address)?;
            }
            for route in &device.routes {
                write_route(f, device, route)?;
            }
            for (number, flags) in &device.vlans {
                writeln!(f, "vlan {} {number} flags {flags}", device.name)?;
            }
            if device.sysctls != USUAL {
                write_sysctls(f, device.name.as_str(), device.sysctls)?;
            }
        }
        self.aparts.iter().try_for_each(|apart| writeln!(f, "{apart}"))?;
        let mut clients = self.clients.clone();
        clients.sort_by_key(|client| (client.link, client.family));
        for Lease { link, family, name_servers, .. } in clients {
            let names = name_servers.as_str();
            writeln!(f, "dhcp {link} {} name servers {names}", family.as_str())?;
        }
        let mut foreign: Vec<_> = self.foreign.iter().map(ToString::to_string).collect();
        foreign.sort_unstable();
        foreign.iter().try_for_each(|client| writeln!(f, "foreign {client}"))?;
        if self.defaults != USUAL {
            write_sysctls(f, "default", self.defaults)?;
        }
        for (path, file) in self.files.iter() {
            match file {
                KeptFile::File(StoredFile { bytes, mode, uid, gid }) => {
                    writeln!(f, "file {path} {mode:o} {uid}:{gid}: {}", bytes.escape_ascii())?;
                }
                KeptFile::Link { text, target } => {
                    write!(f, "file {path} -> {}", text.escape_ascii())?;
                    if let Some(Target { path, file: StoredFile { bytes, mode, uid, gid } }) =
                        target
                    {
                        let bytes = bytes.escape_ascii();
                        write!(f, ", {path} {mode:o} {uid}:{gid}: {bytes}")?;
                    }
                    writeln!(f)?;
                }
                KeptFile::Unread => writeln!(f, "file {path} unread")?,
            }
        }
        if self.promotes { writeln!(f, "promote-secondaries") } else { Ok(()) }
    }
}

impl ValueKernel {
    fn write_link(&self, f: &mut fmt::Formatter<'_>, device: &Device) -> fmt::Result {
        let Device { name, mtu, mac, .. } = device;
        let kind = match &device.kind {
            LinkKind::Bond(_) => "bond",
            LinkKind::Bridge(_) => "bridge",
            LinkKind::Nic => "nic",
            LinkKind::Tun => "tun",
            LinkKind::Veth => "veth",
            LinkKind::Vlan { .. } => "vlan",
            LinkKind::Other => "other",
        };
        let up = if device.up { " up" } else { "" };
        write!(f, "link {name} {kind}{up} mtu {mtu} mac {mac}")?;
        let name_of = |index| self.devices.get(&index).map(|it| it.name.as_str()).unwrap_or("?");
        if let Some(master) = device.master {
            write!(f, " master {}", name_of(master))?;
        }
        if let Some(parent) = device.parent {
            write!(f, " parent {}", name_of(parent))?;
        }
        match &device.kind {
            LinkKind::Bridge(LinkBridge { stp, forward_delay }) => {
                write!(f, " stp {} delay {forward_delay}", if *stp { "on" } else { "off" })?;
            }
            LinkKind::Vlan { tag } => write!(f, " tag {tag} {:?}", device.vlan)?,
            LinkKind::Bond(bond) => write!(f, " {bond:?}")?,
            LinkKind::Nic | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => {}
        }
        if let Some(default) = device.default_vlan {
            write!(f, " default-vlan {default}")?;
        }
        writeln!(f)
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, device: &Device, address: &Address) -> fmt::Result {
    let Address { prefix, peer, scope, flags, valid, label, broadcast, origin } = address;
    write!(f, "addr {} {prefix} peer {peer:?} scope {scope} flags {flags:#x}", device.name)?;
    writeln!(f, " finite {valid} label {label:?} brd {broadcast:?} origin {origin}")
}

fn write_route(f: &mut fmt::Formatter<'_>, device: &Device, route: &Route) -> fmt::Result {
    let Route { destination, gateway, source, metric, table, protocol, .. } = route;
    let Route { scope, expires, .. } = route;
    // A gateway on none of the link's networks implies `onlink`.
    let on_link = route.on_link || gateway.is_some_and(|gateway| !device.reaches(gateway));
    write!(
        f,
        "route {} {destination} via {gateway:?} src {source:?} metric {metric}",
        device.name
    )?;
    writeln!(f, " table {table} proto {protocol} scope {scope} onlink {on_link} {expires:?}")
}

fn write_sysctls(f: &mut fmt::Formatter<'_>, name: &str, sysctls: Ipv6Sysctls) -> fmt::Result {
    writeln!(f, "ipv6 {name} {sysctls:?}")
}
