//! Invariant 7: no subscriber sees a message twice, or two of one source and topic out of order; what
//! is missing was reported as missing, and no more is reported than was published.
//!
//! A gap shows by the numbers when the next message of its row comes, and by then it must have been
//! reported. What is missing at the end of a row shows at the end of a run, when nothing is under way
//! any more. Of what came before a subscriber's first message of a row it cannot be known what it
//! should have got; but a source that published after both had long been linked, and of which a
//! subscriber has heard nothing at all, has been lost to it.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::name::{Incarnation, NodeName};
use lasso_core::plane::Audience;
use lasso_core::plane::pubsub::Row;
use lasso_core::time::Instant;

use super::Member;
use super::facts::Facts;
use super::invariant::{Entry, Invariant, Moment};
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

/// What a subscriber has seen.
#[derive(Debug)]
struct Reader {
    topic: Arc<str>,
    /// It reads whatever comes at once.
    at_once: bool,
    since: Instant,
    /// What had been published for its node when the first subscription of its topic was made there.
    base: u64,
    /// The last number of each row.
    rows: BTreeMap<(NodeName, Incarnation, Row), u64>,
    /// The last tag of each source.
    tags: BTreeMap<(NodeName, Incarnation), u64>,
    got: u64,
    /// Numbers that were left out.
    missing: u64,
    reported: u64,
}

/// What was published on a topic.
#[derive(Debug, Default)]
struct Topic {
    /// For everybody, or for a role.
    for_all: u64,
    /// For one node only.
    for_one: BTreeMap<NodeName, u64>,
    last: Instant,
}

impl Topic {
    fn count_for(&self, node: &NodeName) -> u64 {
        self.for_all + self.for_one.get(node).copied().unwrap_or(0)
    }
}

/// See the module's text.
#[derive(Debug, Default)]
struct Deliveries {
    readers: BTreeMap<(NodeId, u32), Reader>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// By node and topic, in this life: what had been published for it at the first subscription.
    bases: BTreeMap<(NodeId, Arc<str>), u64>,
    /// By node and topic, in this life: the last number of the row for all, and when it was given.
    rows: BTreeMap<(NodeId, Arc<str>), (u64, Instant)>,
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
        let (now, node) = (at.now, at.node);
        let name = &at.facts.cast.actor(node).name;
        match saw {
            Saw::Subscribed {
                sub,
                topic,
                at_once,
                ..
            } => {
                let published = self.topics.get(topic).map_or(0, |t| t.count_for(name));
                let base = *self
                    .bases
                    .entry((node, Arc::clone(topic)))
                    .or_insert(published);
                let reader = Reader::new(now, topic, *at_once, base);
                self.readers.insert((node, *sub), reader);
            }
            Saw::NotSubscribed { sub, .. } | Saw::Unsubscribed { sub } => {
                self.readers.remove(&(node, *sub));
            }
            Saw::Published {
                topic,
                audience,
                result: Ok(_),
                ..
            } => self.published(now, node, name, topic, audience),
            Saw::Got { sub, got } => {
                if let Some(reader) = self.readers.get_mut(&(node, *sub)) {
                    reader.got(at, got);
                    self.check_sum(at, *sub);
                }
            }
            Saw::Missed { sub, count } => {
                if let Some(reader) = self.readers.get_mut(&(node, *sub)) {
                    reader.reported += count;
                    self.check_sum(at, *sub);
                }
            }
            _ => {}
        }
    }

    fn unsettled(&self, now: Instant, facts: &Facts, _: &[Member]) -> Option<(NodeId, String)> {
        self.unaccounted(now, facts)
    }
}

impl Deliveries {
    /// A process begins or ends: nothing that its applications have seen counts any more.
    fn forget(&mut self, node: NodeId) {
        self.readers.retain(|(of, _), _| *of != node);
        self.bases.retain(|(of, _), _| *of != node);
        self.rows.retain(|(of, _), _| *of != node);
    }

    fn published(
        &mut self,
        now: Instant,
        node: NodeId,
        name: &NodeName,
        topic: &Arc<str>,
        audience: &Audience,
    ) {
        let book = self.topics.entry(Arc::clone(topic)).or_default();
        book.last = now;
        match audience {
            Audience::All | Audience::Role(_) => book.for_all += 1,
            Audience::Local => *book.for_one.entry(name.clone()).or_insert(0) += 1,
            Audience::Node(to) => *book.for_one.entry(to.clone()).or_insert(0) += 1,
        }
        if *audience == Audience::All {
            let row = self.rows.entry((node, Arc::clone(topic))).or_default();
            *row = (row.0 + 1, now);
        }
    }

    /// A subscriber cannot have got and missed more than there was.
    fn check_sum(&self, at: &mut Moment<'_>, sub: u32) {
        let Some(reader) = self.readers.get(&(at.node, sub)) else {
            return;
        };
        let name = &at.facts.cast.actor(at.node).name;
        let published = self
            .topics
            .get(&reader.topic)
            .map_or(0, |t| t.count_for(name));
        let most = published - reader.base;
        at.demand(reader.got + reader.reported <= most, || {
            format!(
                "nobody gets or misses more than was published; subscriber {sub} of {} at {name} got \
                 {} and was told of {} missed ones, of {most}",
                reader.topic, reader.got, reader.reported
            )
        });
    }

