// SPDX-License-Identifier: LGPL-2.1-or-later
//! The links part of a rollback: which links are removed or created, their attributes and their
//! masters.

use std::cmp::Reverse;

use crate::host::is_out_of_the_way;
use crate::host::record::HostRecord;
use crate::host::removed::MTU_AT_FIRST;
use crate::host::state::LinkState;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::LinkKind;
use crate::netlink::record::link::LinkSetting;
use crate::netlink::record::link::sysctls::ipv6_sysctls;
use crate::plan::links::bridge_values;
use crate::plan::remake::set_neighbours;
use crate::plan::request::{KernelRequest, LinkValue};
use crate::plan::step::{Condition, Step, sysctl_values};

use super::Loss;
use super::outline::{self, OutlineBuilder, Pair};

impl<'a> OutlineBuilder<'a> {
    /// Releases the host's links from bridges and bonds whose ports they are not in the snapshot.
    pub(super) fn release_ports(&mut self) {
        for Pair { then, now, .. } in self.pairs() {
            let Some(now) = now else { continue };
            let (name, master) = (now.link().name, self.now.master_of(now.link()));
            let Some(master) = master else { continue };
            let belonged = self.then.host.master_of(then.link());
            // A link that replaces the master also replaces its ports.
            if belonged != Some(master) || !self.links.contains_key(&master) {
                self.set(name, LinkValue::NoMaster);
                let is_bond = |it: &LinkState| matches!(it.link().kind, LinkKind::Bond(_));
                let from = self.now.named(&master);
                if from.is_some_and(is_bond) || is_vrf(from) {
                    self.downed.insert(name);
                }
            }
        }
    }

    /// Removes links that were created since and that the daemon could have created: bridges, bonds
    /// and VLANs. A bridge with guests stays, without the host's addresses and routes.
    pub(super) fn remove_links(&mut self) {
        let now = self.now;
        let is_stale = |recorded: &&LinkState| {
            let link = recorded.link();
            let is_ours = matches!(
                link.kind,
                LinkKind::Bond(_) | LinkKind::Bridge(_) | LinkKind::Vlan { .. }
            );
            let is_in_the_way =
                recorded.record.can_be_made() && self.then.host.named(&link.name).is_some();
            (is_ours || is_in_the_way)
                && !self.links.contains_key(&link.name)
                && !is_out_of_the_way(link)
                // A link that could not be read in the snapshot may be this one.
                && !self.then.host.is_unread(link.index)
        };
        let is_bond = |recorded: &&LinkState| matches!(recorded.link().kind, LinkKind::Bond(_));
        // The kernel deletes bridges and bonds slowly, and other links at once.
        let may_be_discarded =
            |it: &&LinkState| matches!(it.link().kind, LinkKind::Bond(_) | LinkKind::Bridge(_));
        let (others, mut deleted): (Vec<_>, Vec<_>) =
            now.iter().filter(is_stale).partition(may_be_discarded);
        deleted.sort_by_cached_key(|recorded| Reverse(outline::depth(now, recorded.link())));
        for recorded in deleted {
            self.removed.insert(recorded.link().name);
            self.push(KernelRequest::DeleteLink(recorded.link().name));
        }
        // Bridges are removed before the bonds that are their ports.
        let (bonds, bridges): (Vec<_>, Vec<_>) = others.into_iter().partition(is_bond);
        for recorded in bridges.into_iter().chain(bonds) {
            let link = recorded.link();
            let guests = self.guests_of(&link.name);
            if !guests.is_empty() {
                self.strip(recorded);
                self.lost.push(Loss::Occupied { name: link.name, guests });
                continue;
            }
            self.removed.insert(link.name);
            if link.up {
                self.set(link.name, LinkValue::Down);
            }
            self.discard(link);
        }
    }

    /// Creates links of the snapshot that are missing.
    pub(super) fn make_links(&mut self) {
        let then = self.then;
        let is_gone = |name: &&IfName| !self.links.contains_key(*name);
        let gone: Vec<_> = self.unlike.iter().filter(is_gone).copied().collect();
        for recorded in gone.iter().filter_map(|name| then.host.named(name)) {
            let link = recorded.link();
            let name = link.name;
            let parent = then.host.parent_of(link);
            let is_in_the_way = self.now.named(&name).is_some() && !self.removed.contains(&name);
            if is_of_a_program(recorded) || self.make_pair(recorded) {
                continue;
            }
            let has_parent = parent.is_none_or(|parent| self.links.contains_key(&parent));
            if is_in_the_way || !has_parent || !recorded.record.can_be_made() {
                let lost = if is_in_the_way { Loss::Replaced(name) } else { Loss::Gone(name) };
                // The bridge could not be removed because of its guests, which is reported already.
                let is_told =
                    |loss: &Loss| matches!(loss, Loss::Occupied { name: it, .. } if *it == name);
                if !self.lost.iter().any(is_told) {
                    self.lost.push(lost);
                }
                continue;
            }
            let mut record = recorded.record.clone();
            // A VLAN whose address is its parent's continues to follow it.
            let mac_below = parent.and_then(|parent| then.host.named(&parent)?.link().mac);
            if matches!(link.kind, LinkKind::Vlan { .. }) && link.mac == mac_below {
                record.link.mac = None;
            }
            self.push(KernelRequest::RemakeLink { record: Box::new(record), parent });
            self.links.insert(name, Pair { then: recorded, now: None, differs: true });
        }
    }

