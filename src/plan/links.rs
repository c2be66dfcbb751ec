// SPDX-License-Identifier: LGPL-2.1-or-later
//! The links part of a plan: what is to be made, what is to be set, and whose port it becomes.

use crate::host::describe;
use crate::host::survey::Surveyed;
use crate::model::address::MacAddr;
use crate::model::interface::{
    Bond, BondMember, BondMonitor, Bridge, Ethernet, ForwardDelay, Port, PortKind, Vlan,
};
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkBond, LinkBridge, LinkKind};
use crate::plan::draft::{Draft, may_be_a_guests};
use crate::plan::refusal::Refusal;
use crate::plan::step::{LinkSpec, SpecKind, Value};

/// What the kernel makes of a delay while STP runs (`BR_MIN_FORWARD_DELAY`,
/// `BR_MAX_FORWARD_DELAY`), in hundredths of a second.
const STP_DELAY_MIN: u32 = 200;
const STP_DELAY_MAX: u32 = 3000;

/// The MTU of a bridge or bond that has just been made.
const MTU_AT_FIRST: u32 = 1500;

impl<'a> Draft<'a> {
    /// A link that is there already: a NIC, or whatever else counts as one.
    pub(super) fn require(
        &self,
        name: &IfName,
        role: impl FnOnce() -> String,
    ) -> Result<&'a Surveyed, Refusal> {
        self.find(name).ok_or_else(|| Refusal::Missing { name: *name, role: role() })
    }

    pub(super) fn ethernet(&mut self, name: IfName, ethernet: &Ethernet) -> Result<(), Refusal> {
        let now = self.require(&name, || "which is to be brought up".to_owned())?;
        if let Some(master) = self.master_of(&now.link) {
            return Err(Refusal::IsPort { name, master });
        }
        self.set_mac(&now.link, ethernet.mac);
        Ok(())
    }

    /// A VLAN, and its parent up.
    pub(super) fn vlan(&mut self, name: IfName, vlan: &Vlan) -> Result<(), Refusal> {
        let parent = self.require(&vlan.parent, || format!("the parent of VLAN {name}"))?;
        if !parent.link.up {
            self.set(vlan.parent, Value::Up, Value::Down);
        }
        match self.find(&name).map(|now| &now.link) {
            Some(Link { kind: LinkKind::Vlan { tag }, parent: over, .. }) => {
                if *tag != vlan.tag {
                    return Err(Refusal::Fixed { name, what: "the tag".to_owned() });
                }
                if *over != Some(parent.link.index) {
                    return Err(Refusal::Fixed { name, what: "the parent".to_owned() });
                }
            }
            Some(_) => return Err(Refusal::WrongKind { name, wanted: "VLAN" }),
            None => {
                let kind = SpecKind::Vlan { tag: vlan.tag, parent: vlan.parent };
                self.add_link(LinkSpec { name, mac: None, kind });
            }
        }
        Ok(())
    }

    /// A bond with its members. They must be down to become that, and bring nothing with them.
    pub(super) fn bond(&mut self, name: IfName, bond: &Bond) -> Result<(), Refusal> {
        let now = self.find(&name).map(|now| &now.link);
        match now {
            Some(Link { kind: LinkKind::Bond(live), .. }) => self.tune_bond(name, bond, live)?,
            Some(_) => return Err(Refusal::WrongKind { name, wanted: "bond" }),
            None => {
                let kind = SpecKind::Bond { mode: bond.mode, monitor: bond.monitor.clone() };
                self.add_link(LinkSpec { name, mac: None, kind });
            }
        }
        for BondMember { name: member, .. } in &bond.members {
            let port = self.require(member, || format!("a member of bond {name}"))?;
            match self.master_of(&port.link) {
                Some(master) if master == name => continue,
                Some(master) => return Err(Refusal::IsPort { name: *member, master }),
                None => {}
            }
            self.strip(port);
            if port.link.up {
                self.set(*member, Value::Down, Value::Up);
            }
            self.set(*member, Value::Master(name), Value::NoMaster);
        }
        let is_member = |port: &Link| bond.members.iter().any(|member| member.name == port.name);
        self.release_others(now, is_member);
        Ok(())
    }

    fn tune_bond(&mut self, name: IfName, bond: &Bond, live: &LinkBond) -> Result<(), Refusal> {
        if bond.mode.is_some_and(|mode| live.mode != Some(mode)) {
            return Err(Refusal::Fixed { name, what: "the mode".to_owned() });
        }
        let now = describe::monitor(live);
        if let Some(wanted) = &bond.monitor {
            if !now.as_ref().is_some_and(|now| same_monitor(wanted, now)) {
                let wanted = Value::Monitor(Some(wanted.clone()));
                self.set(name, wanted, Value::Monitor(now));
            }
        }
        Ok(())
    }

    /// A bridge without its ports; their links are made, and it takes the first one's address.
    pub(super) fn bridge(&mut self, name: IfName, bridge: &Bridge) -> Result<(), Refusal> {
        for port in &bridge.ports {
            match &port.kind {
                PortKind::Ethernet(_) => {
                    self.require(&port.name, || format!("a port of bridge {name}"))?;
                }
                PortKind::Bond(bond) => self.bond(port.name, bond)?,
                PortKind::Vlan(vlan) => self.vlan(port.name, vlan)?,
            }
        }
        match self.find(&name).map(|now| &now.link) {
            Some(Link { kind: LinkKind::Bridge(live), .. }) => {
                self.tune_bridge(name, bridge, *live)
            }
            Some(_) => return Err(Refusal::WrongKind { name, wanted: "bridge" }),
            None => {
                let mac = bridge.ports.first().and_then(|port| self.mac_to_be(port));
                let delay = bridge.delay.map(|delay| in_force(delay, bridge.stp.unwrap_or(false)));
                // What STP makes of the delay comes about when it is switched on.
                let delay = if bridge.stp == Some(true) { bridge.delay } else { delay };
                let kind = SpecKind::Bridge { stp: bridge.stp, delay };
                self.add_link(LinkSpec { name, mac, kind });
            }
        }
        Ok(())
    }

    /// The kernel refuses a delay that STP does not allow while STP runs.
    fn tune_bridge(&mut self, name: IfName, bridge: &Bridge, live: LinkBridge) {
        let stp = bridge.stp.unwrap_or(live.stp);
        let delay = bridge.delay.map_or(live.forward_delay, |delay| in_force(delay, stp));
        if live.stp && !stp {
            self.set(name, Value::Stp(false), Value::Stp(true));
        }
        if delay != live.forward_delay {
            self.set(name, Value::Delay(delay), Value::Delay(live.forward_delay));
        }
        if !live.stp && stp {
            self.set(name, Value::Stp(true), Value::Stp(false));
        }
    }

    /// Makes the ports of a bridge its ports, and lets go of those of the host's own that it is not
    /// to have.
    pub(super) fn enslave(
        &mut self,
        name: IfName,
        bridge: &Bridge,
        mtu: Option<u32>,
    ) -> Result<(), Refusal> {
        for port in &bridge.ports {
            let now = self.find(&port.name).map(|now| &now.link);
            match now.and_then(|now| self.master_of(now)) {
                Some(master) if master == name => {}
                Some(master) => return Err(Refusal::IsPort { name: port.name, master }),
                None => self.enslave_one(name, port, now, mtu),
            }
            if now.is_none_or(|now| !now.up) {
                self.set(port.name, Value::Up, Value::Down);
            }
        }
        let is_port = |link: &Link| bridge.ports.iter().any(|port| port.name == link.name);
        let now = self.find(&name).map(|now| &now.link);
        self.release_others(now, is_port);
        Ok(())
    }

    fn enslave_one(&mut self, bridge: IfName, port: &Port, now: Option<&Link>, mtu: Option<u32>) {
        if let (PortKind::Ethernet(ethernet), Some(now)) = (&port.kind, now) {
            self.set_mac(now, ethernet.mac);
            // A bridge cannot carry more than its ports.
            if let Some(mtu) = mtu.filter(|mtu| *mtu > now.mtu) {
                self.set(port.name, Value::Mtu(mtu), Value::Mtu(now.mtu));
            }
        }
        self.set(port.name, Value::Master(bridge), Value::NoMaster);
    }

    /// The ports that a bridge or bond has and shall not have. Guests' are left alone.
    fn release_others(&mut self, master: Option<&Link>, is_named: impl Fn(&Link) -> bool) {
        let Some(master) = master else { return };
        for port in self.ports_of(master) {
            if !is_named(port) && !may_be_a_guests(port) {
                self.set(port.name, Value::NoMaster, Value::Master(master.name));
            }
        }
    }

    /// The address that a port has or will have.
    fn mac_to_be(&self, port: &Port) -> Option<MacAddr> {
        let mac_of = |name: &IfName| self.find(name).and_then(|now| now.link.mac);
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
            self.set(now.name, Value::Mac(wanted), Value::Mac(old));
        }
    }

    /// Sets the MTU of a link that is there or has been planned. A VLAN carries no more than its
    /// parent.
    pub(super) fn set_mtu(&mut self, name: IfName, wanted: Option<u32>, parent: Option<&IfName>) {
        let parent_mtu = parent.and_then(|parent| self.find(parent)).map(|parent| parent.link.mtu);
        let now = self.find(&name).map(|now| now.link.mtu);
        let now = now.or(parent_mtu).unwrap_or(MTU_AT_FIRST);
        let wanted = wanted.map(|wanted| parent_mtu.map_or(wanted, |most| wanted.min(most)));
        if let Some(wanted) = wanted.filter(|wanted| *wanted != now) {
            self.set(name, Value::Mtu(wanted), Value::Mtu(now));
        }
    }

    pub(super) fn set_up(&mut self, name: IfName) {
        if self.find(&name).is_none_or(|now| !now.link.up) {
            self.set(name, Value::Up, Value::Down);
        }
    }
}

/// The delay that the kernel keeps.
fn in_force(delay: ForwardDelay, stp: bool) -> ForwardDelay {
    if stp { ForwardDelay(delay.0.clamp(STP_DELAY_MIN, STP_DELAY_MAX)) } else { delay }
}

/// Whether a bond monitors as it is wanted to; what is not said may be anything.
fn same_monitor(wanted: &BondMonitor, now: &BondMonitor) -> bool {
    match (wanted, now) {
        (
            BondMonitor::Mii { freq, downdelay, updelay, carrier },
            BondMonitor::Mii { freq: f, downdelay: d, updelay: u, carrier: c },
        ) => (freq, downdelay, updelay) == (f, d, u) && (carrier.is_none() || carrier == c),
        (
            BondMonitor::Arp { interval, target, validate },
            BondMonitor::Arp { interval: i, target: t, validate: v },
        ) => (interval, target) == (i, t) && (validate.is_none() || validate == v),
        (BondMonitor::Mii { .. }, BondMonitor::Arp { .. })
        | (BondMonitor::Arp { .. }, BondMonitor::Mii { .. }) => false,
    }
}
