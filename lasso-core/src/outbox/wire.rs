//! What crosses the network: a batch of events and the answer to it, as MessagePack maps.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bounded::AtMost;
use crate::codec::depth;
use crate::name::Label;
use crate::outbox::id::OutboxId;

/// Most events of a batch.
pub const EVENTS_MAX: usize = 1_024;
/// Longest kind of an event, in bytes.
pub const KIND_BYTES_MAX: usize = 128;
/// Longest message of a refusal, in bytes.
pub const REFUSAL_BYTES_MAX: usize = 128;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in its outbox.
    pub seq: u64,
    /// The handler that it is for.
    pub kind: String,
    /// What the handler gets.
    pub payload: Bytes,
    /// When it was taken, by the sender's wall clock. For people: nothing is decided by it.
    pub unix_ms: u64,
}

/// Why a receiver rejected an event for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("rejected ({code}): {message}")]
pub struct Refusal {
    /// A number that sender and handler agree upon.
    pub code: u32,
    /// For people; cut off after 128 bytes.
    pub message: String,
}

impl Refusal {
    /// No handler of the receiver takes events of this kind.
    pub const CODE_UNKNOWN_KIND: u32 = u32::MAX - 1;
    /// The handler panicked. It may have done a part of its work.
    pub const CODE_PANICKED: u32 = u32::MAX;

    /// A refusal; a long message is cut.
    pub fn new(code: u32, message: &str) -> Self {
        let mut end = message.len().min(REFUSAL_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Refusal {
            code,
            message: message[..end].into(),
        }
    }
}

/// What a receiver has decided about an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is applied.
    Applied,
    /// It is rejected for good.
    Rejected(Refusal),
}

/// What became of the events of a batch without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// None were left, or the time was over: the sender goes on at once.
    More,
    /// The receiver cannot apply them now, and has not; the text says why.
    Later(String),
    /// The receiver may have applied them, and does not know; the text says why. Only the same receiver, or one with its
    /// store, can find out.
    Unknown(String),
    /// The receiver still works on an earlier copy of the batch, or on too much else.
    Busy,
    /// The receiver has another store than the batch demands, and has applied nothing.
    OtherStore,
}

/// Events on their way. Their numbers grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which outbox sends.
    pub outbox: OutboxId,
    /// Only a receiver with this store may apply the batch, because some of it may be applied there.
    pub store: Option<Label>,
    /// The events, oldest first. All earlier ones of the outbox have been answered for.
    pub events: Vec<Event>,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// One for each of the first events.
    pub verdicts: Vec<Verdict>,
    /// What became of the others.
    pub rest: Rest,
    /// The receiver's store, if it shares one.
    pub store: Option<Label>,
}

/// Bytes that are no batch or no answer. The other side's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct BatchFrame {
    outbox: OutboxId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<Label>,
    events: AtMost<Event, EVENTS_MAX>,
}

#[derive(Serialize, Deserialize)]
struct AnswerFrame {
    verdicts: AtMost<Verdict, EVENTS_MAX>,
    rest: Rest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<Label>,
}

impl Batch {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        encode(&BatchFrame {
            outbox: self.outbox,
            store: self.store.clone(),
            events: AtMost(self.events.clone()),
        })
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Unreadable`] for anything but a batch of 1 to 1,024 events whose numbers grow.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let frame: BatchFrame = decode(bytes)?;
        let batch = Batch {
            outbox: frame.outbox,
            store: frame.store,
            events: frame.events.0,
        };
        let grow = batch.events.is_sorted_by(|a, b| a.seq < b.seq);
        let kinds = batch
            .events
            .iter()
            .all(|event| event.kind.len() <= KIND_BYTES_MAX);
        if batch.events.is_empty() || !grow || !kinds {
            return Err(Unreadable(
                "the batch is empty, its numbers do not grow, or a kind is too long".into(),
            ));
        }
        Ok(batch)
    }
}

impl BatchAnswer {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        encode(&AnswerFrame {
            verdicts: AtMost(self.verdicts.clone()),
            rest: self.rest.clone(),
            store: self.store.clone(),
        })
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Unreadable`] for anything but an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let frame: AnswerFrame = decode(bytes)?;
        let cut = |verdict| match verdict {
            Verdict::Rejected(refusal) => {
                Verdict::Rejected(Refusal::new(refusal.code, &refusal.message))
            }
            Verdict::Applied => Verdict::Applied,
        };
        Ok(BatchAnswer {
            verdicts: frame.verdicts.0.into_iter().map(cut).collect(),
            rest: frame.rest,
            store: frame.store,
        })
    }
}

fn encode(value: &impl Serialize) -> Bytes {
    let bytes = rmp_serde::to_vec_named(value);
    bytes.expect("plain structs are encodable").into()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    depth::check(bytes).map_err(|unfit| Unreadable(unfit.to_string()))?;
    // What the decoder says may quote 16 MiB of a peer's text.
    rmp_serde::from_slice(bytes)
        .map_err(|error| Unreadable(error.to_string().chars().take(200).collect()))
}
