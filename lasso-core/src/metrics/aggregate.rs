//! How the nodes' parts of one row become the cluster's figures.
//!
//! | figure | rule |
//! | --- | --- |
//! | calls, successes, failovers, errors | sum |
//! | success rate | weighted by calls; 0.0 without calls |
//! | mean latency | of successful calls, weighted by them; 0.0 without one |
//! | percentiles | of successful calls, of the merged sketches, never averaged; absent without one |
//! | latency of errors | the same rules for failed calls, under names of its own (`error_…`) |
//! | requests per second | sum of the calls in one window over the window |
//! | a node with fewer than [`CALLS_MIN`] calls | counts in sums and percentiles, not in weighted figures |
//! | no node has [`CALLS_MIN`] calls | `cold_start`: weighted figures are of all calls, the score is 0.0 |
//! | success rates of two regions that differ by more than 10 points | both ends are told |
//!
//! 1. The order of the parts changes no bit: all that is added is integers, and each figure is made
//!    from the sums at the end.
//! 2. Figures are the same on every platform: IEEE divisions and products, and libm's logarithm.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::Tally;
//! use lasso_core::metrics::aggregate::{Figures, Part};
//!
//! let part = |node: &str, calls, millis| Part {
//!     node: node.parse().expect("a name"),
//!     region: "iad".into(),
//!     tally: Tally {
//!         calls,
//!         successes: calls,
//!         latency_ns: calls * millis * 1_000_000, // of the successes
//!         ..Tally::default()
//!     },
//!     window_calls: calls,
//! };
//! let figures = Figures::of([&part("a@10.0.0.1", 1_000, 100), &part("a@10.0.0.2", 100, 200)]);
//! assert_eq!(figures.calls, 1_100);
//! assert_eq!((figures.mean_latency_ms * 100.0).floor(), 10_909.0);
//! ```

use core::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::recorder::WINDOW;
use super::tally::Tally;
use crate::name::NodeName;

/// Fewest calls with which a node counts in weighted figures: with fewer, one unlucky call would
/// decide them.
pub const CALLS_MIN: u64 = 10;
/// Difference of two regions' success rates from which on both are told, in points.
const SPREAD_POINTS: f64 = 10.0;
/// What rounding may add to a difference that is exactly [`SPREAD_POINTS`].
const ROUNDING: f64 = 1e-9;

/// What one node has counted for a row in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which node.
    pub node: NodeName,
    /// The region that the calls were made from.
    pub region: String,
    /// The calls.
    pub tally: Tally,
    /// Calls in the last window that is over, for the rate.
    pub window_calls: u64,
}

/// The figures of one node or of one region, beside the cluster's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Calls.
    pub calls: u64,
    /// Share of the calls that succeeded, 0..1; 0.0 without calls.
    pub success_rate: f64,
    /// Mean time of a successful call; 0.0 without one.
    pub mean_latency_ms: f64,
    /// Half of the successful calls took at most this, within 1 %; absent without one.
    pub p50_ms: Option<f64>,
    /// 95 of 100 successful calls took at most this, within 1 %.
    pub p95_ms: Option<f64>,
    /// 99 of 100 successful calls took at most this, within 1 %.
    pub p99_ms: Option<f64>,
    /// Mean time of a failed call; 0.0 without one.
    #[serde(default)]
    pub error_mean_latency_ms: f64,
    /// Half of the failed calls took at most this, within 1 %; absent without one.
    #[serde(default)]
    pub error_p50_ms: Option<f64>,
    /// 95 of 100 failed calls took at most this, within 1 %.
    #[serde(default)]
    pub error_p95_ms: Option<f64>,
    /// 99 of 100 failed calls took at most this, within 1 %.
    #[serde(default)]
    pub error_p99_ms: Option<f64>,
}

impl Slice {
    fn of(tally: &Tally) -> Self {
        Slice {
            calls: tally.calls,
            success_rate: tally.success_rate(),
            mean_latency_ms: tally.mean_latency_ms(),
            p50_ms: tally.percentile_ms(50),
            p95_ms: tally.percentile_ms(95),
            p99_ms: tally.percentile_ms(99),
            error_mean_latency_ms: tally.error_mean_latency_ms(),
            error_p50_ms: tally.error_percentile_ms(50),
            error_p95_ms: tally.error_percentile_ms(95),
            error_p99_ms: tally.error_percentile_ms(99),
        }
    }
}

