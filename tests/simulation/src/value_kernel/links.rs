// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the kernel handles requests about links: bridges (`net/bridge`), bonds
//! (`drivers/net/bonding`), VLANs (`net/8021q`), and all links (`net/core/dev.c`).

use std::collections::BTreeMap;

use crate::value_kernel::requests::LinkRequest;
use crate::value_kernel::state::Device;
use crate::value_kernel::vlan_options::VlanOptions;
use crate::value_kernel::{Errno, ValueKernel, bridge_vlans};
use virtinterfaced::model::address::MacAddr;
use virtinterfaced::model::interface::{ArpValidate, BondMode, ForwardDelay, MiiCarrier};
use virtinterfaced::netlink::link::{LinkBond, LinkBridge, LinkIndex, LinkKind};

/// The initial MTU of Ethernet-like links, and the largest of a NIC here.
const MTU_AT_FIRST: u32 = 1500;
const MTU_MIN: u32 = 68;
const NIC_MTU_MAX: u32 = 9000;
const VIRTUAL_MTU_MAX: u32 = 65_535;
/// A link with a smaller MTU has no IPv6.
const IPV6_MTU_MIN: u32 = 1280;

const DELAY_AT_FIRST: u32 = 1500;
/// The initial `miimon` of a bond whose mode needs MII monitoring.
const MIIMON_AT_FIRST: u32 = 100;
const TAG_MAX: u32 = 4095;

impl ValueKernel {
    pub(super) fn add_link(&mut self, asked: &LinkRequest) -> Result<(), Errno> {
        let name = asked.name.ok_or(libc::EINVAL)?;
        if self.named(&name).is_some() {
            return Err(libc::EEXIST);
        }
        let index = LinkIndex(self.last_index + 1);
        let made_up = made_up_mac(index)?;
        let mut device = Device {
            index,
            name,
            up: false,
            mtu: MTU_AT_FIRST,
            mac: asked.mac.unwrap_or(made_up),
            has_wire: true,
            master: None,
            parent: None,
            kind: LinkKind::Other,
            before_bond: None,
            owns_mtu: asked.mtu.is_some(),
            owns_mac: asked.mac.is_some(),
            sysctls: self.defaults,
            addresses: Vec::new(),
            routes: Vec::new(),
            vlans: BTreeMap::new(),
            default_vlan: None,
            vlan: VlanOptions::default(),
        };
        device.kind = match asked.kind.as_str() {
            "bridge" => {
                let delay = ForwardDelay(DELAY_AT_FIRST);
                device.default_vlan = self.filters_vlans.then_some(1);
                LinkKind::Bridge(tuned_bridge(
                    LinkBridge { stp: false, forward_delay: delay },
                    asked,
                )?)
            }
            "bond" => {
                let bond = LinkBond { mode: Some(BondMode::BalanceRr), ..LinkBond::default() };
                LinkKind::Bond(Box::new(tuned_bond(bond, asked, BondState::Free)?))
            }
            "vlan" => {
                let parent = asked.parent.and_then(LinkIndex::new).ok_or(libc::EINVAL)?;
                let below = self.device(parent)?;
                let tag = asked.number(1).ok_or(libc::EINVAL)?;
                self.check_tag(parent, tag)?;
                device.parent = Some(parent);
                device.mtu = below.mtu;
                device.mac = asked.mac.unwrap_or(below.mac);
                device.vlan = device.vlan.tuned(|kind| asked.bytes(kind))?;
                LinkKind::Vlan { tag: u16::try_from(tag).map_err(|_| libc::ERANGE)? }
            }
            "dummy" => LinkKind::Other,
            _ => return Err(libc::EOPNOTSUPP),
        };
        if let Some(mtu) = asked.mtu {
            self.check_mtu(&device, mtu)?;
            device.mtu = mtu;
        }
        self.last_index = index.0;
        device.vlans = bridge_vlans::of_default(device.default_vlan);
        self.devices.insert(index, device);
        self.set_default_vlan(index, asked)
    }

    fn check_tag(&self, parent: LinkIndex, tag: u32) -> Result<(), Errno> {
        if tag > TAG_MAX {
            return Err(libc::ERANGE);
        }
        let is_same = |device: &Device| {
            device.parent == Some(parent)
                && matches!(device.kind, LinkKind::Vlan { tag: own } if u32::from(own) == tag)
        };
        if self.devices.values().any(is_same) { Err(libc::EEXIST) } else { Ok(()) }
    }

    pub(super) fn delete_link(&mut self, index: LinkIndex) -> Result<(), Errno> {
        if self.device(index)?.kind == LinkKind::Nic {
            return Err(libc::EOPNOTSUPP);
        }
        self.take_away(index)
    }

