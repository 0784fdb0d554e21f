//! Invariant 4: No node is declared down earlier than 0.75 T after its last byte, nor stays up later than 1.25
//! T while silent. T is the tick time of the node that judges; a node that was frozen has the same time again.
//!
//! While bytes arrive on a link, a node does not give it up of its own accord, with these exceptions: it stops
//! or renumbers itself, another connection or another life of the peer replaced the link, the peer reads
//! nothing, or the user wants overlapping partitions closed.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeSet, BinaryHeap};

use lasso_core::event::{Change, CloseReason, DownReason, TopologyEvent};
use lasso_core::node::ConnId;
use lasso_core::time::Instant;

use super::Witness;
use super::cast::Who;
use super::facts::{Facts, LinkFact};
use super::invariant::{Entry, Invariant, Moment};
use crate::scenario::NodeId;

pub(super) const ENTRY: Entry = Entry {
    number: 4,
    name: "silence",
    make: |_| Box::<Silence>::default(),
};

/// See the module's text.
#[derive(Debug, Default)]
struct Silence {
    /// Sessions that one end has closed: the other end then closes for a reason that it received.
    closed: BTreeSet<u64>,
    due: BinaryHeap<Reverse<(Instant, NodeId, Who, ConnId)>>,
}

impl Invariant for Silence {
    fn link(
        &mut self,
        at: &mut Moment<'_>,
        peer: Who,
        before: Option<LinkFact>,
        now: Option<LinkFact>,
    ) {
        if let Some(link) = now
            && before.is_none_or(|before| before.conn != link.conn)
        {
            let due = at.now + longest(at.facts, at.node);
            self.due.push(Reverse((due, at.node, peer, link.conn)));
        }
    }

    /// A node has reported to its subscribers that a peer is gone.
    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, seen: &dyn Witness) {
        let Change::NodeDisconnected { name, reason } = &event.change else {
            return;
        };
        let peer = at.facts.cast.find(name);
        let link = peer.and_then(|peer| at.facts.links.get(at.node, peer));
        let Some(link) = link.filter(|_| *reason == DownReason::Down) else {
            return;
        };
        let last = seen.last_byte(at.node, link.conn).unwrap_or(link.since);
        let silent = at.now - last;
        let actor = at.facts.cast.actor(at.node);
        let tick_time = actor.tick_time;
        at.demand(silent + at.facts.slack >= tick_time * 3 / 4, || {
            format!(
                "nobody may be declared down before 0.75 of {tick_time:?}; {} did with {name} \
                 {silent:?} after its last byte",
                actor.name,
            )
        });
    }

    /// A node closes a connection: if it is its link to a peer, the reason must be good.
    fn closes(
        &mut self,
        at: &mut Moment<'_>,
        conn: ConnId,
        reason: &CloseReason,
        seen: &dyn Witness,
    ) {
        let facts = at.facts;
        let Some((peer, link)) = facts.links.of(at.node).find(|(_, link)| link.conn == conn) else {
            return;
        };
        let by_peer = !self.closed.insert(link.session);
        if by_peer || may_close(reason) {
            return;
        }
        // The peer is a liar: its messages may justify any reason.
        if facts.cast.whose(peer, link.incarnation).is_none() {
            return;
        }
        let last = seen.last_byte(at.node, conn).unwrap_or(link.since);
        let (silent, actor) = (at.now - last, facts.cast.actor(at.node));
        let tick_time = actor.tick_time;
        at.demand(silent + facts.slack >= tick_time * 3 / 4, || {
            format!(
                "nobody gives up a link on which bytes come; {} closed that to {} as `{}` {silent:?} \
                 after its last byte, and 0.75 of {tick_time:?} must pass",
                actor.name,
                facts.cast.name(peer),
                reason.name(),
            )
        });
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    fn advance(&mut self, at: &mut Moment<'_>, seen: &dyn Witness) {
        let (now, facts) = (at.now, at.facts);
        while let Some(Reverse((due, node, peer, conn))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            let link = facts.links.get(node, peer);
            let Some(link) = link.filter(|link| link.conn == conn) else {
                continue;
            };
            let (longest, actor) = (longest(facts, node), facts.cast.actor(node));
            if actor.paused {
                self.due.push(Reverse((now + longest, node, peer, conn)));
                continue;
            }
            let byte = seen.last_byte(node, conn).unwrap_or(link.since);
            let last = byte.max(link.since).max(actor.resumed);
            let in_time = last + longest > now;
            at.demand_at(node, in_time, || {
                let (tick_time, silent) = (actor.tick_time, now - last);
                format!(
                    "nobody may stay up later than 1.25 of {tick_time:?} while silent; {} has had no \
                     byte of {} for {silent:?}",
                    actor.name,
                    facts.cast.name(peer)
                )
            });
            if in_time {
                self.due.push(Reverse((last + longest, node, peer, conn)));
            }
        }
    }
}

/// Reasons for which a node may close a link that is not silent.
fn may_close(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Left
        | CloseReason::Renumbered
        | CloseReason::Replaced
        | CloseReason::Superseded
        | CloseReason::Duplicate
        | CloseReason::ControlLaneFull
        | CloseReason::Overlap
        | CloseReason::Transport => true,
        CloseReason::Garbage
        | CloseReason::NotLasso
        | CloseReason::BadAddress
        | CloseReason::Version
        | CloseReason::NoCommonVersion
        | CloseReason::WrongCookie
        | CloseReason::BadRecord
        | CloseReason::Replayed
        | CloseReason::HandshakeTimeout
        | CloseReason::TooManyHandshakes
        | CloseReason::Full
        | CloseReason::TooLarge
        | CloseReason::OtherCluster { .. }
        | CloseReason::OtherBasename { .. }
        | CloseReason::Myself
        | CloseReason::NameTaken
        | CloseReason::StaleIncarnation { .. }
        | CloseReason::Silent
        | CloseReason::ConnectTimeout
        | CloseReason::Unknown => false,
    }
}

/// The longest silence that a link may survive.
fn longest(facts: &Facts, node: NodeId) -> Duration {
    facts.cast.actor(node).tick_time * 5 / 4 + facts.slack + Duration::from_nanos(1)
}
