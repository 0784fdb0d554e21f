//! What is known of the topics that one peer publishes on: how far each of their rows has come here.
//!
//! 1. The numbers of a row that are handed out grow.
//! 2. Each number between two that were handed out was handed out or counted as missed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::slab::Place;
use super::{Row, Source};

/// One topic of a peer; kept over sessions while somebody here is subscribed.
pub(super) struct Incoming {
    pub(super) topic: Place,
    /// It was announced in this session.
    pub(super) live: bool,
    pub(super) source: Arc<Source>,
    rows: [Progress; 2],
}

/// How far a row has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    last: u64,
    /// Dropped by the peer, but something before it is still on its way. Nothing when the first is 0.
    dropped: (u64, u64),
}

/// A message is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// So many are missed before it.
    pub(super) missed_before: u64,
    /// So many are missed after it.
    pub(super) missed_after: u64,
}

impl Incoming {
    pub(super) fn new(topic: Place, source: Arc<Source>, last: [u64; 2]) -> Self {
        let row = |last| Progress {
            last,
            ..Progress::default()
        };
        Incoming {
            topic,
            live: true,
            source,
            rows: last.map(row),
        }
    }

    /// A message has come; `None` when it is not newer than what was handed out.
    pub(super) fn step(&mut self, row: Row, number: u64) -> Option<Step> {
        let progress = &mut self.rows[row as usize];
        let missed_before = number.checked_sub(progress.last)?.checked_sub(1)?;
        progress.last = number;
        let missed_after = match progress.dropped {
            (0, _) => 0,
            _ => progress.settle(),
        };
        Some(Step {
            missed_before,
            missed_after,
        })
    }

    /// The peer has dropped these; returns how many are missed now.
    pub(super) fn dropped(&mut self, row: Row, from: u64, to: u64) -> u64 {
        let progress = &mut self.rows[row as usize];
        if from == 0 || to < from || to <= progress.last {
            return 0;
        }
        let (first, last) = progress.dropped;
        let goes_on = first != 0 && last.checked_add(1) == Some(from);
        progress.dropped = (if goes_on { first } else { from }, to);
        progress.settle()
    }

    /// The peer has announced the stream again; returns how many were missed meanwhile.
    pub(super) fn resume(&mut self, last: [u64; 2]) -> u64 {
        self.live = true;
        let mut missed = 0u64;
        for (progress, last) in self.rows.iter_mut().zip(last) {
            missed = missed.saturating_add(last.saturating_sub(progress.last));
            progress.last = progress.last.max(last);
            progress.dropped = (0, 0);
        }
        missed
    }

    /// The session is over.
    pub(super) fn pause(&mut self) {
        self.live = false;
        self.rows.iter_mut().for_each(|row| row.dropped = (0, 0));
    }
}

impl Progress {
    /// Takes what was dropped into account, if everything before it has come or is known to be
    /// missed; returns how many are missed by it.
    fn settle(&mut self) -> u64 {
        let (from, to) = self.dropped;
        if from - 1 > self.last {
            return 0;
        }
        self.dropped = (0, 0);
        let missed = to.saturating_sub(self.last);
        self.last = self.last.max(to);
        missed
    }
}

/// All topics of one peer, by stream and by topic.
#[derive(Default)]
pub(super) struct Streams {
    /// With a fixed hasher, and never walked through.
    by_stream: FxHashMap<u32, Incoming>,
    by_topic: BTreeMap<Place, u32>,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// The stream, if it was announced in this session.
    pub(super) fn live(&mut self, stream: u32) -> Option<&mut Incoming> {
        let incoming = self.by_stream.get_mut(&stream)?;
        incoming.live.then_some(incoming)
    }

    /// Whether the stream of a topic was announced in this session.
    pub(super) fn is_live(&self, topic: Place) -> bool {
        let stream = self.by_topic.get(&topic);
        stream.is_some_and(|stream| self.by_stream[stream].live)
    }

    /// The peer has announced the stream of a topic; returns how many were missed, as it was known.
    pub(super) fn start(
        &mut self,
        topic: Place,
        stream: u32,
        last: [u64; 2],
        source: impl FnOnce() -> Arc<Source>,
    ) -> u64 {
        let mut incoming = match self.remove(topic) {
            Some((known, mut incoming)) if known == stream => {
                let missed = incoming.resume(last);
                self.insert(stream, incoming);
                return missed;
            }
            // The peer has forgotten the topic in between: nobody knows what was missed.
            Some((_, incoming)) => incoming,
            None => Incoming::new(topic, source(), last),
        };
        incoming.resume(last);
        self.insert(stream, incoming);
        0
    }

    fn insert(&mut self, stream: u32, incoming: Incoming) {
        self.by_topic.insert(incoming.topic, stream);
        if let Some(other) = self.by_stream.insert(stream, incoming) {
            // One stream for two topics: the peer's fault, who is taken at its last word.
            self.by_topic.remove(&other.topic);
        }
    }

    pub(super) fn remove(&mut self, topic: Place) -> Option<(u32, Incoming)> {
        let stream = self.by_topic.remove(&topic)?;
        Some((stream, self.by_stream.remove(&stream)?))
    }

    /// The session is over.
    pub(super) fn pause(&mut self) {
        self.each(Incoming::pause);
    }

    /// In the order of the topics' places.
    pub(super) fn each(&mut self, mut change: impl FnMut(&mut Incoming)) {
        for stream in self.by_topic.values() {
            self.by_stream.get_mut(stream).map(&mut change);
        }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = Place> {
        self.by_topic.keys().copied()
    }

    /// How far the rows of a topic have come, and under which stream.
    #[cfg(test)]
    pub(super) fn seen(&self, topic: Place) -> Option<(u32, [u64; 2])> {
        let stream = self.by_topic.get(&topic)?;
        let rows = self.by_stream[stream].rows;
        Some((*stream, rows.map(|row| row.last)))
    }

    pub(super) fn assert_invariants(&self) {
        assert_eq!(self.by_topic.len(), self.by_stream.len());
        for (topic, stream) in &self.by_topic {
            assert_eq!(self.by_stream[stream].topic, *topic);
        }
    }
}
