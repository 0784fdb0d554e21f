//! What always holds, in every scenario and every world, without asking: `scenarios.md`, numbers
//! 1 to 10, 12 and 13, each in a file of its own.
//!
//! They look only at what an input touched. A world tells [`Invariants`] what happens, in this
//! order: for each input the events that the node told its subscribers, then
//! [`Invariants::after`]; and it calls [`Invariants::advance`] at the times that
//! [`Invariants::poll_timeout`] names.

mod agreement;
mod cast;
mod coverage;
mod deliveries;
mod epochs;
mod incarnations;
mod metrics;
mod one_link;
mod outcomes;
mod outsiders;
mod queues;
mod shown;
mod silence;
#[cfg(test)]
mod tests;
mod viewers;

use core::fmt;
use core::time::Duration;

use lasso_core::event::{Change, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::node::{ConnId, LinkInfo, Node};
use lasso_core::time::{Instant, earliest};
use lasso_core::topology::Coverage;

pub use self::agreement::Member;
use self::cast::{Cast, Who};
pub use self::queues::Audits;
use crate::app::Saw;
use crate::liar::Lying;
use crate::scenario::{NodeId, NodeSpec};

/// Something that must never be so, was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant: its number in `scenarios.md`.
    pub number: u32,
    /// When it was seen.
    pub at: Instant,
    /// At which node.
    pub node: NodeId,
    /// What must hold, and what was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.number, self.text)
    }
}

/// When the last byte came on a connection of a node, as the network knows it.
pub trait Witness {
    /// `None`: none came, or the connection is unknown.
    fn last_byte(&self, node: NodeId, conn: ConnId) -> Option<Instant>;
}

/// What a node knows, as far as the invariants read it. Times are the world's.
pub trait Knowledge {
    /// A number that differs when the set of links may differ.
    fn links_version(&self) -> (u64, u64, u64);
    /// All links that stand.
    fn links(&self) -> Vec<LinkInfo>;
    /// The link to one node.
    fn link(&self, peer: &NodeName) -> Option<LinkInfo>;
    /// The incarnation under which the node goes.
    fn incarnation(&self) -> u64;
    /// What it knows of the incarnation of another node.
    fn known_incarnation(&self, peer: &NodeName) -> Option<u64>;
    /// Its coverage.
    fn coverage(&self) -> Coverage;
    /// The names of all members, and whether they are linked.
    fn members(&self) -> Vec<(NodeName, bool)>;
    /// A number that differs when its queues may have taken anything.
    fn queues_version(&self) -> u64;
    /// Where everything went that its queues took.
    fn audits(&self) -> Audits;
}

/// A node and when its process started on the world's clock.
#[derive(Debug, Clone, Copy)]
pub struct Living<'a> {
    /// The machine.
    pub node: &'a Node,
    /// Its start.
    pub boot: Instant,
}

impl Knowledge for Living<'_> {
    fn links_version(&self) -> (u64, u64, u64) {
        let counters = self.node.counters();
        (
            counters.links,
            counters.links_replaced,
            self.node.topology().epoch(),
        )
    }

    fn links(&self) -> Vec<LinkInfo> {
        crate::inspect::links(self.node, self.boot)
    }

    fn link(&self, peer: &NodeName) -> Option<LinkInfo> {
        let link = self.node.link(peer)?;
        Some(LinkInfo {
            last_received: self.boot + link.last_received.since_start(),
            ..link
        })
    }

    fn incarnation(&self) -> u64 {
        self.node.identity().incarnation.0
    }

    fn known_incarnation(&self, peer: &NodeName) -> Option<u64> {
        self.node
            .topology()
            .known_incarnation(peer)
            .map(|known| known.0)
    }

    fn coverage(&self) -> Coverage {
        self.node.coverage()
    }

    fn members(&self) -> Vec<(NodeName, bool)> {
        let members = self.node.topology().members();
        members
            .map(|member| (member.name().clone(), member.is_linked()))
            .collect()
    }

    fn queues_version(&self) -> u64 {
        let plane = self.node.plane().lock();
        let (topics, calls, _) = plane.counters();
        let messages = topics.sent + topics.shed + topics.delivered;
        messages + calls.started + calls.requests + calls.outcomes()
    }

    fn audits(&self) -> Audits {
        let plane = self.node.plane().lock();
        let (topics, ..) = plane.counters();
        let lanes = self.node.links().flat_map(|link| {
            let counts = queues::LANES.map(|lane| (lane, plane.lane(link.conn, lane)));
            counts.map(|(lane, count)| Some((link.peer.name.clone(), lane, count?)))
        });
        Audits {
            subscribers: plane.queues().map(|(id, queue)| (id.0, queue)).collect(),
            delivered: topics.delivered,
            overflowed: topics.overflowed,
            lanes: lanes.flatten().collect(),
        }
    }
}

