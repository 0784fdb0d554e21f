//! What viewers are shown of the windows: calls, rates, shares, percentiles.
//!
//! There is a row for the whole, one for each region, one for each provider of a chain, and one for
//! each of those in each region. All numbers are integers, with their units in their names, so that
//! they are the same on every machine.
//!
//! - Success rate: successful calls of all calls. Traffic share: of the calls of the same chain in the
//!   same region (or in the whole); of a region, its part of the whole. Of zero calls both are 0.
//! - Percentiles are those of successful calls, by nearest rank, each sample weighted by the calls that
//!   it stands for. Where series come together in a row, each weighs what it had of successful calls,
//!   however many of them were kept as samples. Percentiles of nothing are absent. Those of failed calls follow the
//!   same rule, and have names of their own.
//! - Calls per second: calls of the complete seconds of the window that were watched, by their number.
//!
//! 1. A row is there exactly while calls of it are in the window; the whole is always there.
//! 2. Viewers are told of a row when it appears, when it is gone, and when it has changed by what
//!    matters since they were last told, so that what they show is never off by more than that.
//!
//! ```
//! use lasso_core::events::Thresholds;
//! use lasso_core::events::figures::{Board, Figures, Row};
//! use lasso_core::events::windows::Windows;
//! use lasso_core::time::Instant;
//!
//! let windows = Windows::new(Instant::ZERO, 1_000, 200);
//! let mut board = Board::new(Thresholds::default());
//! board.update(Instant::ZERO, &windows);
//! assert_eq!(board.since(0).changed, [(Row::default(), Figures::default())]);
//! assert!(board.since(board.version()).is_empty());
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::changes::{Changes, Table};
use super::settings::Thresholds;
use super::windows::{Sample, Series, Totals, WINDOW_SECONDS, Windows};
use crate::name::Label;
use crate::time::Instant;

/// Which calls a row is about. The default is the whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Row {
    /// One provider of one chain, or all.
    pub series: Option<Series>,
    /// One region, or all.
    pub region: Option<Label>,
}

/// The numbers of one row, over the last sixty seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Calls, from weights: what was left out by sampling is in it.
    pub calls: u64,
    /// Failed calls among them.
    pub errors: u64,
    /// Successful calls of all calls, in millionths.
    pub success_ppm: u32,
    /// The row's part of the traffic, in millionths.
    pub share_ppm: u32,
    /// Calls per thousand seconds.
    pub calls_per_1000_s: u64,
    /// Half of the successful calls took no longer, in microseconds.
    pub p50_us: Option<u32>,
    /// 95 of 100 successful calls took no longer, in microseconds.
    pub p95_us: Option<u32>,
    /// Half of the failed calls took no longer, in microseconds.
    #[serde(default)]
    pub error_p50_us: Option<u32>,
    /// 95 of 100 failed calls took no longer, in microseconds.
    #[serde(default)]
    pub error_p95_us: Option<u32>,
}

impl Figures {
    /// Successful calls of all calls, 0 to 1.
    pub fn success_rate(&self) -> f64 {
        f64::from(self.success_ppm) / 1e6
    }

    /// The row's part of the traffic, 0 to 1.
    pub fn share(&self) -> f64 {
        f64::from(self.share_ppm) / 1e6
    }

    /// True when this differs from what was `told` by at least one of the thresholds.
    pub fn matters(&self, told: &Figures, thresholds: &Thresholds) -> bool {
        let micros = |threshold: core::time::Duration| {
            u32::try_from(threshold.as_micros()).unwrap_or(u32::MAX)
        };
        let moved = |a: Option<u32>, b: Option<u32>, threshold| match (a, b) {
            (Some(a), Some(b)) => a.abs_diff(b) >= micros(threshold),
            (a, b) => a != b,
        };
        // Over a whole window, so many calls more or less: it moves by itself while one fills.
        let rate = self.calls_per_1000_s.abs_diff(told.calls_per_1000_s);
        let rate_moved =
            rate.saturating_mul(WINDOW_SECONDS) >= thresholds.calls.saturating_mul(1_000);
        rate_moved
            || self.calls.abs_diff(told.calls) >= thresholds.calls
            || self.success_ppm.abs_diff(told.success_ppm) >= thresholds.success_ppm
            || self.share_ppm.abs_diff(told.share_ppm) >= thresholds.share_ppm
            || moved(self.p50_us, told.p50_us, thresholds.p50)
            || moved(self.p95_us, told.p95_us, thresholds.p95)
            || moved(self.error_p50_us, told.error_p50_us, thresholds.p50)
            || moved(self.error_p95_us, told.error_p95_us, thresholds.p95)
    }
}

/// The rows that viewers were told of.
#[derive(Debug)]
pub struct Board {
    thresholds: Thresholds,
    told: Table<Row, Figures>,
}

impl Board {
    /// Nobody was told anything.
    pub fn new(thresholds: Thresholds) -> Self {
        Board {
            thresholds,
            told: Table::new(GONE_MAX),
        }
    }

