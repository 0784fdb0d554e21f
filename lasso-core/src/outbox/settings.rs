//! The numbers that an outbox and an inbox run by.

use core::time::Duration;

use crate::config::{SettingsError, check};
use crate::outbox::wire::EVENTS_MAX;

/// Settings of one outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Most events that wait, 10,000; at least 1. Higher: more memory, and a longer replay. Lower: `Full` comes sooner.
    pub queue_max: usize,
    /// Most bytes of payload that wait, 64 MiB; at least `event_bytes_max`. Higher, lower: as above.
    pub queue_bytes_max: usize,
    /// Largest payload of an event, 256 KiB; at least 1 byte. Higher: a batch may be that much larger. Lower: larger
    /// events are refused.
    pub event_bytes_max: usize,
    /// Most events of one batch, 256; 1 to 1,024. Higher: fewer round trips in a replay, and more to repeat after a
    /// failure. Lower: a slower replay.
    pub batch_max: usize,
    /// Most bytes of payload of one batch, 1 MiB; at least `event_bytes_max`. Higher, lower: as above.
    pub batch_bytes_max: usize,
    /// How long the sender waits for the answer to a batch, 10 s; at least 1 ms. Higher: a receiver that hangs is
    /// noticed later. Lower: slow handlers cause repeats.
    pub answer_timeout: Duration,
    /// The wait after a failed try, 100 ms; at least 1 ms. It doubles with each failure. A node that connects ends it.
    /// Higher: events wait longer. Lower: more tries in vain.
    pub retry_min: Duration,
    /// The longest wait after a failed try, 10 s; at least `retry_min`. Higher, lower: as above.
    pub retry_max: Duration,
    /// How long a node must have been gone before events whose outcome there is unknown go to another node, 24 h.
    /// Higher: they wait longer for a node that never returns. Lower: a node that returns later may have applied them
    /// too.
    pub release_after: Duration,
    /// Most dead letters, 1,000; at least 1. When there is one more, the oldest is dropped and counted. Higher: more memory.
    /// Lower: less time to look at them.
    pub dead_max: usize,
    /// Most bytes of payload of all dead letters, 16 MiB; at least `event_bytes_max`. Higher, lower: as above.
    pub dead_bytes_max: usize,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            queue_max: 10_000,
            queue_bytes_max: 64 << 20,
            event_bytes_max: 256 << 10,
            batch_max: 256,
            batch_bytes_max: 1 << 20,
            answer_timeout: Duration::from_secs(10),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            release_after: Duration::from_secs(24 * 3600),
            dead_max: 1_000,
            dead_bytes_max: 16 << 20,
        }
    }
}

impl OutboxSettings {
    /// Checks ranges and the relations between fields.
    ///
    /// # Errors
    /// The first field that is out of range or contradicts another.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let event = self.event_bytes_max;
        let at_least_an_event = "it must be at least outbox.event_bytes_max";
        let one = "at least 1 is accepted";
        let sizes = [
            ("outbox.queue_bytes_max", self.queue_bytes_max),
            ("outbox.batch_bytes_max", self.batch_bytes_max),
            ("outbox.dead_bytes_max", self.dead_bytes_max),
        ];
        check(self.queue_max >= 1, "outbox.queue_max", self.queue_max, one)?;
        check(event >= 1, "outbox.event_bytes_max", event, one)?;
        for (field, bytes) in sizes {
            check(bytes >= event, field, bytes, at_least_an_event)?;
        }
        check(
            (1..=EVENTS_MAX).contains(&self.batch_max),
            "outbox.batch_max",
            self.batch_max,
            "1 to 1,024 is accepted",
        )?;
        let millisecond = Duration::from_millis(1);
        let times = [
            ("outbox.answer_timeout", self.answer_timeout),
            ("outbox.retry_min", self.retry_min),
        ];
        for (field, time) in times {
            check(time >= millisecond, field, time, "at least 1ms is accepted")?;
        }
        check(
            self.retry_max >= self.retry_min,
            "outbox.retry_max",
            self.retry_max,
            "it must be at least outbox.retry_min",
        )?;
        check(self.dead_max >= 1, "outbox.dead_max", self.dead_max, one)
    }
}

/// Settings of a node's inbox, which is what receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxSettings {
    /// Most senders that are remembered, 10,000; at least 1. With one more, the sender whose record was written longest
    /// ago is forgotten, which is counted: an event that it repeats after that is applied again. Higher: 100 bytes of
    /// memory each, and 8 KiB for one whose last batch was mostly rejected. Lower: senders are forgotten sooner.
    pub senders_max: usize,
    /// Most batches applied at a time, 64; at least 1. More are told to come again. Higher: more work at once. Lower:
    /// senders wait for each other.
    pub works_max: usize,
    /// The longest that one batch is applied before its sender gets an answer about the first part of it, 2 s. Keep it
    /// well below the senders' `answer_timeout`. Higher: slow handlers make senders time out. Lower: more answers.
    pub work_time: Duration,
    /// How long after the start an event of an unknown kind is put off instead of rejected, 10 s. Higher: a kind that
    /// nobody handles holds up its outbox for longer after a start. Lower: an application that registers handlers late loses
    /// events to the dead letters.
    pub unknown_after: Duration,
}

impl Default for InboxSettings {
    fn default() -> Self {
        InboxSettings {
            senders_max: 10_000,
            works_max: 64,
            work_time: Duration::from_secs(2),
            unknown_after: Duration::from_secs(10),
        }
    }
}

impl InboxSettings {
    /// Checks ranges.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let one = "at least 1 is accepted";
        check(
            self.senders_max >= 1,
            "inbox.senders_max",
            self.senders_max,
            one,
        )?;
        check(self.works_max >= 1, "inbox.works_max", self.works_max, one)
    }
}
