//! The published messages, by topic and by life of the publishing node. Part of the facts.
//!
//! Messages to all nodes have numbers without a gap, so their tags are kept in order, as ranges. Other messages
//! are kept by receiving node.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::time::Instant;

use super::receivers::Receivers;
use crate::scenario::NodeId;

/// One life of a node: the node and its incarnation.
pub(super) type Life = (NodeId, u64);

/// A topic, as a small number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicId(u32);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Published {
    ids: BTreeMap<Arc<str>, TopicId>,
    topics: Vec<Topic>,
}

/// The messages published on one topic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    streams: BTreeMap<Life, Stream>,
    /// When any node last published.
    pub(super) last: Instant,
}

/// The messages that one life of a node published on one topic.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The tags of messages to all nodes.
    all: Tags,
    /// All other messages, by receiving node, in the order of their tags.
    directed: BTreeMap<NodeId, Vec<Letter>>,
    /// The number of messages to all nodes published before these moments.
    times: Vec<(Instant, u64)>,
    /// When a message to all nodes was last published.
    pub(super) last: Instant,
}

/// A directed message, for one of its receivers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    tag: u64,
    at: Instant,
    /// Whether the source certainly counts this node among the receivers.
    certain: bool,
}

impl Published {
    /// The number of a topic, which is new or known.
    pub(super) fn topic(&mut self, name: &Arc<str>) -> TopicId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = TopicId(self.topics.len() as u32);
        self.ids.insert(Arc::clone(name), id);
        self.topics.push(Topic::default());
        id
    }

    /// The number of a known topic.
    pub(super) fn find(&self, name: &str) -> Option<TopicId> {
        self.ids.get(name).copied()
    }

    /// The number of known topics.
    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn published(
        &mut self,
        now: Instant,
        life: Life,
        topic: TopicId,
        tag: u64,
        to: &Receivers,
    ) {
        let topic = &mut self.topics[topic.0 as usize];
        topic.last = now;
        let stream = topic.streams.entry(life).or_default();
        if let Receivers::Some(nodes) = to {
            for (node, certain) in nodes {
                let (at, certain) = (now, *certain);
                let letters = stream.directed.entry(*node).or_default();
                letters.push(Letter { tag, at, certain });
            }
            return;
        }
        if stream.times.last().is_none_or(|(at, _)| *at + GRAIN <= now) {
            stream.times.push((now, stream.all.len()));
        }
        stream.last = now;
        stream.all.push(tag);
    }

    pub(super) fn of(&self, topic: TopicId) -> &Topic {
        &self.topics[topic.0 as usize]
    }
}

impl Topic {
    pub(super) fn stream(&self, life: Life) -> Option<&Stream> {
        self.streams.get(&life)
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = (Life, &Stream)> {
        self.streams.iter().map(|(life, stream)| (*life, stream))
    }
}

impl Stream {
    /// The place of a tag among the messages to everybody, from 0; `None` if it is not one of them.
    pub(super) fn place(&self, tag: u64) -> Option<u64> {
        self.all.place(tag)
    }

    /// The place of a tag among the directed messages to one node, from 0; `None` if it is not one of them.
    pub(super) fn letter(&self, node: NodeId, tag: u64) -> Option<usize> {
        let letters = self.letters(node);
        letters.binary_search_by_key(&tag, |letter| letter.tag).ok()
    }

    /// The number of letters to a node published before then.
    pub(super) fn letters_before(&self, node: NodeId, then: Instant) -> usize {
        let letters = self.letters(node);
        letters.partition_point(|letter| letter.at < then)
    }

    /// The number of letters to a node with smaller tags.
    pub(super) fn letters_before_tag(&self, node: NodeId, tag: u64) -> usize {
        let letters = self.letters(node);
        letters.partition_point(|letter| letter.tag < tag)
    }

    /// The number of letters to a node from one place to another: the certain ones, and the others.
    pub(super) fn letters_within(&self, node: NodeId, from: usize, until: usize) -> (u64, u64) {
        let letters = self.letters(node).get(from..until).unwrap_or_default();
        let certain = letters.iter().filter(|letter| letter.certain).count() as u64;
        (certain, letters.len() as u64 - certain)
    }

