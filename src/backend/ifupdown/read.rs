// SPDX-License-Identifier: LGPL-2.1-or-later
//! The stanzas of the host's files as definitions.
//!
//! Everything that the model can hold is read. Other options do not hide an interface; a stanza
//! whose method or name is not understood is noted with its line.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::backend::ifupdown::host::{self, HostFiles, Section, Setting};
use crate::backend::ifupdown::setting::{self, Key};
use crate::definitions::files::FilePath;
use crate::definitions::{Definitions, Note};
use crate::ifupdown::Dialect;
use crate::ifupdown::tree::Role;
use crate::limits::{INHERITANCE_DEPTH_MAX, MTU_MAX, VLAN_TAG_MAX};
use crate::model::address::{Family, Ip, MacAddr};
use crate::model::interface::{
    Bond, BondMember, BondMode, BondMonitor, Bridge, Dhcp, Ethernet, Interface, Kind, LinkStatus,
    MiiCarrier, Port, PortKind, Protocol, StartMode, Vlan,
};
use crate::model::name::IfName;
use crate::xml::words;

/// All definitions of the files, and notes on what is not understood.
pub(super) fn definitions(host: &HostFiles<'_>) -> Definitions {
    let reader = Reader::new(host);
    let mut definitions = Definitions::default();
    let names: BTreeSet<_> =
        host.sections.iter().filter(|it| !it.is_template).map(|it| it.name.as_str()).collect();
    for name in names {
        let is_definition =
            |name: &IfName| !reader.parts.contains(name) && !reader.is_logical(*name);
        let Some(name) = host::device(name).filter(is_definition) else { continue };
        if let Some(interface) = reader.interface(name) {
            definitions.insert(interface, reader.files_of(name));
        }
    }
    for (path, notes) in notes(&reader) {
        definitions.set_notes(path, notes);
    }
    definitions
}

/// Reads one interface, also one that is a part of another.
pub(super) fn interface(host: &HostFiles<'_>, name: IfName) -> Option<Interface> {
    Reader::new(host).interface(name)
}

/// A stanza with what it inherits.
struct View<'a> {
    family: &'a str,
    method: &'a str,
    settings: Vec<&'a Setting>,
}

