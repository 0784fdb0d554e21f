//! Methods, and the calls that handlers work on.
//!
//! 1. At most `handlers_max` calls hold a place, each until it is answered or its asker's link is
//!    lost.
//! 2. At most half of them came over one link, so that one peer leaves room for the others.
//! 3. A number is never used twice.

use core::task::Waker;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

use super::{CallError, CallId, METHOD_BYTES_MAX, ServeError, ServeId};
use crate::node::ConnId;

/// Whom an answer goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A peer, under its own number of the call.
    Peer { conn: ConnId, call: u64 },
    /// This node itself.
    Here(CallId),
}

/// Why a question is not handed to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NoSuchMethod,
    Overloaded,
    /// There is room, but none for this peer.
    OverShare,
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchMethod => CallError::NoSuchMethod,
            Refusal::Overloaded | Refusal::OverShare => CallError::Overloaded,
        }
    }
}

/// A call that is being worked on.
struct Work {
    origin: Origin,
    /// Of the handler's task, which is told when nobody waits for its answer any more.
    waker: Option<Waker>,
}

/// See the module's text.
pub(super) struct Serving {
    methods: HashSet<Arc<str>, FxBuildHasher>,
    methods_max: usize,
    places: HashMap<u64, Work, FxBuildHasher>,
    handlers_max: usize,
    /// Places that each link's calls hold; only those that hold any.
    shares: HashMap<ConnId, usize, FxBuildHasher>,
    next: u64,
}

impl Serving {
    pub(super) fn new(methods_max: usize, handlers_max: usize) -> Self {
        Serving {
            methods: HashSet::default(),
            methods_max,
            places: HashMap::default(),
            handlers_max,
            shares: HashMap::default(),
            next: 0,
        }
    }

    pub(super) fn serve(&mut self, method: &str) -> Result<Arc<str>, ServeError> {
        if method.is_empty() || method.len() > METHOD_BYTES_MAX {
            return Err(ServeError::Method(method.len()));
        }
        if let Some(method) = self.methods.get(method) {
            return Err(ServeError::Taken(method.clone()));
        }
        if self.methods.len() >= self.methods_max {
            return Err(ServeError::TooMany(self.methods_max));
        }
        let method: Arc<str> = method.into();
        self.methods.insert(method.clone());
        Ok(method)
    }

    pub(super) fn unserve(&mut self, method: &str) -> bool {
        self.methods.remove(method)
    }

    /// Gives a question a place.
    pub(super) fn take(
        &mut self,
        method: &str,
        origin: Origin,
    ) -> Result<(ServeId, Arc<str>), Refusal> {
        let method = self.methods.get(method).ok_or(Refusal::NoSuchMethod)?;
        if self.places.len() >= self.handlers_max {
            return Err(Refusal::Overloaded);
        }
        if let Origin::Peer { conn, .. } = origin {
            let share = self.shares.entry(conn).or_insert(0);
            if *share >= self.handlers_max.div_ceil(2) {
                return Err(Refusal::OverShare);
            }
            *share += 1;
        }
        let id = self.next;
        self.next += 1;
        let waker = None;
        self.places.insert(id, Work { origin, waker });
        Ok((ServeId(id), method.clone()))
    }

    /// Frees a place; `None` when nobody has it.
    pub(super) fn free(&mut self, id: ServeId) -> Option<Origin> {
        let origin = self.places.remove(&id.0)?.origin;
        if let Origin::Peer { conn, .. } = origin
            && let Some(share) = self.shares.get_mut(&conn)
        {
            *share -= 1;
            if *share == 0 {
                self.shares.remove(&conn);
            }
        }
        Some(origin)
    }

    /// Frees the places of calls that came over this link, oldest first, with the wakers of those who
    /// work on them.
    pub(super) fn lose(&mut self, conn: ConnId) -> Vec<(ServeId, Option<Waker>)> {
        if self.shares.remove(&conn).is_none() {
            return Vec::new();
        }
        let is_lost =
            |work: &Work| matches!(work.origin, Origin::Peer { conn: on, .. } if on == conn);
        let lost = self.places.extract_if(|_, work| is_lost(work));
        let mut lost: Vec<_> = lost.map(|(id, work)| (ServeId(id), work.waker)).collect();
        lost.sort_unstable_by_key(|(id, _)| *id);
        lost
    }

    /// Puts the waker of whoever works on a call in its place, and takes out the one that was there;
    /// false: nobody waits for the answer.
    pub(super) fn watch(&mut self, id: ServeId, waker: &mut Option<Waker>) -> bool {
        let work = self.places.get_mut(&id.0);
        work.map(|work| core::mem::swap(&mut work.waker, waker))
            .is_some()
    }

    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) fn assert_invariants(&self) {
        assert!(self.places.len() <= self.handlers_max);
        assert!(self.methods.len() <= self.methods_max);
        assert!(self.places.keys().all(|&id| id < self.next));
        let mut shares: HashMap<ConnId, usize, FxBuildHasher> = HashMap::default();
        for work in self.places.values() {
            if let Origin::Peer { conn, .. } = work.origin {
                *shares.entry(conn).or_default() += 1;
            }
        }
        assert_eq!(shares, self.shares);
        let most = self.handlers_max.div_ceil(2);
        assert!(shares.values().all(|&share| share <= most));
    }
}
