//! Remembers first messages, so that a repeated one is refused.
//!
//! A recorded first message opens once more, but its sender cannot continue: a node tells a peer nothing before
//! the peer's first sealed record has opened. The guard saves the work and names the event. It is bounded: it
//! forgets the oldest of 4,096, about 160 KiB.

use std::collections::{BTreeSet, VecDeque};

/// The newest first messages of a node, over all of its connections.
#[derive(Debug, Default)]
pub struct ReplayGuard {
    /// In order of arrival, so that the oldest goes first.
    order: VecDeque<u64>,
    /// The same, to look up.
    seen: BTreeSet<u64>,
}

impl ReplayGuard {
    /// An empty guard.
    pub fn new() -> Self {
        ReplayGuard::default()
    }

    /// Remembers a message that opened; false when it was seen before.
    pub(super) fn admit(&mut self, message: u64) -> bool {
        if !self.seen.insert(message) {
            return false;
        }
        self.order.push_back(message);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// More than all handshakes of a mass restart of a thousand nodes.
const REMEMBERED_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_admitted_once_and_the_oldest_is_forgotten() {
        let mut guard = ReplayGuard::new();
        for message in 0..REMEMBERED_MAX as u64 {
            assert!(guard.admit(message));
            assert!(!guard.admit(message));
        }
        assert!(guard.admit(u64::MAX), "a new one has room");
        assert!(!guard.admit(1), "the others are still known");
        assert!(guard.admit(0), "the oldest is forgotten");
        assert_eq!(guard.order.len(), REMEMBERED_MAX);
        assert_eq!(guard.seen.len(), REMEMBERED_MAX);
    }
}
