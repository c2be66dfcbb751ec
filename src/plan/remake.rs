// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a plan that makes a link with what the link before it had, where the definition does not
//! say otherwise: attributes and sysctls that no definition has a word for.
//!
//! The link before it is the one of its name that was taken down ([`RemovedLink`]); its sysctls are those
//! of the interface that it takes the place of.

use std::collections::BTreeSet;

use crate::host::removed::RemovedLink;
use crate::host::survey::{Surveyed, Sysctls};
use crate::model::address::Family;
use crate::model::interface::{Bond, Interface};
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::neighbour::{NeighbourChange, Neighbours};
use crate::plan::builder::Builder;
use crate::plan::goal::AddressingGoal;
use crate::plan::step::{LinkSpec, SpecKind, Step, Value};

impl<'a> Builder<'a> {
    /// Makes a link that is to have these ports: like the one of its name that was taken down, if that
    /// was of the same kind. Of other ports it takes over no hardware address.
    pub(super) fn make_link(
        &mut self,
        spec: LinkSpec,
        ports: impl Iterator<Item = IfName>,
    ) -> Option<&'a RemovedLink> {
        let removed = self.survey.removed.get(&spec.name).filter(|removed| fits(removed, &spec));
        let Some(removed) = removed else {
            self.add_link(spec);
            return None;
        };
        let mut wanted = removed.clone();
        let had = removed.ports.iter().copied().collect::<BTreeSet<_>>();
        if had != ports.collect() {
            wanted.record.link.mac = spec.mac;
        }
        let mut steps = remade(&wanted).into_iter();
        let undo = vec![Step::DeleteLink(spec.name)];
        steps.next().into_iter().for_each(|step| self.push(step, undo.clone()));
        steps.for_each(|step| self.push(step, Vec::new()));
        self.restore_vlans(spec.name, removed, removed);
        Some(removed)
    }

    /// Gives a link that is made below another one the sysctls that it had.
    pub(super) fn restore_sysctls(&mut self, name: IfName) {
        let removed = self.survey.removed.get(&name).filter(|_| self.is_made(&name));
        for step in
            removed.map(|it| own_sysctls(name, &it.record, self.defaults())).unwrap_or_default()
        {
            self.push(step, Vec::new());
        }
    }

    /// Gives `definition`'s link the sysctls of the interface that it takes the place of. A link that has
    /// been there before keeps its own sysctls of IPv6, which a definition may have set on the other.
    pub(super) fn carry_sysctls(&mut self, definition: &Interface, sources: &[&'a Surveyed]) {
        let link = definition.name;
        let goal = AddressingGoal::new(definition, Family::Ipv6, sources, self.survey);
        let Some(source) = goal.sysctl_source() else { return };
        let Some(now) = self.find(&link) else {
            let of_ipv6 = source.own_address_making().into_iter();
            let of_ipv6 = of_ipv6.map(|it| Step::ResetLink { link, setting: Box::new(it) });
            let steps = own_sysctls(link, source, self.defaults()).into_iter().chain(of_ipv6);
            return steps.into_iter().for_each(|step| self.push(step, Vec::new()));
        };
        let has = now.record.as_ref().map(LinkRecord::sysctls).unwrap_or_default();
        let has: Sysctls = has.into_iter().collect();
        for (sysctl, value) in source.own_sysctls().filter(|(sysctl, _)| !sysctl.is_defined()) {
            let set = |value| Step::SetSysctl { link, sysctl, value };
            if let Some(old) = has.get(&sysctl).filter(|old| **old != value) {
                self.push(set(value), vec![set(*old)]);
            }
        }
        let Some(record) = &now.record else { return };
        let default = &self.survey.default_neighbours;
        for change in source.neighbours.changes_from(&record.neighbours, default) {
            let NeighbourChange { family, after, before } = change;
            let set = |settings| {
                let settings = Box::new(settings);
                Step::SetNeighbours { link, family, settings }
            };
            self.push(set(after), vec![set(before)]);
        }
    }

    /// The settings that a port had on this bridge or bond before.
    pub(super) fn restore_port(&mut self, port: IfName, master: IfName) {
        let find = |name: &IfName| self.survey.removed.get(name);
        let (Some(had), Some(over)) = (find(&port), find(&master)) else { return };
        if had.master == Some(master) {
            port_steps(port, &had.record).into_iter().for_each(|it| self.push(it, Vec::new()));
            self.restore_vlans(port, had, over);
        }
    }

    /// What a bridge let through to a port, or to itself.
    fn restore_vlans(&mut self, link: IfName, had: &RemovedLink, bridge: &RemovedLink) {
        let default = bridge.record.default_vlan().map(BridgeVlans::of_default);
        if let (Some(had), Some(default)) = (&had.vlans, default) {
            vlan_steps(link, had, &default).into_iter().for_each(|it| self.push(it, Vec::new()));
        }
    }

    /// What makes a port again of one that its bridge or bond is to let go.
    pub(super) fn joined_again(&self, master: &Link, port: &Link) -> Vec<Step> {
        let Some(surveyed) = self.find(&port.name) else { return Vec::new() };
        let of_port = surveyed.record.as_ref().map(|record| port_steps(port.name, record));
        let bridge = self.find(&master.name).and_then(|now| now.record.as_ref()?.default_vlan());
        let vlans =
            surveyed.vlans.as_ref().zip(bridge).map(|(had, default)| {
                vlan_steps(port.name, had, &BridgeVlans::of_default(default))
            });
        [of_port.unwrap_or_default(), vlans.unwrap_or_default()].concat()
    }

    /// The member that a bond preferred before, if it still is one.
    pub(super) fn restore_primary(&mut self, name: IfName, bond: &Bond) {
        let removed = self.survey.removed.get(&name).filter(|_| self.is_made(&name));
        let primary = removed.and_then(|removed| removed.primary);
        let is_member = |it: &IfName| bond.members.iter().any(|member| member.name == *it);
        if let Some(primary) = primary.filter(is_member) {
            let step = Step::SetLink { link: name, value: Value::Primary(primary) };
            self.push(step, Vec::new());
        }
    }

    fn defaults(&self) -> &'a Sysctls {
        &self.survey.defaults
    }
}

