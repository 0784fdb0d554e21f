//! The control frames of topics: which are wanted, under which numbers they come, what was dropped.

use serde::{Deserialize, Serialize};

use super::{Malformed, RawFrame, kind, map, put, put_map};
use crate::bounded::AtMost;
use crate::frame::{MissedRange, PubSubFrame, RANGES_MAX, StreamStart, TOPICS_MAX};
use crate::plane::pubsub::Row;

pub(super) fn encode(frame: &PubSubFrame, out: &mut Vec<u8>) {
    match frame {
        PubSubFrame::Interest { add, remove } => {
            put_map(kind::INTEREST, &InterestBody { add, remove }, out);
        }
        PubSubFrame::Streams(streams) => {
            let streams = AtMost(streams.iter().map(StreamBody::of).collect());
            put_map(kind::STREAMS, &StreamsBody { streams }, out);
        }
        PubSubFrame::InterestRefused => put(kind::INTEREST_REFUSED, &[], out),
        PubSubFrame::Missed(ranges) => {
            let missed = AtMost(ranges.iter().map(RangeBody::of).collect());
            put_map(kind::MISSED, &MissedBody { missed }, out);
        }
    }
}

/// Reads a frame of one of the three kinds.
pub(super) fn decode(frame: RawFrame<'_>) -> Result<PubSubFrame, Malformed> {
    let body = frame.body;
    Ok(match frame.kind {
        kind::INTEREST => {
            let InterestBody::<AtMost<String, TOPICS_MAX>> { add, remove } = map(body)?;
            PubSubFrame::Interest {
                add: add.0,
                remove: remove.0,
            }
        }
        kind::STREAMS => {
            let StreamsBody { streams } = map::<StreamsBody<String>>(body)?;
            PubSubFrame::Streams(streams.0.into_iter().map(StreamBody::start).collect())
        }
        _ => {
            let MissedBody { missed } = map(body)?;
            PubSubFrame::Missed(missed.0.into_iter().map(RangeBody::range).collect())
        }
    })
}

#[derive(Serialize, Deserialize)]
struct InterestBody<T> {
    #[serde(default)]
    add: T,
    #[serde(default)]
    remove: T,
}

#[derive(Serialize, Deserialize)]
struct StreamsBody<T> {
    streams: AtMost<StreamBody<T>, TOPICS_MAX>,
}

#[derive(Serialize, Deserialize)]
struct StreamBody<T> {
    topic: T,
    stream: u32,
    last_all: u64,
    last_directed: u64,
}

impl<'a> StreamBody<&'a str> {
    fn of(start: &'a StreamStart) -> Self {
        StreamBody {
            topic: &start.topic,
            stream: start.stream,
            last_all: start.last_all,
            last_directed: start.last_directed,
        }
    }
}

impl StreamBody<String> {
    fn start(self) -> StreamStart {
        StreamStart {
            topic: self.topic,
            stream: self.stream,
            last_all: self.last_all,
            last_directed: self.last_directed,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MissedBody {
    missed: AtMost<RangeBody, RANGES_MAX>,
}

#[derive(Serialize, Deserialize)]
struct RangeBody {
    stream: u32,
    #[serde(default)]
    directed: bool,
    from: u64,
    to: u64,
}

impl RangeBody {
    fn of(range: &MissedRange) -> Self {
        RangeBody {
            stream: range.stream,
            directed: range.row == Row::Directed,
            from: range.from,
            to: range.to,
        }
    }

    fn range(self) -> MissedRange {
        let row = if self.directed {
            Row::Directed
        } else {
            Row::All
        };
        MissedRange {
            stream: self.stream,
            row,
            from: self.from,
            to: self.to,
        }
    }
}
