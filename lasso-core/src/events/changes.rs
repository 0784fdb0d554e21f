//! A table of values whose readers each ask: what has changed since I last looked?
//!
//! Every change has a number. A reader remembers the number up to which it knows everything, and gets
//! the newest value of what has a higher one, so that a slow reader costs nothing until it reads, and
//! then gets each value once. Of keys that are gone a bounded number is remembered; a reader from
//! before that gets the whole table and is told so.
//!
//! 1. A reader that asks, applies what it gets, and asks again with the new number has the table.
//!
//! ```
//! use lasso_core::events::changes::Table;
//!
//! let mut table = Table::new(100);
//! table.put("a", 1);
//! let seen = table.version();
//! table.put("b", 2);
//! table.put("b", 3);
//! table.remove(&"a");
//! let changes = table.since(seen);
//! assert_eq!((changes.whole, changes.changed, changes.gone), (false, vec![("b", 3)], vec!["a"]));
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a reader does not know yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes<K, V> {
    /// True when `changed` is the whole table: what is not in it is gone.
    pub whole: bool,
    /// New values, in the order in which they changed.
    pub changed: Vec<(K, V)>,
    /// Keys that are gone, in the order in which they went.
    pub gone: Vec<K>,
}

impl<K, V> Changes<K, V> {
    /// True when there is nothing that the reader does not know.
    pub fn is_empty(&self) -> bool {
        !self.whole && self.changed.is_empty() && self.gone.is_empty()
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Table<K, V> {
    /// The number of the last change.
    version: u64,
    values: BTreeMap<K, (u64, V)>,
    /// Keys of `values`, by the number of their last change.
    order: BTreeMap<u64, K>,
    /// Keys that are gone, with the number of that change.
    gone: BTreeMap<K, u64>,
    /// The same, by number.
    gone_order: BTreeMap<u64, K>,
    /// Most keys that are remembered as gone.
    gone_max: usize,
    /// Readers that know less than this may have missed one that is gone.
    floor: u64,
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// An empty table, which remembers at most `gone_max` keys that are gone.
    pub fn new(gone_max: usize) -> Self {
        Table {
            version: 0,
            values: BTreeMap::new(),
            order: BTreeMap::new(),
            gone: BTreeMap::new(),
            gone_order: BTreeMap::new(),
            gone_max,
            floor: 0,
        }
    }

    /// The number of the last change: what a reader that knows everything knows.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The value that readers were last told of.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.values.keys()
    }

    /// A value that readers are to be told of.
    pub fn put(&mut self, key: K, value: V) {
        self.version += 1;
        if let Some(number) = self.gone.remove(&key) {
            self.gone_order.remove(&number);
        }
        if let Some((number, _)) = self.values.insert(key.clone(), (self.version, value)) {
            self.order.remove(&number);
        }
        self.order.insert(self.version, key);
        debug_assert_eq!(self.order.len(), self.values.len());
    }

    /// A value is no more.
    pub fn remove(&mut self, key: &K) {
        let Some((number, _)) = self.values.remove(key) else {
            return;
        };
        self.order.remove(&number);
        self.version += 1;
        self.gone.insert(key.clone(), self.version);
        self.gone_order.insert(self.version, key.clone());
        if self.gone_order.len() > self.gone_max
            && let Some((number, key)) = self.gone_order.pop_first()
        {
            self.gone.remove(&key);
            self.floor = number;
        }
        debug_assert_eq!(self.gone.len(), self.gone_order.len());
    }

    /// What a reader that knows everything up to the change `seen` does not know.
    pub fn since(&self, seen: u64) -> Changes<K, V> {
        let whole = seen < self.floor;
        let seen = if whole { 0 } else { seen };
        let news = (seen.saturating_add(1))..;
        let changed = self.order.range(news.clone());
        let changed = changed.filter_map(|(_, key)| Some((key.clone(), self.get(key)?.clone())));
        let gone = self.gone_order.range(news).map(|(_, key)| key.clone());
        Changes {
            whole,
            changed: changed.collect(),
            gone: if whole { Vec::new() } else { gone.collect() },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_that_is_back_is_not_gone() {
        let mut table = Table::new(10);
        table.put(1, 'a');
        let seen = table.version();
        table.remove(&1);
        table.put(1, 'b');
        let changes = table.since(seen);
        assert_eq!((changes.changed, changes.gone), (vec![(1, 'b')], vec![]));
    }

    #[test]
    fn who_knows_everything_gets_nothing() {
        let mut table = Table::new(10);
        table.put(1, 'a');
        assert!(table.since(table.version()).is_empty());
        assert!(Table::<u8, u8>::new(1).since(0).is_empty());
    }

    proptest! {
        #[test]
        fn readers_that_ask_at_any_time_have_the_table(
            gone_max in 0_usize..6,
            script in proptest::collection::vec((0_u8..12, any::<u8>(), 0_u8..6), 0..300),
        ) {
            let mut table = Table::new(gone_max);
            let mut copies = [(0, BTreeMap::new()), (0, BTreeMap::new())];
            for (key, value, step) in script {
                match step {
                    0..=2 => table.put(key, value),
                    3..=4 => table.remove(&key),
                    _ => {
                        // One reader reads often, the other seldom.
                        let (seen, copy) = &mut copies[usize::from(key == 0)];
                        let changes = table.since(*seen);
                        *seen = table.version();
                        if changes.whole {
                            copy.clear();
                        }
                        copy.extend(changes.changed);
                        for key in changes.gone {
                            copy.remove(&key);
                        }
                        let real = table.keys().map(|key| (*key, *table.get(key).unwrap()));
                        prop_assert_eq!(&*copy, &real.collect::<BTreeMap<u8, u8>>());
                    }
                }
                prop_assert!(table.gone.len() <= gone_max);
            }
        }
    }
}
