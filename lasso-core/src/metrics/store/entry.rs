//! What is kept of an answer, and how old it may become.
//!
//! An [`Entry`] never changes: whoever holds one can tell by itself, from the time and the present
//! generation, what it is worth. So readers need nothing of the store but the entries that it hands
//! out.

use core::ops::Deref;
use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::NodeName;
use crate::plane::CallError;
use crate::time::Instant;

/// Until when an answer is good for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Up to this age an answer is fresh, 15 s by default. Longer asks the cluster less often;
    /// shorter shows changes sooner.
    pub fresh: Duration,
    /// Older than this an answer is expired, 60 s by default: it is still given, but says so.
    pub expired: Duration,
    /// At this age an answer is forgotten, 300 s by default. Longer has something to show after a
    /// longer outage; shorter shows less of what no longer holds.
    pub dropped: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Ages {
            fresh: Duration::from_secs(15),
            expired: Duration::from_secs(60),
            dropped: Duration::from_secs(300),
        }
    }
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Young, and from the cluster as it is now.
    Fresh,
    /// Older, or from before the last change of membership; a refresh is under way.
    Stale,
    /// Much older; a refresh is under way or has failed.
    Expired,
    /// There is none yet; a refresh is under way.
    Loading,
}

/// How much of the cluster an answer speaks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AnswerCoverage {
    /// Nodes whose parts are in the value, this one included.
    pub responding: usize,
    /// Nodes that there should be: the topology's `expected`.
    pub total: usize,
    /// The nodes that were asked and did not answer, and why.
    pub failed: Vec<(NodeName, CallError)>,
    /// How long gathering took.
    pub took: Duration,
}

/// Refreshes that have failed since a value was gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How many in a row.
    pub count: u32,
    /// When the last of them ended.
    pub at: Instant,
    /// Whom the last of them reached. It speaks of no value.
    pub coverage: AnswerCoverage,
}

/// A value, and what is to be known about it. It never changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<V> {
    /// The value.
    pub value: Arc<V>,
    /// When gathering it began: none of its parts is older.
    pub gathered_at: Instant,
    /// The membership that it is of.
    pub generation: u64,
    /// This node alone answered though others were asked, and there was nothing better to show. Such
    /// a value is never fresh.
    pub alone: bool,
    /// Whom it speaks for.
    pub coverage: AnswerCoverage,
    /// What went wrong since.
    pub failure: Option<Failure>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        self.with_value(Arc::clone(&self.value))
    }
}

impl<V> Entry<V> {
    /// The same about another value.
    pub fn with_value<W>(&self, value: Arc<W>) -> Entry<W> {
        Entry {
            value,
            gathered_at: self.gathered_at,
            generation: self.generation,
            alone: self.alone,
            coverage: self.coverage.clone(),
            failure: self.failure.clone(),
        }
    }

    /// The age at `now`, no less than that of any of its parts: it counts from the start of the refresh.
    #[inline]
    pub fn age(&self, now: Instant) -> Duration {
        now - self.gathered_at
    }

    /// What it is worth at `now`, where `generation` is the present one. [`Freshness::Loading`] says
    /// that it is too old to be shown at all.
    #[inline]
    pub fn freshness(&self, now: Instant, generation: u64, ages: &Ages) -> Freshness {
        let age = self.age(now);
        if age >= ages.dropped {
            Freshness::Loading
        } else if age > ages.expired {
            Freshness::Expired
        } else if age > ages.fresh || self.generation != generation || self.alone {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }
}

impl<V> Entry<V> {
    /// When it is worth less than at `now`, if nothing else happens; nothing once it is too old to be shown.
    fn falls_at(&self, now: Instant, ages: &Ages) -> Option<Instant> {
        let moment = Duration::from_nanos(1);
        let after = |age: Duration| age.saturating_add(moment);
        let ends = [after(ages.fresh), after(ages.expired), ages.dropped];
        let ends = ends.map(|age| self.gathered_at + age);
        ends.into_iter().find(|end| *end > now)
    }
}

/// What a reader gets: an answer as it is now, and what it is worth. It does not change any more, and
/// may be kept.
///
/// `H` is how it holds the entry, anything that leads to an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<H> {
    /// The value with its coverage; nothing while it is loading.
    pub entry: Option<H>,
    /// The age by the clock of whoever reads, from the start of the gathering; zero while it is loading.
    pub age: Duration,
    /// What it is worth.
    pub freshness: Freshness,
}

impl<A, H: Deref<Target = Entry<A>>> Reading<H> {
    /// What `entry` says at `now`.
    #[inline]
    pub fn of(entry: Option<H>, now: Instant, generation: u64, ages: &Ages) -> Self {
        let worth = |entry: H| (entry.freshness(now, generation, ages), entry);
        match entry.map(worth) {
            None | Some((Freshness::Loading, _)) => Reading {
                entry: None,
                age: Duration::ZERO,
                freshness: Freshness::Loading,
            },
            Some((freshness, entry)) => Reading {
                age: entry.age(now),
                entry: Some(entry),
                freshness,
            },
        }
    }
}

impl<A: 'static, H: Deref<Target = Entry<A>>> Reading<H> {
    /// The answer; nothing while it is loading.
    pub fn value(&self) -> Option<&A> {
        Some(&self.entry.as_ref()?.value)
    }

    /// Whom it speaks for; nothing while it is loading.
    pub fn coverage(&self) -> Option<&AnswerCoverage> {
        Some(&self.entry.as_ref()?.coverage)
    }

    /// What went wrong since it was gathered.
    pub fn failure(&self) -> Option<&Failure> {
        self.entry.as_ref()?.failure.as_ref()
    }

    /// The generation that it is of; nothing while it is loading.
    pub fn generation(&self) -> Option<u64> {
        Some(self.entry.as_ref()?.generation)
    }

    /// The next moment after `now` from which it may be worth less than this says, if nothing new comes.
    pub fn falls_at(&self, now: Instant, ages: &Ages) -> Option<Instant> {
        self.entry.as_ref()?.falls_at(now, ages)
    }

    /// There is none yet.
    pub fn is_loading(&self) -> bool {
        self.freshness == Freshness::Loading
    }
}

/// How often what was read, as numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// Fresh answers.
    pub fresh: u64,
    /// Stale ones.
    pub stale: u64,
    /// Expired ones.
    pub expired: u64,
    /// Times that there was nothing.
    pub loading: u64,
}

impl Reads {
    /// Counts one.
    pub fn count(&mut self, freshness: Freshness) {
        *match freshness {
            Freshness::Fresh => &mut self.fresh,
            Freshness::Stale => &mut self.stale,
            Freshness::Expired => &mut self.expired,
            Freshness::Loading => &mut self.loading,
        } += 1;
    }

    /// Share of the reads that were fresh or stale, 0..1; absent before the first.
    pub fn hit_rate(&self) -> Option<f64> {
        let hits = self.fresh + self.stale;
        let all = hits + self.expired + self.loading;
        (all > 0).then(|| hits as f64 / all as f64)
    }
}
