//! Questions that a whole cluster answers: each node hands in its part, and the parts are merged.
//!
//! Shipped are five about calls: the [`Leaderboard`] of a chain's providers, the [`Realtime`]
//! figures of the last window, the [`MethodPerformance`] of the providers for one method,
//! [`AllMethods`], and the [`Breakdown`] by provider, by method and by both. An application asks questions of its own by implementing [`Query`].
//!
//! 1. An answer does not depend on the order of its parts.
//! 2. A part takes at most [`ROWS_MAX`] rows' and as many names' worth of memory of whoever merges
//!    it; what is beyond is left out and counted.
//! 3. Parts and keys are read by name: a field that a newer release has added is skipped.
//!
//! ```
//! use lasso_core::metrics::queries::Query;
//! use lasso_core::name::NodeName;
//! use lasso_core::time::Instant;
//!
//! /// How many sessions all nodes hold.
//! struct Sessions(u64);
//!
//! impl Query for Sessions {
//!     const NAME: &'static str = "app.sessions";
//!     type Key = ();
//!     type Partial = u64;
//!     type Answer = u64;
//!
//!     fn collect(&self, _now: Instant, (): &()) -> u64 {
//!         self.0
//!     }
//!
//!     fn merge(&self, (): &(), parts: Vec<(NodeName, u64)>) -> u64 {
//!         // Of what peers say nothing is certain, not even that it adds up.
//!         parts.iter().fold(0, |sum: u64, (_, sessions)| sum.saturating_add(*sessions))
//!     }
//! }
//!
//! let parts = vec![("app@10.0.0.1".parse()?, 3), ("app@10.0.0.2".parse()?, 4)];
//! assert_eq!(Sessions(3).merge(&(), parts), 7);
//! # Ok::<(), lasso_core::name::NameError>(())
//! ```

mod breakdown;
mod names;
mod rows;

use core::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::breakdown::{Breakdown, CallTable, PairRow};
pub use self::names::Names;
pub use self::rows::Rows;
use super::aggregate::{Figures, Part};
use super::recorder::{NAME_BYTES_MAX, Recorder, Series, SeriesKey};
use super::shared::SharedRecorder;
use super::tally::Tally;
use crate::name::NodeName;
use crate::time::Instant;

/// Most rows that are taken from one node's part, and most names beside all of its rows. A node with the default bounds has 1,024 series.
pub const ROWS_MAX: usize = 4_096;

/// A question that every node answers for itself, and how the answers become one.
pub trait Query: Send + Sync + 'static {
    /// What tells this query from others, on the wire too; at most 120 bytes.
    const NAME: &'static str;
    /// What is asked for.
    type Key: Clone + Ord + Hash + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// One node's part of the answer. It comes from another node: whatever its type allows may be
    /// in it.
    type Partial: Serialize + DeserializeOwned;
    /// The cluster's answer.
    type Answer: Send + Sync + 'static;

    /// This node's part. Asked by a peer, it runs on a thread that serves other tasks as well: it should take
    /// milliseconds. This node's own is worked out after the others' have come, aside from all tasks. Where
    /// it panics, the part is missing and the coverage says so.
    fn collect(&self, now: Instant, key: &Self::Key) -> Self::Partial;

    /// Puts the parts together. They come in any order, and the answer must not depend on it.
    fn merge(&self, key: &Self::Key, parts: Vec<(NodeName, Self::Partial)>) -> Self::Answer;
}

/// Whoever gives access to this node's recorder: the recorder itself, or one behind a lock.
pub trait Records {
    /// Calls `read` with the recorder.
    fn with_recorder<R>(&self, read: impl FnOnce(&Recorder) -> R) -> R;
}

impl Records for Recorder {
    fn with_recorder<R>(&self, read: impl FnOnce(&Recorder) -> R) -> R {
        read(self)
    }
}

/// A chain within a profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderKey {
    /// The profile.
    pub profile: String,
    /// The chain.
    pub chain: String,
}

/// A method of a chain within a profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MethodKey {
    /// The profile.
    pub profile: String,
    /// The chain.
    pub chain: String,
    /// The method.
    pub method: String,
}

/// One row of one node's part: its calls for one name in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialRow {
    /// What the row is of: a provider, or a method.
    pub name: String,
    /// The region that the calls were made from.
    pub region: String,
    /// The calls.
    pub tally: Tally,
    /// Calls in the last window that is over.
    #[serde(default)]
    pub window_calls: u64,
    /// Methods of a provider, or providers of a method, that occurred in these calls.
    #[serde(default)]
    pub others: Names,
}

/// One node's part of any of the shipped queries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsPartial {
    /// The rows, by name and region.
    pub rows: Rows,
    /// Calls of this node, of whatever profile, that no row tells of as their series had no place.
    #[serde(default)]
    pub untold: u64,
}

