//! The half of the machine that answers: questions come in, are handed to handlers or refused, and
//! what handlers say goes back.

use core::task::Waker;

use bytes::{Buf, Bytes};

use super::machine::{Calls, Checked, at_most};
use super::serving::{Origin, Refusal};
use super::waiting::Asked;
use super::wire::{self, Verdict};
use super::{Answer, CallId, Effects, Outlet, Question, Reject, Request, ServeId};
use crate::codec::{self, Malformed};
use crate::node::ConnId;
use crate::plane::Wake;
use crate::time::Instant;

impl Calls {
    /// A CALL came; `body` is the frame's.
    ///
    /// # Errors
    /// [`Malformed`]: it is no CALL, and nothing was changed.
    pub fn on_call(
        &mut self,
        now: Instant,
        conn: ConnId,
        mut body: Bytes,
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let head = wire::read_call(&body)?;
        self.counters.requests += 1;
        let Some(peer) = self.peers.get(&conn) else {
            self.counters.requests_unlinked += 1;
            return Ok(());
        };
        let call = head.call;
        if self.has_ended {
            self.counters.requests_stopping += 1;
            self.refuse(conn, call, &Verdict::Overloaded, out, fx);
            return Ok(());
        }
        let (from, bytes) = (Origin::Peer { conn, call }, body.len() - head.payload_at);
        match self.serving.take(head.method, from, bytes) {
            Ok((id, method)) => {
                let (from, deadline) = (peer.clone(), now + head.remaining.min(self.timeout_max));
                let payload_at = head.payload_at;
                body.advance(payload_at);
                fx.requests.push(Request {
                    id,
                    from,
                    method,
                    payload: body,
                    deadline,
                });
            }
            Err(refusal) => {
                self.count_refusal(refusal);
                let verdict = match refusal {
                    Refusal::NoSuchMethod => Verdict::NoSuchMethod,
                    _ => Verdict::Overloaded,
                };
                self.refuse(conn, call, &verdict, out, fx);
            }
        }
        Ok(())
    }

    /// A CALL was given up before it was all there: whoever asked is told that nothing was done.
    ///
    /// # Errors
    /// [`Malformed`]: `start` is no start of a CALL.
    pub fn on_call_given_up(
        &mut self,
        conn: ConnId,
        start: &[u8],
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let (call, _) = codec::varint(start)?;
        if self.peers.contains_key(&conn) {
            self.counters.requests += 1;
            self.counters.requests_unfinished += 1;
            self.refuse(conn, call, &Verdict::Overloaded, out, fx);
        }
        Ok(())
    }

    /// A handler is done: its place is free, and its answer goes to whoever asked.
    ///
    /// An answer larger than a message may be becomes a rejection with [`Reject::CODE_NODE`]; one
    /// that finds the lane full becomes [`CallError::Overloaded`](super::CallError::Overloaded). An
    /// id that is not known, or was answered, is counted and otherwise ignored.
    pub fn answer(&mut self, id: ServeId, answer: Answer, out: &mut impl Outlet, fx: &mut Effects) {
        let Some(origin) = self.serving.free(id) else {
            self.counters.answers_unknown += 1;
            return;
        };
        let verdict = self.verdict(answer);
        match origin {
            Origin::Here(call) => {
                self.counters.answers += 1;
                self.on_verdict(call, Asked::Here, verdict, fx);
            }
            Origin::Peer { conn, call } => self.send_answer(conn, call, verdict, out, fx),
        }
    }

    /// A handler gives up, since the call's deadline has passed: its place is free, and nothing is
    /// said to whoever asked, who gives up by itself. An id that is not known is ignored.
    pub fn give_up(&mut self, id: ServeId) {
        self.counters.given_up += u64::from(self.serving.free(id).is_some());
    }

    /// Whether somebody waits for this answer. Then `waker` is exchanged for the one that was left
    /// before, and woken when nobody does any more, as the asker's link is lost.
    pub fn watch(&mut self, id: ServeId, waker: &mut Option<Waker>) -> bool {
        self.serving.watch(id, waker)
    }

    /// Nobody waits any more for the answers to what came over this link.
    pub(super) fn lose_work(&mut self, conn: ConnId, fx: &mut Effects) {
        for (id, mut waker) in self.serving.lose(conn) {
            self.counters.answers_nowhere += 1;
            fx.wake(&mut waker, Wake::Request(id));
        }
    }

    /// Hands a question of this node to a handler of its own.
    pub(super) fn ask_here(
        &mut self,
        id: CallId,
        checked: &Checked<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        self.counters.requests += 1;
        let Question {
            method, payload, ..
        } = *checked.question;
        let taken = self.serving.take(method, Origin::Here(id), payload.len());
        let (serve, method) = taken.inspect_err(|refusal| self.count_refusal(*refusal))?;
        fx.requests.push(Request {
            id: serve,
            from: self.me.clone(),
            method,
            payload: checked.question.payload.clone(),
            deadline: checked.deadline,
        });
        Ok(())
    }

    fn count_refusal(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::NoSuchMethod => self.counters.requests_no_such_method += 1,
            Refusal::Overloaded => self.counters.requests_overloaded += 1,
            Refusal::OverShare => self.counters.requests_over_share += 1,
            Refusal::OverBytes => self.counters.requests_over_bytes += 1,
        }
    }

    /// What an answer says, within the bounds of what may be sent.
    fn verdict(&mut self, answer: Answer) -> Verdict {
        let room = self.message_bytes_max;
        match answer {
            Answer::Done(payload) => match at_most("the answer", payload.len(), room) {
                Ok(()) => Verdict::Done(payload),
                Err(error) => {
                    self.counters.answers_too_large += 1;
                    Verdict::Rejected(Reject::by_node(error.to_string()))
                }
            },
            Answer::Rejected(mut reject) => {
                reject.message.truncate(wire::cut(&reject.message).len());
                Verdict::Rejected(reject)
            }
            Answer::Malformed(mut problem) => {
                problem.truncate(wire::cut(&problem).len());
                Verdict::Malformed(problem)
            }
        }
    }

    fn send_answer(
        &mut self,
        conn: ConnId,
        call: u64,
        verdict: Verdict,
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) {
        self.head.clear();
        wire::put_answer(&mut self.head, call, &verdict);
        let none = Bytes::new();
        let payload = match &verdict {
            Verdict::Done(payload) => payload,
            _ => &none,
        };
        if out.calls(conn, &self.head, payload, fx) {
            self.counters.answers += 1;
        } else if let Verdict::Done(_) = verdict {
            self.counters.answers_shed += 1;
            self.refuse(conn, call, &Verdict::Overloaded, out, fx);
        } else {
            // A no is small, and worth more to whoever waits than that a lane is full.
            self.counters.answers += 1;
            self.refuse(conn, call, &verdict, out, fx);
        }
    }

    /// Answers in the control lane.
    fn refuse(
        &mut self,
        conn: ConnId,
        call: u64,
        verdict: &Verdict,
        out: &mut impl Outlet,
        fx: &mut Effects,
    ) {
        self.head.clear();
        wire::put_refused(&mut self.head, call, verdict);
        let sent = out.control(conn, &self.head, fx);
        self.counters.refusals_lost += u64::from(!sent);
    }
}
