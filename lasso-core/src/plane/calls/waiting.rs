//! Own calls, from their start until their outcome is taken.
//!
//! A call's deadline lies in a heap, and stays there when its outcome comes: most calls end long
//! before their deadline, and a heap whose newest deadlines are mostly its latest takes one for next
//! to nothing.
//!
//! 1. A number is never used twice.
//! 2. The least deadline in the heap is that of a call that has no outcome yet.
//! 3. The heap holds at most twice as many deadlines as such calls, and [`STALE_MAX`] more.

use core::cmp::Reverse;
use core::task::Waker;
use core::time::Duration;
use std::collections::BinaryHeap;

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxBuildHasher;

use super::{CallError, CallId, GatherId};
use crate::node::ConnId;
use crate::plane::effects::keep;
use crate::time::Instant;

/// Where a question went: out on a connection, or to this node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Peer(ConnId),
    Here,
}

/// Who waits for an outcome.
#[derive(Debug)]
pub(super) enum Asker {
    /// A task, once it has left its waker.
    One(Option<Waker>),
    /// A call to many.
    Many(GatherId),
}

/// How an answer finds its call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It waits.
    Pending,
    /// It has its outcome, was given up, or never was.
    Late,
    /// It waits, but for somebody else's answer.
    Elsewhere,
}

/// Whom an outcome is for.
pub(super) enum Ended {
    /// It waits to be taken by the task whose waker this is.
    One(Option<Waker>),
    /// It belongs to a call to many.
    Many(GatherId, Result<Bytes, CallError>),
}

struct Own {
    asked: Asked,
    asker: Asker,
    /// How long it may wait altogether.
    timeout: Duration,
    /// Until it is taken.
    outcome: Option<Result<Bytes, CallError>>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Waiting {
    calls: HashMap<u64, Own, FxBuildHasher>,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Calls without an outcome.
    pending: usize,
    next: u64,
    /// Wakers that nobody needs any more.
    pub(super) spent: Vec<Waker>,
}

impl Waiting {
    /// Calls that hold a place: without an outcome, or with one that was not taken.
    pub(super) fn places(&self) -> usize {
        self.calls.len()
    }

    /// Calls without an outcome.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Numbers for so many calls, of which this is the first.
    pub(super) fn numbers(&mut self, count: usize) -> CallId {
        let first = self.next;
        self.next += count as u64;
        CallId(first)
    }

    pub(super) fn begin(
        &mut self,
        id: CallId,
        asked: Asked,
        asker: Asker,
        timeout: Duration,
        deadline: Instant,
    ) {
        let own = Own {
            asked,
            asker,
            timeout,
            outcome: None,
        };
        let before = self.calls.insert(id.0, own);
        assert!(before.is_none(), "the number {} was used twice", id.0);
        self.pending += 1;
        self.due.push(Reverse((deadline, id.0)));
    }

    /// How long a call may wait altogether.
    pub(super) fn timeout(&self, id: CallId) -> Duration {
        self.calls[&id.0].timeout
    }

    pub(super) fn find(&self, id: CallId, asked: Asked) -> Found {
        match self.calls.get(&id.0) {
            Some(own) if own.outcome.is_some() => Found::Late,
            Some(own) if own.asked == asked => Found::Pending,
            Some(_) => Found::Elsewhere,
            None => Found::Late,
        }
    }

    /// Gives a call its outcome; `None` when it has one or does not wait.
    pub(super) fn end(&mut self, id: CallId, outcome: Result<Bytes, CallError>) -> Option<Ended> {
        let Entry::Occupied(mut entry) = self.calls.entry(id.0) else {
            return None;
        };
        let own = entry.get_mut();
        if own.outcome.is_some() {
            return None;
        }
        let ended = match &mut own.asker {
            Asker::One(waker) => {
                own.outcome = Some(outcome);
                Ended::One(waker.take())
            }
            Asker::Many(gather) => {
                let gather = *gather;
                entry.remove();
                Ended::Many(gather, outcome)
            }
        };
        self.settle(id);
        Some(ended)
    }

    /// The outcome, once; else the waker is kept.
    pub(super) fn take(
        &mut self,
        id: CallId,
        waker: Option<&Waker>,
    ) -> Option<Result<Bytes, CallError>> {
        let Entry::Occupied(mut entry) = self.calls.entry(id.0) else {
            return None;
        };
        let own = entry.get_mut();
        if own.outcome.is_some() {
            return entry.remove().outcome;
        }
        if let (Asker::One(kept), Some(waker)) = (&mut own.asker, waker) {
            keep(kept, waker, &mut self.spent);
        }
        None
    }

    /// Forgets a call; true when it had no outcome.
    pub(super) fn forget(&mut self, id: CallId) -> bool {
        let Some(own) = self.calls.remove(&id.0) else {
            return false;
        };
        if let Asker::One(waker) = own.asker {
            self.spent.extend(waker);
        }
        let pending = own.outcome.is_none();
        if pending {
            self.settle(id);
        }
        pending
    }

    /// The calls without an outcome whose question went out on this connection, oldest first.
    pub(super) fn on(&self, conn: ConnId) -> Vec<CallId> {
        let asked = Asked::Peer(conn);
        self.open(|own| own.asked == asked)
    }

    /// The calls without an outcome, oldest first.
    pub(super) fn all(&self) -> Vec<CallId> {
        self.open(|_| true)
    }

    fn open(&self, which: impl Fn(&Own) -> bool) -> Vec<CallId> {
        let mut ids: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, own)| own.outcome.is_none() && which(own))
            .map(|(&id, _)| CallId(id))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// A call whose deadline has come.
    pub(super) fn next_due(&self, now: Instant) -> Option<CallId> {
        let Reverse((deadline, id)) = *self.due.peek()?;
        (deadline <= now).then_some(CallId(id))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// A call has no deadline any more: keeps the second and the third invariant.
    fn settle(&mut self, ended: CallId) {
        self.pending -= 1;
        let calls = &self.calls;
        let waits = |id: &u64| calls.get(id).is_some_and(|own| own.outcome.is_none());
        if self
            .due
            .peek()
            .is_some_and(|Reverse((_, id))| *id == ended.0)
        {
            self.due.pop();
            while let Some(Reverse((_, id))) = self.due.peek()
                && !waits(id)
            {
                self.due.pop();
            }
        }
        if self.due.len() > 2 * self.pending + STALE_MAX {
            self.due.retain(|Reverse((_, id))| waits(id));
        }
    }

    pub(super) fn assert_invariants(&self) {
        let waits = |id: &u64| self.calls.get(id).is_some_and(|own| own.outcome.is_none());
        let pending = self.calls.keys().filter(|id| waits(id)).count();
        assert_eq!(pending, self.pending);
        assert!(self.calls.keys().all(|&id| id < self.next));
        assert!(self.due.peek().is_none_or(|Reverse((_, id))| waits(id)));
        assert!(self.due.len() <= 2 * self.pending + STALE_MAX);
        let due = self.due.iter().filter(|Reverse((_, id))| waits(id)).count();
        assert_eq!(due, self.pending, "every call that waits has a deadline");
    }
}

/// Deadlines of ended calls that the heap may hold beside those that its size excuses: so many that
/// a few calls at a time never sweep it.
const STALE_MAX: usize = 64;
