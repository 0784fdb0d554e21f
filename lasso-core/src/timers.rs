//! Deadlines by key, in order of time.
//!
//! A deadline is state: setting it again moves it, clearing it takes it away, and there is never a
//! stale one to ignore. The table has the right size whatever timers there are.
//!
//! 1. Each key has at most one deadline.
//! 2. What is due comes out by time, then by key: the same on every run.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Timers<K> {
    /// By key, to move and clear.
    at: BTreeMap<K, Instant>,
    /// By time, to find the next; holds the same pairs.
    order: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) fn new() -> Self {
        Timers {
            at: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Sets the deadline of `key`, in place of an earlier or later one.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.at.insert(key.clone(), at) {
            self.order.remove(&(old, key.clone()));
        }
        self.order.insert((at, key));
        debug_assert_eq!(self.at.len(), self.order.len());
    }

    /// Takes the deadline of `key` away; true when it had one.
    pub(crate) fn clear(&mut self, key: &K) -> bool {
        match self.at.remove_entry(key) {
            Some((key, at)) => self.order.remove(&(at, key)),
            None => false,
        }
    }

    /// True when `key` has a deadline.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.at.contains_key(key)
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the first key whose deadline has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn what_is_due_comes_out_by_time_then_by_key() {
        let mut timers = Timers::new();
        timers.set('b', at(5));
        timers.set('a', at(5));
        timers.set('c', at(1));
        assert_eq!(timers.next(), Some(at(1)));
        let due: Vec<char> = core::iter::from_fn(|| timers.pop(at(5))).collect();
        assert_eq!(due, ['c', 'a', 'b']);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_that_moved_or_was_cleared_never_comes() {
        let mut timers = Timers::new();
        timers.set('a', at(5));
        timers.set('a', at(9));
        timers.set('b', at(5));
        assert!(timers.clear(&'b'));
        assert!(!timers.clear(&'b'));
        assert_eq!(timers.pop(at(8)), None);
        assert!(timers.has(&'a'));
        assert_eq!(timers.pop(at(9)), Some('a'));
        assert!(!timers.has(&'a'));
    }
}
