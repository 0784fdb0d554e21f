//! The queue of scheduled items: by time, then by owner, then by the order in which they were scheduled.
//!
//! The items of one node at one moment are adjacent, so that its memory is fetched once.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use lasso_core::time::Instant;

/// See the module's text.
///
/// Items stay in place; only their small keys are moved to keep the order.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Time, owner, order, and the place of the item.
    heap: BinaryHeap<Reverse<(Instant, u32, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Schedules something for `owner`, a number.
    pub(super) fn push(&mut self, at: Instant, owner: u32, what: T) {
        self.sequence += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(what);
                slot
            }
            None => {
                self.slots.push(Some(what));
                self.slots.len() as u32 - 1
            }
        };
        self.heap.push(Reverse((at, owner, self.sequence, slot)));
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let Reverse((.., slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }
}
