//! Decides which peers to ask for their views again, because these contain a node whose link was lost here.
//!
//! Views arrive with rounds of health checks, so the last ones may be a round old. After a crash they all still
//! contain the lost node, so no node could tell that it is cut off from all others.
//!
//! 1. A peer is asked once for each lost node, after a while in which the peer may have lost it too.
//! 2. At most [`AT_ONCE`] peers are asked at a time.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::name::NodeName;
use crate::time::Instant;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts {
    /// The peers still to be asked.
    waiting: BTreeSet<NodeName>,
    /// When the next peers are asked.
    ask_at: Option<Instant>,
}

impl Doubts {
    /// The views of these peers contain a node that was lost just now.
    pub(super) fn raise(&mut self, now: Instant, peers: impl Iterator<Item = NodeName>) {
        self.waiting.extend(peers);
        if !self.waiting.is_empty() {
            // A crash may take several nodes at a time: the last loss counts.
            self.ask_at = Some(now + WAIT);
        }
    }

    /// The peer has sent its view, or is gone.
    pub(super) fn settle(&mut self, peer: &NodeName) {
        self.waiting.remove(peer);
        if self.waiting.is_empty() {
            self.ask_at = None;
        }
    }

    /// The peers to ask now.
    pub(super) fn whom_to_ask(&mut self, now: Instant) -> Vec<NodeName> {
        if self.ask_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let asked: Vec<_> = (0..AT_ONCE)
            .map_while(|_| self.waiting.pop_first())
            .collect();
        self.ask_at = (!self.waiting.is_empty()).then_some(now + WAIT);
        asked
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }
}

/// Long enough for the others to notice a crash, short enough for an island to be seen within 2 s of it.
const WAIT: Duration = Duration::from_millis(500);
/// All peers of a small cluster; in a large one the next round asks most of them.
const AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn names(hosts: core::ops::Range<u8>) -> Vec<NodeName> {
        hosts
            .map(|host| format!("a@10.0.0.{host}").parse().unwrap())
            .collect()
    }

    #[test]
    fn peers_are_asked_a_few_at_a_time_and_each_once() {
        let mut doubts = Doubts::default();
        doubts.raise(at(0), names(1..11).into_iter());
        assert_eq!(doubts.deadline(), Some(at(500)));
        assert!(doubts.whom_to_ask(at(499)).is_empty());
        assert_eq!(doubts.whom_to_ask(at(500)), names(1..9));
        assert_eq!(doubts.whom_to_ask(at(1_000)), names(9..11));
        assert_eq!(doubts.deadline(), None);
    }

    #[test]
    fn a_second_loss_gives_the_others_as_long_to_notice_it_as_the_first() {
        let mut doubts = Doubts::default();
        doubts.raise(at(0), names(1..3).into_iter());
        doubts.raise(at(499), names(1..3).into_iter());
        assert!(doubts.whom_to_ask(at(998)).is_empty());
        assert_eq!(doubts.whom_to_ask(at(999)), names(1..3));
    }

    #[test]
    fn who_has_told_its_view_is_not_asked() {
        let mut doubts = Doubts::default();
        doubts.raise(at(0), names(1..3).into_iter());
        doubts.settle(&names(1..2)[0]);
        assert_eq!(doubts.whom_to_ask(at(500)), names(2..3));
        doubts.raise(at(600), names(1..2).into_iter());
        doubts.settle(&names(1..2)[0]);
        assert_eq!(doubts.deadline(), None);
    }
}
