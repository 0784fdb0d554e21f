//! Calls, both ways: the questions of this node, and those that others ask of it.
//!
//! A question goes out with a number and with the time that is left for it; the answer comes back
//! under the number. Everything else is bookkeeping, in three tables: who waits ([`Waiting`]), which
//! of them wait together ([`Gathers`]), and what is being worked on here ([`Serving`]).
//!
//! 1. A call has exactly one outcome, no later than the first tick after its deadline; a call to
//!    many has one per node asked, in the order asked.
//! 2. Only the connection that a question went out on can answer it.
//! 3. Whatever peers send, no table grows beyond its bound, and every answer and question that is
//!    not taken is counted.
//!
//! What it does not do: it repeats nothing, it knows no lane ([`Outlet`] does), and it runs no
//! handler.

use core::task::Waker;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::gather::Gathers;
use super::serving::Serving;
use super::waiting::{Asked, Asker, Ended, Found, Waiting};
use super::wire::{self, Verdict};
use super::{
    CallCounters, CallError, CallId, Effects, GatherId, Gathered, Half, METHOD_BYTES_MAX, Outlet,
    Question, ServeError,
};
use crate::codec::{self, Malformed};
use crate::config::CallSettings;
use crate::name::NodeName;
use crate::node::ConnId;
use crate::plane::Wake;
use crate::plane::seeded::Seeded;
use crate::time::Instant;

/// The machine. See the module's text.
pub struct Calls {
    pub(super) me: NodeName,
    timeout: Duration,
    pub(super) timeout_max: Duration,
    waiting_max: usize,
    pub(super) message_bytes_max: usize,
    /// The peer behind each connection that is a link, or was until a moment ago.
    pub(super) peers: HashMap<ConnId, NodeName, FxBuildHasher>,
    /// The connection to ask each peer on: its newest.
    links: HashMap<NodeName, ConnId, Seeded>,
    waiting: Waiting,
    gathers: Gathers,
    pub(super) serving: Serving,
    /// The node stops, or has stopped: nothing begins any more.
    pub(super) has_ended: bool,
    /// The membership epoch, for gathers to come.
    epoch: u64,
    /// What stands before a payload is written here; kept for its memory.
    pub(super) head: Vec<u8>,
    pub(super) counters: CallCounters,
}

/// A question that has been checked.
pub(super) struct Checked<'a> {
    pub(super) question: &'a Question<'a>,
    timeout: Duration,
    pub(super) deadline: Instant,
}

impl Calls {
    /// No links, no methods. `me` is this node's name: questions to it are served here.
    pub fn new(settings: &CallSettings, message_bytes_max: usize, me: NodeName) -> Self {
        Calls {
            me,
            timeout: settings.timeout,
            timeout_max: settings.timeout_max,
            waiting_max: settings.waiting_max,
            message_bytes_max,
            peers: HashMap::default(),
            links: HashMap::default(),
            waiting: Waiting::default(),
            gathers: Gathers::default(),
            serving: Serving::new(settings),
            has_ended: false,
            epoch: 0,
            head: Vec::new(),
            counters: CallCounters::default(),
        }
    }

    /// Keys the table of peers' names, before there are any.
    pub(in crate::plane) fn seed(&mut self, seed: Seeded) {
        self.links = HashMap::with_hasher(seed);
    }

    /// Takes questions for this method from now on. Returns its name, as every
    /// [`Request`](super::Request) for it bears it.
    ///
    /// # Errors
    /// The name is empty or too long, the method has a handler, the node serves too many, or it has
    /// stopped.
    pub fn serve(&mut self, method: &str) -> Result<Arc<str>, ServeError> {
        if self.has_ended {
            return Err(ServeError::Stopped);
        }
        self.serving.serve(method)
    }

    /// Takes no more questions for this method; those that are being worked on go on. False when it
    /// was not served.
    pub fn unserve(&mut self, method: &str) -> bool {
        self.serving.unserve(method)
    }

