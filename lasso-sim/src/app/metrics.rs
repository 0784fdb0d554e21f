//! Metrics in an application: calls that it records, and pages that read the cluster's answers.
//!
//! Every page here is a leaderboard of one chain.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lasso_core::metrics::aggregate::Figures;
use lasso_core::metrics::queries::{ProviderKey, Ranking};
use lasso_core::metrics::recorder::{Call, Outcome, SeriesKey};
use lasso_core::metrics::store::{self, Entry, Freshness, StoreCounters};
use lasso_core::name::NodeName;
use lasso_core::time::{Instant, earliest};

use super::load::Running;
use super::{Ask, Load, Output, Saw};

/// The profile of all calls.
const PROFILE: &str = "main";
/// The method of all calls.
const METHOD: &str = "eth_call";

/// Calls to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The provider that answered them.
    pub provider: Arc<str>,
    /// Their chain.
    pub chain: Arc<str>,
    /// How long they took: spread evenly from the first to the second, in this order.
    pub latency: (Duration, Duration),
    /// How many of a million failed, spread evenly.
    pub errors_ppm: u32,
    /// The amount and the pace.
    pub load: Load,
}

/// Reads of the cluster's leaderboard of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPage {
    /// The name of the reads in checks.
    pub page: Arc<str>,
    /// The chain.
    pub chain: Arc<str>,
    /// The amount and the pace.
    pub load: Load,
    /// How long each waits for a first answer; `None`: not at all.
    pub wait: Option<Duration>,
}

/// One finished call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    what: Arc<Record>,
    latency: Duration,
    failed: bool,
}

impl Recorded {
    /// Passes it to a recorder, as a call from this region.
    pub fn with<R>(&self, region: &str, record: impl FnOnce(&SeriesKey<'_>, Call) -> R) -> R {
        let key = SeriesKey {
            profile: PROFILE,
            provider: &self.what.provider,
            chain: &self.what.chain,
            method: METHOD,
            region,
        };
        let outcome = if self.failed {
            Outcome::Error
        } else {
            Outcome::Success
        };
        record(&key, Call::new(outcome, self.latency))
    }
}

/// A request of the application to the cluster's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricAsk {
    /// Record a call.
    Record(Recorded),
    /// Read a leaderboard; answered by a [`Sight`].
    Read {
        /// Comes back in the answer.
        tag: u64,
        /// The chain.
        key: ProviderKey,
        /// How long to wait for the first answer.
        wait: Option<Duration>,
    },
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its freshness.
    pub freshness: Freshness,
    /// Its age.
    pub age: Duration,
    /// The number of nodes in it, and the number there should be; `None` while it is loading.
    pub coverage: Option<(usize, usize)>,
    /// The nodes that were asked and did not answer, and why.
    pub failed: Vec<(NodeName, &'static str)>,
    /// Refreshes that have failed since.
    pub failures: u32,
    /// The providers, best first.
    pub rows: Vec<Row>,
    /// Refreshes of the node since its start, of any key.
    pub refreshes: u64,
    /// The most refreshes of one key that were ever under way at the same time.
    pub most_of_a_key: u64,
}

/// One provider of a leaderboard. Times in microseconds, shares in millionths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub provider: String,
    /// Calls.
    pub calls: u64,
    /// Mean latency of successful calls.
    pub mean_us: u64,
    /// Percentiles of successful calls.
    pub percentiles_us: [Option<u64>; 3],
    /// Mean latency of failed calls.
    pub error_mean_us: u64,
    /// 95 of 100 failed calls took no longer.
    pub error_p95_us: Option<u64>,
    /// Share of successes.
    pub success_ppm: u64,
    /// The lowest and the highest share of a region, if they differ much.
    pub spread_ppm: Option<(u64, u64)>,
    /// No node has enough calls.
    pub cold_start: bool,
}

impl Row {
    fn of(provider: &str, figures: &Figures) -> Self {
        let micros = |millis: f64| (millis * 1e3).round() as u64;
        let ppm = |share: f64| (share * 1e6).round() as u64;
        let percentiles = [figures.p50_ms, figures.p95_ms, figures.p99_ms];
        let spread = figures.success_rate_spread.as_ref();
        Row {
            provider: provider.to_owned(),
            calls: figures.calls,
            mean_us: micros(figures.mean_latency_ms),
            percentiles_us: percentiles.map(|percentile| percentile.map(micros)),
            error_mean_us: micros(figures.error_mean_latency_ms),
            error_p95_us: figures.error_p95_ms.map(micros),
            success_ppm: ppm(figures.success_rate),
            spread_ppm: spread.map(|spread| (ppm(spread.min), ppm(spread.max))),
            cold_start: figures.cold_start,
        }
    }
}

impl Sight {
    /// Reads a readout, with the node's refreshes at that time.
    pub fn of<H>(readout: &store::Reading<H>, counters: &StoreCounters) -> Self
    where
        H: Deref<Target = Entry<Ranking>>,
    {
        let rows = readout.value().map_or(&[][..], |board| &board.providers);
        let rows = rows.iter().map(|row| Row::of(&row.provider, &row.figures));
        let coverage = readout.coverage();
        let failed = coverage.map_or(&[][..], |coverage| &coverage.failed);
        let failed = failed.iter().map(|(node, why)| (node.clone(), why.name()));
        Sight {
            freshness: readout.freshness,
            age: readout.age,
            coverage: coverage.map(|coverage| (coverage.responding, coverage.total)),
            failed: failed.collect(),
            failures: readout.failure().map_or(0, |failure| failure.count),
            rows: rows.collect(),
            refreshes: counters.started,
            most_of_a_key: counters.most_of_a_key,
        }
    }
}