    /// Looks at the windows; what matters becomes a change.
    pub fn update(&mut self, now: Instant, windows: &Windows) {
        let rows = rows(now, windows);
        let gone = self.told.keys().filter(|row| !rows.contains_key(*row));
        let gone: Vec<Row> = gone.cloned().collect();
        for row in gone {
            self.told.remove(&row);
        }
        for (row, figures) in rows {
            let told = self.told.get(&row);
            if told.is_none_or(|told| figures.matters(told, &self.thresholds)) {
                self.told.put(row, figures);
            }
        }
    }

    /// What a viewer that knows everything up to the change `seen` does not know.
    pub fn since(&self, seen: u64) -> Changes<Row, Figures> {
        self.told.since(seen)
    }

    /// All rows as they were last told.
    pub fn all(&self) -> Changes<Row, Figures> {
        Changes {
            whole: true,
            ..self.told.since(0)
        }
    }

    /// The number of the last change.
    pub fn version(&self) -> u64 {
        self.told.version()
    }
}

/// What is added up for one row.
#[derive(Default)]
struct Pool {
    totals: Totals,
    /// Of successes and of errors: microseconds, and the calls that they stand for, in 65,536ths.
    samples: [Vec<(u32, u128)>; 2],
}

impl Pool {
    fn add(&mut self, totals: Totals, samples: &[Vec<(u32, u128)>; 2]) {
        let mine = &mut self.totals;
        mine.calls = mine.calls.saturating_add(totals.calls);
        mine.errors = mine.errors.saturating_add(totals.errors);
        mine.complete = mine.complete.saturating_add(totals.complete);
        for (mine, samples) in self.samples.iter_mut().zip(samples) {
            mine.extend_from_slice(samples);
        }
    }

    fn figures(mut self, all: u64, seconds: u64) -> Figures {
        let Totals {
            calls,
            errors,
            complete,
        } = self.totals;
        for samples in &mut self.samples {
            samples.sort_unstable();
        }
        let [good, failed] = &self.samples;
        Figures {
            calls,
            errors,
            success_ppm: share_ppm(calls - errors, calls),
            share_ppm: share_ppm(calls, all),
            calls_per_1000_s: complete
                .saturating_mul(1_000)
                .checked_div(seconds)
                .unwrap_or(0),
            p50_us: percentile(good, 50),
            p95_us: percentile(good, 95),
            error_p50_us: percentile(failed, 50),
            error_p95_us: percentile(failed, 95),
        }
    }
}

/// Every row that there is now.
pub fn rows(now: Instant, windows: &Windows) -> BTreeMap<Row, Figures> {
    let mut pools = BTreeMap::from([(Row::default(), Pool::default())]);
    let mut chains: BTreeMap<(Label, Option<Label>), u64> = BTreeMap::new();
    for (series, region, totals, [good, failed]) in windows.read(now) {
        let samples = [
            scaled(totals.calls - totals.errors, good),
            scaled(totals.errors, failed),
        ];
        for region in [None, Some(region)] {
            let chain = chains.entry((series.chain.clone(), region.cloned()));
            let calls = chain.or_default();
            *calls = calls.saturating_add(totals.calls);
            for series in [None, Some(series)] {
                let row = Row {
                    series: series.cloned(),
                    region: region.cloned(),
                };
                pools.entry(row).or_default().add(totals, &samples);
            }
        }
    }
    let whole = pools[&Row::default()].totals.calls;
    let seconds = windows.complete_seconds(now);
    let finish = |(row, pool): (Row, Pool)| {
        let all = row.series.as_ref().map_or(whole, |series| {
            chains[&(series.chain.clone(), row.region.clone())]
        });
        let figures = pool.figures(all, seconds);
        (row, figures)
    };
    pools.into_iter().map(finish).collect()
}

/// Samples, weighted such that together they stand for so many calls, in 65,536ths.
fn scaled(calls: u64, samples: impl Iterator<Item = Sample>) -> Vec<(u32, u128)> {
    let mut samples: Vec<(u32, u128)> = samples
        .map(|sample| (sample.micros, u128::from(sample.weight)))
        .collect();
    let sum: u128 = samples.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut samples {
        // 20 bits of weight, 64 of calls, 16 of fraction: 100 of 128.
        *weight = ((*weight * u128::from(calls)) << 16) / sum;
    }
    samples
}

/// The least value that so many of a hundred are not above; `None` of nothing.
fn percentile(sorted: &[(u32, u128)], percent: u128) -> Option<u32> {
    let sum = sorted
        .iter()
        .fold(0_u128, |sum, (_, w)| sum.saturating_add(*w));
    let rank = (sum.saturating_mul(percent)).div_ceil(100);
    let mut below = 0_u128;
    let reached = |(_, weight): &&(u32, u128)| {
        below = below.saturating_add(*weight);
        below >= rank
    };
    sorted.iter().find(reached).map(|(micros, _)| *micros)
}

/// A part of a whole in millionths; 0 where the whole is zero.
fn share_ppm(part: u64, whole: u64) -> u32 {
    let ppm = (u128::from(part) * 1_000_000).checked_div(u128::from(whole));
    ppm.map_or(0, |ppm| ppm.min(1_000_000) as u32)
}

/// Rows that are remembered as gone for viewers that have not read yet.
const GONE_MAX: usize = 1_000;

#[cfg(test)]
mod tests;
