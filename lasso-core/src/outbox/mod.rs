//! The outbox: events that must not be lost while the other side is away.
//!
//! [`Sender`] keeps events in order and sends them in batches, one batch at a time. [`Receiver`] applies each event
//! once and answers. Neither does IO: a driver executes what they return.
//!
//! 1. An event leaves the sender only when a receiver has answered for it.
//! 2. Events leave in the order in which they were taken.
//! 3. After a try whose outcome is unknown, the events of that try go to the same node again, until that node has been
//!    gone for [`OutboxSettings::release_after`]. Receivers that name one store count as one node.
//! 4. A receiver applies an event id once. A repeated event gets the same verdict again.
//! 5. A rejected event goes to a bounded list of dead letters and holds up nothing.
//! 6. With a store, an event is acknowledged to the caller and sent only after it is stored.
//!
//! Ids are a sequence number under a random [`OutboxId`], and both are stored: neither a restart nor a clock that
//! jumps changes the order or gives out an id twice. Because a sender repeats only its oldest events, a receiver
//! remembers one number per sender, and not each id.
//!
//! The ideas are known ones. Kafka's idempotent producer
//! (<https://cwiki.apache.org/confluence/display/KAFKA/KIP-98>) numbers the events of each producer, so that the other
//! side keeps one number. The outbox pattern (Richardson, Microservices Patterns, chapter 3) stores before it sends.
//! RFC 1047 shows why an unknown outcome must be repeated to the same receiver.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::outbox::{
//!     InboxSettings, Input, OutboxId, OutboxSettings, Offered, Output, Receiver, Recording, Sender, Verdict,
//! };
//! use lasso_core::time::Instant;
//!
//! let now = Instant::ZERO;
//! let mut sender = Sender::in_memory(OutboxSettings::default(), OutboxId::new([7; 16]));
//! let mut receiver = Receiver::new(now, InboxSettings::default(), Recording::Memory, None);
//! receiver.know("like");
//!
//! // Nobody is there: the event waits.
//! let sent = sender.send(now, 0, "like", "post 1".into())?;
//! assert!(!sent.going);
//! sender.handle(now, Input::Connected(["metrics@10.0.0.2".parse()?].into()));
//! let batch = loop {
//!     match sender.poll_output() {
//!         Some(Output::Send { batch, .. }) => break batch,
//!         Some(_) => {}
//!         None => panic!("a node is there"),
//!     }
//! };
//!
//! let outbox = batch.outbox;
//! assert_eq!(receiver.offer(now, batch), Offered::Work);
//! let event = receiver.next(now, outbox).expect("one event");
//! assert_eq!((event.kind.as_str(), &event.payload[..]), ("like", &b"post 1"[..]));
//! receiver.verdict(outbox, Verdict::Applied);
//! assert!(receiver.next(now, outbox).is_none());
//! receiver.finish(outbox);
//! let answer = receiver.answer(outbox).expect("the work is done");
//! sender.handle(now, Input::Answered(answer));
//! assert_eq!(sender.len(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dead;
mod fate;
mod id;
mod input;
mod journal;
mod queue;
mod receiver;
mod records;
mod route;
mod sender;
mod settings;
mod target;
#[cfg(test)]
mod tests;
mod wire;

pub use dead::DeadLetter;
pub use fate::{Fate, SendError, SenderCounters, Sent};
pub use id::{EventId, OutboxId};
pub use input::{Input, Output, Tried};
pub use journal::{Attached, PersistProblem, Stored, Write, WriteId};
pub use receiver::{Offered, Receiver, ReceiverCounters, Recorded, Recording};
pub use records::{Record, Records, Superseded};
pub use sender::Sender;
pub use settings::{InboxSettings, OutboxSettings};
pub use target::{TargetError, TargetNodes};
pub use wire::{
    Batch, BatchAnswer, EVENTS_MAX, Event, KIND_BYTES_MAX, REFUSAL_BYTES_MAX, Refusal, Rest,
    Unreadable, Verdict,
};

/// The method that carries batches: the calls of [`crate::plane`] give them a deadline, bounded lanes and an answer
/// that says whether a node receives at all, so that the outbox needs no frame of its own.
pub const METHOD: &str = "lasso.outbox";