    /// The number of letters to a node published by then.
    pub(super) fn letters_by(&self, node: NodeId, then: Instant) -> usize {
        let letters = self.letters(node);
        letters.partition_point(|letter| letter.at <= then)
    }

    fn letters(&self, node: NodeId) -> &[Letter] {
        self.directed.get(&node).map_or(&[], Vec::as_slice)
    }

    /// The number of messages to all with smaller tags.
    pub(super) fn before_tag(&self, tag: u64) -> u64 {
        self.all.before(tag)
    }

    /// The number of messages to everybody.
    pub(super) fn count(&self) -> u64 {
        self.all.len()
    }

    /// An upper bound of the number of messages to all nodes published by then.
    pub(super) fn at_most_by(&self, then: Instant) -> u64 {
        let later = self.times.partition_point(|(at, _)| *at <= then);
        self.times
            .get(later)
            .map_or(self.count(), |(_, count)| *count)
    }

    /// A lower bound of the number of messages to all nodes published before then.
    pub(super) fn at_least_before(&self, then: Instant) -> u64 {
        let later = self.times.partition_point(|(at, _)| *at <= then);
        later.checked_sub(1).map_or(0, |at| self.times[at].1)
    }
}

/// Increasing numbers, as ranges without gaps.
#[derive(Debug, Default)]
struct Tags {
    /// The first of each range, and the count of numbers before it.
    ranges: Vec<(u64, u64)>,
    count: u64,
}

impl Tags {
    fn len(&self) -> u64 {
        self.count
    }

    fn push(&mut self, tag: u64) {
        let goes_on = |(first, before): &(u64, u64)| first + (self.count - before) == tag;
        if !self.ranges.last().is_some_and(goes_on) {
            self.ranges.push((tag, self.count));
        }
        self.count += 1;
    }

    /// The count of smaller numbers.
    fn before(&self, tag: u64) -> u64 {
        let next = self.ranges.partition_point(|(first, _)| *first < tag);
        let Some((first, before)) = next.checked_sub(1).map(|at| self.ranges[at]) else {
            return 0;
        };
        let end = self.ranges.get(next);
        let end = end.map_or(self.count, |(_, before)| *before);
        (before + (tag - first)).min(end)
    }

    fn place(&self, tag: u64) -> Option<u64> {
        let next = self.ranges.partition_point(|(first, _)| *first <= tag);
        let (first, before) = *self.ranges.get(next.checked_sub(1)?)?;
        let end = self
            .ranges
            .get(next)
            .map_or(self.count, |(_, before)| *before);
        let place = before + (tag - first);
        (place < end).then_some(place)
    }
}

/// The resolution of publishing times.
const GRAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_at_their_places_and_no_others() {
        let mut tags = Tags::default();
        for tag in [3, 4, 5, 9, 11, 12] {
            tags.push(tag);
        }
        assert_eq!(tags.ranges.len(), 3);
        let places = [3, 4, 5, 9, 11, 12].map(|tag| tags.place(tag));
        assert_eq!(places, [0, 1, 2, 3, 4, 5].map(Some));
        let before = [0, 3, 5, 6, 9, 10, 11, 12, 13].map(|tag| tags.before(tag));
        assert_eq!(before, [0, 0, 2, 3, 3, 4, 4, 5, 6]);
        assert!(
            [0, 2, 6, 8, 10, 13]
                .iter()
                .all(|tag| tags.place(*tag).is_none())
        );
    }

    #[test]
    fn what_had_been_published_by_a_moment_lies_between_its_bounds() {
        let mut published = Published::default();
        let topic = published.topic(&"t".into());
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        for tag in 0..100 {
            published.published(at(tag * 30), (NodeId(0), 1), topic, tag, &Receivers::All);
        }
        let stream = published
            .of(topic)
            .stream((NodeId(0), 1))
            .expect("it is there");
        for millis in 0..4000 {
            let right = (millis / 30 + 1).min(100);
            let (least, most) = (
                stream.at_least_before(at(millis)),
                stream.at_most_by(at(millis)),
            );
            assert!(least <= right && right <= most, "{least} {right} {most}");
            assert!(most - least <= 5, "{least} {most}");
        }
    }
}