/// What is beside the rows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// Calls, of whatever profile, that no row tells of as their nodes had no place for a series.
    pub calls: u64,
    /// Rows that were left out as a node sent too many, or one with too long a name.
    pub rows: u64,
    /// Methods and providers beside the rows that were left out for the same reasons.
    #[serde(default)]
    pub names: u64,
}

/// One provider in an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderRow {
    /// The provider.
    pub provider: String,
    /// The cluster's figures.
    pub figures: Figures,
    /// The methods that it was called with.
    pub methods: BTreeSet<String>,
}

/// One method in an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodRow {
    /// The method.
    pub method: String,
    /// The cluster's figures.
    pub figures: Figures,
    /// The providers that it was called at.
    pub providers: BTreeSet<String>,
}

/// Providers, best first: by score, ties by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The providers.
    pub providers: Vec<ProviderRow>,
    /// What the rows don't tell.
    pub untold: Untold,
}

/// What a chain's providers did in the last window that is over on each node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RealtimeStats {
    /// Figures over all providers and methods.
    pub total: Figures,
    /// Providers that were called.
    pub providers: BTreeSet<String>,
    /// Methods that were called.
    pub methods: BTreeSet<String>,
    /// What the rows don't tell.
    pub untold: Untold,
}

/// Methods by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodTable {
    /// The methods.
    pub methods: Vec<MethodRow>,
    /// What the rows don't tell.
    pub untold: Untold,
}

/// Providers of a chain by score, since the nodes' start.
#[derive(Debug, Clone)]
pub struct Leaderboard<S = SharedRecorder>(pub S);

/// Figures of a chain in the last window that is over.
#[derive(Debug, Clone)]
pub struct Realtime<S = SharedRecorder>(pub S);

/// Providers of a chain by score for one method, since the nodes' start.
#[derive(Debug, Clone)]
pub struct MethodPerformance<S = SharedRecorder>(pub S);

/// Methods of a chain by name, over all providers, since the nodes' start.
#[derive(Debug, Clone)]
pub struct AllMethods<S = SharedRecorder>(pub S);

impl<S: Records + Send + Sync + 'static> Query for Leaderboard<S> {
    const NAME: &'static str = "lasso.leaderboard";
    type Key = ProviderKey;
    type Partial = CallsPartial;
    type Answer = Ranking;

    fn collect(&self, now: Instant, key: &ProviderKey) -> CallsPartial {
        gather(&self.0, now, |series| {
            let name = series.key();
            key.holds(&name).then(|| Take::provider(series, name))
        })
    }

    fn merge(&self, _: &ProviderKey, parts: Vec<(NodeName, CallsPartial)>) -> Ranking {
        ranking(parts)
    }
}

impl<S: Records + Send + Sync + 'static> Query for MethodPerformance<S> {
    const NAME: &'static str = "lasso.method_performance";
    type Key = MethodKey;
    type Partial = CallsPartial;
    type Answer = Ranking;

    fn collect(&self, now: Instant, key: &MethodKey) -> CallsPartial {
        gather(&self.0, now, |series| {
            let name = series.key();
            let asked = name.profile == key.profile && name.chain == key.chain;
            (asked && name.method == key.method).then(|| Take::provider(series, name))
        })
    }

    fn merge(&self, _: &MethodKey, parts: Vec<(NodeName, CallsPartial)>) -> Ranking {
        ranking(parts)
    }
}

impl<S: Records + Send + Sync + 'static> Query for AllMethods<S> {
    const NAME: &'static str = "lasso.methods";
    type Key = ProviderKey;
    type Partial = CallsPartial;
    type Answer = MethodTable;

    fn collect(&self, now: Instant, key: &ProviderKey) -> CallsPartial {
        gather(&self.0, now, |series| {
            let name = series.key();
            key.holds(&name).then(|| Take {
                name: name.method,
                other: name.provider,
                apart: false,
                tally: series.since_start(),
            })
        })
    }

    fn merge(&self, _: &ProviderKey, parts: Vec<(NodeName, CallsPartial)>) -> MethodTable {
        let (rows, untold) = rows_of(parts);
        MethodTable {
            methods: by_name(rows),
            untold,
        }
    }
}