/// Watches a run.
#[derive(Debug)]
pub struct Invariants {
    cast: Cast,
    links: one_link::OneLink,
    incarnations: incarnations::Incarnations,
    silence: silence::Silence,
    epochs: epochs::Epochs,
    deliveries: deliveries::Deliveries,
    outcomes: outcomes::Outcomes,
    queues: queues::Queues,
    viewers: viewers::Viewers,
    metrics: metrics::Metrics,
    /// Of the last input: peers whose link may have changed.
    touched: Vec<Who>,
    /// Of the last input: the coverage that the last event carried.
    told: Option<Coverage>,
    violations: Vec<Violation>,
}

impl Invariants {
    /// Watches these nodes. `slack` is how late the world may be: zero for an event loop, the
    /// length of two ticks where there are ticks. `lossy`: the network loses packets by chance.
    pub fn new(nodes: &[NodeSpec], null_cipher: bool, slack: Duration, lossy: bool) -> Self {
        Invariants {
            cast: Cast::new(nodes, null_cipher),
            links: one_link::OneLink::new(nodes.len(), lossy),
            incarnations: incarnations::Incarnations::new(nodes.len()),
            silence: silence::Silence::new(nodes.len(), slack),
            epochs: epochs::Epochs::new(nodes.len()),
            deliveries: deliveries::Deliveries::default(),
            outcomes: outcomes::Outcomes::new(nodes.len(), slack),
            queues: queues::Queues::new(nodes.len()),
            viewers: viewers::Viewers::new(shown::Shown::new(nodes, slack)),
            metrics: metrics::Metrics::new(nodes.len(), slack),
            touched: Vec::new(),
            told: None,
            violations: Vec::new(),
        }
    }

    /// A lying member begins: what it says of itself, and what is heard from it, is not held against
    /// the nodes.
    pub fn lies(&mut self, lying: &Lying) {
        self.cast.lies(lying);
    }

    /// A process of a node starts.
    pub fn started(&mut self, now: Instant, node: NodeId, spec: &NodeSpec, incarnation: u64) {
        self.cast.started(now, node, spec, incarnation);
        self.links.forget(node);
        self.incarnations.forget(node);
        self.silence.forget(node);
        self.epochs.forget(node);
        self.deliveries.forget(node);
        self.outcomes.forget(node);
        self.queues.forget(node);
        self.viewers.started(node, spec);
        self.metrics.forget(node);
    }

    /// The process of a node is gone. `silently`: its peers are not told by its kernel.
    pub fn ended(&mut self, now: Instant, node: NodeId, silently: bool) {
        self.cast.ended(node);
        self.links.forget(node);
        self.silence.forget(node);
        self.deliveries.forget(node);
        self.outcomes.forget(node);
        self.viewers.forget(node);
        if silently {
            self.cast.disturb_node(now, node);
        }
    }

    /// The process of a node is frozen.
    pub fn paused(&mut self, node: NodeId) {
        self.cast.set_paused(node, true);
    }

    /// The process of a node goes on.
    pub fn resumed(&mut self, now: Instant, node: NodeId) {
        self.cast.set_paused(node, false);
        self.cast.disturb_node(now, node);
        self.silence.resumed(now, node);
        self.outcomes.resumed(now, node);
        self.viewers.shown.resumed(now, node);
    }

    /// Somebody's wall clock was moved.
    pub fn clock_moved(&mut self) {
        self.viewers.shown.clock_moved();
    }

    /// These paths are hindered from now on, or no longer.
    pub fn paths(&mut self, now: Instant, paths: &[(u32, u32)], hindered: bool) {
        self.cast.paths(now, paths, hindered);
    }

    /// Packets get lost by chance from now on.
    pub fn lossy(&mut self) {
        self.links.set_lossy();
    }

    /// A node has told its subscribers something.
    pub fn event(&mut self, now: Instant, node: NodeId, event: &TopologyEvent, seen: &dyn Witness) {
        let mut found = Vec::new();
        self.epochs.event(node, event, &mut found);
        coverage::event(event, &self.cast, node, &mut found);
        match &event.change {
            Change::NodeConnected { name, incarnation } => {
                self.metrics.membership_changed(now, node);
                let (who, incarnation) = (self.cast.who(name), incarnation.0);
                let cast = &self.cast;
                self.incarnations
                    .connected(node, cast, who, incarnation, &mut found);
                outsiders::connected(cast, node, who, incarnation, &mut found);
                self.touched.push(who);
            }
            Change::NodeDisconnected { name, reason } => {
                self.metrics.membership_changed(now, node);
                let who = self.cast.who(name);
                self.silence
                    .disconnected(now, &self.cast, node, who, *reason, seen, &mut found);
                self.touched.push(who);
            }
            Change::NodeIdentified { .. } | Change::HealthUpdate { .. } => {}
        }
        self.told = Some(event.coverage.clone());
        self.report(now, node, found);
    }

