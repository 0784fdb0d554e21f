//! Methods, and the calls that handlers work on.
//!
//! 1. At most `handlers_max` calls hold a place, each until it is answered or its asker's link is
//!    lost.
//! 2. Their questions have at most `handlers_bytes_max` bytes, but for a single one of any legal size.
//! 3. A link's calls never take more places or bytes than they leave free, see [`crate::shares`]. The node's
//!    own calls may take all.
//! 4. A number is never used twice.

use core::task::Waker;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

use super::{CallError, CallId, METHOD_BYTES_MAX, ServeError, ServeId};
use crate::config::CallSettings;
use crate::node::ConnId;
use crate::shares::{self, Short};

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
    /// There are places, but not for so many bytes, or not for so many of this peer.
    OverBytes,
}

impl From<Short> for Refusal {
    fn from(short: Short) -> Self {
        match short {
            Short::Full => Refusal::Overloaded,
            Short::OverShare => Refusal::OverShare,
        }
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchMethod => CallError::NoSuchMethod,
            Refusal::Overloaded | Refusal::OverShare | Refusal::OverBytes => CallError::Overloaded,
        }
    }
}

/// A call that is being worked on.
struct Work {
    origin: Origin,
    /// Of its question.
    bytes: usize,
    /// Of the handler's task, which is told when nobody waits for its answer any more.
    waker: Option<Waker>,
}

/// See the module's text.
pub(super) struct Serving {
    methods: HashSet<Arc<str>, FxBuildHasher>,
    methods_max: usize,
    places: HashMap<u64, Work, FxBuildHasher>,
    handlers_max: usize,
    bytes_max: usize,
    /// Of all questions that are worked on.
    bytes: usize,
    /// What each link's calls hold; only those that hold any.
    shares: HashMap<ConnId, Share, FxBuildHasher>,
    next: u64,
}

/// What the calls of one link hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    places: usize,
    bytes: usize,
}

impl Serving {
    pub(super) fn new(settings: &CallSettings) -> Self {
        Serving {
            methods: HashSet::default(),
            methods_max: settings.methods_max,
            places: HashMap::default(),
            handlers_max: settings.handlers_max,
            bytes_max: settings.handlers_bytes_max,
            bytes: 0,
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

    /// Gives a question of so many bytes a place.
    pub(super) fn take(
        &mut self,
        method: &str,
        origin: Origin,
        bytes: usize,
    ) -> Result<(ServeId, Arc<str>), Refusal> {
        let method = self.methods.get(method).ok_or(Refusal::NoSuchMethod)?;
        self.has_room(origin, bytes)?;
        if let Origin::Peer { conn, .. } = origin {
            let share = self.shares.entry(conn).or_default();
            share.places += 1;
            share.bytes += bytes;
        }
        self.bytes += bytes;
        let id = self.next;
        self.next += 1;
        let work = Work {
            origin,
            bytes,
            waker: None,
        };
        self.places.insert(id, work);
        Ok((ServeId(id), method.clone()))
    }

    fn has_room(&self, origin: Origin, bytes: usize) -> Result<(), Refusal> {
        let held = match origin {
            Origin::Peer { conn, .. } => self.shares.get(&conn).copied().unwrap_or_default(),
            Origin::Here(_) => Share::default(),
        };
        shares::take(held.places, 1, self.handlers_max - self.places.len())?;
        if self.bytes == 0 {
            // One alone may have any legal size.
            return Ok(());
        }
        let free = self.bytes_max.saturating_sub(self.bytes);
        shares::take(held.bytes, bytes, free).map_err(|_short| Refusal::OverBytes)
    }

    /// Frees a place; `None` when nobody has it.
    pub(super) fn free(&mut self, id: ServeId) -> Option<Origin> {
        let Work { origin, bytes, .. } = self.places.remove(&id.0)?;
        self.bytes -= bytes;
        if let Origin::Peer { conn, .. } = origin
            && let Some(share) = self.shares.get_mut(&conn)
        {
            share.places -= 1;
            share.bytes -= bytes;
            if share.places == 0 {
                self.shares.remove(&conn);
            }
        }
        Some(origin)
    }

    /// Frees the places of calls that came over this link, oldest first, with the wakers of those who
    /// work on them.
    pub(super) fn lose(&mut self, conn: ConnId) -> Vec<(ServeId, Option<Waker>)> {
        let Some(share) = self.shares.remove(&conn) else {
            return Vec::new();
        };
        self.bytes -= share.bytes;
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
        let mut shares: HashMap<ConnId, Share, FxBuildHasher> = HashMap::default();
        let mut bytes = 0;
        for work in self.places.values() {
            bytes += work.bytes;
            if let Origin::Peer { conn, .. } = work.origin {
                let share = shares.entry(conn).or_default();
                share.places += 1;
                share.bytes += work.bytes;
            }
        }
        assert_eq!((&shares, bytes), (&self.shares, self.bytes));
        // One alone may have had any legal size, and others of none may have come after it.
        let larger = self.places.values().filter(|work| work.bytes > 0).count();
        assert!(bytes <= self.bytes_max || larger == 1);
        let most = self.handlers_max.div_ceil(2);
        assert!(shares.values().all(|share| share.places <= most));
    }
}
