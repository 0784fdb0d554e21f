//! The part of a sweep that one shard has run, as a file: `merge` adds up the parts and judges the sum.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::runs::{Part, Total};
use crate::coverage::Table;
use crate::sweep::{GoalSum, Summary};

/// See the module's text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The first and the last seed of the whole sweep.
    pub(super) seeds: (u64, u64),
    /// The number of the shard, and the number of shards.
    pub(super) shard: (u64, u64),
    /// The shard was interrupted.
    pub(super) interrupted: bool,
    /// The totals of its runs.
    pub(super) total: Total,
    /// Each file in each world.
    pub(super) groups: Vec<Group>,
    /// The coverage of its runs.
    pub(super) coverage: Table,
}

/// All runs of one file in one world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) file: String,
    pub(super) world: String,
    pub(super) runs: u64,
    /// The goals that at least one run must reach.
    pub(super) goals: Vec<GoalSum>,
}

impl Group {
    pub(super) fn of(summary: &Summary) -> Self {
        Group {
            file: summary.file.clone(),
            world: summary.world.clone(),
            runs: summary.runs(),
            goals: summary.goals.iter().cloned().collect(),
        }
    }

    /// Adds the same file and world of another part; false if file or world differ.
    pub(super) fn add(&mut self, other: &Group) -> bool {
        if (&self.file, &self.world) != (&other.file, &other.world) {
            return false;
        }
        self.runs += other.runs;
        for goal in &other.goals {
            match self.goals.iter_mut().find(|own| own.place == goal.place) {
                Some(own) => own.add(goal),
                None => self.goals.push(goal.clone()),
            }
        }
        true
    }

    /// The goals that no run reached although there were enough runs.
    pub(super) fn unreached(&self) -> impl Iterator<Item = &GoalSum> {
        let runs = self.runs;
        self.goals
            .iter()
            .filter(move |goal| goal.is_unreached(runs))
    }
}

impl Saved {
    /// An empty part of these seeds.
    pub(super) fn new(seeds: &RangeInclusive<u64>, part: Part) -> Self {
        Saved {
            seeds: (*seeds.start(), *seeds.end()),
            shard: part.numbers(),
            interrupted: false,
            total: Total::default(),
            groups: Vec::new(),
            coverage: Table::default(),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// Reads one. The error says why the file is not a part.
    pub(super) fn read(path: &Path) -> Result<Saved, String> {
        let name = path.display();
        let bytes = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("{name} is no part of a sweep: {error}"))
    }

    /// Adds another shard of the same sweep.
    pub(super) fn add(&mut self, other: &Saved) -> Result<(), String> {
        let same_sweep = self.seeds == other.seeds
            && self.shard.1 == other.shard.1
            && self.groups.len() == other.groups.len();
        let mut groups = self.groups.iter_mut().zip(&other.groups);
        if !same_sweep || !groups.all(|(own, other)| own.add(other)) {
            return Err("these are parts of different sweeps".to_owned());
        }
        self.interrupted |= other.interrupted;
        self.total.merge(&other.total);
        self.coverage.merge(&other.coverage);
        Ok(())
    }
}
