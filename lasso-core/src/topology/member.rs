//! One remote node, and everything known about it.
//!
//! A member holds facts: its link is up, it has described itself, it passed a check, its application reported
//! that it is ready. Its state is derived from the facts, so that it cannot contradict them. A node that was
//! unresponsive returns to its former state although nothing stored that state.
//!
//! 1. The incarnation never goes back.
//! 2. A new session starts with no facts but its link; a lost link leaves none but the description.

use core::time::Duration;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::DownReason;
use crate::name::{Description, Incarnation, NodeName};
use crate::time::Instant;

/// The state of a remote node. [`NodeState::successors`] gives the possible next states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its link is up.
    Connected,
    /// This node has asked for its description.
    Discovering,
    /// Described, and passed a health check.
    Responding,
    /// Its application has reported that it is ready.
    Ready,
    /// Three health checks in a row failed.
    Unresponsive,
    /// Its link is lost, or it left.
    Disconnected,
}

impl NodeState {
    /// The state's name, as in JSON: lower case.
    pub fn name(self) -> &'static str {
        match self {
            NodeState::Connected => "connected",
            NodeState::Discovering => "discovering",
            NodeState::Responding => "responding",
            NodeState::Ready => "ready",
            NodeState::Unresponsive => "unresponsive",
            NodeState::Disconnected => "disconnected",
        }
    }

    /// All states.
    pub const ALL: [NodeState; 6] = [
        NodeState::Connected,
        NodeState::Discovering,
        NodeState::Responding,
        NodeState::Ready,
        NodeState::Unresponsive,
        NodeState::Disconnected,
    ];

    /// The states that can follow this one. An unknown node counts as disconnected. A link begins in
    /// `Discovering`, because the request for the description goes out at once.
    pub fn successors(self) -> &'static [NodeState] {
        use NodeState::{Connected, Disconnected, Discovering, Ready, Responding, Unresponsive};
        match self {
            Connected => &[Discovering, Responding, Ready, Unresponsive, Disconnected],
            Discovering => &[Connected, Responding, Ready, Unresponsive, Disconnected],
            Responding => &[Ready, Unresponsive, Disconnected],
            Ready => &[Responding, Unresponsive, Disconnected],
            Unresponsive => &[Connected, Discovering, Responding, Ready, Disconnected],
            Disconnected => &[Discovering],
        }
    }

    /// True when a change from `self` to `to` is reported as a health update: requests for descriptions are not
    /// reported, and links have events of their own.
    pub(super) fn is_news(self, to: NodeState) -> bool {
        let quiet = |state| matches!(state, NodeState::Connected | NodeState::Discovering);
        self != to && !(quiet(self) && quiet(to))
    }
}

/// One remote node.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    pub(super) linked: bool,
    /// This node has asked for its description.
    pub(super) asking: bool,
    /// It has described itself in this session.
    pub(super) described: bool,
    /// It has passed a check in this session.
    pub(super) passed: bool,
    /// Its application has reported that it is ready.
    pub(super) app_ready: bool,
    /// Enough checks in a row failed.
    pub(super) unresponsive: bool,
    pub(super) description: Description,
    pub(super) since: Instant,
    pub(super) linked_since: Instant,
    pub(super) down_reason: Option<DownReason>,
    pub(super) rtt: Option<Duration>,
    /// When it last returned, the oldest first; at most one more than the tolerated cycles.
    pub(super) returns: VecDeque<Instant>,
    pub(super) flapping: bool,
}

