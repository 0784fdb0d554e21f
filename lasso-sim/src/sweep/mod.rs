//! Adds up many runs of one file in one world: how many held and differed, the kinds of failures, which
//! verbs took effect, which checks were evaluated and which goals were reached.
//!
//! 1. A summary takes no more memory for more runs: it keeps numbers, the first failure of each kind,
//!    and a bounded number of hashes.
//! 2. It depends on the outcomes and their order alone.
//!
//! ```
//! use lasso_sim::runner;
//! use lasso_sim::scenario::Template;
//! use lasso_sim::sweep::Summary;
//! use lasso_sim::world::WorldKind;
//!
//! let text = r#"
//! lasso = 1
//! title = "Two nodes find each other"
//! nodes = { a = {}, b = {} }
//! ends = "20s"
//!
//! [[sometimes]]
//! title = "they are linked within five seconds"
//! on = "a"
//! until = "5s"
//! connected = 2
//! "#;
//! let template = Template::read("two.toml".as_ref(), text)?;
//! let mut summary = Summary::default();
//! for seed in 1..=3 {
//!     summary.add(&runner::run_file(&template, WorldKind::Direct, seed, false));
//! }
//! assert_eq!((summary.held, summary.failed), (3, 0));
//! assert!(summary.unreached().is_empty());
//! # Ok::<(), lasso_sim::scenario::BadFile>(())
//! ```

mod distinct;
mod kinds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::distinct::{Distinct, EXACT};
pub use self::kinds::{KINDS_MAX, Kind, Kinds, SEEDS_SHOWN};
use crate::runner::{Outcome, Verdict};

/// See the module's text.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The file.
    pub file: String,
    /// The world.
    pub world: String,
    /// Runs in which everything held.
    pub held: u64,
    /// Runs in which a check failed.
    pub failed: u64,
    /// Runs that the world refused.
    pub refused: u64,
    /// Why it refused them.
    pub reason: Option<String>,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Different runs, by their traces.
    pub traces: Distinct,
    /// Different runs, by the nodes' topology events without their times.
    pub memberships: Distinct,
    /// The failures.
    pub failures: Kinds,
    /// How often each check was evaluated, in the order of the file.
    pub looks: Listed<LookSum>,
    /// How often orders took effect, in the order of the file.
    pub orders: Listed<OrderSum>,
    /// Faults that `[random]` was asked for, by kind.
    pub asked: BTreeMap<&'static str, AskedSum>,
    /// The goals that at least one run must reach, in the order of the file.
    pub goals: Listed<GoalSum>,
}

/// Sums by place, in the order of the file.
#[derive(Debug, Clone)]
pub struct Listed<T>(BTreeMap<(usize, usize, &'static str), T>);

/// How often a check was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LookSum {
    /// `file:line:column`.
    pub place: String,
    /// `expect`, `when`, `always`, `never` or `sometimes`.
    pub what: &'static str,
    /// The check's key.
    pub check: String,
    /// How often.
    pub times: u64,
    /// The number of runs in which it was evaluated at least once.
    pub runs: u64,
}

/// How often orders took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderSum {
    /// `file:line:column`.
    pub place: String,
    /// The verb's key.
    pub verb: &'static str,
    /// How often it was ordered.
    pub ordered: u64,
    /// Of these, how many took effect.
    pub took_effect: u64,
    /// How many effects they had, in total.
    pub touched: u64,
    /// The number of runs in which at least one of them took effect.
    pub runs: u64,
}

/// The number of faults of a kind that all seeds asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AskedSum {
    /// The number.
    pub asked: u64,
    /// Those that found no room in their plan.
    pub no_room: u64,
}

/// The goals that at least one run must reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalSum {
    /// `file:line:column`.
    pub place: String,
    /// Its title.
    pub title: String,
    /// A sweep with fewer runs need not reach it.
    pub seeds: u64,
    /// The number of runs that reached it.
    pub runs: u64,
    /// The first seed that reached it.
    pub first_seed: Option<u64>,
}

