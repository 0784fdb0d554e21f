//! The coverage of an answer: how much of the cluster it covers.
//!
//! Expected, connected and responding are three independent numbers, except that every connected node is also expected.
//! They are updated with every change of a member, so that reading them costs nothing however large the cluster is.
//!
//! 1. responding ≤ connected ≤ expected, and identified ≤ connected; each includes this node.
//! 2. A node is counted once: it is connected or it is among the disconnected, never both.

use core::fmt;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::NodeState;
use super::member::Member;
use crate::name::NodeName;

/// How much of the cluster an answer covers. Each number includes this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The largest of the expected count, the nodes that discovery names, and `connected`.
    pub expected: usize,
    /// Nodes with a link, and self.
    pub connected: usize,
    /// Nodes that are responding or ready, and self.
    pub responding: usize,
    /// Linked nodes that have described themselves, and self.
    pub identified: usize,
    /// Linked nodes that fail their health checks.
    pub unresponsive: Vec<NodeName>,
    /// Remembered nodes without a link.
    pub disconnected: Vec<NodeName>,
    /// The membership epoch.
    pub epoch: u64,
}

impl fmt::Display for Coverage {
    /// "responding/expected nodes".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} nodes", self.responding, self.expected)
    }
}

/// The contribution of one member to the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    connected: bool,
    responding: bool,
    identified: bool,
    unresponsive: bool,
    disconnected: bool,
}

impl Share {
    pub(super) fn of(member: &Member) -> Self {
        let state = member.state();
        Share {
            connected: member.is_linked(),
            responding: matches!(state, NodeState::Responding | NodeState::Ready),
            identified: member.is_linked() && member.is_identified(),
            unresponsive: state == NodeState::Unresponsive,
            disconnected: state == NodeState::Disconnected,
        }
    }
}

/// The counts over all members, without this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    connected: usize,
    responding: usize,
    identified: usize,
    unresponsive: BTreeSet<NodeName>,
    disconnected: BTreeSet<NodeName>,
}

impl Tally {
    /// Updates the contribution of a member; `before` is its former one.
    pub(super) fn update(&mut self, name: &NodeName, before: Option<Share>, after: Option<Share>) {
        if before == after {
            return;
        }
        let count = |counter: &mut usize, part: fn(&Share) -> bool| {
            *counter += usize::from(after.as_ref().is_some_and(part));
            *counter -= usize::from(before.as_ref().is_some_and(part));
        };
        count(&mut self.connected, |share| share.connected);
        count(&mut self.responding, |share| share.responding);
        count(&mut self.identified, |share| share.identified);
        let list = |names: &mut BTreeSet<NodeName>, part: fn(&Share) -> bool| match (
            before.as_ref().is_some_and(part),
            after.as_ref().is_some_and(part),
        ) {
            (false, true) => assert!(names.insert(name.clone()), "{name} is counted twice"),
            (true, false) => assert!(names.remove(name), "{name} was not counted"),
            _ => {}
        };
        list(&mut self.unresponsive, |share| share.unresponsive);
        list(&mut self.disconnected, |share| share.disconnected);
        assert!(self.responding <= self.connected && self.identified <= self.connected);
    }

    /// Linked members.
    pub(super) fn connected(&self) -> usize {
        self.connected
    }

    /// Members without a link.
    pub(super) fn disconnected(&self) -> usize {
        self.disconnected.len()
    }

    pub(super) fn coverage(&self, expected: usize, epoch: u64) -> Coverage {
        Coverage {
            expected,
            connected: self.connected + 1,
            responding: self.responding + 1,
            identified: self.identified + 1,
            unresponsive: self.unresponsive.iter().cloned().collect(),
            disconnected: self.disconnected.iter().cloned().collect(),
            epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DownReason;
    use crate::name::Incarnation;
    use crate::time::Instant;

    #[test]
    fn a_member_is_counted_once_and_where_it_is() {
        let name: NodeName = "a@10.0.0.1".parse().unwrap();
        let mut tally = Tally::default();
        let mut member = Member::new(Instant::ZERO, name.clone(), Incarnation(1));
        member.link_up(Instant::ZERO, Incarnation(1));
        let linked = Share::of(&member);
        tally.update(&name, None, Some(linked));
        let coverage = tally.coverage(3, 1);
        assert_eq!(
            (coverage.connected, coverage.responding, coverage.identified),
            (2, 1, 1)
        );
        member.described = true;
        member.passed = true;
        let responding = Share::of(&member);
        tally.update(&name, Some(linked), Some(responding));
        let coverage = tally.coverage(3, 2);
        assert_eq!(
            (coverage.connected, coverage.responding, coverage.identified),
            (2, 2, 2)
        );
        member.link_down(DownReason::Down);
        tally.update(&name, Some(responding), Some(Share::of(&member)));
        let coverage = tally.coverage(3, 3);
        assert_eq!(
            (coverage.connected, coverage.responding, coverage.identified),
            (1, 1, 1)
        );
        assert_eq!(coverage.disconnected, [name]);
        assert_eq!(
            coverage.expected, 3,
            "expected follows from nothing that was counted"
        );
    }
}
