//! The invariants that every run checks, in every world: numbers 1 to 10 and 12 to 16 of
//! `docs/scenarios.md`.
//!
//! To keep runs fast, they check only what an input touched. For each input a world passes the node's orders
//! and events to [`Invariants`], then calls [`Invariants::after`]. It calls [`Invariants::advance`] at the
//! times that [`Invariants::poll_timeout`] names.
//!
//! To add an invariant, write a file like `epochs.rs` with a type that implements the trait of
//! `invariant.rs` and a constant `ENTRY`, and add its line to the registry. No other file changes.

mod agreement;
mod answers;
mod calm;
mod candidates;
mod cast;
mod coverage;
mod deadlines;
mod deliveries;
mod epochs;
mod facts;
mod incarnations;
mod invariant;
mod islands;
mod knowledge;
mod ledger;
mod metrics;
mod newest;
mod one_link;
mod outcomes;
mod outsiders;
mod published;
mod queues;
mod rates;
mod receivers;
mod shown;
mod silence;
mod spread;
mod tables;
#[cfg(test)]
mod tests;
mod timers;
mod unanswered;
mod viewers;
mod weather;

use core::fmt;
use core::time::Duration;

use lasso_core::discovery::{Family, QueryId};
use lasso_core::event::{Change, Notice, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::node::{DnsAnswer, LinkInfo, Output};
use lasso_core::time::Instant;
use lasso_core::topology::Coverage;

pub use self::agreement::Member;
use self::cast::{Cast, Who};
use self::facts::Facts;
pub use self::invariant::{Asked, Entry};
use self::invariant::{Changes, Dial, Invariant, Moment, Watcher};
pub use self::knowledge::{Knowledge, Living, Tables, Witness};
pub use self::ledger::PlaneCounts;
pub use self::queues::Audits;
pub use self::tables::{Sizes, TableSizes};
pub use self::timers::Rounds;
use crate::app::Saw;
use crate::liar::Lying;
use crate::scenario::{Network, NodeId, NodeSpec, Shape};

/// Every invariant.
pub static ALL: &[Entry] = &[
    one_link::ENTRY,
    incarnations::ENTRY,
    outsiders::ENTRY,
    silence::ENTRY,
    coverage::ENTRY,
    answers::ENTRY,
    islands::ENTRY,
    epochs::ENTRY,
    deliveries::ENTRY,
    viewers::ENTRY,
    shown::ENTRY,
    rates::ENTRY,
    newest::ENTRY,
    metrics::ENTRY,
    outcomes::ENTRY,
    deadlines::ENTRY,
    queues::ENTRY,
    ledger::ENTRY,
    agreement::ENTRY,
    calm::ENTRY,
    timers::ENTRY,
    unanswered::ENTRY,
    candidates::ENTRY,
    spread::ENTRY,
    tables::ENTRY,
];

/// An invariant did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant in `scenarios.md`.
    pub number: u32,
    /// When it was seen.
    pub at: Instant,
    /// The node.
    pub node: NodeId,
    /// The condition and the observation.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.number, self.text)
    }
}

/// The events and links of a node since it handled its last input. Kept by node, because a machine that stops
/// may report an event and never reach `after`.
#[derive(Debug, Default)]
struct Pending {
    /// Peers whose link may have changed.
    touched: Vec<Who>,
    /// The coverage that the last event carried.
    told: Option<Coverage>,
    /// The version of its queues at the last check, and the time of that check.
    queues: u64,
    looked_at: Option<Instant>,
    /// When its timers are checked next.
    round_at: Instant,
    /// Whether DNS has answered it.
    resolved: bool,
}

/// Queues are checked at this interval while they change: their counts only grow, so nothing is missed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Timers are checked at this interval.
const ROUND: Duration = Duration::from_secs(120);

/// Watches a run.
#[derive(Debug)]
pub struct Invariants {
    facts: Facts,
    watchers: Vec<Watcher>,
    /// By node: its reports for `after` to judge.
    pending: Vec<Pending>,
    violations: Vec<Violation>,
}

impl Invariants {
    /// Watches these nodes on this network. `slack` is the greatest lateness of the world: zero for an event
    /// loop, the length of two ticks in a world with ticks.
    pub fn new(nodes: &[NodeSpec], network: &Network, null_cipher: bool, slack: Duration) -> Self {
        Invariants {
            facts: Facts::new(nodes, network, null_cipher, slack),
            watchers: ALL
                .iter()
                .map(|entry| Watcher::new(entry, nodes.len()))
                .collect(),
            pending: nodes.iter().map(|_| Pending::default()).collect(),
            violations: Vec::new(),
        }
    }

    /// Checks nothing from now on, for measurements.
    pub fn watch_nothing(&mut self) {
        self.watchers.clear();
    }

