// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls that change running interfaces: create, destroy.

use crate::change::decision::{Change, Decision};
use crate::error::{CallError, Domain};
use crate::handler::World;
use crate::handler::interface::target::Target;
use crate::host::may_be_guest;
use crate::host::survey::Survey;
use crate::managers::{Claim, Stake};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::record::address::AddressRecord;
use crate::plan::losses;
use crate::plan::{self, bring_up, refusal::PlanRefusal, tear_down};
use crate::proto::Reply;

/// Brings an interface to its definition, or just up if it has none.
pub(super) fn create(
    name: &str,
    flags: u32,
    world: &World<'_>,
    survey: Option<&Survey>,
) -> Result<Decision, CallError> {
    planned(name, (flags, "netcfInterfaceCreate"), world, survey, |name, definition, survey| {
        let failure = format!("failed to create (start) interface {name}");
        let (reply, removed) = (Reply::Empty, Vec::new());
        let Some(definition) = definition else {
            let plan = bring_up::bring_up_undefined(name, world.host, survey)?;
            let warnings = not_given_back(name, survey);
            let claims = vec![Claim { link: name, stake: Stake::Settings, is_bridge: false }];
            return Ok(Change { warnings, claims, plan, reply, removed, shelved: None, failure });
        };
        let plan = bring_up::bring_up(definition, world.host, survey)?;
        let losses = losses::losses(definition, survey)?;
        let left = plan.left.iter().map(ToString::to_string);
        let warnings = losses.iter().map(ToString::to_string).chain(left).collect();
        let claims = plan::claims(definition, world.host, survey);
        Ok(Change { warnings, claims, plan, reply, removed, shelved: None, failure })
    })
}

/// The settings of a link without a definition that are not restored, though the link had them when
/// it was taken down.
fn not_given_back(name: IfName, survey: &Survey) -> Vec<String> {
    let Some(shelved) = survey.shelved_for(&name) else {
        let has_changed = survey.shelved.iter().any(|it| it.link == name && !it.is_bare());
        let text = format!(
            "{name} was changed after it was taken down: its earlier addresses and routes are not \
             restored"
        );
        return if has_changed { vec![text] } else { Vec::new() };
    };
    let is_unknown = |record: &&AddressRecord| {
        let family = record.address.prefix.family();
        survey.ended_for(name, family).is_none() && !survey.has_foreign_client(name, family)
    };
    let expiring = shelved.unrenewed().filter(is_unknown).map(|record| {
        let prefix = record.address.prefix;
        format!("{name} has {prefix} only until that expires: its DHCP client is not known")
    });
    expiring.collect()
}

/// Takes an interface down.
pub(super) fn destroy(
    name: &str,
    flags: u32,
    world: &World<'_>,
    survey: Option<&Survey>,
) -> Result<Decision, CallError> {
    planned(name, (flags, "netcfInterfaceDestroy"), world, survey, |name, definition, survey| {
        let plan = tear_down::tear_down(name, definition, world.host, survey)?;
        let removed = survey.removed_interface(&name, world.host).into_iter().collect();
        let failure = format!("failed to destroy (stop) interface {name}");
        let shelved = definition.is_none().then(|| survey.shelve(&name)).flatten();
        let shelved = shelved.map(Box::new);
        let (warnings, claims, reply) = (Vec::new(), Vec::new(), Reply::Empty);
        Ok(Change { warnings, claims, plan, reply, removed, shelved, failure })
    })
}

/// Plans a change from the definition and the present state. It supports no flag: a call with flags
/// is refused in the name of libvirt's function.
fn planned(
    name: &str,
    (flags, function): (u32, &'static str),
    world: &World<'_>,
    survey: Option<&Survey>,
    decide: impl FnOnce(IfName, Option<&Interface>, &Survey) -> Result<Change, PlanRefusal>,
) -> Result<Decision, CallError> {
    if flags != 0 {
        return Err(CallError::flags(Domain::Interface, function, flags));
    }
    let target = Target::named(name, world)?;
    let (name, definition) = (target.listed().name, target.definition());
    let Some(survey) = survey else {
        let mut order = plan::survey_order(name, definition);
        // Ports that it releases become its ports again if the change fails.
        let ports = world.host.link_named(&name).map(|link| world.host.ports_of(link.index));
        let own = ports.into_iter().flatten().filter(|port| !may_be_guest(port));
        order.links.extend(own.map(|port| port.name));
        return Ok(Decision::Survey(order));
    };
    Ok(Decision::Change(Box::new(decide(name, definition, survey)?)))
}
