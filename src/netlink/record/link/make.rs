// SPDX-License-Identifier: LGPL-2.1-or-later
//! The request that makes a link again ([`LinkRecord::encode_add`]).

use crate::netlink::change::{self, LINK_REQUEST};
use crate::netlink::link::{
    IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINKINFO, LinkIndex,
    LinkKind,
};
use crate::netlink::record::link::kinds::{
    BRIDGE_STP, BRIDGE_VLANS, IFLA_VLAN_FLAGS, RestorableKind,
};
use crate::netlink::record::link::{IFLA_NUM_RX_QUEUES, IFLA_NUM_TX_QUEUES, LinkRecord, vlan};
use crate::netlink::wire::{self, Attribute, NetlinkHeader, PayloadWriter};

/// The mode in which a macvlan with a list of senders gets that list: the whole list at once
/// (`IFLA_MACVLAN_MACADDR_MODE`, `MACVLAN_MACADDR_SET`, `IFLA_MACVLAN_MACADDR_DATA`).
const MACVLAN_MACADDR_MODE: u16 = 3;
const MACVLAN_MACADDR_SET: u32 = 3;
const MACVLAN_MACADDR_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;

impl LinkRecord {
    /// Appends the request that makes such a link again, over `parent` if it is over one. It is
    /// down at first, and not a port. The request has no kind for a link that cannot be made
    /// ([`LinkRecord::can_be_made`]), and the kernel refuses it.
    pub(crate) fn encode_add(&self, out: &mut Vec<u8>, sequence: u32, parent: Option<LinkIndex>) {
        wire::write_message(out, NetlinkHeader { sequence, ..LINK_REQUEST }, |payload| {
            self.write_link(payload);
            if let Some(parent) = parent {
                payload.attribute_u32(IFLA_LINK, parent.0);
            }
            let Some(kind) = self.kind() else { return };
            payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_KIND, kind.name);
                info.nested(IFLA_INFO_DATA, |data| self.write_data(data, kind, parent));
            });
        });
    }

    /// Appends the request that makes such a veth again, with its other end.
    pub(crate) fn encode_add_pair(&self, out: &mut Vec<u8>, sequence: u32, peer: &Self) {
        wire::write_message(out, NetlinkHeader { sequence, ..LINK_REQUEST }, |payload| {
            self.write_link(payload);
            payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_KIND, "veth");
                info.nested(IFLA_INFO_DATA, |data| {
                    data.nested(VETH_INFO_PEER, |other| peer.write_link(other));
                });
            });
        });
    }

    /// `struct ifinfomsg`, and the attributes with which any link is made.
    fn write_link(&self, payload: &mut PayloadWriter<'_>) {
        payload.bytes(&[0; 16]);
        payload.attribute_text(IFLA_IFNAME, self.link.name.as_str());
        if let Some(mac) = &self.link.mac {
            payload.attribute(IFLA_ADDRESS, mac.as_bytes());
        }
        for queues in [IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES] {
            let kept = self.attributes().filter(|attribute| attribute.kind == queues);
            kept.for_each(|attribute| payload.attribute(queues, attribute.payload));
        }
    }

    fn write_data(
        &self,
        data: &mut PayloadWriter<'_>,
        kind: &RestorableKind,
        parent: Option<LinkIndex>,
    ) {
        match &self.link.kind {
            LinkKind::Bond(bond) => change::write_bond_again(data, bond),
            // The rest can be set one by one, as some kernels do not know all of it.
            LinkKind::Bridge(_) => {
                let has_vlans = self.default_vlan().is_some();
                let is_said = |kind: u16| {
                    BRIDGE_STP.contains(&kind) || has_vlans && BRIDGE_VLANS.contains(&kind)
                };
                for it in self.info(IFLA_INFO_DATA).filter(|it| is_said(it.kind)) {
                    data.attribute(it.kind, it.payload);
                }
            }
            LinkKind::Vlan { .. } => {
                let (flags, others): (Vec<_>, Vec<_>) =
                    self.info(IFLA_INFO_DATA).partition(|it| it.kind == IFLA_VLAN_FLAGS);
                others.iter().for_each(|it| data.attribute(it.kind, it.payload));
                // The kernel omits them if all are off.
                let flags = flags.first().map(|it| it.payload).unwrap_or_default();
                data.attribute(IFLA_VLAN_FLAGS, &vlan::flags_of_new(flags));
            }
            LinkKind::Nic | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => {
                self.info(IFLA_INFO_DATA).for_each(|it| write_as_input(data, kind, &it, parent));
            }
        }
    }
}

/// Writes the attributes that the kernel reports of a link in the form that it accepts.
fn write_as_input(
    data: &mut PayloadWriter<'_>,
    kind: &RestorableKind,
    told: &Attribute<'_>,
    parent: Option<LinkIndex>,
) {
    let is_zero = told.payload.iter().all(|byte| *byte == 0);
    if kind.below == Some(told.kind) {
        if let Some(parent) = parent {
            data.attribute_u32(told.kind, parent.0);
        }
    } else if kind.flags.contains(&told.kind) {
        if !is_zero {
            data.attribute(told.kind, &[]);
        }
    } else if !(is_zero && kind.unless_zero.contains(&told.kind)) {
        if kind.name == "macvlan" && told.kind == MACVLAN_MACADDR_DATA {
            data.attribute_u32(MACVLAN_MACADDR_MODE, MACVLAN_MACADDR_SET);
        }
        data.attribute(told.kind, told.payload);
    }
}
