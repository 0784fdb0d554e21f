//! How long publishing takes: a histogram with a bucket for each power of two.

use core::time::Duration;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Measures one publish in [`ONE_IN`].
pub(crate) struct PublishClock {
    turn: AtomicU32,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for PublishClock {
    fn default() -> Self {
        PublishClock {
            turn: AtomicU32::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl PublishClock {
    /// When this publish began, if it is one that is measured.
    pub(crate) fn begin(&self) -> Option<Instant> {
        // Not exact where several threads publish at once, and cheaper than to be so.
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        turn.is_multiple_of(ONE_IN).then(Instant::now)
    }

    /// A publish that began then is handed over.
    pub(crate) fn end(&self, began: Option<Instant>) {
        let Some(began) = began else {
            return;
        };
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn times(&self) -> PublishTimes {
        PublishTimes {
            buckets: core::array::from_fn(|index| self.buckets[index].load(Ordering::Relaxed)),
        }
    }
}

/// How long publishes took, from the call to the hand-over to all links and local subscribers: a
/// histogram, since the node started. One publish in 16 is measured.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = lasso_net::Cluster::builder().start().await?;
/// assert_eq!(cluster.publish_times().quantile(0.99), None);
/// cluster.publish("topic", "message")?;
/// assert!(cluster.publish_times().quantile(0.99).is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishTimes {
    buckets: [u64; BUCKETS],
}

impl PublishTimes {
    /// How many publishes were measured: a sixteenth of all.
    pub fn measured(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time within which this share of the publishes was done, from 0.0 to 1.0, to the next
    /// power of two nanoseconds; `None` when none was measured.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all = self.measured();
        if all == 0 {
            return None;
        }
        let rank = (share.clamp(0.0, 1.0) * all as f64).ceil() as u64;
        let mut below = 0;
        self.buckets().find_map(|(longest, count)| {
            below += count;
            (below >= rank.max(1)).then_some(longest)
        })
    }

    /// The longest time of each bucket that is not empty, and how many publishes are in it; the
    /// shortest first.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counted = self.buckets.iter().enumerate();
        counted
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| (Duration::from_nanos(1 << index), *count))
    }
}

/// The bucket of the smallest power of two that is not less.
fn bucket(nanos: u64) -> usize {
    let power = u64::BITS - nanos.saturating_sub(1).leading_zeros();
    (power as usize).min(BUCKETS - 1)
}

/// Up to nine seconds; what takes longer is in the last one.
const BUCKETS: usize = 34;
/// Reading the clock twice costs about as much as a fifth of a publish.
const ONE_IN: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_of_the_next_power_of_two() {
        let expected = [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (1_000, 10),
            (1_024, 10),
            (1_025, 11),
            (u64::MAX, BUCKETS - 1),
        ];
        for (nanos, index) in expected {
            assert_eq!(bucket(nanos), index, "{nanos} ns");
        }
    }

    #[test]
    fn a_quantile_is_the_end_of_its_bucket() {
        let mut times = PublishTimes {
            buckets: [0; BUCKETS],
        };
        assert_eq!(times.quantile(0.5), None);
        times.buckets[8] = 98;
        times.buckets[12] = 1;
        times.buckets[20] = 1;
        let nanos = |share| times.quantile(share).map(|time| time.as_nanos());
        assert_eq!(nanos(0.0), Some(256));
        assert_eq!(nanos(0.5), Some(256));
        assert_eq!(nanos(0.98), Some(256));
        assert_eq!(nanos(0.99), Some(4_096));
        assert_eq!(nanos(1.0), Some(1 << 20));
        assert_eq!(times.measured(), 100);
    }

    #[test]
    fn one_publish_in_sixteen_is_measured() {
        let clock = PublishClock::default();
        for _ in 0..160 {
            clock.end(clock.begin());
        }
        assert_eq!(clock.times().measured(), 10);
    }
}