/// The lowest and the highest success rate of a region, where they differ much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The lowest, 0..1.
    pub min: f64,
    /// Where that is; the first by name of several.
    pub min_region: String,
    /// The highest, 0..1.
    pub max: f64,
    /// Where that is; the first by name of several.
    pub max_region: String,
}

/// The cluster's figures for one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls of all nodes.
    pub calls: u64,
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Times that a call went on to another provider.
    pub failovers: u64,
    /// Share of the calls that succeeded, 0..1, over the nodes with enough calls; on a cold start over all.
    pub success_rate: f64,
    /// The success rate's ends, where regions differ by more than 10 points.
    pub success_rate_spread: Option<Spread>,
    /// Mean time of a successful call, over the nodes with enough calls; on a cold start over all.
    pub mean_latency_ms: f64,
    /// Half of all successful calls took at most this, within 1 %; absent without one.
    pub p50_ms: Option<f64>,
    /// 95 of 100 successful calls took at most this, within 1 %.
    pub p95_ms: Option<f64>,
    /// 99 of 100 successful calls took at most this, within 1 %.
    pub p99_ms: Option<f64>,
    /// Mean time of a failed call, over the nodes with enough calls; on a cold start over all.
    #[serde(default)]
    pub error_mean_latency_ms: f64,
    /// Half of all failed calls took at most this, within 1 %; absent without one.
    #[serde(default)]
    pub error_p50_ms: Option<f64>,
    /// 95 of 100 failed calls took at most this, within 1 %.
    #[serde(default)]
    pub error_p95_ms: Option<f64>,
    /// 99 of 100 failed calls took at most this, within 1 %.
    #[serde(default)]
    pub error_p99_ms: Option<f64>,
    /// Calls in the last window that is over, per second.
    pub requests_per_second: f64,
    /// See [`score`].
    pub score: f64,
    /// No node has enough calls to be ranked: what is shown is of few calls, and the score is 0.0.
    pub cold_start: bool,
    /// The same by node, those with few calls included.
    pub nodes: BTreeMap<NodeName, Slice>,
    /// The same by region, nodes with few calls included.
    pub regions: BTreeMap<String, Slice>,
}

impl Figures {
    /// Puts the parts of one row together.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Figures {
        let parts: Vec<_> = parts.into_iter().collect();
        let (mut whole, mut window_calls) = (Tally::new(), 0u64);
        let mut nodes: BTreeMap<_, Tally> = BTreeMap::new();
        let mut regions: BTreeMap<_, Tally> = BTreeMap::new();
        for part in &parts {
            whole.merge(&part.tally);
            window_calls = window_calls.saturating_add(part.window_calls);
            nodes.entry(&part.node).or_default().merge(&part.tally);
            regions.entry(&part.region).or_default().merge(&part.tally);
        }
        let weighty = |part: &&&Part| nodes[&part.node].calls >= CALLS_MIN;
        let (weighted, spread) = weigh(parts.iter().filter(weighty).copied());
        let cold_start = weighted.calls == 0;
        let weighted = if cold_start { whole.sums() } else { weighted };
        let (success_rate, mean_latency_ms) = (weighted.success_rate(), weighted.mean_latency_ms());
        let all = Slice::of(&whole);
        Figures {
            calls: whole.calls,
            successes: whole.successes,
            errors: whole.errors(),
            failovers: whole.failovers,
            success_rate,
            success_rate_spread: spread,
            mean_latency_ms,
            p50_ms: all.p50_ms,
            p95_ms: all.p95_ms,
            p99_ms: all.p99_ms,
            error_mean_latency_ms: weighted.error_mean_latency_ms(),
            error_p50_ms: all.error_p50_ms,
            error_p95_ms: all.error_p95_ms,
            error_p99_ms: all.error_p99_ms,
            requests_per_second: window_calls as f64 / WINDOW.as_secs() as f64,
            score: if cold_start {
                0.0
            } else {
                score(success_rate, mean_latency_ms, whole.calls)
            },
            cold_start,
            nodes: slices(nodes, NodeName::clone),
            regions: slices(regions, String::clone),
        }
    }

    /// Best score first.
    pub fn by_score(&self, other: &Figures) -> Ordering {
        other.score.total_cmp(&self.score)
    }
}

/// How good a provider is: success_rate² × 1000 / (1000 + mean latency in ms) × log10(calls), where
/// fewer than one call counts as one.
pub fn score(success_rate: f64, mean_latency_ms: f64, calls: u64) -> f64 {
    let speed = 1000.0 / (1000.0 + mean_latency_ms);
    success_rate * success_rate * speed * libm::log10(calls.max(1) as f64)
}

