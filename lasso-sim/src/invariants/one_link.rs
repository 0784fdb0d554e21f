//! Invariant 1: At most one link per pair carries frames; both ends agree which.
//!
//! Each node has at most one link per peer by itself. Both ends agree when they name the same
//! session. While the news is on its way they may differ: for five seconds where nothing hinders
//! the two, else until silence would have told them.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use lasso_core::node::LinkInfo;
use lasso_core::time::Instant;

use super::Found;
use super::cast::{Cast, Who};
use crate::scenario::NodeId;

const NUMBER: u32 = 1;
/// The news that a connection is the link takes half a round trip.
const GRACE: Duration = Duration::from_secs(5);
/// Packets that get lost by chance make it longer.
const GRACE_LOSSY: Duration = Duration::from_secs(60);
/// After a fault the news may wait for TCP, at most until a node is silent for too long.
const GRACE_AFTER: Duration = Duration::from_secs(10);

type Pair = (NodeId, NodeId);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    session: u64,
    incarnation: u64,
    /// When this node first knew of it.
    since: Instant,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct OneLink {
    rows: Vec<BTreeMap<Who, Row>>,
    versions: Vec<(u64, u64, u64)>,
    /// Pairs that differ, since when, and when to look again.
    differ: BTreeMap<Pair, (Instant, Instant)>,
    /// The same by when to look again.
    due: BTreeSet<(Instant, Pair)>,
    grace: Duration,
}

impl OneLink {
    pub(super) fn new(nodes: usize, lossy: bool) -> Self {
        OneLink {
            rows: vec![BTreeMap::new(); nodes],
            versions: vec![(0, 0, 0); nodes],
            differ: BTreeMap::new(),
            due: BTreeSet::new(),
            grace: if lossy { GRACE_LOSSY } else { GRACE },
        }
    }

    pub(super) fn set_lossy(&mut self) {
        self.grace = GRACE_LOSSY;
    }

    pub(super) fn version(&self, node: NodeId) -> (u64, u64, u64) {
        self.versions[node.index()]
    }

    pub(super) fn set_version(&mut self, node: NodeId, version: (u64, u64, u64)) {
        self.versions[node.index()] = version;
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.rows[node.index()].clear();
        self.versions[node.index()] = (0, 0, 0);
        let of_node = |(a, b): &Pair| *a == node || *b == node;
        self.differ.retain(|pair, _| !of_node(pair));
        self.due.retain(|(_, pair)| !of_node(pair));
    }

    pub(super) fn set_all(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        links: &[(Who, LinkInfo)],
    ) {
        let before: Vec<Who> = self.rows[node.index()].keys().copied().collect();
        for peer in before {
            if !links.iter().any(|(who, _)| *who == peer) {
                self.set(now, cast, node, peer, None);
            }
        }
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
        let known = rows.get(&peer).copied();
        let row = link.map(|link| Row {
            session: link.session,
            incarnation: link.peer.incarnation.0,
            since: known
                .filter(|row| row.session == link.session)
                .map_or(now, |row| row.since),
        });
        let before = match row {
            Some(row) => rows.insert(peer, row),
            None => rows.remove(&peer),
        };
        for row in [before, row].into_iter().flatten() {
            if let Some(other) = cast.whose(peer, row.incarnation) {
                self.compare(now, cast, node, other);
            }
        }
    }

    fn compare(&mut self, now: Instant, cast: &Cast, a: NodeId, b: NodeId) {
        let pair = (a.min(b), a.max(b));
        if a == b || self.agree(cast, a, b) {
            if let Some((_, look)) = self.differ.remove(&pair) {
                self.due.remove(&(look, pair));
            }
        } else if !self.differ.contains_key(&pair) {
            self.look_at(pair, now, now + self.grace);
        }
    }

    fn look_at(&mut self, pair: Pair, since: Instant, look: Instant) {
        self.differ.insert(pair, (since, look));
        self.due.insert((look, pair));
    }

    fn agree(&self, cast: &Cast, a: NodeId, b: NodeId) -> bool {
        self.session(cast, a, b) == self.session(cast, b, a)
    }

    /// The session of the link that `a` has with the process of `b`.
    fn session(&self, cast: &Cast, a: NodeId, b: NodeId) -> Option<u64> {
        self.row(cast, a, b).map(|row| row.session)
    }

    fn row(&self, cast: &Cast, a: NodeId, b: NodeId) -> Option<Row> {
        let peer = cast.actor(b);
        let row = self.rows[a.index()].get(&peer.who)?;
        (row.incarnation == peer.incarnation).then_some(*row)
    }

    /// Since when both of a pair have known of the link that stands between them.
    pub(super) fn linked_since(&self, cast: &Cast, a: NodeId, b: NodeId) -> Option<Instant> {
        let (there, back) = (self.row(cast, a, b)?, self.row(cast, b, a)?);
        (there.session == back.session).then_some(there.since.max(back.since))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(look, _)| *look)
    }

    pub(super) fn advance(&mut self, now: Instant, cast: &Cast, found: &mut Vec<(NodeId, Found)>) {
        while let Some(&(look, pair)) = self.due.first()
            && look <= now
        {
            self.due.remove(&(look, pair));
            let Some((since, _)) = self.differ.remove(&pair) else {
                continue;
            };
            let (a, b) = pair;
            let tick_time = cast.actor(a).tick_time.max(cast.actor(b).tick_time);
            let long = tick_time * 5 / 4 + GRACE_AFTER;
            let until = cast.undisturbed_since(a, b).map(|quiet| {
                let undisturbed = quiet == Instant::ZERO;
                let after = if undisturbed { quiet } else { quiet + long };
                after.max(since + self.grace)
            });
            match until {
                Some(until) if until <= now => {
                    found.push((a, (NUMBER, self.text(cast, a, b, now - since))));
                }
                until => self.look_at(pair, since, until.unwrap_or(now + self.grace)),
            }
        }
    }

    fn text(&self, cast: &Cast, a: NodeId, b: NodeId, lasts: Duration) -> String {
        let says = |x: NodeId, y: NodeId| match self.session(cast, x, y) {
            Some(session) => format!("session {session:016x}"),
            None => "no link".to_owned(),
        };
        format!(
            "both ends must agree which connection is their link; for {lasts:?} {} has had {} with \
             {}, which has had {}",
            cast.actor(a).name,
            says(a, b),
            cast.actor(b).name,
            says(b, a),
        )
    }
}
