// SPDX-License-Identifier: LGPL-2.1-or-later
//! The links part of a plan: which links are created, their attributes, and their masters.

use crate::host::may_be_guest;
use crate::host::removed::MTU_AT_FIRST;
use crate::host::state::LinkState;
use crate::model::address::MacAddr;
use crate::model::interface::{
    Bond, BondMember, BondMonitor, Bridge, Ethernet, ForwardDelay, Port, PortKind, Vlan,
};
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkBond, LinkBridge, LinkKind};
use crate::plan::builder::Builder;
use crate::plan::refusal::PlanRefusal;
use crate::plan::request::{KernelRequest, LinkSpec, LinkValue, SpecKind};
use crate::plan::step::{Condition, Step};

impl<'a> Builder<'a> {
    /// Requires an existing link: a NIC, or another link that counts as one.
    pub(super) fn require(
        &self,
        name: &IfName,
        role: impl FnOnce() -> String,
    ) -> Result<&'a LinkState, PlanRefusal> {
        self.find(name).ok_or_else(|| PlanRefusal::Missing { name: *name, role: role() })
    }

    pub(super) fn ethernet(
        &mut self,
        name: IfName,
        ethernet: &Ethernet,
    ) -> Result<(), PlanRefusal> {
        let now = self.require(&name, || "which is to be brought up".to_owned())?;
        self.set_mac(now.link(), ethernet.mac);
        Ok(())
    }

    /// Refuses a link that is a port, since it cannot be an interface of its own.
    pub(super) fn check_is_no_port(&self, name: IfName) -> Result<(), PlanRefusal> {
        let master = self.find(&name).and_then(|now| self.host.link(now.link().master?));
        let holder =
            master.filter(|master| matches!(master.kind, LinkKind::Bond(_) | LinkKind::Bridge(_)));
        holder.map_or(Ok(()), |master| Err(PlanRefusal::IsPort { name, master: master.name }))
    }

    /// Plans a VLAN, and brings its parent up.
    pub(super) fn vlan(&mut self, name: IfName, vlan: &Vlan) -> Result<(), PlanRefusal> {
        let parent = self.find(&vlan.parent).map(|parent| parent.link().index);
        if parent.is_none() && !self.is_made(&vlan.parent) {
            let role = format!("the parent of VLAN {name}");
            return Err(PlanRefusal::Missing { name: vlan.parent, role });
        }
        self.set_up(vlan.parent);
        match self.find(&name).map(|now| now.link()) {
            Some(Link { kind: LinkKind::Vlan { tag }, parent: over, .. }) => {
                if *tag != vlan.tag {
                    return Err(PlanRefusal::Fixed { name, what: "the tag".to_owned() });
                }
                if over.is_none() || *over != parent {
                    return Err(PlanRefusal::Fixed { name, what: "the parent".to_owned() });
                }
            }
            Some(_) => return Err(PlanRefusal::WrongKind { name, wanted: "VLAN" }),
            None => {
                let kind = SpecKind::Vlan { tag: vlan.tag, parent: vlan.parent };
                self.make_link(LinkSpec { name, mac: None, kind }, std::iter::empty());
            }
        }
        Ok(())
    }

    /// Plans a bond with its members. The members must be down and without addresses to be added.
    pub(super) fn bond(&mut self, name: IfName, bond: &Bond) -> Result<(), PlanRefusal> {
        let now = self.find(&name).map(|now| now.link());
        match now {
            Some(Link { kind: LinkKind::Bond(live), .. }) => self.tune_bond(name, bond, live)?,
            Some(_) => return Err(PlanRefusal::WrongKind { name, wanted: "bond" }),
            None => {
                let kind = SpecKind::Bond { mode: bond.mode, monitor: bond.monitor.clone() };
                let members = bond.members.iter().map(|member| member.name);
                let had = self.make_link(LinkSpec { name, mac: None, kind }, members);
                if let Some(LinkKind::Bond(had)) = had.map(|had| &had.record.link.kind) {
                    self.tune_bond(name, bond, had)?;
                }
            }
        }
        for BondMember { name: member, .. } in &bond.members {
            let port = self.require(member, || format!("a member of bond {name}"))?;
            match self.master_of(port.link()) {
                Some(master) if master == name => {
                    self.strip(port);
                    continue;
                }
                Some(master) => return Err(PlanRefusal::IsPort { name: *member, master }),
                None => {}
            }
            self.check_is_free(port.link())?;
            self.strip(port);
            if port.link().up {
                self.set_down(port.link());
            }
            let set = |value| Step::Request(KernelRequest::SetLink { link: *member, value });
            // The member takes the bond's MTU, which may be lower.
            let undo =
                std::iter::once(set(LinkValue::NoMaster)).chain(self.mtus_over(port.link(), 0));
            let undo = undo.collect();
            self.push(set(LinkValue::Master(name)), undo);
            self.restore_port(*member, name);
        }
        self.restore_primary(name, bond);
        // A bond has no guests among its members, so other links of any kind are released.
        let is_member = |port: &Link| bond.members.iter().any(|member| member.name == port.name);
        self.release_others(now, is_member);
        Ok(())
    }

    fn tune_bond(&mut self, name: IfName, bond: &Bond, live: &LinkBond) -> Result<(), PlanRefusal> {
        if bond.mode.is_some_and(|mode| live.mode != Some(mode)) {
            return Err(PlanRefusal::Fixed { name, what: "the mode".to_owned() });
        }
        if let Some(wanted) = bond.monitor.as_ref().filter(|wanted| !monitors(live, wanted)) {
            let again = |bond: LinkBond| LinkValue::MonitorAgain(Box::new(bond));
            let off = || again(LinkBond { miimon: 0, arp_interval: 0, ..live.clone() });
            let value = match wanted {
                // Disabling one monitor must not disable the other.
                BondMonitor::Arp { interval: 0, .. } => off(),
                BondMonitor::Mii { freq: 0, .. } if live.arp_interval > 0 => off(),
                BondMonitor::Mii { .. } | BondMonitor::Arp { .. } => {
                    LinkValue::Monitor(wanted.clone())
                }
            };
            self.set(name, value, again(live.clone()));
        }
        Ok(())
    }

    /// Refuses to take down a link that other links need.
    pub(super) fn check_is_free(&self, link: &Link) -> Result<(), PlanRefusal> {
        let over = self.links_over(link).into_iter().filter(|over| link.up && over.up);
        let guests: Vec<_> = over.map(|over| over.name).collect();
        if guests.is_empty() {
            Ok(())
        } else {
            Err(PlanRefusal::Guests { name: link.name, guests })
        }
    }

    /// Takes a link down, after its addresses and routes. When it comes up again the kernel also
    /// brings up the links on it, so the undo steps take down those that were down.
    pub(super) fn set_down(&mut self, link: &Link) {
        let set = |link, value| Step::Request(KernelRequest::SetLink { link, value });
        let down_over = self.links_over(link).into_iter().filter(|over| !over.up);
        let undo = down_over.map(|over| set(over.name, LinkValue::Down));
        let up = std::iter::once(set(link.name, LinkValue::Up));
        let undo = up.chain(undo).collect();
        self.push(set(link.name, LinkValue::Down), undo);
    }

    /// Plans a bridge without adding its ports; the ports' links are created, and it gets the first
    /// one's hardware address.
    pub(super) fn bridge(&mut self, name: IfName, bridge: &Bridge) -> Result<(), PlanRefusal> {
        for port in &bridge.ports {
            match &port.kind {
                PortKind::Ethernet(_) => {
                    self.require(&port.name, || format!("a port of bridge {name}"))?;
                }
                PortKind::Bond(bond) => {
                    self.bond(port.name, bond)?;
                    self.restore_sysctls(port.name);
                }
                PortKind::Vlan(_) => {}
            }
        }
        for (name, vlan) in vlans_in_order(bridge) {
            self.vlan(name, vlan)?;
            self.restore_sysctls(name);
        }
        match self.find(&name).map(|now| now.link()) {
            Some(Link { kind: LinkKind::Bridge(live), .. }) => {
                self.tune_bridge(name, bridge, *live);
            }
            Some(_) => return Err(PlanRefusal::WrongKind { name, wanted: "bridge" }),
            None => {
                let mac = bridge.ports.first().and_then(|port| self.mac_to_be(port));
                let delay = bridge.delay.map(|delay| in_force(delay, bridge.stp.unwrap_or(false)));
                // The kernel adjusts the delay itself when STP is enabled.
                let delay = if bridge.stp == Some(true) { bridge.delay } else { delay };
                let kind = SpecKind::Bridge { stp: bridge.stp, delay };
                let ports = bridge.ports.iter().map(|port| port.name);
                let had = self.make_link(LinkSpec { name, mac, kind }, ports);
                if let Some(LinkKind::Bridge(had)) = had.map(|had| &had.record.link.kind) {
                    self.tune_bridge(name, bridge, *had);
                }
            }
        }
        Ok(())
    }

    /// Sets the delay and STP of a bridge.
    fn tune_bridge(&mut self, name: IfName, bridge: &Bridge, live: LinkBridge) {
        let stp = bridge.stp.unwrap_or(live.stp);
        let delay = in_force(bridge.delay.unwrap_or(live.forward_delay), stp);
        // The kernel stores ticks, so it may report a hundredth of a second less.
        let is_set = delay.0.abs_diff(live.forward_delay.0) <= 1;
        let forward_delay = if is_set { live.forward_delay } else { delay };
        for [value, old] in bridge_values(LinkBridge { stp, forward_delay }, live) {
            self.set(name, value, old);
        }
    }

    /// Adds a bridge's ports, and releases the host's links that are ports but not in the
    /// definition.
    pub(super) fn enslave(
        &mut self,
        name: IfName,
        bridge: &Bridge,
        mtu: Option<u32>,
    ) -> Result<(), PlanRefusal> {
        self.raise_mtus(bridge, mtu);
        for port in &bridge.ports {
            let now = self.find(&port.name).map(|now| now.link());
            if let (PortKind::Ethernet(ethernet), Some(now)) = (&port.kind, now) {
                self.set_mac(now, ethernet.mac);
            }
            match now.and_then(|now| self.master_of(now)) {
                Some(master) if master == name => {}
                Some(master) => return Err(PlanRefusal::IsPort { name: port.name, master }),
                None => {
                    self.set(port.name, LinkValue::Master(name), LinkValue::NoMaster);
                    self.restore_port(port.name, name);
                }
            }
            self.set_up(port.name);
        }
        let is_kept = |link: &Link| {
            may_be_guest(link) || bridge.ports.iter().any(|port| port.name == link.name)
        };
        let now = self.find(&name).map(|now| now.link());
        self.release_others(now, is_kept);
        Ok(())
    }

    /// Waits for the carrier that a bridge gets with its first port, before routes lead through it:
    /// a neighbour request that was dropped is repeated only after a second. With STP the carrier
    /// appears later, so that is not waited for.
    pub(super) fn await_carrier(&mut self, name: IfName, bridge: &Bridge) {
        let now = self.find(&name).map(|now| now.link());
        let live_stp =
            now.is_some_and(|now| matches!(now.kind, LinkKind::Bridge(live) if live.stp));
        let carries = |port: &Port| self.find(&port.name).is_some_and(|now| now.link().carrier);
        if now.is_none_or(|now| !now.carrier)
            && !bridge.stp.unwrap_or(live_stp)
            && bridge.ports.iter().any(carries)
        {
            self.push(Step::WaitFor(Condition::Carries(name)), Vec::new());
        }
    }

    /// Raises the MTU of ports that have a lower one than the bridge, whose MTU is limited by them.
    /// The MTU of a VLAN is limited by its parent, which may be a port too.
    fn raise_mtus(&mut self, bridge: &Bridge, wanted: Option<u32>) {
        let vlans = vlans_in_order(bridge);
        let is_vlan = |port: &&Port| matches!(port.kind, PortKind::Vlan(_));
        let others = bridge.ports.iter().filter(|port| !is_vlan(port));
        let vlans = vlans.into_iter().map(|(name, vlan)| (name, Some(&vlan.parent)));
        for (name, parent) in others.map(|port| (port.name, None)).chain(vlans) {
            let now = self.mtu_now(&name, parent);
            self.set_mtu(name, wanted.filter(|wanted| *wanted > now), parent);
        }
    }

    /// Releases the ports of a bridge or bond that it does not keep.
    fn release_others(&mut self, master: Option<&Link>, is_kept: impl Fn(&Link) -> bool) {
        let Some(master) = master else { return };
        for port in self.ports_of(master) {
            if !is_kept(port) {
                self.release(master, port);
            }
        }
    }

    /// Releases a port from its master. A bond brings its members up when they are added, so the
    /// undo steps take down one that was down.
    pub(super) fn release(&mut self, master: &Link, port: &Link) {
        let set = |value| Step::Request(KernelRequest::SetLink { link: port.name, value });
        let down =
            (!port.up && matches!(master.kind, LinkKind::Bond(_))).then_some(LinkValue::Down);
        let again = self.joined_again(master, port);
        let undo = std::iter::once(LinkValue::Master(master.name)).chain(down).map(set);
        let undo = undo.chain(again).collect();
        self.push(set(LinkValue::NoMaster), undo);
    }

    /// Returns the hardware address that a port has or will have.
    fn mac_to_be(&self, port: &Port) -> Option<MacAddr> {
        let mac_of = |name: &IfName| self.find(name).and_then(|now| now.link().mac);
        let mac = match &port.kind {
            PortKind::Ethernet(ethernet) => ethernet.mac.or_else(|| mac_of(&port.name)),
            PortKind::Bond(bond) => mac_of(&port.name)
                .or_else(|| bond.members.first().and_then(|member| mac_of(&member.name))),
            PortKind::Vlan(vlan) => mac_of(&port.name).or_else(|| mac_of(&vlan.parent)),
        };
        mac.filter(MacAddr::is_ethernet)
    }

    fn set_mac(&mut self, now: &Link, wanted: Option<MacAddr>) {
        if let (Some(wanted), Some(old)) = (wanted.filter(|mac| now.mac != Some(*mac)), now.mac) {
            self.set(now.name, LinkValue::Mac(wanted), LinkValue::Mac(old));
        }
    }

    /// Returns the MTU of a link that exists or is planned. A VLAN is created with its parent's.
    fn mtu_now(&self, name: &IfName, parent: Option<&IfName>) -> u32 {
        let planned = self.steps().filter_map(|step| step.request()?.mtu_of(name)).last();
        let surveyed = |name: &IfName| self.find(name).map(|now| now.link().mtu);
        let at_first = || parent.and_then(surveyed).unwrap_or(MTU_AT_FIRST);
        planned.or_else(|| surveyed(name)).unwrap_or_else(at_first)
    }

    /// Returns the steps that restore the MTUs of the links on `link` after its MTU was lower:
    /// VLANs follow a parent's lower MTU, and members that of their bond, but not a higher one.
    fn mtus_over(&self, link: &'a Link, mtu: u32) -> Vec<Step> {
        let mut below = vec![link];
        let mut again = Vec::new();
        while let Some(link) = below.pop() {
            for vlan in self.links_over(link).into_iter().filter(|vlan| vlan.mtu > mtu) {
                again.push(Step::Request(KernelRequest::SetLink {
                    link: vlan.name,
                    value: LinkValue::Mtu(vlan.mtu),
                }));
                below.push(vlan);
            }
            if let LinkKind::Bond(_) = link.kind {
                below.extend(self.ports_of(link));
            }
        }
        again
    }

    /// Returns whether this is a bridge whose ports change in the plan.
    fn has_new_ports(&self, name: &IfName) -> bool {
        let is_bridge = |step: &Step| {
            let makes_one = if let Step::Request(KernelRequest::AddLink(spec)) = step {
                matches!(spec.kind, SpecKind::Bridge { .. })
            } else if let Step::Request(KernelRequest::RemakeLink { record, .. }) = step {
                matches!(record.link.kind, LinkKind::Bridge(_))
            } else {
                false
            };
            makes_one && step.link_name() == Some(*name)
        };
        let is_port = |step: &Step| {
            matches!(
                step,
                Step::Request(KernelRequest::SetLink {
                    value: LinkValue::Master(_) | LinkValue::NoMaster,
                    ..
                })
            )
        };
        let now = self.find(name).map(|now| &now.link().kind);
        let is_there = matches!(now, Some(LinkKind::Bridge(_)));
        (is_there || self.steps().any(is_bridge)) && self.steps().any(is_port)
    }

    /// Sets the MTU of a link that exists or is planned. A VLAN's MTU is limited by its parent's,
    /// and a bridge's follows its ports until it is set.
    pub(super) fn set_mtu(&mut self, name: IfName, wanted: Option<u32>, parent: Option<&IfName>) {
        let most = parent.map_or(u32::MAX, |parent| self.mtu_now(parent, None));
        let before = self.mtu_now(&name, parent);
        let has_followed = self.has_new_ports(&name);
        let wanted = wanted.map(|wanted| wanted.min(most));
        if let Some(wanted) = wanted.filter(|wanted| *wanted != before || has_followed) {
            let set = |link, mtu| {
                Step::Request(KernelRequest::SetLink { link, value: LinkValue::Mtu(mtu) })
            };
            let now = self.find(&name).map(|now| now.link());
            let again = now.map(|now| self.mtus_over(now, wanted)).unwrap_or_default();
            let undo = std::iter::once(set(name, before)).chain(again).collect();
            self.push(set(name, wanted), undo);
        }
    }
}

