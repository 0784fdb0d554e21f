//! How much one viewer gets: so many events per second, and no more waiting than a bound.
//!
//! [`TokenBucket`] is a bucket in integers: it fills by `rate` tokens per second, to the nanosecond
//! and without rounding, and holds a second's worth. [`Waiting`] is a queue that drops its oldest and
//! counts what it dropped until somebody asks.
//!
//! 1. In any time t at most `rate` × (t + 1 s) tokens are given.
//! 2. What was put into a queue was taken out of it, waits, or was counted as lost.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::events::rate::{TokenBucket, Waiting};
//! use lasso_core::time::Instant;
//!
//! let mut bucket = TokenBucket::new(Instant::ZERO, 150);
//! assert_eq!(bucket.take(Instant::ZERO, 1_000), 150);
//! assert_eq!(bucket.take(Instant::ZERO + Duration::from_millis(100), 1_000), 15);
//!
//! let mut queue = Waiting::new(2);
//! queue.extend([1, 2, 3]);
//! assert_eq!(queue.drain(), (1, vec![2, 3]));
//! ```

use std::collections::VecDeque;

use crate::time::Instant;

/// See the module's text. Full at the start.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    /// Tokens per second.
    rate: u32,
    /// Billionths of a token that are there.
    level: u64,
    /// When the level was that.
    at: Instant,
}

impl TokenBucket {
    /// A full bucket of `rate` tokens, which fills by as many per second.
    pub fn new(now: Instant, rate: u32) -> Self {
        TokenBucket {
            rate,
            level: full(rate),
            at: now,
        }
    }

    /// Takes up to `wanted` tokens; returns how many there were.
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        let elapsed = now.as_nanos().saturating_sub(self.at.as_nanos());
        self.at = self.at.max(now);
        // A nanosecond brings as many billionths of a token as a second brings tokens.
        let filled = elapsed.saturating_mul(u64::from(self.rate));
        self.level = self.level.saturating_add(filled).min(full(self.rate));
        let there = usize::try_from(self.level / TOKEN).unwrap_or(usize::MAX);
        let taken = wanted.min(there);
        self.level -= taken as u64 * TOKEN;
        taken
    }
}

fn full(rate: u32) -> u64 {
    u64::from(rate) * TOKEN
}

/// Billionths in a token.
const TOKEN: u64 = 1_000_000_000;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Waiting<T> {
    max: usize,
    queue: VecDeque<T>,
    /// Lost since somebody asked.
    lost: u64,
}

impl<T> Waiting<T> {
    /// An empty queue for at most `max` items.
    pub fn new(max: usize) -> Self {
        Waiting {
            max,
            queue: VecDeque::new(),
            lost: 0,
        }
    }

    /// Puts items at the end, and drops from the front what is too many.
    pub fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        for item in items {
            if self.queue.len() == self.max {
                self.queue.pop_front();
                self.lost += 1;
            }
            self.queue.push_back(item);
        }
    }

    /// Counts items as lost that were never put in.
    pub fn lose(&mut self, items: u64) {
        self.lost += items;
    }

    /// Takes out everything: how many were lost since the last time, and what waits.
    pub fn drain(&mut self) -> (u64, Vec<T>) {
        (
            core::mem::take(&mut self.lost),
            self.queue.drain(..).collect(),
        )
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bucket_gives_a_seconds_worth_and_then_the_rate_to_the_nanosecond() {
        let mut bucket = TokenBucket::new(Instant::ZERO, 150);
        assert_eq!(bucket.take(Instant::ZERO, 200), 150);
        // A token takes 6,666,666.67 ns.
        assert_eq!(bucket.take(Instant::from_nanos(6_666_666), 1), 0);
        assert_eq!(bucket.take(Instant::from_nanos(6_666_667), 1), 1);
        assert_eq!(bucket.take(Instant::from_nanos(13_333_333), 1), 0);
        assert_eq!(bucket.take(Instant::from_nanos(13_333_334), 1), 1);
        assert_eq!(bucket.take(Instant::from_nanos(20_000_000), 1), 1);
    }

    #[test]
    fn no_wait_however_long_saves_up_more_than_a_seconds_worth() {
        let mut bucket = TokenBucket::new(Instant::ZERO, u32::MAX);
        assert_eq!(
            bucket.take(Instant::FAR_FUTURE, usize::MAX),
            u32::MAX as usize
        );
        assert_eq!(
            bucket.take(Instant::ZERO, 1),
            0,
            "time that goes back fills nothing"
        );
    }

    #[test]
    fn the_oldest_is_lost_first_and_told_once() {
        let mut queue = Waiting::new(3);
        queue.extend(0..5);
        queue.lose(10);
        assert_eq!(queue.drain(), (12, vec![2, 3, 4]));
        assert_eq!(queue.drain(), (0, vec![]));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_never_less_when_it_is_asked_often(
            // A bucket for one token is full before its next fill has all found room.
            rate in 2_u32..2_000,
            waits in proptest::collection::vec(0_u64..50_000_000, 1..200),
        ) {
            let mut bucket = TokenBucket::new(Instant::ZERO, rate);
            let (mut now, mut taken) = (Instant::ZERO, bucket.take(Instant::ZERO, usize::MAX) as u128);
            for wait in waits {
                now += Duration::from_nanos(wait);
                taken += bucket.take(now, usize::MAX) as u128;
                let right = u128::from(rate) * (u128::from(now.as_nanos()) + 1_000_000_000);
                prop_assert_eq!(taken, right / 1_000_000_000);
            }
        }

        #[test]
        fn what_was_put_in_came_out_or_waits_or_was_lost(
            max in 1_usize..20,
            script in proptest::collection::vec(0_u64..30, 0..50),
        ) {
            let mut queue = Waiting::new(max);
            let (mut put, mut got) = (0, 0);
            for step in script {
                if step < 5 {
                    let (lost, taken) = queue.drain();
                    got += lost + taken.len() as u64;
                } else {
                    queue.extend(0..step);
                    put += step;
                }
                prop_assert!(queue.len() <= max);
                prop_assert_eq!(put, got + queue.lost + queue.len() as u64);
            }
        }
    }
}
