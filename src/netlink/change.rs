// SPDX-License-Identifier: LGPL-2.1-or-later
//! Requests that change links (`linux/rtnetlink.h`, `linux/if_link.h`): add, delete, set.
//!
//! Knows links by the kernel's numbers. It knows neither whether a request is sensible nor what
//! would undo it.

use crate::model::address::MacAddr;
use crate::model::interface::{BondMode, BondMonitor, ForwardDelay};
use crate::model::name::IfName;
use crate::netlink::link::{
    AF_UNSPEC, IFF_UP, IFLA_ADDRESS, IFLA_BOND_ARP_INTERVAL, IFLA_BOND_ARP_IP_TARGET,
    IFLA_BOND_ARP_VALIDATE, IFLA_BOND_DOWNDELAY, IFLA_BOND_MIIMON, IFLA_BOND_MODE,
    IFLA_BOND_PRIMARY, IFLA_BOND_UPDELAY, IFLA_BOND_USE_CARRIER, IFLA_BR_FORWARD_DELAY,
    IFLA_BR_STP_STATE, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINKINFO,
    IFLA_MASTER, IFLA_MTU, IFLA_VLAN_ID, LinkBond, LinkIndex, RTM_DELLINK, RTM_NEWLINK,
    encode_arp_validate, encode_bond_mode, encode_carrier,
};
use crate::netlink::wire::{self, NetlinkHeader, PayloadWriter};

/// A link to create.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    pub name: &'a IfName,
    /// Without one the kernel chooses it.
    pub mac: Option<MacAddr>,
    pub kind: NewKind<'a>,
}

/// The kind of a link to create.
#[derive(Clone, Copy, Debug)]
pub enum NewKind<'a> {
    Bond { mode: Option<BondMode>, monitor: Option<&'a BondMonitor> },
    Bridge { stp: Option<bool>, delay: Option<ForwardDelay> },
    Vlan { tag: u16, parent: LinkIndex },
}

