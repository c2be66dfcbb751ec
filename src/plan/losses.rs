// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addresses that links lose when they become ports, because the definition does not have them.
//!
//! A port has no addresses of its own, so a bridge or bond takes over what its definition names or
//! wants from a server. Any other address goes. It is named before it does, and if the default route
//! leads over it, the host may be reached by no other: that is refused.

use std::fmt;

use crate::host::survey::{Survey, Surveyed};
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::address::{Lifetime, Origin, Role, Scope};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::goal::{AddressingGoal, holds};
use crate::plan::refusal::Refusal;

/// An address that goes when a definition is brought up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loss {
    /// The bridge or bond whose definition lacks it.
    pub name: IfName,
    pub port: IfName,
    pub prefix: IpPrefix,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, prefix } = self;
        write!(
            f,
            "{port}, a port of {name}, loses its address {prefix}, which the definition of {name} \
             does not have"
        )
    }
}

/// The addresses that go when `definition` is brought up.
///
/// # Errors
/// A default route leads over one of them, and over no address that stays.
pub fn losses(definition: &Interface, survey: &Survey) -> Result<Vec<Loss>, Refusal> {
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
            let (port, own) = (surveyed.link.name, own(surveyed, family));
            for route in surveyed.routes.iter().filter(|route| is_way_in(route, family)) {
                let way = way(route, &own);
                if way.iter().any(|record| stays(record)) {
                    continue;
                }
                if let Some(prefix) = way.first().map(|record| record.address.prefix) {
                    return Err(Refusal::WayIn { name, port, prefix });
                }
            }
            let lost = own.iter().filter(|record| !stays(record));
            losses.extend(lost.map(|it| Loss { name, port, prefix: it.address.prefix }));
        }
    }
    Ok(losses)
}

/// The addresses of a link that an administrator or a DHCP server has given it. What a router
/// advertises it advertises again.
fn own(surveyed: &Surveyed, family: Family) -> Vec<&AddressRecord> {
    let is_own = |record: &&AddressRecord| {
        let address = &record.address;
        let is_advertised = family == Family::Ipv6
            && (address.lifetime == Lifetime::Finite
                || address.origin == Origin::RouterAdvertisement
                || address.role == Role::Temporary);
        address.prefix.family() == family
            && matches!(address.scope, Scope::Global | Scope::Site)
            && !is_advertised
    };
    surveyed.addresses.iter().filter(is_own).collect()
}

/// Whether answers to hosts anywhere go this way.
fn is_way_in(route: &RouteRecord, family: Family) -> bool {
    route.family == family && route.destination.prefix_len() == 0
}

/// Those of a link's addresses that this route leads over: all of them, if the kernel has been told
/// that the gateway can be reached though it is on no network of theirs.
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
