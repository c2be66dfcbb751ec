// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a plan that leads nexthop objects through the link that takes the place of theirs.
//!
//! Routes over an object go along spelt out first, as they are needed at once, and the kernel takes an
//! object only where the link has its carrier. Behind all else the object follows with its number, and
//! each route leads over it again. Where the kernel refuses that, the routes stay as they are.

use std::collections::BTreeSet;

use crate::host::survey::Surveyed;
use crate::model::address::Family;
use crate::model::interface::{Interface, Kind};
use crate::netlink::record::apart::Apart;
use crate::plan::builder::Builder;
use crate::plan::goal::AddressingGoal;
use crate::plan::step::{Condition, Step};
use crate::plan::ways::Ways;

impl<'a> Builder<'a> {
    /// Leads the objects of sources through `definition`'s link, and the routes that went along over
    /// them.
    pub(super) fn move_nexthops(&mut self, definition: &'a Interface, sources: &'a [&'a Surveyed]) {
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
                steps.push(Step::AddApart(Apart::Nexthop(nexthop)));
            }
        }
        for record in ways.iter().flat_map(|ways| ways.moving_over(&moved)) {
            steps.push(Step::LeadOver { link, record });
        }
        // A bridge is waited for anyway.
        if !steps.is_empty() && !matches!(definition.kind, Kind::Bridge(_)) {
            self.push(Step::WaitFor(Condition::Carries(link)), Vec::new());
        }
        steps.into_iter().for_each(|step| self.push(step, Vec::new()));
    }
}
