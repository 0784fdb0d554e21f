//! Which events are worth publishing, and how many each stands for.
//!
//! What went wrong, what was tried again, and changes of state are always published. Of plain
//! successes one in so many is: they are cut into blocks of 1/rate, and of each block one is taken,
//! at a place that is drawn anew for every block, so that no rhythm in the traffic can fall in
//! step with the sampling. Its weight is the size of its block, which is what it stands for.
//!
//! 1. After any number of successes, the sum of the weights differs from that number by less than
//!    the largest weight.
//! 2. Every success is equally likely to be taken, so every sum over weights (calls of one provider,
//!    of one region) is right on average. With n successes of some kind and blocks of k, the standard
//!    error of their sum is at most √(n·k).
//! 3. Blocks alternate between two sizes such that their mean is exactly 1/rate.
//!
//! Profiles do not share blocks. At most [`PROFILES_MAX`] have their own; the rest share one at the
//! default rate, which is counted.
//!
//! ```
//! use lasso_core::events::sampler::{Sampler, SampleRate, SampleRates};
//!
//! let mut sampler = Sampler::new(SampleRates::default(), [7; 32]);
//! let weights: Vec<u32> = (0..1_000).filter_map(|_| sampler.success("premium")).collect();
//! assert_eq!(weights, [20; 50]);
//! ```

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Most profiles with blocks of their own.
pub const PROFILES_MAX: usize = 4_096;

/// The largest weight: what one event stands for at the lowest rate.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// A rate that cannot be sampled at. The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sampling rate of {0} millionths is not within 1 to 1,000,000")]
pub struct SampleRateError(pub u32);

/// How many of a million successes are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleRate(u32);

impl SampleRate {
    /// Every success.
    pub const ALL: SampleRate = SampleRate(1_000_000);

    /// A rate in millionths: 50,000 is 0.05. None at all is refused, as what is left out could not be
    /// accounted for.
    ///
    /// # Errors
    /// [`SampleRateError`] unless it is 1 to 1,000,000.
    pub const fn from_ppm(ppm: u32) -> Result<Self, SampleRateError> {
        match ppm {
            1..=1_000_000 => Ok(SampleRate(ppm)),
            _ => Err(SampleRateError(ppm)),
        }
    }

    /// The rate in millionths.
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

/// The rates of a node's profiles.
///
/// Higher: more events on the wire and in front of viewers. Lower: coarser figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRates {
    /// The rate of a profile that is not named, 0.05.
    pub default: SampleRate,
    /// The rates of the others: `free` 0.01, `premium` 0.05, `byok` 0.20.
    pub by_profile: BTreeMap<String, SampleRate>,
}

impl Default for SampleRates {
    fn default() -> Self {
        let named = [("free", 10_000), ("premium", 50_000), ("byok", 200_000)];
        SampleRates {
            default: SampleRate(50_000),
            by_profile: named
                .into_iter()
                .map(|(profile, ppm)| (profile.to_owned(), SampleRate(ppm)))
                .collect(),
        }
    }
}

/// What a sampler has done; numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SamplerCounters {
    /// Successes that were offered.
    pub successes: u64,
    /// Those of them that were taken.
    pub taken: u64,
    /// Successes that were sampled together with those of other profiles, as there are too many.
    pub crowded: u64,
}

/// One block under way.
#[derive(Debug)]
struct Block {
    rate: SampleRate,
    /// Successes of this block so far.
    seen: u32,
    /// Which of them is taken.
    chosen: u32,
    size: u32,
    /// What the sizes so far are short of 1/rate each, in `rate`ths.
    owed: u32,
}

impl Block {
    fn new(rate: SampleRate, rng: &mut ChaCha8Rng) -> Self {
        let mut block = Block {
            rate,
            seen: 0,
            chosen: 0,
            size: 0,
            owed: 0,
        };
        block.begin(rng);
        block
    }

    fn begin(&mut self, rng: &mut ChaCha8Rng) {
        let due = WEIGHT_MAX + self.owed;
        self.size = due / self.rate.0;
        self.owed = due % self.rate.0;
        self.seen = 0;
        // Multiplied instead of divided: off by less than one in four thousand at the largest size.
        let drawn = u64::from(rng.next_u32()) * u64::from(self.size);
        self.chosen = (drawn >> 32) as u32;
    }

    fn next(&mut self, rng: &mut ChaCha8Rng) -> Option<u32> {
        let weight = (self.seen == self.chosen).then_some(self.size);
        self.seen += 1;
        if self.seen == self.size {
            self.begin(rng);
        }
        weight
    }
}

/// The machine. See the module's text.
pub struct Sampler {
    rates: SampleRates,
    /// Draws the places within blocks.
    rng: ChaCha8Rng,
    blocks: BTreeMap<String, Block>,
    /// For the profiles beyond the bound.
    others: Block,
    counters: SamplerCounters,
}

