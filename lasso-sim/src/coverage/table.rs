//! Adds up the coverage of the runs of a sweep.

use core::fmt;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Item, Kind, Reached, excuse, universe};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Table {
    runs: u64,
    /// How often each item was reached, and in how many runs.
    reached: BTreeMap<Item, (u64, u64)>,
}

/// One item, with the counts of the runs so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How often it was reached.
    pub times: u64,
    /// The number of runs that reached it.
    pub runs: u64,
    /// Why it need not be reached, if so.
    pub excuse: Option<&'static str>,
}

impl Table {
    /// Adds the coverage of one run.
    pub fn add(&mut self, run: &Reached) {
        self.runs += 1;
        for (item, times) in run.iter() {
            let (all, runs) = self.reached.entry(item.clone()).or_default();
            // A liar can make a counter as large as a number can be.
            *all = all.saturating_add(times);
            *runs += 1;
        }
    }

    /// Adds the coverage of other runs.
    pub fn merge(&mut self, other: &Table) {
        self.runs += other.runs;
        for (item, (times, runs)) in &other.reached {
            let (all, all_runs) = self.reached.entry(item.clone()).or_default();
            *all = all.saturating_add(*times);
            *all_runs += runs;
        }
    }

    /// All items, by kind, in the order of lasso's types.
    pub fn rows(&self) -> Vec<Row> {
        let row = |item: Item| {
            let (times, runs) = self.reached.get(&item).copied().unwrap_or_default();
            Row {
                kind: item.kind,
                times,
                runs,
                excuse: excuse(&item),
                name: item.name.into_owned(),
            }
        };
        universe().into_iter().map(row).collect()
    }

    /// The items that no run reached and that have no excuse.
    pub fn missing(&self) -> Vec<Row> {
        let mut rows = self.rows();
        rows.retain(|row| row.times == 0 && row.excuse.is_none());
        rows
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let (reached, unreached): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| row.times > 0);
        writeln!(
            f,
            "coverage of the machines: {} of {} in {} runs",
            reached.len(),
            rows.len(),
            self.runs
        )?;
        for kind in Kind::ALL {
            let of_kind = || reached.iter().filter(|row| row.kind == kind);
            if of_kind().next().is_some() {
                writeln!(
                    f,
                    "  {:width$}  {:>12}  {:>8}",
                    kind.title(),
                    "times",
                    "runs"
                )?;
            }
            for row in of_kind() {
                writeln!(
                    f,
                    "    {:width$}{:>12}  {:>8}",
                    row.name, row.times, row.runs
                )?;
            }
        }
        for (title, excused) in [
            ("never reached", false),
            ("never reached, and need not be", true),
        ] {
            let named = || {
                unreached
                    .iter()
                    .filter(|row| row.excuse.is_some() == excused)
            };
            if named().next().is_some() {
                writeln!(f, "  {title}")?;
            }
            for row in named() {
                write!(f, "    {} ({})", row.name, row.kind.title())?;
                match row.excuse {
                    Some(why) => writeln!(f, ": {why}")?,
                    None => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.reached.iter();
        let rows: Vec<Reach<'_>> = rows
            .map(|(item, (times, runs))| (Cow::Borrowed(item), *times, *runs))
            .collect();
        (self.runs, rows).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (runs, rows) = <(u64, Vec<Reach<'static>>)>::deserialize(deserializer)?;
        let known: BTreeSet<Item> = universe().into_iter().collect();
        let mut reached = BTreeMap::new();
        for (item, times, runs) in rows {
            let item = item.into_owned();
            if !known.contains(&item) {
                return Err(D::Error::custom(format!(
                    "{item} is unknown to this release"
                )));
            }
            reached.insert(item, (times, runs));
        }
        Ok(Table { runs, reached })
    }
}

/// An item, how often it was reached, and in how many runs.
type Reach<'a> = (Cow<'a, Item>, u64, u64);
