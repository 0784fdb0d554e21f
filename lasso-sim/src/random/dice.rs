//! Draws of a random plan. Each drawn item has a generator of its own, named by a text and a number, so that
//! one more draw in one place changes nothing in another.

use core::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::seed::{self, Purpose};

/// A generator for one drawn item.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The generator of the item `what`, with its `index` if there are several.
    pub(crate) fn new(seed: u64, what: &str, index: u64) -> Self {
        Dice(seed::generator(seed, Purpose::Faults, hash(what), index))
    }

    /// Evenly from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high, "{low} is above {high}");
        low + seed::up_to(&mut self.0, high.saturating_sub(low))
    }

    /// An index below `count`, which is at least one.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.between(0, count as u64 - 1) as usize
    }

    /// True with this probability, in percent.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }

    /// One of several, of which there is at least one.
    pub(crate) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// `count` of several items, in a drawn order.
    pub(crate) fn some_of<T: Clone>(&mut self, all: &[T], count: usize) -> Vec<T> {
        let mut left = all.to_vec();
        let count = count.min(left.len());
        (0..count)
            .map(|_| left.remove(self.below(left.len())))
            .collect()
    }

    /// A time evenly from `low` to `high`, in whole milliseconds.
    pub(crate) fn time(&mut self, low: Duration, high: Duration) -> Duration {
        let millis = |time: Duration| time.as_millis() as u64;
        let low = millis(low);
        Duration::from_millis(self.between(low, millis(high).max(low)))
    }

    /// A time from `low` to `high`, evenly by magnitude: draws one doubling of `low`, then a time within
    /// it. No floating point, so that all platforms agree.
    pub(crate) fn log_time(&mut self, low: Duration, high: Duration) -> Duration {
        let low = (low.as_millis() as u64).max(1);
        let high = (high.as_millis() as u64).max(low);
        let doublings = u64::from((high / low).ilog2());
        let from = low << self.between(0, doublings);
        let to = (from * 2).min(high);
        Duration::from_millis(self.between(from.min(to), to))
    }
}

/// FNV-1a, which is the same everywhere and for ever.
pub(crate) fn hash(text: &str) -> u64 {
    hash_bytes(text.bytes())
}

/// [`hash`] of times, by their nanoseconds, because the way a toolchain prints a duration may change.
pub(crate) fn hash_times(times: &[Duration]) -> u64 {
    let bytes = times.iter().map(|time| time.as_nanos().to_le_bytes());
    hash_bytes(bytes.flatten())
}

fn hash_bytes(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_hash_of_times_is_the_same_for_ever() {
        assert_eq!(hash_times(&[]), 0xcbf2_9ce4_8422_2325);
        let times = [SECOND, Duration::from_millis(1500)];
        assert_eq!(hash_times(&times), 0xb0eb_a2fb_0a03_e356);
        assert_ne!(hash_times(&times), hash_times(&[times[1], times[0]]));
    }

    #[test]
    fn short_times_are_as_likely_as_long_ones() {
        let mut dice = Dice::new(1, "times", 0);
        let drawn: Vec<Duration> = (0..1_000)
            .map(|_| dice.log_time(SECOND, SECOND * 64))
            .collect();
        assert!(
            drawn
                .iter()
                .all(|time| (SECOND..=SECOND * 64).contains(time))
        );
        let short = drawn.iter().filter(|time| **time < SECOND * 8).count();
        assert!(
            (350..=650).contains(&short),
            "{short} of 1,000 are below 8 s"
        );
    }

    #[test]
    fn a_range_of_one_time_is_that_time() {
        let mut dice = Dice::new(1, "times", 0);
        assert_eq!(dice.log_time(SECOND, SECOND), SECOND);
        assert_eq!(dice.time(SECOND, SECOND), SECOND);
    }

    #[test]
    fn some_of_several_are_different_ones() {
        let mut dice = Dice::new(7, "some", 3);
        let mut drawn = dice.some_of(&[1, 2, 3, 4, 5], 4);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 4);
        assert_eq!(dice.some_of(&[1, 2], 9).len(), 2);
    }

    #[test]
    fn what_is_drawn_for_one_thing_does_not_depend_on_another() {
        let first = Dice::new(7, "vanish", 0).between(0, u64::MAX - 1);
        let mut other = Dice::new(7, "pause", 0);
        other.between(0, 9);
        assert_eq!(Dice::new(7, "vanish", 0).between(0, u64::MAX - 1), first);
        assert_ne!(Dice::new(7, "vanish", 1).between(0, u64::MAX - 1), first);
        assert_ne!(Dice::new(8, "vanish", 0).between(0, u64::MAX - 1), first);
    }
}
