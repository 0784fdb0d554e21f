//! Invariant 10: deadlines travel. A handler has exactly the time that its caller gave the call, at most
//! the longest that the settings of caller and node allow.

use core::time::Duration;
use std::collections::BTreeMap;

use super::invariant::{Asked, Entry, Invariant, Moment};
use crate::app::Saw;
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 10,
    name: "deadlines",
    make: |_| Box::<Deadlines>::default(),
};

/// How long each call may take, by caller and tag.
#[derive(Debug, Default)]
struct Deadlines(BTreeMap<(NodeId, u64), Duration>);

impl Invariant for Deadlines {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        let node = at.node;
        self.0.retain(|(of, _), _| *of != node);
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let (tag, timeout) = match saw {
            Saw::Called { tag, timeout, .. } | Saw::CalledMany { tag, timeout, .. } => {
                (tag, timeout)
            }
            Saw::Answered { tag, .. } | Saw::Gathered { tag, .. } => {
                self.0.remove(&(at.node, *tag));
                return;
            }
            _ => return,
        };
        let calls = &at.facts.cast.actor(at.node).settings.calls;
        let timeout = timeout.unwrap_or(calls.timeout).min(calls.timeout_max);
        self.0.insert((at.node, *tag), timeout);
    }

    fn asked(&mut self, at: &mut Moment<'_>, asked: &Asked<'_>) {
        let (facts, cast) = (at.facts, &at.facts.cast);
        let callers = cast.nodes().filter(|(_, actor)| actor.name == *asked.from);
        let mut running = callers.filter(|(_, actor)| actor.running);
        let (Some((caller, actor)), None) = (running.next(), running.next()) else {
            return;
        };
        // Calls of an earlier life may still arrive, and may have the tag of a new call.
        if actor.started != lasso_core::time::Instant::ZERO && actor.started + STRAY > at.now {
            return;
        }
        let Some(timeout) = asked.tag.and_then(|tag| self.0.get(&(caller, tag))) else {
            return;
        };
        let longest = cast.actor(at.node).settings.calls.timeout_max;
        let (right, left) = (longest.min(*timeout), asked.left);
        let in_bounds =
            left <= right + ROUNDED + facts.slack && left + ROUNDED + facts.slack >= right;
        let name = &cast.actor(at.node).name;
        at.demand(in_bounds, || {
            format!(
                "deadlines travel; {name} has {left:?} for a call of {} that may take {right:?}",
                asked.from
            )
        });
    }
}

/// Deadlines travel as milliseconds.
const ROUNDED: Duration = Duration::from_millis(1);
/// Calls of a life that has ended arrive no later than this.
const STRAY: Duration = Duration::from_secs(30);
