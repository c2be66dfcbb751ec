// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Plan`]: the ordered steps of a change, each with the steps that undo it.
//!
//! Plans are made from values alone: a definition, the table, and a survey of the links in question
//! ([`crate::host::survey`]). This module performs nothing. If a step is refused, the caller undoes
//! the performed ones, newest first.
//!
//! The order keeps connections alive: a bridge gets its addresses before its port loses them, a
//! route leads through the new link before it is removed from the old one, and the few requests in
//! between follow each other without a pause.

pub mod request;
pub mod step;
pub mod refusal;
pub mod left;
mod goal;
mod ways;
mod builder;
mod addressing;
mod nexthops;
mod rules;
mod remake;
mod links;
pub mod available;
pub mod give_back;
pub mod bring_up;
pub mod losses;
pub mod tear_down;
pub mod restore;

use std::fmt;

use crate::definitions::files::{FileCheck, FileEdit};
use crate::host::Host;
use crate::host::state::LinkState;
use crate::host::survey::{Survey, SurveyOrder};
use crate::managers::{Claim, Stake};
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use left::LeftRoute;
use request::KernelRequest;
use step::{FileStep, Step};

/// The steps of a change, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    pub steps: Vec<Planned>,
    /// Renamed links that are no longer used when the plan is done, to be deleted later.
    pub discarded: Vec<IfName>,
    /// Routes that are lost, for the log.
    pub left: Vec<LeftRoute>,
}

/// A step, and the steps that undo it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Planned {
    pub step: Step,
    /// In order; empty if the step changes nothing.
    pub undo: Vec<Step>,
}

impl Plan {
    /// Returns whether the plan changes more than files.
    pub(crate) fn changes_network(&self) -> bool {
        self.steps.iter().any(|planned| !matches!(planned.step, Step::File(_)))
    }

    /// Returns the plan that makes these changes of files.
    pub(crate) fn of_edits(check: Option<FileCheck>, edits: Vec<FileEdit>) -> Self {
        let first = check
            .map(|check| Planned { step: Step::File(FileStep::Check(check)), undo: Vec::new() });
        let plan = |edit: FileEdit| {
            let undo = vec![Step::File(FileStep::Edit(edit.inverse()))];
            Planned { step: Step::File(FileStep::Edit(edit)), undo }
        };
        let steps = first.into_iter().chain(edits.into_iter().map(plan)).collect();
        Self { steps, ..Self::default() }
    }

    /// Returns the existing VLANs and bonds that become ports of this bridge. When the bridge is
    /// destroyed, the links that were created for it are removed, but these are not.
    pub(crate) fn taken_in(&self, bridge: &IfName, host: &Host) -> Vec<LinkIndex> {
        let steps = self.steps.iter().map(|planned| &planned.step);
        let taken = steps.filter_map(|step| step.request()?.new_port_of(bridge));
        let links = taken.filter_map(|port| host.link_named(&port));
        let is_virtual =
            |link: &&Link| matches!(link.kind, LinkKind::Vlan { .. } | LinkKind::Bond(_));
        links.filter(is_virtual).map(|link| link.index).collect()
    }
}

/// Returns the links to survey before an interface is started or destroyed.
pub fn survey_order(name: IfName, definition: Option<&Interface>) -> SurveyOrder {
    let below = definition.map(|definition| [definition.members(), definition.parents()].concat());
    SurveyOrder { links: below.unwrap_or_default().into_iter().chain([name]).collect() }
}

/// Returns the links that a start affects. A lease is at stake for a link that becomes a port and
/// may have one, and for a link on which a client would be started.
pub(crate) fn claims(definition: &Interface, host: &Host, survey: &Survey) -> Vec<Claim> {
    let members = definition.members();
    let is_port = |link: &IfName| {
        let master = host.link_named(link).and_then(|link| host.link(link.master?));
        master.is_some_and(|it| it.name == definition.name || members.contains(&it.name))
    };
    let wants_client = definition.protocols.iter().any(|protocol| {
        protocol.dhcp.is_some() && !survey.has_client(&definition.name, protocol.family)
    });
    Claim::all(definition, |link| {
        let is_taken = members.contains(link) && !is_port(link);
        if is_taken || (*link == definition.name && wants_client) {
            Stake::Lease
        } else {
            Stake::Settings
        }
    })
}

/// Returns the requests that remove from a link everything that a DHCP client of this family has
/// configured: all addresses and routes except those given, and those from router advertisements.
pub fn without_lease(
    now: &LinkState,
    family: Family,
    addresses: &[IpPrefix],
    routes: &[RouteRecord],
) -> Vec<KernelRequest> {
    let link = now.link().name;
    let is_brought = |route: &&RouteRecord| {
        route.family == family && !route.is_advertised() && !routes.contains(route)
    };
    let brought = now.routes.iter().filter(is_brought).cloned();
    let mut requests: Vec<_> =
        brought.map(|record| KernelRequest::DeleteRoute { link, record }).collect();
    let is_brought = |record: &&AddressRecord| {
        let prefix = record.address.prefix;
        prefix.family() == family && record.address.may_be_leased() && !addresses.contains(&prefix)
    };
    let brought = now.addresses.iter().filter(is_brought).cloned();
    requests.extend(brought.map(|record| KernelRequest::DeleteAddress { link, record }));
    requests
}

/// Formats one line per step, with its undo steps.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Planned { step, undo } in &self.steps {
            let text = step.to_string();
            let (subject, rest) = text.split_once(' ').unwrap_or((&text, ""));
            let undo: Vec<_> = undo.iter().map(Step::to_string).collect();
            match undo.as_slice() {
                [] => writeln!(f, "{subject:<6} {rest}")?,
                undo => writeln!(f, "{subject:<6} {rest:<56} undo: {}", undo.join("; "))?,
            }
        }
        self.discarded.iter().try_for_each(|name| writeln!(f, "later  link del {name}"))?;
        self.left.iter().try_for_each(|left| writeln!(f, "left   {left}"))
    }
}
