// SPDX-License-Identifier: LGPL-2.1-or-later
//! RTM_*LINK messages (`linux/rtnetlink.h`, `linux/if_link.h`) <-> [`Link`].
//!
//! Knows the content of one message, not of earlier ones. A [`Link`] comes only from a message that
//! describes a link in full: the kernel also uses these types for bridge ports and for wireless
//! events, which would overwrite a link's properties with nothing.

use std::net::Ipv4Addr;

use crate::limits::BOND_TARGET_COUNT_MAX;
use crate::model::address::MacAddr;
use crate::model::interface::{ArpValidate, BondMode, ForwardDelay, MiiCarrier, OperState};
use crate::model::name::IfName;
use crate::netlink::wire::{
    self, Attribute, Attributes, FLAG_ACK, FLAG_DUMP, FLAG_REQUEST, Message, NetlinkHeader,
    WireError, attributes,
};

pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;

/// The family of messages about a link as such. Bridge ports come as `AF_BRIDGE`; a deletion then
/// means the membership.
pub(super) const AF_UNSPEC: u8 = 0;
pub(super) const IFF_UP: u32 = 0x1;
/// The length of the fixed part before the attributes of a link message.
const IFINFOMSG_LEN: usize = 16;
const IFF_LOWER_UP: u32 = 0x1_0000;

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_LINK: u16 = 5;
pub(super) const IFLA_MASTER: u16 = 10;
const IFLA_WIRELESS: u16 = 11;
pub(super) const IFLA_PROTINFO: u16 = 12;
pub(super) const IFLA_OPERSTATE: u16 = 16;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_EXT_MASK: u16 = 29;
pub(super) const IFLA_LINK_NETNSID: u16 = 37;
const RTEXT_FILTER_SKIP_STATS: u32 = 0x8;

pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;

pub(super) const IFLA_BR_FORWARD_DELAY: u16 = 1;
pub(super) const IFLA_BR_STP_STATE: u16 = 5;

pub(super) const IFLA_BOND_MODE: u16 = 1;
pub(super) const IFLA_BOND_MIIMON: u16 = 3;
pub(super) const IFLA_BOND_UPDELAY: u16 = 4;
pub(super) const IFLA_BOND_DOWNDELAY: u16 = 5;
pub(super) const IFLA_BOND_USE_CARRIER: u16 = 6;
pub(super) const IFLA_BOND_ARP_INTERVAL: u16 = 7;
pub(super) const IFLA_BOND_ARP_IP_TARGET: u16 = 8;
pub(super) const IFLA_BOND_ARP_VALIDATE: u16 = 9;
pub(super) const IFLA_BOND_PRIMARY: u16 = 11;

pub(super) const IFLA_VLAN_ID: u16 = 1;

/// The kernel's number of a link. It is never 0, and not used again until it wraps.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkIndex(pub u32);

impl LinkIndex {
    /// Takes any number but 0, which means "no link" to the kernel.
    pub fn new(index: u32) -> Option<Self> {
        (index != 0).then_some(Self(index))
    }
}

/// One link, as the kernel reports it. Hosts have thousands: keep it small.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    pub index: LinkIndex,
    pub name: IfName,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Bytes.
    pub mtu: u32,
    pub mac: Option<MacAddr>,
    /// Up, and the other end of the wire too (`IFF_LOWER_UP`). The operational state follows a
    /// moment later.
    pub carrier: bool,
    pub oper_state: OperState,
    /// The bridge, bond or other link that this is a port of.
    pub master: Option<LinkIndex>,
    /// The link under a VLAN, or at the other end of a veth, if it is in our network namespace. The
    /// kernel does not report when it moves to another: then no link has this index any more.
    pub parent: Option<LinkIndex>,
    pub kind: LinkKind,
}

/// The kind of device of a link, with the properties of that kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkKind {
    /// Boxed, as it would make every other link larger.
    Bond(Box<LinkBond>),
    Bridge(LinkBridge),
    /// A link without a kind: a NIC, or the loopback.
    Nic,
    /// A tun or tap device.
    Tun,
    Veth,
    Vlan {
        tag: u16,
    },
    /// A virtual device that is none of these.
    Other,
}

/// A bridge's own attributes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkBridge {
    /// Spanning tree protocol, whether the kernel runs it or a daemon.
    pub stp: bool,
    pub forward_delay: ForwardDelay,
}

