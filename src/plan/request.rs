// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`KernelRequest`]: a step that is one netlink request, encoded with the indexes of its links
//! from the table.

use std::fmt;

use crate::host::{Host, describe};
use crate::model::address::{Family, MacAddr};
use crate::model::interface::{BondMode, BondMonitor, ForwardDelay};
use crate::model::name::IfName;
use crate::netlink::address::Lifetime;
use crate::netlink::change::{self, NewKind, NewLink, Setting};
use crate::netlink::link::{LinkBond, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::netlink::record::bridge_vlan::{BridgeVlans, Side};
use crate::netlink::record::fdb::FdbEntry;
use crate::netlink::record::link::{LinkRecord, LinkSetting};
use crate::netlink::record::neighbour::{NeighbourSettings, ToldNeighbours};
use crate::netlink::record::route::RouteRecord;
use crate::xml::words;

/// One request to the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KernelRequest {
    AddAddress {
        link: IfName,
        record: AddressRecord,
    },
    /// A rule, a next hop, or a route that does not lead through exactly one link.
    AddApart(Apart),
    AddLink(LinkSpec),
    AddRoute {
        link: IfName,
        record: RouteRecord,
    },
    /// Changes the lifetime of an existing address.
    ChangeAddress {
        link: IfName,
        record: AddressRecord,
    },
    DeleteAddress {
        link: IfName,
        record: AddressRecord,
    },
    DeleteApart(Apart),
    /// An entry of a forwarding table, at this port or of this link itself.
    DeleteFdb {
        link: IfName,
        entry: FdbEntry,
    },
    DeleteLink(IfName),
    DeleteRoute {
        link: IfName,
        record: RouteRecord,
    },
    /// Removes VLANs from this port of a bridge, or from the bridge itself.
    DeleteVlans {
        link: IfName,
        vlans: BridgeVlans,
    },
    /// Replaces a route by the same route through a nexthop object.
    LeadOver {
        link: IfName,
        record: RouteRecord,
    },
    /// Creates a link again, with its former attributes.
    RemakeLink {
        record: Box<LinkRecord>,
        parent: Option<IfName>,
    },
    /// Creates both ends of a veth again, with their former attributes.
    RemakePair {
        record: Box<LinkRecord>,
        peer: Box<LinkRecord>,
    },
    /// Restores an attribute of a link that no other step sets.
    ResetLink {
        link: IfName,
        setting: Box<LinkSetting>,
    },
    SetFdb {
        link: IfName,
        entry: FdbEntry,
    },
    SetLink {
        link: IfName,
        value: LinkValue,
    },
    /// The neighbour settings of a link.
    SetNeighbours {
        link: IfName,
        family: Family,
        settings: Box<NeighbourSettings>,
    },
    /// Adds VLANs to this port of a bridge, or to the bridge itself.
    SetVlans {
        link: IfName,
        vlans: BridgeVlans,
    },
}

/// A link to be created.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkSpec {
    pub name: IfName,
    pub mac: Option<MacAddr>,
    pub kind: SpecKind,
}

/// The kind of a link to be created.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SpecKind {
    Bond { mode: Option<BondMode>, monitor: Option<BondMonitor> },
    Bridge { stp: Option<bool>, delay: Option<ForwardDelay> },
    Vlan { tag: u16, parent: IfName },
}

/// An attribute of a link, with its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkValue {
    Up,
    Down,
    /// Bytes.
    Mtu(u32),
    Mac(MacAddr),
    Name(IfName),
    Master(IfName),
    NoMaster,
    Stp(bool),
    Delay(ForwardDelay),
    Monitor(BondMonitor),
    /// The former monitoring settings of a bond, including those that the schema lacks.
    MonitorAgain(Box<LinkBond>),
    /// The member that a bond prefers.
    Primary(IfName),
    NoPrimary,
}

