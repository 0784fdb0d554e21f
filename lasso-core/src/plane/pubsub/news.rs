//! What links are to be told, in frames that stay small.

use super::Row;
use super::hub::Hub;
use super::peer::News;
use super::slab::Place;
use super::topics::{Interest, Topics};
use crate::frame::{MissedRange, PubSubFrame, StreamStart};
use crate::node::ConnId;

impl Hub {
    /// A link that got news since this was last asked; each once.
    pub(crate) fn noisy(&mut self) -> Option<ConnId> {
        let conn = self.noisy.pop()?;
        self.peers[self.conns[&conn]].news.noisy = false;
        Some(conn)
    }

    /// True when [`Hub::next_news`] has something for this link.
    pub(crate) fn has_news(&self, conn: ConnId) -> bool {
        let peer = self.conns.get(&conn);
        peer.is_some_and(|&peer| !self.peers[peer].news.is_empty())
    }

    /// The next frame for this link, of at most 16 KiB. It has to reach the peer, in this order and
    /// on the control lane: messages of the topics that it announces may follow from now on.
    pub(crate) fn next_news(&mut self, conn: ConnId) -> Option<PubSubFrame> {
        let &peer = self.conns.get(&conn)?;
        let news = &mut self.peers[peer].news;
        if !news.unwanted.is_empty() || !news.wanted.is_empty() {
            return Some(interest(news, &self.topics));
        }
        if !news.answers.is_empty() {
            return Some(streams(news, &mut self.topics, peer));
        }
        // Behind the answers: what is answered by then was not refused.
        if core::mem::take(&mut news.refused) {
            return Some(PubSubFrame::InterestRefused);
        }
        (!news.dropped.is_empty()).then(|| missed(news, &mut self.topics, peer))
    }
}

impl Hub {
    /// The last numbers of each topic that this peer gets, as frames. They are the last frames about topics
    /// that the peer hears from this node: it counts every lower number that it has not got as missed.
    pub(crate) fn last_numbers(&self, conn: ConnId) -> Vec<PubSubFrame> {
        let Some(&peer) = self.conns.get(&conn) else {
            return Vec::new();
        };
        let mut ranges = Vec::new();
        for &place in &self.peers[peer].present {
            let topic = &self.topics[place];
            let Some(receiver) = topic.active(peer) else {
                continue;
            };
            let rows = [(Row::All, topic.last_all), (Row::Directed, receiver.last)];
            let begun = rows.into_iter().filter(|(_, last)| *last > 0);
            ranges.extend(begun.map(|(row, to)| MissedRange {
                stream: topic.stream,
                row,
                from: 1,
                to,
            }));
        }
        let frames = ranges.chunks(ROOM / RANGE_BYTES);
        frames
            .map(|some| PubSubFrame::Missed(some.to_vec()))
            .collect()
    }
}

/// First all that is no longer wanted: so what a peer was told never grows beyond what may be wanted.
fn interest(news: &mut News, topics: &Topics) -> PubSubFrame {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    let mut room = ROOM;
    while let Some(name) = news.unwanted.first() {
        if !takes(&mut room, TOPIC_HEAD_BYTES + name.len()) {
            return PubSubFrame::Interest { add, remove };
        }
        remove.push(name.to_string());
        news.unwanted.pop_first();
    }
    while let Some(&place) = news.wanted.first() {
        let name = &topics[place].name;
        if !takes(&mut room, TOPIC_HEAD_BYTES + name.len()) {
            break;
        }
        add.push(name.to_string());
        news.wanted.pop_first();
        news.told.insert(place);
    }
    PubSubFrame::Interest { add, remove }
}

/// The peer gets messages of these from here on: none before the last numbers that are told to it.
fn streams(news: &mut News, topics: &mut Topics, peer: Place) -> PubSubFrame {
    let mut starts = Vec::new();
    let mut room = ROOM;
    while let Some(&place) = news.answers.first() {
        let topic = &mut topics[place];
        if !takes(&mut room, STREAM_BYTES + topic.name.len()) {
            break;
        }
        news.answers.pop_first();
        let mut start = StreamStart {
            topic: topic.name.to_string(),
            stream: topic.stream,
            last_all: topic.last_all,
            last_directed: 0,
        };
        let receiver = topic.receiver(peer).expect("who asked is a receiver");
        receiver.interest = Interest::Active;
        start.last_directed = receiver.last;
        starts.push(start);
    }
    PubSubFrame::Streams(starts)
}

fn missed(news: &mut News, topics: &mut Topics, peer: Place) -> PubSubFrame {
    let mut ranges = Vec::new();
    let mut room = ROOM;
    while let Some(&place) = news.dropped.first() {
        if !takes(&mut room, 2 * RANGE_BYTES) {
            break;
        }
        news.dropped.pop_first();
        let topic = &mut topics[place];
        let stream = topic.stream;
        let receiver = topic.receiver(peer).expect("who missed is a receiver");
        for row in [Row::All, Row::Directed] {
            let dropped = receiver.dropped[row as usize].take();
            ranges.extend(dropped.map(|(from, to)| MissedRange {
                stream,
                row,
                from,
                to,
            }));
        }
    }
    PubSubFrame::Missed(ranges)
}

/// Takes so many bytes of the room, if they are there.
fn takes(room: &mut usize, bytes: usize) -> bool {
    match room.checked_sub(bytes) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}

/// Bytes for the entries of a frame: with heads, names of fields and lengths of lists 16 KiB.
const ROOM: usize = (16 << 10) - 64;
/// What MessagePack puts before a topic.
pub(super) const TOPIC_HEAD_BYTES: usize = 3;
/// Most bytes of an answer but for its topic: names of fields, heads and numbers.
pub(super) const STREAM_BYTES: usize = 70;
/// Most bytes of a range.
pub(super) const RANGE_BYTES: usize = 60;
