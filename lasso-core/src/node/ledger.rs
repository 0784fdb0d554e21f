//! What a node counts and what it tells the operator.
//!
//! Closed connections are counted by reason. A refusal becomes a notice once per address, reason
//! and minute; what was held back is counted.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{CloseReason, Notice};
use crate::name::NodeName;
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
    /// Notices held back, since one like it was given within the minute.
    pub notices_held: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counters: Counters,
    /// When a notice of that kind was last given.
    given: BTreeMap<(IpAddr, &'static str), Instant>,
}

impl Ledger {
    /// Counts a closed connection; a notice comes back where the operator should hear of it.
    pub(super) fn closed(
        &mut self,
        now: Instant,
        address: IpAddr,
        name: Option<&NodeName>,
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
        if !self.may_tell(now, address, reason.name()) {
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
        self.given.len()
    }

    /// True once per address, kind and minute, for as many as are remembered; else it is counted.
    pub(super) fn may_tell(&mut self, now: Instant, address: IpAddr, kind: &'static str) -> bool {
        let may = self.is_news(now, address, kind);
        self.counters.notices_held += u64::from(!may);
        may
    }

    fn is_news(&mut self, now: Instant, address: IpAddr, kind: &'static str) -> bool {
        if let Some(last) = self.given.get(&(address, kind))
            && now - *last < NOTICE_INTERVAL
        {
            return false;
        }
        if self.given.len() >= NOTICES_MAX {
            self.given.retain(|_, last| now - *last < NOTICE_INTERVAL);
        }
        if self.given.len() >= NOTICES_MAX {
            return false;
        }
        self.given.insert((address, kind), now);
        true
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

/// One line per peer, reason and minute.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);
/// Most notices remembered: strangers from many addresses must not fill memory or the log.
pub const NOTICES_MAX: usize = 4096;
