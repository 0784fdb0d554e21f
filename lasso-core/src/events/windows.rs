//! The calls of the last sixty seconds, by provider, chain and region.
//!
//! Each series counts its calls second by second, weighted by what each event stands for, and keeps
//! its newest calls for percentiles, successes and errors apart. An event belongs to the second in which it happened: its age by
//! the wall clock, taken off the machine's own time, so that events that were held up on the way
//! do not look like a burst, and a wall clock that jumps moves only the events that are under way.
//!
//! 1. A call counts until the sixtieth second after its own has begun, and not at all when it came
//!    later than that, which is counted.
//! 2. At most `series_max` series have windows and each at most `samples_max` samples of successes and as many of errors;
//!    calls of series beyond are not in the figures, which is counted.
//!
//! What the numbers mean to a viewer is for [`figures`](super::figures).
//!
//! ```
//! use lasso_core::events::Call;
//! use lasso_core::events::figures::{Row, rows};
//! use lasso_core::events::windows::{Series, Windows};
//! use lasso_core::name::Label;
//! use lasso_core::time::Instant;
//!
//! let series = Series { chain: Label::new("chain", "eth")?, provider: Label::new("provider", "alchemy")? };
//! let call = Call { series, success: true, duration: None, weight: 20 };
//! let mut windows = Windows::new(Instant::ZERO, 1_000, 200);
//! windows.record(Instant::ZERO, 0, &Label::new("region", "iad")?, call);
//! assert_eq!(rows(Instant::ZERO, &windows)[&Row::default()].calls, 20);
//! # Ok::<(), lasso_core::name::NameError>(())
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::Call;
use crate::name::Label;
use crate::time::Instant;

/// Seconds that a window holds.
pub const WINDOW_SECONDS: u64 = 60;

/// What calls are counted by, besides the region.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Series {
    /// What the calls had in common when shares were given out, such as a blockchain.
    pub chain: Label,
    /// Who served them.
    pub provider: Label,
}

/// What windows have done; numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowCounters {
    /// Events that were counted.
    pub recorded: u64,
    /// Events that came more than a window after they had happened.
    pub late: u64,
    /// Events of series beyond the bound.
    pub shed: u64,
}

/// One call that percentiles are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// In which second, as [`Clock`] counts them.
    second: u32,
    /// How long it took, in microseconds.
    pub(super) micros: u32,
    /// How many calls it stands for.
    pub(super) weight: u32,
}

/// The calls of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Second {
    calls: u64,
    errors: u64,
}

/// The calls of one series.
#[derive(Debug)]
struct Window {
    /// The newest second that is counted.
    head: u64,
    /// By number modulo sixty.
    seconds: Box<[Second; WINDOW_SECONDS as usize]>,
    /// Successful calls, in the order in which they came.
    samples: VecDeque<Sample>,
    /// Failed calls, in the order in which they came.
    failed: VecDeque<Sample>,
}

/// The calls of one series, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    /// Calls in the window.
    pub(super) calls: u64,
    /// Failed ones among them.
    pub(super) errors: u64,
    /// Calls in the seconds that were watched from their first moment to their last.
    pub(super) complete: u64,
}

/// Numbers of seconds, one window ahead of the machine's time, so that what happened before the
/// machine's start has a number too.
#[derive(Debug, Clone, Copy)]
struct Clock(u64);

impl Clock {
    fn at(now: Instant) -> Self {
        Clock(now.as_nanos().saturating_add(WINDOW_SECONDS * NANOS))
    }

    fn second(self) -> u64 {
        self.0 / NANOS
    }

    /// The second in which something of this age happened; `None` when it is out of the window.
    fn second_before(self, age_ms: u64) -> Option<u64> {
        let second = self.0.checked_sub(age_ms.checked_mul(1_000_000)?)? / NANOS;
        (self.second() - second < WINDOW_SECONDS).then_some(second)
    }
}

impl Window {
    fn new(head: u64) -> Self {
        Window {
            head,
            seconds: Box::new([Second::default(); WINDOW_SECONDS as usize]),
            samples: VecDeque::new(),
            failed: VecDeque::new(),
        }
    }

    fn record(&mut self, second: u64, call: &Call, samples_max: usize) {
        let news = second.saturating_sub(self.head).min(WINDOW_SECONDS);
        for step in 1..=news {
            self.seconds[((self.head + step) % WINDOW_SECONDS) as usize] = Second::default();
        }
        self.head = self.head.max(second);
        let weight = call.weight.max(1);
        let counts = &mut self.seconds[(second % WINDOW_SECONDS) as usize];
        counts.calls = counts.calls.saturating_add(u64::from(weight));
        let samples = if call.success {
            &mut self.samples
        } else {
            counts.errors = counts.errors.saturating_add(u64::from(weight));
            &mut self.failed
        };
        let Some(duration) = call.duration else {
            return;
        };
        if samples.len() >= samples_max {
            samples.pop_front();
        }
        samples.push_back(Sample {
            second: u32::try_from(second).unwrap_or(u32::MAX),
            micros: u32::try_from(duration.as_micros()).unwrap_or(u32::MAX),
            weight,
        });
    }