/// Returns the values that change a bridge's delay and STP, each with the present one, in an order
/// that the kernel accepts: it refuses delays out of bounds while STP runs.
pub(super) fn bridge_values(
    then: LinkBridge,
    now: LinkBridge,
) -> impl Iterator<Item = [LinkValue; 2]> {
    let stp = |on| (then.stp == on && now.stp != on).then(|| [on, !on].map(LinkValue::Stp));
    let delays = [then.forward_delay, now.forward_delay];
    let delay = (delays[0] != delays[1]).then(|| delays.map(LinkValue::Delay));
    [stp(false), delay, stp(true)].into_iter().flatten()
}

/// Returns the VLANs among a bridge's ports, each after its parent, which may be a port too.
fn vlans_in_order(bridge: &Bridge) -> Vec<(IfName, &Vlan)> {
    let mut waiting = Vec::new();
    for port in &bridge.ports {
        match &port.kind {
            PortKind::Vlan(vlan) => waiting.push((port.name, vlan)),
            PortKind::Ethernet(_) | PortKind::Bond(_) => {}
        }
    }
    let mut in_order = Vec::new();
    while !waiting.is_empty() {
        let names: Vec<_> = waiting.iter().map(|(name, _)| *name).collect();
        let (later, now): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, vlan)| names.contains(&vlan.parent));
        if now.is_empty() {
            debug_assert!(later.is_empty(), "a definition has no VLAN over itself");
            break;
        }
        in_order.extend(now);
        waiting = later;
    }
    in_order
}

/// Returns the delay that the kernel applies.
fn in_force(delay: ForwardDelay, stp: bool) -> ForwardDelay {
    if stp { delay.with_stp() } else { delay }
}

/// Returns whether a bond's monitor is as wanted; settings that are not given may have any value.
/// The kernel rounds delays to whole intervals.
fn monitors(live: &LinkBond, wanted: &BondMonitor) -> bool {
    match wanted {
        BondMonitor::Mii { freq, downdelay, updelay, carrier } => {
            let rounded = |delay: &u32| delay.checked_div(*freq).unwrap_or(0) * freq;
            live.arp_interval == 0
                && live.miimon == *freq
                && live.updelay == rounded(updelay)
                && live.downdelay == rounded(downdelay)
                && carrier.is_none_or(|carrier| carrier == live.carrier)
        }
        BondMonitor::Arp { interval: 0, .. } => live.arp_interval == 0 && live.miimon == 0,
        BondMonitor::Arp { interval, target, validate } => {
            live.arp_interval == *interval
                && live.arp_targets.first() == Some(target)
                && (validate.is_none() || *validate == live.arp_validate)
        }
    }
}
