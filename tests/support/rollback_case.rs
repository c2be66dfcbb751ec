// SPDX-License-Identifier: LGPL-2.1-or-later
//! The cases below `tests/golden/restore`: a host before, the same host now, and the plan that
//! restores it. Each directory is a case and has all three files. `simulation::value_kernel::text`
//! describes the syntax of hosts.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::netlink::link::Link;
use virtinterfaced::plan::restore::{Inputs, Planner, Restoration};
use virtinterfaced::snapshot::Network;

use crate::golden;

/// The time between the two.
const ELAPSED: Duration = Duration::from_secs(100);

/// One case.
pub(crate) struct RollbackCase {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) then: ValueKernel,
    pub(crate) now: ValueKernel,
}

/// All cases, in the order of their names.
pub(crate) fn rollback_cases() -> Vec<RollbackCase> {
    let entries = std::fs::read_dir(golden::folder("restore")).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!folders.is_empty(), "the folder was listed");
    folders.sort();
    folders.into_iter().map(RollbackCase::read).collect()
}

impl RollbackCase {
    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let kernel = |file: &str, numbers: &str| -> ValueKernel {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let text = format!("{numbers}{text}");
            text.parse().unwrap_or_else(|err| panic!("{name}/{file}: {err}"))
        };
        let then = kernel("then.txt", "");
        // A link keeps its index, unless the case sets another.
        let number = |link: &Link| format!("number {} {}\n", link.name, link.index.0);
        let numbers: String = then.host().links().map(number).collect();
        let now = kernel("now.txt", &numbers);
        Self { name, folder, then, now }
    }

    /// The plan that restores the host from `now`. No definition names a link.
    pub(crate) fn plan_from(&self, now: &ValueKernel) -> Restoration {
        self.with_inputs(now, |inputs| Planner::default().poll(inputs, usize::MAX).unwrap())
    }

    /// The same plan, made in parts of `entry_count` entries.
    pub(crate) fn plan_in_parts(&self, entry_count: usize) -> Restoration {
        let mut planner = Planner::default();
        self.with_inputs(&self.now, |inputs| {
            loop {
                if let Some(back) = planner.poll(inputs, entry_count) {
                    return back;
                }
            }
        })
    }

    fn with_inputs(
        &self,
        now: &ValueKernel,
        plan: impl FnOnce(&Inputs<'_>) -> Restoration,
    ) -> Restoration {
        let leases = self.then.clients().to_vec();
        let foreign = self.then.foreign_clients().to_vec();
        let record = self.then.record();
        let then = Network { foreign, ..Network::new(record, &BTreeSet::new(), leases) };
        let (record, leases, foreign) = (now.record(), now.clients(), now.foreign_clients());
        plan(&Inputs {
            then: &then,
            now: &record,
            leases,
            foreign,
            given_back: &[],
            elapsed: ELAPSED,
        })
    }
}