    /// Offers an event to each invariant.
    fn tell(
        &mut self,
        now: Instant,
        node: NodeId,
        tell: impl Fn(&mut dyn Invariant, &mut Moment<'_>),
    ) {
        for watcher in &mut self.watchers {
            watcher.tell(now, node, &self.facts, &mut self.violations, &tell);
        }
    }

    /// A lying member begins: the invariants do not blame nodes for its claims and its messages.
    pub fn lies(&mut self, lying: &Lying) {
        self.facts.cast.lies(lying);
    }

    /// A lying member has claimed this name, and no node has it.
    pub fn is_liar(&self, name: &NodeName) -> bool {
        self.facts.cast.is_liars_name(name)
    }

    /// A process of a node starts.
    pub fn started(&mut self, now: Instant, node: NodeId, spec: &NodeSpec, incarnation: u64) {
        self.facts.cast.started(now, node, spec, incarnation);
        self.facts.links.forget(node);
        self.facts.heard.started(node);
        self.pending[node.index()] = Pending::default();
        self.tell(now, node, |invariant, at| invariant.started(at, spec));
    }

    /// The process of a node is gone. `silently`: its kernel does not notify its peers.
    pub fn ended(&mut self, now: Instant, node: NodeId, silently: bool) {
        self.facts.cast.ended(now, node);
        self.facts.links.forget(node);
        self.pending[node.index()] = Pending::default();
        self.tell(now, node, |invariant, at| invariant.ended(at));
        if silently {
            self.facts.cast.disturb_node(now, node);
        }
    }

    /// The process of a node is frozen.
    pub fn paused(&mut self, node: NodeId) {
        self.facts.cast.set_paused(node, true);
    }

    /// The process of a node is thawed.
    pub fn resumed(&mut self, now: Instant, node: NodeId) {
        self.facts.cast.resumed(now, node);
        self.tell(now, node, |invariant, at| invariant.resumed(at));
    }

    /// From now on nodes run a user's own applications, whose publishes and calls the invariants do not see.
    pub fn host_strange_applications(&mut self) {
        self.facts.cast.host_strange_applications();
    }

    /// The wall clock of a node was moved.
    pub fn clock_moved(&mut self) {
        self.facts.clocks_agree = false;
    }

    /// These paths are hindered from now on, or no longer hindered.
    pub fn paths(&mut self, now: Instant, paths: &[(u32, u32)], hindered: bool) {
        self.facts.cast.paths(now, paths, hindered);
    }

    /// These paths have this shape from now on.
    pub fn shaped(&mut self, now: Instant, paths: &[(u32, u32)], shape: &Shape) {
        self.facts.weather.shaped(now, paths, shape);
    }

    /// A handler of a node gets a question: the caller, the tag, and how long it may work.
    pub fn asked(&mut self, now: Instant, node: NodeId, asked: &Asked<'_>) {
        self.tell(now, node, |invariant, at| invariant.asked(at, asked));
    }

    /// DNS answers a question of a node, which will handle the answer next.
    pub fn resolved(
        &mut self,
        now: Instant,
        node: NodeId,
        question: (QueryId, Family),
        answer: &DnsAnswer,
    ) {
        self.pending[node.index()].resolved = true;
        self.tell(now, node, |invariant, at| {
            invariant.resolved(at, question, answer);
        });
    }

    /// A node produces an output.
    pub fn output(&mut self, now: Instant, node: NodeId, output: &Output, seen: &dyn Witness) {
        match output {
            Output::Event(event) => self.event(now, node, event, seen),
            Output::Close { conn, reason } => {
                self.tell(now, node, |invariant, at| {
                    invariant.closes(at, *conn, reason, seen);
                });
            }
            Output::Dial { conn, to } => {
                let (conn, to) = (*conn, self.facts.cast.at_address(*to));
                self.tell(now, node, |invariant, at| {
                    invariant.dials(at, Dial { conn, to });
                });
            }
            // It reports next the links that it gives up for this.
            Output::Notice(Notice::Renumbered { incarnation }) => {
                self.facts.cast.renumbered(now, node, incarnation.0);
            }
            _ => {}
        }
    }

    fn event(&mut self, now: Instant, node: NodeId, event: &TopologyEvent, seen: &dyn Witness) {
        let name = match &event.change {
            Change::NodeConnected { name, .. } | Change::NodeDisconnected { name, .. } => {
                Some(name)
            }
            Change::NodeIdentified { .. } | Change::HealthUpdate { .. } => None,
        };
        if let Change::NodeIdentified { name, .. } = &event.change {
            let peer = self.facts.cast.find(name);
            let link = peer.and_then(|peer| Some((peer, self.facts.links.get(node, peer)?)));
            if let Some((peer, link)) = link
                && let Some(other) = self.facts.cast.whose(peer, link.incarnation)
            {
                let heard = &mut self.facts.heard;
                heard.told(node, other, link.incarnation, &event.change);
            }
        }
        let who = name.map(|name| self.facts.cast.who(name));
        self.tell(now, node, |invariant, at| invariant.event(at, event, seen));
        if let Some(who) = who {
            self.pending[node.index()].touched.push(who);
            if matches!(event.change, Change::NodeDisconnected { .. }) {
                self.set_link(now, node, who, None);
            }
        }
        self.pending[node.index()].told = Some(event.coverage.clone());
    }

    fn set_link(&mut self, now: Instant, node: NodeId, peer: Who, link: Option<&LinkInfo>) {
        if let Some((before, after)) = self.facts.links.set(now, node, peer, link) {
            self.tell(now, node, |invariant, at| {
                invariant.link(at, peer, before, after);
            });
        }
    }

    /// The application of a node has observed something.
    pub fn saw(&mut self, now: Instant, node: NodeId, saw: &Saw) {
        if self.watchers.is_empty() {
            return;
        }
        self.facts.cast.saw(node, saw);
        self.facts.saw(now, node, saw);
        self.tell(now, node, |invariant, at| invariant.saw(at, saw));
    }

    /// A node has handled an input, and has reported its events.
    #[inline]
    pub fn after(&mut self, now: Instant, node: NodeId, known: &dyn Knowledge) {
        if self.watchers.is_empty() {
            return;
        }
        // A node may renumber itself before anything else about it changes.
        self.facts.cast.renumbered(now, node, known.incarnation());
        let version = known.links_version();
        let pending = &self.pending[node.index()];
        let links = self.facts.links.version(node) != version || pending.told.is_some();
        let may_look = pending.looked_at.is_none_or(|at| at + LOOK_EVERY <= now);
        let queues = may_look && pending.queues != known.queues_version();
        let round = pending.round_at <= now;
        if links || queues || round || pending.resolved {
            self.changed(now, node, known, version, queues);
        }
    }

    fn changed(
        &mut self,
        now: Instant,
        node: NodeId,
        known: &dyn Knowledge,
        version: (u64, u64, u64),
        queues: bool,
    ) {
        let pending = core::mem::take(&mut self.pending[node.index()]);
        let next = &mut self.pending[node.index()];
        (next.queues, next.looked_at) = (pending.queues, pending.looked_at);
        let round = pending.round_at <= now;
        next.round_at = if round { now + ROUND } else { pending.round_at };
        if queues {
            (next.queues, next.looked_at) = (known.queues_version(), Some(now));
        }
        if self.facts.links.version(node).1 != version.1 {
            self.set_links(now, node, &known.links());
        } else {
            for &who in &pending.touched {
                let link = known.link(self.facts.cast.name(who));
                self.set_link(now, node, who, link.as_ref());
            }
        }
        self.facts.links.set_version(node, version);
        let changes = Changes {
            told: pending.told.as_ref(),
            touched: &pending.touched,
            queues,
            round,
            resolved: pending.resolved,
        };
        self.tell(now, node, |invariant, at| {
            invariant.after(at, known, &changes);
        });
    }

    /// Sets the links of a node.
    fn set_links(&mut self, now: Instant, node: NodeId, links: &[LinkInfo]) {
        let whose = |cast: &mut Cast, link: &LinkInfo| cast.who(&link.peer.name);
        let peers: Vec<Who> = links
            .iter()
            .map(|link| whose(&mut self.facts.cast, link))
            .collect();
        let gone = self.facts.links.of(node).map(|(who, _)| who);
        let gone: Vec<Who> = gone.filter(|who| !peers.contains(who)).collect();
        for who in gone {
            self.set_link(now, node, who, None);
        }
        for (who, link) in peers.into_iter().zip(links) {
            self.set_link(now, node, who, Some(link));
        }
    }

    /// When [`Invariants::advance`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |watcher: &Watcher| watcher.invariant.poll_timeout();
        self.watchers.iter().filter_map(due).min()
    }