impl KernelRequest {
    /// Returns the link that this request changes, if it changes one.
    pub(super) fn link_name(&self) -> Option<IfName> {
        match self {
            Self::AddAddress { link, .. }
            | Self::AddRoute { link, .. }
            | Self::ChangeAddress { link, .. }
            | Self::DeleteAddress { link, .. }
            | Self::DeleteFdb { link, .. }
            | Self::DeleteLink(link)
            | Self::DeleteRoute { link, .. }
            | Self::DeleteVlans { link, .. }
            | Self::LeadOver { link, .. }
            | Self::ResetLink { link, .. }
            | Self::SetFdb { link, .. }
            | Self::SetLink { link, .. }
            | Self::SetNeighbours { link, .. }
            | Self::SetVlans { link, .. } => Some(*link),
            Self::RemakeLink { record, .. } | Self::RemakePair { record, .. } => {
                Some(record.link.name)
            }
            Self::AddLink(spec) => Some(spec.name),
            Self::AddApart(_) | Self::DeleteApart(_) => None,
        }
    }

    /// Returns whether the request sets an attribute that a definition cannot express.
    pub(super) fn is_courtesy(&self) -> bool {
        matches!(
            self,
            Self::AddApart(_)
                | Self::DeleteFdb { .. }
                | Self::SetFdb { .. }
                | Self::DeleteVlans { .. }
                | Self::LeadOver { .. }
                | Self::ResetLink { .. }
                | Self::SetNeighbours { .. }
                | Self::SetVlans { .. }
        )
    }

    /// Returns whether this request creates a link.
    pub(super) fn makes_link(&self) -> bool {
        matches!(self, Self::AddLink(_) | Self::RemakeLink { .. })
    }

    /// Returns whether this request changes which link has a name.
    pub(crate) fn changes_names(&self) -> bool {
        matches!(
            self,
            Self::AddLink(_)
                | Self::DeleteLink(_)
                | Self::RemakeLink { .. }
                | Self::RemakePair { .. }
                | Self::SetLink { value: LinkValue::Name(_), .. }
        )
    }

    /// Returns the name that this request gives to a link.
    pub(crate) fn new_name(&self) -> Option<IfName> {
        if let Self::SetLink { value: LinkValue::Name(name), .. } = self {
            Some(*name)
        } else {
            None
        }
    }

    /// Returns the link that this request makes a port of a bridge or bond.
    pub(super) fn new_port_of(&self, master: &IfName) -> Option<IfName> {
        let Self::SetLink { link, value: LinkValue::Master(it) } = self else { return None };
        (it == master).then_some(*link)
    }

    /// Returns the MTU that this request sets for a link.
    pub(super) fn mtu_of(&self, name: &IfName) -> Option<u32> {
        if let Self::SetLink { link, value: LinkValue::Mtu(mtu) } = self {
            return (link == name).then_some(*mtu);
        }
        None
    }

    /// Appends the request as a netlink message.
    ///
    /// # Errors
    /// The name of a link that does not exist.
    pub fn encode(&self, out: &mut Vec<u8>, sequence: u32, host: &Host) -> Result<(), IfName> {
        let index = |name: &IfName| host.link_named(name).map(|link| link.index).ok_or(*name);
        match self {
            Self::AddAddress { link, record } => record.encode_add(out, sequence, index(link)?),
            Self::AddApart(apart) => apart.encode_add(out, sequence, &index)?,
            Self::RemakeLink { record, parent } => {
                let parent = parent.as_ref().map(index).transpose()?;
                record.encode_add(out, sequence, parent);
            }
            Self::RemakePair { record, peer } => record.encode_add_pair(out, sequence, peer),
            Self::AddLink(spec) => {
                let kind = new_kind(spec, index)?;
                change::encode_add(
                    out,
                    sequence,
                    &NewLink { name: &spec.name, mac: spec.mac, kind },
                );
            }
            Self::AddRoute { link, record } => record.encode_add(out, sequence, index(link)?),
            Self::ChangeAddress { link, record } => {
                record.encode_change(out, sequence, index(link)?);
            }
            Self::DeleteAddress { link, record } => {
                record.encode_delete(out, sequence, index(link)?);
            }
            Self::DeleteApart(apart) => apart.encode_delete(out, sequence, &index)?,
            Self::DeleteFdb { link, entry } => {
                entry.encode_delete(out, sequence, index(link)?, is_bridge(link, host));
            }
            Self::DeleteLink(name) => change::encode_delete(out, sequence, index(name)?),
            Self::DeleteRoute { link, record } => record.encode_delete(out, sequence, index(link)?),
            Self::DeleteVlans { link, vlans } => {
                vlans.encode_delete(out, sequence, index(link)?, side_of(link, host));
            }
            Self::LeadOver { link, record } => {
                record.encode_replace(out, sequence, index(link)?);
            }
            Self::ResetLink { link, setting } => {
                setting.encode(out, sequence, index(link)?);
            }
            Self::SetFdb { link, entry } => {
                entry.encode_set(out, sequence, index(link)?, is_bridge(link, host));
            }
            Self::SetLink { link, value } => {
                let link = index(link)?;
                change::encode_set(out, sequence, link, setting(value, index)?);
            }
            Self::SetNeighbours { link, family, settings } => {
                let (family, settings) = (*family, **settings);
                let told = ToldNeighbours { family, link: Some(index(link)?), settings };
                told.encode_set(out, sequence);
            }
            Self::SetVlans { link, vlans } => {
                vlans.encode_set(out, sequence, index(link)?, side_of(link, host));
            }
        }
        Ok(())
    }
}

