// SPDX-License-Identifier: LGPL-2.1-or-later
//! Who else manages the links that a change is about: found before it is made, told in the log, and a
//! reason to refuse it where a lease could not go on.
//!
//! Only a host's own daemon looks: a session cannot change the host's links.

use std::collections::BTreeSet;

use log::warn;

use crate::error::CallError;
use crate::faults;
use crate::host::Host;
use crate::io::managers::{self, Target};
use crate::limits::HOLDS_TOLD_MAX;
use crate::managers::{Claim, Hold, Stake, obstacle};
use crate::model::client::Privilege;
use crate::model::name::IfName;
use crate::server::Server;

impl Server {
    /// What other managers have of the links that are claimed, for the log.
    ///
    /// # Errors
    /// One of them would not let a lease go on.
    pub(super) fn check_claims(&self, claims: &[Claim]) -> Result<Vec<String>, CallError> {
        let holds = self.holds_on(claims);
        match obstacle(claims, &holds) {
            Some(hold) => Err(faults::managed(hold)),
            None => Ok(told(&holds)),
        }
    }

    /// Warns of other managers of what is defined.
    pub(super) fn warn_of_managers(&self) {
        let definitions = self.store.definitions().iter();
        let claims: Vec<_> =
            definitions.flat_map(|it| Claim::all(it, |_| Stake::Settings)).collect();
        told(&self.holds_on(&claims)).iter().for_each(|text| warn!("{text}"));
    }

    fn holds_on(&self, claims: &[Claim]) -> Vec<Hold> {
        if claims.is_empty() || self.facts.privilege != Privilege::System {
            return Vec::new();
        }
        let bridges: BTreeSet<_> =
            claims.iter().filter(|it| it.is_bridge).map(|it| it.link).collect();
        let links: BTreeSet<_> = claims.iter().map(|claim| claim.link).collect();
        let target =
            |link| Target { is_bridge: bridges.contains(&link), ..target(link, &self.host) };
        let targets: Vec<_> = links.into_iter().map(target).collect();
        managers::find(&targets)
    }
}

fn target(link: IfName, host: &Host) -> Target {
    Target { link, index: host.link_named(&link).map(|link| link.index), is_bridge: false }
}

fn told(holds: &[Hold]) -> Vec<String> {
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
        assert_eq!(told(&holds(HOLDS_TOLD_MAX)).len(), HOLDS_TOLD_MAX);
        let more = told(&holds(HOLDS_TOLD_MAX + 2));
        assert_eq!(more.len(), HOLDS_TOLD_MAX + 1);
        assert_eq!(more.last().unwrap(), "2 more links have other managers");
    }
}