struct Reader<'a> {
    host: &'a HostFiles<'a>,
    /// Members by the bond that their own stanzas name.
    masters: Vec<(&'a str, IfName)>,
    /// The ports of bridges and members of bonds.
    parts: BTreeSet<IfName>,
    /// The names that other stanzas refer to.
    logical: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(host: &'a HostFiles<'a>) -> Self {
        let inherited = host.sections.iter().filter_map(|section| section.inherits.clone());
        let logical = inherited.chain(host.mapped()).collect();
        let mut reader = Self { host, masters: Vec::new(), parts: BTreeSet::new(), logical };
        for section in host.sections.iter().filter(|section| !section.is_template) {
            for setting in &section.settings {
                let Some(value) = setting.value.as_deref() else { continue };
                if setting.key == Key::BondMaster {
                    let member = host::device(&section.name);
                    reader.masters.extend(member.map(|member| (value, member)));
                    reader.parts.extend(member.filter(|_| host.of(value).next().is_some()));
                } else if matches!(setting.key, Key::BridgePorts | Key::BondMembers) {
                    let parts = names(value).filter(|it| it.as_str() != section.name);
                    reader.parts.extend(parts);
                }
            }
        }
        reader
    }

    /// Whether it is no device: others inherit from it, or a mapping chooses it, and nothing starts
    /// it.
    fn is_logical(&self, name: IfName) -> bool {
        let is_used = self.logical.iter().any(|logical| logical == name.as_str());
        is_used && self.host.starts(name.as_str()).is_empty()
    }

    fn files_of(&self, name: IfName) -> Vec<FilePath> {
        let files = self.host.of(name.as_str()).map(|section| section.header.file);
        let starts = self.host.starts(name.as_str()).into_iter().map(|start| start.place.file);
        let files: BTreeSet<_> = files.chain(starts).collect();
        files.iter().filter_map(|at| self.host.files.get(*at)).map(|(it, _)| it.clone()).collect()
    }

    fn views(&self, name: IfName) -> Vec<View<'a>> {
        self.host.of(name.as_str()).map(|section| self.view(section, 0)).collect()
    }

    fn view(&self, section: &'a Section, depth: usize) -> View<'a> {
        let parent = section.inherits.as_deref().and_then(|name| {
            let is_parent = |it: &&Section| {
                let is_family = section.family.is_empty() || it.family == section.family;
                it.name == name && is_family && !std::ptr::eq(*it, section)
            };
            self.host.sections.iter().find(is_parent).filter(|_| depth < INHERITANCE_DEPTH_MAX)
        });
        let parent = parent.map(|parent| self.view(parent, depth + 1));
        let (mut family, mut method) = (section.family.as_str(), section.method.as_str());
        let mut settings = Vec::new();
        if let Some(parent) = parent {
            family = if family.is_empty() { parent.family } else { family };
            method = if method.is_empty() { parent.method } else { method };
            settings = parent.settings;
        }
        settings.extend(&section.settings);
        View { family, method, settings }
    }

    fn interface(&self, name: IfName) -> Option<Interface> {
        let views = self.views(name);
        let is_loopback = |view: &View<'_>| match self.host.dialect {
            Dialect::Ng => name.as_str() == "lo" && !view.has(Key::Address),
            Dialect::Classic | Dialect::BusyBox => view.method == "loopback",
        };
        if views.iter().all(is_loopback) {
            return None;
        }
        Some(Interface {
            name,
            start: Some(self.start(name)),
            mtu: self.mtu(&views),
            protocols: protocols(&views, self.host.dialect),
            kind: self.kind(name, &views),
        })
    }

    fn start(&self, name: IfName) -> StartMode {
        let starts = self.host.starts(name.as_str());
        let is = |mode| starts.iter().any(|start| start.mode == mode);
        match (is(StartMode::Onboot), is(StartMode::Hotplug)) {
            (true, _) => StartMode::Onboot,
            (false, true) => StartMode::Hotplug,
            (false, false) => StartMode::None,
        }
    }

    fn mac(&self, views: &[View<'_>]) -> Option<MacAddr> {
        let mac = get(views, Key::HwAddress).or_else(|| get(views, Key::CommandHwAddress));
        mac.and_then(MacAddr::parse)
    }

    fn mtu(&self, views: &[View<'_>]) -> Option<u32> {
        let has_mtu = |view: &&View<'_>| takes_mtu(view.family, view.method, self.host.dialect);
        let option = views.iter().filter(has_mtu).find_map(|view| view.get(Key::Mtu));
        let mtu = option.or_else(|| get(views, Key::CommandMtu))?.parse().ok()?;
        (mtu <= MTU_MAX).then_some(mtu)
    }

    fn kind(&self, name: IfName, views: &[View<'_>]) -> Kind {
        if views.iter().any(|view| view.has(Key::BridgePorts)) {
            return Kind::Bridge(self.bridge(name, views));
        }
        match self.port_kind(name, views) {
            PortKind::Ethernet(ethernet) => Kind::Ethernet(ethernet),
            PortKind::Bond(bond) => Kind::Bond(bond),
            PortKind::Vlan(vlan) => Kind::Vlan(vlan),
        }
    }

    /// The kind of a link that may be a bridge's port.
    fn port_kind(&self, name: IfName, views: &[View<'_>]) -> PortKind {
        let is_bond = |key| views.iter().any(|view| view.has(key));
        let is_master = self.masters.iter().any(|(master, _)| *master == name.as_str());
        if is_bond(Key::BondMembers) || is_bond(Key::BondMode) || is_master {
            return PortKind::Bond(self.bond(name, views));
        }
        match vlan(name, views) {
            Some(vlan) => PortKind::Vlan(vlan),
            None => PortKind::Ethernet(Ethernet { mac: self.mac(views), ..Ethernet::default() }),
        }
    }

    fn bridge(&self, name: IfName, views: &[View<'_>]) -> Bridge {
        let ports = get(views, Key::BridgePorts).map(names).into_iter().flatten();
        let port =
            |port: IfName| Port { name: port, kind: self.port_kind(port, &self.views(port)) };
        Bridge {
            stp: get(views, Key::BridgeStp).map(|stp| stp == "on"),
            delay: get(views, Key::BridgeFd).and_then(setting::forward_delay),
            ports: ports.filter(|it| *it != name).map(port).collect(),
        }
    }

    fn bond(&self, name: IfName, views: &[View<'_>]) -> Bond {
        let mut members: Vec<_> =
            get(views, Key::BondMembers).map(names).into_iter().flatten().collect();
        let own = self.masters.iter().filter(|(master, _)| *master == name.as_str());
        members.extend(own.map(|(_, member)| *member));
        let mut seen = BTreeSet::from([name]);
        members.retain(|member| seen.insert(*member));
        let mode = get(views, Key::BondMode).and_then(setting::mode);
        if let Some(primary) = get(views, Key::BondPrimary).filter(|_| has_primary(mode)) {
            members.sort_by_key(|member| member.as_str() != primary);
        }
        let member = |name: IfName| {
            let mac = self.mac(&self.views(name));
            BondMember { name, ethernet: Ethernet { mac, ..Ethernet::default() } }
        };
        Bond {
            link: LinkStatus::default(),
            mode,
            monitor: monitor(views),
            members: members.into_iter().map(member).collect(),
        }
    }
}

impl View<'_> {
    fn has(&self, key: Key) -> bool {
        self.settings.iter().any(|setting| setting.key == key)
    }

    fn get(&self, key: Key) -> Option<&str> {
        self.all(key).next()
    }

    fn all(&self, key: Key) -> impl Iterator<Item = &str> {
        let own = self.settings.iter().filter(move |setting| setting.key == key);
        own.filter_map(|setting| setting.value.as_deref())
    }
}

/// Whether the method has an option for the link's MTU.
pub(super) fn takes_mtu(family: &str, method: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Ng => true,
        Dialect::Classic => family == "inet" && matches!(method, "static" | "manual"),
        Dialect::BusyBox => family == "inet" && method == "static",
    }
}

/// Whether the first member of a bond of this mode is its primary.
pub(super) fn has_primary(mode: Option<BondMode>) -> bool {
    matches!(mode, Some(BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb))
}

/// The first value of a key.
fn get<'a>(views: &'a [View<'_>], key: Key) -> Option<&'a str> {
    views.iter().find_map(|view| view.get(key))
}

fn names(value: &str) -> impl Iterator<Item = IfName> {
    value.split_ascii_whitespace().filter_map(|name| IfName::new(name).ok())
}

fn monitor(views: &[View<'_>]) -> Option<BondMonitor> {
    let number = |key| get(views, key).and_then(|value| value.parse().ok());
    let interval = number(Key::BondArpInterval).filter(|interval| *interval > 0);
    let target = get(views, Key::BondArpTarget).and_then(|target| target.parse().ok());
    if let (Some(interval), Some(target)) = (interval, target) {
        let validate = get(views, Key::BondArpValidate);
        let validate =
            validate.and_then(|it| words::find(&words::ARP_VALIDATES, words::arp_validate, it));
        return Some(BondMonitor::Arp { interval, target, validate });
    }
    let carrier = match get(views, Key::BondUseCarrier) {
        Some("0") => Some(MiiCarrier::Ioctl),
        Some(_) => Some(MiiCarrier::Netif),
        None => None,
    };
    number(Key::BondMiimon).map(|freq| BondMonitor::Mii {
        freq,
        downdelay: number(Key::BondDowndelay).unwrap_or_default(),
        updelay: number(Key::BondUpdelay).unwrap_or_default(),
        carrier,
    })
}

fn vlan(name: IfName, views: &[View<'_>]) -> Option<Vlan> {
    let (prefix, suffix) = match name.as_str().rsplit_once('.') {
        Some((parent, tag)) => (IfName::new(parent).ok(), Some(tag)),
        None => (None, name.as_str().strip_prefix("vlan")),
    };
    let raw = get(views, Key::VlanRawDevice).and_then(|raw| IfName::new(raw).ok());
    let id = get(views, Key::VlanId).or(suffix);
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let tag = id.filter(is_number).and_then(|id| id.parse().ok()).filter(|it| *it <= VLAN_TAG_MAX);
    Some(Vlan { link: LinkStatus::default(), tag: tag?, parent: raw.or(prefix)? })
}

fn protocols(views: &[View<'_>], dialect: Dialect) -> Vec<Protocol> {
    let protocol = |family| Protocol {
        family,
        autoconf: false,
        dhcp: None,
        addresses: Vec::new(),
        gateway: None,
    };
    let (mut ipv4, mut ipv6) = (protocol(Family::Ipv4), protocol(Family::Ipv6));
    for view in views {
        let is_ng = dialect == Dialect::Ng;
        let (is_static, is_inet6) = (is_ng || view.method == "static", view.family == "inet6");
        if is_static {
            // Only ifupdown-ng takes several addresses in one stanza.
            let count = if is_ng { usize::MAX } else { 1 };
            for prefix in view.all(Key::Address).take(count).filter_map(setting::prefix) {
                match prefix.family() {
                    Family::Ipv4 => ipv4.addresses.push(Ip::from(prefix)),
                    Family::Ipv6 => ipv6.addresses.push(Ip::from(prefix)),
                }
            }
            for gateway in view.all(Key::Gateway).filter_map(|it| it.parse::<IpAddr>().ok()) {
                let protocol = if gateway.is_ipv6() { &mut ipv6 } else { &mut ipv4 };
                protocol.gateway = protocol.gateway.or(Some(gateway));
            }
        }
        let uses = |executor| view.all(Key::Use).any(|it| it == executor);
        let has = |key, value| view.get(key) == Some(value);
        let is_dhcp = view.method == "dhcp" || (is_ng && uses("dhcp"));
        if is_dhcp && !is_inet6 {
            ipv4.dhcp = Some(Dhcp::default());
        }
        if (is_dhcp && is_inet6) || (view.method == "auto" && has(Key::Dhcp, "1")) {
            ipv6.dhcp = Some(Dhcp::default());
        }
        let is_on = match (view.family, view.method) {
            ("inet6", "auto") => true,
            ("inet6", "dhcp") => !has(Key::Autoconf, "0"),
            ("inet6", "static") => has(Key::Autoconf, "1"),
            _ => is_ng && (has(Key::Autoconf, "yes") || uses("ipv6-ra")),
        };
        ipv6.autoconf |= is_on || view.has(Key::CommandAcceptRa);
    }
    let is_used = |it: &Protocol| {
        it.autoconf || it.dhcp.is_some() || it.gateway.is_some() || !it.addresses.is_empty()
    };
    [ipv4, ipv6].into_iter().filter(is_used).collect()
}

/// Remarks on lines that the program refuses or ignores, and on stanzas that no definition shows.
fn notes(reader: &Reader<'_>) -> Vec<(FilePath, Vec<Note>)> {
    let host = reader.host;
    let program = host.dialect;
    let mut all = Vec::new();
    for (file, (path, tree)) in host.files.iter().enumerate() {
        let mut notes = Vec::new();
        for (line, role) in tree.roles.iter().enumerate() {
            let number = tree.number(line);
            if *role == Role::Stray && program != Dialect::Ng {
                let refused = format!("{program} refuses an option outside of a stanza");
                notes.push(Note::Remark(format!("line {number}: {refused}")));
            } else if *role == Role::Mapping {
                notes.push(Note::Remark(format!("line {number}: a mapping is not evaluated")));
            }
        }
        for section in host.sections.iter().filter(|section| section.header.file == file) {
            let number = tree.number(section.header.line);
            let device = host::device(&section.name);
            if !section.is_template && device.is_none_or(|name| reader.is_logical(name)) {
                let name = section.name.escape_default();
                notes.push(Note::Ignored(format!("line {number}: '{name}' is not a device")));
            }
            for setting in section.settings.iter().filter(|it| it.value.is_none()) {
                let number = tree.number(setting.place.line);
                notes.push(Note::Remark(format!("line {number}: the value is not understood")));
            }
        }
        all.push((path.clone(), notes));
    }
    all
}
