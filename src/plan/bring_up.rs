// SPDX-License-Identifier: LGPL-2.1-or-later
//! The plan that makes a link as it is defined, be it that all of it is missing or a trifle.
//!
//! Only differences become steps, so that an edited definition changes a running bridge under its
//! guests, and nothing that is as it should be is touched.
//!
//! [`bring_up`] is for a person's call: all of it or nothing. [`bring_up_available`] is for what comes
//! up by itself: as much as can be, without waiting for a lease.

use crate::host::Host;
use crate::host::survey::{Survey, Surveyed};
use crate::model::interface::{Bridge, Interface, Kind};
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::available::{self, Lack, Part};
use crate::plan::builder::{Builder, Leases};
use crate::plan::refusal::Refusal;
use crate::plan::step::{Condition, Step};
use crate::plan::{Plan, Planned, addressing};

/// Plans to bring `definition` up.
///
/// # Errors
/// It is up as it is defined, or cannot be.
pub fn bring_up(definition: &Interface, host: &Host, survey: &Survey) -> Result<Plan, Refusal> {
    draft_up(definition, host, survey, Leases::Awaited)
}

/// What can be brought up now of a definition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Partial {
    /// Without a step, if nothing can or need be done.
    pub plan: Plan,
    /// What is missing yet.
    pub lacks: Vec<Lack>,
    /// Whether the interface will be of use, with all of its addressing and at least one port.
    pub is_usable: bool,
}

/// How much of a definition is to be applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Round {
    /// The link becomes as it is defined.
    First,
    /// What was missing before is added, and nothing else touched: whatever differs otherwise has been
    /// changed by an administrator since.
    Later,
}

/// Plans to bring up as much of `definition` as can be.
///
/// # Errors
/// What is there contradicts the definition.
pub(crate) fn bring_up_available(
    definition: &Interface,
    host: &Host,
    survey: &Survey,
    round: Round,
) -> Result<Partial, Refusal> {
    let Part { interface, mut lacks, is_portless } = available::part_of(definition, host);
    let Some(mut part) = interface else {
        return Ok(Partial { plan: Plan::default(), lacks, is_usable: false });
    };
    let leases = addressing::leases(&part);
    let missing: Vec<_> = leases.into_iter().filter(|leased| !leased.holds(host)).collect();
    let is_usable = missing.is_empty() && !is_portless;
    lacks.extend(missing.into_iter().map(Lack::Lease));
    if round == Round::Later {
        available::without_ports_in_place(&mut part, host);
    }
    let mut plan = match draft_up(&part, host, survey, Leases::LeftToClients) {
        Err(Refusal::Running) => Plan::default(),
        planned => planned?,
    };
    if round == Round::Later {
        keep_additions(&mut plan, definition, survey);
    }
    Ok(Partial { plan, lacks, is_usable })
}

/// Drops the steps that would take something from links that are in use already, or tune them.
fn keep_additions(plan: &mut Plan, definition: &Interface, survey: &Survey) {
    let is_in_use = |name: IfName| {
        let now = survey.named(&name);
        now.is_some_and(|now| name == definition.name || now.link.master.is_some())
    };
    plan.steps.retain(|planned| {
        let step = &planned.step;
        let takes_or_tunes = matches!(
            step,
            Step::SetLink { .. }
                | Step::SetSysctl { .. }
                | Step::ChangeAddress { .. }
                | Step::DeleteAddress { .. }
                | Step::DeleteRoute { .. }
                | Step::StopClient(_)
                | Step::EndForeignClient(_)
        );
        !(takes_or_tunes && step.link_name().is_some_and(is_in_use))
    });
    plan.left.retain(|left| !is_in_use(left.from));
    let is_wait = |planned: &Planned| matches!(planned.step, Step::WaitFor(_));
    if plan.steps.iter().all(is_wait) {
        plan.steps.clear();
    }
}

