// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a rollback for VLANs: the memberships of bridges' ports, and of bridges themselves.

use crate::host::record::HostRecord;
use crate::host::state::LinkState;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::link::LinkSetting;
use crate::plan::remake::vlan_steps;
use crate::plan::request::KernelRequest;

use super::outline::{OutlineBuilder, Pair};

impl<'a> OutlineBuilder<'a> {
    /// Restores the memberships of a port that joins `bridge` in this round.
    pub(super) fn give_vlans(
        &mut self,
        port: IfName,
        bridge: IfName,
        had: Option<&'a BridgeVlans>,
    ) {
        if let Some(default) = self.default_vlans(bridge) {
            self.set_vlans_of(port, had, &default);
        }
    }

    /// Restores the memberships of bridges, and of ports that have stayed.
    pub(super) fn set_vlans(&mut self) {
        for Pair { then, now, .. } in self.pairs() {
            let link = then.link();
            let is_bridge = matches!(link.kind, LinkKind::Bridge(_));
            let master = self.then.host.master_of(link);
            let bridge = if is_bridge { Some(link.name) } else { master };
            let Some(default) = bridge.and_then(|bridge| self.default_vlans(bridge)) else {
                continue;
            };
            let has = match now {
                None if is_bridge => Some(&default),
                Some(now) if is_bridge || self.master_now(now) == master => {
                    self.now.vlans_of(now.link().index)
                }
                // The port joins in this round, and gets its memberships with that.
                None | Some(_) => None,
            };
            if let Some(has) = has {
                self.set_vlans_of(link.name, self.then.host.vlans_of(link.index), has);
            }
        }
        self.set_vlans_of_guests();
    }

    /// The memberships of a guest's port are left alone while it stays on its bridge. If it has
    /// only the bridge's default, an interrupted round has put it back. The default of a bridge can
    /// only be changed, and restored, together with the memberships of guests.
    fn set_vlans_of_guests(&mut self) {
        let then = self.then;
        for (guest, bridge) in then.guests.iter() {
            let Some(now) = self.now.named(guest) else { continue };
            // Another guest's link of this name has another number.
            let had = then.host.vlans_of(now.link().index);
            let has = self.now.vlans_of(now.link().index);
            let has = has.filter(|_| self.master_now(now) == Some(*bridge));
            let (Some(has), Some(default)) = (has, self.default_vlans(*bridge)) else { continue };
            let of_bridge = |host: &HostRecord| Some(host.named(bridge)?.record.default_vlan());
            if has.is_within(&default) || of_bridge(&then.host) != of_bridge(self.now) {
                self.set_vlans_of(*guest, had, has);
            }
        }
    }

    /// Sets the default VLAN of `bridge`. At each port without a VLAN of that number, the kernel
    /// replaces the old default by it, or the VLAN of untagged packets if there was no default; so
    /// guests have one for that long.
    pub(super) fn set_default_vlan(&mut self, bridge: IfName, default: u16, setting: LinkSetting) {
        let now = self.now;
        let vlan = BridgeVlans::tagged(default);
        let is_spared = |link: &&Link| {
            let has = now.vlans_of(link.index).filter(|_| default > 0);
            !self.links.contains_key(&link.name) && has.is_some_and(|has| !has.contains(default))
        };
        let spared = now.ports_of(&bridge).map(LinkState::link).filter(is_spared);
        let spared: Vec<_> = spared.map(|link| link.name).collect();
        for link in &spared {
            self.push(KernelRequest::SetVlans { link: *link, vlans: vlan.clone() });
        }
        self.push(KernelRequest::ResetLink { link: bridge, setting: Box::new(setting) });
        for link in spared {
            self.push(KernelRequest::DeleteVlans { link, vlans: vlan.clone() });
        }
    }

    /// The default memberships of a port that joins a bridge, and of a new bridge itself. `None`
    /// without such a bridge, or if it does not filter VLANs.
    fn default_vlans(&self, bridge: IfName) -> Option<BridgeVlans> {
        let is_there = self.links.contains_key(&bridge);
        let then = self.then.host.named(&bridge).filter(|_| is_there)?;
        then.record.default_vlan().map(BridgeVlans::of_default)
    }

    fn set_vlans_of(&mut self, link: IfName, had: Option<&BridgeVlans>, has: &BridgeVlans) {
        let Some(had) = had.filter(|had| *had != has) else { return };
        vlan_steps(link, had, has).into_iter().for_each(|step| self.push(step));
    }
}
