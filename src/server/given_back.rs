// SPDX-License-Identifier: LGPL-2.1-or-later
//! A client that clears its link when it is started (udhcpc, by its script): what the link had is put back
//! at once, as the server may be slow or away. If the client binds another address then, the one before
//! goes, which not every script sees to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::debug;

use crate::change::job::{Job, StepError};
use crate::host::survey::Survey;
use crate::model::address::{Family, IpPrefix};
use crate::model::foreign::ForeignClient;
use crate::model::name::IfName;
use crate::netlink::address::{Address, Lifetime};
use crate::plan::give_back;
use crate::plan::step::Step;
use crate::plan::{Plan, Planned};
use crate::proto::interface::InterfaceCall;
use crate::server::Server;
use crate::server::request::{Origin, Request};
use crate::server::running::{Clearing, Owed, Running, StepProgress};

/// How long another address is taken for the client's.
const WATCH_TIME: Duration = Duration::from_secs(120);

/// A link that has got its addresses back, until its client has bound one.
#[derive(Debug)]
pub(super) struct GivenBack {
    link: IfName,
    steps: Vec<Step>,
    until: Instant,
    /// Whether the change that it was given back in is over. The next one may mean other addresses.
    is_settled: bool,
}

impl Server {
    /// Starts such a client, now that it is known what its link has.
    pub(super) fn give_back(&mut self, survey: &Survey, client: Box<ForeignClient>, now: Instant) {
        let progress = match self.leases.give_back(&client, now) {
            Err(err) => StepProgress::Done(Err(StepError::from(err))),
            Ok(()) => match client.cleared_link().and_then(|link| survey.named(&link)) {
                None => StepProgress::Done(Ok(())),
                Some(surveyed) => {
                    let steps = give_back::put_back(surveyed, Family::Ipv4);
                    let link = surveyed.link.name;
                    let addresses = surveyed.addresses.iter().map(|record| record.address);
                    let addresses = sorted(addresses);
                    let clearing = Clearing { client, link, addresses, steps };
                    self.hear(Owed::Clearing(Box::new(clearing)), now)
                }
            },
        };
        self.note_progress(progress);
    }

    /// Looks whether the link is cleared.
    pub(super) fn await_clearing(&mut self, clearing: Box<Clearing>, now: Instant) -> StepProgress {
        let there = self.ipv4_addresses(clearing.link);
        // It had nothing, or the client was so quick that it has a lease already.
        let is_settled = clearing.addresses.is_empty()
            || (!there.is_empty() && there != clearing.addresses)
            || self.leases.is_given_back(&clearing.client);
        if !there.is_empty() && !is_settled {
            return StepProgress::Owes(Owed::Clearing(clearing));
        }
        self.leases.note_cleared(&clearing.client, now);
        if is_settled {
            return StepProgress::Done(Ok(()));
        }
        self.await_script(clearing, now)
    }

    /// Waits for the end of the script that has cleared the link: it takes routes behind addresses. Then
    /// all is put back, unless the client has bound something by then.
    pub(super) fn await_script(&mut self, clearing: Box<Clearing>, now: Instant) -> StepProgress {
        if !self.leases.is_given_back(&clearing.client) {
            return StepProgress::Owes(Owed::ScriptEnd(clearing));
        }
        let Clearing { link, steps, .. } = *clearing;
        if !self.ipv4_addresses(link).is_empty() {
            return StepProgress::Done(Ok(()));
        }
        debug!("{link} was cleared by its DHCP client: it gets back what it had");
        let left = steps.iter().cloned().collect();
        self.given_back.push(GivenBack { link, steps, until: now + WATCH_TIME, is_settled: false });
        self.put_back(None, left)
    }

    /// Goes on with what a link gets back. What the client has brought meanwhile is there already.
    pub(super) fn put_back(
        &mut self,
        mut sent: Option<Step>,
        mut left: VecDeque<Step>,
    ) -> StepProgress {
        loop {
            if let Some(step) = sent {
                match self.jobs.changes.poll_answer() {
                    None => return StepProgress::Owes(Owed::PutBack { sent: Some(step), left }),
                    Some(Err(err)) => debug!("{step}: {err}"),
                    Some(Ok(())) => {}
                }
            }
            let Some(step) = left.pop_front() else { return StepProgress::Done(Ok(())) };
            sent = self.send(&step).is_ok().then_some(step);
        }
    }

    /// Removes what a link has got back, once its client has bound something else.
    pub(super) fn see_to_given_back(&mut self, now: Instant) {
        if self.given_back.is_empty() {
            return;
        }
        if !self.jobs.is_idle() {
            self.given_back.retain(|it| !it.is_settled);
            return;
        }
        for mut given_back in std::mem::take(&mut self.given_back) {
            given_back.is_settled = true;
            let there = self.ipv4_addresses(given_back.link);
            let ours = there.iter().filter(|(prefix, _)| given_back.has(*prefix)).count();
            if ours == 0 || given_back.until <= now {
                continue;
            }
            if ours == there.len() || !self.jobs.is_idle() {
                self.given_back.push(given_back);
                continue;
            }
            debug!("the DHCP client of {} has another address", given_back.link);
            let call = InterfaceCall::Create { name: given_back.link.to_string(), flags: 0 };
            let request =
                Request { origin: Origin::Daemon("its client has another address"), call };
            let steps = given_back.removals();
            let plan = Plan { steps, ..Plan::default() };
            let running = Running::by_itself(request, Job::lenient(plan), Vec::new());
            self.set_out(running, true, now);
        }
    }

    fn ipv4_addresses(&self, link: IfName) -> Vec<(IpPrefix, Lifetime)> {
        let link = self.host.link_named(&link);
        let addresses = link.map(|link| self.host.addresses_of(link.index));
        sorted(addresses.into_iter().flatten())
    }
}

impl GivenBack {
    fn has(&self, prefix: IpPrefix) -> bool {
        let is_it = |step: &Step| matches!(step, Step::AddAddress { record, .. } if record.address.prefix == prefix);
        self.steps.iter().any(is_it)
    }

    fn removals(&self) -> Vec<Planned> {
        let removal = |step: &Step| {
            let Step::AddAddress { link, record } = step.clone() else { return None };
            Some(Step::DeleteAddress { link, record })
        };
        let removals = self.steps.iter().rev().filter_map(removal);
        removals.map(|step| Planned { step, undo: Vec::new() }).collect()
    }
}

/// What of IPv4 is among these, to be compared.
fn sorted(addresses: impl Iterator<Item = Address>) -> Vec<(IpPrefix, Lifetime)> {
    let ipv4 = addresses.filter(|it| it.prefix.family() == Family::Ipv4);
    let mut ipv4: Vec<_> = ipv4.map(|it| (it.prefix, it.lifetime)).collect();
    ipv4.sort_unstable_by_key(|(prefix, _)| *prefix);
    ipv4
}
