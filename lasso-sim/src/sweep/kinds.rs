//! Failed runs, by the kind of failure.
//!
//! Two failed runs are of one kind if the same place of the file, or the same invariant, failed first, with a text
//! that differs only in numbers.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::runner::{Failure, Outcome};

/// The most kinds of failures that are kept separately; runs of further kinds are only counted.
pub const KINDS_MAX: usize = 100;
/// The number of seeds of one kind that are named.
pub const SEEDS_SHOWN: usize = 8;

/// Runs that failed in the same way.
#[derive(Debug, Clone, Serialize)]
pub struct Kind {
    /// The failure, with `#` for each number.
    pub what: String,
    /// The number of runs.
    pub runs: u64,
    /// The first seeds, at most [`SEEDS_SHOWN`].
    pub seeds: Vec<u64>,
    /// The command that repeats the first of them.
    pub replay: String,
    /// The report of the first of them.
    pub report: String,
}

/// All kinds of failures of one file in one world, in order of first appearance.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    kinds: Vec<Kind>,
    index: BTreeMap<String, usize>,
    /// Failed runs of kinds that found no place.
    others: u64,
}

impl Kinds {
    /// Adds a failed run.
    pub fn add(&mut self, outcome: &Outcome) {
        let what = key(outcome.failures.first());
        if let Some(index) = self.index.get(&what) {
            let kind = &mut self.kinds[*index];
            kind.runs += 1;
            if kind.seeds.len() < SEEDS_SHOWN {
                kind.seeds.push(outcome.seed);
            }
        } else if self.kinds.len() < KINDS_MAX {
            self.index.insert(what.clone(), self.kinds.len());
            self.kinds.push(Kind {
                what,
                runs: 1,
                seeds: vec![outcome.seed],
                replay: outcome.replay.clone(),
                report: outcome.report(),
            });
        } else {
            self.others += 1;
        }
    }

    /// Each kind, in the order of its first run.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter()
    }

    /// Failed runs of further kinds.
    pub fn others(&self) -> u64 {
        self.others
    }
}

impl Serialize for Kinds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.kinds)
    }
}

/// The text that distinguishes kinds of failures. For a check of the file, its place and expectation are enough.
/// An invariant has no place in the file, so the text includes the observation.
fn key(failure: Option<&Failure>) -> String {
    let Some(failure) = failure else {
        return "nothing was said".to_owned();
    };
    let (place, expected) = (&failure.place, &failure.expected);
    if is_placed(place) {
        format!("{place}: {}", without_numbers(expected))
    } else {
        format!("{expected}: {}", without_numbers(&failure.seen))
    }
}

/// Whether a place names a line.
fn is_placed(place: &str) -> bool {
    let mut parts = place.rsplitn(3, ':');
    let mut is_number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
    is_number() && is_number()
}

/// `#` for each run of digits.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}
