//! Ids that hold across restarts.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names one outbox for as long as its queue lives: on disk it is stored, in memory each start draws a new one.
///
/// Draw it at random. Two outboxes with one id lose events, because a receiver takes one's for repeats of the other's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutboxId(u128);

impl OutboxId {
    /// An id from a number, for tests.
    #[cfg(test)]
    pub(super) const fn from_u128(id: u128) -> Self {
        OutboxId(id)
    }

    /// An id from 16 random bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        OutboxId(u128::from_be_bytes(bytes))
    }

    /// The bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one event. Of two events of one outbox the later one has the larger id.
///
/// ```
/// use lasso_core::outbox::{EventId, OutboxId};
///
/// let id = EventId { outbox: OutboxId::new([1; 16]), seq: 42 };
/// assert_eq!(id.to_string(), "01010101010101010101010101010101-42");
/// assert_eq!("01010101010101010101010101010101-42".parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The outbox that took it.
    pub outbox: OutboxId,
    /// Its number in that outbox, from 1.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.outbox, self.seq)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no event id. The caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event id is 32 hexadecimal digits, `-` and a number")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let (outbox, seq) = text.split_once('-').ok_or(EventIdError)?;
        let hex = outbox.len() == 32 && outbox.bytes().all(|b| b.is_ascii_hexdigit());
        let outbox = u128::from_str_radix(outbox, 16).map_err(|_| EventIdError)?;
        let seq = seq.parse().map_err(|_| EventIdError)?;
        let id = EventId {
            outbox: OutboxId(outbox),
            seq,
        };
        hex.then_some(id).ok_or(EventIdError)
    }
}
