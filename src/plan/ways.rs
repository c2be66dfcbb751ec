// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Ways`]: compares the routes of one family that a definition needs with the existing ones.
//!
//! Plans nothing. After the change each route of a source leads through the link, unless the
//! definition's gateway contradicts it, or no address of the link supports it; those routes are
//! [`LeftRoute`]. Attributes that a definition cannot express (metrics, tables, source addresses)
//! are preserved.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::host::state::LinkState;
use crate::model::address::{Family, IpPrefix};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::nexthop::NexthopRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::goal::{AddressingGoal, holds, leads_over};
use crate::plan::left::{LeftRoute, Reason};

/// The routes that a definition needs, and the existing ones.
pub(super) struct Ways<'w, 'a> {
    goal: &'w AddressingGoal<'a>,
    /// The link's own routes, in an order in which each gateway is reachable when its route is
    /// added.
    own: Vec<&'a RouteRecord>,
    /// The addresses that the link will have.
    to_be: Vec<AddressRecord>,
    /// The networks of those addresses, and those to which it has a direct route.
    networks: Vec<IpPrefix>,
    /// Addresses that will be removed.
    going: Vec<IpAddr>,
    /// The default routes of the link and its sources that the kernel prefers to the route by the
    /// definition's gateway, or uses as long as there is none.
    contradicting: Vec<&'a RouteRecord>,
}

impl<'w, 'a> Ways<'w, 'a> {
    pub(super) fn new(goal: &'w AddressingGoal<'a>) -> Self {
        let own = goal.now.map(|now| routes_of(goal, now)).unwrap_or_default();
        let to_be = goal.to_be();
        let direct = goal.surveyed().flat_map(|surveyed| &surveyed.routes);
        let direct = direct.filter(|route| route.is_direct() && !route.is_default());
        let direct = direct.map(|route| route.destination);
        let networks = to_be.iter().flat_map(AddressRecord::networks);
        let networks = networks.chain(direct).collect::<BTreeSet<_>>().into_iter().collect();
        let is_to_be =
            |at: &IpAddr| to_be.iter().any(|record| record.address.prefix.address() == *at);
        let now = goal.surveyed().flat_map(|surveyed| goal.addresses_of(surveyed));
        let mut going: Vec<_> = now.map(|record| record.address.prefix.address()).collect();
        going.retain(|at| !is_to_be(at));
        let contradicting = contradicting(goal);
        Self { goal, own, to_be, networks, going, contradicting }
    }

    /// Returns the link's own routes of this family, in an order in which they can be added.
    pub(super) fn own(&self) -> &[&'a RouteRecord] {
        &self.own
    }

    /// Returns the routes of sources that will lead through the link, without nexthop objects, in
    /// an order in which they can be added.
    pub(super) fn moving(&self) -> Vec<RouteRecord> {
        self.moving_as_known().into_iter().map(RouteRecord::without_object).collect()
    }

    /// Returns those of them that use one of these nexthop objects.
    pub(super) fn moving_over(&self, objects: &BTreeSet<u32>) -> Vec<RouteRecord> {
        let mut moving = self.moving_as_known();
        moving.retain(|route| route.object().is_some_and(|object| objects.contains(&object)));
        moving
    }

    /// Returns whether a nexthop object can lead through the link.
    pub(super) fn takes(&self, nexthop: &NexthopRecord) -> bool {
        let is_reached = |gateway| Family::of(gateway) == self.goal.family && self.reaches(gateway);
        nexthop.gateway().is_none_or(is_reached)
    }

    fn moving_as_known(&self) -> Vec<RouteRecord> {
        let mut there = BTreeMap::<_, Vec<&RouteRecord>>::new();
        self.own.iter().for_each(|route| there.entry(route.way()).or_default().push(route));
        let mut moving = Vec::new();
        for (source, route) in self.of_sources() {
            let alike = there.entry(route.way()).or_default();
            if self.why_left(source, route).is_none()
                && !route.comes_with(&self.to_be)
                && !alike.iter().any(|other| other.is_same_way(route))
            {
                alike.push(route);
                moving.push((source, route));
            }
        }
        let (near, far): (Vec<_>, Vec<_>) =
            moving.into_iter().partition(|(_, route)| route.is_direct());
        let coming = self.goal.coming();
        let peers = coming.iter().filter_map(RouteRecord::to_peer_of);
        let in_order = near.into_iter().chain(far);
        peers.chain(in_order.map(|(source, route)| self.moved(source, route))).collect()
    }

    /// Returns the remainders of multipath routes: since a source was removed they lead only
    /// through other links, and the full routes will replace them.
    pub(super) fn stand_ins(&self) -> Vec<RouteRecord> {
        let removed = self.of_sources().filter(|(source, _)| self.goal.was_removed(source));
        let moving = removed.filter(|(source, route)| self.why_left(source, route).is_none());
        moving.filter_map(|(_, route)| route.without_link()).collect()
    }

