// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addressing part of a plan: addresses, routes, IPv6 sysctls, and DHCP clients.
//!
//! [`AddressingGoal`] says what is needed; this module decides the order of the steps, and takes
//! the kernel's side effects into account.

use crate::host::state::LinkState;
use crate::model::address::Family;
use crate::model::foreign::{ClientLinks, ForeignClient};
use crate::model::interface::{Interface, Protocol};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::plan::builder::{Builder, Leases};
use crate::plan::goal::AddressingGoal;
use crate::plan::refusal::PlanRefusal;
use crate::plan::request::KernelRequest;
use crate::plan::step::{Condition, DhcpStep, Step, sysctl_values};
use crate::plan::ways::{Ways, routes_in_order};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

impl<'a> Builder<'a> {
    /// Adds the missing addresses to `definition`'s link, except those that the kernel would remove
    /// together with stale ones. Stale addresses stay for now.
    pub(super) fn add_addresses(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a LinkState],
    ) {
        for family in FAMILIES {
            let goal = self.goal(definition, family, sources);
            for record in goal.to_last() {
                let lasting = AddressRecord::permanent(record.address.prefix);
                self.change_address(goal.link, record, lasting);
            }
            for record in goal.coming() {
                if !goal.hangs_on_stale(&record) {
                    self.add_address(goal.link, record);
                }
            }
        }
    }

    /// Removes stale addresses from `definition`'s link. Addresses and routes that the kernel would
    /// remove with them are removed first and added again afterwards, so that each step can be
    /// undone.
    pub(super) fn replace_addresses(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a LinkState],
    ) {
        for family in FAMILIES {
            let goal = self.goal(definition, family, sources);
            let (stale, dragged) = (goal.stale(), goal.dragged());
            let ways = Ways::new(&goal);
            let dropped = ways.dropped();
            for route in dropped.iter().rev() {
                self.delete_route(goal.link, route);
            }
            for record in in_order_to_go(goal.own()) {
                if stale.contains(&record) || dragged.contains(&record) {
                    self.delete_address(goal.link, record);
                }
            }
            let coming = goal.coming().into_iter().filter(|record| goal.hangs_on_stale(record));
            let mut late: Vec<_> = dragged.into_iter().cloned().chain(coming).collect();
            let fixed = goal.fixed();
            // The first address of a network that is added becomes the primary one.
            let place = |record: &AddressRecord| {
                let at = fixed.iter().position(|prefix| *prefix == record.address.prefix);
                at.unwrap_or(fixed.len())
            };
            late.sort_by_cached_key(place);
            for record in late {
                self.add_address(goal.link, record);
            }
            for route in dropped {
                if !ways.is_stale(route) && ways.carries(route) {
                    self.add_route(goal.link, route.clone());
                }
            }
        }
    }

    /// Adds routes through `definition`'s link: its own default route, and those of its sources.
    pub(super) fn add_routes(&mut self, definition: &'a Interface, sources: &'a [&'a LinkState]) {
        for family in FAMILIES {
            let goal = self.goal(definition, family, sources);
            let ways = Ways::new(&goal);
            let dropped = ways.dropped();
            let mut stale = ways.own().to_vec();
            stale.retain(|route| ways.is_stale(route) && !dropped.contains(route));
            // The kernel would take a permanent route for a duplicate of one that expires.
            let (mistakable, stale): (Vec<_>, Vec<_>) =
                stale.into_iter().partition(|route| route.gateway == goal.gateway());
            for route in mistakable {
                self.delete_route(goal.link, route);
            }
            for route in ways.moving() {
                self.add_route(goal.link, route);
            }
            for route in ways.stand_ins() {
                self.delete_route(goal.link, &route);
            }
            if let Some(route) = ways.missing_gateway().filter(|it| !ways.waits_for_lease(it)) {
                self.add_route(goal.link, route);
            }
            for route in stale {
                self.delete_route(goal.link, route);
            }
            ways.left().into_iter().for_each(|left| self.leave(left));
        }
    }

    /// Removes addresses and routes from a link that will be a port, or is taken down. Routes are
    /// removed first, so that each can be restored; the kernel would drop them with the addresses.
    pub(super) fn strip(&mut self, surveyed: &'a LinkState) {
        let link = surveyed.link().name;
        for route in routes_in_order(surveyed).into_iter().rev() {
            self.delete_route(link, route);
        }
        let is_own = |record: &&AddressRecord| !record.address.is_of_link(surveyed.link().mac);
        let nexthops = surveyed
            .nexthops
            .iter()
            .cloned()
            .map(Apart::Nexthop)
            .map(KernelRequest::AddApart)
            .map(Step::Request);
        let mut nexthops: Vec<_> = nexthops.collect();
        for record in in_order_to_go(surveyed.addresses.iter().filter(is_own).collect()) {
            self.delete_address(link, record);
            // The undo steps restore nexthop objects after the addresses that reach their gateways,
            // and before the routes that use them.
            nexthops.drain(..).for_each(|step| self.also_undo(step));
        }
        if !surveyed.routes.is_empty() {
            self.undo_first(nexthops);
        }
    }

    /// Ends the DHCP clients of a link that will be a port, or is taken down. This comes first,
    /// since some clients remove their lease from a link that becomes a port. It also applies to a
    /// link that is yet to be created, since the clients would find it.
    pub(super) fn stop_all_clients(&mut self, link: IfName) -> Result<(), PlanRefusal> {
        for lease in self.survey.leases.iter().filter(|lease| lease.link == link) {
            self.push(DhcpStep::Stop(*lease), vec![Step::Dhcp(DhcpStep::Start(*lease))]);
        }
        for client in self.survey.foreign.iter().filter(|client| client.is_on(link)) {
            if !matches!(client.links, ClientLinks::All(_)) {
                self.end_foreign_client(link, client)?;
            }
        }
        Ok(())
    }

    /// Makes a client that manages all links release one that will be a port. A client that accepts
    /// no orders would take the link again, so the change is refused; also if the client may not
    /// continue the lease on the new link.
    pub(super) fn free_from_managers(
        &mut self,
        link: IfName,
        definition: &Interface,
    ) -> Result<(), PlanRefusal> {
        if self.find(&link).is_none_or(|now| now.link().master.is_some()) {
            return Ok(());
        }
        let is_found = |client: &&ForeignClient| {
            matches!(client.links, ClientLinks::All(_)) && client.is_on(link)
        };
        for client in self.survey.foreign.iter().filter(is_found) {
            let part = client.part(link);
            if part.is_some() && !leases(definition).is_empty() && !client.may_have(definition.name)
            {
                let (name, client) = (definition.name, Box::new(client.clone()));
                return Err(PlanRefusal::NotAllowed { name, port: link, client });
            }
            self.end_foreign_client(link, part.as_ref().unwrap_or(client))?;
        }
        Ok(())
    }

    /// Ends another program's client, if it can be started again.
    fn end_foreign_client(
        &mut self,
        name: IfName,
        client: &ForeignClient,
    ) -> Result<(), PlanRefusal> {
        let client = Box::new(client.clone());
        if client.keeper.is_some() || client.only_link().is_none() {
            return Err(PlanRefusal::Client { name, client });
        }
        let undo = vec![Step::Dhcp(DhcpStep::StartForeign(client.clone()))];
        self.push(DhcpStep::EndForeign(client), undo);
        Ok(())
    }

    /// Ends the DHCP clients of `definition`'s link that the definition does not want. A client
    /// that serves all links is not ended, since its own configuration decides about this link.
    pub(super) fn stop_clients(&mut self, definition: &'a Interface) -> Result<(), PlanRefusal> {
        for lease in self.survey.leases.iter().filter(|lease| lease.link == definition.name) {
            if wanted_lease(definition, lease.family) != Some(lease.name_servers) {
                self.push(DhcpStep::Stop(*lease), vec![Step::Dhcp(DhcpStep::Start(*lease))]);
            }
        }
        let link = definition.name;
        for client in self.survey.foreign.iter().filter(|it| it.only_link() == Some(link)) {
            let is_wanted = |family: &Family| wanted_lease(definition, *family).is_some();
            if !client.families.iter().any(is_wanted) {
                self.end_foreign_client(link, client)?;
            }
        }
        Ok(())
    }

    /// Starts the DHCP clients that `definition` wants, and waits for their leases.
    pub(super) fn start_clients(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a LinkState],
    ) {
        for family in FAMILIES {
            let Some(name_servers) = wanted_lease(definition, family) else { continue };
            let goal = self.goal(definition, family, sources);
            let link = definition.name;
            let runs =
                |lease: &Lease| lease.is_for(link, family) && lease.name_servers == name_servers;
            let has_client =
                self.survey.leases.iter().any(runs) || self.survey.has_foreign_client(link, family);
            let fixed = goal.fixed();
            let condition = Condition::Leased { link, family, besides: fixed.clone() };
            if has_client {
                // Not if the definition makes the leased address permanent.
                if goal.to_last().is_empty() && !condition.holds(self.host) {
                    self.await_lease(condition);
                }
                self.add_late_gateway(&goal);
                continue;
            }
            let had: Vec<_> = goal.own().into_iter().filter(|record| goal.keeps(record)).collect();
            let carried = goal.carried();
            let leased = had.into_iter().chain(&carried);
            let mut prefixes = leased.map(|record| record.address.prefix);
            let wanted = prefixes.find(|prefix| !fixed.contains(prefix));
            let lease = Lease { link, family, name_servers, wanted, like: None };
            self.start_client(lease, definition);
            self.await_lease(condition);
            self.add_late_gateway(&goal);
        }
    }

    fn await_lease(&mut self, leased: Condition) {
        if self.leases == Leases::Awaited {
            self.push(Step::WaitFor(leased), Vec::new());
        }
    }

    /// Starts the link's former client of another program, if one was ended, or else one of the
    /// daemon's, of the same program as a port's client.
    fn start_client(&mut self, lease: Lease, definition: &Interface) {
        let Lease { link, family, name_servers, .. } = lease;
        let survey = self.survey;
        let ended = survey.ended_for(link, family);
        if let Some(client) = ended.filter(|_| name_servers == NameServers::Taken) {
            let client = Box::new(client.clone());
            let undo =
                vec![Step::Dhcp(DhcpStep::EndForeign(client.clone())), self.drop_lease(lease)];
            // It may serve the other family too.
            if !self.steps().any(|step| *step == Step::Dhcp(DhcpStep::StartForeign(client.clone())))
            {
                self.push(DhcpStep::StartForeign(client), undo);
            }
            return;
        }
        let had_one = |name: &IfName| {
            survey.has_foreign_client(*name, family) || survey.ended_for(*name, family).is_some()
        };
        let like = std::iter::once(link).chain(definition.members()).find(had_one);
        let lease = Lease { like, ..lease };
        let undo = self.drop_lease(lease);
        self.push(DhcpStep::Start(lease), vec![undo]);
    }

    /// Starts the ended clients of other programs on a link without a definition.
    pub(super) fn give_back_clients(&mut self, link: IfName) {
        for client in self.survey.ended.iter().filter(|client| client.is_on(link)) {
            let client = Box::new(client.clone());
            let undo = vec![Step::Dhcp(DhcpStep::EndForeign(client.clone()))];
            self.push(DhcpStep::StartForeign(client), undo);
        }
    }

    /// Adds the default route by a gateway that is in the lease's network, or in none, once there
    /// is a lease.
    fn add_late_gateway(&mut self, goal: &AddressingGoal<'_>) {
        let (link, family, besides) = (goal.link, goal.family, goal.fixed());
        let leased = Condition::Leased { link, family, besides };
        if self.leases == Leases::LeftToClients && !leased.holds(self.host) {
            return;
        }
        let ways = Ways::new(goal);
        if let Some(route) = ways.missing_gateway().filter(|route| ways.waits_for_lease(route)) {
            self.add_route(goal.link, route);
        }
    }

    /// Returns the undo step of starting a client: it removes every address and route that the link
    /// neither has now nor gets from the plan.
    fn drop_lease(&self, lease: Lease) -> Step {
        let now = self.find(&lease.link);
        let addresses = now.into_iter().flat_map(|now| &now.addresses);
        let mut addresses: Vec<_> = addresses.map(|record| record.address.prefix).collect();
        let mut routes = now.map(|now| now.routes.clone()).unwrap_or_default();
        for step in self.steps() {
            if let Step::Request(KernelRequest::AddAddress { link, record }) = step {
                addresses.extend((*link == lease.link).then_some(record.address.prefix));
            } else if let Step::Request(KernelRequest::AddRoute { link, record }) = step {
                routes.extend((*link == lease.link).then(|| record.clone()));
            }
        }
        Step::Dhcp(DhcpStep::Drop { lease, addresses, routes })
    }

    fn goal(
        &self,
        definition: &'a Interface,
        family: Family,
        sources: &'a [&'a LinkState],
    ) -> AddressingGoal<'a> {
        AddressingGoal::new(definition, family, sources, self.survey)
    }

    /// Sets the IPv6 sysctls that a definition with IPv6 requires, preferably before the link is up
    /// and receives advertisements.
    pub(super) fn set_ipv6_sysctls(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a LinkState],
    ) {
        let goal = self.goal(definition, Family::Ipv6, sources);
        if goal.protocol.is_none() {
            return;
        }
        let (now, then) = (goal.sysctls(), goal.sysctls_to_be());
        for ((sysctl, old), (_, value)) in sysctl_values(now).into_iter().zip(sysctl_values(then)) {
            if let Some(value) = value.filter(|_| old != value) {
                let link = goal.link;
                let undo = old.map(|value| Step::SetSysctl { link, sysctl, value });
                self.push(Step::SetSysctl { link, sysctl, value }, undo.into_iter().collect());
            }
        }
    }
}

