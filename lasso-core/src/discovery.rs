//! Who might be there: candidates from DNS answers and static peers.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Basename;

/// One name to resolve, and the basename that its addresses bear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The DNS name.
    pub name: String,
    /// Ask for SRV records, which name ports, rather than for addresses.
    pub srv: bool,
    /// The basename of the nodes found, where it is not this node's own.
    pub basename: Option<Basename>,
}

/// The position of a query in the node's configuration.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct QueryId(pub u32);

/// Which records a query asks for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services: targets with ports, which the driver resolves on to addresses.
    Srv,
}

/// How a query is doing, over both its families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryState {
    /// Not answered yet.
    Pending,
    /// The last answers had addresses.
    Ok,
    /// The last answers had none.
    Empty,
    /// The last answer was cut short.
    Truncated,
    /// The last tries failed.
    Failed,
}

impl fmt::Display for QueryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueryState::Pending => "pending",
            QueryState::Ok => "ok",
            QueryState::Empty => "empty",
            QueryState::Truncated => "truncated",
            QueryState::Failed => "failed",
        })
    }
}

/// One query as the health answer shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryStatus {
    /// The query as configured.
    pub query: String,
    /// How it is doing.
    pub state: QueryState,
    /// Addresses in the last good answers, both families together.
    pub addresses: usize,
    /// Seconds since the last good answer.
    pub age_seconds: Option<u64>,
}
