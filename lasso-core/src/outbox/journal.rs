//! What a sender has ordered its store to write, and has no word of yet.
//!
//! 1. Writes go to the store in groups, in order, one group at a time. A group is stored whole or not at all, so after a
//!    crash the store holds the first so many groups. What is written meanwhile forms the next group (group commit,
//!    DeWitt and others, 1984).
//! 2. After a group has failed for lack of room its events are refused, and its other writes, which make room, go alone
//!    in the next.
//! 3. After any other failure nothing is written any more: what the disk holds is known only once it is opened anew.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::name::{Label, NodeName};
use crate::outbox::dead::DeadLetter;
use crate::outbox::id::OutboxId;
use crate::outbox::wire::Event;

/// Numbers groups of writes, from 1.
pub type WriteId = u64;

/// The node with which the oldest events may have been tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Which node.
    pub node: NodeName,
    /// The store that it has named, if any.
    pub store: Option<Label>,
    /// The newest event that may have been tried with it.
    pub through: u64,
}

/// A change of what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// An event was taken. `tried`: it may be sent at once to the attached node.
    Append {
        /// The event.
        event: Event,
        /// See above.
        tried: bool,
    },
    /// Receivers have answered for all events up to `through`. Those in `dead` were rejected; the letters in `gone` made
    /// room for them.
    Settle {
        /// The newest event that leaves.
        through: u64,
        /// New dead letters.
        dead: Vec<DeadLetter>,
        /// Dead letters to drop.
        gone: Vec<u64>,
    },
    /// Events are about to be tried with a node.
    Attach(Attached),
    /// A dead letter becomes a new event.
    Retry {
        /// The letter's number.
        old: u64,
        /// The new event.
        event: Event,
    },
    /// Dead letters are dropped.
    Drop(Vec<u64>),
}

/// Why a write failed. Nothing of it is stored, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PersistProblem {
    /// There is no room; the store goes on.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The store failed and takes nothing until it is opened anew. Whether the write is stored is not known.
    #[error("the store failed, and takes nothing until it has been closed and opened again: {0}")]
    Broken(String),
}

/// What a store holds. [`Stored::apply`] says what each write means, for stores and for tests of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The outbox's id.
    pub id: OutboxId,
    /// The number of the newest event that was ever taken, 0 before the first.
    pub last: u64,
    /// The events that wait, oldest first.
    pub events: VecDeque<Event>,
    /// The dead letters, oldest first.
    pub dead: Vec<DeadLetter>,
    /// The node with which events may have been tried.
    pub attached: Option<Attached>,
}

impl Stored {
    /// A new and empty store.
    pub fn new(id: OutboxId) -> Self {
        Stored {
            id,
            last: 0,
            events: VecDeque::new(),
            dead: Vec::new(),
            attached: None,
        }
    }

    /// Carries out a write.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Append { event, tried } => {
                self.take(event);
                if let Some(attached) = self.attached.as_mut().filter(|_| *tried) {
                    attached.through = event.seq;
                }
            }
            Write::Settle {
                through,
                dead,
                gone,
            } => {
                self.events.retain(|event| event.seq > *through);
                self.dead.extend(dead.iter().cloned());
                self.dead.retain(|letter| !gone.contains(&letter.event.seq));
            }
            Write::Attach(attached) => self.attached = Some(attached.clone()),
            Write::Retry { old, event } => {
                self.dead.retain(|letter| letter.event.seq != *old);
                self.take(event);
            }
            Write::Drop(gone) => self.dead.retain(|letter| !gone.contains(&letter.event.seq)),
        }
    }

    fn take(&mut self, event: &Event) {
        self.last = self.last.max(event.seq);
        self.events.push_back(event.clone());
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Journal {
    last: WriteId,
    /// Writes of the next group.
    waiting: Vec<Write>,
    /// The group without word.
    ordered: Option<Vec<Write>>,
    /// How many of both hold up sending.
    holds_up: usize,
    /// The last group failed for lack of room: writes that make room go alone.
    short: bool,
    /// Only a new event or time ends the wait for room.
    blocked: bool,
    broken: Option<String>,
}

impl Journal {
    /// Why nothing is written any more, if so.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// A write for the next group.
    pub(super) fn write(&mut self, write: Write) {
        if self.broken.is_none() {
            self.blocked &= !write.is_event();
            self.holds_up += usize::from(write.holds_up());
            self.waiting.push(write);
        }
    }

    /// The next group, once there is word of the last one.
    pub(super) fn next_group(&mut self) -> Option<(WriteId, Vec<Write>)> {
        if self.ordered.is_some() || self.blocked || self.waiting.is_empty() {
            return None;
        }
        let mut group = core::mem::take(&mut self.waiting);
        if self.short && !group.iter().all(Write::is_event) {
            (self.waiting, group) = group.into_iter().partition(Write::is_event);
        }
        self.last += 1;
        self.ordered = Some(group.clone());
        Some((self.last, group))
    }

    /// The group is stored. `None` for a word about another one, which the driver must not give.
    pub(super) fn persisted(&mut self, id: WriteId) -> Option<Vec<Write>> {
        let group = self.ordered.take_if(|_| id == self.last)?;
        self.short = false;
        self.holds_up -= group.iter().filter(|write| write.holds_up()).count();
        Some(group)
    }

    /// The group is not stored; the events that are refused with that. What else was to be written comes first in the
    /// next group, or is never written.
    pub(super) fn failed(&mut self, id: WriteId, problem: &PersistProblem) -> Vec<Write> {
        let Some(group) = self.ordered.take_if(|_| id == self.last) else {
            return Vec::new();
        };
        let made_room = !group.iter().any(Write::is_event);
        let waiting = core::mem::take(&mut self.waiting);
        let (mut refused, mut rest): (Vec<_>, Vec<_>) =
            group.into_iter().partition(Write::is_event);
        match problem {
            PersistProblem::Full(_) => {
                // Where not even those fit that make room, no event does.
                let (events, others): (Vec<_>, Vec<_>) =
                    waiting.into_iter().partition(Write::is_event);
                rest.extend(others);
                if made_room {
                    refused.extend(events);
                } else {
                    rest.extend(events);
                }
                self.short = true;
                self.blocked = !rest.iter().any(Write::is_event);
                self.waiting = rest;
            }
            PersistProblem::Broken(why) => {
                self.broken = Some(why.clone());
                self.holds_up = 0;
                refused.extend(waiting.into_iter().filter(Write::is_event));
            }
        }
        refused
    }

    /// Whether something waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked && !self.waiting.is_empty()
    }

    /// It is time to try again.
    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Whether nothing may be sent before a write is stored: an attachment, or new dead letters.
    pub(super) fn holds_up(&self) -> bool {
        self.holds_up > 0
    }
}

impl Write {
    /// Whether it is a new event, for which a caller waits.
    fn is_event(&self) -> bool {
        matches!(self, Write::Append { .. } | Write::Retry { .. })
    }

    /// Whether sending must wait for it. A receiver remembers the rejected events of the last batch only, so the letters
    /// of one batch must be stored before the next goes out.
    fn holds_up(&self) -> bool {
        match self {
            Write::Attach(_) => true,
            Write::Settle { dead, .. } => !dead.is_empty(),
            _ => false,
        }
    }
}