    /// Calls of the sixty seconds up to `current`. Complete are those after `first`, before `current`.
    fn totals(&self, first: u64, current: u64) -> Totals {
        let mut totals = Totals::default();
        let oldest = (current + 1).saturating_sub(WINDOW_SECONDS);
        let held = (self.head + 1).saturating_sub(WINDOW_SECONDS);
        for second in oldest.max(held)..=self.head.min(current) {
            let counts = self.seconds[(second % WINDOW_SECONDS) as usize];
            totals.calls = totals.calls.saturating_add(counts.calls);
            totals.errors = totals.errors.saturating_add(counts.errors);
            if first < second && second < current {
                totals.complete = totals.complete.saturating_add(counts.calls);
            }
        }
        totals
    }
}

/// The machine. See the module's text.
#[derive(Debug)]
pub struct Windows {
    series_max: usize,
    samples_max: usize,
    /// The second in which watching began.
    first: u64,
    windows: BTreeMap<(Series, Label), Window>,
    counters: WindowCounters,
}

impl Windows {
    /// Nothing has happened yet; watching begins now.
    pub fn new(now: Instant, series_max: usize, samples_max: usize) -> Self {
        Windows {
            series_max,
            samples_max,
            first: Clock::at(now).second(),
            windows: BTreeMap::new(),
            counters: WindowCounters::default(),
        }
    }

    /// A call in this region, that happened `age_ms` ago by the wall clock.
    pub fn record(&mut self, now: Instant, age_ms: u64, region: &Label, call: Call) {
        let Some(second) = Clock::at(now).second_before(age_ms) else {
            self.counters.late += 1;
            return;
        };
        let full = self.windows.len() >= self.series_max;
        let key = (call.series.clone(), region.clone());
        let window = match self.windows.get_mut(&key) {
            Some(window) => window,
            None if full => {
                self.counters.shed += 1;
                return;
            }
            None => self.windows.entry(key).or_insert(Window::new(second)),
        };
        window.record(second, &call, self.samples_max);
        self.counters.recorded += 1;
    }

    /// Throws away what is out of every window.
    pub fn clean(&mut self, now: Instant) {
        let current = Clock::at(now).second();
        self.windows.retain(|_, window| {
            for samples in [&mut window.samples, &mut window.failed] {
                while let Some(sample) = samples.front() {
                    if current.saturating_sub(u64::from(sample.second)) < WINDOW_SECONDS {
                        break;
                    }
                    samples.pop_front();
                }
            }
            current.saturating_sub(window.head) < WINDOW_SECONDS
        });
    }

    /// Series with a window.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// True when no series has a window.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// What was done so far.
    pub fn counters(&self) -> WindowCounters {
        self.counters
    }

    /// Seconds of the window that were watched from their first moment to their last.
    pub(super) fn complete_seconds(&self, now: Instant) -> u64 {
        let whole = Clock::at(now).second().saturating_sub(self.first + 1);
        whole.min(WINDOW_SECONDS - 1)
    }

    /// Every series with calls in its window: their sums, and the samples of successes and of errors that are young
    /// enough.
    pub(super) fn read(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (&Series, &Label, Totals, [impl Iterator<Item = Sample>; 2])> {
        let current = Clock::at(now).second();
        self.windows
            .iter()
            .filter_map(move |((series, region), window)| {
                let totals = window.totals(self.first, current);
                let young = move |sample: &Sample| {
                    current.saturating_sub(u64::from(sample.second)) < WINDOW_SECONDS
                };
                let samples = [&window.samples, &window.failed]
                    .map(|samples| samples.iter().copied().filter(young));
                (totals.calls > 0).then_some((series, region, totals, samples))
            })
    }
}

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn label(text: &str) -> Label {
        Label::new("label", text).unwrap()
    }

    fn call(provider: &str, success: bool, weight: u32) -> Call {
        Call {
            series: Series {
                provider: label(provider),
                chain: label("eth"),
            },
            success,
            duration: Some(Duration::from_millis(10)),
            weight,
        }
    }

    fn totals(windows: &Windows, now: Instant) -> Totals {
        let mut sums = windows.read(now).map(|(_, _, totals, _)| totals);
        let sum = sums.next().unwrap_or_default();
        assert!(sums.next().is_none(), "one series");
        sum
    }

