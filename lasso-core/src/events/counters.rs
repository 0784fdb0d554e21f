//! What all live events of a node have come to.

use super::feed::FeedCounters;
use super::stream::StreamCounters;

/// What a node's streams have done, as numbers that only grow, unless they say that they are of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounters {
    /// Streams, now.
    pub streams: usize,
    /// Viewers, now.
    pub viewers: usize,
    /// Topics that are subscribed to, now.
    pub topics: usize,
    /// Something will be due, now.
    pub has_deadline: bool,
    /// What the streams took in and refused.
    pub stream: StreamCounters,
    /// What the feeds of the streams did.
    pub feeds: FeedCounters,
    /// Messages that were no event.
    pub malformed: u64,
    /// Events of kinds that this release does not know.
    pub unknown: u64,
    /// Events on a topic of states, and states on a topic of events.
    pub mixed: u64,
    /// Messages of topics that were not subscribed to, or no longer: normal in small numbers.
    pub stray: u64,
}

impl LiveCounters {
    /// Without what was of the moment.
    pub fn of_the_past(self) -> LiveCounters {
        LiveCounters {
            streams: 0,
            viewers: 0,
            topics: 0,
            has_deadline: false,
            feeds: self.feeds.of_the_past(),
            ..self
        }
    }
}
