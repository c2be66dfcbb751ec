// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a plan that creates a link with the attributes and sysctls of its predecessor that a
//! definition cannot express.
//!
//! The predecessor is the removed link of the same name ([`RemovedLink`]); the sysctls are those of
//! the interface that the link replaces.

use std::collections::BTreeSet;

use crate::host::removed::RemovedLink;
use crate::host::state::LinkState;
use crate::host::survey::Sysctls;
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
use crate::plan::request::{KernelRequest, LinkSpec, LinkValue, SpecKind};
use crate::plan::step::Step;

impl<'a> Builder<'a> {
    /// Creates a link that will have these ports, with the attributes of the removed link of its
    /// name, if that was of the same kind. The hardware address is taken over only if the ports are
    /// the same.
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
        let undo = vec![Step::Request(KernelRequest::DeleteLink(spec.name))];
        steps.next().into_iter().for_each(|step| self.push(step, undo.clone()));
        steps.for_each(|step| self.push(step, Vec::new()));
        self.restore_vlans(spec.name, removed, removed);
        Some(removed)
    }

    /// Sets the former sysctls of a link that is created as a part of another.
    pub(super) fn restore_sysctls(&mut self, name: IfName) {
        let removed = self.survey.removed.get(&name).filter(|_| self.is_made(&name));
        for step in
            removed.map(|it| own_sysctls(name, &it.record, self.defaults())).unwrap_or_default()
        {
            self.push(step, Vec::new());
        }
    }

    /// Sets the sysctls of the interface that `definition`'s link replaces. A link that existed
    /// before keeps its own IPv6 sysctls, as a definition may have set those of the other.
    pub(super) fn carry_sysctls(&mut self, definition: &Interface, sources: &[&'a LinkState]) {
        let link = definition.name;
        let goal = AddressingGoal::new(definition, Family::Ipv6, sources, self.survey);
        let Some(source) = goal.sysctl_source() else { return };
        let Some(now) = self.find(&link) else {
            let of_ipv6 = source.own_address_making().into_iter();
            let of_ipv6 = of_ipv6
                .map(|it| Step::Request(KernelRequest::ResetLink { link, setting: Box::new(it) }));
            let steps = own_sysctls(link, source, self.defaults()).into_iter().chain(of_ipv6);
            return steps.into_iter().for_each(|step| self.push(step, Vec::new()));
        };
        let has: Sysctls = now.record.sysctls().into_iter().collect();
        for (sysctl, value) in source.own_sysctls().filter(|(sysctl, _)| !sysctl.is_defined()) {
            let set = |value| Step::SetSysctl { link, sysctl, value };
            if let Some(old) = has.get(&sysctl).filter(|old| **old != value) {
                self.push(set(value), vec![set(*old)]);
            }
        }
        let default = &self.survey.default_neighbours;
        for change in source.neighbours.changes_from(&now.record.neighbours, default) {
            let undo = NeighbourChange { after: change.before, ..change };
            self.push(set_neighbours(link, change), vec![set_neighbours(link, undo)]);
        }
    }

    /// Restores the settings that a port had on this bridge or bond.
    pub(super) fn restore_port(&mut self, port: IfName, master: IfName) {
        let find = |name: &IfName| self.survey.removed.get(name);
        let (Some(had), Some(over)) = (find(&port), find(&master)) else { return };
        if had.master == Some(master) {
            port_steps(port, &had.record).into_iter().for_each(|it| self.push(it, Vec::new()));
            self.restore_vlans(port, had, over);
        }
    }

    /// Restores the VLANs of a bridge or its port.
    fn restore_vlans(&mut self, link: IfName, had: &RemovedLink, bridge: &RemovedLink) {
        let default = bridge.record.default_vlan().map(BridgeVlans::of_default);
        if let (Some(had), Some(default)) = (&had.vlans, default) {
            vlan_steps(link, had, &default).into_iter().for_each(|it| self.push(it, Vec::new()));
        }
    }

    /// Returns the steps that add a released port to its bridge or bond again.
    pub(super) fn joined_again(&self, master: &Link, port: &Link) -> Vec<Step> {
        let Some(surveyed) = self.find(&port.name) else { return Vec::new() };
        let of_port = port_steps(port.name, &surveyed.record);
        let bridge = self.find(&master.name).and_then(|now| now.record.default_vlan());
        let vlans =
            self.survey.vlans_of(port.index).zip(bridge).map(|(had, default)| {
                vlan_steps(port.name, had, &BridgeVlans::of_default(default))
            });
        [of_port, vlans.unwrap_or_default()].concat()
    }

    /// Restores the member that a bond preferred, if it still is a member.
    pub(super) fn restore_primary(&mut self, name: IfName, bond: &Bond) {
        let removed = self.survey.removed.get(&name).filter(|_| self.is_made(&name));
        let primary = removed.and_then(|removed| removed.primary);
        let is_member = |it: &IfName| bond.members.iter().any(|member| member.name == *it);
        if let Some(primary) = primary.filter(is_member) {
            let step = Step::Request(KernelRequest::SetLink {
                link: name,
                value: LinkValue::Primary(primary),
            });
            self.push(step, Vec::new());
        }
    }

    fn defaults(&self) -> &'a Sysctls {
        &self.survey.defaults
    }
}

