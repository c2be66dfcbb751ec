// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Step`]: one action on the host, small enough to be refused as a whole.
//!
//! Steps refer to links by name, since a link may not have an index yet when a plan is made. A step
//! is formatted like a command of `ip`, for tests, the log and errors.

use std::fmt;

use crate::definitions::files::FileEdit;
use crate::host::{Host, describe};
use crate::model::address::{Family, IpPrefix, MacAddr};
use crate::model::foreign::ForeignClient;
use crate::model::interface::{BondMode, BondMonitor, ForwardDelay, OperState};
use crate::model::ipv6::Ipv6Sysctls;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::address::Lifetime;
use crate::netlink::link::{Link, LinkBond, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::fdb::FdbEntry;
use crate::netlink::record::link::{LinkRecord, LinkSetting};
use crate::netlink::record::neighbour::NeighbourSettings;
use crate::netlink::record::route::RouteRecord;
use crate::snapshot::{FileRestoration, KeptFile};
use crate::xml::words;

/// One action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
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
    EditFile(FileEdit),
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
    /// Restores a definition's file, with mode and owner.
    RestoreFile(FileRestoration),
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
    StartClient(Lease),
    StopClient(Lease),
    /// Stops a client, and removes its configuration: everything of the lease's family on the link
    /// except these.
    DropLease {
        lease: Lease,
        addresses: Vec<IpPrefix>,
        routes: Vec<RouteRecord>,
    },
    /// Ends another program's DHCP client. It keeps its lease, and the link keeps its addresses.
    EndForeignClient(Box<ForeignClient>),
    /// Starts that client again with its former command line.
    StartForeignClient(Box<ForeignClient>),
    SetSysctl {
        link: IfName,
        sysctl: Sysctl,
        value: i32,
    },
    WaitFor(Condition),
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

/// Returns the IPv6 sysctls that a plan sets, with their values. IPv6 is enabled before it is
/// configured.
pub(super) fn sysctl_values(values: Ipv6Sysctls) -> [(Sysctl, Option<i32>); 3] {
    [
        (Sysctl::DISABLE_IPV6, values.disable_ipv6),
        (Sysctl::ACCEPT_RA, values.accept_ra),
        (Sysctl::AUTOCONF, values.autoconf),
    ]
}

/// A state that the kernel must report before the next step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// A link is up, has its carrier, and transmits packets; before that it drops them.
    Carries(IfName),
    /// A link is up, and its operational state matches its carrier.
    Up(IfName),
    /// A link is down.
    Down(IfName),
    /// A link is removed.
    Gone(IfName),
    /// A link has another address of a family than these, so a DHCP client has configured it.
    Leased { link: IfName, family: Family, besides: Vec<IpPrefix> },
}

impl Condition {
    /// Returns whether the condition holds.
    pub fn holds(&self, host: &Host) -> bool {
        match self {
            Self::Carries(name) => host
                .link_named(name)
                .is_some_and(|link| link.up && link.carrier && !is_said_down(link)),
            Self::Up(name) => host
                .link_named(name)
                .is_some_and(|link| link.up && !(link.carrier && is_said_down(link))),
            Self::Down(name) => host.link_named(name).is_none_or(|link| !link.up),
            Self::Gone(name) => host.link_named(name).is_none(),
            Self::Leased { link, family, besides } => host.link_named(link).is_some_and(|link| {
                host.addresses_of(link.index).iter().any(|address| {
                    address.prefix.family() == *family
                        && address.may_be_leased()
                        && !besides.contains(&address.prefix)
                })
            }),
        }
    }

    /// Returns whether the condition cannot become true any more, as its link is removed.
    pub(crate) fn is_hopeless(&self, host: &Host) -> bool {
        matches!(self, Self::Leased { link, .. } if host.link_named(link).is_none())
    }

    /// Returns the link whose operational state has yet to match its carrier, if the condition is
    /// about that.
    pub(crate) fn settling(&self) -> Option<IfName> {
        match self {
            Self::Carries(name) | Self::Up(name) => Some(*name),
            Self::Down(_) | Self::Gone(_) | Self::Leased { .. } => None,
        }
    }

    /// Returns whether a change fails if the condition does not become true. A delayed operational
    /// state is not a failure.
    pub(crate) fn is_required(&self) -> bool {
        match self {
            Self::Leased { .. } | Self::Gone(_) => true,
            Self::Carries(_) | Self::Up(_) | Self::Down(_) => false,
        }
    }
}

/// Returns whether the operational state means that nothing can be transmitted.
fn is_said_down(link: &Link) -> bool {
    matches!(link.oper_state, OperState::Down | OperState::LowerLayerDown)
}