    /// Evaluates everything that is due at `now`.
    pub fn advance(&mut self, now: Instant, seen: &dyn Witness) {
        for watcher in &mut self.watchers {
            let due = watcher.invariant.poll_timeout();
            if due.is_some_and(|due| due <= now) {
                let (facts, violations) = (&self.facts, &mut self.violations);
                watcher.tell(now, NodeId(0), facts, violations, |invariant, at| {
                    invariant.advance(at, seen);
                });
            }
        }
    }

    /// Since when no fault affects any node; `None`: some fault does.
    pub fn healed_since(&self) -> Option<Instant> {
        self.facts.cast.healed_since()
    }

    /// A condition that does not hold yet at the end of a run in which everything has healed: for example,
    /// nodes do not agree on the members, or messages have neither arrived nor been reported as missed. `None`:
    /// everything holds.
    pub fn unsettled(&self, now: Instant, members: &[Member]) -> Option<Violation> {
        self.watchers.iter().find_map(|watcher| {
            let (node, text) = watcher.invariant.unsettled(now, &self.facts, members)?;
            Some(Violation {
                number: watcher.entry.number,
                at: now,
                node,
                text,
            })
        })
    }

    /// Records a condition that still did not hold when the time after the healing was over.
    pub fn report(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// The violations found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How often each invariant was evaluated.
    pub fn evaluated(&self) -> impl Iterator<Item = (&'static Entry, u64)> {
        self.watchers
            .iter()
            .map(|watcher| (watcher.entry, watcher.evaluated))
    }
}
