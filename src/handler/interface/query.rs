// SPDX-License-Identifier: LGPL-2.1-or-later
//! The queries: list, look up, describe.
//!
//! Lists omit ports of bridges and bonds, the taps of guests, and links to be deleted, unless they
//! are defined; a look-up by name finds them all.

use crate::call_errors;
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::interface::target::{Listed, State, Target};
use crate::handler::{Answers, Outcome, Question, World};
use crate::host::describe::{self, Findings, View};
use crate::host::is_discarded;
use crate::limits::INTERFACE_LIST_COUNT_MAX;
use crate::model::address::MacAddr;
use crate::model::interface::Interface;
use crate::netlink::link::Link;
use crate::proto::Reply;
use crate::proto::interface::{InterfaceRef, QueryCall};
use crate::xml::format;

/// `VIR_INTERFACE_XML_INACTIVE`: the definition, not the live state.
const XML_INACTIVE: u32 = 1;

/// The flags of LIST_ALL_INTERFACES (`virConnectListAllInterfacesFlags`).
const LIST_INACTIVE: u32 = 1;
const LIST_ACTIVE: u32 = 2;

/// Answers a query.
///
/// # Errors
/// The call is refused.
pub fn handle(
    call: &QueryCall,
    world: &World<'_>,
    answers: &Answers,
) -> Result<Outcome, CallError> {
    let reply = match call {
        QueryCall::NumOfInterfaces => count(world, State::Active)?,
        QueryCall::NumOfDefinedInterfaces => count(world, State::Inactive)?,
        QueryCall::ListInterfaces { count_max } => names(world, State::Active, *count_max)?,
        QueryCall::ListDefinedInterfaces { count_max } => {
            names(world, State::Inactive, *count_max)?
        }
        QueryCall::ListAllInterfaces { need_results, flags } => {
            all_reply(list_all(world, *flags)?, *need_results)
        }
        QueryCall::LookupByName { name } => {
            let target = Target::named(name, world)?;
            Reply::Interface(target.listed().reference())
        }
        QueryCall::LookupByMac { mac } => by_mac(mac, world)?,
        QueryCall::IsActive { name } => {
            let active = Target::named(name, world)?.listed().state == State::Active;
            Reply::Number(i32::from(active))
        }
        QueryCall::GetXmlDesc { name, flags } => {
            return xml_desc(name, *flags, world, answers);
        }
    };
    Ok(Outcome::Reply(reply))
}

/// The entries of lists, links first, each part in the order of names. A look-up for each would
/// take longer than all the rest: only hidden links need one, and definitions without a link are
/// found by walking along both lists, which have the same order.
fn listed<'a>(world: &World<'a>) -> impl Iterator<Item = Listed> + use<'a> {
    listed_links(world).chain(listed_definitions(world))
}

fn listed_links<'a>(world: &World<'a>) -> impl Iterator<Item = Listed> + use<'a> {
    let (host, definitions) = (world.host, world.definitions());
    host.links().filter_map(move |link| {
        let is_out = || host.is_hidden(link) || is_discarded(host, link);
        let shown = !is_out() || definitions.named(&link.name).is_some();
        shown.then(|| Listed::of_link(link))
    })
}

/// The definitions without a link.
fn listed_definitions<'a>(world: &World<'a>) -> impl Iterator<Item = Listed> + use<'a> {
    let (host, definitions) = (world.host, world.definitions());
    let mut names = host.link_names().peekable();
    let is_without_link = move |definition: &&Interface| {
        while names.next_if(|name| **name < definition.name).is_some() {}
        names.peek().is_none_or(|name| **name != definition.name)
    };
    definitions.iter().filter(is_without_link).map(Listed::of_definition)
}

fn count(world: &World<'_>, state: State) -> Result<Reply, CallError> {
    let count = listed(world).filter(|listed| listed.state == state).count();
    i32::try_from(count).map(Reply::Number).map_err(|_| too_many(count))
}

fn names(world: &World<'_>, state: State, count_max: i32) -> Result<Reply, CallError> {
    let rpc = |text: &str| CallError::new(ErrorCode::Rpc, Domain::Rpc, text);
    let count_max = usize::try_from(count_max).map_err(|_| rpc("maxnames must be non-negative"))?;
    if count_max > INTERFACE_LIST_COUNT_MAX {
        return Err(rpc("maxnames > REMOTE_INTERFACE_LIST_MAX"));
    }
    let of_state = listed(world).filter(|listed| listed.state == state);
    Ok(Reply::Names(of_state.map(|listed| listed.name).take(count_max).collect()))
}

