//! What a topology can be asked for.

use std::collections::BTreeMap;

use super::{Counters, Coverage, Member, NodeState, Partitions, Topology, Unanswered};
use crate::name::{Description, Incarnation, NodeName};

impl Topology {
    /// How much of the cluster an answer speaks for.
    pub fn coverage(&self) -> Coverage {
        self.roster.tally().coverage(self.expected(), self.epoch)
    }

    /// The largest of the configured number of nodes, those that discovery names, and those that are
    /// connected: a node that is there was to be expected.
    pub fn expected(&self) -> usize {
        self.expected_nodes
            .max(self.discovered)
            .max(self.connected())
    }

    /// The configured number of nodes, `EXPECTED_NODE_COUNT`.
    pub fn expected_nodes(&self) -> usize {
        self.expected_nodes
    }

    /// The membership epoch: how many events there were.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The latest life of that name that is known.
    pub fn known_incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        self.roster.get(name).map(|member| member.incarnation)
    }

    /// The nodes that are linked or remembered, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.roster.iter()
    }

    /// True for a node that this one chose not to link to, so that every island is fully connected.
    /// Always false without `prevent_overlapping_partitions`.
    pub fn excludes(&self, name: &NodeName) -> bool {
        self.watch.excludes(name)
    }

    /// How many nodes have a link, this node included.
    pub(crate) fn connected(&self) -> usize {
        self.roster.tally().connected() + 1
    }

    /// How many nodes are remembered without a link.
    pub fn disconnected(&self) -> usize {
        self.roster.tally().disconnected()
    }

    /// One node that is linked or remembered.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        self.roster.get(name)
    }

    /// The checks of a linked node since its last answer; `None`: there are none.
    pub fn unanswered(&self, name: &NodeName) -> Option<Unanswered> {
        self.checks.unanswered(name)
    }

    /// What this node says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// True when this node's application has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The parts that the cluster has fallen into, and the pairs that cannot reach each other, at
    /// most a second old. No islands while as many nodes are connected as are expected: whoever is
    /// gone then is not missed.
    pub fn partitions(&self) -> Partitions {
        let mut partitions = self.watch.partitions().clone();
        if self.connected() == self.expected() {
            partitions.islands.clear();
        }
        partitions
    }

    /// How often a node went from one state to another; a pair that is not there was never seen.
    pub fn transitions(&self) -> &BTreeMap<(NodeState, NodeState), u64> {
        self.roster.transitions()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
