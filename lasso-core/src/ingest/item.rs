//! Events as they are offered and as they are written, and why they are not taken.

use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::outbox::EventId;

/// An event that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// What it belongs to: 1 to 128 bytes. Events of one key stay in order.
    pub key: String,
    /// What is written.
    pub payload: Bytes,
}

impl NewItem {
    /// An event.
    pub fn new(key: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        NewItem {
            key: key.into(),
            payload: payload.into(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// An event that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its id, the same in each repeat of its write. Later events have larger ones.
    pub id: EventId,
    /// What it belongs to.
    pub key: String,
    /// What is written.
    pub payload: Bytes,
}

impl Item {
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// Why one event of a list is not acceptable. The caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The key is empty or too long.
    #[error("the key has {0} bytes; 1 to 128 are accepted")]
    Key(usize),
    /// Key and payload are too large.
    #[error("key and payload have {bytes} bytes; at most {max} are accepted")]
    TooLarge {
        /// Their size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// An event of a list that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {index}: {problem}")]
pub struct ItemError {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Why.
    pub problem: Problem,
}

/// Why events were not taken. None of the list was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Too much waits. Offer them again after `retry_after`, an estimate.
    #[error("too many events wait to be written; come back after {retry_after:?}")]
    Overloaded {
        /// How long to wait; at least 1 s.
        retry_after: Duration,
    },
    /// Some are not acceptable. The caller's fault.
    #[error("{} of the events are not acceptable; the first: {}", .0.len(), .0[0])]
    Unacceptable(Vec<ItemError>),
    /// There are too many at once. The caller's fault.
    #[error("{items} events are offered at once; at most {max} are accepted")]
    TooMany {
        /// Their number.
        items: usize,
        /// The bound.
        max: usize,
    },
    /// They are larger than all that may ever wait. The caller's fault.
    #[error("the events have {bytes} bytes; at most {max} may wait at once")]
    TooLarge {
        /// Their size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The buffers are being emptied because the node stops. Offer them to another node.
    #[error("the node stops and takes no more events")]
    Stopping,
}
