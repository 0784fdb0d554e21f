//! What a sender learns, and what it orders.

use core::time::Duration;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::fate::Fate;
use super::id::EventId;
use super::journal::{PersistProblem, Write, WriteId};
use super::wire::{Batch, BatchAnswer};
use crate::name::NodeName;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// These nodes of the target are linked now.
    Connected(BTreeSet<NodeName>),
    /// The answer to the batch.
    Answered(BatchAnswer),
    /// The batch got no answer.
    Failed(Tried),
    /// The group of writes is stored and synced.
    Persisted(WriteId),
    /// The group of writes is not stored.
    PersistFailed(WriteId, PersistProblem),
    /// Time has passed.
    Tick,
}

/// What a try without an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tried {
    /// The receiver has not seen the batch.
    NotDone,
    /// Nobody knows whether it was applied.
    Unknown,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Store these writes in one transaction and sync it, then say so.
    Persist(WriteId, Vec<Write>),
    /// Call a node with a batch, and say how that ended.
    Send {
        /// Whom to call.
        to: NodeName,
        /// With what.
        batch: Batch,
        /// How long to wait for the answer.
        timeout: Duration,
    },
    /// Tell the application.
    Told(EventId, Fate),
}
