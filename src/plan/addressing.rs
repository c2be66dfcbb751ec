// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addressing part of a plan: addresses, routes, the switches of IPv6, and DHCP clients.
//!
//! What a link shall have comes from its definition, and from its donors: the ports that a bridge or
//! bond takes over. A donor's lease goes on where the definition wants one, and its routes lead
//! through the new link, as connections over them are to survive.

use std::net::IpAddr;

use crate::host::survey::{Ipv6Switches, Surveyed};
use crate::model::address::{Family, IpPrefix};
use crate::model::interface::{Interface, Protocol};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::netlink::address::{Lifetime, Role, Scope};
use crate::netlink::record::{AddressRecord, RouteRecord};
use crate::plan::draft::Draft;
use crate::plan::step::{Condition, Step, Switch};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// The `accept_ra` of a router that takes advertisements all the same.
const ACCEPT_RA_ON_ROUTERS: i32 = 2;

/// What a definition wants of one family, and what is there.
struct Wish<'a> {
    link: IfName,
    family: Family,
    protocol: Option<&'a Protocol>,
    /// The link as it is, if it is there yet.
    now: Option<&'a Surveyed>,
    donors: &'a [&'a Surveyed],
    /// Whether our DHCP client runs on the link.
    has_client: bool,
}

impl<'a> Wish<'a> {
    fn fixed(&self) -> Vec<IpPrefix> {
        let ips = self.protocol.map(|protocol| protocol.addresses.as_slice()).unwrap_or_default();
        ips.iter().map(|ip| ip.prefix()).collect()
    }

    fn wants_lease(&self) -> bool {
        self.protocol.is_some_and(|protocol| protocol.dhcp.is_some())
    }

    fn wants_advertised(&self) -> bool {
        match self.family {
            Family::Ipv4 => false,
            // Where a definition says nothing of IPv6 the kernel's own ways are left to it.
            Family::Ipv6 => self.protocol.is_none_or(|protocol| protocol.autoconf),
        }
    }

    fn gateway(&self) -> Option<IpAddr> {
        self.protocol.and_then(|protocol| protocol.gateway)
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
    fn own(&self) -> Vec<&'a AddressRecord> {
        self.now.map(|now| self.addresses_of(now).collect()).unwrap_or_default()
    }

