// SPDX-License-Identifier: LGPL-2.1-or-later
//! The VLANs of bridges and their ports (`net/bridge/br_vlan.c`).

use std::collections::BTreeMap;

use crate::value_kernel::requests::{LinkRequest, VlansRequest};
use crate::value_kernel::state::{Device, PVID, UNTAGGED};
use crate::value_kernel::{Errno, ValueKernel};
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::netlink::wire::{NetlinkHeader, write_message};

/// The initial VLANs of a port whose bridge has this default.
pub(super) fn of_default(default: Option<u16>) -> BTreeMap<u16, u16> {
    let default = default.filter(|number| *number > 0);
    default.into_iter().map(|number| (number, PVID | UNTAGGED)).collect()
}

/// Sets a VLAN's flags. Only one VLAN can have `PVID`.
pub(super) fn set(vlans: &mut BTreeMap<u16, u16>, number: u16, flags: u16) {
    if flags & PVID != 0 {
        vlans.values_mut().for_each(|flags| *flags &= !PVID);
    }
    vlans.insert(number, flags);
}

impl ValueKernel {
    pub(super) fn change_vlans(
        &mut self,
        link: LinkIndex,
        asked: &VlansRequest,
        is_let_through: bool,
    ) -> Result<(), Errno> {
        let device = self.device(link)?;
        let asked_one = if asked.of_itself { Some(link) } else { device.master };
        let bridge = asked_one.ok_or(libc::EOPNOTSUPP)?;
        if self.device(bridge)?.default_vlan.is_none() {
            return Err(libc::EOPNOTSUPP);
        }
        let device = self.device_mut(link)?;
        for (number, flags) in &asked.vlans {
            if is_let_through {
                set(&mut device.vlans, *number, *flags);
            } else {
                device.vlans.remove(number);
            }
        }
        Ok(())
    }

    /// Sets a bridge's default VLAN. It replaces the old default on ports where that is still the
    /// untagged VLAN; where there was no default, it replaces any other `PVID`.
    pub(super) fn set_default_vlan(
        &mut self,
        bridge: LinkIndex,
        asked: &LinkRequest,
    ) -> Result<(), Errno> {
        let Some(default) = asked.number(39).and_then(|number| u16::try_from(number).ok()) else {
            return Ok(());
        };
        let Some(old) = self.device(bridge)?.default_vlan else { return Err(libc::EOPNOTSUPP) };
        self.device_mut(bridge)?.default_vlan = Some(default);
        let is_default = |vlans: &BTreeMap<u16, u16>| vlans.get(&old) == Some(&(PVID | UNTAGGED));
        for index in self.indexes(|it| it.index == bridge || it.master == Some(bridge)) {
            let vlans = &mut self.device_mut(index)?.vlans;
            if default == old || (old > 0 && !is_default(vlans)) || vlans.contains_key(&default) {
                continue;
            }
            vlans.remove(&old);
            if default > 0 {
                set(vlans, default, PVID | UNTAGGED);
            }
        }
        Ok(())
    }

    /// Appends a dump of the bridge family.
    pub(super) fn encode_vlans(&self, out: &mut Vec<u8>) {
        let is_of_bridge = |it: &&Device| {
            let master = it.master.and_then(|master| self.devices.get(&master));
            it.is_bridge() || master.is_some_and(|master| master.is_bridge())
        };
        for device in self.devices.values().filter(is_of_bridge) {
            write_message(out, NetlinkHeader { kind: 16, flags: 0, sequence: 0 }, |payload| {
                payload.bytes(&[7, 0, 0, 0]);
                payload.bytes(&device.index.0.to_ne_bytes());
                payload.bytes(&[0; 8]);
                payload.nested(26, |spec| {
                    for (number, flags) in &device.vlans {
                        let [flags, number] = [flags, number].map(|it| it.to_ne_bytes());
                        spec.attribute(2, [flags, number].as_flattened());
                    }
                });
            });
        }
    }
}