fn list_all(world: &World<'_>, flags: u32) -> Result<Vec<InterfaceRef>, CallError> {
    let unknown = flags & !(LIST_ACTIVE | LIST_INACTIVE);
    if unknown != 0 {
        return Err(CallError::flags(Domain::Interface, "udevConnectListAllInterfaces", unknown));
    }
    let wanted = |state| match (flags, state) {
        (0, State::Active | State::Inactive) => true,
        (flags, State::Active) => flags & LIST_ACTIVE != 0,
        (flags, State::Inactive) => flags & LIST_INACTIVE != 0,
    };
    let matching = listed(world).filter(|listed| wanted(listed.state));
    let list: Vec<_> = matching.map(|listed| listed.reference()).collect();
    if list.len() > INTERFACE_LIST_COUNT_MAX { Err(too_many(list.len())) } else { Ok(list) }
}

fn all_reply(list: Vec<InterfaceRef>, need_results: bool) -> Reply {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    Reply::Interfaces { list: if need_results { list } else { Vec::new() }, count }
}

fn too_many(count: usize) -> CallError {
    let detail = format!("Too many interfaces '{count}' for limit '{INTERFACE_LIST_COUNT_MAX}'");
    CallError::new(ErrorCode::Internal, Domain::Rpc, detail)
}

/// A link precedes definitions without one: those of a NIC may remain under its former names.
fn by_mac(text: &str, world: &World<'_>) -> Result<Reply, CallError> {
    let not_found = || call_errors::no_interface_with_mac(text);
    let mac = MacAddr::parse(text).ok_or_else(not_found)?;
    let has_mac = |listed: &Listed| listed.mac == Some(mac);
    let mut links = listed_links(world).filter(has_mac);
    let mut definitions = listed_definitions(world).filter(has_mac);
    let first = links.next().or_else(|| definitions.next()).ok_or_else(not_found)?;
    // If the first is a definition, no link is left; if it is a link, only links are counted.
    let is_link = world.host.link_named(&first.name).is_some();
    let second = if is_link { links.next() } else { definitions.next() };
    if second.is_some() {
        let detail = format!("the MAC address '{text}' matches multiple interfaces");
        return Err(CallError::new(ErrorCode::MultipleInterfaces, Domain::Interface, detail));
    }
    Ok(Reply::Interface(first.reference()))
}

fn xml_desc(
    name: &str,
    flags: u32,
    world: &World<'_>,
    answers: &Answers,
) -> Result<Outcome, CallError> {
    let unknown = flags & !XML_INACTIVE;
    if unknown != 0 {
        return Err(CallError::flags(Domain::Interface, "udevInterfaceGetXMLDesc", unknown));
    }
    let view = if flags & XML_INACTIVE == 0 { View::Live } else { View::Inactive };
    let interface = match (Target::named(name, world)?, view) {
        (Target::Defined(definition), View::Live | View::Inactive) => definition,
        (Target::Link { definition: Some(definition), .. }, View::Inactive) => definition,
        (Target::Link { link, .. }, View::Live | View::Inactive) => {
            match findings(link, view, world, answers) {
                Ok(findings) => &describe::interface(world.host, link, &findings, view),
                Err(question) => return Ok(Outcome::Ask(question)),
            }
        }
    };
    Ok(Outcome::Reply(Reply::Text(format::format(interface))))
}

/// The attributes of a link and its parts that the table does not hold, or the next question. The
/// speeds come first: they may take their time, and everything else is then current when the reply
/// leaves.
fn findings(
    link: &Link,
    view: View,
    world: &World<'_>,
    answers: &Answers,
) -> Result<Findings, Question> {
    if let (Some(speeds), Some(findings)) = (&answers.speeds, &answers.links) {
        return Ok(Findings { speeds: speeds.clone(), ..findings.clone() });
    }
    let inspection = match view {
        View::Live => describe::inspection(world.host, link),
        View::Inactive => describe::inspection_to_define(world.host, link),
    };
    match answers.speeds {
        Some(_) => Err(Question::Links(inspection)),
        None => Err(Question::Speeds(inspection.speeds_of)),
    }
}
