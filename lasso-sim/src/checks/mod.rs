//! What can be expected of a node: one file per key, one line per key in the registry.

use core::fmt;

use lasso_core::event::{Notice, TopologyEvent};
use lasso_core::time::Instant;

use crate::scenario::{NodeId, Scenario};
use crate::world::{NodeView, Process, Timed};

/// What a check may read about one node at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The file, for names.
    pub scenario: &'a Scenario,
    /// Whose view this is.
    pub node: NodeId,
    /// The world's time.
    pub now: Instant,
    /// What its process is doing.
    pub process: Process,
    /// What it knows; `None` when no process is there.
    pub view: Option<&'a NodeView>,
    /// What it has told its subscribers, over the whole run.
    pub events: &'a [Timed<TopologyEvent>],
    /// What it has told its operator, over the whole run.
    pub notices: &'a [Timed<Notice>],
}

/// A check does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What the file wants: `connected = 3`.
    pub expected: String,
    /// What is so: `connected = 2`.
    pub seen: String,
}

/// One thing that can be true of a node.
pub trait Check: fmt::Debug + Send + Sync {
    /// Whether it is so.
    ///
    /// # Errors
    /// What was wanted and what was seen.
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch>;
}
