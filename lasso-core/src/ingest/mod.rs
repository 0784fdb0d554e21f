//! Ingest: many small events into few large writes.
//!
//! [`Buffers`] keep events in partitions by key and order one write at a time for each. A driver carries the writes to a
//! sink, which may be any store. Nothing here does IO.
//!
//! 1. Events of one key are written in the order in which they were taken, and each partition has at most one write
//!    under way.
//! 2. A partition is written when it holds [`IngestSettings::flush_items`] events or its oldest one has waited for
//!    [`IngestSettings::flush_after`].
//! 3. A write that failed, or whose outcome is unknown, is repeated with the same events and the same ids, until it
//!    succeeds. A sink that stores the ids adds nothing twice.
//! 4. Events wait up to a bound for each partition and for all; beyond it none is taken, and the caller learns when to
//!    come back.
//! 5. A list of events is taken whole or not at all.
//!
//! The buffers are in memory: what waits in them ends with their process. The design is that of Kafka's producer, which
//! batches by size and age and keeps the order of a partition with one request under way
//! (<https://kafka.apache.org/documentation/#producerconfigs>: `batch.size`, `linger.ms`).
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::ingest::{Buffers, IngestSettings, Input, NewItem, Output};
//! use lasso_core::outbox::OutboxId;
//! use lasso_core::time::Instant;
//!
//! let now = Instant::ZERO;
//! let mut buffers = Buffers::new(IngestSettings::default(), OutboxId::new([7; 16]));
//! buffers.offer(now, vec![NewItem::new("pipeline 1", "{}"), NewItem::new("pipeline 1", "[]")])?;
//! assert!(buffers.poll_output().is_none());
//!
//! let due = buffers.poll_timeout().expect("events wait");
//! assert_eq!(due, now + Duration::from_secs(1));
//! buffers.handle(due, Input::Tick);
//! let Some(Output::Write { partition, items }) = buffers.poll_output() else {
//!     panic!("they have waited for a second");
//! };
//! assert_eq!(items.len(), 2);
//! buffers.handle(due, Input::Written(partition));
//! let Some(Output::Updated(counts)) = buffers.poll_output() else {
//!     panic!("the viewers must learn of it");
//! };
//! assert_eq!(counts, [("pipeline 1".into(), 2)]);
//! # Ok::<(), lasso_core::ingest::IngestError>(())
//! ```

mod buffers;
mod item;
mod partition;
mod settings;
#[cfg(test)]
mod tests;

pub use buffers::{Buffers, IngestCounters, Input, Output};
pub use item::{IngestError, Item, ItemError, NewItem, Problem};
pub use settings::{IngestSettings, PARTITIONS_MAX};
