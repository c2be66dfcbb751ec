// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Ways`]: what a definition wants of one family's routes, beside what is there.
//!
//! Answers questions and plans nothing. Each route of a source leads through the link afterwards,
//! unless the definition's gateway contradicts it, or no address of the link carries it: those are
//! [`Left`]. What a definition has no word for (metrics, tables, sources) is so kept.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::host::survey::Surveyed;
use crate::model::address::{Family, IpPrefix};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::nexthop::NexthopRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::goal::{AddressingGoal, holds, leads_over};
use crate::plan::left::{Left, Reason};

/// What a definition wants of routes, and what is there.
pub(super) struct Ways<'w, 'a> {
    goal: &'w AddressingGoal<'a>,
    /// The link's own routes, in the order in which each finds its gateway.
    own: Vec<&'a RouteRecord>,
    /// The addresses that the link will have.
    to_be: Vec<AddressRecord>,
    /// The networks that it will be on, with those to which it has a direct route.
    networks: Vec<IpPrefix>,
    /// Addresses that go.
    going: Vec<IpAddr>,
    /// The default routes of the link and its sources that the kernel takes before the definition's
    /// gateway, or takes if there is no route over that yet.
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

    /// The link's own routes of this family, in the order in which each finds its gateway.
    pub(super) fn own(&self) -> &[&'a RouteRecord] {
        &self.own
    }

    /// The routes of sources that lead through the link afterwards, spelt out, in the order in which each
    /// finds its gateway.
    pub(super) fn moving(&self) -> Vec<RouteRecord> {
        self.moving_as_known().into_iter().map(RouteRecord::without_object).collect()
    }

    /// Those of them that lead over one of these nexthop objects.
    pub(super) fn moving_over(&self, objects: &BTreeSet<u32>) -> Vec<RouteRecord> {
        let mut moving = self.moving_as_known();
        moving.retain(|route| route.object().is_some_and(|object| objects.contains(&object)));
        moving
    }

    /// Whether a nexthop object can lead through the link.
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

    /// What leads through other links alone since a source was taken down, in the place of routes that
    /// have led through it too.
    pub(super) fn stand_ins(&self) -> Vec<RouteRecord> {
        let removed = self.of_sources().filter(|(source, _)| self.goal.was_removed(source));
        let moving = removed.filter(|(source, route)| self.why_left(source, route).is_none());
        moving.filter_map(|(_, route)| route.without_link()).collect()
    }

    /// A source's route as it leads through the link. Where its gateway is on no network of the source
    /// either, it need not be on one of the link.
    fn moved(&self, source: &Surveyed, route: &RouteRecord) -> RouteRecord {
        let sources: Vec<_> = self.goal.sources.iter().map(|source| source.link.index).collect();
        let route = route.seen_from(&sources);
        let route = if is_reached(source, &route) { route } else { route.on_link() };
        let is_leased = route.is_default()
            && route.gateway.is_some()
            && !route.is_advertised()
            && self.goal.gateway().is_none()
            && self.goal.wants_lease();
        if is_leased { route.leased() } else { route }
    }

