//! The parts that a cluster has fallen into.

use serde::{Deserialize, Serialize};

use crate::name::NodeName;
use crate::time::Instant;

/// Nodes that reach each other, directly or through each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Island {
    /// Who, in order.
    pub nodes: Vec<NodeName>,
    /// Since when it has been an island.
    pub since: Instant,
}

/// Two nodes that cannot reach each other though a third can reach both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The one whose name is smaller.
    pub a: NodeName,
    /// The other.
    pub b: NodeName,
    /// Since when.
    pub since: Instant,
}

/// How the cluster is split, as far as this node can tell. Reported, never acted upon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// The islands, this node's own first; empty while there is only one.
    pub islands: Vec<Island>,
    /// The pairs, by name.
    pub pairs: Vec<Pair>,
}
