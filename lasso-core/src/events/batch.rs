//! What goes to the viewers together, and when.
//!
//! The first thing that waits opens a batch; it goes when it has been open for the interval, or at
//! once when it is full. Events keep their order; of a state only the newest value is kept. If
//! nothing went for long, an empty one goes, as a heartbeat.
//!
//! 1. Nothing waits for longer than the interval, and never more than the bound.
//! 2. While stopped, nothing is due.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::events::batch::Batch;
//! use lasso_core::time::Instant;
//!
//! let mut batch: Batch<&str, u32> = Batch::new(Duration::from_millis(500), 100, Duration::from_secs(2));
//! let start = Instant::ZERO;
//! batch.start(start);
//! batch.push_event(start, 7);
//! batch.push_state(start, "height", 100);
//! batch.push_state(start, "height", 101);
//! assert!(batch.poll(start).is_none());
//! let sent = batch.poll(start + Duration::from_millis(500)).expect("it is due");
//! assert_eq!((sent.events, sent.states.len()), (vec![7], 1));
//! assert_eq!(sent.states["height"], 101);
//! ```

use core::time::Duration;
use std::collections::BTreeMap;

use crate::time::{Instant, earliest};

/// One batch, or a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flush<K, T> {
    /// True when nothing had been waiting.
    pub is_heartbeat: bool,
    /// Events, in the order in which they came.
    pub events: Vec<T>,
    /// The newest value of each state that came.
    pub states: BTreeMap<K, T>,
}

/// The machine. See the module's text.
#[derive(Debug)]
pub struct Batch<K, T> {
    interval: Duration,
    max: usize,
    heartbeat: Duration,
    events: Vec<T>,
    states: BTreeMap<K, T>,
    /// When the first that waits came.
    opened_at: Option<Instant>,
    /// When a batch last went, or there was a start; `None` while stopped.
    last_at: Option<Instant>,
}

impl<K: Ord, T> Batch<K, T> {
    /// A stopped one, whose batches have at most `max` events and states together.
    pub fn new(interval: Duration, max: usize, heartbeat: Duration) -> Self {
        Batch {
            interval,
            max,
            heartbeat,
            events: Vec::new(),
            states: BTreeMap::new(),
            opened_at: None,
            last_at: None,
        }
    }

    /// There is somebody to deliver to. The first heartbeat is counted from now.
    pub fn start(&mut self, now: Instant) {
        self.last_at.get_or_insert(now);
    }

    /// There is nobody any more: what waits is handed out, and nothing is due from now on.
    pub fn stop(&mut self) -> Flush<K, T> {
        self.last_at = None;
        self.take()
    }

    /// True between [`Batch::start`] and [`Batch::stop`].
    pub fn is_running(&self) -> bool {
        self.last_at.is_some()
    }

    /// One more event. [`Batch::poll`] is to be called afterwards.
    pub fn push_event(&mut self, now: Instant, event: T) {
        self.events.push(event);
        self.opened_at.get_or_insert(now);
    }

    /// A new value of a state, in place of the one that waits. [`Batch::poll`] is to be called
    /// afterwards.
    pub fn push_state(&mut self, now: Instant, key: K, state: T) {
        self.states.insert(key, state);
        self.opened_at.get_or_insert(now);
    }

    /// Something else is to go with a batch, which is kept elsewhere.
    pub fn open(&mut self, now: Instant) {
        self.opened_at.get_or_insert(now);
    }

    /// The value of this state that waits.
    pub fn waiting_state(&self, key: &K) -> Option<&T> {
        self.states.get(key)
    }

    /// The batch or the heartbeat that is due now.
    pub fn poll(&mut self, now: Instant) -> Option<Flush<K, T>> {
        let full = self.is_running() && self.waiting() >= self.max;
        if !full && self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        self.last_at = Some(now);
        Some(self.take())
    }

    /// What waits, if anything does and there is somebody to deliver to, before it is due.
    pub fn hurry(&mut self, now: Instant) -> Option<Flush<K, T>> {
        if !self.is_running() || self.opened_at.is_none() {
            return None;
        }
        self.last_at = Some(now);
        Some(self.take())
    }

    /// When a batch or a heartbeat is due; `None` while stopped.
    pub fn deadline(&self) -> Option<Instant> {
        let heartbeat = self.last_at? + self.heartbeat;
        earliest(self.opened_at.map(|at| at + self.interval), Some(heartbeat))
    }

    /// Events and states that wait.
    pub fn waiting(&self) -> usize {
        self.events.len() + self.states.len()
    }

    fn take(&mut self) -> Flush<K, T> {
        let is_heartbeat = self.opened_at.take().is_none();
        let room = self.events.capacity().min(self.max);
        Flush {
            is_heartbeat,
            events: core::mem::replace(&mut self.events, Vec::with_capacity(room)),
            states: core::mem::take(&mut self.states),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn batch() -> Batch<u32, u32> {
        let mut batch = Batch::new(Duration::from_millis(500), 100, Duration::from_secs(2));
        batch.start(ms(0));
        batch
    }

    #[test]
    fn the_first_that_waits_goes_after_the_interval_and_not_before() {
        let mut batch = batch();
        batch.push_event(ms(100), 1);
        batch.push_event(ms(599), 2);
        assert_eq!(batch.deadline(), Some(ms(600)));
        assert_eq!(batch.poll(ms(599)), None);
        assert_eq!(batch.poll(ms(600)).unwrap().events, [1, 2]);
        assert_eq!(batch.waiting(), 0);
        assert_eq!(batch.poll(ms(1_100)), None, "nothing waits");
    }

    #[test]
    fn what_is_kept_elsewhere_goes_after_the_interval_too() {
        let mut batch = batch();
        batch.open(ms(100));
        batch.push_event(ms(200), 1);
        let sent = batch.poll(ms(600)).unwrap();
        assert!(!sent.is_heartbeat && sent.events == [1]);
    }

    #[test]
    fn the_hundredth_makes_it_go_at_once() {
        let mut batch = batch();
        for event in 0..98 {
            batch.push_event(ms(1), event);
        }
        batch.push_state(ms(1), 1, 0);
        batch.push_state(ms(1), 1, 1);
        assert_eq!(batch.poll(ms(1)), None, "99 wait");
        batch.push_event(ms(1), 98);
        let sent = batch.poll(ms(1)).unwrap();
        assert_eq!(sent.events, (0..99).collect::<Vec<_>>());
        assert_eq!(sent.states, BTreeMap::from([(1, 1)]));
    }

    #[test]
    fn a_heartbeat_goes_two_seconds_after_the_last_batch() {
        let mut batch = batch();
        batch.push_event(ms(0), 1);
        assert!(batch.poll(ms(500)).is_some());
        assert_eq!(batch.deadline(), Some(ms(2_500)));
        assert_eq!(batch.poll(ms(2_499)), None);
        let sent = batch.poll(ms(2_500)).unwrap();
        assert!(sent.is_heartbeat && sent.events.is_empty() && sent.states.is_empty());
        assert_eq!(batch.deadline(), Some(ms(4_500)));
    }

    #[test]
    fn while_stopped_nothing_is_due_and_nothing_is_lost() {
        let mut batch = batch();
        batch.push_event(ms(0), 1);
        assert_eq!(batch.stop().events, [1]);
        for event in 0..1_000 {
            batch.push_event(ms(1), event);
        }
        assert_eq!(batch.deadline(), None);
        assert_eq!(batch.poll(ms(10_000)), None);
        assert_eq!(batch.stop().events.len(), 1_000);
    }
}
