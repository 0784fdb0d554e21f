//! Defines an invariant: a file with a type that implements [`Invariant`], a constant [`Entry`], and a line in
//! [`ALL`](super::ALL). Every event of a run is offered to it; it implements the hooks it needs.

use core::fmt;
use core::time::Duration;

use lasso_core::discovery::{Family, QueryId};
use lasso_core::event::{CloseReason, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::node::{ConnId, DnsAnswer};
use lasso_core::time::Instant;
use lasso_core::topology::Coverage;

use super::cast::Who;
use super::facts::{Facts, LinkFact};
use super::{Knowledge, Member, Violation, Witness};
use crate::app::Saw;
use crate::scenario::{NodeId, NodeSpec};

/// A condition that must always hold. The methods do nothing by default.
///
/// For each input a world reports the events and closes of a node first, then calls `after`. When a hook
/// runs, the facts already include the change: in `link` they hold the new link.
pub(super) trait Invariant: fmt::Debug + Send {
    /// A process of a node starts.
    fn started(&mut self, _: &mut Moment<'_>, _spec: &NodeSpec) {}

    /// The process of a node is gone.
    fn ended(&mut self, _: &mut Moment<'_>) {}

    /// The process of a node was thawed.
    fn resumed(&mut self, _: &mut Moment<'_>) {}

    /// A node has reported an event to its subscribers.
    fn event(&mut self, _: &mut Moment<'_>, _event: &TopologyEvent, _seen: &dyn Witness) {}

    /// A node dials.
    fn dials(&mut self, _: &mut Moment<'_>, _dial: Dial) {}

    /// A node closes a connection.
    fn closes(
        &mut self,
        _: &mut Moment<'_>,
        _conn: ConnId,
        _reason: &CloseReason,
        _seen: &dyn Witness,
    ) {
    }

    /// The link of a node to a peer appeared, disappeared, or was replaced.
    fn link(
        &mut self,
        _: &mut Moment<'_>,
        _peer: Who,
        _before: Option<LinkFact>,
        _now: Option<LinkFact>,
    ) {
    }

    /// The application of a node has observed something.
    fn saw(&mut self, _: &mut Moment<'_>, _saw: &Saw) {}

    /// A handler of a node gets a question.
    fn asked(&mut self, _: &mut Moment<'_>, _asked: &Asked<'_>) {}

    /// A node has handled an input that changed its links or its queues, or that led to an event.
    fn after(&mut self, _: &mut Moment<'_>, _known: &dyn Knowledge, _changes: &Changes<'_>) {}

    /// DNS answers a question of a node, which has not handled the answer yet.
    fn resolved(&mut self, _: &mut Moment<'_>, _question: (QueryId, Family), _answer: &DnsAnswer) {}

    /// When [`Invariant::advance`] has something to do.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Evaluates what is due. The moment's node means nothing.
    fn advance(&mut self, _: &mut Moment<'_>, _seen: &dyn Witness) {}

    /// A condition that does not hold yet at the end of a run, after all faults are over: the node, and a text.
    /// The run continues for a bounded time until this is `None`; after that it is a violation.
    fn unsettled(
        &self,
        _now: Instant,
        _facts: &Facts,
        _members: &[Member],
    ) -> Option<(NodeId, String)> {
        None
    }
}

/// One line of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its number in `docs/scenarios.md`.
    pub number: u32,
    /// Its name in results.
    pub name: &'static str,
    /// Makes it for a run with this number of nodes.
    pub(super) make: fn(usize) -> Box<dyn Invariant>,
}

/// A dial of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dial {
    /// Its connection.
    pub(super) conn: ConnId,
    /// The node with the dialled address, if there is one.
    pub(super) to: Option<NodeId>,
}

/// A question to a handler.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The caller.
    pub from: &'a NodeName,
    /// The caller's tag; `None`: the question differs from the one asked.
    pub tag: Option<u64>,
    /// How long the handler may work on it.
    pub left: Duration,
}

/// The changes by an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes<'a> {
    /// The coverage that the last event of the input carried.
    pub(super) told: Option<&'a Coverage>,
    /// Peers whose link or state may differ.
    pub(super) touched: &'a [Who],
    /// Whether its queues may have taken something.
    pub(super) queues: bool,
    /// Whether its timers are to be checked.
    pub(super) round: bool,
    /// Whether DNS has answered it.
    pub(super) resolved: bool,
}

/// The time and node of an event, the facts, and the list of violations.
pub(super) struct Moment<'a> {
    pub(super) now: Instant,
    pub(super) node: NodeId,
    pub(super) facts: &'a Facts,
    number: u32,
    evaluated: &'a mut u64,
    violations: &'a mut Vec<Violation>,
}

impl Moment<'_> {
    /// Records a violation unless `holds`. Each call counts as one evaluation.
    pub(super) fn demand(&mut self, holds: bool, text: impl FnOnce() -> String) {
        *self.evaluated += 1;
        if !holds {
            self.violated_at(self.node, text());
        }
    }

    /// The same at another node.
    pub(super) fn demand_at(&mut self, node: NodeId, holds: bool, text: impl FnOnce() -> String) {
        *self.evaluated += 1;
        if !holds {
            self.violated_at(node, text());
        }
    }

    fn violated_at(&mut self, node: NodeId, text: String) {
        self.violations.push(Violation {
            number: self.number,
            at: self.now,
            node,
            text,
        });
    }
}

/// An invariant of a run, and how often it was evaluated.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) entry: &'static Entry,
    pub(super) invariant: Box<dyn Invariant>,
    pub(super) evaluated: u64,
}

impl Watcher {
    pub(super) fn new(entry: &'static Entry, nodes: usize) -> Self {
        Watcher {
            entry,
            invariant: (entry.make)(nodes),
            evaluated: 0,
        }
    }

    pub(super) fn tell(
        &mut self,
        now: Instant,
        node: NodeId,
        facts: &Facts,
        violations: &mut Vec<Violation>,
        tell: impl FnOnce(&mut dyn Invariant, &mut Moment<'_>),
    ) {
        let mut moment = Moment {
            now,
            node,
            facts,
            number: self.entry.number,
            evaluated: &mut self.evaluated,
            violations,
        };
        tell(&mut *self.invariant, &mut moment);
    }
}
