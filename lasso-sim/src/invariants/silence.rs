//! Invariant 4: No node is declared down earlier than 0.75 T after its last byte, nor stays up
//! later than 1.25 T while silent. T is the tick time of the node that judges; one that was frozen
//! has as much time again.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};

use lasso_core::event::DownReason;
use lasso_core::node::{ConnId, LinkInfo};
use lasso_core::time::Instant;

use super::cast::{Cast, Who};
use super::{Found, Witness};
use crate::scenario::NodeId;

const NUMBER: u32 = 4;

#[derive(Debug, Clone, Copy)]
struct Row {
    conn: ConnId,
    /// When the link came to stand.
    since: Instant,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Silence {
    rows: Vec<BTreeMap<Who, Row>>,
    resumed: Vec<Instant>,
    due: BinaryHeap<Reverse<(Instant, NodeId, Who, ConnId)>>,
    slack: Duration,
}

impl Silence {
    pub(super) fn new(nodes: usize, slack: Duration) -> Self {
        Silence {
            rows: vec![BTreeMap::new(); nodes],
            resumed: vec![Instant::ZERO; nodes],
            due: BinaryHeap::new(),
            slack,
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.rows[node.index()].clear();
        self.resumed[node.index()] = Instant::ZERO;
    }

    pub(super) fn resumed(&mut self, now: Instant, node: NodeId) {
        self.resumed[node.index()] = now;
    }

    pub(super) fn set_all(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        links: &[(Who, LinkInfo)],
    ) {
        self.rows[node.index()].retain(|peer, _| links.iter().any(|(who, _)| who == peer));
        for (peer, link) in links {
            self.set(now, cast, node, *peer, Some(link));
        }
    }

    pub(super) fn set(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        peer: Who,
        link: Option<&LinkInfo>,
    ) {
        let rows = &mut self.rows[node.index()];
        let Some(link) = link else {
            rows.remove(&peer);
            return;
        };
        if rows.get(&peer).is_some_and(|row| row.conn == link.conn) {
            return;
        }
        rows.insert(
            peer,
            Row {
                conn: link.conn,
                since: now,
            },
        );
        let at = now + self.longest(cast, node);
        self.due.push(Reverse((at, node, peer, link.conn)));
    }

    /// The longest silence that a link may survive.
    fn longest(&self, cast: &Cast, node: NodeId) -> Duration {
        cast.actor(node).tick_time * 5 / 4 + self.slack + Duration::from_nanos(1)
    }

    /// A node has told its subscribers that a peer is gone.
    #[expect(
        clippy::too_many_arguments,
        reason = "what happened, and what to judge it by"
    )]
    pub(super) fn disconnected(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        peer: Who,
        reason: DownReason,
        seen: &dyn Witness,
        found: &mut Vec<Found>,
    ) {
        let Some(row) = self.rows[node.index()].remove(&peer) else {
            return;
        };
        if reason != DownReason::Down {
            return;
        }
        let last = seen.last_byte(node, row.conn).unwrap_or(row.since);
        let silent = now - last;
        let tick_time = cast.actor(node).tick_time;
        if silent + self.slack < tick_time * 3 / 4 {
            let text = format!(
                "nobody may be declared down before 0.75 of {tick_time:?}; {} did with {} \
                 {silent:?} after its last byte",
                cast.actor(node).name,
                cast.name(peer)
            );
            found.push((NUMBER, text));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn advance(
        &mut self,
        now: Instant,
        cast: &Cast,
        seen: &dyn Witness,
        found: &mut Vec<(NodeId, Found)>,
    ) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            let Some(Reverse((_, node, peer, conn))) = self.due.pop() else {
                return;
            };
            let row = self.rows[node.index()].get(&peer).copied();
            let Some(row) = row.filter(|row| row.conn == conn) else {
                continue;
            };
            let longest = self.longest(cast, node);
            if cast.actor(node).paused {
                self.due.push(Reverse((now + longest, node, peer, conn)));
                continue;
            }
            let byte = seen.last_byte(node, conn).unwrap_or(row.since);
            let last = byte.max(row.since).max(self.resumed[node.index()]);
            if last + longest > now {
                self.due.push(Reverse((last + longest, node, peer, conn)));
                continue;
            }
            let (tick_time, silent) = (cast.actor(node).tick_time, now - last);
            let text = format!(
                "nobody may stay up later than 1.25 of {tick_time:?} while silent; {} has had no \
                 byte of {} for {silent:?}",
                cast.actor(node).name,
                cast.name(peer)
            );
            found.push((node, (NUMBER, text)));
        }
    }
}
