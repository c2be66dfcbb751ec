// SPDX-License-Identifier: LGPL-2.1-or-later
//! Restores the settings of a link that a client clears when it starts (udhcpc, by its script), at
//! once, as the server may be slow or away. If the client then binds another address, the restored
//! one is removed, as not every script does that.

use std::time::{Duration, Instant};

use log::debug;

use crate::host::Host;
use crate::host::state::LinkState;
use crate::model::address::{Family, IpPrefix};
use crate::model::foreign::ForeignClient;
use crate::model::name::IfName;
use crate::netlink::address::{Address, Lifetime};
use crate::plan::request::KernelRequest;
use crate::plan::step::Step;
use crate::plan::{Plan, Planned, give_back};

/// How long another address is attributed to the client.
const WATCH_TIME: Duration = Duration::from_secs(120);

/// A link that a client is about to clear, with its present settings.
#[derive(Debug)]
pub(super) struct ClearedLink {
    pub(super) client: Box<ForeignClient>,
    link: IfName,
    /// With their lifetimes.
    addresses: Vec<(IpPrefix, Lifetime)>,
    requests: Vec<KernelRequest>,
}

/// Links whose addresses were restored, until their clients have bound one.
#[derive(Debug, Default)]
pub(super) struct GivenBack(Vec<GivenBackLink>);

#[derive(Debug)]
struct GivenBackLink {
    name: IfName,
    requests: Vec<KernelRequest>,
    until: Instant,
    /// Whether the change that returned the link is over. The next one may mean other addresses.
    is_settled: bool,
}

impl ClearedLink {
    /// `surveyed` is the link before the client starts.
    pub(super) fn new(client: Box<ForeignClient>, surveyed: &LinkState) -> Self {
        let requests = give_back::put_back(surveyed, Family::Ipv4);
        let addresses = sorted(surveyed.addresses.iter().map(|record| record.address));
        Self { client, link: surveyed.link().name, addresses, requests }
    }

    /// Whether the link is cleared.
    pub(super) fn is_over(&self, host: &Host) -> bool {
        ipv4_addresses(self.link, host).is_empty()
    }

    /// Whether the link will not be cleared: it had nothing, or the client has a lease already.
    pub(super) fn is_needless(&self, host: &Host) -> bool {
        let there = ipv4_addresses(self.link, host);
        self.addresses.is_empty() || (!there.is_empty() && there != self.addresses)
    }
}

impl GivenBack {
    /// Returns the requests that restore the link, once the script that has cleared it is over; none
    /// if the client has bound an address by then.
    pub(super) fn put_back(
        &mut self,
        clearing: ClearedLink,
        host: &Host,
        now: Instant,
    ) -> Vec<KernelRequest> {
        let ClearedLink { link, requests, .. } = clearing;
        if !ipv4_addresses(link, host).is_empty() {
            return Vec::new();
        }
        debug!("the DHCP client of {link} has cleared it: restoring its addresses");
        let until = now + WATCH_TIME;
        let ours = requests.clone();
        self.0.push(GivenBackLink { name: link, requests: ours, until, is_settled: false });
        requests
    }

    /// Notes that another change begins, which may mean other addresses.
    pub(super) fn note_change(&mut self) {
        self.0.retain(|link| !link.is_settled);
    }

    /// The next link whose client has bound another address than the restored one, and the plan
    /// that removes the restored one.
    pub(super) fn poll(&mut self, host: &Host, now: Instant) -> Option<(IfName, Plan)> {
        let mut next = None;
        self.0.retain_mut(|link| {
            link.is_settled = true;
            let there = ipv4_addresses(link.name, host);
            let ours = there.iter().filter(|(prefix, _)| link.has(*prefix)).count();
            if ours == 0 || link.until <= now {
                return false;
            }
            if ours == there.len() || next.is_some() {
                return true;
            }
            debug!("the DHCP client of {} has another address", link.name);
            next = Some((link.name, Plan { steps: link.removals(), ..Plan::default() }));
            false
        });
        next
    }
}

impl GivenBackLink {
    fn has(&self, prefix: IpPrefix) -> bool {
        let is_it = |request: &KernelRequest| {
            matches!(request, KernelRequest::AddAddress { record, .. }
                if record.address.prefix == prefix)
        };
        self.requests.iter().any(is_it)
    }

    fn removals(&self) -> Vec<Planned> {
        let removal = |request: &KernelRequest| {
            let KernelRequest::AddAddress { link, record } = request.clone() else { return None };
            Some(Step::Request(KernelRequest::DeleteAddress { link, record }))
        };
        let removals = self.requests.iter().rev().filter_map(removal);
        removals.map(|step| Planned { step, undo: Vec::new() }).collect()
    }
}

fn ipv4_addresses(link: IfName, host: &Host) -> Vec<(IpPrefix, Lifetime)> {
    let link = host.link_named(&link);
    let addresses = link.map(|link| host.addresses_of(link.index));
    sorted(addresses.into_iter().flatten())
}

/// The IPv4 addresses among these, for a comparison.
fn sorted(addresses: impl Iterator<Item = Address>) -> Vec<(IpPrefix, Lifetime)> {
    let ipv4 = addresses.filter(|it| it.prefix.family() == Family::Ipv4);
    let mut ipv4: Vec<_> = ipv4.map(|it| (it.prefix, it.lifetime)).collect();
    ipv4.sort_unstable_by_key(|(prefix, _)| *prefix);
    ipv4
}
