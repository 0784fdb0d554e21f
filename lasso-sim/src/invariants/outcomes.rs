//! Invariant 10: a call gets exactly one outcome, not later than its deadline; a call to n nodes gets
//! n, in the order asked. One that was frozen learns of it when it is thawed.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};

use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use super::Found;
use super::cast::Cast;
use crate::app::{Outcome, Saw};
use crate::scenario::NodeId;

const NUMBER: u32 = 10;

#[derive(Debug)]
struct Pending {
    deadline: Instant,
    /// Whom it asks.
    asked: Vec<NodeName>,
    /// Told of already as late.
    late: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Outcomes {
    pending: BTreeMap<(NodeId, u64), Pending>,
    due: BinaryHeap<Reverse<(Instant, NodeId, u64)>>,
    resumed: Vec<Instant>,
    slack: Duration,
}

impl Outcomes {
    pub(super) fn new(nodes: usize, slack: Duration) -> Self {
        Outcomes {
            pending: BTreeMap::new(),
            due: BinaryHeap::new(),
            resumed: vec![Instant::ZERO; nodes],
            slack,
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.pending.retain(|(of, _), _| *of != node);
        self.resumed[node.index()] = Instant::ZERO;
    }

    pub(super) fn resumed(&mut self, now: Instant, node: NodeId) {
        self.resumed[node.index()] = now;
    }

    pub(super) fn saw(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        saw: &Saw,
        found: &mut Vec<Found>,
    ) {
        match saw {
            Saw::Called {
                tag, to, timeout, ..
            } => {
                let timeout = timeout.unwrap_or(cast.actor(node).call_timeout);
                self.begins(node, *tag, vec![to.clone()], now + timeout);
            }
            Saw::CalledMany {
                tag, to, timeout, ..
            } => {
                let timeout = timeout.unwrap_or(cast.actor(node).call_timeout);
                self.begins(node, *tag, to.clone(), now + timeout);
            }
            Saw::Answered { tag, outcome } => {
                let pending = self.ends(now, cast, node, *tag, found);
                if pending.is_some() && *outcome == Outcome::WrongAnswer {
                    found.push((NUMBER, wrong(cast, node, *tag)));
                }
            }
            Saw::Gathered { tag, outcomes, .. } => {
                let Some(pending) = self.ends(now, cast, node, *tag, found) else {
                    return;
                };
                let answered = outcomes.iter().map(|(name, _)| name);
                if !answered.eq(pending.asked.iter()) {
                    let text = format!(
                        "a call to n nodes gets n outcomes in their order; call {tag} of {} asked \
                         {:?} and got {outcomes:?}",
                        cast.actor(node).name,
                        pending.asked
                    );
                    found.push((NUMBER, text));
                }
                if outcomes.iter().any(|(_, o)| *o == Outcome::WrongAnswer) {
                    found.push((NUMBER, wrong(cast, node, *tag)));
                }
            }
            _ => {}
        }
    }

    fn begins(&mut self, node: NodeId, tag: u64, asked: Vec<NodeName>, deadline: Instant) {
        let pending = Pending {
            deadline,
            asked,
            late: false,
        };
        self.pending.insert((node, tag), pending);
        self.due
            .push(Reverse((self.limit(node, deadline), node, tag)));
    }

    /// The first moment that is too late.
    fn limit(&self, node: NodeId, deadline: Instant) -> Instant {
        let last = deadline.max(self.resumed[node.index()]);
        last + self.slack + Duration::from_nanos(1)
    }

    fn ends(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        tag: u64,
        found: &mut Vec<Found>,
    ) -> Option<Pending> {
        let name = &cast.actor(node).name;
        let Some(pending) = self.pending.remove(&(node, tag)) else {
            let text = format!("a call gets one outcome; call {tag} of {name} got another");
            found.push((NUMBER, text));
            return None;
        };
        if !pending.late && now >= self.limit(node, pending.deadline) {
            found.push((NUMBER, late(name, tag, now - pending.deadline)));
        }
        Some(pending)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn advance(&mut self, now: Instant, cast: &Cast, found: &mut Vec<(NodeId, Found)>) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            let Some(Reverse((_, node, tag))) = self.due.pop() else {
                return;
            };
            let Some(deadline) = self.pending.get(&(node, tag)).map(|p| p.deadline) else {
                continue;
            };
            let limit = self.limit(node, deadline);
            if cast.actor(node).paused {
                self.due.push(Reverse((now + AGAIN, node, tag)));
            } else if limit > now {
                self.due.push(Reverse((limit, node, tag)));
            } else if let Some(pending) = self.pending.get_mut(&(node, tag)) {
                pending.late = true;
                let text = late(&cast.actor(node).name, tag, now - deadline);
                found.push((node, (NUMBER, text)));
            }
        }
    }
}

/// A frozen caller is looked at again after this.
const AGAIN: Duration = Duration::from_secs(1);

fn late(name: &NodeName, tag: u64, by: Duration) -> String {
    format!("a call gets its outcome by its deadline; call {tag} of {name} is {by:?} late")
}

fn wrong(cast: &Cast, node: NodeId, tag: u64) -> String {
    let name = &cast.actor(node).name;
    format!("an answer is to the question asked; call {tag} of {name} got another one")
}