/// A bond's own attributes. Times are in milliseconds, 0 for off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkBond {
    /// `None` for a mode that this program does not know.
    pub mode: Option<BondMode>,
    pub miimon: u32,
    pub updelay: u32,
    pub downdelay: u32,
    pub carrier: MiiCarrier,
    pub arp_interval: u32,
    /// [`BOND_TARGET_COUNT_MAX`] at most.
    pub arp_targets: Vec<Ipv4Addr>,
    /// `None` for off, and for filters that the schema cannot express.
    pub arp_validate: Option<ArpValidate>,
}

impl Default for LinkBond {
    /// The default of a kernel that does not report it: since Linux 6.18 `use_carrier` is always
    /// on.
    fn default() -> Self {
        Self {
            mode: None,
            miimon: 0,
            updelay: 0,
            downdelay: 0,
            carrier: MiiCarrier::Netif,
            arp_interval: 0,
            arp_targets: Vec::new(),
            arp_validate: None,
        }
    }
}

/// An event about one link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkEvent {
    /// The link exists, with these properties, which replace all earlier ones.
    New(Link),
    /// The link exists, but [`IfName`] refuses its name, so no client can ask for it.
    Unnameable(LinkIndex),
    /// The link exists, and nothing else is known of it: its message cannot be decoded, or is cut.
    Unreadable(LinkIndex, WireError),
    Removed(LinkIndex),
}

/// Decodes a link message. `None` if it is not about a link as such. [`subject`] may find the link
/// of one that cannot be decoded.
pub fn decode(message: &Message<'_>) -> Result<Option<LinkEvent>, WireError> {
    const PART: &str = "ifinfomsg";
    let mut rest = message.payload;
    let [family, _padding] = wire::take_array(&mut rest, PART)?;
    let _device_type = wire::take_u16(&mut rest, PART)?;
    let index = wire::take_u32(&mut rest, PART)?;
    let flags = wire::take_u32(&mut rest, PART)?;
    let _changed_flags = wire::take_u32(&mut rest, PART)?;
    if family != AF_UNSPEC {
        return Ok(None);
    }
    let index = LinkIndex::new(index).ok_or(WireError::Value("ifi_index"))?;
    match message.kind {
        RTM_NEWLINK => decode_new(index, flags, attributes(rest)),
        RTM_DELLINK => Ok(Some(LinkEvent::Removed(index))),
        _ => Ok(None),
    }
}

/// The link that a message is about, even if the rest of it cannot be decoded.
pub(crate) fn subject(message: &Message<'_>) -> Option<LinkIndex> {
    let mut rest = message.payload;
    let [family, ..]: [u8; 4] = wire::take_array(&mut rest, "ifinfomsg").ok()?;
    let index = wire::take_u32(&mut rest, "ifinfomsg").ok()?;
    let is_of_links = matches!(message.kind, RTM_NEWLINK | RTM_DELLINK) && family == AF_UNSPEC;
    LinkIndex::new(index).filter(|_| is_of_links)
}

/// The name in a link message, even if the rest of it cannot be decoded.
pub(crate) fn told_name(message: &Message<'_>) -> Option<IfName> {
    let attributes = attributes(message.payload.get(IFINFOMSG_LEN..)?);
    let name = attributes.flatten().find(|attribute| attribute.kind == IFLA_IFNAME)?;
    IfName::new(name.text()).ok()
}

/// Appends a message without any attribute, for a link that could not be decoded.
pub(crate) fn encode_unread(out: &mut Vec<u8>, sequence: u32, index: LinkIndex) {
    wire::write_message(out, NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence }, |payload| {
        payload.bytes(&[AF_UNSPEC, 0, 0, 0]);
        payload.bytes(&index.0.to_ne_bytes());
        payload.bytes(&[0; 8]);
    });
}

/// Decodes a message of [`encode_unread`].
pub(crate) fn decode_unread(message: &Message<'_>) -> Option<LinkIndex> {
    let is_bare = message.payload.len() == IFINFOMSG_LEN;
    subject(message).filter(|_| message.kind == RTM_NEWLINK && is_bare)
}

