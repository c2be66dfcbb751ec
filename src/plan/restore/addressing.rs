// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addressing part of the way back: addresses, routes, and DHCP clients.

use std::collections::BTreeSet;

use crate::host::record::{HostRecord, Recorded};
use crate::model::address::Family;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::address::{Lifetime, Origin, Role, Scope};
use crate::netlink::link::LinkKind;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::step::Step;

use super::{Draft, Pair};

impl<'a> Draft<'a> {
    /// Ends the DHCP clients that did not run: before anything else, as some take their lease back
    /// from a link that changes.
    pub(super) fn stop_clients(&mut self) {
        let then = &self.then.leases;
        let runs_on = |lease: &&Lease| !then.iter().any(|then| is_same(then, lease));
        let stale: Vec<_> = self.leases.iter().filter(runs_on).copied().collect();
        stale.into_iter().for_each(|lease| self.push(Step::StopClient(lease)));
    }

    /// Starts the DHCP clients that ran, where their link still is. What they had bound they ask for.
    pub(super) fn start_clients(&mut self) {
        for lease in &self.then.leases {
            let Some(pair) = self.links.get(&lease.link) else { continue };
            if self.leases.iter().any(|now| is_same(now, lease)) {
                continue;
            }
            let is_bound = |it: &&AddressRecord| {
                it.address.prefix.family() == lease.family && it.address.may_be_leased()
            };
            let mut bound = pair.then.addresses.iter().filter(is_bound);
            let bound = bound.find(|record| record.address.lifetime == Lifetime::Finite);
            let wanted = bound.map(|record| record.address.prefix);
            self.push(Step::StartClient(Lease { wanted, ..*lease }));
        }
    }

