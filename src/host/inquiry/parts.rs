// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Parts`]: a long list that grows, and is taken, in parts.

use std::collections::VecDeque;

/// Entries of one part.
const PART_COUNT: usize = 1_000;

/// A list to which entries are added at the end and from which they are taken at the front. Its
/// entries are not moved when it grows, which would take milliseconds for a hundred thousand of
/// them.
#[derive(Debug)]
pub(super) struct Parts<T>(VecDeque<Vec<T>>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Parts<T> {
    pub(super) fn push(&mut self, entry: T) {
        match self.0.back_mut().filter(|part| part.len() < PART_COUNT) {
            Some(part) => part.push(entry),
            None => {
                let mut part = Vec::with_capacity(PART_COUNT);
                part.push(entry);
                self.0.push_back(part);
            }
        }
    }

    /// Takes at most `count` entries from the front; none only if the list is empty.
    pub(super) fn take(&mut self, count: usize) -> Vec<T> {
        let Some(mut part) = self.0.pop_front() else { return Vec::new() };
        if part.len() > count.max(1) {
            self.0.push_front(part.split_off(count.max(1)));
        }
        part
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_in_their_order_and_no_more_than_were_asked_for() {
        let mut parts = Parts::default();
        assert_eq!(parts.take(1), Vec::<usize>::new());
        let all: Vec<_> = (0..2 * PART_COUNT + 1).collect();
        all.iter().for_each(|entry| parts.push(*entry));
        let mut taken = parts.take(1);
        assert_eq!(taken, [0]);
        while let part @ [_, ..] = parts.take(300).as_slice() {
            assert!(part.len() <= 300, "{}", part.len());
            taken.extend(part);
        }
        assert_eq!(taken, all);
    }
}
