//! The results of an answer, and the counters.

use serde::{Deserialize, Serialize};

use super::{Family, QueryId};
use crate::event::Notice;
use crate::name::NodeName;

/// The actions that follow from an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Names to look up now.
    pub lookups: Vec<Lookup>,
    /// New candidates.
    pub added: Vec<NodeName>,
    /// Removed candidates.
    pub forgotten: Vec<NodeName>,
    /// Changes of state, for the operator.
    pub notices: Vec<Notice>,
}

/// One question to DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The query.
    pub query: QueryId,
    /// Its name.
    pub name: String,
    /// The type of records.
    pub family: Family,
}

/// Counters of discovery; they only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiscoveryCounters {
    /// Questions asked.
    pub lookups: u64,
    /// Answers that failed or did not arrive in time.
    pub failures: u64,
    /// Answers that were truncated, by the resolver or by the bound on addresses.
    pub truncated: u64,
    /// Candidates forgotten.
    pub forgotten: u64,
    /// Nodes that dialled us and were not accepted as candidates because too many are remembered.
    pub learned_shed: u64,
    /// Addresses in answers that were not accepted as candidates because 4,096 are known already; one that is
    /// named again is counted again.
    pub named_shed: u64,
    /// Addresses in answers that nobody can dial: any, multicast, broadcast, link-local, or port 0.
    pub refused: u64,
}