impl Member {
    pub(super) fn new(now: Instant, name: NodeName, incarnation: Incarnation) -> Self {
        Member {
            incarnation,
            linked: false,
            asking: false,
            described: false,
            passed: false,
            app_ready: false,
            unresponsive: false,
            description: Description::of(&name),
            since: now,
            linked_since: now,
            down_reason: None,
            rtt: None,
            returns: VecDeque::new(),
            flapping: false,
            name,
        }
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The latest known incarnation of that name.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Its state.
    pub fn state(&self) -> NodeState {
        if !self.linked {
            NodeState::Disconnected
        } else if self.unresponsive {
            NodeState::Unresponsive
        } else if self.described && self.passed {
            if self.app_ready {
                NodeState::Ready
            } else {
                NodeState::Responding
            }
        } else if self.asking {
            NodeState::Discovering
        } else {
            NodeState::Connected
        }
    }

    /// Since when it has been in its state.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Since when its link has been up; while it is disconnected, since when the last one was.
    pub fn linked_since(&self) -> Instant {
        self.linked_since
    }

    /// True when its link is up.
    pub fn is_linked(&self) -> bool {
        self.linked
    }

    /// True when it has described itself: in this session, or, while it is disconnected, in the
    /// last one.
    pub fn is_identified(&self) -> bool {
        self.described
    }

    /// Its description; region `unknown` until it has sent one.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Why its link was lost, while it is disconnected.
    pub fn down_reason(&self) -> Option<DownReason> {
        self.down_reason
    }

    /// From its last health check to the answer; `None` until one has passed in this session.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// True while it has gone down and returned too often.
    pub fn is_flapping(&self) -> bool {
        self.flapping
    }

    /// A session starts; it declares everything again.
    pub(super) fn link_up(&mut self, now: Instant, incarnation: Incarnation) {
        assert!(
            incarnation >= self.incarnation,
            "the incarnation of {} goes back",
            self.name
        );
        let returns = core::mem::take(&mut self.returns);
        let flapping = self.flapping;
        *self = Member::new(now, self.name.clone(), incarnation);
        self.linked = true;
        self.asking = true;
        self.returns = returns;
        self.flapping = flapping;
    }

    /// The session is over.
    pub(super) fn link_down(&mut self, reason: DownReason) {
        assert!(self.linked);
        self.linked = false;
        self.asking = false;
        self.passed = false;
        self.app_ready = false;
        self.unresponsive = false;
        self.rtt = None;
        self.down_reason = Some(reason);
    }

    /// A cycle of down and up is complete. Returns true when it is the one with which the node
    /// begins to flap: more than `cycles_max` cycles within `window`.
    pub(super) fn came_back(&mut self, now: Instant, cycles_max: usize, window: Duration) -> bool {
        self.returns.retain(|at| *at + window > now);
        if self.returns.len() > cycles_max {
            self.returns.pop_front();
        }
        self.returns.push_back(now);
        let flapping = self.returns.len() > cycles_max;
        let began = flapping && !self.flapping;
        self.flapping = flapping;
        began
    }

    /// When it stops flapping unless it returns once more.
    pub(super) fn flaps_until(&self, window: Duration) -> Option<Instant> {
        self.returns
            .front()
            .filter(|_| self.flapping)
            .map(|at| *at + window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked() -> Member {
        let mut member = Member::new(Instant::ZERO, "a@10.0.0.1".parse().unwrap(), Incarnation(1));
        member.link_up(Instant::ZERO, Incarnation(1));
        member
    }

    #[test]
    fn the_state_follows_from_the_facts() {
        use NodeState::*;
        // asking, described, passed, ready, unresponsive
        let table = [
            ([false, false, false, false, false], Connected),
            ([true, false, false, false, false], Discovering),
            ([true, false, true, true, false], Discovering),
            ([false, true, false, true, false], Connected),
            ([false, false, true, true, false], Connected),
            ([false, true, true, false, false], Responding),
            ([true, true, true, false, false], Responding),
            ([false, true, true, true, false], Ready),
            ([false, true, true, true, true], Unresponsive),
            ([true, false, false, false, true], Unresponsive),
        ];
        for ([asking, described, passed, app_ready, unresponsive], state) in table {
            let facts = Member {
                asking,
                described,
                passed,
                app_ready,
                unresponsive,
                ..linked()
            };
            assert_eq!(facts.state(), state, "{facts:?}");
            let mut gone = facts;
            gone.link_down(DownReason::Closed);
            assert_eq!(gone.state(), Disconnected);
        }
    }

    #[test]
    #[should_panic(expected = "goes back")]
    fn an_incarnation_cannot_go_back() {
        let mut member = linked();
        member.link_down(DownReason::Closed);
        member.link_up(Instant::ZERO, Incarnation(0));
    }

    #[test]
    fn asking_for_a_description_is_no_news() {
        assert!(!NodeState::Connected.is_news(NodeState::Discovering));
        assert!(!NodeState::Ready.is_news(NodeState::Ready));
        assert!(NodeState::Unresponsive.is_news(NodeState::Discovering));
        assert!(NodeState::Connected.is_news(NodeState::Responding));
    }
}
