// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Wish`]: what a definition wants of one family's addresses and routes, beside what is there.
//!
//! Answers questions and plans nothing. What a link shall have comes from its definition, and from
//! its donors: the ports that a bridge or bond takes over. A donor's lease goes on where the
//! definition wants one, and its routes lead through the new link, as connections over them are to
//! survive.

use std::net::IpAddr;

use crate::host::survey::{Survey, Surveyed};
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::{Interface, Protocol};
use crate::model::ipv6::Ipv6Switches;
use crate::model::name::IfName;
use crate::netlink::address::{Lifetime, Origin, Role, Scope};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;

/// What a definition wants of one family, and what is there.
pub(super) struct Wish<'a> {
    pub(super) link: IfName,
    pub(super) family: Family,
    pub(super) protocol: Option<&'a Protocol>,
    /// The link as it is, if it is there yet.
    now: Option<&'a Surveyed>,
    donors: &'a [&'a Surveyed],
    survey: &'a Survey,
}

impl<'a> Wish<'a> {
    pub(super) fn new(
        definition: &'a Interface,
        family: Family,
        donors: &'a [&'a Surveyed],
        survey: &'a Survey,
    ) -> Self {
        let link = definition.name;
        let protocol = definition.protocols.iter().find(|protocol| protocol.family == family);
        Self { link, family, protocol, now: survey.named(&link), donors, survey }
    }

    /// The addresses that the definition names.
    pub(super) fn fixed(&self) -> Vec<IpPrefix> {
        let ips = self.protocol.map(|protocol| protocol.addresses.as_slice()).unwrap_or_default();
        ips.iter().map(|ip| ip.prefix()).collect()
    }

    /// Whether a DHCP server is to be asked.
    pub(super) fn wants_lease(&self) -> bool {
        self.protocol.is_some_and(|protocol| protocol.dhcp.is_some())
    }

    fn wants_advertised(&self) -> bool {
        match self.family {
            Family::Ipv4 => false,
            // Where a definition says nothing of IPv6 the kernel's own ways are left to it.
            Family::Ipv6 => self.protocol.is_none_or(|protocol| protocol.autoconf),
        }
    }

    /// Whether others on the network tell the host its addresses and its gateway.
    pub(super) fn learns(&self) -> bool {
        self.wants_lease() || self.wants_advertised()
    }

    pub(super) fn gateway(&self) -> Option<IpAddr> {
        self.protocol.and_then(|protocol| protocol.gateway)
    }

    /// The switches of IPv6 that the link has, or will have when it is made.
    pub(super) fn switches(&self) -> Ipv6Switches {
        self.now.map_or(self.survey.defaults, |now| now.switches)
    }

    /// Whether the link has nothing of this family, and will not have: the definition does not speak
    /// of it.
    fn is_off(&self) -> bool {
        let is_disabled = self.switches().disable_ipv6.is_some_and(|value| value != 0);
        self.family == Family::Ipv6 && self.protocol.is_none() && is_disabled
    }

    /// The addresses of this family that a surveyed link has and that mean something beyond it.
    fn addresses_of(&self, surveyed: &'a Surveyed) -> impl Iterator<Item = &'a AddressRecord> {
        let family = self.family;
        surveyed.addresses.iter().filter(move |record| {
            record.address.prefix.family() == family
                && matches!(record.address.scope, Scope::Global | Scope::Site)
        })
    }

    /// The link's own addresses of this family.
    pub(super) fn own(&self) -> Vec<&'a AddressRecord> {
        self.now.map(|now| self.addresses_of(now).collect()).unwrap_or_default()
    }

    /// The link's own routes of this family, in the order in which each finds its gateway.
    pub(super) fn own_routes(&self) -> Vec<&'a RouteRecord> {
        self.now.map(|now| self.routes_of(now)).unwrap_or_default()
    }

    fn routes_of(&self, surveyed: &'a Surveyed) -> Vec<&'a RouteRecord> {
        let family = self.family;
        routes_in_order(surveyed).into_iter().filter(|route| route.family == family).collect()
    }

    /// Whether an address that the link has may stay.
    pub(super) fn keeps(&self, record: &AddressRecord) -> bool {
        let is_fixed =
            record.address.peer.is_none() && self.fixed().contains(&record.address.prefix);
        let has_client = self.survey.has_client(&self.link, self.family);
        is_fixed
            || (self.wants_lease() && (is_learnt(record) || has_client))
            || (self.wants_advertised() && is_learnt(record))
    }

    /// The link's own addresses that it shall not have any more.
    pub(super) fn stale(&self) -> Vec<&'a AddressRecord> {
        self.own().into_iter().filter(|record| !self.keeps(record)).collect()
    }

    /// Whether the kernel may take an address with it when the stale ones go: with the first of an
    /// IPv4 network go all others of it.
    pub(super) fn hangs_on_stale(&self, record: &AddressRecord) -> bool {
        self.family == Family::Ipv4
            && self
                .stale()
                .iter()
                .any(|stale| stale.address.role == Role::Primary && same_network(stale, record))
    }

    /// The link's own addresses that stay, but go with the stale ones for a moment.
    pub(super) fn dragged(&self) -> Vec<&'a AddressRecord> {
        let is_dragged = |record: &&AddressRecord| {
            record.address.role == Role::Secondary
                && self.keeps(record)
                && self.hangs_on_stale(record)
        };
        self.own().into_iter().filter(is_dragged).collect()
    }

    /// The link's own addresses that expire, and shall not: they came with a lease, or from a
    /// router, and have now been defined.
    pub(super) fn to_last(&self) -> Vec<&'a AddressRecord> {
        // What the kernel has from routers it keeps alive itself; a lease does not touch what lasts.
        let (fixed, learns) = (self.fixed(), self.wants_advertised());
        let is_to_last = |record: &&AddressRecord| {
            !learns
                && record.address.lifetime == Lifetime::Finite
                && record.address.peer.is_none()
                && fixed.contains(&record.address.prefix)
        };
        self.own().into_iter().filter(is_to_last).collect()
    }

    /// The addresses that the link is to have and does not: those that the definition names, then
    /// those that come over from donors.
    pub(super) fn coming(&self) -> Vec<AddressRecord> {
        let own = self.own();
        let is_there = |prefix: &IpPrefix| {
            own.iter().any(|own| own.address.prefix == *prefix && self.keeps(own))
        };
        let missing = self.fixed().into_iter().filter(|prefix| !is_there(prefix));
        let mut coming: Vec<_> = missing.map(|prefix| self.fixed_record(prefix)).collect();
        coming.extend(self.carried());
        coming
    }

    /// An address that the definition names, with what a donor's may have of its own.
    fn fixed_record(&self, prefix: IpPrefix) -> AddressRecord {
        let mut at_donors = self.donors.iter().flat_map(|donor| self.addresses_of(donor));
        let is_lasting = |record: &&AddressRecord| {
            record.address.prefix == prefix && record.address.lifetime == Lifetime::Permanent
        };
        at_donors
            .find(is_lasting)
            .map_or_else(|| AddressRecord::permanent(prefix), AddressRecord::moved)
    }

    /// The addresses that come over from donors and no definition names: leases, and what routers
    /// have advertised.
    pub(super) fn carried(&self) -> Vec<AddressRecord> {
        let (fixed, own) = (self.fixed(), self.own());
        let mut carried = Vec::<AddressRecord>::new();
        for donor in self.donors.iter().filter(|_| !self.is_off()) {
            let is_leased =
                self.wants_lease() && self.survey.has_client(&donor.link.name, self.family);
            for record in self.addresses_of(donor) {
                let goes_on = is_leased || (is_learnt(record) && self.learns());
                let is_there =
                    |there: &AddressRecord| there.address.prefix == record.address.prefix;
                if goes_on
                    && !fixed.contains(&record.address.prefix)
                    && !own.iter().any(|own| is_there(own))
                    && !carried.iter().any(is_there)
                {
                    carried.push(record.moved());
                }
            }
        }
        carried
    }

    /// The addresses that the link will have, as far as anybody can tell.
    pub(super) fn to_be(&self) -> Vec<IpPrefix> {
        let kept = self.own().into_iter().filter(|record| self.keeps(record));
        let kept: Vec<_> = kept.map(|record| record.address.prefix).collect();
        kept.into_iter().chain(self.coming().iter().map(|it| it.address.prefix)).collect()
    }

    /// The routes of donors that are to lead through the link: not what its own gateway replaces,
    /// nor what would lead nowhere from there.
    pub(super) fn moving_routes(&self) -> Vec<&'a RouteRecord> {
        let own = self.own_routes();
        let mut has_gateway = self.has_gateway();
        let mut moving = Vec::<&RouteRecord>::new();
        for route in self.donors.iter().flat_map(|donor| self.routes_of(donor)) {
            let is_wanted = match self.gateway() {
                _ if !route.is_default() => true,
                Some(_) => self.is_gateway_route(route) && !has_gateway,
                None => self.is_learnt_route(route),
            };
            let is_there = own.iter().chain(&moving).any(|other| other.is_same_way(route));
            if is_wanted && !is_there && route.can_move() && !self.is_off() && self.carries(route) {
                has_gateway |= self.is_gateway_route(route);
                moving.push(route);
            }
        }
        // Of all donors', those that others need come first.
        near_before_far(moving)
    }

    /// Whether the link has the default route that the definition names, and keeps it.
    pub(super) fn has_gateway(&self) -> bool {
        let dropped = self.dropped_routes();
        let stays = |route: &RouteRecord| !dropped.contains(&route) || self.carries(route);
        self.own_routes().iter().any(|route| self.is_gateway_route(route) && stays(route))
    }

    /// Whether this is the default route that the definition names. One that a router has advertised
    /// expires, where the definition does not leave it to routers.
    pub(super) fn is_gateway_route(&self, route: &RouteRecord) -> bool {
        leads_over(route, self.gateway()) && (route.is_lasting() || self.learns())
    }

    /// Whether a default route of the link's own has had its day: neither the definition nor anybody
    /// on the network has told of it.
    pub(super) fn is_stale_route(&self, route: &RouteRecord) -> bool {
        route.is_default() && !self.is_gateway_route(route) && !self.is_learnt_route(route)
    }

    fn is_learnt_route(&self, route: &RouteRecord) -> bool {
        self.wants_lease() || (self.wants_advertised() && route.is_advertised())
    }

    /// Whether a route can be, with the addresses that the link will have: its gateway is on one of
    /// their networks, and the address that it gives to packets is not one of those that go.
    pub(super) fn carries(&self, route: &RouteRecord) -> bool {
        let to_be = self.to_be();
        let surveyed = || self.now.iter().chain(self.donors);
        let goes = |source: IpAddr| {
            let mut now = surveyed().flat_map(|surveyed| self.addresses_of(surveyed));
            now.any(|record| record.address.prefix.address() == source)
                && !to_be.iter().any(|prefix| prefix.address() == source)
        };
        let is_on_link =
            route.is_on_link() || route.gateway.is_none_or(|gateway| self.reaches(gateway));
        is_on_link && !route.source.is_some_and(goes)
    }

    /// Whether a gateway is on a network that the link will be on.
    pub(super) fn reaches(&self, gateway: IpAddr) -> bool {
        let is_link_local = matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let surveyed = self.now.iter().chain(self.donors);
        let mut routes = surveyed.flat_map(|surveyed| self.routes_of(surveyed));
        is_link_local
            || self.to_be().iter().any(|network| holds(*network, gateway))
            || routes.any(|route| {
                route.gateway.is_none() && !route.is_default() && holds(route.destination, gateway)
            })
    }

    /// The gateway of a default route that is yet to be made.
    pub(super) fn missing_gateway(&self) -> Option<IpAddr> {
        let is_led = self.has_gateway()
            || self.moving_routes().iter().any(|route| self.is_gateway_route(route));
        self.gateway().filter(|_| !is_led)
    }

    /// Whether only a lease will tell where the gateway is.
    pub(super) fn waits_for_lease(&self, gateway: IpAddr) -> bool {
        self.wants_lease() && !self.reaches(gateway)
    }

    /// The link's own routes that are taken before addresses are, and put back then if they can be:
    /// those that the kernel drops, which is all of IPv4 when for a moment no address is left, and
    /// those that would lead nowhere.
    pub(super) fn dropped_routes(&self) -> Vec<&'a RouteRecord> {
        let (stale, dragged) = (self.stale(), self.dragged());
        if stale.is_empty() {
            return Vec::new();
        }
        let going = stale.iter().chain(&dragged);
        let goes = |record: &AddressRecord| going.clone().any(|it| it.id() == record.id());
        let all = self.now.map(|now| now.addresses.as_slice()).unwrap_or_default();
        let of_family = |record: &&AddressRecord| record.address.prefix.family() == self.family;
        let is_emptied = self.family == Family::Ipv4
            && all.iter().filter(of_family).all(goes)
            && self.coming().iter().all(|record| self.hangs_on_stale(record));
        let mut routes = self.own_routes();
        routes.retain(|route| {
            let has_source =
                |it: &&AddressRecord| route.source == Some(it.address.prefix.address());
            // A way of several is only set aside, and comes back with the next address.
            let is_lost = is_emptied || !self.carries(route);
            (is_lost && route.can_move()) || going.clone().any(has_source)
        });
        routes
    }
}

