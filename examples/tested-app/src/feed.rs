//! What one node has read of the orders of all.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one node.
#[derive(Debug, Default)]
pub struct Feed {
    heard: AtomicU64,
    missed: AtomicU64,
    published: AtomicU64,
}

/// The counters of a [`Feed`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Orders that the node read.
    pub heard: u64,
    /// Orders that it was told it had missed.
    pub missed: u64,
    /// Orders that it published itself.
    pub published: u64,
}

impl Feed {
    pub(crate) fn heard(&self, _id: u64) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn missed(&self, orders: u64) {
        self.missed.fetch_add(orders, Ordering::Relaxed);
    }

    pub(crate) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// All counters.
    pub fn counts(&self) -> Counts {
        Counts {
            heard: self.heard.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            published: self.published.load(Ordering::Relaxed),
        }
    }
}