/// Whether a link can be made again as what is wanted.
fn fits(removed: &RemovedLink, spec: &LinkSpec) -> bool {
    let had = &removed.record.link.kind;
    let is_of_kind = match &spec.kind {
        SpecKind::Bridge { .. } => matches!(had, LinkKind::Bridge(_)),
        SpecKind::Bond { mode, .. } => {
            matches!(had, LinkKind::Bond(bond) if mode.is_none() || *mode == bond.mode)
        }
        SpecKind::Vlan { tag, parent } => {
            *had == LinkKind::Vlan { tag: *tag } && removed.parent == Some(*parent)
        }
    };
    is_of_kind && removed.record.can_be_made()
}

/// The steps that make a link again, but for its sysctls and what it is to others.
pub(super) fn remade(removed: &RemovedLink) -> Vec<Step> {
    let RemovedLink { record, parent, mtu, .. } = removed;
    let link = record.link.name;
    let settings = record.settings_of_new().into_iter();
    let settings = settings.map(|it| Step::ResetLink { link, setting: Box::new(it) });
    let mtu = mtu.map(|mtu| Step::SetLink { link, value: Value::Mtu(mtu) });
    let make = Step::RemakeLink { record: Box::new(record.clone()), parent: *parent };
    std::iter::once(make).chain(settings).chain(mtu).collect()
}

/// The steps that give a link that was just made the sysctls of another one.
pub(super) fn own_sysctls(link: IfName, record: &LinkRecord, defaults: &Sysctls) -> Vec<Step> {
    let differs =
        |(sysctl, value): &(Sysctl, i32)| defaults.get(sysctl).is_some_and(|it| it != value);
    let own = record.own_sysctls().filter(differs);
    let own = own.map(|(sysctl, value)| Step::SetSysctl { link, sysctl, value });
    let default = Neighbours::default();
    let neighbours = record.neighbours.changes_from(&default, &default);
    own.chain(neighbours.map(|change| set_neighbours(link, change))).collect()
}

/// The step that has a link look for neighbours as it is to.
pub(super) fn set_neighbours(link: IfName, change: NeighbourChange) -> Step {
    Step::SetNeighbours { link, family: change.family, settings: Box::new(change.after) }
}

/// The steps that have a bridge let through to a link what it `had`, where it `has` something else. What
/// goes comes first, so that a port of which only this was done has nothing but what it had by default.
pub(super) fn vlan_steps(link: IfName, had: &BridgeVlans, has: &BridgeVlans) -> Vec<Step> {
    let (stale, missing) = (has.without(had), had.besides(has));
    let stale = Some(stale).filter(|it| !it.is_empty());
    let missing = Some(missing).filter(|it| !it.is_empty());
    let stale = stale.map(|vlans| Step::DeleteVlans { link, vlans });
    let missing = missing.map(|vlans| Step::SetVlans { link, vlans });
    stale.into_iter().chain(missing).collect()
}

/// The steps that give a link which has just become a port the settings of one.
pub(super) fn port_steps(link: IfName, record: &LinkRecord) -> Vec<Step> {
    let settings = record.port_settings_of_new().into_iter();
    settings.map(|it| Step::ResetLink { link, setting: Box::new(it) }).collect()
}