    #[test]
    fn a_call_counts_in_the_second_in_which_it_happened_and_for_sixty_of_them() {
        let mut windows = Windows::new(ms(0), 10, 200);
        windows.record(ms(10_500), 5_000, &label("iad"), call("a", true, 20));
        let expected = |complete| Totals {
            calls: 20,
            errors: 0,
            complete,
        };
        assert_eq!(
            totals(&windows, ms(10_999)),
            expected(20),
            "the sixth second is over"
        );
        assert_eq!(totals(&windows, ms(64_999)), expected(20));
        assert_eq!(totals(&windows, ms(65_000)).calls, 0);
        assert_eq!(windows.counters().recorded, 1);
    }

    #[test]
    fn what_comes_a_window_too_late_is_counted_and_left_out() {
        let mut windows = Windows::new(ms(0), 10, 200);
        for age_ms in [60_001, 120_000, u64::MAX] {
            windows.record(ms(10_000), age_ms, &label("iad"), call("a", true, 1));
        }
        assert_eq!((windows.counters().late, windows.len()), (3, 0));
        windows.record(ms(10_000), 59_000, &label("iad"), call("a", true, 1));
        assert_eq!(
            totals(&windows, ms(10_000)).calls,
            1,
            "from before the machine's start"
        );
        assert_eq!(
            totals(&windows, ms(10_000)).complete,
            0,
            "when nobody watched"
        );
    }

    #[test]
    fn series_beyond_the_bound_are_left_out_until_cleaning_makes_room() {
        let mut windows = Windows::new(ms(0), 2, 200);
        for provider in ["a", "b", "c", "c"] {
            windows.record(ms(1_000), 0, &label("iad"), call(provider, true, 1));
        }
        assert_eq!((windows.len(), windows.counters().shed), (2, 2));
        windows.clean(ms(60_999));
        assert_eq!(windows.len(), 2);
        windows.clean(ms(61_000));
        windows.record(ms(61_000), 0, &label("iad"), call("c", true, 1));
        assert_eq!(windows.len(), 1);
    }

    #[test]
    fn the_newest_two_hundred_samples_are_kept() {
        let mut windows = Windows::new(ms(0), 10, 200);
        for micros in 0..250 {
            let mut call = call("a", true, 1);
            call.duration = Some(Duration::from_micros(micros));
            windows.record(ms(1_000), 0, &label("iad"), call);
        }
        let (.., [samples, _]) = windows.read(ms(1_000)).next().unwrap();
        let micros: Vec<u32> = samples.map(|sample| sample.micros).collect();
        assert_eq!(micros, (50..250).collect::<Vec<_>>());
    }

    #[test]
    fn only_complete_seconds_make_a_rate() {
        let mut windows = Windows::new(ms(500), 10, 200);
        assert_eq!(windows.complete_seconds(ms(1_999)), 0);
        assert_eq!(windows.complete_seconds(ms(2_000)), 1);
        assert_eq!(windows.complete_seconds(ms(1_000_000)), 59);
        for at in [600, 1_000, 1_999, 2_000] {
            windows.record(ms(at), 0, &label("iad"), call("a", false, 1));
        }
        let expected = Totals {
            calls: 4,
            errors: 4,
            complete: 2,
        };
        assert_eq!(totals(&windows, ms(2_100)), expected);
    }

    proptest! {
        #[test]
        fn sums_are_those_of_a_list_of_all_calls(
            script in proptest::collection::vec((0_u64..4_000, 0_u64..70_000, 1_u32..50, any::<bool>()), 0..300),
        ) {
            let mut windows = Windows::new(Instant::ZERO, 10, 200);
            let (mut now, mut all) = (0, Vec::new());
            for (wait, age, weight, success) in script {
                now += wait;
                windows.record(ms(now), age, &label("iad"), call("a", success, weight));
                // One minute ahead, so that nothing is below zero.
                all.push((now, (now + 60_000).saturating_sub(age) / 1_000, weight, success));
                let current = (now + 60_000) / 1_000;
                let counts = |(came, second, ..): &&(u64, u64, u32, bool)| {
                    let came = (came + 60_000) / 1_000;
                    came - second < 60 && current - second < 60
                };
                let calls: u64 = all.iter().filter(counts).map(|call| u64::from(call.2)).sum();
                let bad = all.iter().filter(counts).filter(|call| !call.3);
                let errors: u64 = bad.map(|call| u64::from(call.2)).sum();
                let sum = totals(&windows, ms(now));
                prop_assert_eq!((sum.calls, sum.errors), (calls, errors));
                if now % 7 == 0 {
                    windows.clean(ms(now));
                }
            }
        }
    }
}