/// A reply of the cluster about its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricTold {
    /// The tag of the read.
    pub tag: u64,
    /// The result.
    pub sight: Sight,
}

/// An observation of metrics by an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSaw {
    /// The name of the read.
    pub page: Arc<str>,
    /// Its chain.
    pub chain: Arc<str>,
    /// Its result.
    pub sight: Sight,
}

impl fmt::Display for MetricSaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (page, chain, sight) = (&self.page, &self.chain, &self.sight);
        let providers = sight.rows.len();
        write!(f, "page {page} of {chain}: {sight}, providers {providers}")
    }
}

/// The freshness, in short.
impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:?}", self.freshness).to_lowercase())?;
        if let Some((responding, total)) = self.coverage {
            let age = self.age.as_millis();
            write!(f, ", {responding} of {total} nodes, age {age} ms")?;
        }
        match self.failures {
            0 => Ok(()),
            failures => write!(f, ", failures {failures}"),
        }
    }
}

impl Sight {
    /// Whether a reader sees the same freshness and the same number of providers, whatever the age.
    pub fn is_alike(&self, other: &Sight) -> bool {
        let worth = |sight: &Sight| {
            let rows = sight.rows.len();
            (sight.freshness, sight.coverage, sight.failures, rows)
        };
        worth(self) == worth(other)
    }

    /// All of it, for the digest of a run.
    pub fn details(&self) -> String {
        let mut text = format!("{:?} {:?} {:?}", self.freshness, self.age, self.coverage);
        for row in &self.rows {
            let (calls, mean_us) = (row.calls, row.mean_us);
            text += &format!(", {} {calls} calls {mean_us} us", row.provider);
        }
        for (node, why) in &self.failed {
            text += &format!(", {node} {why}");
        }
        text
    }
}

/// One read, kept for checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLog {
    /// When.
    pub at: Instant,
    /// Its name.
    pub page: Arc<str>,
    /// Its result.
    pub sight: Sight,
}

#[derive(Debug)]
struct Recording {
    what: Arc<Record>,
    load: Running,
    done: u64,
}

impl Recording {
    fn next(&mut self) -> Recorded {
        let done = self.done;
        self.done += 1;
        let steps = self.what.load.count.unwrap_or(CYCLE).max(2) - 1;
        let (first, last) = self.what.latency;
        let place = done % (steps + 1);
        let way = (last - first).as_nanos() * u128::from(place) / u128::from(steps);
        let failures = |calls: u64| calls * u64::from(self.what.errors_ppm) / 1_000_000;
        Recorded {
            what: Arc::clone(&self.what),
            latency: first + Duration::from_nanos(way as u64),
            failed: failures(done + 1) > failures(done),
        }
    }
}

#[derive(Debug)]
struct Reading {
    what: ReadPage,
    load: Running,
}

/// The metrics of one application.
#[derive(Debug, Default)]
pub(super) struct Meters {
    recordings: Vec<Recording>,
    readings: BTreeMap<u32, Reading>,
    /// Reads without an answer, and the loads that they belong to.
    pending: BTreeMap<u64, (u32, Arc<str>, Arc<str>)>,
    last_reading: u32,
    last_tag: u64,
}

impl Meters {
    pub(super) fn record(&mut self, now: Instant, what: Record) {
        self.recordings.push(Recording {
            load: Running::new(now, what.load),
            what: Arc::new(what),
            done: 0,
        });
    }

    pub(super) fn read(&mut self, now: Instant, what: ReadPage) {
        self.last_reading += 1;
        let reading = Reading {
            load: Running::new(now, what.load),
            what,
        };
        self.readings.insert(self.last_reading, reading);
    }

    /// Begins the next load that is due.
    pub(super) fn due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        self.recordings
            .retain(|recording| !recording.load.is_over(now));
        self.readings
            .retain(|_, reading| !reading.load.is_over(now));
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut recordings = self.recordings.iter_mut();
        if let Some(recording) = recordings.find(|recording| is_due(recording.load.due())) {
            recording.load.take(now);
            let ask = MetricAsk::Record(recording.next());
            out.push_back(Output::Ask(Ask::Metrics(ask)));
            return;
        }
        let mut readings = self.readings.iter_mut();
        let due = readings.find(|(_, reading)| is_due(reading.load.due()));
        let Some((number, reading)) = due else {
            return;
        };
        reading.load.begin(now);
        self.last_tag += 1;
        let what = &reading.what;
        let names = (*number, Arc::clone(&what.page), Arc::clone(&what.chain));
        self.pending.insert(self.last_tag, names);
        out.push_back(Output::Ask(Ask::Metrics(MetricAsk::Read {
            tag: self.last_tag,
            key: ProviderKey {
                profile: PROFILE.to_owned(),
                chain: what.chain.to_string(),
            },
            wait: what.wait,
        })));
    }

    pub(super) fn on_told(&mut self, now: Instant, told: MetricTold, out: &mut VecDeque<Output>) {
        let Some((number, page, chain)) = self.pending.remove(&told.tag) else {
            return;
        };
        if let Some(reading) = self.readings.get_mut(&number) {
            reading.load.ended(now);
        }
        let sight = told.sight;
        out.push_back(Output::Saw(Saw::Metrics(MetricSaw { page, chain, sight })));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let recordings = self.recordings.iter().filter_map(|r| r.load.due()).min();
        let readings = self.readings.values();
        let readings = readings.filter_map(|r| r.load.due()).min();
        earliest(recordings, readings)
    }
}

/// The number of calls over which latencies are spread if the load gives no count.
const CYCLE: u64 = 100;
