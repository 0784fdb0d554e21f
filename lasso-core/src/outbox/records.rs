//! What receivers remember of senders: one number each, and a bounded number of senders.
//!
//! A sender repeats only its oldest events, and in order. So one number says which of its events have a verdict, and
//! only the rejected ones of its last batch must be remembered by themselves.
//!
//! 1. A record replaces only the one that it was made from.
//! 2. Where there are too many, the senders written longest ago are forgotten. Neither a clock nor time plays a part.
//!
//! [`Records`] is the memory of a receiver without a store, and says what a store has to do.
//!
//! ```
//! use lasso_core::outbox::{OutboxId, Record, Records};
//!
//! let sender = OutboxId::new([7; 16]);
//! let mut records = Records::default();
//! let first = Record { outbox: sender, through: 3, rejected: [].into() };
//! assert_eq!(records.put(first.clone(), 0, 10), Ok(vec![]));
//! // Another receiver of the same store made its record from the empty one too: nothing is written.
//! assert!(records.put(Record { through: 2, ..first }, 0, 10).is_err());
//! assert_eq!(records.get(sender).map(|record| record.through), Some(3));
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::OutboxId;
use super::wire::Refusal;

/// What is remembered of one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which sender.
    pub outbox: OutboxId,
    /// The newest event with a verdict.
    pub through: u64,
    /// Events of the last batch that were rejected; at most 32, unless a receiver with a higher bound wrote it.
    pub rejected: BTreeMap<u64, Refusal>,
}

/// The record is not the one that the new one was made from: another receiver has answered meanwhile, or the sender was
/// forgotten. Nothing was written; the work must be undone and read the record anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another receiver with this store has answered for these events meanwhile")]
pub struct Superseded;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Records {
    records: BTreeMap<OutboxId, (u64, Record)>,
    /// The senders by when their records were written.
    written: BTreeSet<(u64, OutboxId)>,
}

impl Records {
    /// The record of a sender.
    pub fn get(&self, outbox: OutboxId) -> Option<&Record> {
        self.records.get(&outbox).map(|(_, record)| record)
    }

    /// Writes a record that was made from one through `replaces`, 0 for none. Returns the senders that were forgotten so
    /// that at most `max` remain.
    ///
    /// # Errors
    /// [`Superseded`]; nothing was changed.
    pub fn put(
        &mut self,
        record: Record,
        replaces: u64,
        max: usize,
    ) -> Result<Vec<OutboxId>, Superseded> {
        let outbox = record.outbox;
        if self.get(outbox).map_or(0, |record| record.through) != replaces {
            return Err(Superseded);
        }
        self.remove(outbox);
        let newest = self.written.last().map_or(0, |(written, _)| *written);
        self.written.insert((newest + 1, outbox));
        self.records.insert(outbox, (newest + 1, record));
        let mut gone = Vec::new();
        while self.records.len() > max
            && let Some((_, oldest)) = self.written.first().copied()
        {
            self.remove(oldest);
            gone.push(oldest);
        }
        debug_assert_eq!(self.records.len(), self.written.len());
        Ok(gone)
    }

    /// The records, the one written longest ago first. Written again in this order, they make the same memory.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.written
            .iter()
            .filter_map(|(_, outbox)| self.get(*outbox))
    }

    /// Senders that are remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no sender is remembered.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn remove(&mut self, outbox: OutboxId) {
        if let Some((written, _)) = self.records.remove(&outbox) {
            self.written.remove(&(written, outbox));
        }
    }
}
