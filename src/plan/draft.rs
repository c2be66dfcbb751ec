// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Draft`]: a plan in the making, and the ground on which it is made.

use crate::host::Host;
use crate::host::survey::{Survey, Surveyed};
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::{AddressRecord, RouteRecord};
use crate::plan::step::{LinkSpec, Step, Value};
use crate::plan::{Plan, Planned, discarded_name};

/// Steps so far, and what they are planned upon.
pub(super) struct Draft<'a> {
    pub(super) host: &'a Host,
    pub(super) survey: &'a Survey,
    steps: Vec<Planned>,
    discarded: Vec<IfName>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(host: &'a Host, survey: &'a Survey) -> Self {
        Self { host, survey, steps: Vec::new(), discarded: Vec::new() }
    }

    /// What is known of a link, if it is there.
    pub(super) fn find(&self, name: &IfName) -> Option<&'a Surveyed> {
        self.survey.named(name)
    }

    /// The name of a link's master.
    pub(super) fn master_of(&self, link: &Link) -> Option<IfName> {
        link.master.and_then(|master| self.host.link(master)).map(|master| master.name)
    }

    /// The links whose master is `link`.
    pub(super) fn ports_of(&self, link: &Link) -> Vec<&'a Link> {
        self.host.ports_of(link.index)
    }

    pub(super) fn push(&mut self, step: Step, undo: Option<Step>) {
        self.steps.push(Planned { step, undo });
    }

    pub(super) fn add_link(&mut self, spec: LinkSpec) {
        let undo = Step::DeleteLink(spec.name);
        self.push(Step::AddLink(spec), Some(undo));
    }

    /// Sets `value`, where `old` is what it was.
    pub(super) fn set(&mut self, link: IfName, value: Value, old: Value) {
        let undo = Step::SetLink { link, value: old };
        self.push(Step::SetLink { link, value }, Some(undo));
    }

    /// Gets a link that is down out of the way, to be deleted when there is time.
    pub(super) fn discard(&mut self, link: &Link) {
        let Some(name) = discarded_name(link) else { return };
        let undo = Step::SetLink { link: name, value: Value::Name(link.name) };
        self.push(Step::SetLink { link: link.name, value: Value::Name(name) }, Some(undo));
        self.discarded.push(name);
    }

    pub(super) fn add_address(&mut self, link: IfName, record: AddressRecord) {
        let undo = Step::DeleteAddress { link, record: record.clone() };
        self.push(Step::AddAddress { link, record }, Some(undo));
    }

    pub(super) fn delete_address(&mut self, link: IfName, record: &AddressRecord) {
        let undo = Step::AddAddress { link, record: record.clone() };
        self.push(Step::DeleteAddress { link, record: record.clone() }, Some(undo));
    }

    pub(super) fn add_route(&mut self, link: IfName, record: RouteRecord) {
        let undo = Step::DeleteRoute { link, record: record.clone() };
        self.push(Step::AddRoute { link, record }, Some(undo));
    }

    pub(super) fn delete_route(&mut self, link: IfName, record: &RouteRecord) {
        let undo = Step::AddRoute { link, record: record.clone() };
        self.push(Step::DeleteRoute { link, record: record.clone() }, Some(undo));
    }

    /// What is planned so far.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(|planned| &planned.step)
    }

    /// Whether nothing would change.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.iter().all(|planned| matches!(planned.step, Step::WaitFor(_)))
    }

    pub(super) fn finish(self) -> Plan {
        Plan { steps: self.steps, discarded: self.discarded }
    }
}

/// Whether a port that no definition names is left alone whatever happens: it may be a guest's. A
/// NIC, a bond or a VLAN is the host's own.
pub(super) fn may_be_a_guests(link: &Link) -> bool {
    match link.kind {
        LinkKind::Bond(_) | LinkKind::Nic | LinkKind::Vlan { .. } => false,
        LinkKind::Bridge(_) | LinkKind::Tun | LinkKind::Veth | LinkKind::Other => true,
    }
}
