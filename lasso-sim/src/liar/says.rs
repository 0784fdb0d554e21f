//! The frames that a liar can send: regular ones, and ones that no node would write.

use lasso_core::codec::kind;
use lasso_core::frame::{Frame, PubSubFrame, StreamStart};
use lasso_core::link::{LaneId, Link};
use lasso_core::time::Instant;

/// Sends the frames of a lie. A full lane drops them, as it does for any node.
pub struct Says<'a> {
    now: Instant,
    link: &'a mut Link,
    topic: &'a str,
    /// How often the liar has lied.
    told: &'a mut u64,
}

impl<'a> Says<'a> {
    pub(super) fn new(now: Instant, link: &'a mut Link, topic: &'a str, told: &'a mut u64) -> Self {
        Says {
            now,
            link,
            topic,
            told,
        }
    }

    /// The topic of lies about messages.
    pub fn topic(&self) -> &str {
        self.topic
    }

    /// Sends a control frame.
    pub fn frame(&mut self, frame: &Frame) {
        // If the link refuses the frame, the lie is not told.
        let sent = self.link.send(self.now, frame).is_ok();
        *self.told += u64::from(sent);
    }

    /// Lies by saying nothing where a member would answer.
    pub fn nothing(&mut self) {
        *self.told += 1;
    }

    /// Declares interest in the topic, as any member may.
    pub fn want(&mut self) {
        let interest = PubSubFrame::Interest {
            add: vec![self.topic.to_owned()],
            remove: Vec::new(),
        };
        // Without it no message arrives, and there is nothing to lie about.
        let _ = self.link.send(self.now, &Frame::PubSub(interest));
    }

    /// Sends a part of a frame in pieces; `is_last` marks the last one.
    pub fn piece(&mut self, lane: LaneId, part: &[u8], is_last: bool) {
        let body = [&[lane as u8, u8::from(is_last)], part].concat();
        self.raw(lane, kind::PIECE, &body);
    }

    /// Sends a frame of any kind with any body.
    pub fn raw(&mut self, lane: LaneId, kind: u8, body: &[u8]) {
        let sent = self.push(lane, kind, body);
        *self.told += u64::from(sent);
    }

    /// False: the lane is full.
    fn push(&mut self, lane: LaneId, kind: u8, body: &[u8]) -> bool {
        let mut frame = vec![kind];
        put_varint(body.len() as u64, &mut frame);
        frame.extend_from_slice(body);
        let pushed = self
            .link
            .lanes()
            .lock()
            .push(lane, &frame, &Default::default());
        pushed.map(|pushed| pushed.wake()).is_ok()
    }

    /// Begins the topic's stream after these many messages.
    pub fn stream(&mut self, after: u64) {
        self.frame(&Frame::PubSub(PubSubFrame::Streams(vec![StreamStart {
            topic: self.topic.to_owned(),
            stream: STREAM,
            last_all: after,
            last_directed: 0,
        }])));
    }

    /// Sends a message under this number; its content is also this number.
    pub fn message(&mut self, number: u64) {
        self.payload(number, &number.to_be_bytes());
    }

    /// Sends a message under this number with this content.
    pub fn payload(&mut self, number: u64, payload: &[u8]) {
        let mut body = vec![0];
        put_varint(STREAM.into(), &mut body);
        put_varint(number, &mut body);
        body.extend_from_slice(&[0; CLOCK_BYTES]);
        body.extend_from_slice(payload);
        self.raw(LaneId::Data, kind::MESSAGE, &body);
    }

    /// Answers a call with some bytes.
    pub fn answer(&mut self, call: u64, payload: &[u8]) {
        let mut body = Vec::new();
        put_varint(call, &mut body);
        body.push(DONE);
        body.extend_from_slice(payload);
        self.raw(LaneId::Calls, kind::ANSWER, &body);
    }

    /// Refuses a call, which is a lie if the call was made to another node.
    pub fn refuse(&mut self, call: u64) {
        self.raw(LaneId::Control, kind::REFUSED, &refusal(call));
    }

    /// Refuses a call as a member that does not serve the method.
    pub fn decline(&mut self, call: u64) {
        self.push(LaneId::Control, kind::REFUSED, &refusal(call));
    }

    /// Calls a method and ignores the answer.
    pub fn call(&mut self, call: u64, method: &str, payload: &[u8]) {
        let mut body = Vec::new();
        put_varint(call, &mut body);
        put_varint(DEADLINE_MS, &mut body);
        body.push(method.len() as u8);
        body.extend_from_slice(method.as_bytes());
        body.extend_from_slice(payload);
        self.raw(LaneId::Calls, kind::CALL, &body);
    }
}

fn refusal(call: u64) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(call, &mut body);
    body.push(NO_SUCH_METHOD);
    body
}

pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The number with which a body begins.
pub(super) fn first_varint(body: &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in body.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The stream of its only topic.
pub(super) const STREAM: u32 = 1;
/// Bytes of the wall clock in a message.
const CLOCK_BYTES: usize = 6;
/// How long its calls may take.
const DEADLINE_MS: u64 = 60_000;
const DONE: u8 = 0;
const NO_SUCH_METHOD: u8 = 1;