    /// Removes the link, whether deleted or pulled out.
    pub(super) fn take_away(&mut self, index: LinkIndex) -> Result<(), Errno> {
        for port in self.indexes(|it| it.master == Some(index)) {
            self.release(port)?;
        }
        for over in self.indexes(|it| it.parent == Some(index) && it.is_vlan()) {
            self.take_away(over)?;
        }
        if self.device(index)?.master.is_some() {
            self.release(index)?;
        }
        self.devices.remove(&index);
        self.forget_lost_sources();
        Ok(())
    }

    pub(super) fn set_link(&mut self, asked: &LinkRequest) -> Result<(), Errno> {
        let index = LinkIndex::new(asked.index).ok_or(libc::ENODEV)?;
        self.device(index)?;
        if let Some(name) = asked.name {
            if self.devices.values().any(|it| it.name == name && it.index != index) {
                return Err(libc::EEXIST);
            }
            // As older kernels do.
            if self.device(index)?.up {
                return Err(libc::EBUSY);
            }
            self.device_mut(index)?.rename(name);
        }
        if let Some(mac) = asked.mac {
            if !is_valid_mac(mac) {
                return Err(libc::EADDRNOTAVAIL);
            }
            self.set_mac(index, mac)?;
            self.device_mut(index)?.owns_mac = true;
        }
        if let Some(mtu) = asked.mtu {
            self.check_mtu(self.device(index)?, mtu)?;
            self.set_mtu(index, mtu)?;
            self.device_mut(index)?.owns_mtu = true;
            self.follow_mtu(index)?;
        }
        if let Some(master) = asked.master {
            self.set_master(index, LinkIndex::new(master))?;
        }
        match asked.up {
            Some(true) => self.bring_up(index)?,
            Some(false) => self.take_down(index)?,
            None => {}
        }
        self.set_kind(index, asked)
    }

    fn set_kind(&mut self, index: LinkIndex, asked: &LinkRequest) -> Result<(), Errno> {
        let has_ports = self.devices.values().any(|it| it.master == Some(index));
        let device = self.device_mut(index)?;
        match (&mut device.kind, asked.kind.as_str()) {
            (_, "") => {}
            (LinkKind::Bridge(bridge), "bridge") => *bridge = tuned_bridge(*bridge, asked)?,
            (LinkKind::Vlan { .. }, "vlan") => {
                device.vlan = device.vlan.clone().tuned(|kind| asked.bytes(kind))?;
            }
            (LinkKind::Bond(bond), "bond") => {
                let state = match (device.up, has_ports) {
                    (false, false) => BondState::Free,
                    (true, false) => BondState::Up,
                    (_, true) => BondState::HasMembers,
                };
                **bond = tuned_bond((**bond).clone(), asked, state)?;
            }
            _ => return Err(libc::EOPNOTSUPP),
        }
        self.set_default_vlan(index, asked)
    }

    /// A VLAN's address follows its parent's, and a bond's is its members'.
    fn set_mac(&mut self, index: LinkIndex, mac: MacAddr) -> Result<(), Errno> {
        self.device_mut(index)?.mac = mac;
        for over in self.indexes(|it| it.parent == Some(index) && it.is_vlan() && !it.owns_mac) {
            self.set_mac(over, mac)?;
        }
        if self.device(index)?.is_bond() {
            for member in self.indexes(|it| it.master == Some(index)) {
                self.set_mac(member, mac)?;
            }
        }
        Ok(())
    }

    fn check_mtu(&self, device: &Device, mtu: u32) -> Result<(), Errno> {
        let max = if device.kind == LinkKind::Nic { NIC_MTU_MAX } else { VIRTUAL_MTU_MAX };
        if !(MTU_MIN..=max).contains(&mtu) {
            return Err(libc::EINVAL);
        }
        let below = device.parent.filter(|_| device.is_vlan());
        match below.map(|below| self.device(below)) {
            Some(below) if below?.mtu < mtu => Err(libc::ERANGE),
            _ => Ok(()),
        }
    }

    fn set_mtu(&mut self, index: LinkIndex, mtu: u32) -> Result<(), Errno> {
        let members = if self.device(index)?.is_bond() {
            self.indexes(|it| it.master == Some(index))
        } else {
            Vec::new()
        };
        for member in members {
            self.check_mtu(self.device(member)?, mtu)?;
            self.set_mtu(member, mtu)?;
        }
        let device = self.device_mut(index)?;
        device.mtu = mtu;
        if mtu < IPV6_MTU_MIN {
            device.lose_ipv6();
        }
        for over in self.indexes(|it| it.parent == Some(index) && it.is_vlan() && it.mtu > mtu) {
            self.set_mtu(over, mtu)?;
        }
        Ok(())
    }

    /// Sets a bridge's MTU to the smallest of its ports', unless the bridge's was set explicitly.
    fn follow_mtu(&mut self, port: LinkIndex) -> Result<(), Errno> {
        match self.device(port)?.master {
            Some(master) => self.adjust_bridge(master),
            None => Ok(()),
        }
    }

