//! Invariant 10: a call gets exactly one outcome, not later than its deadline; a call to n nodes gets n, in the
//! order asked. A frozen caller learns of it when it is thawed.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};

use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use super::Witness;
use super::cast::Actor;
use super::facts::Facts;
use super::invariant::{Entry, Invariant, Moment};
use crate::app::{Outcome, Saw};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 10,
    name: "outcomes",
    make: |_| Box::<Outcomes>::default(),
};

#[derive(Debug)]
struct Pending {
    deadline: Instant,
    /// The nodes that it asks.
    asked: Vec<NodeName>,
    /// Already reported as late.
    late: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
struct Outcomes {
    pending: BTreeMap<(NodeId, u64), Pending>,
    due: BinaryHeap<Reverse<(Instant, NodeId, u64)>>,
}

impl Invariant for Outcomes {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.forget(at.node);
    }

    fn ended(&mut self, at: &mut Moment<'_>) {
        self.forget(at.node);
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let actor = at.facts.cast.actor(at.node);
        match saw {
            Saw::Called {
                tag, to, timeout, ..
            } => {
                let timeout = timeout.unwrap_or(actor.call_timeout);
                self.begins(at, *tag, vec![to.clone()], timeout);
            }
            Saw::CalledMany {
                tag, to, timeout, ..
            } => {
                let timeout = timeout.unwrap_or(actor.call_timeout);
                self.begins(at, *tag, to.clone(), timeout);
            }
            Saw::Answered { tag, outcome } => {
                let pending = self.ends(at, *tag);
                if pending.is_some() {
                    is_its_own(at, *tag, *outcome);
                }
            }
            Saw::Gathered { tag, outcomes, .. } => {
                let Some(pending) = self.ends(at, *tag) else {
                    return;
                };
                let answered = outcomes.iter().map(|(name, _)| name);
                at.demand(answered.eq(pending.asked.iter()), || {
                    format!(
                        "a call to n nodes gets n outcomes in their order; call {tag} of {} asked \
                         {:?} and got {outcomes:?}",
                        actor.name, pending.asked
                    )
                });
                for (_, outcome) in outcomes {
                    is_its_own(at, *tag, *outcome);
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    fn advance(&mut self, at: &mut Moment<'_>, _: &dyn Witness) {
        let now = at.now;
        while let Some(Reverse((due, node, tag))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            let Some(pending) = self.pending.get_mut(&(node, tag)) else {
                continue;
            };
            let (deadline, actor) = (pending.deadline, at.facts.cast.actor(node));
            let limit = limit(at.facts, actor, deadline);
            if actor.paused {
                self.due.push(Reverse((now + AGAIN, node, tag)));
                continue;
            }
            pending.late = limit <= now;
            at.demand_at(node, limit > now, || late(&actor.name, tag, now - deadline));
            if limit > now {
                self.due.push(Reverse((limit, node, tag)));
            }
        }
    }
}

impl Outcomes {
    fn forget(&mut self, node: NodeId) {
        let last = self.pending.range((node, 0)..=(node, u64::MAX));
        let tags: Vec<_> = last.map(|(key, _)| *key).collect();
        for key in tags {
            self.pending.remove(&key);
        }
    }

    fn begins(&mut self, at: &Moment<'_>, tag: u64, asked: Vec<NodeName>, timeout: Duration) {
        let pending = Pending {
            deadline: at.now + timeout,
            asked,
            late: false,
        };
        let limit = limit(at.facts, at.facts.cast.actor(at.node), pending.deadline);
        self.pending.insert((at.node, tag), pending);
        self.due.push(Reverse((limit, at.node, tag)));
    }

    fn ends(&mut self, at: &mut Moment<'_>, tag: u64) -> Option<Pending> {
        let (now, actor) = (at.now, at.facts.cast.actor(at.node));
        let pending = self.pending.remove(&(at.node, tag));
        at.demand(pending.is_some(), || {
            let name = &actor.name;
            format!("a call gets one outcome; call {tag} of {name} got another")
        });
        let pending = pending?;
        let in_time = now < limit(at.facts, actor, pending.deadline);
        at.demand(in_time || pending.late, || {
            late(&actor.name, tag, now - pending.deadline)
        });
        Some(pending)
    }
}

/// The first moment that is too late.
fn limit(facts: &Facts, actor: &Actor, deadline: Instant) -> Instant {
    deadline.max(actor.resumed) + facts.slack + Duration::from_nanos(1)
}

/// A frozen caller is checked again after this.
const AGAIN: Duration = Duration::from_secs(1);

fn late(name: &NodeName, tag: u64, by: Duration) -> String {
    format!("a call gets its outcome by its deadline; call {tag} of {name} is {by:?} late")
}

fn is_its_own(at: &mut Moment<'_>, tag: u64, outcome: Outcome) {
    let name = &at.facts.cast.actor(at.node).name;
    at.demand(outcome != Outcome::WrongAnswer, || {
        format!("an answer is to the question asked; call {tag} of {name} got another one")
    });
}