/// Returns addresses of one link in the order in which to remove them. The primary address of an
/// IPv4 network comes last, as the kernel may remove others with it. Adding them again in reverse
/// restores the kernel's order: it appends IPv4 addresses to its list, and prepends IPv6 ones.
pub(super) fn in_order_to_go(
    records: Vec<&AddressRecord>,
) -> impl DoubleEndedIterator<Item = &AddressRecord> {
    let (ipv4, ipv6): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.address.prefix.family() == Family::Ipv4);
    ipv6.into_iter().chain(ipv4.into_iter().rev())
}

/// Returns the conditions that hold when each lease of a definition is obtained.
pub(super) fn leases(definition: &Interface) -> Vec<Condition> {
    let of_protocol = |protocol: &Protocol| {
        let besides = protocol.addresses.iter().map(|ip| ip.prefix()).collect();
        let (link, family) = (definition.name, protocol.family);
        protocol.dhcp.map(|_| Condition::Leased { link, family, besides })
    };
    definition.protocols.iter().filter_map(of_protocol).collect()
}

/// Returns the definition's setting for name servers, if it wants a lease of the family.
fn wanted_lease(definition: &Interface, family: Family) -> Option<NameServers> {
    let protocol = definition.protocols.iter().find(|protocol| protocol.family == family)?;
    Some(match protocol.dhcp?.peer_dns {
        Some(false) => NameServers::Left,
        Some(true) | None => NameServers::Taken,
    })
}