    /// Returns a source's route, changed to lead through the link. If its gateway is in no network
    /// of the source, it is marked as on the link.
    fn moved(&self, source: &LinkState, route: &RouteRecord) -> RouteRecord {
        let sources: Vec<_> = self.goal.sources.iter().map(|source| source.link().index).collect();
        let route = route.seen_from(&sources);
        let route = if is_reached(source, &route) { route } else { route.on_link() };
        let is_leased = route.is_default()
            && route.gateway.is_some()
            && !route.is_advertised()
            && self.goal.gateway().is_none()
            && self.goal.wants_lease();
        if is_leased { route.leased() } else { route }
    }

    /// Returns the lost routes, of sources and of the link itself.
    pub(super) fn left(&self) -> Vec<LeftRoute> {
        let to = self.goal.link;
        let left = |from, route: &RouteRecord, reason| {
            let route = route.clone();
            LeftRoute { from, route, to, reason }
        };
        let of_sources = self.of_sources().filter_map(|(source, route)| {
            let reason = match self.why_left(source, route) {
                Some(reason) => Some(reason).filter(|_| !route.is_advertised()),
                // If the nexthop object is known, the log names it when it cannot be moved.
                None => route.object().filter(|id| !has_nexthop(source, *id)).map(Reason::Object),
            };
            Some(left(source.link().name, route, reason?))
        });
        let dropped = self.dropped();
        let own = self.own.iter().filter_map(|route| {
            let reason = match self.is_stale(route) {
                true => self.why_contradicted(),
                false => self.why_not_carried(route).filter(|_| dropped.contains(route))?,
            };
            Some(left(to, route, reason))
        });
        of_sources.chain(own).collect()
    }

    /// Iterates over the sources' routes of this family, for each source in an order in which they
    /// can be added.
    fn of_sources(&self) -> impl Iterator<Item = (&'a LinkState, &'a RouteRecord)> {
        let goal = self.goal;
        let sources = goal.sources.iter().copied();
        sources
            .flat_map(move |source| routes_of(goal, source).into_iter().map(move |it| (source, it)))
    }

    /// Returns why a source's route will not lead through the link.
    fn why_left(&self, source: &LinkState, route: &RouteRecord) -> Option<Reason> {
        let goal = self.goal;
        if goal.has_no_place_for(route) {
            return Some(Reason::NoAddress(route.family));
        }
        if self.contradicting.contains(&route) {
            return Some(self.why_contradicted());
        }
        if route.is_advertised() && !goal.is_learnt_route(route) {
            return Some(Reason::NotDefined);
        }
        let is_dangling = route.can_move() && !is_reached(source, route);
        self.why_not_carried(route).filter(|why| *why != Reason::Unreachable || !is_dangling)
    }

    fn why_contradicted(&self) -> Reason {
        if self.goal.gateway().is_some() { Reason::OtherGateway } else { Reason::NotDefined }
    }

    /// Returns whether the link has the definition's default route, and keeps it.
    pub(super) fn has_gateway(&self) -> bool {
        let dropped = self.dropped();
        let stays = |route: &RouteRecord| !dropped.contains(&route) || self.carries(route);
        self.own.iter().any(|route| self.goal.is_gateway_route(route) && stays(route))
    }

    /// Returns whether a default route of the link is obsolete: neither the definition nor the
    /// network provides it.
    pub(super) fn is_stale(&self, route: &RouteRecord) -> bool {
        self.contradicting.contains(&route)
    }

    /// Returns whether a route is possible with the link's future addresses: its gateway is in one
    /// of their networks, and its source address is not removed.
    pub(super) fn carries(&self, route: &RouteRecord) -> bool {
        self.why_not_carried(route).is_none()
    }

    fn why_not_carried(&self, route: &RouteRecord) -> Option<Reason> {
        if route.source.is_some_and(|source| self.going.contains(&source)) {
            return Some(Reason::SourceGoes);
        }
        let is_reached = route.gateways().into_iter().all(|gateway| self.reaches(gateway));
        (!is_reached).then_some(Reason::Unreachable)
    }

    /// Returns whether a gateway is in a network that the link will be in.
    fn reaches(&self, gateway: IpAddr) -> bool {
        is_link_local(gateway) || self.networks.iter().any(|network| holds(*network, gateway))
    }

    /// Returns the default route by the definition's gateway, if it does not exist yet. If no
    /// address of the link reaches the gateway, or a lease is still awaited, the gateway is marked
    /// as on the link, as ifupdown does.
    pub(super) fn missing_gateway(&self) -> Option<RouteRecord> {
        let gateway = self.goal.gateway()?;
        let is_led = self.has_gateway()
            || self.moving().iter().any(|route| self.goal.is_gateway_route(route));
        let route = RouteRecord::default_over(gateway);
        let route = if self.reaches(gateway) { route } else { route.on_link() };
        (!is_led).then_some(route)
    }

