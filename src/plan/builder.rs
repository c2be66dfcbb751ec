// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Builder`]: a plan in the making, and its inputs.

use crate::host::state::LinkState;
use crate::host::survey::Survey;
use crate::host::{Host, discarded_name};
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::address::Scope;
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::left::LeftRoute;
use crate::plan::request::{KernelRequest, LinkSpec, LinkValue};
use crate::plan::step::{Condition, Step};
use crate::plan::ways::is_reached;
use crate::plan::{Plan, Planned};

/// The steps so far, and the inputs of the plan.
pub(super) struct Builder<'a> {
    pub(super) host: &'a Host,
    pub(super) survey: &'a Survey,
    steps: Vec<Planned>,
    discarded: Vec<IfName>,
    left: Vec<LeftRoute>,
    pub(super) leases: Leases,
}

/// When a plan that starts DHCP clients is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leases {
    /// When the lease is obtained.
    Awaited,
    /// At once; the client continues to ask for a lease.
    LeftToClients,
}

impl<'a> Builder<'a> {
    pub(super) fn new(host: &'a Host, survey: &'a Survey) -> Self {
        let leases = Leases::Awaited;
        Self { host, survey, steps: Vec::new(), discarded: Vec::new(), left: Vec::new(), leases }
    }

    /// Returns a link's details, if it exists.
    pub(super) fn find(&self, name: &IfName) -> Option<&'a LinkState> {
        self.survey.named(name)
    }

    /// Returns the name of a link's master.
    pub(super) fn master_of(&self, link: &Link) -> Option<IfName> {
        link.master.and_then(|master| self.host.link(master)).map(|master| master.name)
    }

    /// Returns the links whose master is `link`.
    pub(super) fn ports_of(&self, link: &Link) -> Vec<&'a Link> {
        self.host.ports_of(link.index)
    }

    /// Adds a step, and the steps that undo it, in order.
    pub(super) fn push(&mut self, step: impl Into<Step>, undo: Vec<Step>) {
        self.steps.push(Planned { step: step.into(), undo });
    }

    /// Appends a step to those that undo the last step.
    pub(super) fn also_undo(&mut self, undo: impl Into<Step>) {
        if let Some(last) = self.steps.last_mut() {
            last.undo.push(undo.into());
        }
    }

    /// Prepends steps to those that undo the last step.
    pub(super) fn undo_first(&mut self, undo: Vec<Step>) {
        if let Some(last) = self.steps.last_mut() {
            last.undo.splice(..0, undo);
        }
    }

    pub(super) fn add_link(&mut self, spec: LinkSpec) {
        let undo = Step::Request(KernelRequest::DeleteLink(spec.name));
        self.push(KernelRequest::AddLink(spec), vec![undo]);
    }

    /// Sets `value`; `old` is the former value.
    pub(super) fn set(&mut self, link: IfName, value: LinkValue, old: LinkValue) {
        let undo = Step::Request(KernelRequest::SetLink { link, value: old });
        self.push(KernelRequest::SetLink { link, value }, vec![undo]);
    }

    /// Renames a link that is down, so that it can be deleted later.
    pub(super) fn discard(&mut self, link: &Link) {
        let Some(name) = discarded_name(link) else { return };
        let undo =
            Step::Request(KernelRequest::SetLink { link: name, value: LinkValue::Name(link.name) });
        self.push(
            KernelRequest::SetLink { link: link.name, value: LinkValue::Name(name) },
            vec![undo],
        );
        self.discarded.push(name);
    }

    pub(super) fn add_address(&mut self, link: IfName, record: AddressRecord) {
        let undo = Step::Request(KernelRequest::DeleteAddress { link, record: record.clone() });
        self.push(KernelRequest::AddAddress { link, record }, vec![undo]);
    }

    /// Replaces `old` by `new`, which is the same address with another lifetime.
    pub(super) fn change_address(&mut self, link: IfName, old: &AddressRecord, new: AddressRecord) {
        let undo = Step::Request(KernelRequest::ChangeAddress { link, record: old.clone() });
        self.push(KernelRequest::ChangeAddress { link, record: new }, vec![undo]);
    }

    pub(super) fn delete_address(&mut self, link: IfName, record: &AddressRecord) {
        let undo = Step::Request(KernelRequest::AddAddress { link, record: record.clone() });
        self.push(KernelRequest::DeleteAddress { link, record: record.clone() }, vec![undo]);
    }

    pub(super) fn add_route(&mut self, link: IfName, record: RouteRecord) {
        let record = record.to_add();
        let undo = Step::Request(KernelRequest::DeleteRoute { link, record: record.clone() });
        self.push(KernelRequest::AddRoute { link, record }, vec![undo]);
    }

    /// Removes a route. If its gateway is no longer in a network of the link, the undo step marks
    /// the gateway as on the link.
    pub(super) fn delete_route(&mut self, link: IfName, record: &RouteRecord) {
        let is_reached = self.find(&link).is_none_or(|now| is_reached(now, record));
        let again = if is_reached { record.clone() } else { record.on_link() };
        let undo = Step::Request(KernelRequest::AddRoute { link, record: again.to_add() });
        self.push(KernelRequest::DeleteRoute { link, record: record.clone() }, vec![undo]);
    }

    /// Records a lost route.
    pub(super) fn leave(&mut self, left: LeftRoute) {
        self.left.push(left);
    }

    /// Iterates over the steps so far.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(|planned| &planned.step)
    }

    /// Returns whether the plan creates a link.
    pub(super) fn is_made(&self, name: &IfName) -> bool {
        let is_making = |step: &&Step| step.request().is_some_and(KernelRequest::makes_link);
        self.steps().filter(is_making).any(|step| step.link_name() == Some(*name))
    }

    /// Brings a link up, unless it is up or the plan does so already. The undo steps restore its
    /// IPv6 addresses, which the kernel removes when the link goes down again.
    pub(super) fn set_up(&mut self, link: IfName) {
        let now = self.find(&link);
        let set = |value| Step::Request(KernelRequest::SetLink { link, value });
        let is_planned = self.steps().any(|step| *step == set(LinkValue::Up));
        if is_planned || now.is_some_and(|now| now.link().up) {
            return;
        }
        let addresses = now.map(|now| now.addresses.as_slice()).unwrap_or_default();
        let is_lost = |record: &&AddressRecord| {
            record.address.prefix.family() == Family::Ipv6 && record.address.scope != Scope::Link
        };
        let again = addresses.iter().filter(is_lost).cloned();
        let again = again.map(|record| Step::Request(KernelRequest::AddAddress { link, record }));
        let undo = std::iter::once(set(LinkValue::Down)).chain(again).collect();
        self.push(set(LinkValue::Up), undo);
    }

    /// Returns the links on `link` that work only while it is up: VLANs and similar. The other end
    /// of a veth is not one of them.
    pub(super) fn links_over(&self, link: &Link) -> Vec<&'a Link> {
        let host = self.host;
        let is_over =
            |other: &&Link| other.parent == Some(link.index) && other.kind != LinkKind::Veth;
        host.links().filter(is_over).collect()
    }

    /// Returns whether the plan changes nothing. Waiting for a lease counts as a change.
    pub(super) fn is_empty(&self) -> bool {
        let is_lease = |condition: &Condition| matches!(condition, Condition::Leased { .. });
        self.steps().all(|step| matches!(step, Step::WaitFor(condition) if !is_lease(condition)))
    }

    pub(super) fn finish(self) -> Plan {
        Plan { steps: self.steps, discarded: self.discarded, left: self.left }
    }
}
