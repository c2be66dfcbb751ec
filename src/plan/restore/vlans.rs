// SPDX-License-Identifier: LGPL-2.1-or-later
//! The VLANs part of the way back: what bridges let through at each port, and to themselves.

use crate::model::name::IfName;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::plan::step::Step;

use super::{Draft, Pair};

impl Draft<'_> {
    /// Sets which VLANs are let through.
    pub(super) fn set_vlans(&mut self) {
        let then = self.then;
        for Pair { then: recorded, now, .. } in self.pairs() {
            let link = recorded.link();
            let master = then.host.master_of(link);
            let bridge = master.unwrap_or(link.name);
            let stays = now.is_some_and(|now| master.is_none() || self.master_now(now) == master);
            if let Some(vlans) = self.default_vlans(bridge) {
                let now = self.now.vlans_of(&link.name).filter(|_| stays);
                self.set_vlans_of(link.name, now.unwrap_or(&vlans));
            }
        }
        for (guest, bridge) in &then.guests {
            let (Some(now), Some(vlans)) = (self.now.named(guest), self.default_vlans(*bridge))
            else {
                continue;
            };
            let stays = self.master_now(now) == Some(*bridge);
            let now = self.now.vlans_of(guest).filter(|_| stays).unwrap_or(&vlans);
            // With others it has stayed there, and what it has by now is its own business.
            if now.without(&vlans).is_empty() {
                self.set_vlans_of(*guest, now);
            }
        }
    }

    /// What a bridge lets through where nobody has told it anything: at a port that joins just now,
    /// and to itself when it is made. `None` without such a bridge, or where it looks at no VLANs.
    fn default_vlans(&self, bridge: IfName) -> Option<BridgeVlans> {
        let is_there = self.links.contains_key(&bridge);
        let then = self.then.host.named(&bridge).filter(|_| is_there)?;
        then.record.default_vlan().map(BridgeVlans::of_default)
    }

    /// What goes comes first, so that a port of which only this was done has nothing but what it had by
    /// default.
    fn set_vlans_of(&mut self, link: IfName, now: &BridgeVlans) {
        let Some(then) = self.then.host.vlans_of(&link) else { return };
        let (stale, missing) = (now.without(then), then.besides(now));
        if !stale.is_empty() {
            self.push(Step::DeleteVlans { link, vlans: stale });
        }
        if !missing.is_empty() {
            self.push(Step::SetVlans { link, vlans: missing });
        }
    }
}
