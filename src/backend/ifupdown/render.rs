// SPDX-License-Identifier: LGPL-2.1-or-later
//! A definition as settings, as each dialect expresses it, or a refusal of what it cannot say.

use crate::backend::DefinitionRefusal;
use crate::backend::ifupdown::read;
use crate::backend::ifupdown::setting::Key;
use crate::ifupdown::Dialect;
use crate::limits::VLAN_TAG_MAX;
use crate::model::address::{Family, Ip};
use crate::model::interface::{
    Bond, BondMonitor, Bridge, Dhcp, Interface, Kind, LinkStatus, MiiCarrier, PortKind, Protocol,
    StartMode, Vlan,
};
use crate::model::name::IfName;
use crate::xml::words;

/// The settings of one interface, in canonical spelling.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rendered {
    /// Those of the device.
    pub(super) device: Vec<(Key, String)>,
    /// Its addressing; never empty.
    pub(super) stanzas: Vec<Addressing>,
}

/// The addressing of one stanza. ifupdown-ng has one for all, without family and method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Addressing {
    pub(super) family: &'static str,
    pub(super) method: &'static str,
    pub(super) settings: Vec<(Key, String)>,
}

/// Renders an interface; its parts are rendered on their own.
pub(super) fn render(
    interface: &Interface,
    dialect: Dialect,
) -> Result<Rendered, DefinitionRefusal> {
    let name = interface.name;
    if interface.start == Some(StartMode::Hotplug) && dialect != Dialect::Classic {
        return Err(cannot(dialect, name, "<start mode='hotplug'/>"));
    }
    let mut device = Vec::new();
    device.extend(interface.mtu.map(|mtu| (Key::Mtu, mtu.to_string())));
    device.extend(interface.kind.mac().map(|mac| (Key::HwAddress, mac.to_string())));
    match &interface.kind {
        Kind::Ethernet(_) => {}
        Kind::Bridge(bridge) => device.extend(bridge_settings(bridge)),
        Kind::Bond(bond) => device.extend(bond_settings(bond)),
        Kind::Vlan(vlan) => device.extend(vlan_settings(name, vlan, dialect)?),
    }
    let mut stanzas = Vec::new();
    for protocol in &interface.protocols {
        let rendered = match (dialect, protocol.family) {
            (Dialect::Ng, _) | (Dialect::BusyBox, Family::Ipv6) => {
                if protocol.autoconf {
                    device.push((Key::CommandAcceptRa, "2".to_owned()));
                }
                other(name, protocol, dialect)
            }
            (Dialect::Classic | Dialect::BusyBox, Family::Ipv4) => ipv4(name, protocol, dialect),
            (Dialect::Classic, Family::Ipv6) => ipv6(name, protocol),
        };
        stanzas.extend(rendered?);
    }
    if dialect == Dialect::Ng {
        let settings = stanzas.into_iter().flat_map(|it: Addressing| it.settings).collect();
        return Ok(Rendered { device, stanzas: vec![Addressing::new("", "", settings)] });
    }
    if stanzas.is_empty() {
        stanzas.push(Addressing::new("inet", "manual", Vec::new()));
    }
    Ok(Rendered { device, stanzas })
}

/// The interface as the files can say it: without what is reported only, and with each default in
/// one form.
pub(super) fn canonical(interface: &Interface) -> Interface {
    let mut interface = interface.clone();
    interface.start = interface.start.or(Some(StartMode::None));
    for protocol in &mut interface.protocols {
        let is_default = protocol.dhcp.is_some_and(|dhcp| dhcp.peer_dns == Some(true));
        if is_default {
            protocol.dhcp = Some(Dhcp::default());
        }
        for address in &mut protocol.addresses {
            *address = Ip::from(address.prefix());
        }
    }
    interface.protocols.retain(|it| {
        it.autoconf || it.dhcp.is_some() || it.gateway.is_some() || !it.addresses.is_empty()
    });
    interface.protocols.sort_by_key(|protocol| protocol.family);
    match &mut interface.kind {
        Kind::Ethernet(ethernet) => ethernet.link = LinkStatus::default(),
        Kind::Bond(bond) => forget_status(bond),
        Kind::Vlan(vlan) => vlan.link = LinkStatus::default(),
        Kind::Bridge(bridge) => {
            for port in &mut bridge.ports {
                match &mut port.kind {
                    PortKind::Ethernet(ethernet) => ethernet.link = LinkStatus::default(),
                    PortKind::Bond(bond) => forget_status(bond),
                    PortKind::Vlan(vlan) => vlan.link = LinkStatus::default(),
                }
            }
        }
    }
    interface
}