fn draft_up(
    definition: &Interface,
    host: &Host,
    survey: &Survey,
    leases: Leases,
) -> Result<Plan, Refusal> {
    let name = definition.name;
    let sources: Vec<_> = sources(definition, survey);
    let mut builder = Builder::new(host, survey);
    builder.leases = leases;
    for member in definition.members() {
        builder.free_from_managers(member, definition)?;
        builder.stop_all_clients(member)?;
    }
    let mut parent = None;
    let mut bridge: Option<&Bridge> = None;
    match &definition.kind {
        Kind::Ethernet(ethernet) => builder.ethernet(name, ethernet)?,
        Kind::Bridge(kind) => {
            builder.bridge(name, kind)?;
            bridge = Some(kind);
        }
        Kind::Bond(bond) => builder.bond(name, bond)?,
        Kind::Vlan(vlan) => {
            builder.vlan(name, vlan)?;
            parent = Some(&vlan.parent);
        }
    }
    builder.check_is_no_port(name)?;
    builder.carry_sysctls(definition, &sources);
    builder.set_ipv6_sysctls(definition, &sources);
    if bridge.is_none() {
        builder.set_mtu(name, definition.mtu, parent);
    }
    builder.set_up(name);
    let was_up = builder.find(&name).is_some_and(|now| now.link.up);
    if bridge.is_none() && !was_up {
        // What is sent before the kernel has noted the carrier is thrown away, and a question for a
        // neighbour's address asked again after a second.
        builder.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    }
    builder.stop_clients(definition)?;
    builder.add_rules(definition, &sources);
    builder.add_addresses(definition, &sources);
    if let Some(bridge) = bridge {
        builder.enslave(name, bridge, definition.mtu)?;
        builder.set_mtu(name, definition.mtu, None);
        builder.await_carrier(name, bridge);
    }
    builder.replace_addresses(definition, &sources);
    builder.add_routes(definition, &sources);
    if let Some(bridge) = bridge {
        // A bond's members have been stripped when they became that.
        for port in &bridge.ports {
            if let Some(now) = survey.named(&port.name) {
                builder.strip(now);
            }
        }
    }
    builder.move_nexthops(definition, &sources);
    builder.start_clients(definition, &sources);
    if builder.is_empty() {
        return Err(Refusal::Running);
    }
    builder.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    Ok(builder.finish())
}

/// Plans to bring up a link that nobody has defined: just as it is, or with what it had when it was
/// taken down.
///
/// # Errors
/// It is up already, or the port of another.
pub fn bring_up_undefined(name: IfName, host: &Host, survey: &Survey) -> Result<Plan, Refusal> {
    let mut builder = Builder::new(host, survey);
    let now = builder.require(&name, || "which is to be brought up".to_owned())?;
    if now.link.up {
        return Err(Refusal::Running);
    }
    builder.set_up(name);
    builder.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    if let Some(shelved) = survey.shelved_for(&name) {
        builder.give_back(now, shelved);
    }
    builder.give_back_clients(name);
    Ok(builder.finish())
}

/// The links whose addressing the definition's link takes over: its members, and a link that was
/// taken down a moment ago to make room for it.
fn sources<'a>(definition: &Interface, survey: &'a Survey) -> Vec<&'a Surveyed> {
    let mut names = definition.members();
    let mut sources: Vec<_> = names.iter().filter_map(|name| survey.named(name)).collect();
    names.push(definition.name);
    sources.extend(survey.recent_for(&names));
    sources
}

/// Whether a link that is there is of the kind that a definition describes.
pub(super) fn is_of_kind(definition: &Interface, kind: &LinkKind) -> bool {
    match (&definition.kind, kind) {
        (Kind::Bridge(_), LinkKind::Bridge(_))
        | (Kind::Bond(_), LinkKind::Bond(_))
        | (Kind::Vlan(_), LinkKind::Vlan { .. }) => true,
        (Kind::Ethernet(_) | Kind::Bridge(_) | Kind::Bond(_) | Kind::Vlan(_), _) => false,
    }
}