    /// A link stands. Where the peer had one, questions go out on the new one from now on; the old
    /// one is good for its answers until it is down.
    pub fn link_up(&mut self, conn: ConnId, peer: &NodeName) {
        self.peers.insert(conn, peer.clone());
        self.links.insert(peer.clone(), conn);
    }

    /// A link is gone: what waits on it is [`CallError::Disconnected`], and what came over it is worked
    /// on no longer.
    pub fn link_down(&mut self, conn: ConnId, fx: &mut Effects) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        if self.links.get(&peer) == Some(&conn) {
            self.links.remove(&peer);
        }
        for call in self.waiting.on(conn) {
            self.finish(call, Err(CallError::Disconnected), fx);
        }
        self.lose_work(conn, fx);
    }

    /// The membership changed, to this epoch. Calls to many that are under way note who came or left.
    pub fn members(&mut self, epoch: u64, joined: Option<&NodeName>, left: Option<&NodeName>) {
        self.epoch = epoch;
        if let Some(name) = joined {
            self.counters.members_unnoted += self.gathers.joined(name);
        }
        if let Some(name) = left {
            self.counters.members_unnoted += self.gathers.left(name);
        }
    }

    /// Asks one node. Once the outcome is there, whoever waits is woken, and [`Calls::poll_call`]
    /// gives it; the call holds its place until then.
    ///
    /// # Errors
    /// What ends the call at once: [`CallError::TooLarge`], [`CallError::NotConnected`],
    /// [`CallError::Overloaded`] (too many wait, or the lane is full), [`CallError::Timeout`] where
    /// there is no time, [`CallError::Stopped`], and where the node asks itself
    /// [`CallError::NoSuchMethod`] too.
    pub fn call(
        &mut self,
        now: Instant,
        to: &NodeName,
        question: &Question<'_>,
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) -> Result<CallId, CallError> {
        self.counters.started += 1;
        let id = self.waiting.numbers(1);
        let asked = match self.check(now, question) {
            Ok(checked) => self.ask(id, to, &checked, Asker::One(None), out, fx),
            Err(error) => Err(error),
        };
        asked
            .inspect_err(|error| self.counters.count_errors(error, 1))
            .map(|()| id)
    }

    /// The outcome, once; then the call is forgotten. `None` while there is none, and then the waker
    /// is kept in place of any earlier one; `None` for a call that is not known.
    pub fn poll_call(
        &mut self,
        id: CallId,
        waker: Option<&Waker>,
    ) -> Option<Result<Bytes, CallError>> {
        self.waiting.take(id, waker)
    }

    /// Nobody wants the outcome any more: an answer that still comes is late.
    pub fn cancel_call(&mut self, id: CallId) {
        self.counters.cancelled += u64::from(self.waiting.forget(id));
    }

    /// Asks each of these nodes; a node that stands there twice is asked twice. Whoever waits is woken
    /// once, with the last outcome.
    ///
    /// # Errors
    /// [`CallError::TooLarge`] and [`CallError::Stopped`]: nobody was asked.
    /// [`CallError::Overloaded`]: as many calls to many are under way as calls may wait; nobody was
    /// asked. Everything else is an outcome of a node.
    pub fn call_many(
        &mut self,
        now: Instant,
        to: &[NodeName],
        question: &Question<'_>,
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) -> Result<GatherId, CallError> {
        self.counters.started += to.len() as u64;
        let has_room = self.gathers.places() < self.waiting_max;
        let checked = self
            .check(now, question)
            .and_then(|checked| has_room.then_some(checked).ok_or(CallError::Overloaded))
            .inspect_err(|error| self.counters.count_errors(error, to.len() as u64))?;
        let first = self.waiting.numbers(to.len());
        let id = self.gathers.begin(to, first, self.epoch);
        for (call, name) in (first.0..).map(CallId).zip(to) {
            let asked = self.ask(call, name, &checked, Asker::Many(id), out, fx);
            if let Err(error) = asked {
                self.counters.count_errors(&error, 1);
                // Nobody can wait for it yet.
                self.gathers.put(id, call, Err(error));
            }
        }
        if self.gathers.is_complete(id) {
            fx.wakes.push(Wake::Gather(id));
        }
        Ok(id)
    }

    /// Like [`Calls::poll_call`].
    pub fn poll_gather(&mut self, id: GatherId, waker: Option<&Waker>) -> Option<Gathered> {
        self.gathers.take(id, waker)
    }

    /// Like [`Calls::cancel_call`], for all its calls.
    pub fn cancel_gather(&mut self, id: GatherId) {
        if let Some((first, count)) = self.gathers.forget(id) {
            for call in (first.0..).map(CallId).take(count) {
                self.cancel_call(call);
            }
        }
    }

    /// An ANSWER came, or a REFUSED, whose bodies are alike; `body` is the frame's.
    ///
    /// # Errors
    /// [`Malformed`]: it is neither, and nothing was changed.
    pub fn on_answer(
        &mut self,
        conn: ConnId,
        body: Bytes,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let (call, verdict) = wire::read_answer(body)?;
        self.on_verdict(CallId(call), Asked::Peer(conn), verdict, fx);
        Ok(())
    }

    /// An ANSWER was given up before it was all there: the call ends as [`CallError::Overloaded`], as where
    /// the answering node has no room for the answer.
    ///
    /// # Errors
    /// [`Malformed`]: `start` is no start of an ANSWER.
    pub fn on_answer_given_up(
        &mut self,
        conn: ConnId,
        start: &[u8],
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let (call, _) = codec::varint(start)?;
        self.on_verdict(CallId(call), Asked::Peer(conn), Verdict::Overloaded, fx);
        Ok(())
    }

    /// Ends what is due.
    pub fn tick(&mut self, now: Instant, fx: &mut Effects) {
        while let Some(call) = self.waiting.next_due(now) {
            let timeout = self.waiting.timeout(call);
            self.finish(call, Err(CallError::Timeout(timeout)), fx);
        }
    }

    /// The node is about to stop: whoever calls from now on gets [`CallError::Stopped`], and questions
    /// of others are refused as [`CallError::Overloaded`], since nothing was done. What is under way goes
    /// on.
    pub fn stop_taking(&mut self) {
        self.has_ended = true;
    }

    /// The node has stopped: whoever waits for an outcome gets [`CallError::Disconnected`], and
    /// whoever calls from now on [`CallError::Stopped`].
    pub fn end(&mut self, fx: &mut Effects) {
        self.has_ended = true;
        for call in self.waiting.all() {
            self.finish(call, Err(CallError::Disconnected), fx);
        }
    }

    /// The earliest deadline of a call that waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline()
    }

    /// Wakers that nobody needs any more, for whoever holds no lock.
    pub(in crate::plane) fn take_spent(&mut self) -> Vec<Waker> {
        let mut spent = core::mem::take(&mut self.waiting.spent);
        spent.append(&mut self.gathers.spent);
        spent
    }

    /// What happened so far.
    pub fn counters(&self) -> &CallCounters {
        &self.counters
    }

    /// Questions of this node that have no outcome yet.
    pub fn waiting(&self) -> usize {
        self.waiting.pending()
    }

    /// Questions that handlers work on.
    pub fn serving(&self) -> usize {
        self.serving.places()
    }

    /// Looks at everything.
    ///
    /// # Panics
    /// When a table or a counter contradicts another: a bug of this machine.
    pub fn assert_invariants(&self) {
        self.waiting.assert_invariants();
        self.gathers.assert_invariants();
        self.serving.assert_invariants();
        assert!(self.waiting.places() <= self.waiting_max);
        assert!(self.gathers.places() <= self.waiting_max);
        assert!(self.gathers.missing() <= self.waiting.pending());
        for (peer, conn) in &self.links {
            assert_eq!(self.peers.get(conn), Some(peer));
        }
        let count = &self.counters;
        assert_eq!(
            count.started,
            count.outcomes() + count.cancelled + self.waiting.pending() as u64
        );
        let refused = count.requests_unlinked
            + count.requests_no_such_method
            + count.requests_overloaded
            + count.requests_over_share
            + count.requests_over_bytes
            + count.requests_unfinished
            + count.requests_stopping;
        let answered = count.answers + count.answers_shed + count.answers_nowhere + count.given_up;
        assert_eq!(
            count.requests,
            refused + answered + self.serving.places() as u64
        );
    }

    fn check<'a>(
        &self,
        now: Instant,
        question: &'a Question<'a>,
    ) -> Result<Checked<'a>, CallError> {
        if self.has_ended {
            return Err(CallError::Stopped);
        }
        at_most(
            "the name of a method",
            question.method.len(),
            METHOD_BYTES_MAX,
        )?;
        let most = self.message_bytes_max;
        at_most("the question", question.payload.len(), most)?;
        if question.method.is_empty() {
            return Err(CallError::TooLarge {
                what: "the name of a method",
                bytes: 0,
                max: METHOD_BYTES_MAX,
            });
        }
        let timeout = question.timeout.unwrap_or(self.timeout);
        let timeout = timeout.min(self.timeout_max);
        Ok(Checked {
            question,
            timeout,
            deadline: now + timeout,
        })
    }

    /// Sends a question, or hands it to a handler here.
    fn ask(
        &mut self,
        id: CallId,
        to: &NodeName,
        checked: &Checked<'_>,
        asker: Asker,
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) -> Result<(), CallError> {
        if checked.timeout.is_zero() {
            return Err(CallError::Timeout(checked.timeout));
        }
        if self.waiting.places() >= self.waiting_max {
            return Err(CallError::Overloaded);
        }
        let Question {
            method, payload, ..
        } = *checked.question;
        let asked = if let Some(&conn) = self.links.get(to) {
            self.head.clear();
            wire::put_call(&mut self.head, id.0, checked.timeout, method, payload.len());
            if !out.calls(conn, &self.head, payload, fx) {
                return Err(CallError::Overloaded);
            }
            Asked::Peer(conn)
        } else if *to == self.me {
            self.ask_here(id, checked, fx)?;
            Asked::Here
        } else {
            return Err(CallError::NotConnected(to.clone()));
        };
        let (timeout, deadline) = (checked.timeout, checked.deadline);
        self.waiting.begin(id, asked, asker, timeout, deadline);
        Ok(())
    }

    pub(super) fn on_verdict(
        &mut self,
        call: CallId,
        asked: Asked,
        verdict: Verdict,
        fx: &mut Effects,
    ) {
        match self.waiting.find(call, asked) {
            Found::Pending => self.finish(call, outcome(verdict), fx),
            Found::Late => self.counters.late_answers += 1,
            Found::Elsewhere => self.counters.stray_answers += 1,
        }
    }

    /// Gives a call that waits its outcome.
    fn finish(&mut self, call: CallId, outcome: Result<Bytes, CallError>, fx: &mut Effects) {
        match &outcome {
            Ok(_) => self.counters.answered += 1,
            Err(error) => self.counters.count_errors(error, 1),
        }
        match self.waiting.end(call, outcome) {
            Some(Ended::One(mut waker)) => fx.wake(&mut waker, Wake::Call(call)),
            Some(Ended::Many(gather, outcome)) => {
                if let Some(mut waker) = self.gathers.put(gather, call, outcome) {
                    fx.wake(&mut waker, Wake::Gather(gather));
                }
            }
            None => unreachable!("{call:?} has its outcome already"),
        }
    }
}

pub(super) fn at_most(what: &'static str, bytes: usize, max: usize) -> Result<(), CallError> {
    if bytes <= max {
        Ok(())
    } else {
        Err(CallError::TooLarge { what, bytes, max })
    }
}

fn outcome(verdict: Verdict) -> Result<Bytes, CallError> {
    Err(match verdict {
        Verdict::Done(payload) => return Ok(payload),
        Verdict::NoSuchMethod => CallError::NoSuchMethod,
        Verdict::Overloaded => CallError::Overloaded,
        Verdict::Rejected(reject) => CallError::Rejected(reject),
        Verdict::Malformed(problem) => CallError::Malformed {
            half: Half::Question,
            problem,
        },
        Verdict::Unknown(status) => CallError::Malformed {
            half: Half::Answer,
            problem: format!("its status, {status}, is not known to this release"),
        },
    })
}