impl Step {
    /// Returns the link that this step changes, if it changes one.
    pub(crate) fn link_name(&self) -> Option<IfName> {
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
            | Self::SetVlans { link, .. }
            | Self::SetSysctl { link, .. } => Some(*link),
            Self::RemakeLink { record, .. } | Self::RemakePair { record, .. } => {
                Some(record.link.name)
            }
            Self::AddLink(spec) => Some(spec.name),
            Self::StartClient(lease) | Self::StopClient(lease) | Self::DropLease { lease, .. } => {
                Some(lease.link)
            }
            Self::EndForeignClient(client) | Self::StartForeignClient(client) => client.only_link(),
            Self::AddApart(_)
            | Self::DeleteApart(_)
            | Self::EditFile(_)
            | Self::RestoreFile(_)
            | Self::WaitFor(_) => None,
        }
    }

    /// Returns whether the step sets an attribute that a definition cannot express. If it is
    /// refused, the change continues.
    pub(crate) fn is_courtesy(&self) -> bool {
        let is_undefined = matches!(self, Self::SetSysctl { sysctl, .. } if !sysctl.is_defined());
        is_undefined
            || matches!(
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

    /// Returns the name that this step gives to a link.
    pub(crate) fn new_name(&self) -> Option<IfName> {
        if let Self::SetLink { value: LinkValue::Name(name), .. } = self {
            Some(*name)
        } else {
            None
        }
    }

    /// Returns the link that this step makes a port of a bridge or bond.
    pub(crate) fn new_port_of(&self, master: &IfName) -> Option<IfName> {
        let Self::SetLink { link, value: LinkValue::Master(it) } = self else { return None };
        (it == master).then_some(*link)
    }

    /// Returns the file that this step restores, if it does.
    pub(crate) fn restores(&self) -> Option<&FileRestoration> {
        if let Self::RestoreFile(file) = self { Some(file) } else { None }
    }

    /// Returns the other program's DHCP client that this step starts again.
    pub(crate) fn gives_back(&self) -> Option<&ForeignClient> {
        if let Self::StartForeignClient(client) = self { Some(client) } else { None }
    }

    /// Returns the MTU that this step sets for a link.
    pub(crate) fn mtu_of(&self, name: &IfName) -> Option<u32> {
        if let Self::SetLink { link, value: LinkValue::Mtu(mtu) } = self {
            return (link == name).then_some(*mtu);
        }
        None
    }
}

impl fmt::Display for Step {
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
            Self::EditFile(edit) => match (&edit.before, &edit.after) {
                (_, None) => write!(f, "file remove {}", edit.path),
                (None, Some(_)) => write!(f, "file write {}", edit.path),
                (Some(_), Some(_)) => write!(f, "file rewrite {}", edit.path),
            },
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
            Self::RestoreFile(file) => match &file.after {
                None => write!(f, "file remove {}", file.path),
                Some(KeptFile::Unread) => write!(f, "file leave {}", file.path),
                Some(KeptFile::Link(_)) => write!(f, "file link {}, as recorded", file.path),
                Some(KeptFile::File { mode, uid, gid, .. }) => {
                    write!(f, "file write {}, as recorded (mode {mode:o}, {uid}:{gid})", file.path)
                }
            },
            Self::SetFdb { link, entry } => write!(f, "fdb add {entry} dev {link}"),
            Self::SetLink { link, value } => write!(f, "link set {link} {value}"),
            Self::SetNeighbours { link, family, settings } => {
                write!(f, "sysctl net.{}.neigh.{link}: {settings}", family.as_str())
            }
            Self::SetVlans { link, vlans } => write!(f, "vlan add {vlans} dev {link}"),
            Self::StartClient(lease) => write!(f, "dhcp start {}", ClientName(lease)),
            Self::StopClient(lease) => write!(f, "dhcp stop {}", ClientName(lease)),
            Self::DropLease { lease, .. } => write!(f, "dhcp drop {}", ClientName(lease)),
            Self::EndForeignClient(client) => write!(f, "dhcp end {client}"),
            Self::StartForeignClient(client) => write!(f, "dhcp give back {client}"),
            Self::SetSysctl { link, sysctl, value } => {
                let Sysctl { family, name } = sysctl;
                write!(f, "sysctl net.{}.conf.{link}.{name} = {value}", family.as_str())
            }
            Self::WaitFor(condition) => write!(f, "wait until {condition}"),
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

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carries(name) => write!(f, "{name} carries"),
            Self::Up(name) => write!(f, "{name} is up"),
            Self::Down(name) => write!(f, "{name} is down"),
            Self::Gone(name) => write!(f, "{name} is gone"),
            Self::Leased { link, family, .. } => {
                write!(f, "{link} has a lease for {}", family.as_str())
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

/// Formats a DHCP client with its link and family.
struct ClientName<'a>(&'a Lease);

impl fmt::Display for ClientName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.0.family.as_str(), self.0.link)?;
        if let Some(wanted) = self.0.wanted {
            write!(f, " for {wanted}")?;
        }
        if self.0.name_servers == NameServers::Left {
            f.write_str(" without name servers")?;
        }
        self.0.like.map_or(Ok(()), |like| write!(f, " like that of {like}"))
    }
}

#[cfg(test)]
mod tests;
