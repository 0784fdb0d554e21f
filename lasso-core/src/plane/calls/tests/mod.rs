//! Rules of calls, one by one, by machines whose lanes a test holds in its hands.

mod answering;
mod asking;
mod many;
mod properties;
mod vectors;

use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake as Wakes;

use super::*;
use crate::codec::{self, kind};
use crate::config::CallSettings;
use crate::node::ConnId;
use crate::plane::Wake;

const MESSAGE_MAX: usize = 4096;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn name(number: u8) -> NodeName {
    format!("app@10.0.0.{number}").parse().unwrap()
}

/// What went out, and whether there is room for more.
#[derive(Default)]
struct Lanes {
    calls: VecDeque<(ConnId, Vec<u8>)>,
    control: VecDeque<(ConnId, Vec<u8>)>,
    full: bool,
}

impl Outlet for Lanes {
    fn calls(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, _: &mut Effects) -> bool {
        assert!(matches!(head[0], kind::CALL | kind::ANSWER));
        if !self.full {
            self.calls.push_back((conn, [head, &payload[..]].concat()));
        }
        !self.full
    }

    fn control(&mut self, conn: ConnId, frame: &[u8], _: &mut Effects) -> bool {
        assert_eq!(frame[0], kind::REFUSED);
        self.control.push_back((conn, frame.to_vec()));
        true
    }
}

/// One machine with its lanes.
struct Side {
    calls: Calls,
    lanes: Lanes,
    fx: Effects,
}

impl Side {
    fn new(me: u8, settings: &CallSettings) -> Self {
        Side {
            calls: Calls::new(settings, MESSAGE_MAX, name(me)),
            lanes: Lanes::default(),
            fx: Effects::default(),
        }
    }

    fn call(&mut self, now: Instant, to: u8, method: &str) -> Result<CallId, CallError> {
        self.call_within(now, to, method, None)
    }

    fn call_within(
        &mut self,
        now: Instant,
        to: u8,
        method: &str,
        timeout: Option<Duration>,
    ) -> Result<CallId, CallError> {
        let payload = Bytes::from_static(b"question");
        let question = Question {
            method,
            payload: &payload,
            timeout,
        };
        let (lanes, fx) = (&mut self.lanes, &mut self.fx);
        let result = self.calls.call(now, &name(to), &question, lanes, fx);
        self.calls.assert_invariants();
        result
    }

    fn call_many(&mut self, now: Instant, to: &[u8], method: &str) -> Result<GatherId, CallError> {
        let payload = Bytes::from_static(b"question");
        let question = Question {
            method,
            payload: &payload,
            timeout: None,
        };
        let to: Vec<_> = to.iter().map(|&number| name(number)).collect();
        let (lanes, fx) = (&mut self.lanes, &mut self.fx);
        let result = self.calls.call_many(now, &to, &question, lanes, fx);
        self.calls.assert_invariants();
        result
    }

    /// What came over `conn`, a whole frame.
    fn receive(
        &mut self,
        now: Instant,
        conn: ConnId,
        frame: &[u8],
    ) -> Result<(), codec::Malformed> {
        let (raw, rest) = codec::split(frame).unwrap();
        assert!(rest.is_empty(), "the head tells the length");
        let body = Bytes::copy_from_slice(raw.body);
        let fx = &mut self.fx;
        let result = match raw.kind {
            kind::CALL => self.calls.on_call(now, conn, body, &mut self.lanes, fx),
            kind::ANSWER | kind::REFUSED => self.calls.on_answer(conn, body, fx),
            other => panic!("a frame of kind {other}"),
        };
        self.calls.assert_invariants();
        result
    }

    fn answer(&mut self, id: ServeId, answer: Answer) {
        self.calls.answer(id, answer, &mut self.lanes, &mut self.fx);
        self.calls.assert_invariants();
    }

    fn tick(&mut self, now: Instant) {
        self.calls.tick(now, &mut self.fx);
        self.calls.assert_invariants();
    }

    fn link_down(&mut self, conn: ConnId) {
        self.calls.link_down(conn, &mut self.fx);
        self.calls.assert_invariants();
    }

    fn request(&mut self) -> Request {
        assert_eq!(self.fx.requests.len(), 1);
        self.fx.requests.remove(0)
    }

    fn outcome(&mut self, id: CallId) -> Option<Result<Bytes, CallError>> {
        self.calls.poll_call(id, None)
    }
}

/// The connection between the two of a pair.
const LINK: ConnId = ConnId::In(7);

/// Nodes 1 and 2, linked; 2 serves `echo`.
fn pair() -> (Side, Side) {
    pair_with(&CallSettings::default())
}

fn pair_with(settings: &CallSettings) -> (Side, Side) {
    let (mut one, mut two) = (Side::new(1, settings), Side::new(2, settings));
    one.calls.link_up(LINK, &name(2));
    two.calls.link_up(LINK, &name(1));
    two.calls.serve("echo").unwrap();
    (one, two)
}

/// Carries everything that went out to the other side, control first.
fn carry(now: Instant, from: &mut Side, to: &mut Side) {
    while let Some((conn, frame)) = from
        .lanes
        .control
        .pop_front()
        .or_else(|| from.lanes.calls.pop_front())
    {
        to.receive(now, conn, &frame).unwrap();
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wakes for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (bell.clone(), Waker::from(bell))
}

/// Wakes whom the effects name; how many tasks that were.
fn ring(fx: &mut Effects) -> usize {
    let wakes = core::mem::take(&mut fx.wakes);
    let tasks = wakes.into_iter().filter_map(|wake| match wake {
        Wake::Task(waker) => Some(waker),
        _ => None,
    });
    tasks.map(Waker::wake).count()
}

fn done(text: &'static str) -> Answer {
    Answer::Done(Bytes::from_static(text.as_bytes()))
}

/// What [`Answer::Malformed`] with "why" comes to.
fn not_understood() -> CallError {
    CallError::Malformed {
        half: Half::Question,
        problem: "why".into(),
    }
}

fn rejected(code: u32, message: &str) -> Reject {
    let message = message.to_owned();
    Reject { code, message }
}
