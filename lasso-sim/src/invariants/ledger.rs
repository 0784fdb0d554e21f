//! Invariant 12, across nodes: the results that callers got, the counters, and what other nodes received,
//! missed or still hold must add up.
//!
//! 1. Each call that began has an outcome, was cancelled, or is waiting. Each request that arrived was refused,
//!    answered, given up, or is in progress.
//! 2. The reached and shed messages in the results of publishers equal the node's counters of sent and
//!    shed messages. Callers got no more outcomes of a kind than the node counts.
//! 3. Over all nodes and lives, no more messages were received than sent, unless there is a liar.
//! 4. Subscribers got no more messages than their queues took.
//! 5. While a node has ended no subscription and lost no link, it gets no message that it does not want, or that is
//!    older than another one.
//! 6. Where no link was ever lost, each message and each answer that was sent has arrived at the end.
//!
//! A node counts first and reports afterwards, within the same moment. So its reports are never more than its
//! counts, and never less than its counts at an earlier check.

use std::collections::BTreeMap;

use lasso_core::plane::CallCounters;
use lasso_core::plane::pubsub::PubSubCounters;
use lasso_core::time::Instant;

use super::cast::Who;
use super::facts::{Facts, LinkFact};
use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Member};
use crate::app::events::EventSaw;
use crate::app::{Outcome, Saw};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 12,
    name: "ledger",
    make: |nodes| {
        Box::new(Ledger {
            pages: (0..nodes).map(|_| Page::default()).collect(),
            sent: 0,
            received: 0,
            lost: false,
        })
    },
};

/// The counters of the data plane of a node, and its work in progress.
#[derive(Debug, Clone, Default)]
pub struct PlaneCounts {
    /// Messages.
    pub topics: PubSubCounters,
    /// Calls.
    pub calls: CallCounters,
    /// Calls without an outcome.
    pub waiting: u64,
    /// Requests in progress.
    pub serving: u64,
}

/// See the module's text.
#[derive(Debug)]
struct Ledger {
    pages: Vec<Page>,
    /// Messages sent, according to publishers, and received, according to nodes, over all lives.
    sent: u64,
    received: u64,
    /// Some link was lost, or some process ended.
    lost: bool,
}

/// One life of a node.
#[derive(Debug, Default)]
struct Page {
    /// Its counters at the last check.
    last: PlaneCounts,
    /// It has ended a subscription, or lost a link.
    may_refuse: bool,
    /// The sum of the results of its publishers.
    reached: u64,
    shed: u64,
    got: u64,
    outcomes: BTreeMap<Outcome, u64>,
    /// Its counts at the last check: sent, shed.
    counted: (u64, u64),
    looked_at: Instant,
    received: u64,
}