    /// Returns whether the gateway's network will be known only with the lease.
    pub(super) fn waits_for_lease(&self, route: &RouteRecord) -> bool {
        self.goal.wants_lease() && route.is_on_link()
    }

    /// Returns the link's own routes that are removed before addresses, and added again afterwards
    /// if possible: those that the kernel drops (with the last IPv4 address, all of IPv4), and
    /// those whose gateway becomes unreachable.
    pub(super) fn dropped(&self) -> Vec<&'a RouteRecord> {
        let goal = self.goal;
        let (stale, dragged) = (goal.stale(), goal.dragged());
        if stale.is_empty() {
            return Vec::new();
        }
        let mut routes = self.own.clone();
        let is_emptied = goal.is_emptied();
        let going = stale.iter().chain(&dragged);
        routes.retain(|route| {
            let mut going = going.clone();
            let has_source = going.any(|it| route.source == Some(it.address.prefix.address()));
            // The kernel only disables one path of a multipath route, and enables it with the next
            // address.
            let is_lost = is_emptied || !self.carries(route);
            (is_lost && route.can_move()) || has_source
        });
        routes
    }
}

/// Returns the default routes of a link and its sources that the definition contradicts: those that
/// the kernel prefers to the gateway's route, and those with the same metric, unless they coexist
/// with it already.
fn contradicting<'a>(goal: &AddressingGoal<'a>) -> Vec<&'a RouteRecord> {
    let of_link =
        |surveyed: &'a LinkState| surveyed.routes.iter().map(move |route| (surveyed, route));
    let defaults = goal.surveyed().flat_map(of_link);
    let is_default =
        |(_, route): &(_, &RouteRecord)| route.family == goal.family && route.is_default();
    let mut defaults: Vec<_> = defaults.filter(is_default).collect();
    // The kernel uses the first route with the lowest metric.
    defaults.sort_by_key(|(_, route)| route.metric);
    let Some(gateway) = goal.gateway() else {
        let routes = defaults.into_iter().map(|(_, route)| route);
        return routes.filter(|route| goal.is_not_defined(route)).collect();
    };
    let led = defaults.iter().position(|(_, route)| goal.is_gateway_route(route));
    let (led_by, metric) = match led.and_then(|at| defaults.get(at)) {
        Some((surveyed, route)) => (Some(surveyed.link().name), route.metric),
        None => (None, RouteRecord::default_over(gateway).metric_in_force()),
    };
    let is_over = |(at, (surveyed, route)): (usize, (&LinkState, &'a RouteRecord))| {
        let is_tried_before = match route.metric.cmp(&metric) {
            Ordering::Less => true,
            Ordering::Equal if led_by == Some(surveyed.link().name) => led > Some(at),
            Ordering::Equal => true,
            Ordering::Greater => false,
        };
        let is_over_gateway = leads_over(route, Some(gateway));
        let is_it = goal.is_gateway_route(route);
        let is_over =
            !is_it && (is_over_gateway || (is_tried_before && !goal.is_learnt_route(route)));
        is_over.then_some(route)
    };
    defaults.into_iter().enumerate().filter_map(is_over).collect()
}

/// Returns a link's routes in the order in which to add them: first those by which gateways are
/// reached, and of several routes to one destination the last one first, since the kernel inserts
/// each before the others.
pub(super) fn routes_in_order(surveyed: &LinkState) -> Vec<&RouteRecord> {
    let (near, far): (Vec<_>, Vec<_>) =
        surveyed.routes.iter().rev().partition(|route| route.is_direct());
    [near, far].concat()
}

/// Returns a link's routes of the goal's family, in that order.
fn routes_of<'a>(goal: &AddressingGoal<'_>, surveyed: &'a LinkState) -> Vec<&'a RouteRecord> {
    let family = goal.family;
    routes_in_order(surveyed).into_iter().filter(|route| route.family == family).collect()
}

/// Returns whether a route's gateway is in a network of a link. If it no longer is, the kernel
/// keeps the route, but would refuse to add it.
pub(super) fn is_reached(surveyed: &LinkState, route: &RouteRecord) -> bool {
    let is_on_network = |gateway: IpAddr| {
        let mut networks = surveyed.addresses.iter().flat_map(AddressRecord::networks);
        let mut routes = surveyed.routes.iter();
        is_link_local(gateway)
            || networks.any(|network| holds(network, gateway))
            || routes.any(|other| {
                other.is_direct() && !other.is_default() && holds(other.destination, gateway)
            })
    };
    route.gateways().into_iter().all(is_on_network)
}

/// Returns whether a link has a nexthop object with this ID.
fn has_nexthop(surveyed: &LinkState, id: u32) -> bool {
    surveyed.nexthops.iter().any(|nexthop| nexthop.id == id)
}

fn is_link_local(gateway: IpAddr) -> bool {
    matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