impl fmt::Display for KernelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddAddress { link, record } => write!(f, "addr add {record} dev {link}"),
            Self::AddApart(apart) => write!(f, "{} add {apart}", apart_word(apart)),
            Self::AddLink(spec) => write!(f, "link add {spec}"),
            Self::AddRoute { link, record } => write!(f, "route add {record} dev {link}"),
            Self::ChangeAddress { link, record } => {
                let lifetime = match record.address.lifetime {
                    Lifetime::Permanent => "forever",
                    Lifetime::Finite => "as before",
                };
                write!(f, "addr change {record} dev {link} valid_lft {lifetime}")
            }
            Self::DeleteAddress { link, record } => write!(f, "addr del {record} dev {link}"),
            Self::DeleteApart(apart) => write!(f, "{} del {apart}", apart_word(apart)),
            Self::DeleteFdb { link, entry } => write!(f, "fdb del {entry} dev {link}"),
            Self::DeleteLink(name) => write!(f, "link del {name}"),
            Self::DeleteRoute { link, record } => write!(f, "route del {record} dev {link}"),
            Self::DeleteVlans { link, vlans } => write!(f, "vlan del {vlans} dev {link}"),
            Self::LeadOver { link, record } => {
                let object = record.object().unwrap_or_default();
                write!(f, "route replace {record} nhid {object} dev {link}")
            }
            Self::RemakeLink { record, parent } => {
                write!(f, "link add {}", record.link.name)?;
                if let Some(parent) = parent {
                    write!(f, " link {parent}")?;
                }
                if let Some(kind) = record.kind_name() {
                    write!(f, " type {kind}")?;
                }
                if let LinkKind::Vlan { tag } = record.link.kind {
                    write!(f, " id {tag}")?;
                }
                f.write_str(", as recorded")
            }
            Self::RemakePair { record, peer } => {
                let (link, peer) = (record.link.name, peer.link.name);
                write!(f, "link add {link} type veth peer name {peer}, as recorded")
            }
            Self::ResetLink { link, setting } => write!(f, "link set {link} {setting}"),
            Self::SetFdb { link, entry } => write!(f, "fdb add {entry} dev {link}"),
            Self::SetLink { link, value } => write!(f, "link set {link} {value}"),
            Self::SetNeighbours { link, family, settings } => {
                write!(f, "sysctl net.{}.neigh.{link}: {settings}", family.as_str())
            }
            Self::SetVlans { link, vlans } => write!(f, "vlan add {vlans} dev {link}"),
        }
    }
}

/// Returns the object name in commands of `ip`.
fn apart_word(apart: &Apart) -> &'static str {
    match apart {
        Apart::Rule(_) => "rule",
        Apart::Nexthop(_) => "nexthop",
        Apart::Route(_) => "route",
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(mac) = &self.mac {
            write!(f, " address {mac}")?;
        }
        match &self.kind {
            SpecKind::Bond { mode, monitor } => {
                f.write_str(" type bond")?;
                if let Some(mode) = mode {
                    write!(f, " mode {}", words::bond_mode(*mode))?;
                }
                match monitor {
                    Some(monitor) => write!(f, " {}", Monitor(monitor)),
                    None => Ok(()),
                }
            }
            SpecKind::Bridge { stp, delay } => {
                f.write_str(" type bridge")?;
                if let Some(stp) = stp {
                    write!(f, " stp {}", words::on_off(*stp))?;
                }
                match delay {
                    Some(delay) => write!(f, " delay {delay}"),
                    None => Ok(()),
                }
            }
            SpecKind::Vlan { tag, parent } => write!(f, " link {parent} type vlan id {tag}"),
        }
    }
}

