// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a manager of all links has put on a port before it was told to let go of it: addresses and routes
//! that the bridge has already.

use std::time::Instant;

use log::warn;

use crate::change::job::Job;
use crate::model::address::Family;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::plan::step::Step;
use crate::plan::{Plan, Planned};
use crate::proto::interface::InterfaceCall;
use crate::server::Server;
use crate::server::request::{Origin, Request};
use crate::server::running::Running;

impl Server {
    /// Clears the next such port, as soon as nobody changes anything.
    pub(super) fn clear_strays(&mut self, now: Instant) {
        if !self.jobs.is_idle() {
            return;
        }
        let Some(link) = self.leases.next_stray() else { return };
        warn!("dhcpcd has let go of {link}, which is a port: its addresses there are removed");
        let steps = [Family::Ipv4, Family::Ipv6].map(|family| drop_all(link, family)).to_vec();
        let plan = Plan { steps, ..Plan::default() };
        let call = InterfaceCall::Create { name: link.to_string(), flags: 0 };
        let request = Request { origin: Origin::Daemon("a port has addresses"), call };
        let running = Running::by_itself(request, Job::lenient(plan), Vec::new());
        self.set_out(running, true, now);
    }
}

fn drop_all(link: IfName, family: Family) -> Planned {
    let name_servers = NameServers::Taken;
    let lease = Lease { link, family, name_servers, wanted: None, like: None };
    let step = Step::DropLease { lease, addresses: Vec::new(), routes: Vec::new() };
    Planned { step, undo: Vec::new() }
}