impl<S: Records + Send + Sync + 'static> Query for Realtime<S> {
    const NAME: &'static str = "lasso.realtime";
    type Key = ProviderKey;
    type Partial = CallsPartial;
    type Answer = RealtimeStats;

    fn collect(&self, now: Instant, key: &ProviderKey) -> CallsPartial {
        gather(&self.0, now, |series| {
            let name = series.key();
            let tally = series.window(now);
            let asked = key.holds(&name) && tally.calls > 0;
            asked.then_some(Take {
                name: name.provider,
                other: name.method,
                apart: false,
                tally,
            })
        })
    }

    fn merge(&self, _: &ProviderKey, parts: Vec<(NodeName, CallsPartial)>) -> RealtimeStats {
        let (rows, untold) = rows_of(parts);
        RealtimeStats {
            total: Figures::of(rows.values().flat_map(|row| &row.parts)),
            methods: rows.values().flat_map(|row| &row.others).cloned().collect(),
            providers: rows.into_keys().collect(),
            untold,
        }
    }
}

impl ProviderKey {
    fn holds(&self, series: &SeriesKey<'_>) -> bool {
        series.profile == self.profile && series.chain == self.chain
    }
}

/// What a query takes of a series.
struct Take<'a> {
    /// The row that it goes into.
    name: &'a str,
    /// What is remembered beside.
    other: &'a str,
    /// Rows are told apart by that, too.
    apart: bool,
    tally: &'a Tally,
}

impl<'a> Take<'a> {
    fn provider(series: &'a Series, name: SeriesKey<'a>) -> Self {
        Take {
            name: name.provider,
            other: name.method,
            apart: false,
            tally: series.since_start(),
        }
    }
}

fn gather(
    records: &impl Records,
    now: Instant,
    take: impl for<'a> Fn(&'a Series) -> Option<Take<'a>>,
) -> CallsPartial {
    records.with_recorder(|recorder| {
        let mut rows: BTreeMap<(&str, &str, &str), PartialRow> = BTreeMap::new();
        for series in recorder.series() {
            let Some(taken) = take(series) else { continue };
            let region = series.key().region;
            let apart = if taken.apart { taken.other } else { "" };
            let row = rows
                .entry((taken.name, apart, region))
                .or_insert_with(|| PartialRow {
                    name: taken.name.to_owned(),
                    region: region.to_owned(),
                    tally: Tally::new(),
                    window_calls: 0,
                    others: Names::default(),
                });
            row.tally.merge(taken.tally);
            row.window_calls += series.window(now).calls;
            row.others.insert(taken.other);
        }
        CallsPartial {
            rows: rows.into_values().collect::<Vec<_>>().into(),
            untold: recorder.overflow().calls,
        }
    })
}

/// One row of an answer, before it is figures.
#[derive(Default)]
struct Row {
    parts: Vec<Part>,
    others: BTreeSet<String>,
}

fn ranking(parts: Vec<(NodeName, CallsPartial)>) -> Ranking {
    let (rows, untold) = rows_of(parts);
    let providers = ranked(rows);
    Ranking { providers, untold }
}

/// Providers, best first.
fn ranked(rows: BTreeMap<String, Row>) -> Vec<ProviderRow> {
    let providers = rows.into_iter().map(|(provider, row)| ProviderRow {
        provider,
        figures: Figures::of(&row.parts),
        methods: row.others,
    });
    let mut providers: Vec<_> = providers.collect();
    // They are in the order of their names, and the sort is stable.
    providers.sort_by(|a, b| a.figures.by_score(&b.figures));
    providers
}

/// Methods in the order of their names.
fn by_name(rows: BTreeMap<String, Row>) -> Vec<MethodRow> {
    let methods = rows.into_iter().map(|(method, row)| MethodRow {
        method,
        figures: Figures::of(&row.parts),
        providers: row.others,
    });
    methods.collect()
}

fn rows_of(parts: Vec<(NodeName, CallsPartial)>) -> (BTreeMap<String, Row>, Untold) {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut untold = Untold::default();
    take_rows(parts, &mut untold, |name, part, others| {
        let place = rows.entry(name).or_default();
        place.others.extend(others);
        place.parts.push(part);
        true
    });
    (rows, untold)
}

/// Hands every row of every part to `take`, which says whether it took it; what is left out is counted.
fn take_rows(
    parts: Vec<(NodeName, CallsPartial)>,
    untold: &mut Untold,
    mut take: impl FnMut(String, Part, Names) -> bool,
) {
    for (node, part) in parts {
        untold.calls = untold.calls.saturating_add(part.untold);
        untold.rows = untold.rows.saturating_add(part.rows.left_out());
        for row in part.rows {
            let fits = |name: &String| name.len() <= NAME_BYTES_MAX;
            let fit = fits(&row.name) && fits(&row.region);
            if fit {
                untold.names = untold.names.saturating_add(row.others.left_out());
            }
            let part = Part {
                node: node.clone(),
                region: row.region,
                tally: row.tally,
                window_calls: row.window_calls,
            };
            let taken = fit && take(row.name, part, row.others);
            untold.rows = untold.rows.saturating_add(u64::from(!taken));
        }
    }
}

#[cfg(test)]
mod tests;
