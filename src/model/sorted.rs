// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`SortedMap`]: entries in the order of their keys, in one piece of memory.
//!
//! Like std's `BTreeMap`, with a tenth of the code for each type of entry, as most tables here are
//! small. An insertion in the middle moves the entries behind it, so tables of thousands that are
//! filled in any order remain B-trees.

/// A map, sorted by its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K, V> SortedMap<K, V> {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// Removes the entries that are not to be kept.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| is_kept(key, value));
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Replaces the value of the key, and returns the old one.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => self.entries.get_mut(at).map(|(_, had)| std::mem::replace(had, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        Some(self.entries.remove(at).1)
    }

    /// The place of a key, or the place to insert it.
    fn find(&self, key: &K) -> Result<usize, usize> {
        // Most tables are filled in order.
        if self.entries.last().is_some_and(|(last, _)| last < key) {
            return Err(self.entries.len());
        }
        self.entries.binary_search_by(|(other, _)| other.cmp(key))
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_does_what_a_b_tree_does() {
        let mut random = fastrand::Rng::with_seed(7);
        for len in 0..40_u8 {
            let (mut map, mut tree) = (SortedMap::default(), BTreeMap::new());
            for _ in 0..len * 3 {
                let (key, value) = (random.u8(..len), random.u8(..));
                match random.u8(..4) {
                    0 => assert_eq!(map.remove(&key), tree.remove(&key)),
                    1 => assert_eq!(map.get_mut(&key), tree.get_mut(&key)),
                    _ => assert_eq!(map.insert(key, value), tree.insert(key, value)),
                }
                assert_eq!(map.get(&key), tree.get(&key));
                assert_eq!(map.contains_key(&key), tree.contains_key(&key));
                assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
                assert!(map.iter().eq(tree.iter()));
            }
            map.retain(|key, value| *key > 3 && *value > 30);
            tree.retain(|key, value| *key > 3 && *value > 30);
            assert!(map.iter_mut().eq(tree.iter_mut()));
            map.values_mut().chain(tree.values_mut()).for_each(|value| *value /= 2);
            assert!(map.keys().eq(tree.keys()) && map.values().eq(tree.values()));
            assert_eq!(tree.into_iter().rev().collect::<SortedMap<_, _>>(), map);
            assert!(map.clone().into_iter().eq(map.iter().map(|(key, value)| (*key, *value))));
        }
        let map = SortedMap::from([(2, 'b'), (1, 'a'), (2, 'c')]);
        assert_eq!(map.into_iter().collect::<Vec<_>>(), [(1, 'a'), (2, 'c')]);
    }
}
