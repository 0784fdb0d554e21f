//! The events that wait, oldest first.
//!
//! 1. Numbers grow from the front to the back.
//! 2. An event that goes out at once never stands behind one that waits for its turn.

use core::time::Duration;
use std::collections::VecDeque;

use super::wire::Event;
use crate::time::Instant;

/// An event that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) event: Event,
    pub(super) since: Instant,
    /// Its age when the sender was made.
    pub(super) older: Duration,
    /// It is stored, or needs no store.
    pub(super) kept: bool,
    /// It goes out at once. Once this is false it stays so: the event waits for its turn.
    pub(super) going: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<Waiting>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.event.payload.len();
        self.events.push_back(waiting);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.events.pop_front()?;
        self.bytes -= waiting.event.payload.len();
        Some(waiting)
    }

    /// Takes out an event from anywhere.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Waiting> {
        let at = self.find(seq)?;
        let waiting = self.events.remove(at)?;
        self.bytes -= waiting.event.payload.len();
        Some(waiting)
    }

    /// An event is kept; whether it goes out at once. `None`: it is not there.
    pub(super) fn keep(&mut self, seq: u64) -> Option<bool> {
        let at = self.find(seq)?;
        self.events[at].kept = true;
        Some(self.events[at].going)
    }

    /// What goes out at once waits now; the numbers of those events that are kept.
    pub(super) fn hold(&mut self) -> Vec<u64> {
        let mut held = Vec::new();
        for waiting in self.events.iter_mut().rev().take_while(|w| w.going) {
            waiting.going = false;
            held.extend(waiting.kept.then_some(waiting.event.seq));
        }
        held.reverse();
        held
    }

    /// The first events that are kept: at most `events`, with at most `bytes` of payload unless the first has more.
    pub(super) fn batch(&self, events: usize, bytes: usize) -> Vec<Event> {
        let mut sum = 0;
        let fits = |(n, waiting): &(usize, &Waiting)| {
            sum += waiting.event.payload.len();
            waiting.kept && (*n == 0 || sum <= bytes)
        };
        let first = self.events.iter().take(events).enumerate();
        let first = first.take_while(fits);
        first.map(|(_, waiting)| waiting.event.clone()).collect()
    }

    pub(super) fn head(&self) -> Option<&Waiting> {
        self.events.front()
    }

    /// Whether an event may go out at once without overtaking another.
    pub(super) fn flows(&self) -> bool {
        self.events.back().is_none_or(|last| last.going)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.events.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn find(&self, seq: u64) -> Option<usize> {
        self.events.binary_search_by_key(&seq, |w| w.event.seq).ok()
    }

    pub(super) fn assert_invariants(&self) {
        if self.events.len() > INVARIANTS_MAX {
            return;
        }
        let queue = || self.events.iter();
        debug_assert!(queue().is_sorted_by(|a, b| a.event.seq < b.event.seq));
        debug_assert!(queue().is_sorted_by(|a, b| a.going || !b.going));
        let bytes: usize = queue().map(|waiting| waiting.event.payload.len()).sum();
        debug_assert_eq!(bytes, self.bytes);
    }
}

/// Longer queues are not looked through after each input.
const INVARIANTS_MAX: usize = 64;
