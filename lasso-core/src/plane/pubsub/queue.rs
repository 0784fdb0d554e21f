//! What waits for one subscriber.
//!
//! 1. At most so many messages and so many bytes wait, and one message of any size; then the oldest
//!    give way, and their number stands at the front.
//! 2. Two numbers of missed messages never stand side by side, so that there is at most one more of
//!    them than messages.
//! 3. Messages taken = read + shed + held. Losses noted = told + waiting to be told.

use std::collections::VecDeque;

use super::{Message, Update};

/// Where the messages for one subscriber went: `taken` is the sum of the next three, and is counted apart
/// from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueAudit {
    /// Messages for it.
    pub taken: u64,
    /// Those that it has read.
    pub read: u64,
    /// Those that gave way.
    pub shed: u64,
    /// Those that wait.
    pub held: u64,
    /// The most that ever waited.
    pub most: u64,
    /// The most bytes that ever waited, where it was more than one message.
    pub most_bytes: u64,
    /// How many may wait.
    pub bound: u64,
    /// Bytes of the messages that it ever took: the sum of the next three, and counted apart from them.
    pub bytes_taken: u64,
    /// Bytes of those that were read.
    pub bytes_read: u64,
    /// Bytes of those that gave way.
    pub bytes_shed: u64,
    /// Bytes of those that wait, as the queue compares them with its bound.
    pub bytes_held: u64,
    /// Losses that the reader had to be told of: the sum of the next two, and counted apart from them.
    pub missed: u64,
    /// Losses that the reader was told of.
    pub missed_read: u64,
    /// Losses of which the report waits.
    pub missed_held: u64,
}

/// See the module's text.
pub(super) struct Queue {
    messages_max: usize,
    bytes_max: usize,
    /// In order; never begins with a number of missed ones while some were shed.
    updates: VecDeque<Update>,
    /// Missed before all of `updates`, as messages gave way.
    missed: u64,
    messages: usize,
    bytes: usize,
    taken: u64,
    read: u64,
    shed: u64,
    most: usize,
    most_bytes: usize,
    bytes_taken: u64,
    bytes_read: u64,
    bytes_shed: u64,
    /// Losses ever noted, and those that were read.
    noted: u64,
    told: u64,
}

impl Queue {
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Queue {
            messages_max: messages_max.max(1),
            bytes_max,
            updates: VecDeque::new(),
            missed: 0,
            messages: 0,
            bytes: 0,
            taken: 0,
            read: 0,
            shed: 0,
            most: 0,
            most_bytes: 0,
            bytes_taken: 0,
            bytes_read: 0,
            bytes_shed: 0,
            noted: 0,
            told: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// True when what waits may keep as much memory alive as half of the bytes that may wait, with a
    /// record for each message. What comes now should be no part of one; a reader that keeps up never
    /// gets here, and costs no copy.
    pub(super) fn pins_much(&self) -> bool {
        self.messages > self.bytes_max / 2 / RECORD_BYTES_MAX
    }

    /// How many older ones gave way.
    pub(super) fn push(&mut self, message: Message) -> u64 {
        self.bytes += message.payload.len();
        self.bytes_taken += message.payload.len() as u64;
        self.messages += 1;
        self.taken += 1;
        self.updates.push_back(Update::Message(message));
        let mut shed = 0;
        if self.messages > self.messages_max || self.bytes > self.bytes_max {
            shed = self.shed();
        }
        self.most = self.most.max(self.messages);
        if self.messages > 1 {
            self.most_bytes = self.most_bytes.max(self.bytes);
        }
        shed
    }

    pub(super) fn push_missed(&mut self, number: u64) {
        self.noted = self.noted.saturating_add(number);
        if let Some(Update::Missed(before)) = self.updates.back_mut() {
            *before = before.saturating_add(number);
        } else {
            self.updates.push_back(Update::Missed(number));
        }
    }

    /// Moves everything to the end of `out`.
    pub(super) fn read(&mut self, out: &mut VecDeque<Update>) {
        self.read += self.messages as u64;
        self.bytes_read += self.bytes as u64;
        (self.messages, self.bytes) = (0, 0);
        self.told = self.told.saturating_add(self.missed_held());
        if self.missed > 0 {
            out.push_back(Update::Missed(core::mem::take(&mut self.missed)));
        }
        if out.is_empty() {
            // The reader's memory for the queue's: neither allocates again.
            core::mem::swap(&mut self.updates, out);
        } else {
            out.append(&mut self.updates);
        }
    }

    pub(super) fn audit(&self) -> QueueAudit {
        QueueAudit {
            taken: self.taken,
            read: self.read,
            shed: self.shed,
            held: self.messages as u64,
            most: self.most as u64,
            most_bytes: self.most_bytes as u64,
            bound: self.messages_max as u64,
            bytes_taken: self.bytes_taken,
            bytes_read: self.bytes_read,
            bytes_shed: self.bytes_shed,
            bytes_held: self.bytes as u64,
            missed: self.noted,
            missed_read: self.told,
            missed_held: self.missed_held(),
        }
    }

    /// Losses of which the report waits.
    fn missed_held(&self) -> u64 {
        if self.noted == 0 {
            // The usual case, in which nothing has to be looked through.
            return 0;
        }
        let waiting = self.updates.iter().map(|update| match update {
            Update::Missed(number) => *number,
            Update::Message(_) => 0,
        });
        waiting.fold(self.missed, u64::saturating_add)
    }

    pub(super) fn assert_invariants(&self) {
        assert_eq!(self.taken, self.read + self.shed + self.messages as u64);
        assert!(self.messages <= self.messages_max);
        assert!(self.bytes <= self.bytes_max || self.messages == 1);
        let messages = self.updates.iter().filter_map(|update| match update {
            Update::Message(message) => Some(message.payload.len()),
            Update::Missed(_) => None,
        });
        let (mut count, mut bytes) = (0, 0);
        messages.for_each(|length| (count, bytes) = (count + 1, bytes + length));
        assert_eq!((count, bytes), (self.messages, self.bytes));
        assert!(self.updates.len() <= 2 * count + 1);
        let begins_missed = matches!(self.updates.front(), Some(Update::Missed(_)));
        assert!(self.missed == 0 || !begins_missed && count > 0);
    }

    #[cold]
    fn shed(&mut self) -> u64 {
        let mut shed = 0;
        while self.messages > 1
            && (self.messages > self.messages_max || self.bytes > self.bytes_max)
        {
            match self.updates.pop_front() {
                Some(Update::Message(message)) => {
                    self.bytes -= message.payload.len();
                    self.bytes_shed += message.payload.len() as u64;
                    self.messages -= 1;
                    self.missed = self.missed.saturating_add(1);
                    shed += 1;
                }
                Some(Update::Missed(number)) => self.missed = self.missed.saturating_add(number),
                None => break,
            }
        }
        if let Some(Update::Missed(number)) = self.updates.front() {
            self.missed = self.missed.saturating_add(*number);
            self.updates.pop_front();
        }
        self.shed += shed;
        self.noted = self.noted.saturating_add(shed);
        shed
    }
}

/// A message is a part of a record that is no longer than this.
const RECORD_BYTES_MAX: usize = 64 << 10;