    /// Gives links the addresses that they had, and takes others.
    pub(super) fn set_addresses(&mut self) {
        for pair in self.pairs() {
            let link = pair.then.link().name;
            let now = self.addresses_left(pair);
            // IPv6 gives each link an address of its own when it comes up, and not before.
            let is_up = pair.now.is_some_and(|now| now.link().up);
            let is_wanted = |it: &&AddressRecord| is_chosen(it) || (is_up && is_lasting(it));
            let then: Vec<_> = pair.then.addresses.iter().filter(is_wanted).collect();
            let (mut kept, mut leaving) = (Vec::new(), Vec::<&AddressRecord>::new());
            for record in now {
                let goes_with = |first: &&AddressRecord| {
                    first.address.role == Role::Primary && shares_network(first, record)
                };
                let stays = match then.iter().find(|then| is_same_address(then, record)) {
                    Some(then_it) => {
                        let has_form = record.has_form_of(then_it) || self.is_told(link, then_it);
                        has_form && is_placed(record, &then, &kept)
                    }
                    None => !self.is_removed(link, record) && !is_outdated(record, &then),
                };
                // With the first address of an IPv4 network the kernel may take the others.
                let stays = stays && !leaving.iter().any(goes_with);
                if stays { &mut kept } else { &mut leaving }.push(record);
            }
            let mut steps = Vec::new();
            let is_ipv4 = |it: &&AddressRecord| it.address.prefix.family() == Family::Ipv4;
            if leaving.iter().any(is_ipv4) && !kept.iter().any(is_ipv4) {
                self.emptied.insert(link);
            }
            // So it goes last.
            leaving.into_iter().rev().for_each(|record| take_away(link, record, &mut steps));
            let mut missing = Vec::new();
            for record in then {
                let own = kept.iter().find(|now| is_same_address(now, record));
                let is_as_it_was = own.is_some_and(|own| {
                    own.address.lifetime == record.address.lifetime
                        && (own.is_used_as(record) || self.is_told(link, record))
                });
                let Some(aged) = record.aged(self.elapsed) else { continue };
                match own {
                    Some(_) if is_as_it_was => {}
                    Some(_) => steps.push(Step::ChangeAddress { link, record: aged }),
                    None if self.is_told(link, record)
                        && self.has_other_lease(pair, record.address.prefix.family()) => {}
                    None => missing.push(aged),
                }
            }
            // IPv4 lists what came first, IPv6 what came last.
            let (ipv4, ipv6): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|it| it.address.prefix.family() == Family::Ipv4);
            let in_order = ipv4.into_iter().chain(ipv6.into_iter().rev());
            steps.extend(in_order.map(|record| Step::AddAddress { link, record }));
            self.steps.extend(steps);
        }
    }

    /// The addresses that a link has now, and will have when it is seen to which it is to have.
    fn addresses_left(&self, pair: Pair<'a>) -> Vec<&'a AddressRecord> {
        let is_downed = pair.now.is_some_and(|now| now.link().up) && !self.stays_up(pair);
        let now = pair.now.into_iter().flat_map(|now| &now.addresses);
        let is_left =
            |it: &&AddressRecord| !is_downed || it.address.prefix.family() == Family::Ipv4;
        now.filter(is_left).collect()
    }

    /// Whether an address that a link has, and did not have, goes: not what the kernel gives each
    /// link, nor what somebody on the network has told the host, who would tell it again.
    fn is_removed(&self, link: IfName, record: &AddressRecord) -> bool {
        is_chosen(record)
            && (record.address.origin != Origin::RouterAdvertisement
                || self.hears_others(link)
                || self.was_elsewhere(link, |it| {
                    it.addresses.iter().any(|then| is_same_address(then, record))
                }))
            && !self.is_told(link, record)
    }

    /// Whether another link had something: it has moved with what is told to whom.
    fn was_elsewhere(&self, link: IfName, has: impl Fn(&Recorded) -> bool) -> bool {
        self.then.host.iter().any(|other| other.link().name != link && has(other))
    }

    /// Whether a DHCP server has told the host an address.
    fn is_told(&self, link: IfName, record: &AddressRecord) -> bool {
        record.address.lifetime == Lifetime::Finite
            && self.has_client(link, record.address.prefix.family())
    }

    /// Leads routes as they led, as far as the links are up.
    pub(super) fn set_routes(&mut self) {
        for pair in self.pairs().into_iter().filter(|pair| pair.then.link().up) {
            let link = pair.then.link().name;
            let now = pair.now.filter(|_| self.stays_up(pair));
            let is_left = |route: &&RouteRecord| {
                route.family == Family::Ipv6 || !self.emptied.contains(&link)
            };
            let now = now.into_iter().flat_map(|now| &now.routes);
            let now: Vec<_> = now.filter(is_left).collect();
            let is_in = |routes: &[&RouteRecord], route: &RouteRecord| {
                routes.iter().any(|other| is_same_route(other, route))
            };
            let is_wanted = |route: &&RouteRecord| {
                let is_clients = route.is_leased() && self.has_other_lease(pair, route.family);
                !is_clients || is_in(&now, route)
            };
            let then: Vec<_> = pair.then.routes.iter().filter(is_wanted).collect();
            let (kept, others): (Vec<_>, Vec<_>) = now.into_iter().partition(|it| is_in(&then, it));
            let stale = others.into_iter().filter(|route| self.is_stale(link, route)).cloned();
            let mut steps: Vec<_> =
                stale.map(|record| Step::DeleteRoute { link, record }).collect();
            // A route that is added comes before those beside it, so the last is the first to add.
            let mut missing = Vec::new();
            for (at, route) in then.iter().enumerate().rev() {
                let is_there = is_in(&kept, route);
                if is_there && is_followed_by(route, then.get(at + 1..).unwrap_or_default(), &kept)
                {
                    continue;
                }
                missing.extend(route.aged(self.elapsed).map(|aged| (aged, is_there)));
            }
            // What others find their gateway by comes first.
            let (near, far): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|(route, _)| route.gateway.is_none());
            for (record, is_there) in near.into_iter().chain(far) {
                if is_there {
                    steps.push(Step::DeleteRoute { link, record: record.clone() });
                }
                steps.push(Step::AddRoute { link, record });
            }
            self.steps.extend(steps);
        }
    }

    /// Whether a client goes on that has been told something else by now: it knows better what the
    /// link has.
    fn has_other_lease(&self, pair: Pair<'a>, family: Family) -> bool {
        let link = pair.then.link().name;
        let is_other = |now: &AddressRecord| {
            now.address.prefix.family() == family
                && self.is_told(link, now)
                && !pair.then.addresses.iter().any(|then| is_same_address(then, now))
        };
        let has_other = pair.now.is_some_and(|now| now.addresses.iter().any(is_other));
        has_other && self.leases.iter().any(|lease| lease.is_for(link, family))
    }

    /// Whether a route that did not lead there goes: not what a router or a DHCP server has told.
    fn is_stale(&self, link: IfName, route: &RouteRecord) -> bool {
        let is_told = route.is_leased() && self.has_client(link, route.family);
        let has = |other: &Recorded| {
            other.routes.iter().any(|then| then.is_advertised() && then.is_same_way(route))
        };
        let is_heard =
            route.is_advertised() && !self.hears_others(link) && !self.was_elsewhere(link, has);
        !is_heard && !is_told
    }

    /// Whether what a link is told comes from another network than then: it has other ports, or what it
    /// is over has.
    fn hears_others(&self, link: IfName) -> bool {
        let Some(pair) = self.links.get(&link) else { return false };
        let names = |host: &'a HostRecord| {
            let ports = host.ports_of(&link).filter(|port| !self.is_a_guests(port.link()));
            ports.map(|port| port.link().name).collect::<BTreeSet<_>>()
        };
        let is_vlan = matches!(pair.then.link().kind, LinkKind::Vlan { .. });
        let parent = self.then.host.parent_of(pair.then.link()).filter(|_| is_vlan);
        names(&self.then.host) != names(self.now)
            || parent.is_some_and(|parent| self.hears_others(parent))
    }

    /// Takes from a link that was not there what the host has of it: others use it now.
    pub(super) fn strip(&mut self, recorded: &Recorded) {
        let link = recorded.link().name;
        for record in recorded.routes.iter().cloned() {
            self.push(Step::DeleteRoute { link, record });
        }
        for record in recorded.addresses.iter().filter(|it| is_chosen(it)).rev() {
            take_away(link, record, &mut self.steps);
        }
    }

    /// Whether a DHCP client ran, and will run.
    fn has_client(&self, link: IfName, family: Family) -> bool {
        self.then.leases.iter().any(|lease| lease.is_for(link, family))
    }
}

