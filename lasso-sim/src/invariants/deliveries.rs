//! Invariant 7: no subscriber sees a message twice, or two messages of one source and topic out of order.
//! Each loss was reported, at its place, and nothing else was reported as lost.
//!
//! 1. Each message that a subscriber gets was published by that life of the source, on that topic and for that
//!    subscriber. A sequence number of a source means the same message at all receivers.
//! 2. The numbers show a gap when the next message of the sequence arrives. The node must have reported the gap
//!    by then. Messages missing at the end of a sequence are found at the end of a run.
//! 3. A reported loss without a gap so far must lie ahead: in a sequence whose next message has not arrived,
//!    among messages published before the report. So a full queue must keep the newest messages: a loss
//!    reported in front of a message lies before that message.
//! 4. Once a source has known of a subscriber for long, each new message arrives or is reported, whatever
//!    happens to their link. This holds for messages to all, and for those to one node or a role.
//!
//! Before a subscriber's first message of a sequence, only the fourth rule determines what it should have got:
//! earlier messages may have been reported or not. So this file keeps a lower and an upper bound of the
//! reported losses that have no place yet. A node with a bound on topics may forget some with their link. Then
//! nothing shows what was missed, and the fourth rule starts again with each session.

mod reader;
mod wants;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::event::TOPOLOGY_TOPIC;
use lasso_core::time::Instant;

use self::reader::Reader;
use self::wants::Wants;
use super::Member;
use super::cast::Who;
use super::facts::{Facts, LinkFact};
use super::invariant::{Entry, Invariant, Moment};
use super::published::{Life, TopicId};
use crate::app::Saw;
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 7,
    name: "deliveries",
    make: |_| Box::<Deliveries>::default(),
};
/// A message published this long ago has arrived, or its loss was reported.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// See the module's text.
#[derive(Debug, Default)]
struct Deliveries {
    readers: BTreeMap<(NodeId, u32), Reader>,
    /// When a life of a node first subscribed to a topic.
    first: BTreeMap<(NodeId, TopicId), Instant>,
    wants: Wants,
    numbers: Numbers,
}

/// The place and the number of the last message to everybody that any node got.
type Numbers = BTreeMap<(Life, TopicId), (u64, u64)>;

impl Invariant for Deliveries {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.forget(at.node);
    }

    fn ended(&mut self, at: &mut Moment<'_>) {
        self.forget(at.node);
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        if at.facts.cast.is_lie(at.node, saw) {
            return;
        }
        match saw {
            Saw::Subscribed {
                sub,
                topic,
                at_once,
                ..
            } => self.subscribed(at, *sub, topic, *at_once),
            Saw::NotSubscribed { sub, .. } | Saw::Unsubscribed { sub } => {
                if let Some(reader) = self.readers.remove(&(at.node, *sub)) {
                    self.wants.ends(at.node, reader.topic);
                }
            }
            Saw::Published {
                topic,
                tag,
                result: Ok(_),
                ..
            } => {
                let life = (at.node, at.facts.cast.actor(at.node).incarnation);
                if let Some(topic) = at.facts.published.find(topic) {
                    self.wants.published(at.now, at.facts, life, (topic, *tag));
                }
            }
            Saw::Got { sub, got } => {
                if let Some(reader) = self.readers.get_mut(&(at.node, *sub)) {
                    reader.got(at, got, &mut self.wants, &mut self.numbers);
                }
            }
            Saw::Missed { sub, count } => {
                if let Some(reader) = self.readers.get_mut(&(at.node, *sub)) {
                    reader.missed(at, *count);
                }
            }
            _ => {}
        }
    }

    fn link(
        &mut self,
        at: &mut Moment<'_>,
        peer: Who,
        before: Option<LinkFact>,
        now: Option<LinkFact>,
    ) {
        let session = |link: Option<LinkFact>| link.map(|link| link.session);
        if session(before) == session(now) || !reader::may_forget(at.facts) {
            return;
        }
        for link in [before, now].into_iter().flatten() {
            if let Some(other) = at.facts.cast.whose(peer, link.incarnation) {
                self.wants.part(at.node, other);
            }
        }
    }

    /// A subscriber without the end of a sequence: messages published long enough ago have neither arrived nor
    /// been reported, or more were reported than are missing.
    fn unsettled(&self, now: Instant, facts: &Facts, _: &[Member]) -> Option<(NodeId, String)> {
        self.readers.iter().find_map(|((node, sub), reader)| {
            let actor = facts.cast.actor(*node);
            let busy = facts.published.of(reader.topic).last + UNDER_WAY > now;
            if busy || !reader.at_once || !actor.running || actor.paused {
                return None;
            }
            let lacks = reader.lacks(now, facts, *node, &self.wants);
            let (least, most) = reader.ahead;
            let could = reader.could_miss(facts, *node, now, None);
            let too_many = least > could && !reader.is_exempt(facts);
            (lacks > most || too_many).then(|| {
                let text = format!(
                    "what is missing is reported, and no more; at the end subscriber {sub} of {} at \
                     {} lacks {lacks} messages at least and {could} at most, and was told of {least} \
                     to {most}",
                    reader.name, actor.name
                );
                (*node, text)
            })
        })
    }
}

impl Deliveries {
    /// A process begins or ends: forgets all observations of its applications.
    fn forget(&mut self, node: NodeId) {
        self.readers.retain(|(of, _), _| *of != node);
        self.first.retain(|(of, _), _| *of != node);
        self.wants.forget(node);
    }

    fn subscribed(&mut self, at: &Moment<'_>, sub: u32, name: &Arc<str>, at_once: bool) {
        // Each node publishes the messages of this topic for itself, and no application does.
        if **name == *TOPOLOGY_TOPIC {
            return;
        }
        let Some(topic) = at.facts.published.find(name) else {
            return;
        };
        let first = self.first.entry((at.node, topic)).or_insert(at.now);
        let reader = Reader::new(topic, name, at_once, (at.now, *first));
        self.readers.insert((at.node, sub), reader);
        self.wants.begins(at.now, at.node, topic);
    }
}
