//! Calls to one node and to many, under way.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use lasso_core::name::NodeName;
use lasso_core::plane::{CallError, Gathered};
use lasso_core::time::Instant;

use super::load::Running;
use super::{Ask, Call, CallMany, Outcome, Output, Saw, payload};

#[derive(Debug, Clone)]
enum What {
    One(Call),
    Many(CallMany),
}

#[derive(Debug)]
struct Calling {
    what: What,
    load: Running,
}

/// All of one application.
#[derive(Debug, Default)]
pub(super) struct Callers {
    callings: BTreeMap<u32, Calling>,
    /// Calls without an outcome, and the loads that they belong to.
    pending: BTreeMap<u64, u32>,
    /// The nodes that calls to many ask.
    asked: BTreeMap<u64, Vec<NodeName>>,
    last_calling: u32,
    last_tag: u64,
}

impl Callers {
    pub(super) fn call(&mut self, now: Instant, call: Call) {
        let load = Running::new(now, call.load);
        self.add(What::One(call), load);
    }

    pub(super) fn call_many(&mut self, now: Instant, call: CallMany) {
        let load = Running::new(now, call.load);
        self.add(What::Many(call), load);
    }

    fn add(&mut self, what: What, load: Running) {
        self.last_calling += 1;
        self.callings
            .insert(self.last_calling, Calling { what, load });
    }

    /// Begins the next call that is due.
    pub(super) fn due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        self.callings
            .retain(|_, calling| !calling.load.is_over(now));
        let is_due = |calling: &Calling| calling.load.due().is_some_and(|at| at <= now);
        let Some((number, calling)) = self.callings.iter_mut().find(|(_, c)| is_due(c)) else {
            return;
        };
        calling.load.begin(now);
        self.last_tag += 1;
        let tag = self.last_tag;
        self.pending.insert(tag, *number);
        match calling.what.clone() {
            What::One(call) => {
                out.push_back(Output::Saw(Saw::Called {
                    tag,
                    to: call.to.clone(),
                    method: call.method.clone(),
                    timeout: call.timeout,
                }));
                out.push_back(Output::Ask(Ask::Call {
                    tag,
                    to: call.to,
                    method: call.method,
                    payload: payload::make(tag, call.size),
                    timeout: call.timeout,
                }));
            }
            What::Many(call) => out.push_back(Output::Ask(Ask::CallMany {
                tag,
                to: call.to,
                method: call.method,
                payload: payload::make(tag, call.size),
                timeout: call.timeout,
            })),
        }
    }

    pub(super) fn on_targets(
        &mut self,
        tag: u64,
        nodes: Vec<NodeName>,
        out: &mut VecDeque<Output>,
    ) {
        let calling = self
            .pending
            .get(&tag)
            .and_then(|number| self.callings.get(number));
        self.asked.insert(tag, nodes.clone());
        if let Some(What::Many(call)) = calling.map(|calling| &calling.what) {
            out.push_back(Output::Saw(Saw::CalledMany {
                tag,
                to: nodes,
                method: call.method.clone(),
                timeout: call.timeout,
            }));
        }
    }

    pub(super) fn on_answered(
        &mut self,
        now: Instant,
        tag: u64,
        outcome: Result<Bytes, CallError>,
        out: &mut VecDeque<Output>,
    ) {
        // A second outcome, which must not happen, is recorded too.
        self.ended(now, tag);
        let outcome = Outcome::of(tag, &outcome);
        out.push_back(Output::Saw(Saw::Answered { tag, outcome }));
    }

    pub(super) fn on_gathered(
        &mut self,
        now: Instant,
        tag: u64,
        gathered: Result<Gathered, CallError>,
        out: &mut VecDeque<Output>,
    ) {
        self.ended(now, tag);
        let asked = self.asked.remove(&tag).unwrap_or_default();
        // If nobody was asked, this is the outcome for each.
        let gathered = gathered.unwrap_or_else(|error| Gathered {
            outcomes: asked
                .into_iter()
                .map(|node| (node, Err(error.clone())))
                .collect(),
            joined: Vec::new(),
            left: Vec::new(),
            epoch: 0,
        });
        let outcomes = gathered.outcomes.into_iter();
        out.push_back(Output::Saw(Saw::Gathered {
            tag,
            outcomes: outcomes
                .map(|(node, outcome)| (node, Outcome::of(tag, &outcome)))
                .collect(),
            joined: gathered.joined,
            left: gathered.left,
        }));
    }

    fn ended(&mut self, now: Instant, tag: u64) {
        let number = self.pending.remove(&tag);
        if let Some(calling) = number.and_then(|number| self.callings.get_mut(&number)) {
            calling.load.ended(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = |calling: &Calling| calling.load.due();
        self.callings.values().filter_map(due).min()
    }
}
