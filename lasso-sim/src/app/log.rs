//! The observations of the applications of one node, kept for checks.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::name::{Incarnation, NodeName};
use lasso_core::plane::Reach;
use lasso_core::plane::pubsub::Row;
use lasso_core::time::Instant;

use super::events::EventLog;
use super::{Outcome, ReadLog, Saw};

/// See the module's text.
///
/// Subscribers are those of the present life of the node's process, or of its last one; publishes
/// and calls are those of all lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppLog {
    /// By their number within the life.
    pub subscribers: BTreeMap<u32, SubscriberLog>,
    /// By topic.
    pub publishes: BTreeMap<Arc<str>, PublishLog>,
    /// In the order in which they began.
    pub calls: Vec<CallLog>,
    /// In the order in which they began.
    pub gathers: Vec<GatherLog>,
    /// Live events.
    pub events: EventLog,
    /// Reads of metrics, of the present life.
    pub reads: Vec<ReadLog>,
    /// The indices of the calls of this life without an outcome, by tag.
    waiting: BTreeMap<u64, usize>,
    waiting_many: BTreeMap<u64, usize>,
}

/// The observations of one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberLog {
    /// Its name in checks.
    pub name: String,
    /// Its topic.
    pub topic: Arc<str>,
    /// When it was ordered.
    pub since: Instant,
    /// Why it was refused, if it was.
    pub error: Option<String>,
    /// The sources of its messages, in the order of their first message.
    pub sources: Vec<(NodeName, Incarnation)>,
    /// Messages.
    pub got: Vec<GotLog>,
    /// Reports of missed messages.
    pub missed: Vec<(Instant, u64)>,
}

/// One received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GotLog {
    /// When.
    pub at: Instant,
    /// Its source, as an index of [`SubscriberLog::sources`].
    pub source: u32,
    /// Its sequence.
    pub row: Row,
    /// Its number.
    pub number: u64,
    /// Its publisher's tag; 0 if the message differs from the published one.
    pub tag: u64,
}

/// The results of publishes on one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishLog {
    /// Those that were published.
    pub reached: Vec<(Instant, Reach)>,
    /// Those that were refused.
    pub refused: Vec<Instant>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLog {
    /// When it began.
    pub at: Instant,
    /// The asked nodes.
    pub to: NodeName,
    /// The method.
    pub method: Arc<str>,
    /// Its outcome, and how long it took.
    pub outcome: Option<(Outcome, Duration)>,
}

/// One call to many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherLog {
    /// When it began.
    pub at: Instant,
    /// The method.
    pub method: Arc<str>,
    /// The asked nodes.
    pub asked: Vec<NodeName>,
    /// Its end.
    pub end: Option<GatherEnd>,
}

/// How a call to many ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherEnd {
    /// How long it took.
    pub took: Duration,
    /// One outcome per asked node.
    pub outcomes: Vec<(NodeName, Outcome)>,
    /// The nodes that joined meanwhile.
    pub joined: Vec<NodeName>,
    /// The nodes that left meanwhile.
    pub left: Vec<NodeName>,
}

impl AppLog {
    /// A process starts: its application knows nothing of earlier lives.
    pub fn new_life(&mut self) {
        self.subscribers.clear();
        self.events.new_life();
        self.reads.clear();
        self.waiting.clear();
        self.waiting_many.clear();
    }

    /// Notes an observation of the application.
    pub fn note(&mut self, now: Instant, saw: &Saw) {
        match saw {
            Saw::Subscribed {
                sub, name, topic, ..
            } => {
                let subscriber = SubscriberLog::new(now, name, topic);
                self.subscribers.insert(*sub, subscriber);
            }
            Saw::NotSubscribed { sub, error } => {
                if let Some(subscriber) = self.subscribers.get_mut(sub) {
                    subscriber.error = Some(error.clone());
                }
            }
            Saw::Unsubscribed { .. } => {}
            Saw::Got { sub, got } => {
                if let Some(subscriber) = self.subscribers.get_mut(sub) {
                    subscriber.got(now, got);
                }
            }
            Saw::Missed { sub, count } => {
                if let Some(subscriber) = self.subscribers.get_mut(sub) {
                    subscriber.missed.push((now, *count));
                }
            }
            Saw::Published { topic, result, .. } => {
                let log = self.publishes.entry(Arc::clone(topic)).or_default();
                match result {
                    Ok(reach) => log.reached.push((now, *reach)),
                    Err(_) => log.refused.push(now),
                }
            }
            Saw::Events(saw) => self.events.note(now, saw),
            Saw::Metrics(saw) => self.reads.push(ReadLog {
                at: now,
                page: Arc::clone(&saw.page),
                sight: saw.sight.clone(),
            }),
            Saw::Called { .. } | Saw::Answered { .. } => self.note_call(now, saw),
            Saw::CalledMany { .. } | Saw::Gathered { .. } => self.note_gather(now, saw),
        }
    }

    fn note_call(&mut self, now: Instant, saw: &Saw) {
        match saw {
            Saw::Called {
                tag, to, method, ..
            } => {
                self.waiting.insert(*tag, self.calls.len());
                self.calls.push(CallLog {
                    at: now,
                    to: to.clone(),
                    method: Arc::clone(method),
                    outcome: None,
                });
            }
            Saw::Answered { tag, outcome } => {
                if let Some(index) = self.waiting.remove(tag) {
                    let call = &mut self.calls[index];
                    call.outcome = Some((*outcome, now - call.at));
                }
            }
            _ => {}
        }
    }

    fn note_gather(&mut self, now: Instant, saw: &Saw) {
        match saw {
            Saw::CalledMany {
                tag, to, method, ..
            } => {
                self.waiting_many.insert(*tag, self.gathers.len());
                self.gathers.push(GatherLog {
                    at: now,
                    method: Arc::clone(method),
                    asked: to.clone(),
                    end: None,
                });
            }
            Saw::Gathered {
                tag,
                outcomes,
                joined,
                left,
            } => {
                if let Some(index) = self.waiting_many.remove(tag) {
                    let gather = &mut self.gathers[index];
                    gather.end = Some(GatherEnd {
                        took: now - gather.at,
                        outcomes: outcomes.clone(),
                        joined: joined.clone(),
                        left: left.clone(),
                    });
                }
            }
            _ => {}
        }
    }
}

impl SubscriberLog {
    fn new(since: Instant, name: &str, topic: &Arc<str>) -> Self {
        SubscriberLog {
            name: name.to_owned(),
            topic: Arc::clone(topic),
            since,
            error: None,
            sources: Vec::new(),
            got: Vec::new(),
            missed: Vec::new(),
        }
    }

    fn got(&mut self, now: Instant, got: &super::Got) {
        let mut sources = self.sources.iter();
        let known = sources.position(|(name, life)| *name == got.from && *life == got.incarnation);
        let source = known.unwrap_or_else(|| {
            self.sources.push((got.from.clone(), got.incarnation));
            self.sources.len() - 1
        });
        self.got.push(GotLog {
            at: now,
            source: source as u32,
            row: got.row,
            number: got.number,
            tag: got.tag.unwrap_or(0),
        });
    }
}