fn decode_new(
    index: LinkIndex,
    flags: u32,
    attributes: Attributes<'_>,
) -> Result<Option<LinkEvent>, WireError> {
    let mut name = None;
    let mut mtu = None;
    let mut mac = None;
    let mut oper_state = OperState::Unknown;
    let mut master = None;
    let mut parent = None;
    let mut parent_is_elsewhere = false;
    let mut kind = LinkKind::Nic;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_ADDRESS => mac = MacAddr::new(attribute.payload),
            IFLA_IFNAME => name = Some(attribute.text()),
            IFLA_MTU => mtu = Some(attribute.u32("IFLA_MTU")?),
            IFLA_LINK => parent = LinkIndex::new(attribute.u32("IFLA_LINK")?),
            IFLA_MASTER => master = LinkIndex::new(attribute.u32("IFLA_MASTER")?),
            // A wireless event: it names the link and has no other property.
            IFLA_WIRELESS => return Ok(None),
            IFLA_OPERSTATE => oper_state = decode_oper_state(attribute.u8("IFLA_OPERSTATE")?),
            IFLA_LINKINFO => kind = decode_kind(attribute.nested())?,
            IFLA_LINK_NETNSID => parent_is_elsewhere = true,
            _ => {}
        }
    }
    let name = name.ok_or(WireError::Missing("IFLA_IFNAME"))?;
    let Ok(name) = IfName::new(name) else {
        return Ok(Some(LinkEvent::Unnameable(index)));
    };
    Ok(Some(LinkEvent::New(Link {
        index,
        name,
        up: flags & IFF_UP != 0,
        mtu: mtu.ok_or(WireError::Missing("IFLA_MTU"))?,
        mac,
        carrier: flags & IFF_LOWER_UP != 0,
        oper_state,
        master,
        // Another namespace numbers its links independently.
        parent: parent.filter(|_| !parent_is_elsewhere),
        kind,
    })))
}

fn decode_oper_state(state: u8) -> OperState {
    match state {
        1 => OperState::NotPresent,
        2 => OperState::Down,
        3 => OperState::LowerLayerDown,
        4 => OperState::Testing,
        5 => OperState::Dormant,
        6 => OperState::Up,
        _ => OperState::Unknown,
    }
}

fn decode_kind(info: Attributes<'_>) -> Result<LinkKind, WireError> {
    let mut kind: &[u8] = &[];
    let mut data = attributes(&[]);
    for attribute in info {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_INFO_KIND => kind = attribute.text(),
            IFLA_INFO_DATA => data = attribute.nested(),
            _ => {}
        }
    }
    match kind {
        b"bond" => decode_bond(data),
        b"bridge" => decode_bridge(data),
        b"tun" => Ok(LinkKind::Tun),
        b"veth" => Ok(LinkKind::Veth),
        b"vlan" => decode_vlan(data),
        // The slave data of a port names the kind of its master, not a kind of its own.
        b"" => Ok(LinkKind::Nic),
        _ => Ok(LinkKind::Other),
    }
}

fn decode_bridge(data: Attributes<'_>) -> Result<LinkKind, WireError> {
    let mut bridge = LinkBridge::default();
    for attribute in data {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_BR_FORWARD_DELAY => {
                bridge.forward_delay = ForwardDelay(attribute.u32("IFLA_BR_FORWARD_DELAY")?);
            }
            IFLA_BR_STP_STATE => bridge.stp = attribute.u32("IFLA_BR_STP_STATE")? != 0,
            _ => {}
        }
    }
    Ok(LinkKind::Bridge(bridge))
}

fn decode_bond(data: Attributes<'_>) -> Result<LinkKind, WireError> {
    let mut bond = LinkBond::default();
    for attribute in data {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_BOND_MODE => bond.mode = decode_bond_mode(attribute.u8("IFLA_BOND_MODE")?),
            IFLA_BOND_MIIMON => bond.miimon = attribute.u32("IFLA_BOND_MIIMON")?,
            IFLA_BOND_UPDELAY => bond.updelay = attribute.u32("IFLA_BOND_UPDELAY")?,
            IFLA_BOND_DOWNDELAY => bond.downdelay = attribute.u32("IFLA_BOND_DOWNDELAY")?,
            IFLA_BOND_USE_CARRIER => {
                bond.carrier = decode_carrier(attribute.u8("IFLA_BOND_USE_CARRIER")?);
            }
            IFLA_BOND_ARP_INTERVAL => {
                bond.arp_interval = attribute.u32("IFLA_BOND_ARP_INTERVAL")?
            }
            IFLA_BOND_ARP_IP_TARGET => bond.arp_targets = decode_arp_targets(&attribute)?,
            IFLA_BOND_ARP_VALIDATE => {
                bond.arp_validate = decode_arp_validate(attribute.u32("IFLA_BOND_ARP_VALIDATE")?);
            }
            _ => {}
        }
    }
    Ok(LinkKind::Bond(Box::new(bond)))
}

