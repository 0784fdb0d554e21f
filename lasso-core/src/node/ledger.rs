//! What a node counts and what it tells the operator.
//!
//! Closed connections are counted by reason. A refusal becomes a notice once per address, reason
//! and minute, and strangers get a bounded number of them in sum; what is suppressed is counted.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{CloseReason, Notice};
use crate::name::NodeName;
use crate::throttle::{PEERS_MAX, Pace, Paces, Throttle};
use crate::time::Instant;

/// Counters of a node; they only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Connections dialled.
    pub dials: u64,
    /// Dials that ended before a connection stood: nobody listens there, or there is no way there. One that took
    /// too long is among `closed`, as `connect_timeout`.
    pub dials_failed: u64,
    /// Connections accepted.
    pub accepts: u64,
    /// Links that came to stand, replacements included.
    pub links: u64,
    /// Links that took the place of a standing one of the same incarnation.
    pub links_replaced: u64,
    /// Connections that this side closed, by reason.
    pub closed: BTreeMap<&'static str, u64>,
    /// Connections that the other side closed with a reason, by reason.
    pub closed_by_peer: BTreeMap<&'static str, u64>,
    /// Inputs that named a connection that was gone: normal in small numbers.
    pub stale_inputs: u64,
    /// Times that the node was run late by more than it can tell from silence.
    pub stalls: u64,
    /// Words of peers that know a later life of this node's name, and were not acted upon, since the
    /// node had started over shortly before.
    pub renumberings_held: u64,
    /// Notices suppressed: one like it was given within the minute, or there were too many.
    pub notices_held: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) counters: Counters,
    throttle: Throttle<IpAddr>,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger {
            counters: Counters::default(),
            throttle: Throttle::new(PACES),
        }
    }
}

impl Ledger {
    /// Counts a closed connection; a notice comes back where the operator should hear of it.
    /// `is_known`: this node looks for one at the address, so that strangers cannot use up its notices.
    pub(super) fn closed(
        &mut self,
        now: Instant,
        address: IpAddr,
        name: Option<&NodeName>,
        is_known: bool,
        reason: &CloseReason,
        by_peer: bool,
    ) -> Option<Notice> {
        let counters = &mut self.counters;
        let by = if by_peer {
            &mut counters.closed_by_peer
        } else {
            &mut counters.closed
        };
        *by.entry(reason.name()).or_default() += 1;
        if !reason.is_refusal() {
            return None;
        }
        if !self.may_tell(now, address, is_known, reason.name()) {
            return None;
        }
        Some(Notice::Refused {
            address,
            name: name.cloned(),
            reason: reason.clone(),
            by_peer,
        })
    }

    /// Notices that are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.throttle.remembered()
    }

    /// True once per address, kind and minute, as long as there is room; else it is counted.
    pub(super) fn may_tell(
        &mut self,
        now: Instant,
        address: IpAddr,
        is_known: bool,
        kind: &'static str,
    ) -> bool {
        let may = self.throttle.admit(now, kind, &address, is_known);
        self.counters.notices_held += u64::from(!may);
        may
    }
}

impl super::Node {
    /// How many heartbeats the connections that stand have sent.
    pub fn heartbeats(&self) -> u64 {
        self.conns.values().map(|conn| conn.link.heartbeats()).sum()
    }

    /// How many notices it remembers, so as not to repeat them.
    pub fn notices(&self) -> usize {
        self.ledger.remembered()
    }
}

/// Most notices remembered: strangers from many addresses must not fill memory or the log.
pub const NOTICES_MAX: usize = PEERS_MAX;
/// One line per address, reason and minute. In sum, strangers get what an operator can read, and the
/// nodes that this one knows as much as the largest cluster that is tested needs.
const PACES: Paces = Paces {
    each: Pace {
        burst: 1,
        every: Duration::from_secs(60),
    },
    known: Pace {
        burst: 2_048,
        every: Duration::from_millis(50),
    },
    strangers: Pace {
        burst: 64,
        every: Duration::from_secs(1),
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn a_flood_of_strangers_leaves_room_for_a_node_with_a_wrong_cookie() {
        let mut ledger = Ledger::default();
        let mut refuse = |address, is_known, reason| {
            let now = Instant::ZERO;
            let notice = ledger.closed(now, address, None, is_known, &reason, false);
            notice.is_some()
        };
        for reason in [CloseReason::Garbage, CloseReason::WrongCookie] {
            let told = (0..10_000).filter(|n| refuse(stranger(*n), false, reason.clone()));
            assert!(told.count() <= 64);
        }
        let node = stranger(1_000_000);
        assert!(refuse(node, true, CloseReason::WrongCookie));
        assert!(
            !refuse(node, true, CloseReason::WrongCookie),
            "once a minute"
        );
        assert_eq!(ledger.counters.notices_held, 2 * (10_000 - 64) + 1);
    }
}