    fn adjust_bridge(&mut self, bridge: LinkIndex) -> Result<(), Errno> {
        let ports = self.devices.values().filter(|it| it.master == Some(bridge));
        let least = ports.map(|port| port.mtu).min().unwrap_or(MTU_AT_FIRST);
        let device = self.device(bridge)?;
        if device.is_bridge() && !device.owns_mtu && device.mtu != least {
            self.set_mtu(bridge, least)?;
        }
        Ok(())
    }

    fn set_master(&mut self, index: LinkIndex, master: Option<LinkIndex>) -> Result<(), Errno> {
        let device = self.device(index)?;
        if device.master == master {
            return Ok(());
        }
        if device.master.is_some() {
            self.release(index)?;
        }
        let Some(master) = master else { return Ok(()) };
        let (device, over) = (self.device(index)?, self.device(master)?);
        let is_below_itself = self.is_below(master, index);
        match &over.kind {
            LinkKind::Bridge(_) if device.is_bridge() || is_below_itself => Err(libc::ELOOP),
            LinkKind::Bridge(_) => {
                let vlans = bridge_vlans::of_default(over.default_vlan);
                let device = self.device_mut(index)?;
                (device.master, device.vlans) = (Some(master), vlans);
                self.adjust_bridge(master)
            }
            LinkKind::Bond(_) if device.up => Err(libc::EPERM),
            LinkKind::Bond(_) if device.is_bond() || is_below_itself => Err(libc::ELOOP),
            LinkKind::Bond(_) => {
                let (mac, mtu, bond_mtu) = (device.mac, device.mtu, over.mtu);
                self.check_mtu(device, bond_mtu)?;
                let is_first = !self.devices.values().any(|it| it.master == Some(master));
                if is_first && !self.device(master)?.owns_mac {
                    self.set_mac(master, mac)?;
                }
                let bond_mac = self.device(master)?.mac;
                self.set_mac(index, bond_mac)?;
                self.set_mtu(index, bond_mtu)?;
                let device = self.device_mut(index)?;
                device.before_bond = Some((mac, mtu));
                device.master = Some(master);
                self.bring_up(index)
            }
            LinkKind::Nic
            | LinkKind::Tun
            | LinkKind::Veth
            | LinkKind::Vlan { .. }
            | LinkKind::Other => Err(libc::EOPNOTSUPP),
        }
    }

    /// Whether `index` is somewhere below `top`.
    fn is_below(&self, index: LinkIndex, top: LinkIndex) -> bool {
        let vlan_parent = |it: &Device| it.parent.filter(|_| it.is_vlan());
        let mut below = self.devices.get(&top).and_then(vlan_parent);
        while let Some(at) = below {
            if at == index {
                return true;
            }
            below = self.devices.get(&at).and_then(vlan_parent);
        }
        false
    }

    fn release(&mut self, index: LinkIndex) -> Result<(), Errno> {
        let device = self.device_mut(index)?;
        let (master, before) = (device.master.take(), device.before_bond.take());
        device.vlans.clear();
        if let Some((mac, mtu)) = before {
            self.take_down(index)?;
            self.set_mac(index, mac)?;
            self.set_mtu(index, mtu)?;
        }
        let Some(master) = master else { return Ok(()) };
        let is_last = !self.devices.values().any(|it| it.master == Some(master));
        if is_last && self.device(master)?.is_bond() {
            let made_up = made_up_mac(master)?;
            self.set_mac(master, made_up)?;
            self.device_mut(master)?.owns_mac = false;
        }
        self.adjust_bridge(master)
    }

    fn bring_up(&mut self, index: LinkIndex) -> Result<(), Errno> {
        let device = self.device(index)?;
        if device.up {
            return Ok(());
        }
        let below = device.parent.filter(|_| device.is_vlan());
        if below.is_some_and(|below| self.devices.get(&below).is_none_or(|below| !below.up)) {
            return Err(libc::ENETDOWN);
        }
        self.device_mut(index)?.up = true;
        for over in self.indexes(|it| it.parent == Some(index) && it.is_vlan()) {
            self.bring_up(over)?;
        }
        Ok(())
    }

    fn take_down(&mut self, index: LinkIndex) -> Result<(), Errno> {
        let device = self.device_mut(index)?;
        if !device.up {
            return Ok(());
        }
        device.up = false;
        device.lose_ipv6();
        device.routes.clear();
        for over in self.indexes(|it| it.parent == Some(index) && it.is_vlan()) {
            self.take_down(over)?;
        }
        self.forget_lost_sources();
        Ok(())
    }
}

/// The address of a link that has none of its own.
fn made_up_mac(index: LinkIndex) -> Result<MacAddr, Errno> {
    let [.., high, low] = index.0.to_be_bytes();
    MacAddr::new(&[0x52, 0x54, 0, 0xff, high, low]).ok_or(libc::EINVAL)
}

