//! The messages that one subscriber has got, and should have got.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use lasso_core::name::NodeName;
use lasso_core::plane::pubsub::Row;
use lasso_core::time::Instant;

use super::super::facts::Facts;
use super::super::invariant::Moment;
use super::super::published::{Life, Stream, TopicId};
use super::wants::{Owed, Wants};
use super::{Numbers, UNDER_WAY};
use crate::app::Got;
use crate::scenario::NodeId;

/// A subscription is in place by then.
const BEGUN: Duration = Duration::from_secs(1);

/// The observations of a subscriber.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) topic: TopicId,
    pub(super) name: Arc<str>,
    /// It reads each message at once.
    pub(super) at_once: bool,
    since: Instant,
    /// When its node first subscribed to the topic: losses since then may be reported to it.
    node_since: Instant,
    sources: Vec<Source>,
    /// The reported losses that have no place yet: at least, and at most.
    pub(super) ahead: (u64, u64),
    /// When a loss was last reported.
    reported_at: Instant,
}

/// The messages that a subscriber has got from one life of a node.
#[derive(Debug)]
struct Source {
    life: Life,
    name: NodeName,
    last_tag: u64,
    /// The last number of each sequence.
    numbers: [Option<u64>; 2],
    /// The place after the last message to everybody.
    next: u64,
    /// The place after the last directed message that arrived, among those for this node.
    letters: usize,
}

/// The messages missing before a message: the certain ones, and the possible ones.
#[derive(Debug, Clone, Copy)]
struct Gap {
    certain: u64,
    perhaps: u64,
}

impl Gap {
    /// The number of missing messages is unknown.
    const UNKNOWN: Gap = Gap {
        certain: 0,
        perhaps: u64::MAX,
    };

    /// The same with the number of missing messages given by sequence numbers; it must equal the number
    /// published.
    fn by_number(self, missing: u64, demand: &mut impl FnMut(bool, fmt::Arguments<'_>)) -> Gap {
        let (least, most) = (self.certain, self.certain + self.perhaps);
        demand(
            (least..=most).contains(&missing),
            format_args!(
                "{missing} are missing before it by its number, and {least} to {most} were published"
            ),
        );
        Gap {
            certain: missing,
            perhaps: 0,
        }
    }
}

impl Reader {
    /// A subscriber that begins at the first of these times, on a node that first had one at the second.
    pub(super) fn new(
        topic: TopicId,
        name: &Arc<str>,
        at_once: bool,
        (since, node_since): (Instant, Instant),
    ) -> Self {
        Reader {
            topic,
            name: Arc::clone(name),
            at_once,
            since,
            node_since,
            sources: Vec::new(),
            ahead: (0, 0),
            reported_at: Instant::ZERO,
        }
    }

    pub(super) fn got(
        &mut self,
        at: &mut Moment<'_>,
        got: &Got,
        wants: &mut Wants,
        numbers: &mut Numbers,
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
        let exempt = self.is_exempt(facts);
        if got.row == Row::All && !facts.cast.is_lied_about(&self.name) {
            self.number_is_right(life, (place, got.number), exempt, numbers, &mut demand);
        }
        let owed = self.owed(node, (life, stream), wants);
        wants.got(node, (life, stream), (self.topic, tag));
        let at_source = self.source(life, node, &got.from, stream);
        let source = &mut self.sources[at_source];
        let last_tag = source.last_tag;
        source.last_tag = tag.max(last_tag);
        demand(
            tag > last_tag,
            format_args!("the {tag}th message comes after the {last_tag}th"),
        );
        let last = source.numbers[got.row as usize].replace(got.number);
        demand(
            last.is_none_or(|last| got.number > last),
            format_args!("a message comes again, or after number {last:?}"),
        );
        let gap = source.gap(node, stream, got.row, place, owed);
        source.pass(got.row, place);
        let gap = match last {
            _ if exempt => Gap::UNKNOWN,
            Some(last) => gap.by_number(got.number.saturating_sub(last + 1), &mut demand),
            None => gap,
        };
        let (least, most) = self.ahead;
        let certain = gap.certain;
        demand(
            certain <= most,
            format_args!("{certain} are missing before it, and {most} were reported"),
        );
        self.ahead.0 = least.saturating_sub(certain).saturating_sub(gap.perhaps);
        self.ahead.1 = most.saturating_sub(certain);
        if self.ahead.0 > 0 && !exempt {
            self.lies_ahead(at, (at_source, got.row));
        }
    }

