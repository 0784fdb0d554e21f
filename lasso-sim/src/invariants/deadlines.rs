//! Invariant 10: deadlines travel. A handler has exactly the time that its caller gave the call, at most
//! the longest that the settings of caller and node allow.
//!
//! Each life of a node numbers its calls from the beginning, so a question identifies its call only by caller
//! and tag. A late question of an earlier life may have the tag of a new call. So this file remembers the calls
//! of ended lives that have not reached a handler, and for a while does not judge questions with their tags.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use super::invariant::{Asked, Entry, Invariant, Moment};
use crate::app::Saw;
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 10,
    name: "deadlines",
    make: |_| Box::<Deadlines>::default(),
};

/// A caller and the tag of its call.
type Call = (NodeId, u64);

/// See the module's text.
#[derive(Debug, Default)]
struct Deadlines {
    /// How long each call may take.
    open: BTreeMap<Call, Duration>,
    /// By call, the nodes whose handlers it has not reached.
    on_way: BTreeMap<Call, Vec<NodeName>>,
    /// The calls of `on_way`, in the order in which they began.
    begun: VecDeque<(Instant, Call)>,
    /// Calls of earlier lives, until when they may still arrive, and the nodes that they have not reached.
    strays: BTreeMap<Call, (Instant, Vec<NodeName>)>,
}

impl Invariant for Deadlines {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        let (node, now) = (at.node, at.now);
        self.open.retain(|(of, _), _| *of != node);
        self.begun.retain(|(_, (of, _))| *of != node);
        self.strays.retain(|_, (until, _)| *until > now);
        let left: Vec<Call> = self
            .on_way
            .range((node, 0)..=(node, u64::MAX))
            .map(|(call, _)| *call)
            .collect();
        for call in left {
            if let Some(to) = self.on_way.remove(&call) {
                let (until, nodes) = self.strays.entry(call).or_default();
                *until = now + STRAY;
                nodes.extend(to);
            }
        }
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let (tag, timeout, to) = match saw {
            Saw::Called {
                tag, timeout, to, ..
            } => (tag, timeout, vec![to.clone()]),
            Saw::CalledMany {
                tag, timeout, to, ..
            } => (tag, timeout, to.clone()),
            Saw::Answered { tag, .. } | Saw::Gathered { tag, .. } => {
                self.open.remove(&(at.node, *tag));
                return;
            }
            _ => return,
        };
        let calls = &at.facts.cast.actor(at.node).settings.calls;
        let timeout = timeout.unwrap_or(calls.timeout).min(calls.timeout_max);
        let call = (at.node, *tag);
        self.open.insert(call, timeout);
        self.on_way.insert(call, to);
        self.begun.push_back((at.now, call));
        while let Some((then, call)) = self.begun.front().copied()
            && then + STRAY <= at.now
        {
            self.begun.pop_front();
            self.on_way.remove(&call);
        }
    }

    fn asked(&mut self, at: &mut Moment<'_>, asked: &Asked<'_>) {
        let (facts, cast) = (at.facts, &at.facts.cast);
        let callers = cast.nodes().filter(|(_, actor)| actor.name == *asked.from);
        let mut running = callers.filter(|(_, actor)| actor.running);
        let (Some((caller, _)), None) = (running.next(), running.next()) else {
            return;
        };
        let name = &cast.actor(at.node).name;
        let Some(call) = asked.tag.map(|tag| (caller, tag)) else {
            return;
        };
        if let Some((until, nodes)) = self.strays.get(&call)
            && *until > at.now
            && nodes.contains(name)
        {
            return;
        }
        if let Some(nodes) = self.on_way.get_mut(&call) {
            nodes.retain(|node| node != name);
        }
        let Some(timeout) = self.open.get(&call) else {
            return;
        };
        let longest = cast.actor(at.node).settings.calls.timeout_max;
        let (right, left) = (longest.min(*timeout), asked.left);
        let in_bounds =
            left <= right + ROUNDED + facts.slack && left + ROUNDED + facts.slack >= right;
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
/// A question that is under way arrives within this time, or never.
const STRAY: Duration = Duration::from_secs(120);