/// A property of an existing link that can be set.
#[derive(Clone, Copy, Debug)]
pub enum Setting<'a> {
    Up,
    Down,
    /// Bytes.
    Mtu(u32),
    Mac(MacAddr),
    Name(&'a IfName),
    /// Of the bridge or bond that it becomes a port of; `None` releases it.
    Master(Option<LinkIndex>),
    /// Of a bridge.
    Stp(bool),
    /// Of a bridge.
    ForwardDelay(ForwardDelay),
    /// Of a bond.
    Monitor(&'a BondMonitor),
    /// Of a bond: the mode it had before, or none.
    MonitorAgain(&'a LinkBond),
    /// Of a bond: its primary member.
    Primary(Option<LinkIndex>),
}

/// The header of a request to create a link.
pub(super) const LINK_REQUEST: NetlinkHeader = NetlinkHeader {
    kind: RTM_NEWLINK,
    flags: wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE | wire::FLAG_EXCLUSIVE,
    sequence: 0,
};

/// Appends the request to create a link, which is down at first.
pub(crate) fn encode_add(out: &mut Vec<u8>, sequence: u32, link: &NewLink<'_>) {
    wire::write_message(out, NetlinkHeader { sequence, ..LINK_REQUEST }, |payload| {
        write_header(payload, 0, Flags::Unchanged);
        payload.attribute_text(IFLA_IFNAME, link.name.as_str());
        if let Some(mac) = link.mac {
            payload.attribute(IFLA_ADDRESS, mac.as_bytes());
        }
        if let NewKind::Vlan { parent, .. } = link.kind {
            payload.attribute_u32(IFLA_LINK, parent.0);
        }
        match link.kind {
            NewKind::Bond { mode, monitor } => write_info(payload, "bond", |data| {
                if let Some(mode) = mode {
                    data.attribute(IFLA_BOND_MODE, &[encode_bond_mode(mode)]);
                }
                if let Some(monitor) = monitor {
                    write_monitor(data, monitor);
                }
            }),
            NewKind::Bridge { stp, delay } => write_info(payload, "bridge", |data| {
                // The delay comes first, as the kernel limits it once STP is on.
                if let Some(ForwardDelay(delay)) = delay {
                    data.attribute_u32(IFLA_BR_FORWARD_DELAY, delay);
                }
                if let Some(stp) = stp {
                    data.attribute_u32(IFLA_BR_STP_STATE, u32::from(stp));
                }
            }),
            NewKind::Vlan { tag, .. } => write_info(payload, "vlan", |data| {
                data.attribute(IFLA_VLAN_ID, &tag.to_ne_bytes());
            }),
        }
    });
}

/// Appends the request to delete a link.
pub(crate) fn encode_delete(out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
    wire::write_message(out, NetlinkHeader { kind: RTM_DELLINK, flags, sequence }, |payload| {
        write_header(payload, link.0, Flags::Unchanged);
    });
}

/// Appends the request to set one property of a link.
pub(crate) fn encode_set(out: &mut Vec<u8>, sequence: u32, link: LinkIndex, setting: Setting<'_>) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
    let up = match setting {
        Setting::Up => Flags::Up,
        Setting::Down => Flags::Down,
        Setting::Mtu(_)
        | Setting::Mac(_)
        | Setting::Name(_)
        | Setting::Master(_)
        | Setting::Stp(_)
        | Setting::ForwardDelay(_)
        | Setting::Monitor(_)
        | Setting::MonitorAgain(_)
        | Setting::Primary(_) => Flags::Unchanged,
    };
    wire::write_message(out, NetlinkHeader { kind: RTM_NEWLINK, flags, sequence }, |payload| {
        write_header(payload, link.0, up);
        match setting {
            Setting::Up | Setting::Down => {}
            Setting::Mtu(mtu) => payload.attribute_u32(IFLA_MTU, mtu),
            Setting::Mac(mac) => payload.attribute(IFLA_ADDRESS, mac.as_bytes()),
            Setting::Name(name) => payload.attribute_text(IFLA_IFNAME, name.as_str()),
            Setting::Master(master) => {
                payload.attribute_u32(IFLA_MASTER, master.map_or(0, |master| master.0));
            }
            Setting::Stp(stp) => write_info(payload, "bridge", |data| {
                data.attribute_u32(IFLA_BR_STP_STATE, u32::from(stp));
            }),
            Setting::ForwardDelay(delay) => write_info(payload, "bridge", |data| {
                data.attribute_u32(IFLA_BR_FORWARD_DELAY, delay.0);
            }),
            Setting::Monitor(monitor) => {
                write_info(payload, "bond", |data| write_monitor(data, monitor));
            }
            Setting::MonitorAgain(bond) => {
                write_info(payload, "bond", |data| write_monitor_again(data, bond));
            }
            Setting::Primary(member) => write_info(payload, "bond", |data| {
                let number = member.map_or(0, |member| member.0);
                data.attribute_u32(IFLA_BOND_PRIMARY, number);
            }),
        }
    });
}

/// The flags of a link in a request.
#[derive(Clone, Copy)]
enum Flags {
    Up,
    Down,
    Unchanged,
}

/// `struct ifinfomsg`.
fn write_header(payload: &mut PayloadWriter<'_>, index: u32, flags: Flags) {
    let (value, mask) = match flags {
        Flags::Up => (IFF_UP, IFF_UP),
        Flags::Down => (0, IFF_UP),
        Flags::Unchanged => (0, 0),
    };
    payload.bytes(&[AF_UNSPEC, 0, 0, 0]);
    for word in [index, value, mask] {
        payload.bytes(&word.to_ne_bytes());
    }
}

fn write_info(
    payload: &mut PayloadWriter<'_>,
    kind: &str,
    fill: impl FnOnce(&mut PayloadWriter<'_>),
) {
    payload.nested(IFLA_LINKINFO, |info| {
        info.attribute_text(IFLA_INFO_KIND, kind);
        info.nested(IFLA_INFO_DATA, fill);
    });
}

/// One kind of monitoring switches the other off. The kernel refuses delays without an interval,
/// and every attribute of the kind that is off, so only those of the wanted kind are sent.
fn write_monitor(data: &mut PayloadWriter<'_>, monitor: &BondMonitor) {
    match monitor {
        BondMonitor::Mii { freq, downdelay, updelay, carrier } => {
            data.attribute_u32(IFLA_BOND_MIIMON, *freq);
            if *freq > 0 {
                data.attribute_u32(IFLA_BOND_UPDELAY, *updelay);
                data.attribute_u32(IFLA_BOND_DOWNDELAY, *downdelay);
            }
            if let Some(carrier) = carrier {
                data.attribute(IFLA_BOND_USE_CARRIER, &[encode_carrier(*carrier)]);
            }
        }
        BondMonitor::Arp { interval, target, validate } => {
            data.attribute_u32(IFLA_BOND_ARP_INTERVAL, *interval);
            data.nested(IFLA_BOND_ARP_IP_TARGET, |list| list.attribute(0, &target.octets()));
            if validate.is_some() {
                data.attribute_u32(IFLA_BOND_ARP_VALIDATE, encode_arp_validate(*validate));
            }
        }
    }
}

/// The earlier mode of a bond, and its monitoring.
pub(super) fn write_bond_again(data: &mut PayloadWriter<'_>, bond: &LinkBond) {
    if let Some(mode) = bond.mode {
        data.attribute(IFLA_BOND_MODE, &[encode_bond_mode(mode)]);
    }
    write_monitor_again(data, bond);
}

/// The earlier monitoring of a bond, complete. A mode without ARP monitoring refuses its
/// attributes.
fn write_monitor_again(data: &mut PayloadWriter<'_>, bond: &LinkBond) {
    let knows_arp = !matches!(
        bond.mode,
        Some(BondMode::Ieee8023ad | BondMode::BalanceTlb | BondMode::BalanceAlb)
    );
    if bond.arp_interval == 0 {
        data.attribute_u32(IFLA_BOND_MIIMON, bond.miimon);
        if bond.miimon > 0 {
            data.attribute_u32(IFLA_BOND_UPDELAY, bond.updelay);
            data.attribute_u32(IFLA_BOND_DOWNDELAY, bond.downdelay);
        }
    }
    data.attribute(IFLA_BOND_USE_CARRIER, &[encode_carrier(bond.carrier)]);
    if !knows_arp {
        return;
    }
    data.attribute_u32(IFLA_BOND_ARP_INTERVAL, bond.arp_interval);
    data.nested(IFLA_BOND_ARP_IP_TARGET, |list| {
        for target in &bond.arp_targets {
            list.attribute(0, &target.octets());
        }
    });
    if bond.arp_interval > 0 {
        data.attribute_u32(IFLA_BOND_ARP_VALIDATE, encode_arp_validate(bond.arp_validate));
    }
}

#[cfg(test)]
mod tests;
