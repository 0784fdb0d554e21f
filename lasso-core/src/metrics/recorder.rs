//! What this node has seen of its own calls.
//!
//! Calls are counted by series, one for each (profile, provider, chain, method, region) that
//! occurs, since the start and in windows of 60 s. Windows are aligned to the node's start and do not
//! slide: the one that is told of is the last that is over, so that the nodes' sums are sums over
//! equally long windows. Until the first is over, the one that runs is told of.
//!
//! 1. There are never more than [`Limits::series_max`] series beside the overflow.
//! 2. No call is lost: one that finds no place, or whose series gave way, is in the overflow.
//! 3. Of a series that gives way nobody has heard for [`Limits::idle_after`].
//!
//! A method's name may come from a stranger, so names are bounded, the table is keyed with a seed
//! that strangers do not know, and a flood of new names costs the overflow, not the memory.
//!
//! Successes and errors have distributions of their own: an error that took long says nothing of how fast answers are.
//! A record costs one look-up and two increments of a sketch. It does not know other nodes.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::recorder::{Call, Outcome, Recorder, SeriesKey};
//! use lasso_core::time::Instant;
//!
//! let mut recorder = Recorder::new(7);
//! let key = SeriesKey {
//!     profile: "free",
//!     provider: "alchemy",
//!     chain: "ethereum",
//!     method: "eth_call",
//!     region: "iad",
//! };
//! recorder.record(Instant::ZERO, &key, Call::new(Outcome::Success, Duration::from_millis(80)));
//! let series = recorder.series().next().expect("the one above");
//! assert_eq!((series.key().method, series.since_start().calls), ("eth_call", 1));
//! ```

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::hash::DefaultHasher;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::time::Instant;

/// Length of a window.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Longest name in a key, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was answered.
    Success,
    /// It was not, or with an error.
    Error,
}

/// One call that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// How it ended.
    pub outcome: Outcome,
    /// Times that it went on to another provider.
    pub failovers: u32,
    /// How long it took, whatever its outcome.
    pub latency: Duration,
}

impl Call {
    /// A call without failovers.
    pub const fn new(outcome: Outcome, latency: Duration) -> Self {
        Call {
            outcome,
            failovers: 0,
            latency,
        }
    }
}

/// What a series is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey<'a> {
    /// The profile that the call was routed by.
    pub profile: &'a str,
    /// Who answered, or should have.
    pub provider: &'a str,
    /// The chain that was asked about.
    pub chain: &'a str,
    /// The method that was called.
    pub method: &'a str,
    /// The region that the call was made from.
    pub region: &'a str,
}

impl SeriesKey<'_> {
    fn names(&self) -> [&str; 5] {
        [
            self.profile,
            self.provider,
            self.chain,
            self.method,
            self.region,
        ]
    }
}

/// Bounds of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most series, 1,024 by default. More tell more methods apart; each costs 3 to 15 KiB, and up
    /// to 50 KiB where latencies differ by nine powers of ten, and as much again for its failed calls, if it has any.
    /// Fewer send more calls to the overflow.
    pub series_max: usize,
    /// After how long without a call a series may give way to a new one, 10 min by default. Longer
    /// keeps rare calls apart; shorter frees the places of names that no longer occur sooner.
    pub idle_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            series_max: 1_024,
            idle_after: Duration::from_secs(600),
        }
    }
}

/// What a recorder has done, as numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecorderCounters {
    /// Calls recorded.
    pub recorded: u64,
    /// Of these, calls that found no place for their series and are in the overflow.
    pub overflowed: u64,
    /// Of these, calls with a name of more than [`NAME_BYTES_MAX`] bytes.
    pub oversized: u64,
    /// Series that gave way to a new one; their calls are in the overflow.
    pub retired: u64,
}

/// The calls of one series.
#[derive(Debug, Clone)]
pub struct Series {
    /// The five names one after another.
    names: Box<str>,
    /// Where the first four of them end.
    ends: [u16; 4],
    since_start: Tally,
    /// Number of the window that `current` is of.
    window: u64,
    current: Tally,
    /// The window before that.
    previous: Tally,
    last_call_at: Instant,
}