/// Returns whether a removed link can be created again for this specification.
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

/// Returns the steps that create a link again, without its sysctls and its settings as a port.
pub(super) fn remade(removed: &RemovedLink) -> Vec<Step> {
    let RemovedLink { record, parent, mtu, .. } = removed;
    let link = record.link.name;
    let settings = record.settings_of_new().into_iter();
    let settings =
        settings.map(|it| Step::Request(KernelRequest::ResetLink { link, setting: Box::new(it) }));
    let mtu =
        mtu.map(|mtu| Step::Request(KernelRequest::SetLink { link, value: LinkValue::Mtu(mtu) }));
    let make = Step::Request(KernelRequest::RemakeLink {
        record: Box::new(record.clone()),
        parent: *parent,
    });
    std::iter::once(make).chain(settings).chain(mtu).collect()
}

/// Returns the steps that set another link's sysctls on a new link.
pub(super) fn own_sysctls(link: IfName, record: &LinkRecord, defaults: &Sysctls) -> Vec<Step> {
    let differs =
        |(sysctl, value): &(Sysctl, i32)| defaults.get(sysctl).is_some_and(|it| it != value);
    let own = record.own_sysctls().filter(differs);
    let own = own.map(|(sysctl, value)| Step::SetSysctl { link, sysctl, value });
    let default = Neighbours::default();
    let neighbours = record.neighbours.changes_from(&default, &default);
    own.chain(neighbours.map(|change| set_neighbours(link, change))).collect()
}

/// Returns the step that applies a change of neighbour settings.
pub(super) fn set_neighbours(link: IfName, change: NeighbourChange) -> Step {
    Step::Request(KernelRequest::SetNeighbours {
        link,
        family: change.family,
        settings: Box::new(change.after),
    })
}

/// Returns the steps that change a link's VLANs from `has` to `had`. Deletions come first, so that
/// a port on which only these are performed is left with only default VLANs.
pub(super) fn vlan_steps(link: IfName, had: &BridgeVlans, has: &BridgeVlans) -> Vec<Step> {
    let (stale, missing) = (has.without(had), had.besides(has));
    let stale = Some(stale).filter(|it| !it.is_empty());
    let missing = Some(missing).filter(|it| !it.is_empty());
    let stale = stale.map(|vlans| Step::Request(KernelRequest::DeleteVlans { link, vlans }));
    let missing = missing.map(|vlans| Step::Request(KernelRequest::SetVlans { link, vlans }));
    stale.into_iter().chain(missing).collect()
}

/// Returns the steps that apply port settings to a link that has just become a port.
pub(super) fn port_steps(link: IfName, record: &LinkRecord) -> Vec<Step> {
    let settings = record.port_settings_of_new().into_iter();
    settings
        .map(|it| Step::Request(KernelRequest::ResetLink { link, setting: Box::new(it) }))
        .collect()
}
