//! What a number of calls add up to.
//!
//! All of it are sums of integers, so that tallies can be added in any order, and every mean is one
//! division at the end.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::recorder::{Call, Outcome};
use super::sketch::Sketch;

/// Sums over calls. They stop at the largest number instead of wrapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Calls, successful or not.
    pub calls: u64,
    /// Calls that succeeded; never more than `calls`.
    pub successes: u64,
    /// Times that a call went on to another provider.
    pub failovers: u64,
    /// Sum of the time that successful calls took, in nanoseconds.
    pub latency_ns: u64,
    /// Distribution of the time that successful calls took.
    pub latency: Sketch,
    /// Sum of the time that failed calls took, in nanoseconds.
    pub error_latency_ns: u64,
    /// Distribution of the time that failed calls took.
    pub error_latency: Sketch,
}

impl Tally {
    /// A tally of no calls.
    pub const fn new() -> Self {
        Tally {
            calls: 0,
            successes: 0,
            failovers: 0,
            latency_ns: 0,
            latency: Sketch::new(),
            error_latency_ns: 0,
            error_latency: Sketch::new(),
        }
    }

    /// Counts one call.
    pub(super) fn record(&mut self, call: Call) {
        let nanos = u64::try_from(call.latency.as_nanos()).unwrap_or(u64::MAX);
        self.calls = self.calls.saturating_add(1);
        self.failovers = self.failovers.saturating_add(u64::from(call.failovers));
        let (sum, distribution) = match call.outcome {
            Outcome::Success => {
                self.successes = self.successes.saturating_add(1);
                (&mut self.latency_ns, &mut self.latency)
            }
            Outcome::Error => (&mut self.error_latency_ns, &mut self.error_latency),
        };
        *sum = sum.saturating_add(nanos);
        distribution.record(call.latency);
    }

    /// Adds another tally. A peer's claim of more successes than calls is cut down to its calls.
    pub fn merge(&mut self, other: &Tally) {
        let successes = other.successes.min(other.calls);
        self.calls = self.calls.saturating_add(other.calls);
        self.successes = self.successes.saturating_add(successes);
        self.failovers = self.failovers.saturating_add(other.failovers);
        self.latency_ns = self.latency_ns.saturating_add(other.latency_ns);
        self.latency.merge(&other.latency);
        self.error_latency_ns = self.error_latency_ns.saturating_add(other.error_latency_ns);
        self.error_latency.merge(&other.error_latency);
    }

    /// The sums alone, without the distributions.
    pub(super) fn sums(&self) -> Tally {
        Tally {
            latency: Sketch::new(),
            error_latency: Sketch::new(),
            ..*self
        }
    }

    /// Calls that failed.
    pub fn errors(&self) -> u64 {
        self.calls.saturating_sub(self.successes)
    }

    /// Share of the calls that succeeded, 0..1; 0.0 without calls.
    pub fn success_rate(&self) -> f64 {
        ratio(self.successes.min(self.calls), self.calls)
    }

    /// Mean time of a successful call in milliseconds; 0.0 without one.
    pub fn mean_latency_ms(&self) -> f64 {
        ratio(self.latency_ns, self.successes.min(self.calls)) / 1e6
    }

    /// Mean time of a failed call in milliseconds; 0.0 without one.
    pub fn error_mean_latency_ms(&self) -> f64 {
        ratio(self.error_latency_ns, self.errors()) / 1e6
    }

    /// [`Sketch::percentile`] of successful calls, in milliseconds.
    pub fn percentile_ms(&self, percent: u32) -> Option<f64> {
        self.latency.percentile(percent).map(millis)
    }

    /// [`Sketch::percentile`] of failed calls, in milliseconds.
    pub fn error_percentile_ms(&self, percent: u32) -> Option<f64> {
        self.error_latency.percentile(percent).map(millis)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}
