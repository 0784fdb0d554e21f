//! What comes of an answer, and what was counted.

use serde::{Deserialize, Serialize};

use super::{Family, QueryId};
use crate::event::Notice;
use crate::name::NodeName;

/// What there is to do after an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Names to ask for now.
    pub lookups: Vec<Lookup>,
    /// New candidates.
    pub added: Vec<NodeName>,
    /// Candidates that are no more.
    pub forgotten: Vec<NodeName>,
    /// Changes of state, for the operator.
    pub notices: Vec<Notice>,
}

/// One question to DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Which query.
    pub query: QueryId,
    /// Its name.
    pub name: String,
    /// Which records.
    pub family: Family,
}

/// Counters of discovery; they only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiscoveryCounters {
    /// Questions asked.
    pub lookups: u64,
    /// Answers that failed or did not come in time.
    pub failures: u64,
    /// Answers that were cut short, by the resolver or by the bound on addresses.
    pub truncated: u64,
    /// Candidates forgotten.
    pub forgotten: u64,
    /// Nodes that dialled us and were not taken as candidates, since too many are remembered.
    pub learned_shed: u64,
    /// Addresses of answers that were not taken as candidates, since 4,096 are known already; one
    /// that is named again is counted again.
    pub named_shed: u64,
    /// Addresses of answers at which nobody can be dialled: any, multicast, broadcast, link-local, or port 0.
    pub refused: u64,
}
