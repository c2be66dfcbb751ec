// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`AddressingGoal`]: the addresses that a definition wants of one family, beside the present
//! ones.
//!
//! Answers questions and plans nothing. The addresses that a link will have come from its
//! definition, and from its sources: the ports that a bridge or bond takes over. A source's lease
//! goes on if the definition wants one. [`crate::plan::ways`] decides about routes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::host::removed::RemovedLink;
use crate::host::state::LinkState;
use crate::host::survey::{Survey, Sysctls};
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::{Interface, Protocol};
use crate::model::ipv6::{ACCEPT_RA_ON_ROUTERS, Ipv6Sysctls};
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::address::{Lifetime, Role, Scope};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::link::sysctls::ipv6_sysctls;
use crate::netlink::record::route::RouteRecord;

/// The goal of a definition for one family, with the present state.
pub(super) struct AddressingGoal<'a> {
    pub(super) link: IfName,
    pub(super) family: Family,
    pub(super) protocol: Option<&'a Protocol>,
    /// The link, if it exists.
    pub(super) now: Option<&'a LinkState>,
    pub(super) sources: &'a [&'a LinkState],
    survey: &'a Survey,
}

impl<'a> AddressingGoal<'a> {
    pub(super) fn new(
        definition: &'a Interface,
        family: Family,
        sources: &'a [&'a LinkState],
        survey: &'a Survey,
    ) -> Self {
        let link = definition.name;
        let protocol = definition.protocols.iter().find(|protocol| protocol.family == family);
        Self { link, family, protocol, now: survey.named(&link), sources, survey }
    }

    /// The link and its sources, as they are.
    pub(super) fn surveyed(&self) -> impl Iterator<Item = &'a LinkState> {
        self.now.into_iter().chain(self.sources.iter().copied())
    }

    /// Returns whether a source is a link that was removed before.
    pub(super) fn was_removed(&self, source: &LinkState) -> bool {
        let now = self.survey.named(&source.link().name);
        now.is_none_or(|now| !std::ptr::eq(now, source))
    }

    /// The link of the same name that was taken down before.
    pub(super) fn removed(&self) -> Option<&'a RemovedLink> {
        self.survey.removed.get(&self.link)
    }

    /// Returns the addresses in the definition.
    pub(super) fn fixed(&self) -> Vec<IpPrefix> {
        let ips = self.protocol.map(|protocol| protocol.addresses.as_slice()).unwrap_or_default();
        ips.iter().map(|ip| ip.prefix()).collect()
    }

    /// Whether the definition wants a lease.
    pub(super) fn wants_lease(&self) -> bool {
        self.protocol.is_some_and(|protocol| protocol.dhcp.is_some())
    }

    fn wants_advertised(&self) -> bool {
        match self.family {
            Family::Ipv4 => false,
            // A definition without IPv6 leaves it to the kernel.
            Family::Ipv6 => self.protocol.is_none_or(|protocol| protocol.autoconf),
        }
    }

    /// Whether the host learns its addresses and its gateway from the network.
    pub(super) fn learns(&self) -> bool {
        self.wants_lease() || self.wants_advertised()
    }

    pub(super) fn gateway(&self) -> Option<IpAddr> {
        self.protocol.and_then(|protocol| protocol.gateway)
    }

    /// The link from which the definition's link inherits its sysctls: the interface that was taken
    /// down for it, the link that it is made again from, or the port that brings addresses.
    pub(super) fn sysctl_source(&self) -> Option<&'a LinkRecord> {
        let sources = || self.sources.iter().copied();
        let mut recent = sources().filter(|source| self.was_removed(source));
        let mut others = recent.clone().filter(|source| source.link().name != self.link);
        if self.now.is_some() {
            return others.next().map(|source| &source.record);
        }
        let has_address = |source: &&LinkState| {
            source.addresses.iter().any(|record| record.address.scope != Scope::Link)
        };
        let recent = recent.next().map(|source| &source.record);
        let removed = || self.removed().map(|removed| &removed.record);
        let source = || sources().find(has_address).or_else(|| sources().next());
        recent.or_else(removed).or_else(|| source().map(|source| &source.record))
    }

    /// The IPv6 sysctls that a new link gets: those with a default in the kernel, with the values
    /// of the link that it inherits from.
    fn sysctls_of_new(&self, defaults: &Sysctls) -> Ipv6Sysctls {
        let carried = self.sysctl_source().map(LinkRecord::sysctls).unwrap_or_default();
        let carried = ipv6_sysctls(&carried);
        let of_new = |carried: Option<i32>, sysctl: Sysctl| {
            defaults.get(&sysctl).map(|default| carried.unwrap_or(*default))
        };
        Ipv6Sysctls {
            accept_ra: of_new(carried.accept_ra, Sysctl::ACCEPT_RA),
            autoconf: of_new(carried.autoconf, Sysctl::AUTOCONF),
            disable_ipv6: of_new(carried.disable_ipv6, Sysctl::DISABLE_IPV6),
            forwarding: of_new(carried.forwarding, Sysctl::FORWARDING_IPV6),
        }
    }

    /// The IPv6 sysctls that the link has, or will have when it is made.
    pub(super) fn sysctls(&self) -> Ipv6Sysctls {
        let of_new = || self.sysctls_of_new(&self.survey.defaults);
        self.now.map_or_else(of_new, LinkState::sysctls)
    }

    /// The IPv6 sysctls that the link will get. A link that generates no addresses already complies
    /// with a definition without autoconf, which does not say whether the link learns its gateway
    /// from routers.
    pub(super) fn sysctls_to_be(&self) -> Ipv6Sysctls {
        let now = self.sysctls();
        let Some(protocol) = self.protocol else { return now };
        let is_router = now.forwarding.is_some_and(|forwarding| forwarding != 0);
        let is_without = [now.accept_ra, now.autoconf].contains(&Some(0));
        let (accept_ra, autoconf) = match (protocol.autoconf, is_router) {
            (true, true) => (ACCEPT_RA_ON_ROUTERS, 1),
            (true, false) => (now.accept_ra.filter(|accept| *accept > 0).unwrap_or(1), 1),
            (false, _) if is_without => (now.accept_ra.unwrap_or(0), now.autoconf.unwrap_or(0)),
            (false, _) => (0, 0),
        };
        let (accept_ra, autoconf) = (Some(accept_ra), Some(autoconf));
        Ipv6Sysctls { accept_ra, autoconf, disable_ipv6: Some(0), ..now }
    }

    /// Whether the link learns its gateway from routers.
    fn hears_routers(&self) -> bool {
        self.wants_advertised()
            || (self.family == Family::Ipv6 && self.sysctls_to_be().hears_routers())
    }

    /// Whether the link has nothing of this family and will get nothing: the definition does not
    /// contain it.
    fn is_off(&self) -> bool {
        // Checked last, as it is searched for among a hundred sysctls.
        let is_disabled = || self.sysctls().disable_ipv6.is_some_and(|value| value != 0);
        self.family == Family::Ipv6 && self.protocol.is_none() && is_disabled()
    }

    /// The addresses of this family on a surveyed link that the kernel has not added itself.
    pub(super) fn addresses_of(
        &self,
        surveyed: &'a LinkState,
    ) -> impl Iterator<Item = &'a AddressRecord> {
        let family = self.family;
        surveyed.addresses.iter().filter(move |record| {
            record.address.prefix.family() == family
                && !record.address.is_of_link(surveyed.link().mac)
        })
    }

    /// Returns the link's own addresses of this family.
    pub(super) fn own(&self) -> Vec<&'a AddressRecord> {
        self.now.map(|now| self.addresses_of(now).collect()).unwrap_or_default()
    }

    /// Whether a present address of the link may stay.
    pub(super) fn keeps(&self, record: &AddressRecord) -> bool {
        // A definition does not determine the peer of an address.
        let is_fixed = self.fixed().contains(&record.address.prefix);
        let has_client = self.survey.has_client(&self.link, self.family);
        is_fixed
            || !record.address.is_definable()
            || (self.wants_lease() && (record.address.is_learnt() || has_client))
            || (self.wants_advertised() && record.address.is_learnt())
    }

    /// The link's own addresses that it loses.
    pub(super) fn stale(&self) -> Vec<&'a AddressRecord> {
        self.own().into_iter().filter(|record| !self.keeps(record)).collect()
    }

    /// Whether the kernel may remove an address along with the stale ones: with the first of an
    /// IPv4 network go all others of it.
    pub(super) fn hangs_on_stale(&self, record: &AddressRecord) -> bool {
        self.family == Family::Ipv4
            && self
                .stale()
                .iter()
                .any(|stale| stale.address.role == Role::Primary && same_network(stale, record))
    }

    /// The link's own addresses that stay, but are lost with the stale ones for a moment.
    pub(super) fn dragged(&self) -> Vec<&'a AddressRecord> {
        let is_dragged = |record: &&AddressRecord| {
            record.address.role == Role::Secondary
                && self.keeps(record)
                && self.hangs_on_stale(record)
        };
        self.own().into_iter().filter(is_dragged).collect()
    }

    /// The link's own addresses that expire, and must not: they came with a lease or from a router,
    /// and are defined now.
    pub(super) fn to_last(&self) -> Vec<&'a AddressRecord> {
        // The kernel keeps the addresses from routers alive; a lease does not touch permanent ones.
        let (fixed, learns) = (self.fixed(), self.wants_advertised());
        let is_to_last = |record: &&AddressRecord| {
            !learns
                && record.address.lifetime == Lifetime::Finite
                && record.address.peer.is_none()
                && fixed.contains(&record.address.prefix)
        };
        self.own().into_iter().filter(is_to_last).collect()
    }

    /// The addresses that the link lacks: those from sources in the order in which they were listed
    /// there, as the kernel uses that order to choose one of a network, and then the new ones. IPv4
    /// lists the first added first, IPv6 the last.
    pub(super) fn coming(&self) -> Vec<AddressRecord> {
        let own = self.own();
        let is_there = |prefix: &IpPrefix| {
            own.iter().any(|own| own.address.prefix == *prefix && self.keeps(own))
        };
        let missing = self.fixed().into_iter().filter(|prefix| !is_there(prefix));
        let mut coming: Vec<_> = missing.flat_map(|prefix| self.fixed_records(prefix)).collect();
        coming.extend(self.carried());
        let had = self.sources.iter().flat_map(|source| self.addresses_of(source));
        let places: BTreeMap<_, _> = had.zip(0_isize..).map(|(it, at)| (it.key(), at)).collect();
        coming.sort_by_cached_key(|record| match (places.get(&record.key()), self.family) {
            (Some(at), Family::Ipv4) => *at,
            (Some(at), Family::Ipv6) => -at,
            (None, _) => isize::MAX,
        });
        coming
    }

    /// An address that the definition names, with the properties of a source's. A source may have
    /// it several times, each with another peer.
    fn fixed_records(&self, prefix: IpPrefix) -> Vec<AddressRecord> {
        let mut records = Vec::<AddressRecord>::new();
        for source in self.sources {
            for record in self.addresses_of(source) {
                let peer = record.address.peer;
                if record.address.prefix == prefix
                    && record.address.lifetime == Lifetime::Permanent
                    && !records.iter().any(|other| other.address.peer == peer)
                {
                    records.push(record.moved(&source.link().name, &self.link));
                }
            }
        }
        if records.is_empty() { vec![AddressRecord::permanent(prefix)] } else { records }
    }

    /// The addresses from sources that no definition names: leases, addresses from routers, and
    /// those of scope link or host, which a definition cannot express.
    pub(super) fn carried(&self) -> Vec<AddressRecord> {
        let (fixed, own) = (self.fixed(), self.own());
        let mut carried = Vec::<AddressRecord>::new();
        for source in self.sources.iter().filter(|_| !self.is_off()) {
            // The DHCP client goes on with its lease, on the source or, if it is returned, here.
            let has_client = self.survey.has_client(&source.link().name, self.family)
                || self.survey.ended_for(self.link, self.family).is_some();
            let is_leased = self.wants_lease() && has_client;
            for record in self.addresses_of(source) {
                let goes_on = is_leased
                    || !record.address.is_definable()
                    || (record.address.is_learnt() && self.learns());
                let is_there =
                    |there: &AddressRecord| there.address.prefix == record.address.prefix;
                if goes_on
                    && !fixed.contains(&record.address.prefix)
                    && !own.iter().any(|own| is_there(own))
                    && !carried.iter().any(is_there)
                {
                    carried.push(record.moved(&source.link().name, &self.link));
                }
            }
        }
        carried
    }

    /// The addresses that the link will have, as far as can be known.
    pub(super) fn to_be(&self) -> Vec<AddressRecord> {
        let kept = self.own().into_iter().filter(|record| self.keeps(record)).cloned();
        kept.chain(self.coming()).collect()
    }

    /// Whether the link loses all its IPv4 addresses for a moment, and all routes with the last
    /// one.
    pub(super) fn is_emptied(&self) -> bool {
        let (stale, dragged) = (self.stale(), self.dragged());
        let going = stale.iter().chain(&dragged);
        let goes = |record: &AddressRecord| going.clone().any(|it| it.id() == record.id());
        let all = self.now.map(|now| now.addresses.as_slice()).unwrap_or_default();
        let mut of_family = all.iter().filter(|it| it.address.prefix.family() == self.family);
        self.family == Family::Ipv4
            && of_family.all(goes)
            && self.coming().iter().all(|record| self.hangs_on_stale(record))
    }

    /// Whether the definition removes this family from a link whose sources had addresses of it, so
    /// that their routes cannot stay. Where the kernel accepts advertisements, routes from routers
    /// stay.
    pub(super) fn has_no_place_for(&self, route: &RouteRecord) -> bool {
        let has_address = |surveyed| self.addresses_of(surveyed).next().is_some();
        let is_told = self.is_learnt_route(route);
        let is_taken =
            || self.sources.iter().any(|source| has_address(source)) && self.to_be().is_empty();
        self.is_off() || (!is_told && is_taken())
    }

    /// Whether this is the default route that the definition names. One that a router has
    /// advertised expires, unless the definition leaves it to routers.
    pub(super) fn is_gateway_route(&self, route: &RouteRecord) -> bool {
        leads_over(route, self.gateway()) && (route.is_lasting() || self.learns())
    }

    /// Whether the origin of a default route is gone, for a definition without a gateway: an
    /// earlier definition named it, or it came from a DHCP server or a router that is not used any
    /// more. All other default routes were added by hand.
    pub(super) fn is_not_defined(&self, route: &RouteRecord) -> bool {
        let is_told = route.is_leased() || route.is_advertised() || !route.is_lasting();
        !self.is_learnt_route(route) && (is_told || route.is_as_defined())
    }

    /// Whether a route may come from a DHCP server or a router.
    pub(super) fn is_learnt_route(&self, route: &RouteRecord) -> bool {
        self.wants_lease() || (route.is_advertised() && self.hears_routers())
    }
}

/// Returns whether this is the default route by this gateway.
pub(super) fn leads_over(route: &RouteRecord, gateway: Option<IpAddr>) -> bool {
    route.is_default() && gateway.is_some_and(|gateway| route.leads_over(gateway))
}

/// Returns whether the kernel considers two addresses of one link to be in the same network.
fn same_network(a: &AddressRecord, b: &AddressRecord) -> bool {
    let (a, b) = (a.address.prefix, b.address.prefix);
    a.prefix_len() == b.prefix_len() && a.network() == b.network()
}

/// Returns whether an address is in a network.
pub(super) fn holds(network: IpPrefix, address: IpAddr) -> bool {
    let within = IpPrefix::new(address, network.prefix_len());
    network.family() == Family::of(address)
        && within.is_some_and(|within| within.network() == network.network())
}
