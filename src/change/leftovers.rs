// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Leftovers`]: large values that are not used any more, freed a part at a time. Freeing the
//! records of a hundred thousand routes takes milliseconds.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::host::record::HostRecord;
use crate::limits::FREED_PER_TURN_MAX;
use crate::model::shed::shed;
use crate::plan::Planned;
use crate::snapshot::Snapshot;

/// The values to be freed.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftovers {
    records: Vec<HostRecord>,
    snapshots: Vec<Rc<Snapshot>>,
    steps: Vec<Vec<Planned>>,
}

impl Leftovers {
    pub(super) fn push_record(&mut self, record: HostRecord) {
        self.records.push(record);
    }

    /// Adds a snapshot, which is freed here if this is its last owner.
    pub(super) fn push_snapshot(&mut self, snapshot: Rc<Snapshot>) {
        self.snapshots.push(snapshot);
    }

    /// Adds the remaining steps of a finished plan, with the list's unused memory.
    pub(super) fn push_steps(&mut self, steps: VecDeque<Planned>) {
        self.steps.push(steps.into());
    }

    /// Adds all leftovers of another owner.
    pub(super) fn append(&mut self, others: &mut Self) {
        self.records.append(&mut others.records);
        self.snapshots.append(&mut others.snapshots);
        self.steps.append(&mut others.steps);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.snapshots.is_empty() && self.steps.is_empty()
    }

    /// Frees as much as a turn of the loop has time for. Returns whether nothing is left.
    pub(super) fn free(&mut self) -> bool {
        let mut count = FREED_PER_TURN_MAX;
        let owned = self.snapshots.drain(..).filter_map(Rc::into_inner);
        self.records.extend(owned.filter_map(|it| it.network).map(|network| network.host));
        while let Some(record) = self.records.last_mut() {
            if !record.free_part(&mut count) {
                return false;
            }
            self.records.pop();
        }
        while let Some(steps) = self.steps.last_mut() {
            if !shed(steps, &mut count) {
                return false;
            }
            self.steps.pop();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::IfName;
    use crate::plan::request::KernelRequest;
    use crate::plan::step::Step;

    #[test]
    fn long_plans_are_freed_in_parts() {
        let step = Step::Request(KernelRequest::DeleteLink(IfName::new("eth0").unwrap()));
        let planned = Planned { step, undo: Vec::new() };
        let mut leftovers = Leftovers::default();
        assert!(leftovers.free(), "nothing is left");
        leftovers.push_steps(vec![planned.clone(); 2 * FREED_PER_TURN_MAX + 1].into());
        // The steps that were already taken have left their memory behind.
        let mut done = VecDeque::from(vec![planned; FREED_PER_TURN_MAX + 1]);
        done.clear();
        leftovers.push_steps(done);
        let count = (0..).find(|_| leftovers.free()).unwrap();
        assert_eq!(count, 3);
        assert!(leftovers.free());
    }
}
