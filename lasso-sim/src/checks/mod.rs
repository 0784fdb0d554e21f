//! The checks of nodes: one file per subject, one line per key in [`ALL`].
//!
//! To add a check, write a file like `health.rs` with a struct that implements [`Check`] and a
//! constant [`Entry`], and add its line to the registry. No other check's file changes.

mod counters;
mod coverage;
mod deliveries;
mod described;
mod discovery;
mod emitted;
mod events;
mod gaps;
mod gathered;
mod health;
mod log;
mod metrics;
mod names;
mod outcomes;
mod partitions;
mod process;
mod published;
mod reason;
mod refused;
mod state;
mod tables;
mod viewed;
mod viewers;

use core::fmt;

use lasso_core::event::{Notice, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use crate::app::AppLog;
use crate::scenario::{Amount, Diagnostic, NodeId, Reader, Scenario, Value};
use crate::world::{NodeView, Process, Timed, World};

/// Every check, by its key.
pub const ALL: &[Entry] = &[
    coverage::CONNECTED,
    coverage::RESPONDING,
    coverage::IDENTIFIED,
    coverage::EXPECTED,
    names::UNRESPONSIVE,
    names::DISCONNECTED,
    names::LINKS,
    names::CANDIDATES,
    state::ENTRY,
    reason::ENTRY,
    described::ENTRY,
    partitions::ISLANDS,
    partitions::PAIRS,
    health::ENTRY,
    discovery::ENTRY,
    events::ENTRY,
    log::ENTRY,
    refused::ENTRY,
    process::ENTRY,
    deliveries::DELIVERED,
    deliveries::IN_ORDER,
    deliveries::MISSED,
    gaps::ENTRY,
    published::PUBLISHED,
    published::REACHED,
    published::SHED,
    outcomes::OUTCOMES,
    outcomes::SLOWEST,
    gathered::ENTRY,
    metrics::METRICS,
    metrics::READS,
    counters::ENTRY,
    viewed::ENTRY,
    viewers::FIGURES,
    viewers::STATES,
    viewers::COVERED,
    emitted::ENTRY,
];

/// One line of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The key in an expectation.
    pub key: &'static str,
    /// What it reads, in one line.
    pub summary: &'static str,
    /// Whether it makes sense for a node without a process.
    pub absent: bool,
    /// Reads the key's value; `None` when a mistake was found and reported to the reader.
    pub parse: fn(&Value, &mut Reader<'_>) -> Option<Box<dyn Check>>,
}

/// The state of one node at one moment that checks may read.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// The file, for names.
    pub scenario: &'a Scenario,
    /// The node.
    pub node: NodeId,
    /// The world's time.
    pub now: Instant,
    /// The state of its process.
    pub process: Process,
    /// Its view; `None` when it has no process.
    pub view: Option<&'a NodeView>,
    /// The events that it has reported to its subscribers, over the whole run.
    pub events: &'a [Timed<TopologyEvent>],
    /// The notices that it has given its operator, over the whole run.
    pub notices: &'a [Timed<Notice>],
    /// The observations of its applications.
    pub app: &'a AppLog,
    /// The world.
    pub world: &'a dyn World,
}

impl fmt::Debug for Observed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Observed");
        all.field("node", &self.node).field("now", &self.now);
        all.field("process", &self.process).finish_non_exhaustive()
    }
}

impl<'a> Observed<'a> {
    /// The view of the node, or a mismatch that says that it has no process.
    ///
    /// # Errors
    /// When it has no process.
    pub fn view(&self, expected: impl FnOnce() -> String) -> Result<&'a NodeView, Mismatch> {
        self.view.ok_or_else(|| Mismatch {
            expected: expected(),
            seen: "no process is there".to_owned(),
        })
    }

    /// The name of a node of the file: the present one, if it was started at another address.
    pub fn name(&self, node: NodeId) -> NodeName {
        self.world.spec(node).name()
    }

    /// The file's key of the node that has, or had, that name.
    pub fn key_of(&self, name: &NodeName) -> String {
        let mut nodes = self.scenario.node_ids();
        let now = nodes.find(|node| self.world.spec(*node).name() == *name);
        now.map_or_else(
            || self.scenario.key_of(name),
            |node| self.scenario.node(node).key.clone(),
        )
    }

    /// The file's keys of nodes, in its order: `a, b`; `nobody` without any.
    fn keys<'n>(&self, names: impl IntoIterator<Item = &'n NodeName>) -> String {
        let keys: Vec<String> = names.into_iter().map(|name| self.key_of(name)).collect();
        if keys.is_empty() {
            "nobody".to_owned()
        } else {
            keys.join(", ")
        }
    }
}

/// A check does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The expectation in the file: `connected = 3`.
    pub expected: String,
    /// The actual value: `connected = 2`.
    pub seen: String,
}

/// A condition on a node.
pub trait Check: fmt::Debug + Send + Sync {
    /// Evaluates it.
    ///
    /// # Errors
    /// The expected and the observed value.
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch>;
}

/// An amount of something of which there can be `least` to `most`; reports an amount that can never hold, and
/// one that always holds.
fn amount_within(
    value: &Value,
    reader: &mut Reader<'_>,
    least: usize,
    most: usize,
) -> Option<Amount> {
    let amount = reader.amount(value)?;
    if reader.counts_known && !amount.is_possible(least, most) {
        let message = format!("this can never hold: there are {least} to {most}");
        reader.error(Diagnostic::new(value.span.clone(), message).label("out of reach"));
        return None;
    }
    if amount.is_certain(least, usize::MAX) {
        let message = format!("this always holds: there are at least {least}");
        reader.error(Diagnostic::new(value.span.clone(), message).label("can never fail"));
        return None;
    }
    // If only one number is possible, the file states it on purpose: for example, that a single node is
    // connected to nobody.
    if reader.counts_known && least < most && amount.is_certain(least, most) {
        let message = format!("this always holds: there are {least} to {most}");
        reader.error(Diagnostic::new(value.span.clone(), message).label("can never fail"));
        return None;
    }
    Some(amount)
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_key_is_registered_once() {
        let mut keys: Vec<&str> = ALL.iter().map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
    }
}
