// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`LinkMemory`]: attributes of removed links, remembered until the next boot.
//!
//! A definition can express only a few attributes of a link. When a link is created again under its
//! name, it gets the other attributes from here ([`RemovedLink`]). The memory is stored in a file
//! that outlives the daemon ([`crate::host::boot_file`]), as netlink messages where it came from
//! the kernel.

use std::collections::BTreeSet;

use crate::host::Host;
use crate::host::boot_file::{self, BootFileError};
use crate::limits::{KEPT_COUNT_MAX, LINK_MEMORY_LEN_MAX, LINK_NAME_LEN_MAX, REMOVED_LINKS_MAX};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::neighbour::ToldNeighbours;
use crate::netlink::wire::messages;
use crate::xdr::reader::Reader;
use crate::xdr::writer::Writer;

/// The MTU of a bridge or bond that has just been created.
pub const MTU_AT_FIRST: u32 = 1500;

/// The state that changes of this boot keep for later ones.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LinkMemory {
    /// Links that were removed.
    pub removed: SortedMap<IfName, RemovedLink>,
    /// VLANs and bonds that existed before the bridges whose ports they are.
    pub found: BTreeSet<LinkIndex>,
}

/// One link that was removed, or released from its master.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RemovedLink {
    /// Without the hardware address of a VLAN that has the same as its parent, and follows it.
    pub record: LinkRecord,
    /// The link that this one was on.
    pub parent: Option<IfName>,
    pub master: Option<IfName>,
    /// By name.
    pub ports: Vec<IfName>,
    /// The member that a bond prefers.
    pub primary: Option<IfName>,
    /// The MTU, if it differs from that of a newly created link.
    pub mtu: Option<u32>,
    /// The VLANs of the bridge, or of the bridge's port.
    pub vlans: Option<BridgeVlans>,
}

impl RemovedLink {
    /// Returns the link of this record in its current state.
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

impl LinkMemory {
    /// Encodes the file, for this boot. Entries that would exceed the size limit are omitted.
    pub fn encode(&self, boot: &str) -> Vec<u8> {
        boot_file::encode(boot, |out| {
            out.count(self.found.len());
            self.found.iter().for_each(|link| out.u32(link.0));
            let mut links: Vec<_> = self.removed.values().map(RemovedLink::encoded).collect();
            let mut room = usize::try_from(LINK_MEMORY_LEN_MAX).unwrap_or(usize::MAX);
            links.retain(|link| {
                let rest = room.checked_sub(link.len());
                room = rest.unwrap_or(room);
                rest.is_some()
            });
            out.count(links.len());
            links.iter().for_each(|link| out.opaque(link));
        })
    }

    /// Decodes such a file.
    ///
    /// # Errors
    /// It belongs to another boot, or is invalid.
    pub fn decode(bytes: &[u8], boot: &str) -> Result<Self, BootFileError> {
        let mut input = boot_file::decode(boot, bytes)?;
        let mut memory = Self::default();
        for _ in 0..input.count("found", KEPT_COUNT_MAX)? {
            memory.found.insert(LinkIndex(input.u32("found")?));
        }
        for _ in 0..input.count("removed", REMOVED_LINKS_MAX)? {
            let link = input.opaque("removed", bytes.len())?;
            let link = RemovedLink::decode(&mut Reader::new(link))?;
            memory.removed.insert(link.record.link.name, link);
        }
        Ok(memory)
    }
}

impl RemovedLink {
    fn encoded(&self) -> Vec<u8> {
        let Self { record, parent, master, ports, primary, mtu, vlans } = self;
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        out.opaque_by(|told| record.encode(told));
        out.flag(record.link.mac.is_none());
        for name in [parent, master, primary] {
            out.optional_string(name.as_ref().map(IfName::as_str));
        }
        out.count(ports.len());
        ports.iter().for_each(|port| out.string(port.as_str()));
        out.flag(mtu.is_some());
        out.u32(mtu.unwrap_or_default());
        out.opaque_by(|told| {
            vlans.iter().for_each(|vlans| vlans.encode(told, record.link.index));
        });
        bytes
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, BootFileError> {
        let mut told = input.opaque("record", usize::MAX).map(messages)?;
        let message = told.next().ok_or(BootFileError::Content)??;
        let mut record = LinkRecord::decode(&message)?.ok_or(BootFileError::Content)?;
        for message in told {
            if let Some(told) = ToldNeighbours::decode(&message?)? {
                record.neighbours.set(told.family, told.settings);
            }
        }
        if input.flag("mac")? {
            record.link.mac = None;
        }
        let mut name = || {
            let is_there = input.flag("name")?;
            is_there.then(|| decode_name(input)).transpose()
        };
        let (parent, master, primary) = (name()?, name()?, name()?);
        let mut ports = Vec::new();
        for _ in 0..input.count("ports", KEPT_COUNT_MAX)? {
            ports.push(decode_name(input)?);
        }
        let has_mtu = input.flag("mtu")?;
        let mtu = Some(input.u32("mtu")?).filter(|_| has_mtu);
        let vlans = match input.opaque("vlans", usize::MAX).map(messages)?.next() {
            Some(message) => BridgeVlans::decode(&message?)?.map(|(_, vlans)| vlans),
            None => None,
        };
        Ok(Self { record, parent, master, ports, primary, mtu, vlans })
    }
}

fn decode_name(input: &mut Reader<'_>) -> Result<IfName, BootFileError> {
    let name = input.string("name", LINK_NAME_LEN_MAX)?;
    IfName::new(name.as_ref()).map_err(|_| BootFileError::Content)
}