fn forget_status(bond: &mut Bond) {
    bond.link = LinkStatus::default();
    for member in &mut bond.members {
        member.ethernet.link = LinkStatus::default();
    }
}

/// Checks that a name means the same to the parser, a shell and a hook.
pub(super) fn check_name(name: IfName, dialect: Dialect) -> Result<(), DefinitionRefusal> {
    let text = name.as_str();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte);
    let first = text.bytes().next();
    match text.bytes().all(is_plain) && first.is_some_and(|it| it.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(cannot(dialect, name, "a name with such characters")),
    }
}

impl Addressing {
    fn new(family: &'static str, method: &'static str, settings: Vec<(Key, String)>) -> Self {
        Self { family, method, settings }
    }
}

/// The refusal of an element that the dialect cannot express.
fn cannot(dialect: Dialect, name: IfName, element: &str) -> DefinitionRefusal {
    DefinitionRefusal(format!("{name}: {dialect} cannot express {element}"))
}

fn bridge_settings(bridge: &Bridge) -> Vec<(Key, String)> {
    let ports: Vec<_> = bridge.ports.iter().map(|port| port.name.as_str()).collect();
    let mut settings = vec![(Key::BridgePorts, ports.join(" "))];
    settings.extend(bridge.stp.map(|stp| (Key::BridgeStp, words::on_off(stp).to_owned())));
    settings.extend(bridge.delay.map(|delay| (Key::BridgeFd, delay.to_string())));
    settings
}

fn bond_settings(bond: &Bond) -> Vec<(Key, String)> {
    let members: Vec<_> = bond.members.iter().map(|member| member.name.as_str()).collect();
    let mut settings = vec![(Key::BondMembers, members.join(" "))];
    settings.extend(bond.mode.map(|mode| (Key::BondMode, words::bond_mode(mode).to_owned())));
    let primary = members.first().filter(|_| read::has_primary(bond.mode));
    settings.extend(primary.map(|primary| (Key::BondPrimary, (*primary).to_owned())));
    match &bond.monitor {
        Some(BondMonitor::Mii { freq, downdelay, updelay, carrier }) => {
            settings.push((Key::BondMiimon, freq.to_string()));
            for (key, delay) in [(Key::BondUpdelay, updelay), (Key::BondDowndelay, downdelay)] {
                settings.extend((*delay > 0).then(|| (key, delay.to_string())));
            }
            let carrier = carrier.map(|it| if it == MiiCarrier::Netif { "1" } else { "0" });
            settings.extend(carrier.map(|it| (Key::BondUseCarrier, it.to_owned())));
        }
        Some(BondMonitor::Arp { interval, target, validate }) => {
            settings.push((Key::BondArpInterval, interval.to_string()));
            settings.push((Key::BondArpTarget, target.to_string()));
            let validate = validate.map(|it| words::arp_validate(it).to_owned());
            settings.extend(validate.map(|validate| (Key::BondArpValidate, validate)));
        }
        None => {}
    }
    settings
}

fn vlan_settings(
    name: IfName,
    vlan: &Vlan,
    dialect: Dialect,
) -> Result<Vec<(Key, String)>, DefinitionRefusal> {
    if vlan.tag > VLAN_TAG_MAX {
        return Err(cannot(dialect, name, &format!("<vlan tag='{}'>", vlan.tag)));
    }
    let raw = (Key::VlanRawDevice, vlan.parent.to_string());
    let is_tag = |text: &str| text.parse() == Ok(vlan.tag);
    match (name.as_str().rsplit_once('.'), name.as_str().strip_prefix("vlan")) {
        (Some((parent, tag)), _) if parent == vlan.parent.as_str() && is_tag(tag) => Ok(Vec::new()),
        (None, Some(tag)) if is_tag(tag) => Ok(vec![raw]),
        _ if dialect == Dialect::Classic => {
            let other = format!("{}.{} or vlan{}", vlan.parent, vlan.tag, vlan.tag);
            Err(DefinitionRefusal(format!(
                "{name}: {dialect} cannot express a VLAN of this name, only {other}"
            )))
        }
        _ => Ok(vec![raw, (Key::VlanId, vlan.tag.to_string())]),
    }
}