    /// What goes with the change: routes of sources, and the link's own.
    pub(super) fn left(&self) -> Vec<Left> {
        let to = self.goal.link;
        let left = |from, route: &RouteRecord, reason| {
            let route = route.clone();
            Left { from, route, to, reason }
        };
        let of_sources = self.of_sources().filter_map(|(source, route)| {
            let reason = match self.why_left(source, route) {
                Some(reason) => Some(reason).filter(|_| !route.is_advertised()),
                // Of one that is known the log tells if it cannot go along.
                None => route.object().filter(|id| !has_nexthop(source, *id)).map(Reason::Object),
            };
            Some(left(source.link.name, route, reason?))
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

    /// The sources' routes of this family, of each in the order in which they are put back.
    fn of_sources(&self) -> impl Iterator<Item = (&'a Surveyed, &'a RouteRecord)> {
        let goal = self.goal;
        let sources = goal.sources.iter().copied();
        sources
            .flat_map(move |source| routes_of(goal, source).into_iter().map(move |it| (source, it)))
    }

    /// Why a source's route does not lead through the link afterwards.
    fn why_left(&self, source: &Surveyed, route: &RouteRecord) -> Option<Reason> {
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

    /// Whether the link has the default route that the definition names, and keeps it.
    pub(super) fn has_gateway(&self) -> bool {
        let dropped = self.dropped();
        let stays = |route: &RouteRecord| !dropped.contains(&route) || self.carries(route);
        self.own.iter().any(|route| self.goal.is_gateway_route(route) && stays(route))
    }

    /// Whether a default route of the link's own is over: neither the definition nor the network has
    /// it.
    pub(super) fn is_stale(&self, route: &RouteRecord) -> bool {
        self.contradicting.contains(&route)
    }

    /// Whether a route can be, with the addresses that the link will have: its gateway is on one of
    /// their networks, and the address that it gives to packets is not one of those that go.
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

    /// Whether a gateway is on a network that the link will be on.
    fn reaches(&self, gateway: IpAddr) -> bool {
        is_link_local(gateway) || self.networks.iter().any(|network| holds(*network, gateway))
    }

    /// The default route over the definition's gateway, if it is yet to be made. Where no address of
    /// the link reaches the gateway, it counts as on the link, as ifupdown has it; and so it does as
    /// long as a lease is yet to tell.
    pub(super) fn missing_gateway(&self) -> Option<RouteRecord> {
        let gateway = self.goal.gateway()?;
        let is_led = self.has_gateway()
            || self.moving().iter().any(|route| self.goal.is_gateway_route(route));
        let route = RouteRecord::default_over(gateway);
        let route = if self.reaches(gateway) { route } else { route.on_link() };
        (!is_led).then_some(route)
    }

    /// Whether only a lease will tell where the gateway is.
    pub(super) fn waits_for_lease(&self, route: &RouteRecord) -> bool {
        self.goal.wants_lease() && route.is_on_link()
    }

    /// The link's own routes that are taken before addresses are, and put back then if they can be:
    /// those that the kernel drops, which is all of IPv4 when for a moment no address is left, and
    /// those that would lead nowhere.
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
            // A way of several is only set aside, and comes back with the next address.
            let is_lost = is_emptied || !self.carries(route);
            (is_lost && route.can_move()) || has_source
        });
        routes
    }
}

/// The default routes of a link and its sources that the definition contradicts: what the kernel would
/// take before the gateway's own, and what would stand beside that with the same metric, unless it does
/// so already.
fn contradicting<'a>(goal: &AddressingGoal<'a>) -> Vec<&'a RouteRecord> {
    let of_link =
        |surveyed: &'a Surveyed| surveyed.routes.iter().map(move |route| (surveyed, route));
    let defaults = goal.surveyed().flat_map(of_link);
    let is_default =
        |(_, route): &(_, &RouteRecord)| route.family == goal.family && route.is_default();
    let mut defaults: Vec<_> = defaults.filter(is_default).collect();
    // The kernel takes the first one of the lowest metric.
    defaults.sort_by_key(|(_, route)| route.metric);
    let Some(gateway) = goal.gateway() else {
        let routes = defaults.into_iter().map(|(_, route)| route);
        return routes.filter(|route| goal.is_not_defined(route)).collect();
    };
    let led = defaults.iter().position(|(_, route)| goal.is_gateway_route(route));
    let (led_by, metric) = match led.and_then(|at| defaults.get(at)) {
        Some((surveyed, route)) => (Some(surveyed.link.name), route.metric),
        None => (None, RouteRecord::default_over(gateway).metric_in_force()),
    };
    let is_over = |(at, (surveyed, route)): (usize, (&Surveyed, &'a RouteRecord))| {
        let is_tried_before = match route.metric.cmp(&metric) {
            Ordering::Less => true,
            Ordering::Equal if led_by == Some(surveyed.link.name) => led > Some(at),
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

/// A link's routes in the order in which they are put back: those that others find their gateway by
/// first, and of several to one place the last one first, as the kernel puts each before the others.
pub(super) fn routes_in_order(surveyed: &Surveyed) -> Vec<&RouteRecord> {
    let (near, far): (Vec<_>, Vec<_>) =
        surveyed.routes.iter().rev().partition(|route| route.is_direct());
    [near, far].concat()
}

/// A link's routes of the goal's family, in that order.
fn routes_of<'a>(goal: &AddressingGoal<'_>, surveyed: &'a Surveyed) -> Vec<&'a RouteRecord> {
    let family = goal.family;
    routes_in_order(surveyed).into_iter().filter(|route| route.family == family).collect()
}

/// Whether a route's gateway is on a network that a link is on. Once it is not, the kernel keeps the
/// route and would not take it again.
pub(super) fn is_reached(surveyed: &Surveyed, route: &RouteRecord) -> bool {
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

/// Whether a nexthop object of this number is known of a link.
fn has_nexthop(surveyed: &Surveyed, id: u32) -> bool {
    surveyed.nexthops.iter().any(|nexthop| nexthop.id == id)
}

fn is_link_local(gateway: IpAddr) -> bool {
    matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