impl GoalSum {
    /// Whether none of this many runs reached it, although there were enough.
    pub fn is_unreached(&self, runs: u64) -> bool {
        self.runs == 0 && runs >= self.seeds
    }

    /// Adds the runs of another shard.
    pub fn add(&mut self, other: &GoalSum) {
        self.runs += other.runs;
        let seeds = self.first_seed.into_iter().chain(other.first_seed);
        self.first_seed = seeds.min();
    }
}

impl AskedSum {
    /// Adds another sum.
    pub fn add(&mut self, other: &AskedSum) {
        self.asked += other.asked;
        self.no_room += other.no_room;
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed(BTreeMap::new())
    }
}

impl<T> Listed<T> {
    /// All sums, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    fn at(&mut self, place: &str, what: &'static str, blank: impl FnOnce() -> T) -> &mut T {
        let (line, column) = position(place);
        self.0.entry((line, column, what)).or_insert_with(blank)
    }
}

impl<T: Serialize> Serialize for Listed<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

/// Line and column of `file:line:column`; 0 if there is none.
fn position(place: &str) -> (usize, usize) {
    let mut parts = place.rsplit(':').map(|part| part.parse().unwrap_or(0));
    let column = parts.next().unwrap_or(0);
    (parts.next().unwrap_or(0), column)
}

impl Summary {
    /// Adds a run of the same file in the same world.
    pub fn add(&mut self, outcome: &Outcome) {
        if self.file.is_empty() {
            self.file.clone_from(&outcome.file);
            self.world.clone_from(&outcome.world);
        }
        match outcome.verdict {
            Verdict::Held => self.held += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Refused => {
                self.refused += 1;
                self.reason.clone_from(&outcome.reason);
                return;
            }
        }
        self.simulated_ms += outcome.simulated_ms;
        self.traces.add(&outcome.trace_hash);
        self.memberships.add(&outcome.membership_hash);
        if outcome.verdict == Verdict::Failed {
            self.failures.add(outcome);
        }
        self.add_looks(outcome);
        self.add_orders(outcome);
        self.add_goals(outcome);
        for asked in &outcome.asked {
            self.asked.entry(asked.kind).or_default().add(&AskedSum {
                asked: asked.asked,
                no_room: asked.no_room,
            });
        }
    }

    /// The number of runs that were not refused.
    pub fn runs(&self) -> u64 {
        self.held + self.failed
    }

    /// The goals that no run reached although there were enough runs.
    pub fn unreached(&self) -> Vec<&GoalSum> {
        let runs = self.runs();
        let unreached = |goal: &&GoalSum| goal.is_unreached(runs);
        self.goals.iter().filter(unreached).collect()
    }

    fn add_looks(&mut self, outcome: &Outcome) {
        for look in &outcome.looks {
            let sum = self.looks.at(&look.place, look.what, || LookSum {
                place: look.place.clone(),
                what: look.what,
                check: look.check.clone(),
                times: 0,
                runs: 0,
            });
            sum.times += look.times;
            sum.runs += u64::from(look.times > 0);
        }
    }

    fn add_orders(&mut self, outcome: &Outcome) {
        for orders in &outcome.orders {
            let sum = self.orders.at(&orders.place, orders.verb, || OrderSum {
                place: orders.place.clone(),
                verb: orders.verb,
                ordered: 0,
                took_effect: 0,
                touched: 0,
                runs: 0,
            });
            sum.ordered += orders.ordered;
            sum.took_effect += orders.took_effect;
            sum.touched += orders.touched;
            sum.runs += u64::from(orders.took_effect > 0);
        }
    }

    fn add_goals(&mut self, outcome: &Outcome) {
        for goal in &outcome.goals {
            let sum = self.goals.at(&goal.place, "sometimes", || GoalSum {
                place: goal.place.clone(),
                title: goal.title.clone(),
                seeds: goal.seeds,
                runs: 0,
                first_seed: None,
            });
            if goal.at.is_some() {
                sum.runs += 1;
                sum.first_seed.get_or_insert(outcome.seed);
            }
        }
    }
}