/// A link's routes in the order in which they are put back: those that others find their gateway by
/// first, and of several to one place the last one first, as the kernel puts each before the others.
pub(super) fn routes_in_order(surveyed: &Surveyed) -> Vec<&RouteRecord> {
    near_before_far(surveyed.routes.iter().rev().collect())
}

/// Routes that lead to a neighbour before those over a gateway, which may be found by one of them.
fn near_before_far(routes: Vec<&RouteRecord>) -> Vec<&RouteRecord> {
    let (near, far): (Vec<_>, Vec<_>) =
        routes.into_iter().partition(|route| route.gateway.is_none());
    [near, far].concat()
}

/// Whether a route's gateway is on a network that a link is on. Once it is not, the kernel keeps the
/// route and would not take it again.
pub(super) fn is_reached(surveyed: &Surveyed, route: &RouteRecord) -> bool {
    let is_on_network = |gateway: IpAddr| {
        let destination = |record: &AddressRecord| {
            let prefix = record.address.prefix;
            let at = record.address.peer.unwrap_or(prefix.address());
            IpPrefix::new(at, prefix.prefix_len()).unwrap_or(prefix)
        };
        let is_link_local = matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local());
        is_link_local
            || surveyed.addresses.iter().any(|record| holds(destination(record), gateway))
            || surveyed.routes.iter().any(|other| {
                other.gateway.is_none() && !other.is_default() && holds(other.destination, gateway)
            })
    };
    route.is_on_link() || route.gateway.is_none_or(is_on_network)
}

/// Whether somebody on the network has told the host this address: it expires, or a router
/// advertises it for ever.
fn is_learnt(record: &AddressRecord) -> bool {
    record.address.lifetime == Lifetime::Finite
        || record.address.origin == Origin::RouterAdvertisement
        || record.address.role == Role::Temporary
}

/// Whether this is the default route over this gateway.
fn leads_over(route: &RouteRecord, gateway: Option<IpAddr>) -> bool {
    route.is_default() && route.gateway.is_some() && route.gateway == gateway
}

/// Whether two addresses of one link share a network, as the kernel sees it.
fn same_network(a: &AddressRecord, b: &AddressRecord) -> bool {
    let (a, b) = (a.address.prefix, b.address.prefix);
    a.prefix_len() == b.prefix_len() && a.network() == b.network()
}

/// Whether a network has an address.
pub(super) fn holds(network: IpPrefix, address: IpAddr) -> bool {
    let within = IpPrefix::new(address, network.prefix_len());
    network.family() == Family::of(address)
        && within.is_some_and(|within| within.network() == network.network())
}