    /// The application of a node has seen something.
    pub fn saw(&mut self, now: Instant, node: NodeId, saw: &Saw) {
        let mut found = Vec::new();
        self.cast.saw(node, saw);
        if !self.cast.is_lie(node, saw) {
            self.deliveries.saw(now, &self.cast, node, saw, &mut found);
        }
        self.outcomes.saw(now, &self.cast, node, saw, &mut found);
        self.queues.saw(node, saw);
        if let Saw::Events(saw) = saw {
            self.viewers.saw(now, &self.cast, node, saw, &mut found);
        }
        if let Saw::Metrics(saw) = saw {
            self.metrics.saw(now, &self.cast, node, saw, &mut found);
        }
        self.report(now, node, found);
    }

    /// A node has handled an input, and its events were told.
    #[inline]
    pub fn after(&mut self, now: Instant, node: NodeId, known: &dyn Knowledge) {
        // A node may renumber itself before anything else about it changes.
        self.cast.renumbered(node, known.incarnation());
        if self.queues.is_new(node, known.queues_version()) {
            let mut found = Vec::new();
            self.queues
                .look(&self.cast, node, known.audits(), &mut found);
            self.report(now, node, found);
        }
        let version = known.links_version();
        if self.links.version(node) == version && self.told.is_none() {
            return;
        }
        self.changed(now, node, known, version);
    }

    fn changed(
        &mut self,
        now: Instant,
        node: NodeId,
        known: &dyn Knowledge,
        version: (u64, u64, u64),
    ) {
        let mut found = Vec::new();
        let replaced = self.links.version(node).1 != version.1;
        let touched = core::mem::take(&mut self.touched);
        if replaced {
            let links = known.links().into_iter();
            let links: Vec<_> = links
                .map(|link| (self.cast.who(&link.peer.name), link))
                .collect();
            self.links.set_all(now, &self.cast, node, &links);
            self.silence.set_all(now, &self.cast, node, &links);
        } else {
            for &who in &touched {
                let cast = &self.cast;
                let link = known.link(cast.name(who));
                let stored = known.known_incarnation(cast.name(who));
                self.links.set(now, cast, node, who, link.as_ref());
                self.silence.set(now, cast, node, who, link.as_ref());
                self.incarnations
                    .stored(node, cast, who, stored, &mut found);
            }
        }
        self.links.set_version(node, version);
        if let Some(told) = self.told.take() {
            coverage::after(&told, known, &mut found);
        }
        self.report(now, node, found);
    }

    /// When [`Invariants::advance`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sooner = earliest(self.links.poll_timeout(), self.silence.poll_timeout());
        earliest(sooner, self.outcomes.poll_timeout())
    }

    /// Looks at what is due at `now`.
    pub fn advance(&mut self, now: Instant, seen: &dyn Witness) {
        let mut found = Vec::new();
        self.links.advance(now, &self.cast, &mut found);
        self.silence.advance(now, &self.cast, seen, &mut found);
        self.outcomes.advance(now, &self.cast, &mut found);
        for (node, violation) in found {
            self.report(now, node, vec![violation]);
        }
    }

    /// Since when nothing hinders anybody; `None`: something does.
    pub fn healed_since(&self) -> Option<Instant> {
        self.cast.healed_since()
    }

    /// Whether all that run agree about who is there; `None`: they do, else who does not, and why.
    pub fn disagreement(&self, members: &[Member]) -> Option<(NodeId, String)> {
        agreement::disagreement(&self.cast, members)
    }

    /// Notes that the nodes did not come to agree after everything had healed.
    pub fn report_disagreement(&mut self, now: Instant, node: NodeId, text: String) {
        self.report(now, node, vec![(agreement::NUMBER, text)]);
    }

    /// A subscriber that lacks messages of which nobody told it, though nothing is under way any
    /// more; `None`: there is none.
    pub fn unaccounted(&self, now: Instant) -> Option<(NodeId, String)> {
        self.deliveries.unaccounted(now, &self.cast, &self.links)
    }

    /// Notes that messages were lost, and their subscriber was not told.
    pub fn report_unaccounted(&mut self, now: Instant, node: NodeId, text: String) {
        self.report(now, node, vec![(deliveries::NUMBER, text)]);
    }

    /// What was found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    fn report(&mut self, at: Instant, node: NodeId, found: Vec<Found>) {
        let found = found.into_iter();
        self.violations
            .extend(found.map(|(number, text)| Violation {
                number,
                at,
                node,
                text,
            }));
    }
}

/// Number and text of a violation at a node that the caller knows.
type Found = (u32, String);
