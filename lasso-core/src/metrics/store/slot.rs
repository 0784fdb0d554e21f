//! What a store knows of one key.

use std::sync::Arc;

use super::{Entry, RefreshId};
use crate::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) entry: Option<Arc<Entry<V>>>,
    /// The refresh that is under way.
    pub(super) running: Option<RefreshId>,
    /// When the next refresh is due, and its number among those due then.
    pub(super) due: Option<(Instant, u64)>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// No refresh before this moment, after a failure.
    pub(super) not_before: Instant,
    /// When somebody last wanted it.
    pub(super) wanted_at: Instant,
    /// Somebody wanted it anew when there was an answer already.
    is_wanted_anew: bool,
}

impl<V> Slot<V> {
    pub(super) fn new(now: Instant) -> Self {
        Slot {
            entry: None,
            running: None,
            due: None,
            failures: 0,
            not_before: Instant::ZERO,
            wanted_at: now,
            is_wanted_anew: false,
        }
    }

    /// No refresh is under way, and none is due.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.due.is_none()
    }

    pub(super) fn wanted(&mut self, now: Instant) {
        self.wanted_at = self.wanted_at.max(now);
        self.is_wanted_anew |= self.entry.is_some();
    }

    /// Who gives way to a new key is of the least worth.
    pub(super) fn worth(&self) -> impl Ord + use<V> {
        (self.is_wanted_anew, self.wanted_at)
    }
}
