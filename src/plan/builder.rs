// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Builder`]: a plan in the making, and the inputs that it is made from.

use crate::host::survey::{Survey, Surveyed};
use crate::host::{Host, discarded_name};
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::address::Scope;
use crate::netlink::link::{Link, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::left::Left;
use crate::plan::step::{Condition, LinkSpec, Step, Value};
use crate::plan::ways::is_reached;
use crate::plan::{Plan, Planned};

/// Steps so far, and what they are planned upon.
pub(super) struct Builder<'a> {
    pub(super) host: &'a Host,
    pub(super) survey: &'a Survey,
    steps: Vec<Planned>,
    discarded: Vec<IfName>,
    left: Vec<Left>,
    pub(super) leases: Leases,
}

/// When a plan that starts DHCP clients is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leases {
    /// With the lease.
    Awaited,
    /// At once: the client goes on asking.
    LeftToClients,
}

impl<'a> Builder<'a> {
    pub(super) fn new(host: &'a Host, survey: &'a Survey) -> Self {
        let leases = Leases::Awaited;
        Self { host, survey, steps: Vec::new(), discarded: Vec::new(), left: Vec::new(), leases }
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

    /// Adds a step, and what takes it back, in order.
    pub(super) fn push(&mut self, step: Step, undo: Vec<Step>) {
        self.steps.push(Planned { step, undo });
    }

    /// Adds to what takes the last step back.
    pub(super) fn also_undo(&mut self, undo: Step) {
        if let Some(last) = self.steps.last_mut() {
            last.undo.push(undo);
        }
    }

    /// Adds to what takes the last step back, before anything else of that.
    pub(super) fn undo_first(&mut self, undo: Vec<Step>) {
        if let Some(last) = self.steps.last_mut() {
            last.undo.splice(..0, undo);
        }
    }

    pub(super) fn add_link(&mut self, spec: LinkSpec) {
        let undo = Step::DeleteLink(spec.name);
        self.push(Step::AddLink(spec), vec![undo]);
    }

    /// Sets `value`, where `old` is what it was.
    pub(super) fn set(&mut self, link: IfName, value: Value, old: Value) {
        let undo = Step::SetLink { link, value: old };
        self.push(Step::SetLink { link, value }, vec![undo]);
    }

    /// Gets a link that is down out of the way, to be deleted when there is time.
    pub(super) fn discard(&mut self, link: &Link) {
        let Some(name) = discarded_name(link) else { return };
        let undo = Step::SetLink { link: name, value: Value::Name(link.name) };
        self.push(Step::SetLink { link: link.name, value: Value::Name(name) }, vec![undo]);
        self.discarded.push(name);
    }

    pub(super) fn add_address(&mut self, link: IfName, record: AddressRecord) {
        let undo = Step::DeleteAddress { link, record: record.clone() };
        self.push(Step::AddAddress { link, record }, vec![undo]);
    }

    /// Puts `new` in the place of `old`: the same address, but for how long it lasts.
    pub(super) fn change_address(&mut self, link: IfName, old: &AddressRecord, new: AddressRecord) {
        let undo = Step::ChangeAddress { link, record: old.clone() };
        self.push(Step::ChangeAddress { link, record: new }, vec![undo]);
    }

    pub(super) fn delete_address(&mut self, link: IfName, record: &AddressRecord) {
        let undo = Step::AddAddress { link, record: record.clone() };
        self.push(Step::DeleteAddress { link, record: record.clone() }, vec![undo]);
    }

    pub(super) fn add_route(&mut self, link: IfName, record: RouteRecord) {
        let record = record.to_add();
        let undo = Step::DeleteRoute { link, record: record.clone() };
        self.push(Step::AddRoute { link, record }, vec![undo]);
    }

    /// Removes a route. One whose gateway is on no network of the link any more comes back as one whose
    /// gateway need not be.
    pub(super) fn delete_route(&mut self, link: IfName, record: &RouteRecord) {
        let is_reached = self.find(&link).is_none_or(|now| is_reached(now, record));
        let again = if is_reached { record.clone() } else { record.on_link() };
        let undo = Step::AddRoute { link, record: again.to_add() };
        self.push(Step::DeleteRoute { link, record: record.clone() }, vec![undo]);
    }

    /// Notes that a route does not go along.
    pub(super) fn leave(&mut self, left: Left) {
        self.left.push(left);
    }

    /// What is planned so far.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(|planned| &planned.step)
    }

    /// Whether a link is planned to be made.
    pub(super) fn is_made(&self, name: &IfName) -> bool {
        let is_making = |step: &&Step| matches!(step, Step::AddLink(_) | Step::RemakeLink { .. });
        self.steps().filter(is_making).any(|step| step.link_name() == Some(*name))
    }

    /// Brings a link up, if it is neither up nor planned to be. What it has of IPv6 while it is down
    /// would not survive its coming up and going down again.
    pub(super) fn set_up(&mut self, link: IfName) {
        let now = self.find(&link);
        let set = |value| Step::SetLink { link, value };
        let is_planned = self.steps().any(|step| *step == set(Value::Up));
        if is_planned || now.is_some_and(|now| now.link.up) {
            return;
        }
        let addresses = now.map(|now| now.addresses.as_slice()).unwrap_or_default();
        let is_lost = |record: &&AddressRecord| {
            record.address.prefix.family() == Family::Ipv6 && record.address.scope != Scope::Link
        };
        let again = addresses.iter().filter(is_lost).cloned();
        let again = again.map(|record| Step::AddAddress { link, record });
        let undo = std::iter::once(set(Value::Down)).chain(again).collect();
        self.push(set(Value::Up), undo);
    }

    /// Those over `link` that work only as long as it is up: VLANs and their like. A veth's other end
    /// is not one of them.
    pub(super) fn links_over(&self, link: &Link) -> Vec<&'a Link> {
        let host = self.host;
        let is_over =
            |other: &&Link| other.parent == Some(link.index) && other.kind != LinkKind::Veth;
        host.links().filter(is_over).collect()
    }

    /// Whether nothing would change. A lease that is yet to come would.
    pub(super) fn is_empty(&self) -> bool {
        let is_lease = |condition: &Condition| matches!(condition, Condition::Leased { .. });
        self.steps().all(|step| matches!(step, Step::WaitFor(condition) if !is_lease(condition)))
    }

    pub(super) fn finish(self) -> Plan {
        Plan { steps: self.steps, discarded: self.discarded, left: self.left }
    }
}