/// The kernel's number for it, as in the functions below.
pub(crate) fn decode_carrier(carrier: u8) -> MiiCarrier {
    match carrier {
        0 => MiiCarrier::Ioctl,
        _ => MiiCarrier::Netif,
    }
}

/// `None` for off, and for filters that the schema cannot express.
pub(crate) fn decode_arp_validate(validate: u32) -> Option<ArpValidate> {
    match validate {
        1 => Some(ArpValidate::Active),
        2 => Some(ArpValidate::Backup),
        3 => Some(ArpValidate::All),
        _ => None,
    }
}

/// `None` for a mode that this program does not know.
pub(crate) fn decode_bond_mode(mode: u8) -> Option<BondMode> {
    match mode {
        0 => Some(BondMode::BalanceRr),
        1 => Some(BondMode::ActiveBackup),
        2 => Some(BondMode::BalanceXor),
        3 => Some(BondMode::Broadcast),
        4 => Some(BondMode::Ieee8023ad),
        5 => Some(BondMode::BalanceTlb),
        6 => Some(BondMode::BalanceAlb),
        _ => None,
    }
}

fn decode_arp_targets(list: &Attribute<'_>) -> Result<Vec<Ipv4Addr>, WireError> {
    let target = |attribute: Result<Attribute<'_>, WireError>| {
        let octets = wire::take_array::<4>(&mut attribute?.payload, "IFLA_BOND_ARP_IP_TARGET")?;
        Ok(Ipv4Addr::from(octets))
    };
    list.nested().take(BOND_TARGET_COUNT_MAX).map(target).collect()
}

fn decode_vlan(data: Attributes<'_>) -> Result<LinkKind, WireError> {
    let mut tag = None;
    for attribute in data {
        let attribute = attribute?;
        if attribute.kind == IFLA_VLAN_ID {
            tag = Some(attribute.u16("IFLA_VLAN_ID")?);
        }
    }
    Ok(tag.map_or(LinkKind::Other, |tag| LinkKind::Vlan { tag }))
}

/// Appends the request for all links.
pub(crate) fn encode_dump(out: &mut Vec<u8>, sequence: u32) {
    encode_get(
        out,
        NetlinkHeader { kind: RTM_GETLINK, flags: FLAG_REQUEST | FLAG_DUMP, sequence },
        0,
    );
}

/// Appends the request for one link. The kernel announces a change of a bridge's or bond's own
/// attributes only while it is up, so those of a link that is down have to be requested.
pub(crate) fn encode_lookup(out: &mut Vec<u8>, sequence: u32, index: LinkIndex) {
    encode_get(
        out,
        NetlinkHeader { kind: RTM_GETLINK, flags: FLAG_REQUEST | FLAG_ACK, sequence },
        index.0,
    );
}

/// Counters are half of an answer, so the request excludes them.
fn encode_get(out: &mut Vec<u8>, header: NetlinkHeader, index: u32) {
    wire::write_message(out, header, |payload| {
        payload.bytes(&[AF_UNSPEC, 0, 0, 0]);
        payload.bytes(&index.to_ne_bytes());
        payload.bytes(&[0; 8]);
        payload.attribute_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    });
}

/// Returns the kernel's number of a way to watch carriers.
pub fn encode_carrier(carrier: MiiCarrier) -> u8 {
    match carrier {
        MiiCarrier::Ioctl => 0,
        MiiCarrier::Netif => 1,
    }
}

/// Returns the kernel's number of an ARP validation.
pub fn encode_arp_validate(validate: Option<ArpValidate>) -> u32 {
    match validate {
        None => 0,
        Some(ArpValidate::Active) => 1,
        Some(ArpValidate::Backup) => 2,
        Some(ArpValidate::All) => 3,
    }
}

/// Returns the kernel's number of a bond's mode.
pub fn encode_bond_mode(mode: BondMode) -> u8 {
    match mode {
        BondMode::BalanceRr => 0,
        BondMode::ActiveBackup => 1,
        BondMode::BalanceXor => 2,
        BondMode::Broadcast => 3,
        BondMode::Ieee8023ad => 4,
        BondMode::BalanceTlb => 5,
        BondMode::BalanceAlb => 6,
    }
}

#[cfg(test)]
mod tests;
