//! Random numbers of a node.

use core::convert::Infallible;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, TryRng};

/// A seeded generator of one node, made by [`Node::rng`](crate::Node::rng).
///
/// It implements the traits of `rand_core` 0.10, so that crates such as `rand` 0.10 can use it. Its numbers are not secret.
///
/// ```no_run
/// # fn example(node: lasso_sim::Node) {
/// let mut rng = node.rng();
/// let percent = rng.range(0..=99);
/// let pause = rng.duration(std::time::Duration::from_secs(1));
/// # }
/// ```
#[derive(Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    pub(super) fn new(generator: ChaCha8Rng) -> Self {
        Rng(generator)
    }

    /// An even draw from a range.
    ///
    /// # Panics
    /// When the range is empty.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        assert!(!range.is_empty(), "the range {range:?} is empty");
        let (start, end) = range.into_inner();
        start + crate::seed::up_to(&mut self.0, end - start)
    }

    /// An even draw from zero to `most`, in nanoseconds.
    pub fn duration(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.range(0..=most))
    }

    /// True with this probability, in percent.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.range(0..=99) < percent
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(into);
        Ok(())
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn draws_stay_in_their_ranges() {
        let mut rng = Rng::new(ChaCha8Rng::from_seed([7; 32]));
        let mut seen = [false; 3];
        for _ in 0..200 {
            seen[rng.range(5..=7) as usize - 5] = true;
            assert!(rng.duration(Duration::from_millis(3)) <= Duration::from_millis(3));
            assert!(!rng.percent(0) && rng.percent(100));
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.range(4..=4), 4);
    }
}