impl Series {
    fn new(key: &SeriesKey<'_>) -> Self {
        let mut names = String::new();
        let mut ends = [0; 4];
        for (place, name) in key.names().into_iter().enumerate() {
            names.push_str(name);
            if let Some(end) = ends.get_mut(place) {
                *end = names.len() as u16;
            }
        }
        Series {
            names: names.into(),
            ends,
            since_start: Tally::new(),
            window: 0,
            current: Tally::new(),
            previous: Tally::new(),
            last_call_at: Instant::ZERO,
        }
    }

    /// What it is of.
    pub fn key(&self) -> SeriesKey<'_> {
        let end = |place: usize| usize::from(self.ends[place]);
        SeriesKey {
            profile: &self.names[..end(0)],
            provider: &self.names[end(0)..end(1)],
            chain: &self.names[end(1)..end(2)],
            method: &self.names[end(2)..end(3)],
            region: &self.names[end(3)..],
        }
    }

    /// All of its calls.
    pub fn since_start(&self) -> &Tally {
        &self.since_start
    }

    /// Its calls in the last window that is over at `now`; while the first one runs, in that.
    pub fn window(&self, now: Instant) -> &Tally {
        const NONE: &Tally = &Tally::new();
        let told = window_of(now).saturating_sub(1);
        if told == self.window {
            &self.current
        } else if told + 1 == self.window {
            &self.previous
        } else {
            NONE
        }
    }

    fn record(&mut self, now: Instant, call: Call) {
        let window = window_of(now);
        if window > self.window {
            let over = core::mem::take(&mut self.current);
            self.previous = if window == self.window + 1 {
                over
            } else {
                Tally::new()
            };
            self.window = window;
        }
        self.since_start.record(call);
        self.current.record(call);
        self.last_call_at = self.last_call_at.max(now);
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Recorder {
    limits: Limits,
    /// Keeps strangers from choosing names that share a place in the table.
    seed: u64,
    series: Vec<Series>,
    /// Places in `series`. Nothing depends on its order.
    index: HashTable<u32>,
    /// Calls of series without a place.
    overflow: Tally,
    /// No series is idle before this moment, so none need be looked for.
    none_idle_before: Instant,
    counters: RecorderCounters,
}

impl Recorder {
    /// A recorder with the default bounds. The seed changes nothing but the places in a table.
    pub fn new(seed: u64) -> Self {
        Recorder::with_limits(seed, Limits::default())
    }

    /// A recorder with bounds of one's own; fewer than one series counts as one.
    pub fn with_limits(seed: u64, limits: Limits) -> Self {
        Recorder {
            limits,
            seed,
            series: Vec::new(),
            index: HashTable::new(),
            overflow: Tally::new(),
            none_idle_before: Instant::ZERO,
            counters: RecorderCounters::default(),
        }
    }

    /// Counts one call. A `now` before that of an earlier call counts in that one's window.
    pub fn record(&mut self, now: Instant, key: &SeriesKey<'_>, call: Call) {
        self.counters.recorded += 1;
        if let Some(place) = self.place_of(now, key) {
            self.series[place].record(now, call);
        } else {
            self.counters.overflowed += 1;
            self.overflow.record(call);
        }
    }

    /// All series, in no order that means anything, but the same one for the same calls.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.iter()
    }

    /// The calls that no series tells of, since the start.
    pub fn overflow(&self) -> &Tally {
        &self.overflow
    }

    /// What happened so far.
    pub fn counters(&self) -> &RecorderCounters {
        &self.counters
    }

    fn place_of(&mut self, now: Instant, key: &SeriesKey<'_>) -> Option<usize> {
        let hash = hash_of(self.seed, key);
        let series = &self.series;
        let known = self
            .index
            .find(hash, |place| series[*place as usize].key() == *key);
        match known {
            Some(place) => Some(*place as usize),
            None => self.open(now, hash, key),
        }
    }

    /// Makes a series, in the place of an idle one where there is no other.
    #[cold]
    fn open(&mut self, now: Instant, hash: u64, key: &SeriesKey<'_>) -> Option<usize> {
        if key.names().iter().any(|name| name.len() > NAME_BYTES_MAX) {
            self.counters.oversized += 1;
            return None;
        }
        let place = if self.series.len() < self.limits.series_max.max(1) {
            self.series.push(Series::new(key));
            self.series.len() - 1
        } else {
            let place = self.retire(now)?;
            self.series[place] = Series::new(key);
            place
        };
        let (series, seed) = (&self.series, self.seed);
        self.index.insert_unique(hash, place as u32, |place| {
            hash_of(seed, &series[*place as usize].key())
        });
        Some(place)
    }

    /// Takes the calls of the series that was idle longest into the overflow.
    fn retire(&mut self, now: Instant) -> Option<usize> {
        if now < self.none_idle_before {
            return None;
        }
        let oldest = (0..self.series.len()).min_by_key(|place| self.series[*place].last_call_at)?;
        let idle_at = self.series[oldest].last_call_at + self.limits.idle_after;
        if now < idle_at {
            self.none_idle_before = idle_at;
            return None;
        }
        let hash = hash_of(self.seed, &self.series[oldest].key());
        if let Ok(entry) = self
            .index
            .find_entry(hash, |place| *place as usize == oldest)
        {
            entry.remove();
        }
        self.overflow.merge(&self.series[oldest].since_start);
        self.counters.retired += 1;
        Some(oldest)
    }
}