    /// Creates both ends of a veth, if both are missing. Returns whether this end exists then.
    fn make_pair(&mut self, then: &'a LinkState) -> bool {
        let is_free = |builder: &Self, it: &LinkState| {
            let name = it.link().name;
            let is_taken = builder.now.named(&name).is_some() && !builder.removed.contains(&name);
            !is_taken && !builder.links.contains_key(&name)
        };
        let name = then.link().name;
        let Some(peer) = self.then.host.peer_of(then).filter(|it| is_free(self, it)) else {
            return self.links.contains_key(&name);
        };
        if !is_free(self, then) {
            return self.links.contains_key(&name);
        }
        let (record, other) = (Box::new(then.record.clone()), Box::new(peer.record.clone()));
        self.push(KernelRequest::RemakePair { record, peer: other });
        for then in [then, peer] {
            self.links.insert(then.link().name, Pair { then, now: None, differs: true });
        }
        true
    }

    /// Sets the attributes of links, lower links first.
    pub(super) fn set_links(&mut self) {
        for pair in self.pairs() {
            let (link, now) = (pair.then.link(), pair.now.map(LinkState::link));
            let name = link.name;
            let is_member = self.is_bond_member(pair.then);
            let settings = pair.then.record.settings_besides(pair.now.map(|now| &now.record));
            if self.stays_up(pair) && settings.iter().any(LinkSetting::needs_down) {
                self.set(name, LinkValue::Down);
                self.downed.insert(name);
            }
            match (&link.kind, now.map(|now| &now.kind)) {
                (LinkKind::Bridge(then), Some(LinkKind::Bridge(now))) => {
                    for [value, _] in bridge_values(*then, *now) {
                        self.set(name, value);
                    }
                }
                (LinkKind::Bond(then), Some(LinkKind::Bond(now))) if then != now => {
                    self.set(name, LinkValue::MonitorAgain(then.clone()));
                }
                _ => {}
            }
            for setting in settings {
                // A bond's attributes must be set before it has members. For a new bridge, the next
                // comparison shows which attributes differ. A port's settings can be set only once
                // it is a port.
                let is_later = now.is_none()
                    && setting.is_of_kind()
                    && !matches!(link.kind, LinkKind::Bond(_));
                if setting.is_of_port() || is_later {
                    continue;
                }
                match setting.default_vlan() {
                    Some(default) => self.set_default_vlan(name, default, setting),
                    None => self
                        .push(KernelRequest::ResetLink { link: name, setting: Box::new(setting) }),
                }
            }
            // A bond's members have its hardware address and its MTU.
            if is_member {
                continue;
            }
            let mac = link.mac.filter(|mac| now.is_some_and(|now| now.mac != Some(*mac)));
            if let Some(mac) = mac {
                self.set(name, LinkValue::Mac(mac));
            }
            let mtu_now = match (now, &link.kind) {
                (Some(now), _) => now.mtu,
                (None, LinkKind::Vlan { .. }) => {
                    let parent = self.then.host.parent_of(link);
                    let parent = parent.and_then(|parent| self.then.host.named(&parent));
                    parent.map_or(MTU_AT_FIRST, |parent| parent.link().mtu)
                }
                (None, _) => MTU_AT_FIRST,
            };
            if mtu_now != link.mtu {
                self.set(name, LinkValue::Mtu(link.mtu));
            }
        }
    }

    /// Adds ports to their masters, including guests' ports.
    pub(super) fn join_ports(&mut self) {
        for pair in self.pairs() {
            let name = pair.then.link().name;
            let Some(master) = self.then.host.master_of(pair.then.link()) else { continue };
            let has = pair.now.and_then(|now| self.master_now(now));
            if has != Some(master) && self.links.contains_key(&master) {
                // A bond accepts only a link that is down, and brings it up.
                if self.stays_up(pair) && self.is_bond_member(pair.then) {
                    self.set(name, LinkValue::Down);
                    self.downed.insert(name);
                }
                if is_vrf(self.then.host.named(&master)) {
                    self.downed.insert(name);
                }
                self.set(name, LinkValue::Master(master));
                self.give_vlans(name, master, self.then.host.vlans_of(pair.then.link().index));
            }
            for setting in pair.then.record.settings_besides(pair.now.map(|now| &now.record)) {
                if setting.is_of_port() && has == Some(master) {
                    self.push(KernelRequest::ResetLink { link: name, setting: Box::new(setting) });
                }
            }
        }
        self.set_primaries();
        self.join_guests();
    }

