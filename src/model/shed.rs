// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`shed`]: frees a long list from its end, part by part.

/// Frees so many entries at the end of a list, with their memory, and takes them off the count. `true` when
/// nothing is left.
pub(crate) fn shed<T>(list: &mut Vec<T>, count: &mut usize) -> bool {
    let left = list.capacity().saturating_sub(*count);
    *count -= list.capacity().min(*count);
    list.truncate(left);
    list.shrink_to(left);
    left == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_freed_from_its_end() {
        let mut list: Vec<_> = (0..100).collect();
        let mut count = 60;
        assert!(!shed(&mut list, &mut count));
        assert_eq!((list.len(), list.capacity(), count), (40, 40, 0));
        assert!(!shed(&mut list, &mut count));
        count = 60;
        assert!(shed(&mut list, &mut count));
        assert_eq!((list.len(), list.capacity(), count), (0, 0, 20));
    }

    #[test]
    fn room_without_entries_is_freed_too() {
        let mut list = Vec::<u64>::with_capacity(100);
        let capacity = list.capacity();
        assert!(!shed(&mut list, &mut { capacity - 1 }));
        assert!(shed(&mut list, &mut { 1 }));
    }
}