fn window_of(now: Instant) -> u64 {
    now.as_nanos() / WINDOW.as_nanos() as u64
}

fn hash_of(seed: u64, key: &SeriesKey<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: SeriesKey<'static> = SeriesKey {
        profile: "free",
        provider: "alchemy",
        chain: "ethereum",
        method: "eth_call",
        region: "iad",
    };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn ok(millis: u64) -> Call {
        Call::new(Outcome::Success, Duration::from_millis(millis))
    }

    fn only(recorder: &Recorder) -> &Series {
        assert_eq!(recorder.series.len(), 1);
        &recorder.series[0]
    }

    #[test]
    fn the_window_told_of_is_the_last_that_is_over() {
        let mut recorder = Recorder::new(0);
        let told = |recorder: &Recorder, seconds| only(recorder).window(at(seconds)).calls;
        recorder.record(at(3), &KEY, ok(1));
        recorder.record(at(59), &KEY, ok(1));
        assert_eq!(
            told(&recorder, 59),
            2,
            "while the first runs, it is told of"
        );
        assert_eq!(told(&recorder, 60), 2);
        recorder.record(at(60), &KEY, ok(1));
        assert_eq!(told(&recorder, 60), 2, "what runs is not told of");
        assert_eq!(told(&recorder, 119), 2);
        assert_eq!(told(&recorder, 120), 1);
        assert_eq!(told(&recorder, 180), 0, "a window without calls");
        recorder.record(at(500), &KEY, ok(1));
        assert_eq!(told(&recorder, 500), 0);
        assert_eq!(told(&recorder, 540), 1);
        assert_eq!(only(&recorder).since_start().calls, 4);
    }

    #[test]
    fn successes_errors_failovers_and_latencies_are_summed() {
        let mut recorder = Recorder::new(0);
        recorder.record(at(1), &KEY, ok(100));
        let failed = Call {
            outcome: Outcome::Error,
            failovers: 2,
            latency: Duration::from_millis(300),
        };
        recorder.record(at(1), &KEY, failed);
        let tally = only(&recorder).since_start();
        assert_eq!((tally.calls, tally.successes), (2, 1));
        assert_eq!((tally.errors(), tally.failovers), (1, 2));
        assert_eq!(tally.mean_latency_ms().to_bits(), 100f64.to_bits());
        assert_eq!(tally.error_mean_latency_ms().to_bits(), 300f64.to_bits());
        assert_eq!((tally.latency.count(), tally.error_latency.count()), (1, 1));
    }

    #[test]
    fn beyond_the_bound_calls_are_in_the_overflow_until_a_series_is_idle() {
        let limits = Limits {
            series_max: 2,
            ..Limits::default()
        };
        let mut recorder = Recorder::with_limits(0, limits);
        let key = |method| SeriesKey { method, ..KEY };
        recorder.record(at(0), &key("a"), ok(1));
        recorder.record(at(300), &key("b"), ok(1));
        recorder.record(at(400), &key("c"), ok(1));
        assert_eq!(recorder.overflow().calls, 1);
        assert_eq!(recorder.counters().overflowed, 1);
        recorder.record(at(599), &key("c"), ok(1));
        assert_eq!(recorder.overflow().calls, 2);
        recorder.record(at(600), &key("c"), ok(1));
        assert_eq!(recorder.overflow().calls, 3, "what `a` had counted is kept");
        assert_eq!(recorder.counters().retired, 1);
        let mut methods: Vec<_> = recorder
            .series()
            .map(|series| series.key().method)
            .collect();
        methods.sort_unstable();
        assert_eq!(methods, ["b", "c"]);
        recorder.record(at(601), &key("a"), ok(1));
        assert_eq!(recorder.overflow().calls, 4, "`b` is not idle yet");
    }

    #[test]
    fn a_name_beyond_its_bound_is_counted_in_the_overflow() {
        let mut recorder = Recorder::new(0);
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let key = SeriesKey {
            method: &long,
            ..KEY
        };
        recorder.record(at(0), &key, ok(1));
        assert_eq!(recorder.series().count(), 0);
        assert_eq!(recorder.counters().oversized, 1);
        assert_eq!(recorder.overflow().calls, 1);
    }

    #[test]
    fn keys_whose_names_only_join_alike_are_different_series() {
        let mut recorder = Recorder::new(0);
        let key = |provider, chain| SeriesKey {
            provider,
            chain,
            ..KEY
        };
        recorder.record(at(0), &key("ab", "c"), ok(1));
        recorder.record(at(0), &key("a", "bc"), ok(1));
        assert_eq!(recorder.series().count(), 2);
        assert_eq!(recorder.series[1].key(), key("a", "bc"));
    }

    proptest! {
        #[test]
        fn no_call_is_lost_and_the_seed_changes_nothing(
            calls in prop::collection::vec((0..900u64, 0..8usize, any::<bool>()), 0..200),
            seeds in (any::<u64>(), any::<u64>()),
        ) {
            let methods = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let limits = Limits { series_max: 3, idle_after: Duration::from_secs(100) };
            let mut recorders = [seeds.0, seeds.1].map(|seed| Recorder::with_limits(seed, limits.clone()));
            let mut now = 0;
            for (step, method, good) in &calls {
                now += step / 10;
                let outcome = if *good { Outcome::Success } else { Outcome::Error };
                let key = SeriesKey { method: methods[*method], ..KEY };
                for recorder in &mut recorders {
                    recorder.record(at(now), &key, Call::new(outcome, Duration::from_millis(*step)));
                    prop_assert!(recorder.series.len() <= 3);
                    prop_assert_eq!(recorder.index.len(), recorder.series.len());
                }
            }
            for recorder in &recorders {
                let mut whole = recorder.overflow().clone();
                for series in recorder.series() {
                    whole.merge(series.since_start());
                }
                prop_assert_eq!(whole.calls, calls.len() as u64);
                let told = whole.latency.count() + whole.error_latency.count();
                prop_assert_eq!(told, calls.len() as u64);
            }
            let keys = |recorder: &Recorder| recorder.series().map(|s| s.key().method.to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(keys(&recorders[0]), keys(&recorders[1]));
            prop_assert_eq!(recorders[0].overflow(), recorders[1].overflow());
        }
    }
}
