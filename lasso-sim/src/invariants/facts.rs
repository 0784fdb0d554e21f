//! The facts that all invariants judge by: the nodes, their links, the messages published, the network.
//! [`Invariants`](super::Invariants) keeps it up to date; an invariant only reads it.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::node::{ConnId, LinkInfo};
use lasso_core::time::Instant;

use super::cast::{Actor, Cast, Who};
use super::published::Published;
use super::receivers::{Heard, receivers};
use super::weather::Weather;
use crate::app::Saw;
use crate::scenario::{Network, NodeId, NodeSpec};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) cast: Cast,
    pub(super) links: Links,
    pub(super) published: Published,
    /// The descriptions that nodes have sent to each other.
    pub(super) heard: Heard,
    /// Some application publishes or views live events.
    pub(super) has_events: bool,
    /// The greatest lateness of the world.
    pub(super) slack: Duration,
    /// Which paths lose or delay packets.
    pub(super) weather: Weather,
    /// How long an answer of DNS takes.
    pub(super) dns_latency: Duration,
    /// All wall clocks are right, and always were.
    pub(super) clocks_agree: bool,
}

impl Facts {
    pub(super) fn new(
        nodes: &[NodeSpec],
        network: &Network,
        null_cipher: bool,
        slack: Duration,
    ) -> Self {
        Facts {
            cast: Cast::new(nodes, null_cipher),
            links: Links::new(nodes.len()),
            published: Published::default(),
            heard: Heard::default(),
            has_events: false,
            slack,
            weather: Weather::new(network),
            dns_latency: network.dns_latency,
            clocks_agree: nodes.iter().all(|node| node.clock_offset_ms == 0),
        }
    }

    /// Since when two nodes have been undisturbed for long enough that each must hear the other in time: no
    /// fault, both up, and no other node under their names. `None`: they are not.
    pub(super) fn calm_since(&self, a: NodeId, b: NodeId) -> Option<Instant> {
        let fair = self.weather.fair_since(a.0, b.0)?;
        if !self.cast.compatible(a, b) {
            return None;
        }
        let (one, other) = (self.cast.actor(a), self.cast.actor(b));
        // A heartbeat that takes half of its interval may look like silence.
        if self.weather.longest(a.0, b.0) * 8 > one.tick_time.min(other.tick_time) {
            return None;
        }
        let overlap = |actor: &Actor| actor.settings.topology.prevent_overlapping_partitions;
        if overlap(one) || overlap(other) || !self.cast.is_alone(a) || !self.cast.is_alone(b) {
            return None;
        }
        let quiet = self.cast.undisturbed_since(a, b)?.max(fair);
        let silence = self.silence(a, b);
        let up = one.started.max(other.started) + SETTLED;
        let undisturbed = quiet == Instant::ZERO;
        let healed = if undisturbed {
            quiet
        } else {
            quiet + silence + SETTLED
        };
        Some(up.max(healed))
    }

    /// By when a stalled link of two nodes delivers again, or is given up.
    pub(super) fn silence(&self, a: NodeId, b: NodeId) -> Duration {
        let (one, other) = (self.cast.actor(a), self.cast.actor(b));
        one.tick_time.max(other.tick_time) * 5 / 4
    }

    /// Whether every node has room for this many topics of applications, besides those of nodes and of live
    /// events.
    pub(super) fn has_room_for(&self, topics: usize) -> bool {
        let of_events = if self.has_events { TOPICS_OF_EVENTS } else { 0 };
        topics + of_events + TOPICS_OF_NODES <= self.cast.fewest_topics
    }

    /// Whether no path loses or delays packets, or ever did.
    pub(super) fn was_always_fair(&self) -> bool {
        let nodes = || self.cast.nodes().map(|(node, _)| node.0);
        nodes().all(|a| {
            let since = |b: u32| self.weather.fair_since(a, b);
            nodes().all(|b| since(b) == Some(Instant::ZERO))
        })
    }

    /// The application of a node has observed something.
    pub(super) fn saw(&mut self, now: Instant, node: NodeId, saw: &Saw) {
        match saw {
            Saw::Subscribed { topic, .. } => {
                self.published.topic(topic);
            }
            Saw::Events(_) => self.has_events = true,
            Saw::Published {
                topic,
                tag,
                audience,
                result: Ok(_),
            } => {
                let life = (node, self.cast.actor(node).incarnation);
                let to = receivers(self, node, audience);
                let topic = self.published.topic(topic);
                self.published.published(now, life, topic, *tag, &to);
            }
            _ => {}
        }
    }

    /// The session of the link that `a` has with the present process of `b`.
    pub(super) fn session(&self, a: NodeId, b: NodeId) -> Option<u64> {
        self.link(a, b).map(|link| link.session)
    }

    /// The link that `a` has with the present process of `b`.
    pub(super) fn link(&self, a: NodeId, b: NodeId) -> Option<LinkFact> {
        let peer = self.cast.actor(b);
        let link = self.links.get(a, peer.who)?;
        (link.incarnation == peer.incarnation).then_some(link)
    }

    /// Since when both of a pair have known of the present link between them.
    pub(super) fn linked_since(&self, a: NodeId, b: NodeId) -> Option<Instant> {
        let (there, back) = (self.link(a, b)?, self.link(b, a)?);
        (there.session == back.session).then_some(there.since.max(back.since))
    }
}

/// A link, as the node at one end knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkFact {
    pub(super) conn: ConnId,
    pub(super) session: u64,
    pub(super) incarnation: u64,
    /// When this node first knew of the session.
    pub(super) since: Instant,
}

/// The links, as each node knows them.
#[derive(Debug)]
pub(super) struct Links {
    rows: Vec<BTreeMap<Who, LinkFact>>,
    versions: Vec<(u64, u64, u64)>,
}

impl Links {
    fn new(nodes: usize) -> Self {
        Links {
            rows: vec![BTreeMap::new(); nodes],
            versions: vec![(0, 0, 0); nodes],
        }
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, node: NodeId, peer: Who) -> Option<LinkFact> {
        self.rows[node.index()].get(&peer).copied()
    }

    /// All links of a node.
    pub(super) fn of(&self, node: NodeId) -> impl Iterator<Item = (Who, LinkFact)> {
        let rows = self.rows[node.index()].iter();
        rows.map(|(who, link)| (*who, *link))
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
    }

    /// Sets a node's link to a peer; returns the former and the present link, if they differ.
    pub(super) fn set(
        &mut self,
        now: Instant,
        node: NodeId,
        peer: Who,
        link: Option<&LinkInfo>,
    ) -> Option<(Option<LinkFact>, Option<LinkFact>)> {
        let rows = &mut self.rows[node.index()];
        let before = rows.get(&peer).copied();
        let same_session = |link: &LinkInfo| before.filter(|row| row.session == link.session);
        let after = link.map(|link| LinkFact {
            conn: link.conn,
            session: link.session,
            incarnation: link.peer.incarnation.0,
            since: same_session(link).map_or(now, |row| row.since),
        });
        match after {
            Some(row) => rows.insert(peer, row),
            None => rows.remove(&peer),
        };
        (before != after).then_some((before, after))
    }
}

/// More topics than live events have in any scenario that sets tight bounds.
const TOPICS_OF_EVENTS: usize = 64;
/// More topics than nodes use for themselves.
const TOPICS_OF_NODES: usize = 4;
/// After a start or the end of a fault, and after silence would have been noticed, two nodes have one link.
const SETTLED: Duration = Duration::from_secs(30);
