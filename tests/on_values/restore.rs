// SPDX-License-Identifier: LGPL-2.1-or-later
//! Rollbacks to a host that was not read completely.

use std::collections::BTreeSet;
use std::time::Duration;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::plan::restore::{Inputs, Planner};
use virtinterfaced::snapshot::Network;

#[test]
fn a_link_that_could_not_be_read_then_is_not_removed_as_new() {
    let kernel = |text: &str| text.parse::<ValueKernel>().unwrap();
    let now = kernel("link eth0 nic up\nlink eth0.5 vlan parent eth0 tag 5\n");
    let vlan = now.host().link_named(&IfName::new("eth0.5").unwrap()).unwrap().index;
    let steps = |unread: Option<LinkIndex>| {
        let mut then = kernel("link eth0 nic up\n").record();
        unread.into_iter().for_each(|link| then.add_unread(link));
        let inputs = Inputs {
            then: &Network::new(then, &BTreeSet::new(), Vec::new()),
            now: &now.record(),
            leases: &[],
            foreign: &[],
            given_back: &[],
            elapsed: Duration::ZERO,
        };
        Planner::default().poll(&inputs, usize::MAX).unwrap().plan.steps.len()
    };
    assert_eq!(steps(None), 1);
    assert_eq!(steps(Some(vlan)), 0);
}