fn tuned_bridge(mut bridge: LinkBridge, asked: &LinkRequest) -> Result<LinkBridge, Errno> {
    if let Some(delay) = asked.number(1) {
        if bridge.stp && ForwardDelay(delay).with_stp() != ForwardDelay(delay) {
            return Err(libc::ERANGE);
        }
        bridge.forward_delay = ForwardDelay(delay);
    }
    if let Some(stp) = asked.number(5) {
        if stp != 0 && !bridge.stp {
            let ForwardDelay(delay) = bridge.forward_delay;
            bridge.forward_delay = ForwardDelay(delay).with_stp();
        }
        bridge.stp = stp != 0;
    }
    Ok(bridge)
}

/// The state that a bond must have for a change.
#[derive(Clone, Copy, Eq, PartialEq)]
enum BondState {
    Free,
    Up,
    HasMembers,
}

fn tuned_bond(
    mut bond: LinkBond,
    asked: &LinkRequest,
    state: BondState,
) -> Result<LinkBond, Errno> {
    use BondMode::{
        ActiveBackup, BalanceAlb, BalanceRr, BalanceTlb, BalanceXor, Broadcast, Ieee8023ad,
    };
    const MODES: [BondMode; 7] =
        [BalanceRr, ActiveBackup, BalanceXor, Broadcast, Ieee8023ad, BalanceTlb, BalanceAlb];
    if let Some(mode) = asked.number(1) {
        match state {
            BondState::Free => {}
            BondState::Up => return Err(libc::EBUSY),
            BondState::HasMembers => return Err(libc::ENOTEMPTY),
        }
        let at = usize::try_from(mode).map_err(|_| libc::EINVAL)?;
        bond.mode = Some(*MODES.get(at).ok_or(libc::EINVAL)?);
        if !uses_arp(&bond) {
            bond.arp_interval = 0;
            bond.miimon = if bond.miimon == 0 { MIIMON_AT_FIRST } else { bond.miimon };
        }
    }
    let asked_miimon = asked.number(3);
    if let Some(miimon) = asked_miimon {
        let scaled = |delay: u32| delay.checked_div(bond.miimon).unwrap_or(0) * miimon;
        (bond.updelay, bond.downdelay) = (scaled(bond.updelay), scaled(bond.downdelay));
        bond.miimon = miimon;
        if miimon > 0 && bond.arp_interval > 0 {
            bond.arp_interval = 0;
            bond.arp_validate = None;
        }
    }
    // Delays are whole intervals.
    let rounded = |delay: u32| {
        let intervals = delay.checked_div(bond.miimon).ok_or(libc::EPERM)?;
        Ok::<_, Errno>(intervals * bond.miimon)
    };
    let updelay = asked.number(4).map(rounded).transpose()?;
    let downdelay = asked.number(5).map(rounded).transpose()?;
    bond.updelay = updelay.unwrap_or(bond.updelay);
    bond.downdelay = downdelay.unwrap_or(bond.downdelay);
    if let Some(carrier) = asked.number(6) {
        bond.carrier = if carrier == 0 { MiiCarrier::Ioctl } else { MiiCarrier::Netif };
    }
    let has_miimon = asked_miimon.is_some_and(|miimon| miimon > 0);
    if let Some(interval) = asked.number(7) {
        if interval > 0 && has_miimon {
            return Err(libc::EINVAL);
        }
        if !uses_arp(&bond) {
            return Err(libc::EACCES);
        }
        bond.arp_interval = interval;
        if interval > 0 {
            (bond.miimon, bond.updelay, bond.downdelay) = (0, 0, 0);
        }
    }
    if let Some(targets) = asked.addresses(8) {
        bond.arp_targets = targets;
    }
    if let Some(validate) = asked.number(9) {
        if validate > 0 && has_miimon {
            return Err(libc::EINVAL);
        }
        if !uses_arp(&bond) {
            return Err(libc::EACCES);
        }
        bond.arp_validate = match validate {
            1 => Some(ArpValidate::Active),
            2 => Some(ArpValidate::Backup),
            3 => Some(ArpValidate::All),
            _ => None,
        };
    }
    Ok(bond)
}

fn uses_arp(bond: &LinkBond) -> bool {
    !matches!(bond.mode, Some(BondMode::Ieee8023ad | BondMode::BalanceTlb | BondMode::BalanceAlb))
}

/// Whether a NIC may have this address: neither a multicast address nor all zeros
/// (`is_valid_ether_addr`).
fn is_valid_mac(mac: MacAddr) -> bool {
    let bytes = mac.as_bytes();
    bytes.first().is_some_and(|first| first & 1 == 0) && bytes.iter().any(|byte| *byte != 0)
}
