//! A map that remembers in which order its keys were put.

use std::collections::{BTreeMap, HashMap};

/// Values by key, and from the oldest to the newest.
#[derive(Clone, Debug)]
pub(super) struct Ordered<V> {
    places: HashMap<String, u64>,
    values: BTreeMap<u64, (String, V)>,
}

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            values: BTreeMap::new(),
        }
    }
}

impl<V> Ordered<V> {
    /// Puts a value, which becomes the newest, in place of the key's earlier one.
    pub(super) fn put(&mut self, key: String, value: V) {
        let place = self
            .values
            .last_key_value()
            .map_or(0, |(place, _)| place + 1);
        if let Some(earlier) = self.places.insert(key.clone(), place) {
            self.values.remove(&earlier);
        }
        self.values.insert(place, (key, value));
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(place) = self.places.remove(key) {
            self.values.remove(&place);
        }
    }

    /// Forgets the oldest beyond this many.
    pub(super) fn keep_newest(&mut self, most: usize) {
        while self.values.len() > most {
            if let Some((_, (key, _))) = self.values.pop_first() {
                self.places.remove(&key);
            }
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        let (_, value) = self.values.get(self.places.get(key)?)?;
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// All, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, V)> {
        self.values.values()
    }
}
