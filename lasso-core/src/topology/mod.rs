//! Who is there, and how much of the cluster an answer speaks for. (Skeleton.)

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// The state of a remote node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its link stands.
    Connected,
    /// Its description is being asked for.
    Discovering,
    /// Described, and passed a health check.
    Responding,
    /// Its application has said that it is ready.
    Ready,
    /// Three health checks in a row failed.
    Unresponsive,
    /// Its link is lost, or it left.
    Disconnected,
}

/// How much of the cluster an answer speaks for. Self counts in each number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The larger of the expected count and the nodes that discovery names.
    pub expected: usize,
    /// Nodes with a link, and self.
    pub connected: usize,
    /// Nodes that are responding or ready, and self.
    pub responding: usize,
    /// Linked nodes that have described themselves, and self.
    pub identified: usize,
    /// Linked nodes that fail their health checks.
    pub unresponsive: Vec<NodeName>,
    /// Remembered nodes without a link.
    pub disconnected: Vec<NodeName>,
    /// The membership epoch.
    pub epoch: u64,
}
