//! Invariant 7: no subscriber sees a message twice, or two messages of one source and topic out of order.
//! Each loss was reported, at its place, and nothing else was reported as lost.
//!
//! 1. That life of the source published each message that a subscriber gets, on that topic and for that
//!    subscriber. A number of a source stands for the same message at all receivers.
//! 2. The numbers show a gap when the next message of its row arrives. The node must have reported the
//!    gap by then. Messages missing at the end of a row are found at the end of a run.
//! 3. A reported loss that is no gap so far must lie ahead: in a row whose next message has not arrived,
//!    among messages published before the report. So a full queue must keep the newest messages: a loss
//!    reported in front of a message lies before that message.
//! 4. Once a source has known of a subscriber for long, each new message arrives, or is reported.
//!
//! Before a subscriber's first message of a row, only the fourth rule says what it should have got:
//! earlier messages may have been reported or not. So this file keeps a least and a most of the
//! reported losses that have no place yet. A node with a bound on topics may forget some; then nothing
//! tells what was missed, and this file demands no reports.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::name::NodeName;
use lasso_core::plane::pubsub::Row;
use lasso_core::time::Instant;

use super::Member;
use super::facts::Facts;
use super::invariant::{Entry, Invariant, Moment};
use super::published::{Life, Stream, TopicId};
use crate::app::{Got, Saw};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 7,
    name: "deliveries",
    make: |_| Box::<Deliveries>::default(),
};
/// A message that was published this long ago has come, or its loss was reported.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// After a subscription or a link is this old, its source knows of the interest.
const ASKED: Duration = Duration::from_secs(5);

/// See the module's text.
#[derive(Debug, Default)]
struct Deliveries {
    readers: BTreeMap<(NodeId, u32), Reader>,
    /// When a life of a node first subscribed to a topic.
    first: BTreeMap<(NodeId, TopicId), Instant>,
    /// By how much the numbers of messages for everybody differ from their places.
    offsets: BTreeMap<(Life, TopicId), u64>,
}

/// What a subscriber has seen.
#[derive(Debug)]
struct Reader {
    topic: TopicId,
    name: Arc<str>,
    /// It reads each message at once.
    at_once: bool,
    since: Instant,
    /// When its node first subscribed to the topic: losses since then may be reported to it.
    node_since: Instant,
    sources: Vec<Source>,
    /// What was reported and has no place yet: at least, and at most.
    ahead: (u64, u64),
    /// When something was last reported.
    reported_at: Instant,
}

