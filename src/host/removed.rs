// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`RemovedLink`]: a link that was taken down with its interface, as the kernel told of it.
//!
//! A definition has words for a few attributes of a link. A link that is made again under its name has
//! the others from here.

use crate::host::Host;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::link::LinkRecord;

/// The MTU of a bridge or bond that has just been made.
pub const MTU_AT_FIRST: u32 = 1500;

/// One link that is gone, or is no port any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RemovedLink {
    /// Without the hardware address of a VLAN that has its parent's, and follows it.
    pub record: LinkRecord,
    /// What it was over.
    pub parent: Option<IfName>,
    pub master: Option<IfName>,
    /// By name.
    pub ports: Vec<IfName>,
    /// The member that a bond prefers.
    pub primary: Option<IfName>,
    /// What it carries, where one that is made anew would carry something else.
    pub mtu: Option<u32>,
    /// The VLANs that the bridge lets through which it is, or is a port of.
    pub vlans: Option<BridgeVlans>,
}

impl RemovedLink {
    /// The link of this record as it is now.
    pub fn new(record: &LinkRecord, vlans: Option<BridgeVlans>, host: &Host) -> Self {
        let mut record = record.clone();
        let name_of = |index: LinkIndex| host.link(index).map(|link| link.name);
        let link = &record.link;
        let is_vlan = matches!(link.kind, LinkKind::Vlan { .. });
        let parent = link.parent.and_then(|parent| host.link(parent));
        let ports = host.ports_of(link.index);
        let follows = match link.kind {
            LinkKind::Bridge(_) => ports.iter().map(|port| port.mtu).min().unwrap_or(MTU_AT_FIRST),
            LinkKind::Vlan { .. } => parent.map_or(MTU_AT_FIRST, |parent| parent.mtu),
            LinkKind::Bond(_)
            | LinkKind::Nic
            | LinkKind::Tun
            | LinkKind::Veth
            | LinkKind::Other => MTU_AT_FIRST,
        };
        let (mtu, master) = (Some(link.mtu).filter(|mtu| *mtu != follows), link.master);
        if is_vlan && parent.is_some_and(|parent| parent.mac == record.link.mac) {
            record.link.mac = None;
        }
        Self {
            parent: parent.filter(|_| is_vlan).map(|parent| parent.name),
            master: master.and_then(name_of),
            ports: ports.into_iter().map(|port: &Link| port.name).collect(),
            primary: record.primary().and_then(name_of),
            record,
            mtu,
            vlans,
        }
    }
}
