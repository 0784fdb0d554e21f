//! The queries to a topology.

use std::collections::BTreeMap;

use super::{Counters, Coverage, Member, NodeState, Partitions, Topology, Unanswered};
use crate::name::{Description, Incarnation, NodeName};

impl Topology {
    /// The coverage of an answer: how much of the cluster it covers.
    pub fn coverage(&self) -> Coverage {
        self.roster.tally().coverage(self.expected(), self.epoch)
    }

    /// The largest of the configured number of nodes, the number that discovery names, and the number
    /// connected: a connected node counts as expected.
    pub fn expected(&self) -> usize {
        self.expected_nodes
            .max(self.discovered)
            .max(self.connected())
    }

    /// The configured number of nodes, `EXPECTED_NODE_COUNT`.
    pub fn expected_nodes(&self) -> usize {
        self.expected_nodes
    }

    /// The membership epoch: the number of events so far.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The latest known incarnation of that name.
    pub fn known_incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        self.roster.get(name).map(|member| member.incarnation)
    }

    /// The linked and the remembered nodes, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.roster.iter()
    }

    /// True for a node that this one chose not to link with, so that every island is fully connected. Always
    /// false without `prevent_overlapping_partitions`.
    pub fn excludes(&self, name: &NodeName) -> bool {
        self.watch.excludes(name)
    }

    /// The number of nodes with a link, this node included.
    pub(crate) fn connected(&self) -> usize {
        self.roster.tally().connected() + 1
    }

    /// The number of remembered nodes without a link.
    pub fn disconnected(&self) -> usize {
        self.roster.tally().disconnected()
    }

    /// One node that is linked or remembered.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        self.roster.get(name)
    }

    /// The unanswered checks of a linked node since its last answer; `None` if there are none.
    pub fn unanswered(&self, name: &NodeName) -> Option<Unanswered> {
        self.checks.unanswered(name)
    }

    /// This node's description.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// True when this node's application has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The islands of the cluster, and the pairs that cannot reach each other, at most a second old. There are
    /// no islands while as many nodes are connected as are expected: then no node is missing.
    pub fn partitions(&self) -> Partitions {
        let mut partitions = self.watch.partitions().clone();
        if self.connected() == self.expected() {
            partitions.islands.clear();
        }
        partitions
    }

    /// How often a node changed from one state to another; an absent pair was never seen.
    pub fn transitions(&self) -> &BTreeMap<(NodeState, NodeState), u64> {
        self.roster.transitions()
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