    /// Numbers grow by as much as places; if a source may forget its topics, they only grow.
    fn number_is_right(
        &self,
        life: Life,
        (place, number): (u64, u64),
        may_jump: bool,
        numbers: &mut Numbers,
        demand: &mut impl FnMut(bool, fmt::Arguments<'_>),
    ) {
        let known = numbers.entry((life, self.topic)).or_insert((place, number));
        let (before, then) = *known;
        let offset = |number: u64, place: u64| number.wrapping_sub(place);
        let same = offset(number, place) == offset(then, before);
        // A message on a topic that did not fit into a full table has a place and no number.
        let grows = (number, place) == (then, before) || (number > then) == (place > before);
        demand(
            same || may_jump && grows,
            format_args!(
                "the message at place {place} has another number than elsewhere, where {before} has {then}"
            ),
        );
        if place > before {
            *known = (place, number);
        }
    }

    /// The source of this message and its place in its sequence, or a text about the mistake.
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
        let place = match got.row {
            Row::All => stream.place(tag),
            Row::Directed => stream.letter(node, tag).map(|place| place as u64),
        };
        let place = place.ok_or("a message was not published for this node")?;
        Ok((life, stream, place))
    }

    /// After a message of this sequence, reported losses without a place must be missing in other sequences.
    fn lies_ahead(&self, at: &mut Moment<'_>, row: (usize, Row)) {
        let least = self.ahead.0;
        let could = self.could_miss(at.facts, at.node, self.reported_at, Some(row));
        let name = &at.facts.cast.actor(at.node).name;
        at.demand(least <= could, || {
            format!(
                "what is reported is missing at that place; of {} at {name} {least} were reported in \
                 front of a message that are not, and of others {could} may be",
                self.name
            )
        });
    }

    pub(super) fn missed(&mut self, at: &mut Moment<'_>, count: u64) {
        self.ahead.0 += count;
        self.ahead.1 += count;
        self.reported_at = at.now;
        if self.is_exempt(at.facts) {
            return;
        }
        let could = self.could_miss(at.facts, at.node, at.now, None);
        let name = &at.facts.cast.actor(at.node).name;
        at.demand(self.ahead.0 <= could, || {
            format!(
                "no more is reported missing than was published; a subscriber of {} at {name} is told \
                 of {count}, so that at least {} must still be missing, and {could} can be",
                self.name, self.ahead.0
            )
        });
    }

    /// The life that published this message.
    fn life_of(&self, facts: &Facts, got: &Got) -> Option<Life> {
        let is_source =
            |source: &&Source| source.life.1 == got.incarnation.0 && source.name == got.from;
        // Most sources are known already, and there are few of them.
        if let Some(source) = self.sources.iter().find(is_source) {
            return Some(source.life);
        }
        let node = facts.cast.whose_name(&got.from, got.incarnation.0)?;
        Some((node, got.incarnation.0))
    }

    /// The entry for one life.
    fn source(&mut self, life: Life, node: NodeId, name: &NodeName, stream: &Stream) -> usize {
        let known = self.sources.iter().position(|source| source.life == life);
        known.unwrap_or_else(|| {
            self.sources.push(Source {
                life,
                name: name.clone(),
                last_tag: 0,
                numbers: [None; 2],
                next: stream.at_least_before(self.node_since),
                letters: stream.letters_before(node, self.node_since),
            });
            self.sources.len() - 1
        })
    }

