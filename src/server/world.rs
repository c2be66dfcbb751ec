// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`World`]: the daemon's knowledge of the host: the kernel's table, the definitions, the DHCP
//! clients.
//!
//! The table is brought up to date before any answer from it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log::warn;

use crate::call_errors;
use crate::error::{CallError, HostError};
use crate::handler::{Answers, Facts};
use crate::host::Host;
use crate::io::Progress;
use crate::io::definitions::DefinitionStore;
use crate::io::dhcp::{DhcpClients, DhcpError};
use crate::io::kernel::Kernel;
use crate::io::managers::{self, ManagerQuery};
use crate::limits::HOLDS_TOLD_MAX;
use crate::managers::{Claim, Hold, Stake, obstacle};
use crate::model::address::Ip;
use crate::model::client::Privilege;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::proto::interface::QueryCall;
use crate::server::client_config::ClientConfig;
use crate::server::lists::Lists;
use crate::server::resolver::{CallProgress, Resolver};

/// The pause after the kernel has refused to be read.
const KERNEL_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) kernel: Kernel,
    pub(super) host: Host,
    /// Whether the table had all events when it was last drained.
    pub(super) news: Progress,
    /// The kernel has refused to be read, and is read again at this time.
    pub(super) retry_at: Option<Instant>,
    pub(super) store: DefinitionStore,
    /// The DHCP clients of the host's interfaces.
    pub(super) leases: DhcpClients,
    pub(super) facts: Facts,
    pub(super) client_config: ClientConfig,
    /// The buffer for bytes from clients and from the kernel.
    pub(super) buffer: Vec<u8>,
    /// The lists that clients have asked for since the last change.
    pub(super) lists: Lists,
}

impl World {
    /// Reads the kernel's new events.
    ///
    /// # Errors
    /// The kernel refuses the read.
    pub(super) fn read_kernel(&mut self) -> Result<(), HostError> {
        self.news = self.kernel.drain(&mut self.host, &mut self.buffer)?;
        Ok(())
    }

    /// Brings the table up to date. While the kernel refuses to be read, calls wait: a late answer
    /// is better than a wrong one.
    pub(super) fn drain(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|end| end > now) {
            return;
        }
        self.retry_at = None;
        if let Err(err) = self.read_kernel() {
            warn!("{err}; calls wait until the kernel can be read");
            self.retry_at = Some(now + KERNEL_PAUSE);
            self.news = Progress::Unfinished;
        }
    }

    /// Whether the table has all events that the kernel has sent.
    pub(super) fn is_current(&self) -> bool {
        self.news == Progress::Drained
    }

    /// Ends the DHCP clients whose link is gone.
    pub(super) fn end_orphans(&mut self, now: Instant) {
        let host = &self.host;
        self.leases.retain_links(|name| host.link_named(name).is_some(), now);
    }

    /// Answers a query. The list of all interfaces is made once for each state of the host.
    ///
    /// # Errors
    /// As for [`Resolver::query`].
    pub(super) fn query(
        &mut self,
        call: &QueryCall,
        answers: &mut Answers,
    ) -> Result<CallProgress, CallError> {
        let version = (self.host.version(), self.store.files().version());
        if let Some(list) = self.lists.get(call, version) {
            return Ok(CallProgress::Reply(list));
        }
        let progress = self.resolver().query(call, answers)?;
        Ok(match progress {
            CallProgress::Reply(reply) => CallProgress::Reply(self.lists.keep(call, reply)),
            CallProgress::Waits(..) => progress,
        })
    }

    /// Finds answers to the questions of calls.
    pub(super) fn resolver(&mut self) -> Resolver<'_> {
        Resolver {
            facts: &self.facts,
            client_config: &mut self.client_config,
            host: &self.host,
            files: self.store.files(),
            clients: &self.leases,
            kernel: &mut self.kernel,
            buffer: &mut self.buffer,
        }
    }

    /// Looks for other managers of a change's links, and for programs that can keep its leases.
    /// Returns lines for the log.
    ///
    /// # Errors
    /// Another manager would end a lease, or no program can keep one.
    pub(super) fn check(
        &self,
        claims: &[Claim],
        leases: &[Lease],
    ) -> Result<Vec<String>, CallError> {
        let holds = self.holds_on(claims);
        if let Some(hold) = obstacle(claims, &holds) {
            return Err(call_errors::managed(hold));
        }
        for lease in leases {
            let checked = self.check_lease(lease);
            checked.map_err(|err| call_errors::no_client_for(lease, &err.to_string()))?;
        }
        Ok(hold_lines(&holds))
    }

    /// Whether a program can keep a lease without affecting the addresses of its definition.
    pub(super) fn check_lease(&self, lease: &Lease) -> Result<(), DhcpError> {
        let definition = self.store.definitions().named(&lease.link);
        let protocols = definition.map(|it| it.protocols.as_slice()).unwrap_or_default();
        let protocol = protocols.iter().find(|protocol| protocol.family == lease.family);
        let own = protocol.and_then(|protocol| protocol.addresses.first()).map(Ip::prefix);
        self.leases.check(lease, own)
    }

    /// Warns of other managers of defined interfaces.
    pub(super) fn warn_of_managers(&self) {
        let definitions = self.store.definitions().iter();
        let claims: Vec<_> =
            definitions.flat_map(|it| Claim::all(it, |_| Stake::Settings)).collect();
        hold_lines(&self.holds_on(&claims)).iter().for_each(|text| warn!("{text}"));
    }

    /// Other managers of the links. Only root's daemon looks for them: a session's cannot change
    /// the host's links.
    fn holds_on(&self, claims: &[Claim]) -> Vec<Hold> {
        if claims.is_empty() || self.facts.privilege != Privilege::System {
            return Vec::new();
        }
        let bridges: BTreeSet<_> =
            claims.iter().filter(|it| it.is_bridge).map(|it| it.link).collect();
        let links: BTreeSet<_> = claims.iter().map(|claim| claim.link).collect();
        let target =
            |link| ManagerQuery { is_bridge: bridges.contains(&link), ..target(link, &self.host) };
        let targets: Vec<_> = links.into_iter().map(target).collect();
        let mut holds = managers::find(&targets);
        // Its files are the definitions.
        let own = self.store.files().backend().manager();
        holds.retain(|hold| Some(hold.manager) != own);
        holds
    }
}

fn target(link: IfName, host: &Host) -> ManagerQuery {
    ManagerQuery { link, index: host.link_named(&link).map(|link| link.index), is_bridge: false }
}

fn hold_lines(holds: &[Hold]) -> Vec<String> {
    let omitted = holds.len().saturating_sub(HOLDS_TOLD_MAX);
    let more = (omitted > 0).then(|| format!("{omitted} more links have other managers"));
    holds.iter().take(HOLDS_TOLD_MAX).map(Hold::to_string).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::managers::{Manager, Sign};

    #[test]
    fn a_host_full_of_them_is_no_flood() {
        let hold = |number: usize| Hold {
            link: IfName::new(format!("eth{number}")).unwrap(),
            manager: Manager::Dhcpcd,
            sign: Sign::Process(7),
        };
        let holds = |count: usize| (0..count).map(hold).collect::<Vec<_>>();
        assert_eq!(hold_lines(&holds(HOLDS_TOLD_MAX)).len(), HOLDS_TOLD_MAX);
        let more = hold_lines(&holds(HOLDS_TOLD_MAX + 2));
        assert_eq!(more.len(), HOLDS_TOLD_MAX + 1);
        assert_eq!(more.last().unwrap(), "2 more links have other managers");
    }
}