fn check_dns(name: IfName, protocol: &Protocol, dialect: Dialect) -> Result<(), DefinitionRefusal> {
    let has_no_dns = protocol.dhcp.is_some_and(|dhcp| dhcp.peer_dns == Some(false));
    match has_no_dns {
        true => Err(cannot(dialect, name, "<dhcp peerdns='no'/>")),
        false => Ok(()),
    }
}

fn check_gateway(
    name: IfName,
    protocol: &Protocol,
    dialect: Dialect,
) -> Result<(), DefinitionRefusal> {
    match protocol.gateway {
        Some(gateway) if protocol.addresses.is_empty() => Err(cannot(
            dialect,
            name,
            &format!("<route gateway='{gateway}'/> without an address of its family"),
        )),
        _ => Ok(()),
    }
}

fn static_stanzas(family: &'static str, protocol: &Protocol) -> Vec<Addressing> {
    let addresses = protocol.addresses.iter().map(|address| {
        let address = (Key::Address, address.prefix().to_string());
        Addressing::new(family, "static", vec![address])
    });
    let mut stanzas: Vec<_> = addresses.collect();
    if let (Some(first), Some(gateway)) = (stanzas.first_mut(), protocol.gateway) {
        first.settings.push((Key::Gateway, gateway.to_string()));
    }
    stanzas
}

fn ipv4(
    name: IfName,
    protocol: &Protocol,
    dialect: Dialect,
) -> Result<Vec<Addressing>, DefinitionRefusal> {
    check_dns(name, protocol, dialect)?;
    check_gateway(name, protocol, dialect)?;
    let mut stanzas = Vec::new();
    if protocol.dhcp.is_some() {
        stanzas.push(Addressing::new("inet", "dhcp", Vec::new()));
    }
    stanzas.extend(static_stanzas("inet", protocol));
    Ok(stanzas)
}

/// Classic ifupdown's IPv6.
fn ipv6(name: IfName, protocol: &Protocol) -> Result<Vec<Addressing>, DefinitionRefusal> {
    check_dns(name, protocol, Dialect::Classic)?;
    check_gateway(name, protocol, Dialect::Classic)?;
    let mut stanzas = static_stanzas("inet6", protocol);
    let autoconf = |on: bool| (Key::Autoconf, if on { "1" } else { "0" }.to_owned());
    if let Some(first) = stanzas.first_mut().filter(|_| protocol.autoconf) {
        first.settings.extend([autoconf(true), (Key::AcceptRa, "2".to_owned())]);
    }
    match protocol.dhcp {
        Some(_) => {
            let settings = vec![autoconf(protocol.autoconf)];
            stanzas.push(Addressing::new("inet6", "dhcp", settings));
        }
        None if stanzas.is_empty() && protocol.autoconf => {
            stanzas.push(Addressing::new("inet6", "auto", Vec::new()));
        }
        None => {}
    }
    Ok(stanzas)
}

/// ifupdown-ng, and BusyBox's IPv6, without autoconf.
fn other(
    name: IfName,
    protocol: &Protocol,
    dialect: Dialect,
) -> Result<Vec<Addressing>, DefinitionRefusal> {
    check_dns(name, protocol, dialect)?;
    if protocol.dhcp.is_some() && protocol.family == Family::Ipv6 {
        return Err(cannot(dialect, name, "<dhcp/> of ipv6"));
    }
    if dialect == Dialect::BusyBox {
        check_gateway(name, protocol, dialect)?;
        return Ok(static_stanzas("inet6", protocol));
    }
    let mut settings = Vec::new();
    if protocol.dhcp.is_some() {
        settings.push((Key::Use, "dhcp".to_owned()));
    }
    let addresses = protocol.addresses.iter();
    settings.extend(addresses.map(|it| (Key::Address, it.prefix().to_string())));
    settings.extend(protocol.gateway.map(|it| (Key::Gateway, it.to_string())));
    Ok(vec![Addressing::new("", "", settings)])
}
