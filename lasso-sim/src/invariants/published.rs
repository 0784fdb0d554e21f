//! The published messages, by topic and by life of the publishing node. Part of the facts.
//!
//! Messages for all nodes have numbers without a gap, so their tags are kept in order, as ranges. Other
//! messages are kept with their audience.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::name::NodeName;
use lasso_core::plane::Audience;
use lasso_core::time::Instant;

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

/// What was published on one topic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    streams: BTreeMap<Life, Stream>,
    /// When any node last published.
    pub(super) last: Instant,
}

/// What one life of a node has published on one topic.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The tags of messages for all nodes.
    all: Tags,
    /// The tags of all other messages, each with its audience.
    directed: Vec<(u64, Audience)>,
    /// How many messages for all nodes had been published before these moments.
    times: Vec<(Instant, u64)>,
    /// When a message for all nodes was last published.
    pub(super) last: Instant,
}

impl Published {
    /// The number of a topic that is named.
    pub(super) fn topic(&mut self, name: &Arc<str>) -> TopicId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = TopicId(self.topics.len() as u32);
        self.ids.insert(Arc::clone(name), id);
        self.topics.push(Topic::default());
        id
    }

    /// The number of a topic that was named before.
    pub(super) fn find(&self, name: &str) -> Option<TopicId> {
        self.ids.get(name).copied()
    }

    /// How many topics were named.
    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn published(
        &mut self,
        now: Instant,
        life: Life,
        topic: TopicId,
        tag: u64,
        audience: &Audience,
    ) {
        let topic = &mut self.topics[topic.0 as usize];
        topic.last = now;
        let stream = topic.streams.entry(life).or_default();
        if *audience != Audience::All {
            stream.directed.push((tag, audience.clone()));
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
    /// The place of a tag among the messages for everybody, from 0; `None`: it is none of them.
    pub(super) fn place(&self, tag: u64) -> Option<u64> {
        self.all.place(tag)
    }

    /// Whether a message with this tag was for some only, and may have been for this node.
    pub(super) fn is_for(&self, tag: u64, source: NodeId, node: NodeId, name: &NodeName) -> bool {
        let found = self.directed.binary_search_by_key(&tag, |(tag, _)| *tag);
        found.is_ok_and(|at| match &self.directed[at].1 {
            Audience::Local => source == node,
            Audience::Node(to) => to == name,
            // Who has which role is known here and there at different times.
            Audience::All | Audience::Role(_) => true,
        })
    }

    /// How many messages for everybody there are.
    pub(super) fn count(&self) -> u64 {
        self.all.len()
    }

    /// How many messages may have been for one node alone, at most.
    pub(super) fn count_directed(&self) -> u64 {
        self.directed.len() as u64
    }

    /// An upper bound of the messages for all nodes that had been published by then.
    pub(super) fn at_most_by(&self, then: Instant) -> u64 {
        let later = self.times.partition_point(|(at, _)| *at <= then);
        self.times
            .get(later)
            .map_or(self.count(), |(_, count)| *count)
    }

    /// A lower bound of the messages for all nodes that had been published before then.
    pub(super) fn at_least_before(&self, then: Instant) -> u64 {
        let later = self.times.partition_point(|(at, _)| *at <= then);
        later.checked_sub(1).map_or(0, |at| self.times[at].1)
    }
}

/// Numbers that grow, as ranges without a gap.
#[derive(Debug, Default)]
struct Tags {
    /// The first of each range, and how many come before it.
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

/// How finely it is known when messages were published.
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
            published.published(at(tag * 30), (NodeId(0), 1), topic, tag, &Audience::All);
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
