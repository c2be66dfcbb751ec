// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compares one link's present addresses with those in the snapshot, and plans the steps to restore
//! them.
//!
//! Each address is examined a constant number of times, and the work can pause after each. The
//! order matters within an IPv4 network: the first address is the source of packets that the host
//! sends there, and when it is removed the kernel may remove the others.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::address::Family;
use crate::netlink::address::Role;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::plan::request::KernelRequest;
use crate::plan::step::Step;

use super::addressing::{self, Scene};
use super::matching::{Budget, Index};
use super::told::{self, Told};

/// The progress of restoring one link's addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressRestoration {
    phase: AddressPhase,
    /// The number of entries that the phase has examined.
    at: usize,
    index: Index,
    then: Vec<HadAddress>,
    networks: HashMap<(IpAddr, u8), AddressNetwork>,
    /// Whether the snapshot has an address that IPv6 creates for the link itself.
    has_own: bool,
    /// Positions among the present addresses of those to be removed.
    leaving: Vec<usize>,
    /// Positions in the snapshot of the addresses to be added.
    missing: Vec<usize>,
    keeps_ipv4: bool,
    loses_ipv4: bool,
    other_leases: Vec<Family>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum AddressPhase {
    /// Compares both lists, entry by entry.
    #[default]
    Compare,
    Index,
    Sort,
    TakeAway,
    Change,
    AddIpv4,
    AddIpv6,
    Done,
}

/// An address in the snapshot.
#[derive(Clone, Debug)]
struct HadAddress {
    is_wanted: bool,
    /// The number of wanted addresses before it in its network.
    rank: usize,
    /// Its position among the present addresses, if it stays.
    kept_at: Option<usize>,
}

/// An IPv4 network of the link.
#[derive(Clone, Debug, Default)]
struct AddressNetwork {
    wanted_count: usize,
    kept_count: usize,
    loses_first: bool,
}

/// The consequences for the link's routes.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressOutcome {
    /// The link temporarily has no IPv4 address, so the kernel removes its IPv4 routes.
    pub(super) is_emptied: bool,
    /// No address is added or removed, so the kernel adds no route with one.
    pub(super) is_settled: bool,
    /// The families whose DHCP client has obtained another lease since: the client's configuration
    /// of the link takes precedence.
    pub(super) other_leases: Vec<Family>,
}

impl AddressRestoration {
    /// Continues as far as the budget allows, and appends the steps found. Returns the outcome at
    /// the end.
    pub(super) fn poll(
        &mut self,
        scene: &Scene<'_>,
        told: &Told,
        budget: &mut Budget,
        steps: &mut Vec<Step>,
    ) -> Option<AddressOutcome> {
        let (then, now) = (scene.then.addresses.as_slice(), scene.addresses_now());
        loop {
            let is_over = match self.phase {
                AddressPhase::Compare => self.at >= then.len().max(now.len()),
                AddressPhase::Sort => self.at >= now.len(),
                AddressPhase::Index | AddressPhase::Change => self.at >= then.len(),
                AddressPhase::TakeAway => self.at >= self.leaving.len(),
                AddressPhase::AddIpv4 | AddressPhase::AddIpv6 => self.at >= self.missing.len(),
                AddressPhase::Done => {
                    let is_emptied = self.loses_ipv4 && !self.keeps_ipv4;
                    let other_leases = std::mem::take(&mut self.other_leases);
                    let is_settled = self.leaving.is_empty() && self.missing.is_empty();
                    return Some(AddressOutcome { is_emptied, is_settled, other_leases });
                }
            };
            if is_over {
                (self.phase, self.at) = (self.next_phase(), 0);
                continue;
            }
            if !budget.take() {
                return None;
            }
            let at = self.at;
            self.at += 1;
            match self.phase {
                AddressPhase::Compare if then.get(at) == now.get(at) && !scene.is_downed() => {}
                AddressPhase::Compare => {
                    self.index.expect(then.len());
                    self.then.reserve(then.len());
                    (self.phase, self.at) = (AddressPhase::Index, 0);
                }
                AddressPhase::Index => self.index(scene, then.get(at)),
                AddressPhase::Sort => self.sort(scene, told, at),
                AddressPhase::TakeAway => self.take_away(scene, at, steps),
                AddressPhase::Change => self.change(scene, at, steps),
                AddressPhase::AddIpv4 => self.add(scene, Family::Ipv4, at, steps),
                AddressPhase::AddIpv6 => {
                    let last = self.missing.len().saturating_sub(1);
                    self.add(scene, Family::Ipv6, last.saturating_sub(at), steps);
                }
                AddressPhase::Done => {}
            }
        }
    }

    /// The kernel appends IPv4 addresses to its list, and prepends IPv6 ones.
    fn next_phase(&self) -> AddressPhase {
        match self.phase {
            AddressPhase::Compare | AddressPhase::AddIpv6 | AddressPhase::Done => {
                AddressPhase::Done
            }
            AddressPhase::Index => AddressPhase::Sort,
            AddressPhase::Sort => AddressPhase::TakeAway,
            AddressPhase::TakeAway => AddressPhase::Change,
            AddressPhase::Change => AddressPhase::AddIpv4,
            AddressPhase::AddIpv4 => AddressPhase::AddIpv6,
        }
    }

