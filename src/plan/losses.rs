// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addresses that links lose when they become ports, because the definition does not have them.
//!
//! A port has no addresses, so a bridge or bond takes over those that its definition names or
//! obtains from a server. Any other address is removed. The log names it first; if the default
//! route depends on it, the host may be reachable by no other address, so the change is refused.

use std::fmt;

use crate::host::state::LinkState;
use crate::host::survey::Survey;
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::address::{AddressOrigin, Lifetime, Role, Scope};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::goal::{AddressingGoal, holds};
use crate::plan::refusal::PlanRefusal;

/// An address that is removed when a definition is brought up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LostAddress {
    /// The bridge or bond whose definition lacks it.
    pub name: IfName,
    pub port: IfName,
    pub prefix: IpPrefix,
}

impl fmt::Display for LostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, prefix } = self;
        write!(
            f,
            "{port}, a port of {name}, loses its address {prefix}, which the definition of {name} \
             does not have"
        )
    }
}

/// Returns the addresses that are removed when `definition` is brought up.
///
/// # Errors
/// A default route depends on one of them, and on no address that stays.
pub fn losses(definition: &Interface, survey: &Survey) -> Result<Vec<LostAddress>, PlanRefusal> {
    let name = definition.name;
    let members = definition.members();
    let ports: Vec<_> = members.iter().filter_map(|member| survey.named(member)).collect();
    let mut losses = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let kept = AddressingGoal::new(definition, family, &ports, survey).to_be();
        let stays = |record: &AddressRecord| {
            kept.iter().any(|it| it.address.prefix.address() == record.address.prefix.address())
        };
        for surveyed in &ports {
            let (port, own) = (surveyed.link().name, own(surveyed, family));
            for route in surveyed.routes.iter().filter(|route| is_way_in(route, family)) {
                let way = way(route, &own);
                if way.iter().any(|record| stays(record)) {
                    continue;
                }
                if let Some(prefix) = way.first().map(|record| record.address.prefix) {
                    return Err(PlanRefusal::WayIn { name, port, prefix });
                }
            }
            let lost = own.iter().filter(|record| !stays(record));
            losses.extend(lost.map(|it| LostAddress { name, port, prefix: it.address.prefix }));
        }
    }
    Ok(losses)
}

/// Returns the addresses of a link that came from an administrator or a DHCP server. Autoconfigured
/// ones are omitted, as routers advertise them again.
fn own(surveyed: &LinkState, family: Family) -> Vec<&AddressRecord> {
    let is_own = |record: &&AddressRecord| {
        let address = &record.address;
        let is_advertised = family == Family::Ipv6
            && (address.lifetime == Lifetime::Finite
                || address.origin == AddressOrigin::RouterAdvertisement
                || address.role == Role::Temporary);
        address.prefix.family() == family
            && matches!(address.scope, Scope::Global | Scope::Site)
            && !is_advertised
    };
    surveyed.addresses.iter().filter(is_own).collect()
}

/// Returns whether replies to arbitrary hosts take this route.
fn is_way_in(route: &RouteRecord, family: Family) -> bool {
    route.family == family && route.destination.prefix_len() == 0
}

/// Returns those of a link's addresses that this route depends on: all of them, if its gateway is
/// in none of their networks but marked as on the link.
fn way<'a>(route: &RouteRecord, own: &[&'a AddressRecord]) -> Vec<&'a AddressRecord> {
    let near: Vec<_> = own.iter().copied().filter(|record| leads_over(route, record)).collect();
    if near.is_empty() { own.to_vec() } else { near }
}

fn leads_over(route: &RouteRecord, record: &AddressRecord) -> bool {
    let prefix = record.address.prefix;
    if let Some(source) = route.source {
        return source == prefix.address();
    }
    let far = record.address.peer.unwrap_or(prefix.address());
    let network = IpPrefix::new(far, prefix.prefix_len()).unwrap_or(prefix);
    route.gateway.is_none_or(|gateway| holds(network, gateway))
}
