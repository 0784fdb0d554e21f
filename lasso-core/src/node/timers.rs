//! Deadlines of many things, the earliest first.
//!
//! A deadline that moves later is not moved here: it fires early, is found to be not due, and is set
//! anew. So the usual case, a link that hears something, touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// One deadline per key.
#[derive(Debug)]
pub(super) struct Timers<K> {
    at: BTreeMap<K, Instant>,
    queue: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(super) fn new() -> Self {
        Timers {
            at: BTreeMap::new(),
            queue: BTreeSet::new(),
        }
    }

    /// Makes sure that `key` fires no later than `deadline`.
    pub(super) fn at_latest(&mut self, key: K, deadline: Instant) {
        if let Some(armed) = self.at.get_mut(&key) {
            if *armed <= deadline {
                return;
            }
            self.queue.remove(&(*armed, key));
            *armed = deadline;
        } else {
            self.at.insert(key, deadline);
        }
        self.queue.insert((deadline, key));
    }

    pub(super) fn cancel(&mut self, key: K) {
        if let Some(armed) = self.at.remove(&key) {
            self.queue.remove(&(armed, key));
        }
    }

    /// Takes out the next key that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (deadline, key) = *self.queue.first()?;
        if deadline > now {
            return None;
        }
        self.queue.pop_first();
        self.at.remove(&key);
        Some(key)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(deadline, _)| *deadline)
    }
}
