//! What a node tells the process that started it: one JSON object per line of standard output.

use std::net::SocketAddr;

use lasso::{Coverage, NodeName, NodeState, TopologyEvent};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The node takes links and answers over HTTP.
    Up {
        /// Where it answers over HTTP.
        http: SocketAddr,
    },
    /// The topology changed.
    Event(TopologyEvent),
    /// Changes were missed; this is how things stand.
    Members {
        /// How much of the cluster the node speaks for.
        coverage: Coverage,
        /// Every remote node that it knows.
        members: Vec<(NodeName, NodeState)>,
    },
}