    /// The routes of this family through a surveyed link.
    fn routes_of(&self, surveyed: &'a Surveyed) -> impl Iterator<Item = &'a RouteRecord> {
        let family = self.family;
        surveyed.routes.iter().filter(move |route| route.family == family)
    }

    /// Whether an address that the link has may stay.
    fn keeps(&self, record: &AddressRecord) -> bool {
        let is_finite = record.address.lifetime == Lifetime::Finite;
        let is_fixed =
            record.address.peer.is_none() && self.fixed().contains(&record.address.prefix);
        is_fixed
            || (self.wants_lease() && (is_finite || self.has_client))
            || (self.wants_advertised() && is_finite)
    }

    /// The addresses that come over from donors and no definition names: leases, and what routers
    /// have advertised.
    fn carried(&self, draft: &Draft<'_>) -> Vec<AddressRecord> {
        if self.now.is_none() && self.donors.is_empty() {
            return Vec::new();
        }
        let (fixed, own) = (self.fixed(), self.own());
        let mut carried = Vec::new();
        for donor in self.donors {
            let is_leased =
                self.wants_lease() && draft.survey.has_client(&donor.link.name, self.family);
            let goes_on = |record: &&AddressRecord| {
                let is_finite = record.address.lifetime == Lifetime::Finite;
                let prefix = record.address.prefix;
                (is_leased || (is_finite && (self.wants_lease() || self.wants_advertised())))
                    && !fixed.contains(&prefix)
                    && !own.iter().any(|own| own.address.prefix == prefix)
            };
            carried.extend(self.addresses_of(donor).filter(goes_on).map(AddressRecord::moved));
        }
        carried
    }
}

impl<'a> Draft<'a> {
    /// Gives `definition`'s link the addresses that it shall have. What it is to lose stays for now.
    pub(super) fn add_addresses(&mut self, definition: &'a Interface, donors: &'a [&'a Surveyed]) {
        for family in FAMILIES {
            let wish = self.wish(definition, family, donors);
            self.set_switches(&wish);
            let own = wish.own();
            for prefix in wish.fixed() {
                if own.iter().any(|record| record.address.prefix == prefix) {
                    continue;
                }
                let mut at_donors = donors.iter().flat_map(|donor| wish.addresses_of(donor));
                let lasting = |record: &&AddressRecord| {
                    record.address.prefix == prefix
                        && record.address.lifetime == Lifetime::Permanent
                };
                let record = match at_donors.find(lasting) {
                    Some(record) => record.moved(),
                    None => AddressRecord::permanent(prefix),
                };
                self.add_address(wish.link, record);
            }
            for record in wish.carried(self) {
                self.add_address(wish.link, record);
            }
        }
    }

    /// Leads routes through `definition`'s link: its own default route, and those of its donors.
    pub(super) fn add_routes(&mut self, definition: &'a Interface, donors: &'a [&'a Surveyed]) {
        for family in FAMILIES {
            let wish = self.wish(definition, family, donors);
            let own: Vec<_> = wish.now.iter().flat_map(|now| wish.routes_of(now)).collect();
            let learns = wish.wants_lease() || wish.wants_advertised();
            let mut has_gateway = own.iter().any(|route| leads_over(route, wish.gateway()));
            for donor in donors {
                let of_family = |route: &&&RouteRecord| route.family == family && route.can_move();
                for route in on_link_first(&donor.routes).iter().filter(of_family) {
                    let is_wanted = match wish.gateway() {
                        _ if !route.is_default() => true,
                        Some(_) => leads_over(route, wish.gateway()) && !has_gateway,
                        None => learns,
                    };
                    if is_wanted && !own.contains(route) {
                        has_gateway |= leads_over(route, wish.gateway());
                        let is_leased =
                            route.is_default() && wish.wants_lease() && wish.gateway().is_none();
                        let route = if is_leased { route.leased() } else { (*route).clone() };
                        self.add_route(wish.link, route);
                    }
                }
            }
            if let Some(gateway) = wish.gateway().filter(|_| !has_gateway) {
                self.add_route(wish.link, RouteRecord::default_over(gateway));
            }
            let is_stale = |route: &&&RouteRecord| {
                route.is_default() && !leads_over(route, wish.gateway()) && !learns
            };
            for route in own.iter().filter(is_stale) {
                self.delete_route(wish.link, route);
            }
        }
    }

    /// Takes from `definition`'s link the addresses that it shall not have any more.
    pub(super) fn delete_stale_addresses(&mut self, definition: &'a Interface) {
        for family in FAMILIES {
            let wish = self.wish(definition, family, &[]);
            let own = wish.own();
            let stale: Vec<_> = own.iter().filter(|record| !wish.keeps(record)).collect();
            // With the first address of a network the kernel may take the others of it.
            let hangs_on_stale = |record: &&&AddressRecord| {
                record.address.role == Role::Secondary
                    && wish.keeps(record)
                    && stale.iter().any(|stale| same_network(stale, record))
            };
            let dragged: Vec<_> = own.iter().filter(hangs_on_stale).collect();
            for record in own.iter().rev() {
                if stale.contains(&record) || dragged.contains(&record) {
                    self.delete_address(wish.link, record);
                }
            }
            for record in dragged {
                self.add_address(wish.link, (*record).clone());
            }
        }
    }

    /// Takes everything of the network layer from a link that will be a port, or is taken down:
    /// first the routes, as they could not be told from lost ones once the addresses are gone.
    pub(super) fn strip(&mut self, surveyed: &'a Surveyed) {
        let link = surveyed.link.name;
        for route in on_link_first(&surveyed.routes).into_iter().rev() {
            self.delete_route(link, route);
        }
        let is_own =
            |record: &&AddressRecord| matches!(record.address.scope, Scope::Global | Scope::Site);
        // The first address of a network last, as others may go with it.
        for record in surveyed.addresses.iter().filter(is_own).rev() {
            self.delete_address(link, record);
        }
    }

    /// Ends the DHCP clients of a link that will be a port, or is taken down. Before anything else, as
    /// some clients take their lease back from a link that becomes a port.
    pub(super) fn stop_all_clients(&mut self, link: IfName) {
        for lease in self.survey.leases.iter().filter(|lease| lease.link == link) {
            self.push(Step::StopClient(*lease), Some(Step::StartClient(*lease)));
        }
    }

    /// Ends the DHCP clients of `definition`'s link that it does not want.
    pub(super) fn stop_clients(&mut self, definition: &'a Interface) {
        for lease in self.survey.leases.iter().filter(|lease| lease.link == definition.name) {
            if wanted_lease(definition, lease.family) != Some(lease.name_servers) {
                self.push(Step::StopClient(*lease), Some(Step::StartClient(*lease)));
            }
        }
    }

    /// Starts the DHCP clients that `definition` wants, and waits for what they bring.
    pub(super) fn start_clients(&mut self, definition: &'a Interface, donors: &'a [&'a Surveyed]) {
        for family in FAMILIES {
            let Some(name_servers) = wanted_lease(definition, family) else { continue };
            let wish = self.wish(definition, family, donors);
            let link = definition.name;
            let runs =
                |lease: &Lease| lease.is_for(link, family) && lease.name_servers == name_servers;
            if self.survey.leases.iter().any(runs) {
                continue;
            }
            let had: Vec<_> = wish.own().into_iter().filter(|record| wish.keeps(record)).collect();
            let carried = wish.carried(self);
            let leased = had.into_iter().chain(&carried);
            let fixed = wish.fixed();
            let mut prefixes = leased.map(|record| record.address.prefix);
            let wanted = prefixes.find(|prefix| !fixed.contains(prefix));
            let lease = Lease { link, family, name_servers, wanted };
            let undo = self.drop_lease(lease);
            self.push(Step::StartClient(lease), Some(undo));
            let condition = Condition::Leased { link, family, besides: fixed };
            self.push(Step::WaitFor(condition), None);
        }
    }

    /// What undoes the start of a client: whatever the link has then and neither has now nor gets
    /// from the plan is the client's.
    fn drop_lease(&self, lease: Lease) -> Step {
        let now = self.find(&lease.link);
        let addresses = now.into_iter().flat_map(|now| &now.addresses);
        let mut addresses: Vec<_> = addresses.map(|record| record.address.prefix).collect();
        let mut routes = now.map(|now| now.routes.clone()).unwrap_or_default();
        for step in self.steps() {
            if let Step::AddAddress { link, record } = step {
                addresses.extend((*link == lease.link).then_some(record.address.prefix));
            } else if let Step::AddRoute { link, record } = step {
                routes.extend((*link == lease.link).then(|| record.clone()));
            }
        }
        Step::DropLease { lease, addresses, routes }
    }

    fn wish(
        &self,
        definition: &'a Interface,
        family: Family,
        donors: &'a [&'a Surveyed],
    ) -> Wish<'a> {
        let link = definition.name;
        let protocol = definition.protocols.iter().find(|protocol| protocol.family == family);
        let now = self.find(&link);
        let has_client = self.survey.has_client(&link, family);
        Wish { link, family, protocol, now, donors, has_client }
    }

    /// Sets the switches of IPv6 as a definition that speaks of IPv6 needs them.
    fn set_switches(&mut self, wish: &Wish<'_>) {
        let Some(protocol) = wish.protocol.filter(|_| wish.family == Family::Ipv6) else { return };
        let now = wish.now.map_or(self.survey.defaults, |now| now.switches);
        let Ipv6Switches { accept_ra, autoconf, disable_ipv6, forwarding } = now;
        let is_router = forwarding.is_some_and(|forwarding| forwarding != 0);
        let accept = match (protocol.autoconf, is_router) {
            (true, true) => ACCEPT_RA_ON_ROUTERS,
            (true, false) => accept_ra.filter(|accept| *accept > 0).unwrap_or(1),
            (false, _) => 0,
        };
        for (switch, old, value) in [
            (Switch::DisableIpv6, disable_ipv6, 0),
            (Switch::AcceptRa, accept_ra, accept),
            (Switch::Autoconf, autoconf, i32::from(protocol.autoconf)),
        ] {
            if old != Some(value) {
                let link = wish.link;
                let undo = old.map(|value| Step::Switch { link, switch, value });
                self.push(Step::Switch { link, switch, value }, undo);
            }
        }
    }
}

/// Routes in an order in which they can be added: a gateway must be on the link when it is named.
fn on_link_first(routes: &[RouteRecord]) -> Vec<&RouteRecord> {
    let mut ordered: Vec<_> = routes.iter().collect();
    ordered.sort_by_key(|route| route.gateway.is_some());
    ordered
}

/// Whether this is the default route over this gateway.
fn leads_over(route: &RouteRecord, gateway: Option<IpAddr>) -> bool {
    route.is_default() && route.gateway.is_some() && route.gateway == gateway
}

/// What a definition says of name servers, if it wants a lease of the family.
fn wanted_lease(definition: &Interface, family: Family) -> Option<NameServers> {
    let protocol = definition.protocols.iter().find(|protocol| protocol.family == family)?;
    Some(match protocol.dhcp?.peer_dns {
        Some(false) => NameServers::Left,
        Some(true) | None => NameServers::Taken,
    })
}

/// Whether two addresses of one link share a network, as the kernel sees it.
fn same_network(a: &AddressRecord, b: &AddressRecord) -> bool {
    let (a, b) = (a.address.prefix, b.address.prefix);
    a.prefix_len() == b.prefix_len() && a.network() == b.network()
}
