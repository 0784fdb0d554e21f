//! The events of some keys, and the write of the oldest of them.
//!
//! 1. At most one write is under way, of the first events.
//! 2. A failed write is repeated with exactly its events, however many have come since.

use core::time::Duration;
use std::collections::VecDeque;

use super::item::Item;
use super::settings::IngestSettings;
use crate::time::Instant;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Partition {
    items: VecDeque<(Instant, Item)>,
    /// So many of the first events have been tried.
    tried: usize,
    is_writing: bool,
    /// No write before that.
    wait_until: Option<Instant>,
    /// The next wait.
    wait: Duration,
}

impl Partition {
    pub(super) fn new(settings: &IngestSettings) -> Self {
        Partition {
            items: VecDeque::new(),
            tried: 0,
            is_writing: false,
            wait_until: None,
            wait: settings.retry_min,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn push(&mut self, now: Instant, item: Item) {
        self.items.push_back((now, item));
    }

    /// When the next write is due. `None`: one is under way, or nothing waits.
    pub(super) fn due(&self, settings: &IngestSettings, stops: bool) -> Option<Instant> {
        let (oldest, _) = self.items.front().filter(|_| !self.is_writing)?;
        let enough = stops || self.tried > 0 || self.items.len() >= settings.flush_items;
        let due = if enough {
            *oldest
        } else {
            *oldest + settings.flush_after
        };
        Some(due.max(self.wait_until.unwrap_or(due)))
    }

    /// Begins a write; its events.
    pub(super) fn write(&mut self, settings: &IngestSettings) -> Vec<Item> {
        debug_assert!(!self.is_writing, "one write at a time");
        self.is_writing = true;
        self.wait_until = None;
        if self.tried == 0 {
            self.tried = self.items.len().min(settings.flush_items);
        }
        let first = self.items.iter().take(self.tried);
        first.map(|(_, item)| item.clone()).collect()
    }

    /// The write has succeeded; its events, which leave. `None`: none was under way.
    pub(super) fn written(&mut self, settings: &IngestSettings) -> Option<Vec<Item>> {
        if !core::mem::take(&mut self.is_writing) {
            return None;
        }
        self.wait = settings.retry_min;
        let written = self.items.drain(..core::mem::take(&mut self.tried));
        Some(written.map(|(_, item)| item).collect())
    }

    /// The write has failed, or nobody knows; whether one was under way.
    pub(super) fn failed(&mut self, now: Instant, settings: &IngestSettings) -> bool {
        if !core::mem::take(&mut self.is_writing) {
            return false;
        }
        self.wait_until = Some(now + self.wait);
        self.wait = (self.wait * 2).min(settings.retry_max);
        true
    }

    /// How long a caller waits for room, as far as is known.
    pub(super) fn retry_after(&self, now: Instant) -> Duration {
        self.wait_until.map_or(Duration::ZERO, |until| until - now)
    }

    /// How long the oldest event has waited.
    pub(super) fn oldest_age(&self, now: Instant) -> Option<Duration> {
        self.items.front().map(|(since, _)| now - *since)
    }

    pub(super) fn assert_invariants(&self, settings: &IngestSettings) {
        debug_assert!(self.items.len() <= settings.partition_items_max);
        debug_assert!(self.tried <= settings.flush_items.min(self.items.len()));
        debug_assert!(!self.is_writing || self.tried > 0);
    }
}