    /// The most messages published by `then` that have not arrived and lie after the last one that did; in
    /// `but` nothing can be missing.
    pub(super) fn could_miss(
        &self,
        facts: &Facts,
        node: NodeId,
        then: Instant,
        but: Option<(usize, Row)>,
    ) -> u64 {
        let of_stream = |(life, stream): (Life, &Stream)| {
            let at = self.sources.iter().position(|source| source.life == life);
            let (next, letters) = match at {
                Some(at) => (self.sources[at].next, self.sources[at].letters),
                None => (
                    stream.at_least_before(self.node_since),
                    stream.letters_before(node, self.node_since),
                ),
            };
            let all = stream.at_most_by(then).saturating_sub(next);
            let some = stream.letters_by(node, then).saturating_sub(letters) as u64;
            let not = |row: Row| at.is_some() && but == at.map(|at| (at, row));
            (if not(Row::All) { 0 } else { all }) + (if not(Row::Directed) { 0 } else { some })
        };
        let streams = facts.published.of(self.topic).streams();
        streams.map(of_stream).sum()
    }

    /// The messages that a source owes it since it began.
    fn owed(&self, node: NodeId, (life, stream): (Life, &Stream), wants: &Wants) -> Option<Owed> {
        let owed = wants.owed(node, life, self.topic)?;
        Some(owed.since(stream, node, self.since + BEGUN))
    }

    /// How many messages of living sources it should have got by now and has not.
    pub(super) fn lacks(&self, now: Instant, facts: &Facts, node: NodeId, wants: &Wants) -> u64 {
        if facts.cast.is_lied_about(&self.name) {
            return 0;
        }
        let of_stream = |(life, stream): (Life, &Stream)| {
            let actor = facts.cast.actor(life.0);
            if !actor.running || actor.paused || actor.incarnation != life.1 {
                return 0;
            }
            let Some(owed) = self.owed(node, (life, stream), wants) else {
                return 0;
            };
            let heard = self.sources.iter().find(|source| source.life == life);
            let (next, letters) = heard.map_or((0, 0), |source| (source.next, source.letters));
            // After a message that has arrived it is owed all, unless the source may have forgotten it since.
            let got = |row: Row| heard.is_some_and(|source| source.numbers[row as usize].is_some());
            let after = |row: Row| got(row) && !may_forget(facts);
            let from = if after(Row::All) {
                next
            } else {
                next.max(owed.all)
            };
            let all = stream.count().saturating_sub(from);
            let from = if after(Row::Directed) {
                letters
            } else {
                letters.max(owed.letters)
            };
            // A message to one node without a link is refused, and one to a role waits for the next session.
            let linked = life.0 == node
                || facts
                    .linked_since(life.0, node)
                    .is_some_and(|since| since + UNDER_WAY <= now);
            let end = stream.letters_by(node, now);
            let (some, _) = stream.letters_within(node, from.min(end), end);
            all + if linked { some } else { 0 }
        };
        let streams = facts.published.of(self.topic).streams();
        streams.map(of_stream).sum()
    }

    /// Whether losses need not be reported to it, because its source may have forgotten the topic, or lies.
    pub(super) fn is_exempt(&self, facts: &Facts) -> bool {
        may_forget(facts) || facts.cast.is_lied_about(&self.name)
    }
}

impl Source {
    /// The messages missing between the last message of a sequence and one at this place.
    fn gap(&self, node: NodeId, stream: &Stream, row: Row, place: u64, owed: Option<Owed>) -> Gap {
        if row == Row::Directed {
            let place = place as usize;
            let from = owed.map_or(place, |owed| owed.letters.max(self.letters));
            let (certain, _) = stream.letters_within(node, from.min(place), place);
            let (some, others) = stream.letters_within(node, self.letters.min(place), place);
            let perhaps = some + others - certain;
            return Gap { certain, perhaps };
        }
        let from = owed.map_or(place, |owed| owed.all.max(self.next));
        let certain = place.saturating_sub(from);
        let perhaps = place.saturating_sub(self.next) - certain;
        Gap { certain, perhaps }
    }

    fn pass(&mut self, row: Row, place: u64) {
        match row {
            Row::All => self.next = self.next.max(place + 1),
            Row::Directed => self.letters = self.letters.max(place as usize + 1),
        }
    }
}

/// Some node may remember or want fewer topics than there are, or remember fewer nodes.
pub(super) fn may_forget(facts: &Facts) -> bool {
    !facts.has_room_for(facts.published.topics()) || facts.cast.forgets_nodes
}
