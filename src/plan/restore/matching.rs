// SPDX-License-Identifier: LGPL-2.1-or-later
//! The comparison of long lists: an [`Index`], which avoids comparing all pairs, and a [`Budget`],
//! which divides the work into parts.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// The number of entries that may still be compared in this part.
#[derive(Clone, Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new(entry_count: usize) -> Self {
        Self(entry_count)
    }

    /// Whether one more entry may be compared; counts it.
    pub(super) fn take(&mut self) -> bool {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }

    /// Counts so many entries that were compared at once.
    pub(super) fn charge(&mut self, entry_count: usize) {
        self.0 = self.0.saturating_sub(entry_count);
    }
}

/// The entries of a list, by a digest of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    hasher: RandomState,
    /// The last entry of each digest, and for each entry the previous one of the same digest.
    last: HashMap<u64, usize>,
    before: Vec<Option<usize>>,
}

impl Index {
    /// Reserves memory for a whole list, which would otherwise be moved repeatedly as it grows.
    pub(super) fn expect(&mut self, count: usize) {
        self.last.reserve(count);
        self.before.reserve(count);
    }

    /// Adds the next entry of the list.
    pub(super) fn push(&mut self, key: impl Hash) {
        let before = self.last.insert(self.hasher.hash_one(key), self.before.len());
        self.before.push(before);
    }

    /// The first entry of such a key for which `is_it` holds: different keys may have one digest.
    pub(super) fn find(&self, key: impl Hash, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let last = self.last.get(&self.hasher.hash_one(key)).copied();
        let before = |at: &usize| self.before.get(*at).copied().flatten();
        std::iter::successors(last, before).filter(|at| is_it(*at)).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_key_is_found_that_is_it() {
        let entries = [("a", 1), ("b", 2), ("a", 3), ("a", 1)];
        let mut index = Index::default();
        entries.iter().for_each(|(key, _)| index.push(key));
        let find = |key: &str, number| {
            index.find(key, |at| entries.get(at).is_some_and(|it| *it == (key, number)))
        };
        assert_eq!(find("a", 1), Some(0));
        assert_eq!(find("a", 3), Some(2));
        assert_eq!(find("b", 1), None);
        assert_eq!(find("c", 1), None);
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget::new(2);
        assert_eq!(
            [budget.take(), budget.take(), budget.take(), budget.take()],
            [true, true, false, false]
        );
    }
}
