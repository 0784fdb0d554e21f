//! The newest events by their own time, for those who come later.
//!
//! Events come from many nodes and not in order. Each is put where its time belongs, from the end,
//! which is where nearly all of them go. A time in the future is taken for now, so that a node whose
//! clock is ahead does not hold the first place for ever.
//!
//! ```
//! use lasso_core::events::recent::Recent;
//!
//! let mut recent = Recent::new(2);
//! recent.insert(10, 30, "late");
//! recent.insert(20, 30, "later");
//! recent.insert(5, 30, "too old");
//! assert_eq!(recent.newest_first().copied().collect::<Vec<_>>(), ["later", "late"]);
//! ```

use std::collections::VecDeque;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Recent<T> {
    max: usize,
    /// By time, the oldest first; of two of one time the one that came first.
    items: VecDeque<(u64, T)>,
}

impl<T> Recent<T> {
    /// Holds at most `max`.
    pub fn new(max: usize) -> Self {
        Recent {
            max,
            items: VecDeque::new(),
        }
    }

    /// An event of the time `unix_ms`, which came at `now_unix_ms`.
    pub fn insert(&mut self, unix_ms: u64, now_unix_ms: u64, item: T) {
        let time = unix_ms.min(now_unix_ms);
        if self.items.len() >= self.max {
            if self.items.front().is_none_or(|(oldest, _)| time < *oldest) {
                return;
            }
            self.items.pop_front();
        }
        let mut at = self.items.len();
        while at > 0 && self.items[at - 1].0 > time {
            at -= 1;
        }
        self.items.insert(at, (time, item));
    }

    /// What is held, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.items.iter().rev().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_is_ahead_does_not_hold_the_first_place() {
        let mut recent = Recent::new(2);
        recent.insert(u64::MAX, 100, "ahead");
        recent.insert(101, 101, "one");
        recent.insert(102, 102, "two");
        assert_eq!(
            recent.newest_first().copied().collect::<Vec<_>>(),
            ["two", "one"]
        );
    }

    proptest! {
        #[test]
        fn it_holds_the_newest_in_order(
            max in 1_usize..20,
            times in proptest::collection::vec(0_u64..50, 0..100),
        ) {
            let mut recent = Recent::new(max);
            for (at, time) in times.iter().enumerate() {
                recent.insert(*time, 100, (*time, at));
            }
            let mut sorted: Vec<_> = times.iter().copied().enumerate().map(|(at, t)| (t, at)).collect();
            sorted.sort();
            let expected: Vec<_> = sorted.into_iter().rev().take(max).collect();
            prop_assert_eq!(recent.newest_first().copied().collect::<Vec<_>>(), expected);
        }
    }
}