    /// Indexes an address in the snapshot. IPv6 creates a link's own address only when the link
    /// comes up.
    fn index(&mut self, scene: &Scene<'_>, record: Option<&AddressRecord>) {
        let Some(record) = record else { return };
        let family = record.address.prefix.family();
        let is_wanted = (addressing::is_chosen(record)
            || (scene.is_up() && addressing::is_lasting(record)))
            && !told::is_left_to_client(&scene.inputs, scene.link, family);
        let mut rank = 0;
        if let Some(network) = network_of(record).filter(|_| is_wanted) {
            let network = self.networks.entry(network).or_default();
            rank = network.wanted_count;
            network.wanted_count += 1;
        }
        self.has_own |= is_wanted && addressing::is_ipv6s(record);
        self.index.push(record.key());
        self.then.push(HadAddress { is_wanted, rank, kept_at: None });
    }

    /// Decides whether a present address stays.
    fn sort(&mut self, scene: &Scene<'_>, told: &Told, at: usize) {
        let Some(record) = scene.addresses_now().get(at) else { return };
        let (inputs, link) = (&scene.inputs, scene.link);
        let family = record.address.prefix.family();
        let is_it = |at: usize| {
            scene.then.addresses.get(at).is_some_and(|then| addressing::is_same(then, record))
        };
        let had_at = self.index.find(record.key(), is_it);
        if had_at.is_none()
            && told::is_leased(inputs, link, record)
            && told::runs_client(inputs, link, family)
        {
            self.other_leases.push(family);
        }
        let is_lost = scene.is_downed() && family == Family::Ipv6;
        if is_lost || told::is_left_to_client(inputs, link, family) {
            return;
        }
        let had = had_at.and_then(|at| scene.then.addresses.get(at).zip(self.then.get_mut(at)));
        let had = had.filter(|(_, had)| had.is_wanted);
        let network = network_of(record).map(|network| self.networks.entry(network).or_default());
        let (is_first_gone, kept_count) =
            network.as_ref().map_or((false, 0), |it| (it.loses_first, it.kept_count));
        // The addresses before it in its network have been as in the snapshot so far; otherwise it
        // is removed, to be added again after them.
        let stays = !is_first_gone
            && match &had {
                Some((then, had)) => {
                    let has_form = record.has_form_of(then) || told::is_leased(inputs, link, then);
                    has_form && (family == Family::Ipv6 || had.rank == kept_count)
                }
                None => {
                    let is_outdated = self.has_own && addressing::is_ipv6s(record);
                    told.keeps_address(inputs, link, record) && !is_outdated
                }
            };
        let is_ipv4 = family == Family::Ipv4;
        if stays {
            if let Some((_, had)) = had {
                had.kept_at = Some(at);
                if let Some(network) = network {
                    network.kept_count += 1;
                }
            }
            self.keeps_ipv4 |= is_ipv4;
            return;
        }
        if let Some(network) = network.filter(|_| record.address.role == Role::Primary) {
            network.loses_first = true;
        }
        self.loses_ipv4 |= is_ipv4;
        self.leaving.push(at);
    }

    /// Removes addresses in reverse, as removing the primary address of an IPv4 network may remove
    /// the others.
    fn take_away(&mut self, scene: &Scene<'_>, at: usize, steps: &mut Vec<Step>) {
        let last = self.leaving.len().saturating_sub(1);
        let leaving = self.leaving.get(last.saturating_sub(at));
        if let Some(record) = leaving.and_then(|at| scene.addresses_now().get(*at)) {
            addressing::take_away(scene.link, record, steps);
        }
    }

    fn change(&mut self, scene: &Scene<'_>, at: usize, steps: &mut Vec<Step>) {
        let (inputs, link) = (&scene.inputs, scene.link);
        let (Some(record), Some(had)) = (scene.then.addresses.get(at), self.then.get(at)) else {
            return;
        };
        if !had.is_wanted {
            return;
        }
        let is_leased = told::is_leased(inputs, link, record);
        match had.kept_at.and_then(|at| scene.addresses_now().get(at)) {
            Some(own) => {
                let is_as_it_was = own.address.lifetime == record.address.lifetime
                    && (own.is_used_as(record) || is_leased);
                if let Some(record) = record.aged(inputs.elapsed).filter(|_| !is_as_it_was) {
                    steps.push(Step::Request(KernelRequest::ChangeAddress { link, record }));
                }
            }
            None if is_leased && self.other_leases.contains(&record.address.prefix.family()) => {}
            None => self.missing.push(at),
        }
    }

    fn add(&self, scene: &Scene<'_>, family: Family, at: usize, steps: &mut Vec<Step>) {
        let record = self.missing.get(at).and_then(|at| scene.then.addresses.get(*at));
        let record = record.filter(|it| it.address.prefix.family() == family);
        if let Some(record) = record.and_then(|it| it.aged(scene.inputs.elapsed)) {
            let link = scene.link;
            // The kernel adds this route itself, but perhaps later than a gateway in it is needed.
            let to_peer = RouteRecord::to_peer_of(&record)
                .map(|record| Step::Request(KernelRequest::AddRoute { link, record }));
            steps.push(Step::Request(KernelRequest::AddAddress { link, record }));
            steps.extend(to_peer);
        }
    }
}

/// Returns the IPv4 network of an address.
fn network_of(record: &AddressRecord) -> Option<(IpAddr, u8)> {
    let prefix = record.address.prefix;
    (prefix.family() == Family::Ipv4).then(|| (prefix.network(), prefix.prefix_len()))
}