fn slices<K, N: Ord>(tallies: BTreeMap<&K, Tally>, name: impl Fn(&K) -> N) -> BTreeMap<N, Slice> {
    let named = tallies
        .iter()
        .map(|(key, tally)| (name(key), Slice::of(tally)));
    named.collect()
}

/// The sums of those that count in weighted figures, and how far their regions are apart.
fn weigh<'a>(parts: impl Iterator<Item = &'a Part>) -> (Tally, Option<Spread>) {
    let mut whole = Tally::new();
    let mut regions: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for part in parts {
        // Only what weighted figures are made of: the sketches were merged already.
        let tally = part.tally.sums();
        whole.merge(&tally);
        let region = regions.entry(&part.region).or_default();
        region.0 = region.0.saturating_add(tally.successes.min(tally.calls));
        region.1 = region.1.saturating_add(tally.calls);
    }
    let called = regions.iter().filter(|(_, (_, calls))| *calls > 0);
    let rates: Vec<_> = called
        .map(|(region, (good, calls))| (*good as f64 / *calls as f64, *region))
        .collect();
    (whole, spread_of(&rates))
}

fn spread_of(rates: &[(f64, &str)]) -> Option<Spread> {
    let min = rates.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let max = rates.iter().rev().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let apart = (max.0 - min.0) * 100.0 > SPREAD_POINTS + ROUNDING;
    apart.then(|| Spread {
        min: min.0,
        min_region: min.1.to_owned(),
        max: max.0,
        max_region: max.1.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::metrics::recorder::{Call, Outcome};

    fn node(number: u8) -> NodeName {
        format!("app@10.0.0.{number}").parse().unwrap()
    }

    /// `calls` calls of `millis` each, of which the first `failed` failed.
    fn part(number: u8, region: &str, calls: u64, failed: u64, millis: u64) -> Part {
        let mut tally = Tally::new();
        for call in 0..calls {
            let outcome = if call < failed {
                Outcome::Error
            } else {
                Outcome::Success
            };
            tally.record(Call::new(outcome, Duration::from_millis(millis)));
        }
        Part {
            node: node(number),
            region: region.to_owned(),
            tally,
            window_calls: calls,
        }
    }

    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits()
    }

    #[test]
    fn means_are_weighted_by_calls() {
        let figures = Figures::of(&[part(1, "iad", 1_000, 0, 100), part(2, "sjc", 100, 0, 200)]);
        assert_eq!(figures.calls, 1_100);
        assert_eq!(format!("{:.2}", figures.mean_latency_ms), "109.09");
        assert!(same(figures.mean_latency_ms, 120_000.0 / 1_100.0));
        assert!(same(figures.success_rate, 1.0));
        assert!(same(figures.requests_per_second, 1_100.0 / 60.0));
        let expected = 1000.0 / (1000.0 + 120_000.0 / 1_100.0) * libm::log10(1_100.0);
        assert!(same(figures.score, expected));
    }

    #[test]
    fn no_calls_at_all_give_zeros_and_absent_percentiles() {
        for parts in [vec![], vec![part(1, "iad", 0, 0, 0)]] {
            let figures = Figures::of(&parts);
            assert!(same(figures.success_rate, 0.0) && same(figures.mean_latency_ms, 0.0));
            assert!(same(figures.score, 0.0) && same(figures.requests_per_second, 0.0));
            assert_eq!((figures.p50_ms, figures.p99_ms), (None, None));
            assert!(figures.cold_start);
        }
    }

    #[test]
    fn a_node_with_few_calls_counts_in_sums_but_not_in_weighted_figures() {
        let figures = Figures::of(&[part(1, "iad", 10, 0, 100), part(2, "sjc", 9, 9, 5_000)]);
        assert_eq!((figures.calls, figures.errors), (19, 9));
        assert!(same(figures.success_rate, 1.0) && same(figures.mean_latency_ms, 100.0));
        assert!(!figures.cold_start);
        assert_eq!(figures.success_rate_spread, None);
        assert!(same(figures.nodes[&node(2)].success_rate, 0.0));
        assert_eq!(figures.regions["sjc"].calls, 9);
        assert!(
            figures.error_p99_ms.unwrap() > 4_900.0,
            "percentiles are of all"
        );
        assert!(same(figures.score, score(1.0, 100.0, 19)));
    }

    #[test]
    fn a_node_s_calls_are_counted_over_its_regions() {
        let figures = Figures::of(&[part(1, "iad", 6, 0, 100), part(1, "sjc", 6, 6, 100)]);
        assert!(!figures.cold_start);
        assert!(same(figures.success_rate, 0.5));
    }

    #[test]
    fn without_a_node_that_has_ten_calls_it_is_a_cold_start() {
        let figures = Figures::of(&[part(1, "iad", 9, 0, 100), part(2, "sjc", 9, 0, 100)]);
        assert!(figures.cold_start);
        assert!(same(figures.score, 0.0));
        assert_eq!((figures.calls, figures.successes), (18, 18));
    }

    #[test]
    fn a_cold_start_shows_rate_and_mean_of_its_few_calls_and_no_score() {
        let figures = Figures::of(&[part(1, "iad", 5, 0, 50)]);
        assert!(figures.cold_start && same(figures.score, 0.0));
        assert!(same(figures.success_rate, 1.0) && same(figures.mean_latency_ms, 50.0));
        let figures = Figures::of(&[part(1, "iad", 5, 0, 50), part(2, "sjc", 3, 3, 900)]);
        assert!(figures.cold_start && same(figures.success_rate, 0.625));
        assert!(same(figures.mean_latency_ms, 50.0) && same(figures.error_mean_latency_ms, 900.0));
    }

    #[test]
    fn latency_is_that_of_successes_and_errors_have_their_own() {
        let slow_errors = [part(1, "iad", 10, 0, 100), part(1, "iad", 10, 10, 5_000)];
        let figures = Figures::of(&slow_errors);
        let near = |seen: Option<f64>, millis: f64| (seen.unwrap() / millis - 1.0).abs() < 0.01;
        assert_eq!((figures.calls, figures.errors), (20, 10));
        assert!(same(figures.mean_latency_ms, 100.0));
        assert!(near(figures.p50_ms, 100.0) && near(figures.p99_ms, 100.0));
        assert!(same(figures.error_mean_latency_ms, 5_000.0));
        assert!(near(figures.error_p50_ms, 5_000.0) && near(figures.error_p99_ms, 5_000.0));
        assert!(same(figures.score, score(0.5, 100.0, 20)));
        for slice in [&figures.nodes[&node(1)], &figures.regions["iad"]] {
            assert!(same(slice.mean_latency_ms, 100.0) && near(slice.p95_ms, 100.0));
            assert!(same(slice.error_mean_latency_ms, 5_000.0));
            assert!(near(slice.error_p95_ms, 5_000.0));
        }
        let failed = Figures::of(&slow_errors[1..]);
        assert!(same(failed.mean_latency_ms, 0.0) && failed.p50_ms.is_none());
        assert!(same(failed.score, 0.0) && !failed.cold_start);
    }

    #[test]
    fn regions_that_differ_by_more_than_ten_points_are_told() {
        // 30 and 40 of 100: a difference that rounding makes larger than 0.1.
        let of = |a, b| Figures::of(&[part(1, "iad", 100, a, 10), part(2, "sjc", 100, b, 10)]);
        assert_eq!(of(70, 60).success_rate_spread, None);
        let spread = of(2, 13).success_rate_spread.unwrap();
        assert!(same(spread.min, 0.87) && same(spread.max, 0.98));
        assert_eq!((&*spread.min_region, &*spread.max_region), ("sjc", "iad"));
    }

    #[test]
    fn the_score_follows_its_formula() {
        assert!(same(score(1.0, 0.0, 0), 0.0));
        assert!(same(score(1.0, 0.0, 1), 0.0));
        assert!((score(0.9, 250.0, 1_000) - 0.81 * 0.8 * 3.0).abs() < 1e-12);
    }

    fn parts() -> impl Strategy<Value = Vec<Part>> {
        let one = (1..6u8, 0..3usize, 0..40u64, 0..40u64, 1..5_000u64);
        let one = one.prop_map(|(number, region, calls, failed, millis)| {
            part(number, ["iad", "sjc", "ams"][region], calls, failed, millis)
        });
        prop::collection::vec(one, 0..8)
    }

    proptest! {
        #[test]
        fn the_order_of_the_parts_changes_no_bit((parts, mixed) in parts().prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle()))) {
            let (one, other) = (Figures::of(&parts), Figures::of(&mixed));
            // Floats print so that they read back as the same bits.
            prop_assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
            prop_assert!(same(one.score, other.score));
            prop_assert!(one.score.is_finite() && one.score >= 0.0);
            prop_assert!((0.0..=1.0).contains(&one.success_rate));
        }
    }
}