    /// A subscriber to which the end of a row is missing, while nothing hinders anybody: messages
    /// that were published long enough ago have neither come nor been reported.
    fn unaccounted(&self, now: Instant, facts: &Facts) -> Option<(NodeId, String)> {
        let cast = &facts.cast;
        self.readers.iter().find_map(|((node, sub), reader)| {
            let busy = self.topics.get(&reader.topic).is_none_or(|t| t.last + UNDER_WAY > now);
            let actor = cast.actor(*node);
            if busy || !reader.at_once || !actor.running || actor.paused {
                return None;
            }
            let tail: u64 = reader
                .rows
                .iter()
                .map(|((source, incarnation, row), last)| match row {
                    Row::All => self.row_end(cast, source, *incarnation, &reader.topic, *last),
                    Row::Directed => 0,
                })
                .sum();
            let missing = reader.missing + tail + self.unheard(facts, *node, reader);
            (missing > reader.reported).then(|| {
                let text = format!(
                    "what is missing is reported; subscriber {sub} of {} at {} lacks {missing}, and \
                     was told of {}",
                    reader.topic, actor.name, reader.reported
                );
                (*node, text)
            })
        })
    }

    /// Living sources that have published after they should have known of the subscription, and of
    /// which it has heard nothing: each lacks one message at least.
    fn unheard(&self, facts: &Facts, node: NodeId, reader: &Reader) -> u64 {
        let cast = &facts.cast;
        let is_unheard = |source: NodeId| {
            let published = self.rows.get(&(source, Arc::clone(&reader.topic)));
            let Some((_, last)) = published else {
                return false;
            };
            let linked = facts.linked_since(source, node);
            let quiet = cast.undisturbed_since(source, node);
            let (Some(linked), Some(quiet)) = (linked, quiet) else {
                return false;
            };
            let actor = cast.actor(source);
            let row = (actor.name.clone(), Incarnation(actor.incarnation), Row::All);
            *last > linked.max(quiet).max(reader.since) + ASKED && !reader.rows.contains_key(&row)
        };
        let sources = cast.nodes().map(|(source, _)| source);
        sources.filter(|source| is_unheard(*source)).count() as u64
    }

    /// How many of a living source's messages come after that number.
    fn row_end(
        &self,
        cast: &super::cast::Cast,
        source: &NodeName,
        incarnation: Incarnation,
        topic: &Arc<str>,
        last: u64,
    ) -> u64 {
        let Some(node) = cast.whose_name(source, incarnation.0) else {
            return 0;
        };
        let actor = cast.actor(node);
        if !actor.running || actor.paused || actor.incarnation != incarnation.0 {
            return 0;
        }
        let row = self.rows.get(&(node, Arc::clone(topic)));
        row.map_or(0, |(end, _)| end.saturating_sub(last))
    }
}

impl Reader {
    fn new(since: Instant, topic: &Arc<str>, at_once: bool, base: u64) -> Self {
        Reader {
            topic: Arc::clone(topic),
            at_once,
            since,
            base,
            rows: BTreeMap::new(),
            tags: BTreeMap::new(),
            got: 0,
            missing: 0,
            reported: 0,
        }
    }

    fn got(&mut self, at: &mut Moment<'_>, got: &Got) {
        self.got += 1;
        let name = &at.facts.cast.actor(at.node).name;
        let mut demand = |holds: bool, what: fmt::Arguments<'_>| {
            at.demand(holds, || {
                let (row, number, from) = (got.row, got.number, &got.from);
                format!("{what}: at {name}, {row:?} {number} of {from}")
            });
        };
        demand(
            got.topic == self.topic,
            format_args!(
                "a subscriber of {} gets a message of {}",
                self.topic, got.topic
            ),
        );
        let source = (got.from.clone(), got.incarnation);
        let last_tag = self.tags.entry(source.clone()).or_insert(0);
        let tag = got.tag.unwrap_or(u64::MAX);
        demand(
            got.tag.is_some(),
            format_args!("a message is not what was published"),
        );
        demand(
            tag > *last_tag,
            format_args!("the {tag}th message comes after the {last_tag}th"),
        );
        *last_tag = got.tag.unwrap_or(*last_tag).max(*last_tag);
        let row = (source.0, source.1, got.row);
        let Some(last) = self.rows.insert(row, got.number) else {
            return;
        };
        demand(
            got.number > last,
            format_args!("a message comes again, or after number {last}"),
        );
        if got.number > last {
            self.missing += got.number - last - 1;
            let (missing, reported) = (self.missing, self.reported);
            demand(
                missing <= reported,
                format_args!("{missing} are missing so far, and {reported} were reported"),
            );
        }
    }
}