/// Whether a client for the one lease does for the other.
fn is_same(one: &Lease, other: &Lease) -> bool {
    one.is_for(other.link, other.family) && one.name_servers == other.name_servers
}

/// Takes an address from a link, and its network with it. An IPv6 address that does not last leaves the
/// route to its network behind, so it is made to last.
fn take_away(link: IfName, record: &AddressRecord, steps: &mut Vec<Step>) {
    let is_ipv6 = record.address.prefix.family() == Family::Ipv6;
    if is_ipv6 && record.address.lifetime == Lifetime::Finite {
        steps.push(Step::ChangeAddress { link, record: record.lasting() });
    }
    steps.push(Step::DeleteAddress { link, record: record.clone() });
}

/// Whether an address is one that IPv6 has given a link, and not the one that the link had: it was
/// made from another hardware address, and does not go with that.
fn is_outdated(record: &AddressRecord, then: &[&AddressRecord]) -> bool {
    let is_ipv6s = |it: &AddressRecord| {
        it.address.prefix.family() == Family::Ipv6
            && it.address.scope == Scope::Link
            && is_lasting(it)
    };
    is_ipv6s(record) && then.iter().any(|it| is_ipv6s(it))
}

/// Whether an address stays until somebody takes it away.
fn is_lasting(record: &AddressRecord) -> bool {
    record.address.lifetime == Lifetime::Permanent && record.address.role != Role::Temporary
}

/// Whether an address is somebody's choice: not the one that IPv6 has on each link, nor one that it
/// makes up for a while.
fn is_chosen(record: &AddressRecord) -> bool {
    let address = &record.address;
    let is_ipv6_of_link = address.prefix.family() == Family::Ipv6
        && address.scope == Scope::Link
        && matches!(address.origin, Origin::LinkLocal | Origin::Unknown);
    !is_ipv6_of_link && address.role != Role::Temporary
}

/// Whether an address has before it just those of its IPv4 network that it had: which one comes first
/// is the source of what the host sends there. `kept` is what is before it, and stays.
fn is_placed(record: &AddressRecord, then: &[&AddressRecord], kept: &[&AddressRecord]) -> bool {
    let prefix = record.address.prefix;
    let is_before = |it: &&AddressRecord| !is_same_address(it, record);
    let was = |it: &&AddressRecord| then.iter().any(|then| is_same_address(then, it));
    let shares_network = |it: &&AddressRecord| shares_network(it, record);
    let before = then.iter().copied().take_while(is_before).filter(shares_network);
    let kept = kept.iter().copied().filter(was).filter(shares_network);
    prefix.family() == Family::Ipv6
        || before.map(|it| it.address.prefix).eq(kept.map(|it| it.address.prefix))
}

/// Whether a route is there that was. What a router or a DHCP server has told may be told otherwise.
fn is_same_route(one: &RouteRecord, other: &RouteRecord) -> bool {
    let is_told = one.is_advertised() || one.is_leased();
    one.is_same(other)
        && one.is_lasting() == other.is_lasting()
        && (is_told || one.is_used_as(other))
}

/// Whether a route of `now` has behind it just those that it had, of those between which it matters.
fn is_followed_by(route: &RouteRecord, then: &[&RouteRecord], now: &[&RouteRecord]) -> bool {
    let behind = now.iter().skip_while(|other| !is_same_route(other, route)).skip(1);
    let mut behind = behind.filter(|other| other.is_beside(route));
    let mut then = then.iter().filter(|other| other.is_beside(route));
    then.all(|then| behind.next().is_some_and(|now| is_same_route(then, now)))
        && behind.next().is_none()
}

/// Whether two addresses are of one IPv4 network, in which one comes first.
fn shares_network(one: &AddressRecord, other: &AddressRecord) -> bool {
    let [one, other] = [one, other].map(|record| record.address.prefix);
    one.family() == Family::Ipv4
        && (one.network(), one.prefix_len()) == (other.network(), other.prefix_len())
}

fn is_same_address(one: &AddressRecord, other: &AddressRecord) -> bool {
    (one.address.prefix, one.address.peer) == (other.address.prefix, other.address.peer)
}