/// What a subscriber has seen of one life of a node.
#[derive(Debug)]
struct Source {
    life: Life,
    name: NodeName,
    last_tag: u64,
    /// The last number of each row.
    numbers: [Option<u64>; 2],
    /// The place behind the last message for everybody.
    next: u64,
    /// Messages for some that have come, or are missing by their numbers.
    directed: u64,
}

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
                self.readers.remove(&(at.node, *sub));
            }
            Saw::Got { sub, got } => {
                if let Some(reader) = self.readers.get_mut(&(at.node, *sub)) {
                    reader.got(at, got, &mut self.offsets);
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

    /// A subscriber to which the end of a row is missing: messages that were published long enough ago
    /// have neither come nor been reported, or more was reported than is missing.
    fn unsettled(&self, now: Instant, facts: &Facts, _: &[Member]) -> Option<(NodeId, String)> {
        self.readers.iter().find_map(|((node, sub), reader)| {
            let actor = facts.cast.actor(*node);
            let busy = facts.published.of(reader.topic).last + UNDER_WAY > now;
            if busy || !reader.at_once || !actor.running || actor.paused {
                return None;
            }
            let lacks = reader.lacks(facts, *node);
            let (least, most) = reader.ahead;
            let could = reader.could_miss(facts, now, None);
            (lacks > most || least > could).then(|| {
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
    /// A process begins or ends: nothing that its applications have seen counts any more.
    fn forget(&mut self, node: NodeId) {
        self.readers.retain(|(of, _), _| *of != node);
        self.first.retain(|(of, _), _| *of != node);
    }

    fn subscribed(&mut self, at: &Moment<'_>, sub: u32, name: &Arc<str>, at_once: bool) {
        let Some(topic) = at.facts.published.find(name) else {
            return;
        };
        let first = self.first.entry((at.node, topic)).or_insert(at.now);
        let reader = Reader {
            topic,
            name: Arc::clone(name),
            at_once,
            since: at.now,
            node_since: *first,
            sources: Vec::new(),
            ahead: (0, 0),
            reported_at: Instant::ZERO,
        };
        self.readers.insert((at.node, sub), reader);
    }
}

impl Reader {
    fn got(
        &mut self,
        at: &mut Moment<'_>,
        got: &Got,
        offsets: &mut BTreeMap<(Life, TopicId), u64>,
    ) {
        let (node, facts) = (at.node, at.facts);
        let name = &facts.cast.actor(node).name;
        let mut demand = |holds: bool, what: fmt::Arguments<'_>| {
            at.demand(holds, || {
                let (row, number, from) = (got.row, got.number, &got.from);
                format!("{what}: at {name}, {row:?} {number} of {from}")
            });
        };
        demand(
            Arc::ptr_eq(&got.topic, &self.name) || got.topic == self.name,
            format_args!(
                "a subscriber of {} gets a message of {}",
                self.name, got.topic
            ),
        );
        let (life, stream, place) = match self.identify(facts, node, got) {
            Ok(found) => found,
            Err(wrong) => return demand(false, format_args!("{wrong}")),
        };
        let tag = got.tag.unwrap_or(0);
        let at_source = self.source(life, &got.from, stream);
        let source = &mut self.sources[at_source];
        let last_tag = source.last_tag;
        source.last_tag = tag.max(last_tag);
        demand(
            tag > last_tag,
            format_args!("the {tag}th message comes after the {last_tag}th"),
        );
        let forgetful = is_forgetful(facts, &self.name);
        if got.row == Row::All && !forgetful {
            let offset = got.number.wrapping_sub(place);
            let same = *offsets.entry((life, self.topic)).or_insert(offset);
            demand(
                offset == same,
                format_args!("message {tag} has another number than elsewhere"),
            );
        }
        let last = source.numbers[got.row as usize].replace(got.number);
        demand(
            last.is_none_or(|last| got.number > last),
            format_args!("a message comes again, or after number {last:?}"),
        );
        let (certain, uncertain) = match last {
            _ if forgetful => (0, u64::MAX),
            Some(last) => (got.number.saturating_sub(last + 1), 0),
            None if got.row == Row::Directed => (0, u64::MAX),
            None => before_the_first(
                facts,
                (life.0, node),
                self.since,
                stream,
                place,
                source.next,
            ),
        };
        match got.row {
            Row::All => source.next = place + 1,
            Row::Directed => source.directed += certain + 1,
        }
        let (least, most) = self.ahead;
        demand(
            certain <= most,
            format_args!("{certain} are missing before it, and {most} were reported"),
        );
        self.ahead.0 = least.saturating_sub(certain).saturating_sub(uncertain);
        self.ahead.1 = most.saturating_sub(certain);
        if self.ahead.0 > 0 && !forgetful {
            self.lies_ahead(at, (at_source, got.row));
        }
    }

    /// The source of this message and its place, or a text about the mistake.
    fn identify<'a>(
        &self,
        facts: &'a Facts,
        node: NodeId,
        got: &Got,
    ) -> Result<(Life, &'a Stream, u64), &'static str> {
        let life = self.life_of(facts, got);
        let stream = life.and_then(|life| facts.published.of(self.topic).stream(life));
        let (Some(life), Some(stream), Some(tag)) = (life, stream, got.tag) else {
            return Err("a message is not what was published");
        };
        let name = &facts.cast.actor(node).name;
        let place = match got.row {
            Row::All => stream.place(tag),
            Row::Directed => stream.is_for(tag, life.0, node, name).then_some(0),
        };
        let place = place.ok_or("a message was not published for this node")?;
        Ok((life, stream, place))
    }

    /// After a message of this row, what was reported and has no place must be missing in others.
    fn lies_ahead(&self, at: &mut Moment<'_>, row: (usize, Row)) {
        let least = self.ahead.0;
        let could = self.could_miss(at.facts, self.reported_at, Some(row));
        let name = &at.facts.cast.actor(at.node).name;
        at.demand(least <= could, || {
            format!(
                "what is reported is missing at that place; of {} at {name} {least} were reported in \
                 front of a message that are not, and of others {could} may be",
                self.name
            )
        });
    }

    fn missed(&mut self, at: &mut Moment<'_>, count: u64) {
        self.ahead.0 += count;
        self.ahead.1 += count;
        self.reported_at = at.now;
        if is_forgetful(at.facts, &self.name) {
            return;
        }
        let could = self.could_miss(at.facts, at.now, None);
        let name = &at.facts.cast.actor(at.node).name;
        at.demand(self.ahead.0 <= could, || {
            format!(
                "no more is reported missing than was published; a subscriber of {} at {name} is told \
                 of {count}, so that at least {} must still be missing, and {could} can be",
                self.name, self.ahead.0
            )
        });
    }

    /// Whose message this is.
    fn life_of(&self, facts: &Facts, got: &Got) -> Option<Life> {
        let is_source =
            |source: &&Source| source.life.1 == got.incarnation.0 && source.name == got.from;
        // Most sources were heard of before, and there are few of them.
        if let Some(source) = self.sources.iter().find(is_source) {
            return Some(source.life);
        }
        let node = facts.cast.whose_name(&got.from, got.incarnation.0)?;
        Some((node, got.incarnation.0))
    }

    /// The place of what was seen of one life.
    fn source(&mut self, life: Life, name: &NodeName, stream: &Stream) -> usize {
        let known = self.sources.iter().position(|source| source.life == life);
        known.unwrap_or_else(|| {
            self.sources.push(Source {
                life,
                name: name.clone(),
                last_tag: 0,
                numbers: [None; 2],
                next: stream.at_least_before(self.node_since),
                directed: 0,
            });
            self.sources.len() - 1
        })
    }

    /// How many messages that were published by `then` have not come, at most, and lie behind the last
    /// one that did; in `but` nothing can be missing.
    fn could_miss(&self, facts: &Facts, then: Instant, but: Option<(usize, Row)>) -> u64 {
        let of_stream = |(life, stream): (Life, &Stream)| {
            let at = self.sources.iter().position(|source| source.life == life);
            let (next, directed) = match at {
                Some(at) => (self.sources[at].next, self.sources[at].directed),
                None => (stream.at_least_before(self.node_since), 0),
            };
            let all = stream.at_most_by(then).saturating_sub(next);
            let some = stream.count_directed().saturating_sub(directed);
            let not = |row: Row| at.is_some() && but == at.map(|at| (at, row));
            (if not(Row::All) { 0 } else { all }) + (if not(Row::Directed) { 0 } else { some })
        };
        facts
            .published
            .of(self.topic)
            .streams()
            .map(of_stream)
            .sum()
    }

    /// How many messages of sources that live it should have got by now and has not: what lies behind
    /// the last one that came, and all since a source knows of it that it never heard of.
    fn lacks(&self, facts: &Facts, node: NodeId) -> u64 {
        if is_forgetful(facts, &self.name) {
            return 0;
        }
        let of_stream = |(life, stream): (Life, &Stream)| {
            let actor = facts.cast.actor(life.0);
            if !actor.running || actor.paused || actor.incarnation != life.1 {
                return 0;
            }
            let heard = self.sources.iter().find(|source| source.life == life);
            match heard.filter(|source| source.numbers[Row::All as usize].is_some()) {
                Some(source) => stream.count().saturating_sub(source.next),
                None => {
                    let known = known_since(facts, life.0, node, self.since);
                    let from = known.map(|known| stream.at_most_by(known));
                    from.map_or(0, |from| stream.count().saturating_sub(from))
                }
            }
        };
        facts
            .published
            .of(self.topic)
            .streams()
            .map(of_stream)
            .sum()
    }
}

/// How many messages are missing for certain, and how many may be, before the first one of a row, whose
/// place this is.
fn before_the_first(
    facts: &Facts,
    (source, node): (NodeId, NodeId),
    since: Instant,
    stream: &Stream,
    place: u64,
    next: u64,
) -> (u64, u64) {
    let known = known_since(facts, source, node, since);
    let from = known.map_or(place, |known| stream.at_most_by(known).max(next));
    let certain = place.saturating_sub(from);
    (certain, place.saturating_sub(next) - certain)
}

/// Since when a source has known what a node wants; `None`: it may not know.
fn known_since(facts: &Facts, source: NodeId, node: NodeId, since: Instant) -> Option<Instant> {
    if source == node {
        return Some(since + ASKED);
    }
    let linked = facts.linked_since(source, node)?;
    let quiet = facts.cast.undisturbed_since(source, node)?;
    let fair = match facts.weather.fair_since(source.0, node.0)? {
        Instant::ZERO => Instant::ZERO,
        // What a lost packet has stalled arrives within the link's silence.
        eased => eased + facts.silence(source, node),
    };
    Some(linked.max(quiet).max(fair).max(since) + ASKED)
}

/// Some node may remember or want fewer topics than there are, or remember fewer nodes; or a liar reports
/// losses of this topic.
fn is_forgetful(facts: &Facts, topic: &str) -> bool {
    let topics = facts.published.topics() + TOPICS_OF_EVENTS;
    let cast = &facts.cast;
    topics > cast.fewest_topics || cast.forgets_nodes || cast.is_lied_about(topic)
}

/// More topics than live events and nodes themselves have in any scenario that sets tight bounds.
const TOPICS_OF_EVENTS: usize = 64;
