// SPDX-License-Identifier: LGPL-2.1-or-later
//! The addressing part of a plan: addresses, routes, the sysctls of IPv6, and DHCP clients.
//!
//! What is wanted is for [`AddressingGoal`] to say; in which order it comes about, and what the
//! kernel does on the way, is known here.

use crate::host::survey::Surveyed;
use crate::model::address::Family;
use crate::model::foreign::{ForeignClient, Links};
use crate::model::interface::{Interface, Protocol};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::plan::builder::{Builder, Leases};
use crate::plan::goal::AddressingGoal;
use crate::plan::refusal::Refusal;
use crate::plan::step::{Condition, Step, sysctl_values};
use crate::plan::ways::{Ways, routes_in_order};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

impl<'a> Builder<'a> {
    /// Gives `definition`'s link the addresses that it shall have, but for those that would go again
    /// with the ones that it is to lose. Those stay for now.
    pub(super) fn add_addresses(&mut self, definition: &'a Interface, sources: &'a [&'a Surveyed]) {
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

    /// Takes from `definition`'s link the addresses that it shall not have any more. What the kernel
    /// takes with them is taken first and put back then, so that it can be undone like the rest.
    pub(super) fn replace_addresses(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a Surveyed],
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
            // The first one of a network to come is its primary.
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

    /// Leads routes through `definition`'s link: its own default route, and those of its sources.
    pub(super) fn add_routes(&mut self, definition: &'a Interface, sources: &'a [&'a Surveyed]) {
        for family in FAMILIES {
            let goal = self.goal(definition, family, sources);
            let ways = Ways::new(&goal);
            let dropped = ways.dropped();
            let mut stale = ways.own().to_vec();
            stale.retain(|route| ways.is_stale(route) && !dropped.contains(route));
            // The kernel would take what lasts for what expires.
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

    /// Takes everything of the network layer from a link that will be a port, or is taken down:
    /// first the routes, as they could not be told from lost ones once the addresses are gone.
    pub(super) fn strip(&mut self, surveyed: &'a Surveyed) {
        let link = surveyed.link.name;
        for route in routes_in_order(surveyed).into_iter().rev() {
            self.delete_route(link, route);
        }
        let is_own = |record: &&AddressRecord| !record.address.is_of_link(surveyed.link.mac);
        let nexthops = surveyed.nexthops.iter().cloned().map(Apart::Nexthop).map(Step::AddApart);
        let mut nexthops: Vec<_> = nexthops.collect();
        for record in in_order_to_go(surveyed.addresses.iter().filter(is_own).collect()) {
            self.delete_address(link, record);
            // They come back behind the addresses by which they find their gateways, and before the
            // routes over them.
            nexthops.drain(..).for_each(|step| self.also_undo(step));
        }
        if !surveyed.routes.is_empty() {
            self.undo_first(nexthops);
        }
    }

    /// Ends the DHCP clients of a link that will be a port, or is taken down: before anything else, as
    /// some clients take their lease back from a link that becomes a port. Of a link that is yet to be
    /// made too, as they would find it.
    pub(super) fn stop_all_clients(&mut self, link: IfName) -> Result<(), Refusal> {
        for lease in self.survey.leases.iter().filter(|lease| lease.link == link) {
            self.push(Step::StopClient(*lease), vec![Step::StartClient(*lease)]);
        }
        for client in self.survey.foreign.iter().filter(|client| client.is_on(link)) {
            if !matches!(client.links, Links::All(_)) {
                self.end_foreign_client(link, client)?;
            }
        }
        Ok(())
    }

    /// Has a client of all links let go of one that will be a port. One that cannot be told to has found
    /// it, and would find it again: then nothing is done. Nor is it where the lease could not go on.
    pub(super) fn free_from_managers(
        &mut self,
        link: IfName,
        definition: &Interface,
    ) -> Result<(), Refusal> {
        if self.find(&link).is_none_or(|now| now.link.master.is_some()) {
            return Ok(());
        }
        let is_found =
            |client: &&ForeignClient| matches!(client.links, Links::All(_)) && client.is_on(link);
        for client in self.survey.foreign.iter().filter(is_found) {
            let part = client.part(link);
            if part.is_some() && !leases(definition).is_empty() && !client.may_have(definition.name)
            {
                let (name, client) = (definition.name, Box::new(client.clone()));
                return Err(Refusal::NotAllowed { name, port: link, client });
            }
            self.end_foreign_client(link, part.as_ref().unwrap_or(client))?;
        }
        Ok(())
    }

    /// Ends a client that somebody else has started, if it can be given back.
    fn end_foreign_client(&mut self, name: IfName, client: &ForeignClient) -> Result<(), Refusal> {
        let client = Box::new(client.clone());
        if client.keeper.is_some() || client.only_link().is_none() {
            return Err(Refusal::Client { name, client });
        }
        let undo = vec![Step::StartForeignClient(client.clone())];
        self.push(Step::EndForeignClient(client), undo);
        Ok(())
    }

    /// Ends the DHCP clients of `definition`'s link that it does not want. One that serves all links
    /// goes on: what it has to do with this one is for its own configuration to say.
    pub(super) fn stop_clients(&mut self, definition: &'a Interface) -> Result<(), Refusal> {
        for lease in self.survey.leases.iter().filter(|lease| lease.link == definition.name) {
            if wanted_lease(definition, lease.family) != Some(lease.name_servers) {
                self.push(Step::StopClient(*lease), vec![Step::StartClient(*lease)]);
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

    /// Starts the DHCP clients that `definition` wants, and waits for what they bring.
    pub(super) fn start_clients(&mut self, definition: &'a Interface, sources: &'a [&'a Surveyed]) {
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
                // Not where the definition makes the lease's address its own.
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

    /// Starts the client that somebody else had on the link and that was ended, or else one of ours: like
    /// the one that a port had.
    fn start_client(&mut self, lease: Lease, definition: &Interface) {
        let Lease { link, family, name_servers, .. } = lease;
        let survey = self.survey;
        let ended = survey.ended_for(link, family);
        if let Some(client) = ended.filter(|_| name_servers == NameServers::Taken) {
            let client = Box::new(client.clone());
            let undo = vec![Step::EndForeignClient(client.clone()), self.drop_lease(lease)];
            // It may serve the other family too.
            if !self.steps().any(|step| *step == Step::StartForeignClient(client.clone())) {
                self.push(Step::StartForeignClient(client), undo);
            }
            return;
        }
        let had_one = |name: &IfName| {
            survey.has_foreign_client(*name, family) || survey.ended_for(*name, family).is_some()
        };
        let like = std::iter::once(link).chain(definition.members()).find(had_one);
        let lease = Lease { like, ..lease };
        let undo = self.drop_lease(lease);
        self.push(Step::StartClient(lease), vec![undo]);
    }

    /// Starts the clients that somebody else had on a link that nobody has defined, and that were ended.
    pub(super) fn give_back_clients(&mut self, link: IfName) {
        for client in self.survey.ended.iter().filter(|client| client.is_on(link)) {
            let client = Box::new(client.clone());
            let undo = vec![Step::EndForeignClient(client.clone())];
            self.push(Step::StartForeignClient(client), undo);
        }
    }

    /// Adds the default route over a gateway that is on the lease's network, or on none, once there is a
    /// lease.
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

    fn goal(
        &self,
        definition: &'a Interface,
        family: Family,
        sources: &'a [&'a Surveyed],
    ) -> AddressingGoal<'a> {
        AddressingGoal::new(definition, family, sources, self.survey)
    }

    /// Sets the sysctls of IPv6 as a definition that speaks of IPv6 needs them, best before the
    /// link is up and takes advertisements.
    pub(super) fn set_ipv6_sysctls(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a Surveyed],
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

/// Addresses of one link in the order in which they can go: with the first one of an IPv4 network the
/// kernel may take others, so it goes last; and whoever puts them back, the last one first, has them
/// listed as before. IPv4 lists what came first, IPv6 what came last.
fn in_order_to_go(records: Vec<&AddressRecord>) -> impl Iterator<Item = &AddressRecord> {
    let (ipv4, ipv6): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.address.prefix.family() == Family::Ipv4);
    ipv6.into_iter().chain(ipv4.into_iter().rev())
}

/// The leases that a definition wants: what the table shows when each is there.
pub(super) fn leases(definition: &Interface) -> Vec<Condition> {
    let of_protocol = |protocol: &Protocol| {
        let besides = protocol.addresses.iter().map(|ip| ip.prefix()).collect();
        let (link, family) = (definition.name, protocol.family);
        protocol.dhcp.map(|_| Condition::Leased { link, family, besides })
    };
    definition.protocols.iter().filter_map(of_protocol).collect()
}

/// What a definition says of name servers, if it wants a lease of the family.
fn wanted_lease(definition: &Interface, family: Family) -> Option<NameServers> {
    let protocol = definition.protocols.iter().find(|protocol| protocol.family == family)?;
    Some(match protocol.dhcp?.peer_dns {
        Some(false) => NameServers::Left,
        Some(true) | None => NameServers::Taken,
    })
}