impl Sampler {
    /// A sampler with these rates, which draws from `seed`.
    pub fn new(rates: SampleRates, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        let others = Block::new(rates.default, &mut rng);
        Sampler {
            rates,
            rng,
            blocks: BTreeMap::new(),
            others,
            counters: SamplerCounters::default(),
        }
    }

    /// A plain success of this profile: the weight to publish it with, or `None` to leave it out.
    /// Everything else is to be published with a weight of 1 without asking.
    pub fn success(&mut self, profile: &str) -> Option<u32> {
        self.counters.successes += 1;
        let full = self.blocks.len() >= PROFILES_MAX;
        let block = match self.blocks.get_mut(profile) {
            Some(block) => block,
            None if full => {
                self.counters.crowded += 1;
                &mut self.others
            }
            None => {
                let rate = self.rates.by_profile.get(profile);
                let rate = rate.copied().unwrap_or(self.rates.default);
                let block = Block::new(rate, &mut self.rng);
                self.blocks.entry(profile.to_owned()).or_insert(block)
            }
        };
        let weight = block.next(&mut self.rng);
        self.counters.taken += u64::from(weight.is_some());
        weight
    }

    /// What was done so far.
    pub fn counters(&self) -> SamplerCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sampler(ppm: u32, seed: u8) -> Sampler {
        let rates = SampleRates {
            default: SampleRate::from_ppm(ppm).unwrap(),
            by_profile: BTreeMap::new(),
        };
        Sampler::new(rates, [seed; 32])
    }

    #[test]
    fn every_profile_has_its_rate() {
        let mut sampler = Sampler::new(SampleRates::default(), [1; 32]);
        for (profile, one_in) in [
            ("free", 100),
            ("premium", 20),
            ("byok", 5),
            ("any other", 20),
        ] {
            let taken: Vec<u32> = (0..10_000)
                .filter_map(|_| sampler.success(profile))
                .collect();
            assert_eq!(taken, vec![one_in; 10_000 / one_in as usize], "{profile}");
        }
    }

    #[test]
    fn a_rate_of_one_takes_everything_and_one_of_zero_is_refused() {
        let mut sampler = sampler(1_000_000, 1);
        assert!((0..100).all(|_| sampler.success("p") == Some(1)));
        assert_eq!(SampleRate::from_ppm(0), Err(SampleRateError(0)));
        assert_eq!(
            SampleRate::from_ppm(1_000_001),
            Err(SampleRateError(1_000_001))
        );
    }

    #[test]
    fn the_same_seed_takes_the_same_ones_and_another_does_not() {
        let taken = |seed| {
            let mut sampler = sampler(50_000, seed);
            (0..1_000).map(|_| sampler.success("p")).collect::<Vec<_>>()
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
    }

    #[test]
    fn a_rhythm_in_the_traffic_does_not_fall_in_step_with_the_sampling() {
        // Every twentieth success is of another provider, and one in twenty is taken.
        let mut sampler = sampler(50_000, 3);
        let weight: u64 = (0_u32..2_000_000)
            .filter_map(|n| Some((n, sampler.success("p")?)))
            .filter(|(n, _)| n % 20 == 0)
            .map(|(_, weight)| u64::from(weight))
            .sum();
        // 100,000 are; four standard errors of √(100,000 × 20) are 5,657.
        assert!(weight.abs_diff(100_000) < 5_657, "{weight}");
    }

    #[test]
    fn profiles_beyond_the_bound_share_one_block_and_are_still_accounted_for() {
        let mut sampler = sampler(50_000, 4);
        for profile in 0..PROFILES_MAX {
            sampler.success(&profile.to_string());
        }
        let weights = (0..10_000).filter_map(|n| sampler.success(&format!("more-{n}")));
        assert_eq!(weights.sum::<u32>(), 10_000);
        assert_eq!(sampler.counters().crowded, 10_000);
        assert_eq!(sampler.blocks.len(), PROFILES_MAX);
    }

    proptest! {
        #[test]
        fn weights_add_up_to_what_was_offered_within_one_weight(
            ppm in 1_u32..=1_000_000,
            seed: u8,
            offered in 0_u64..5_000,
        ) {
            let mut sampler = sampler(ppm, seed);
            let (mut sum, mut taken) = (0_u64, 0_u64);
            let largest = u64::from(WEIGHT_MAX.div_ceil(ppm));
            for offered in 1..=offered {
                if let Some(weight) = sampler.success("p") {
                    prop_assert!(u64::from(weight) <= largest && weight >= WEIGHT_MAX / ppm);
                    sum += u64::from(weight);
                    taken += 1;
                }
                prop_assert!(sum.abs_diff(offered) < largest, "{} for {}", sum, offered);
            }
            let right = offered * u64::from(ppm) / 1_000_000;
            prop_assert!(taken.abs_diff(right) <= 1, "{} taken, not {}", taken, right);
        }
    }
}
