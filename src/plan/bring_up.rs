// SPDX-License-Identifier: LGPL-2.1-or-later
//! Plans what brings a link to its definition, whether it must be created or one attribute differs.
//!
//! Only differences become steps, so an edited definition changes a running bridge under its
//! guests, without touching attributes that are right.
//!
//! [`bring_up`] is for clients' calls: it plans the whole definition or nothing.
//! [`bring_up_available`] is for automatic starts: it plans as much as possible, without waiting
//! for a lease.

use crate::host::Host;
use crate::host::state::LinkState;
use crate::host::survey::Survey;
use crate::model::interface::{Bridge, Interface, Kind};
use crate::model::name::IfName;
use crate::netlink::link::LinkKind;
use crate::plan::available::{self, DefinitionPart, Lack};
use crate::plan::builder::{Builder, Leases};
use crate::plan::refusal::PlanRefusal;
use crate::plan::request::KernelRequest;
use crate::plan::step::{Condition, DhcpStep, Step};
use crate::plan::{Plan, Planned, addressing};

/// Plans to bring `definition` up.
///
/// # Errors
/// The interface is up and matches its definition, or cannot be brought up.
pub fn bring_up(definition: &Interface, host: &Host, survey: &Survey) -> Result<Plan, PlanRefusal> {
    draft_up(definition, host, survey, Leases::Awaited)
}

/// The part of a definition that can be brought up now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartialPlan {
    /// Without steps, if nothing can or need be done.
    pub plan: Plan,
    /// The missing objects.
    pub lacks: Vec<Lack>,
    /// Whether the interface will be usable, with all its addresses and at least one port.
    pub is_usable: bool,
}

/// The extent to which a definition is applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BringUpExtent {
    /// Everything that differs from the definition is changed.
    First,
    /// Only objects that were missing before are added. An administrator has made all other
    /// differences since.
    Later,
}

/// Plans to bring up as much of `definition` as possible.
///
/// # Errors
/// The existing links contradict the definition.
pub(crate) fn bring_up_available(
    definition: &Interface,
    host: &Host,
    survey: &Survey,
    round: BringUpExtent,
) -> Result<PartialPlan, PlanRefusal> {
    let DefinitionPart { interface, mut lacks, is_portless } = available::part_of(definition, host);
    let Some(mut part) = interface else {
        return Ok(PartialPlan { plan: Plan::default(), lacks, is_usable: false });
    };
    let leases = addressing::leases(&part);
    let missing: Vec<_> = leases.into_iter().filter(|leased| !leased.holds(host)).collect();
    let is_usable = missing.is_empty() && !is_portless;
    lacks.extend(missing.into_iter().map(Lack::Lease));
    if round == BringUpExtent::Later {
        available::without_ports_in_place(&mut part, host);
    }
    let mut plan = match draft_up(&part, host, survey, Leases::LeftToClients) {
        Err(PlanRefusal::Running) => Plan::default(),
        planned => planned?,
    };
    if round == BringUpExtent::Later {
        keep_additions(&mut plan, definition, survey);
    }
    Ok(PartialPlan { plan, lacks, is_usable })
}

/// Drops the steps that would change or remove attributes of links that are in use already.
fn keep_additions(plan: &mut Plan, definition: &Interface, survey: &Survey) {
    let is_in_use = |name: IfName| {
        let now = survey.named(&name);
        now.is_some_and(|now| name == definition.name || now.link().master.is_some())
    };
    plan.steps.retain(|planned| {
        let step = &planned.step;
        let takes_or_tunes = matches!(
            step,
            Step::Request(
                KernelRequest::SetLink { .. }
                    | KernelRequest::ChangeAddress { .. }
                    | KernelRequest::DeleteAddress { .. }
                    | KernelRequest::DeleteRoute { .. }
            ) | Step::SetSysctl { .. }
                | Step::Dhcp(DhcpStep::Stop(_) | DhcpStep::EndForeign(_))
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
) -> Result<Plan, PlanRefusal> {
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
    let was_up = builder.find(&name).is_some_and(|now| now.link().up);
    if bridge.is_none() && !was_up {
        // The kernel drops packets until it has noticed the carrier, and repeats a neighbour
        // request only after a second.
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
        // The members of a bond were stripped when they were added.
        for port in &bridge.ports {
            if let Some(now) = survey.named(&port.name) {
                builder.strip(now);
            }
        }
    }
    builder.move_nexthops(definition, &sources);
    builder.start_clients(definition, &sources);
    if builder.is_empty() {
        return Err(PlanRefusal::Running);
    }
    builder.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    Ok(builder.finish())
}

/// Plans to bring up a link without a definition: unchanged, or with the configuration that it had
/// when it was taken down.
///
/// # Errors
/// The link is up already, or a port.
pub fn bring_up_undefined(name: IfName, host: &Host, survey: &Survey) -> Result<Plan, PlanRefusal> {
    let mut builder = Builder::new(host, survey);
    let now = builder.require(&name, || "which is to be brought up".to_owned())?;
    if now.link().up {
        return Err(PlanRefusal::Running);
    }
    builder.set_up(name);
    builder.push(Step::WaitFor(Condition::Up(name)), Vec::new());
    if let Some(shelved) = survey.shelved_for(&name) {
        builder.give_back(now, shelved);
    }
    builder.give_back_clients(name);
    Ok(builder.finish())
}

/// Returns the links whose addresses and routes the definition's link takes over: its members, and
/// a link that was destroyed a moment ago to make room for it.
fn sources<'a>(definition: &Interface, survey: &'a Survey) -> Vec<&'a LinkState> {
    let mut names = definition.members();
    let mut sources: Vec<_> = names.iter().filter_map(|name| survey.named(name)).collect();
    names.push(definition.name);
    sources.extend(survey.recent_for(&names));
    sources
}

/// Returns whether an existing link is of the definition's kind.
pub(super) fn is_of_kind(definition: &Interface, kind: &LinkKind) -> bool {
    match (&definition.kind, kind) {
        (Kind::Bridge(_), LinkKind::Bridge(_))
        | (Kind::Bond(_), LinkKind::Bond(_))
        | (Kind::Vlan(_), LinkKind::Vlan { .. }) => true,
        (Kind::Ethernet(_) | Kind::Bridge(_) | Kind::Bond(_) | Kind::Vlan(_), _) => false,
    }
}
