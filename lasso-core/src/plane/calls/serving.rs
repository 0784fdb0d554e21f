//! Methods, and the calls that handlers work on.
//!
//! 1. At most `handlers_max` calls hold a place, each until it is answered, whatever became of who
//!    asked.
//! 2. A number is never used twice.

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
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchMethod => CallError::NoSuchMethod,
            Refusal::Overloaded => CallError::Overloaded,
        }
    }
}

/// See the module's text.
pub(super) struct Serving {
    methods: HashSet<Arc<str>, FxBuildHasher>,
    methods_max: usize,
    places: HashMap<u64, Origin, FxBuildHasher>,
    handlers_max: usize,
    next: u64,
}

impl Serving {
    pub(super) fn new(methods_max: usize, handlers_max: usize) -> Self {
        Serving {
            methods: HashSet::default(),
            methods_max,
            places: HashMap::default(),
            handlers_max,
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
        let id = self.next;
        self.next += 1;
        self.places.insert(id, origin);
        Ok((ServeId(id), method.clone()))
    }

    /// Frees a place; `None` when nobody has it.
    pub(super) fn free(&mut self, id: ServeId) -> Option<Origin> {
        self.places.remove(&id.0)
    }

    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) fn assert_invariants(&self) {
        assert!(self.places.len() <= self.handlers_max);
        assert!(self.methods.len() <= self.methods_max);
        assert!(self.places.keys().all(|&id| id < self.next));
    }
}