impl Invariant for Ledger {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.pages[at.node.index()] = Page::default();
    }

    fn ended(&mut self, _: &mut Moment<'_>) {
        self.lost = true;
    }

    fn link(
        &mut self,
        at: &mut Moment<'_>,
        _: Who,
        before: Option<LinkFact>,
        now: Option<LinkFact>,
    ) {
        let session = |link: Option<LinkFact>| link.map(|link| link.session);
        if before.is_some() && session(before) != session(now) {
            self.lost = true;
            self.pages[at.node.index()].may_refuse = true;
        }
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let page = &mut self.pages[at.node.index()];
        match saw {
            Saw::Unsubscribed { .. } | Saw::NotSubscribed { .. } => page.may_refuse = true,
            Saw::Published {
                result: Ok(reach), ..
            }
            | Saw::Events(EventSaw::Emitted {
                result: Ok(Some(reach)),
                ..
            }) => {
                page.reached += reach.nodes as u64;
                page.shed += reach.shed as u64;
                self.sent += reach.nodes as u64;
            }
            Saw::Got { .. } => page.got += 1,
            Saw::Answered { outcome, .. } => *page.outcomes.entry(*outcome).or_default() += 1,
            Saw::Gathered { outcomes, .. } => {
                for (_, outcome) in outcomes {
                    *page.outcomes.entry(*outcome).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        if !changes.queues {
            return;
        }
        let counts = known.plane_counts();
        let page = &mut self.pages[at.node.index()];
        page.last = counts.clone();
        calls_add_up(at, &counts);
        if at.facts.cast.has_strange_applications() {
            // The results of a user's own application are invisible to the simulator.
            return;
        }
        page.told(at, &counts);
        let (topics, looked_at) = (&counts.topics, at.now);
        let received = topics.received + topics.stale;
        self.received += received - page.received;
        (page.received, page.looked_at) = (received, looked_at);
        page.counted = (topics.sent, topics.shed);
        let (sent, received) = (self.sent, self.received);
        // No publisher reports the messages of liars.
        at.demand(received <= sent || at.facts.cast.has_liars(), || {
            format!("no message is received that was not sent; {sent} were, and {received} came")
        });
        // Live events subscribe and unsubscribe by themselves.
        let wants_all = !self.pages[at.node.index()].may_refuse && !at.facts.has_events;
        let refused = (topics.unwanted, topics.stale);
        if wants_all && !at.facts.cast.has_liars() {
            let name = &at.facts.cast.actor(at.node).name;
            at.demand(refused == (0, 0), || {
                format!(
                    "a message is sent to a node that wants it, and in order; to {name} came {} unwanted and {} old",
                    refused.0, refused.1
                )
            });
        }
    }

    fn unsettled(&self, _: Instant, facts: &Facts, _: &[Member]) -> Option<(NodeId, String)> {
        let strange = facts.cast.has_strange_applications() || facts.cast.has_liars();
        if self.lost || strange || !facts.was_always_fair() {
            return None;
        }
        let sum = |count: fn(&PlaneCounts) -> u64| -> u64 {
            self.pages.iter().map(|page| count(&page.last)).sum()
        };
        let pairs: [(&str, Count, Count); 2] = [
            ("messages", |now| now.topics.sent, messages_that_came),
            ("answers", answers_sent, answers_that_came),
        ];
        let short = pairs.iter().find(|(_, sent, came)| sum(*sent) > sum(*came));
        let (what, sent, came) = short?;
        let (sent, came) = (sum(*sent), sum(*came));
        let text = format!(
            "what is sent on links that stand arrives; {sent} {what} were sent, {came} came"
        );
        Some((NodeId(0), text))
    }
}

/// A counter of a node.
type Count = fn(&PlaneCounts) -> u64;

fn messages_that_came(now: &PlaneCounts) -> u64 {
    let topics = &now.topics;
    topics.received + topics.stale + topics.unwanted + topics.unfinished
}

/// Answers and refusals of handlers, those for callers of the same node included.
fn answers_sent(now: &PlaneCounts) -> u64 {
    let calls = &now.calls;
    let refused =
        calls.requests_no_such_method + calls.requests_overloaded + calls.requests_over_share;
    let refused = refused + calls.requests_over_bytes + calls.requests_unfinished;
    (refused + calls.answers + calls.answers_shed).saturating_sub(calls.refusals_lost)
}

/// The same as counted by callers, in time or late. This includes calls that an overloaded caller refused
/// itself.
fn answers_that_came(now: &PlaneCounts) -> u64 {
    let calls = &now.calls;
    let told = calls.answered + calls.no_such_method + calls.overloaded;
    told + calls.rejected + calls.malformed + calls.late_answers + calls.stray_answers
}

impl Page {
    fn told(&self, at: &mut Moment<'_>, counts: &PlaneCounts) {
        let (topics, name) = (&counts.topics, &at.facts.cast.actor(at.node).name);
        let earlier = self.looked_at < at.now;
        for (what, told, counted, before) in [
            ("reached", self.reached, topics.sent, self.counted.0),
            ("lost", self.shed, topics.shed, self.counted.1),
        ] {
            at.demand(told <= counted && (!earlier || before <= told), || {
                format!(
                    "publishers are told what the node counts; those of {name} were told of {told} \
                     messages that {what} a node, and it counts {counted}, {before} before"
                )
            });
        }
        at.demand(self.got <= topics.delivered, || {
            format!(
                "nobody gets what was not put into a queue; subscribers of {name} got {}, of {}",
                self.got, topics.delivered
            )
        });
        for (outcome, told) in &self.outcomes {
            let counted = counted(&counts.calls, *outcome);
            at.demand(*told <= counted, || {
                format!(
                    "callers are told what the node counts; those of {name} were told `{}` {told} \
                     times, and it counts {counted}",
                    outcome.name()
                )
            });
        }
    }
}

fn calls_add_up(at: &mut Moment<'_>, counts: &PlaneCounts) {
    let (calls, name) = (&counts.calls, &at.facts.cast.actor(at.node).name);
    let ended = calls.outcomes() + calls.cancelled;
    at.demand(calls.started == ended + counts.waiting, || {
        format!(
            "each call has one outcome or waits; {name} began {}, {ended} ended, {} wait",
            calls.started, counts.waiting
        )
    });
    let refused = calls.requests_unlinked
        + calls.requests_no_such_method
        + calls.requests_overloaded
        + calls.requests_over_share
        + calls.requests_over_bytes
        + calls.requests_unfinished
        + calls.requests_stopping;
    let answered = calls.answers + calls.answers_shed + calls.answers_nowhere + calls.given_up;
    at.demand(
        calls.requests == refused + answered + counts.serving,
        || {
            format!(
                "each request is refused, answered or worked on; {name} had {}, refused {refused}, \
             answered {answered} or gave them up, works on {}",
                calls.requests, counts.serving
            )
        },
    );
}

fn counted(calls: &CallCounters, outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Ok | Outcome::WrongAnswer => calls.answered,
        Outcome::NotConnected => calls.not_connected + calls.stopped,
        Outcome::Timeout => calls.timeouts,
        Outcome::NoSuchMethod => calls.no_such_method,
        Outcome::Overloaded => calls.overloaded,
        Outcome::Disconnected => calls.disconnected,
        Outcome::Rejected => calls.rejected,
        Outcome::Malformed => calls.malformed,
        Outcome::TooLarge => calls.too_large,
    }
}
