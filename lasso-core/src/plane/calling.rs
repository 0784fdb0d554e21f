//! The data plane, as whoever calls and serves sees it.

use core::task::Waker;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Answer, CallError, CallId, Effects, GatherId, Gathered, Plane, Question, ServeError, ServeId,
};
use crate::name::NodeName;
use crate::time::Instant;

impl Plane {
    /// Serves a method: calls of it come as [`Effects::requests`] from now on.
    ///
    /// # Errors
    /// [`ServeError`]; nothing was changed.
    pub fn serve(&mut self, method: &str) -> Result<Arc<str>, ServeError> {
        self.calls.serve(method)
    }

    /// Serves a method no longer; calls under way may still be answered. False: nobody served it.
    pub fn unserve(&mut self, method: &str) -> bool {
        self.calls.unserve(method)
    }

    /// Calls a method of one node, which may be this one.
    ///
    /// # Errors
    /// [`CallError`], where the outcome is known at once; the call has no other then.
    pub fn call(
        &mut self,
        now: Instant,
        to: &NodeName,
        question: &Question<'_>,
        fx: &mut Effects,
    ) -> Result<CallId, CallError> {
        self.calls.call(now, to, question, &mut self.links, fx)
    }

    /// The outcome of a call, once, and `None` before and after; before, `waker` is kept and woken
    /// when it is there.
    pub fn poll_call(
        &mut self,
        id: CallId,
        waker: Option<&Waker>,
    ) -> Option<Result<Bytes, CallError>> {
        self.calls.poll_call(id, waker)
    }

    /// Nobody waits for this call any more.
    pub fn cancel_call(&mut self, id: CallId) {
        self.calls.cancel_call(id);
    }

    /// Calls a method of many nodes.
    ///
    /// # Errors
    /// [`CallError::TooLarge`], [`CallError::Overloaded`] or [`CallError::Stopped`]; nobody was asked.
    pub fn call_many(
        &mut self,
        now: Instant,
        to: &[NodeName],
        question: &Question<'_>,
        fx: &mut Effects,
    ) -> Result<GatherId, CallError> {
        self.calls.call_many(now, to, question, &mut self.links, fx)
    }

    /// What a call to many gathered, as [`Plane::poll_call`].
    pub fn poll_gather(&mut self, id: GatherId, waker: Option<&Waker>) -> Option<Gathered> {
        self.calls.poll_gather(id, waker)
    }

    /// Nobody waits for this call to many any more.
    pub fn cancel_gather(&mut self, id: GatherId) {
        self.calls.cancel_gather(id);
    }

    /// A handler answers; its place is free again.
    pub fn answer(&mut self, id: ServeId, answer: Answer, fx: &mut Effects) {
        self.calls.answer(id, answer, &mut self.links, fx);
    }

    /// A handler gives up, since its call's deadline has passed; its place is free again, and nobody
    /// is told.
    pub fn give_up(&mut self, id: ServeId) {
        self.calls.give_up(id);
    }

    /// Whether somebody waits for the answer to this request. Then `waker` is exchanged for the one
    /// that was left before, and woken when nobody does any more, as the asker's link is lost.
    pub fn watch(&mut self, id: ServeId, waker: &mut Option<Waker>) -> bool {
        self.calls.watch(id, waker)
    }
}
