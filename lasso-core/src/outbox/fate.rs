//! What an application learns of its events.

use serde::Serialize;

use super::id::EventId;
use super::journal::PersistProblem;
use super::wire::{KIND_BYTES_MAX, Refusal};
use crate::name::NodeName;

/// What became of an event. `Held` comes at most once, and any of the last four ends the event's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is kept: in a store, it is synced.
    Kept,
    /// It waits: no node of the target is linked, earlier events wait, or the first try failed.
    Held,
    /// A receiver has applied it.
    Applied(NodeName),
    /// A receiver rejected it, and it is a dead letter now.
    Rejected(NodeName, Refusal),
    /// It was not kept after all.
    NotKept(SendError),
    /// It was a dead letter, and was retried as the given event or dropped.
    Gone(Option<EventId>),
}

/// Why an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits. The event is not taken; send it again when the queue is shorter.
    #[error("the outbox is full: {events} events with {bytes} bytes wait")]
    Full {
        /// Events that wait.
        events: usize,
        /// Bytes of their payloads.
        bytes: usize,
    },
    /// The payload is too large. The caller's fault.
    #[error("the payload has {bytes} bytes; at most {max} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The kind is empty or too long. The caller's fault.
    #[error("the kind of an event has 1 to {KIND_BYTES_MAX} bytes; this one has {0}")]
    Kind(usize),
    /// The value cannot be written as bytes. The caller's fault.
    #[error("the event cannot be encoded: {0}")]
    Unencodable(String),
    /// The store did not take it. After [`PersistProblem::Full`] it is not kept, and the outbox goes on when there is
    /// room. After [`PersistProblem::Broken`] it may be there when the store is opened again.
    #[error("the event is not stored: {0}")]
    Store(#[from] PersistProblem),
    /// No dead letter has that number, or it is being retried.
    #[error("there is no such dead letter")]
    NoSuchLetter,
    /// The outbox or its node has stopped. The event is not taken, unless it was being stored.
    #[error("the outbox has stopped")]
    Stopped,
}

/// An event that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: EventId,
    /// Whether it goes out at once; else it waits for its turn.
    pub going: bool,
    /// Whether it is kept. If not, [`Fate::Kept`] or [`Fate::NotKept`] follows.
    pub kept: bool,
}

/// What a sender counts. The counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SenderCounters {
    /// Events taken, retried dead letters included.
    pub sent: u64,
    /// Events that had to wait: no node was linked, earlier ones waited, or the first try failed.
    pub buffered: u64,
    /// Events that had waited, also before a restart, and were applied or rejected.
    pub replayed: u64,
    /// Events that receivers have applied.
    pub applied: u64,
    /// Events that receivers have rejected for good.
    pub rejected: u64,
    /// Events refused because the outbox was full.
    pub refused: u64,
    /// Events refused because the store failed or had no room.
    pub not_stored: u64,
    /// Batches sent.
    pub tries: u64,
    /// Batches whose outcome is unknown.
    pub unknown: u64,
    /// Times that events went elsewhere though their outcome was unknown.
    pub released: u64,
    /// Dead letters that made room for newer ones.
    pub dead_dropped: u64,
}