    /// Adds guests' links to their former bridges, with their settings there. A guest's link that
    /// is a port already, but with only default settings, was added by an earlier round that did
    /// not complete.
    fn join_guests(&mut self) {
        let then = self.then;
        for (guest, bridge) in then.guests.iter() {
            let Some(now) = self.now.named(guest) else { continue };
            if !self.links.contains_key(bridge) {
                continue;
            }
            let is_joining = self.master_now(now) != Some(*bridge);
            if is_joining {
                self.set(*guest, LinkValue::Master(*bridge));
                self.give_vlans(*guest, *bridge, then.host.vlans_of(now.link().index));
                self.give_fdb(*guest, now.link().index);
            }
            // Another guest's link of this name has another index.
            let Some(had) = then.host.port_of(now.link()) else { continue };
            // A port whose settings in the snapshot are the defaults may have been a port all the
            // time.
            if !is_joining && (had.is_as_new() || !self.has_just_joined(now)) {
                continue;
            }
            for setting in had.settings_of_new(&now.link().kind) {
                self.push(KernelRequest::ResetLink { link: *guest, setting: Box::new(setting) });
            }
        }
    }

    /// Returns whether a port has the default settings of a new port.
    fn has_just_joined(&self, now: &LinkState) -> bool {
        self.now.port_of(now.link()).is_some_and(|port| port.is_as_new())
    }

    /// Sets the preferred members of bonds, which have them by now.
    fn set_primaries(&mut self) {
        let name_in = |host: &HostRecord, it: &LinkState| host.name_of(it.record.primary()?);
        for pair in self.pairs() {
            let then = name_in(&self.then.host, pair.then);
            let now = pair.now.and_then(|now| name_in(self.now, now));
            if then != now {
                self.set(
                    pair.then.link().name,
                    then.map_or(LinkValue::NoPrimary, LinkValue::Primary),
                );
            }
        }
    }

    /// Brings links up and down. A bridge with guests is not taken down.
    pub(super) fn set_states(&mut self) {
        let mut brought_up = Vec::new();
        for pair in self.pairs() {
            let link = pair.then.link();
            let name = link.name;
            let is_up = self.stays_up(pair);
            if link.up && !is_up && !self.is_taken_in(name) {
                self.set(name, LinkValue::Up);
                brought_up.push(name);
            } else if !link.up && is_up {
                let guests = self.guests_of(&name);
                if guests.is_empty() {
                    self.set(name, LinkValue::Down);
                } else {
                    self.lost.push(Loss::Occupied { name, guests });
                }
            }
        }
        for name in brought_up {
            self.push(Step::WaitFor(Condition::Up(name)));
        }
    }

    /// Sets sysctls. For a link that is yet to be created, most of them are compared in the next
    /// round.
    pub(super) fn set_ipv6_sysctls(&mut self) {
        let default = self.now.default_neighbours();
        for pair in self.pairs() {
            let link = pair.then.link().name;
            if let Some(now) = pair.now {
                let then = &pair.then.record.neighbours;
                let changes = then.changes_from(&now.record.neighbours, default);
                self.steps.extend(changes.map(|change| set_neighbours(link, change)));
            }
            let Some(now) = pair.now.map(|now| now.record.sysctls()) else {
                let sysctls = sysctl_values(ipv6_sysctls(&pair.then.record.sysctls())).into_iter();
                let steps = sysctls.filter_map(|(sysctl, value)| {
                    value.map(|value| Step::SetSysctl { link, sysctl, value })
                });
                self.steps.extend(steps);
                continue;
            };
            let now: SortedMap<_, _> = now.into_iter().collect();
            for (sysctl, value) in pair.then.record.sysctls() {
                if now.get(&sysctl).is_some_and(|now| *now != value) {
                    self.push(Step::SetSysctl { link, sysctl, value });
                }
            }
        }
    }

    /// Returns whether a link is a bond's member in the snapshot.
    fn is_bond_member(&self, then: &LinkState) -> bool {
        let master = self.then.host.master_of(then.link());
        let master = master.and_then(|master| self.then.host.named(&master));
        master.is_some_and(|master| matches!(master.link().kind, LinkKind::Bond(_)))
    }

    /// Returns whether a link is added to a bond, which brings it up.
    fn is_taken_in(&self, name: IfName) -> bool {
        let is_member = self.links.get(&name).is_some_and(|pair| self.is_bond_member(pair.then));
        let is_joining = |step: &Step| matches!(step, Step::Request(KernelRequest::SetLink { link, value: LinkValue::Master(_) }) if *link == name);
        is_member && self.steps.iter().any(is_joining)
    }
}

/// Returns whether a master is a VRF. A link that is added to or released from a VRF goes down and
/// up again, and loses its IPv6 addresses and routes.
fn is_vrf(master: Option<&LinkState>) -> bool {
    master.is_some_and(|master| master.record.kind_name() == Some("vrf"))
}

/// Returns whether a link exists only while a program holds it open: a guest's macvtap, or its tap.
fn is_of_a_program(recorded: &LinkState) -> bool {
    recorded.link().kind == LinkKind::Tun
        || matches!(recorded.record.kind_name(), Some("macvtap" | "ipvtap"))
}