impl fmt::Display for LinkValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Down => f.write_str("down"),
            Self::Mtu(mtu) => write!(f, "mtu {mtu}"),
            Self::Mac(mac) => write!(f, "address {mac}"),
            Self::Name(name) => write!(f, "name {name}"),
            Self::Master(master) => write!(f, "master {master}"),
            Self::NoMaster => f.write_str("nomaster"),
            Self::Stp(stp) => write!(f, "stp {}", words::on_off(*stp)),
            Self::Delay(delay) => write!(f, "delay {delay}"),
            Self::Monitor(monitor) => Monitor(monitor).fmt(f),
            Self::Primary(member) => write!(f, "type bond primary {member}"),
            Self::NoPrimary => f.write_str("type bond no primary"),
            Self::MonitorAgain(bond) => {
                match describe::monitor(bond) {
                    Some(monitor) => Monitor(&monitor).fmt(f)?,
                    None => f.write_str("miimon 0 arp_interval 0")?,
                }
                let others = bond.arp_targets.iter().skip(1);
                others.into_iter().try_for_each(|target| write!(f, " +arp_ip_target {target}"))
            }
        }
    }
}

/// Formats a bond's monitor as `ip` does.
struct Monitor<'a>(&'a BondMonitor);

impl fmt::Display for Monitor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            BondMonitor::Mii { freq, downdelay, updelay, carrier } => {
                write!(f, "miimon {freq} downdelay {downdelay} updelay {updelay}")?;
                match carrier {
                    Some(carrier) => write!(f, " carrier {}", words::mii_carrier(*carrier)),
                    None => Ok(()),
                }
            }
            BondMonitor::Arp { interval, target, validate } => {
                write!(f, "arp_interval {interval} arp_ip_target {target}")?;
                match validate {
                    Some(validate) => write!(f, " arp_validate {}", words::arp_validate(*validate)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Returns whose VLANs a link has: a bridge has its own, as it cannot be a port of another bridge.
fn side_of(name: &IfName, host: &Host) -> Side {
    if is_bridge(name, host) { Side::Bridge } else { Side::Port }
}

fn is_bridge(name: &IfName, host: &Host) -> bool {
    host.link_named(name).is_some_and(|link| matches!(link.kind, LinkKind::Bridge(_)))
}

fn new_kind(
    spec: &LinkSpec,
    index: impl Fn(&IfName) -> Result<LinkIndex, IfName>,
) -> Result<NewKind<'_>, IfName> {
    Ok(match &spec.kind {
        SpecKind::Bond { mode, monitor } => {
            NewKind::Bond { mode: *mode, monitor: monitor.as_ref() }
        }
        SpecKind::Bridge { stp, delay } => NewKind::Bridge { stp: *stp, delay: *delay },
        SpecKind::Vlan { tag, parent } => NewKind::Vlan { tag: *tag, parent: index(parent)? },
    })
}

fn setting(
    value: &LinkValue,
    index: impl Fn(&IfName) -> Result<LinkIndex, IfName>,
) -> Result<Setting<'_>, IfName> {
    Ok(match value {
        LinkValue::Up => Setting::Up,
        LinkValue::Down => Setting::Down,
        LinkValue::Mtu(mtu) => Setting::Mtu(*mtu),
        LinkValue::Mac(mac) => Setting::Mac(*mac),
        LinkValue::Name(name) => Setting::Name(name),
        LinkValue::Master(master) => Setting::Master(Some(index(master)?)),
        LinkValue::NoMaster => Setting::Master(None),
        LinkValue::Stp(stp) => Setting::Stp(*stp),
        LinkValue::Delay(delay) => Setting::ForwardDelay(*delay),
        LinkValue::Monitor(monitor) => Setting::Monitor(monitor),
        LinkValue::MonitorAgain(bond) => Setting::MonitorAgain(bond),
        LinkValue::Primary(member) => Setting::Primary(Some(index(member)?)),
        LinkValue::NoPrimary => Setting::Primary(None),
    })
}
