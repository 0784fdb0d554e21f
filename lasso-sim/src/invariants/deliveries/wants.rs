//! Which nodes want a topic, and from which message on a source certainly knows it.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::time::Instant;

use super::super::facts::Facts;
use super::super::published::{Life, Stream, TopicId};
use crate::scenario::NodeId;

/// After a subscription or a link is this old, its source knows of the interest.
const ASKED: Duration = Duration::from_secs(5);

/// The first messages of a source from which on a node must get each one, or a report of its loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owed {
    /// The place of the first one to all.
    pub(super) all: u64,
    /// The place of the first directed one.
    pub(super) letters: usize,
}

/// A node that wants a topic.
#[derive(Debug)]
struct Want {
    /// Since when it has had a subscriber without a break.
    since: Instant,
    readers: u32,
    owed: BTreeMap<Life, Owed>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Wants(BTreeMap<TopicId, BTreeMap<NodeId, Want>>);

impl Wants {
    /// A subscription begins.
    pub(super) fn begins(&mut self, now: Instant, node: NodeId, topic: TopicId) {
        let wants = self.0.entry(topic).or_default();
        let want = wants.entry(node).or_insert_with(|| Want {
            since: now,
            readers: 0,
            owed: BTreeMap::new(),
        });
        want.readers += 1;
    }

    /// A subscription ends.
    pub(super) fn ends(&mut self, node: NodeId, topic: TopicId) {
        let Some(wants) = self.0.get_mut(&topic) else {
            return;
        };
        if let Some(want) = wants.get_mut(&node) {
            want.readers -= 1;
            if want.readers == 0 {
                wants.remove(&node);
            }
        }
    }

    /// A process begins or ends: it wants nothing and owes nothing.
    pub(super) fn forget(&mut self, node: NodeId) {
        for wants in self.0.values_mut() {
            wants.remove(&node);
            for want in wants.values_mut() {
                want.owed.retain(|(source, _), _| *source != node);
            }
        }
    }

    /// A session of two nodes is over, and each may forget the other's topics with it.
    pub(super) fn part(&mut self, one: NodeId, other: NodeId) {
        for wants in self.0.values_mut() {
            for (node, source) in [(one, other), (other, one)] {
                if let Some(want) = wants.get_mut(&node) {
                    want.owed.retain(|(of, _), _| *of != source);
                }
            }
        }
    }

    /// A source has published a message with this tag, and owes it to each node whose interest it certainly
    /// knows.
    pub(super) fn published(
        &mut self,
        now: Instant,
        facts: &Facts,
        life: Life,
        (topic, tag): (TopicId, u64),
    ) {
        // A table full of wanted topics refuses others.
        if !facts.has_room_for(self.0.len()) {
            return;
        }
        let Some(wants) = self.0.get_mut(&topic) else {
            return;
        };
        for (node, want) in wants {
            let known = || known_since(facts, life.0, *node, want.since);
            if want.owed.contains_key(&life) || known().is_none_or(|known| known > now) {
                continue;
            }
            if let Some(stream) = facts.published.of(topic).stream(life) {
                let owed = Owed::from_tag(stream, *node, tag);
                want.owed.insert(life, owed);
            }
        }
    }

    /// A node has got a message, so its source knows of its interest.
    pub(super) fn got(
        &mut self,
        node: NodeId,
        (life, stream): (Life, &Stream),
        (topic, tag): (TopicId, u64),
    ) {
        let wants = self.0.get_mut(&topic);
        if let Some(want) = wants.and_then(|wants| wants.get_mut(&node)) {
            let owed = || Owed::from_tag(stream, node, tag);
            want.owed.entry(life).or_insert_with(owed);
        }
    }

    /// The messages that a source owes a node; `None`: the source may not know of its interest.
    pub(super) fn owed(&self, node: NodeId, life: Life, topic: TopicId) -> Option<Owed> {
        let want = self.0.get(&topic)?.get(&node)?;
        want.owed.get(&life).copied()
    }
}

impl Owed {
    fn from_tag(stream: &Stream, node: NodeId, tag: u64) -> Self {
        Owed {
            all: stream.before_tag(tag),
            letters: stream.letters_before_tag(node, tag),
        }
    }

    /// The same for a subscriber that began only then.
    pub(super) fn since(self, stream: &Stream, node: NodeId, then: Instant) -> Self {
        Owed {
            all: self.all.max(stream.at_most_by(then)),
            letters: self.letters.max(stream.letters_by(node, then)),
        }
    }
}

/// Since when a source has known of a node's interest; `None`: it may not know.
fn known_since(facts: &Facts, source: NodeId, node: NodeId, since: Instant) -> Option<Instant> {
    if source == node {
        return Some(since + ASKED);
    }
    let linked = facts.linked_since(source, node)?;
    let quiet = facts.cast.undisturbed_since(source, node)?;
    let fair = match facts.weather.fair_since(source.0, node.0)? {
        Instant::ZERO => Instant::ZERO,
        // Bytes stalled by a lost packet arrive within the link's silence.
        eased => eased + facts.silence(source, node),
    };
    Some(linked.max(quiet).max(fair).max(since) + ASKED)
}
