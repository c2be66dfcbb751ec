// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a plan that moves nexthop objects to the link that takes over.
//!
//! Routes over an object are first carried over spelt out, as they are needed at once, and the
//! kernel takes an object only if the link has its carrier. At the end the object is added with its
//! id, and each route refers to it again. If the kernel refuses that, the routes stay spelt out.

use std::collections::BTreeSet;

use crate::host::state::LinkState;
use crate::model::address::Family;
use crate::model::interface::{Interface, Kind};
use crate::netlink::record::apart::Apart;
use crate::plan::builder::Builder;
use crate::plan::goal::AddressingGoal;
use crate::plan::request::KernelRequest;
use crate::plan::step::{Condition, Step};
use crate::plan::ways::Ways;

impl<'a> Builder<'a> {
    /// Moves the objects of sources to `definition`'s link, and the routes over them that were
    /// carried over.
    pub(super) fn move_nexthops(
        &mut self,
        definition: &'a Interface,
        sources: &'a [&'a LinkState],
    ) {
        let link = definition.name;
        let families = [Family::Ipv4, Family::Ipv6];
        let goals =
            families.map(|family| AddressingGoal::new(definition, family, sources, self.survey));
        let ways = goals.each_ref().map(Ways::new);
        let mut steps = Vec::new();
        let mut moved = BTreeSet::new();
        for nexthop in sources.iter().flat_map(|source| &source.nexthops) {
            let goes = nexthop.is_group || ways.iter().any(|ways| ways.takes(nexthop));
            if goes && moved.insert(nexthop.id) {
                let through = nexthop.through(link);
                let nexthop = if nexthop.is_group { nexthop.clone() } else { through };
                steps.push(Step::Request(KernelRequest::AddApart(Apart::Nexthop(nexthop))));
            }
        }
        for record in ways.iter().flat_map(|ways| ways.moving_over(&moved)) {
            steps.push(Step::Request(KernelRequest::LeadOver { link, record }));
        }
        // The plan waits for a bridge's carrier anyway.
        if !steps.is_empty() && !matches!(definition.kind, Kind::Bridge(_)) {
            self.push(Step::WaitFor(Condition::Carries(link)), Vec::new());
        }
        steps.into_iter().for_each(|step| self.push(step, Vec::new()));
    }
}
