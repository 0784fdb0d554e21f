//! Calls to many: one place per node asked, in the order asked.
//!
//! The calls of one gather have numbers that follow each other, so that the number says the place.
//!
//! 1. Each place gets one outcome; with the last one the gather is complete, and tells so once.
//! 2. It names at most [`NAMES_MAX`] nodes that came, and as many that left.

use core::task::Waker;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::{CallError, CallId, GatherId, Gathered};
use crate::name::NodeName;
use crate::plane::effects::keep;

struct Gather {
    /// The number of its first call.
    first: CallId,
    outcomes: Vec<(NodeName, Option<Result<Bytes, CallError>>)>,
    /// Places without an outcome.
    missing: usize,
    joined: Vec<NodeName>,
    left: Vec<NodeName>,
    epoch: u64,
    waker: Option<Waker>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Gathers {
    open: BTreeMap<GatherId, Gather>,
    next: u64,
    /// Wakers that nobody needs any more.
    pub(super) spent: Vec<Waker>,
}

impl Gathers {
    /// Gathers whose outcomes were not taken.
    pub(super) fn places(&self) -> usize {
        self.open.len()
    }

    pub(super) fn begin(&mut self, to: &[NodeName], first: CallId, epoch: u64) -> GatherId {
        let id = GatherId(self.next);
        self.next += 1;
        let gather = Gather {
            first,
            outcomes: to.iter().map(|name| (name.clone(), None)).collect(),
            missing: to.len(),
            joined: Vec::new(),
            left: Vec::new(),
            epoch,
            waker: None,
        };
        self.open.insert(id, gather);
        id
    }

    /// True when every place has its outcome.
    pub(super) fn is_complete(&self, id: GatherId) -> bool {
        self.open.get(&id).is_some_and(|gather| gather.missing == 0)
    }

    /// Puts an outcome into the place of its call. With the last one, the waker of whoever waits.
    pub(super) fn put(
        &mut self,
        id: GatherId,
        call: CallId,
        outcome: Result<Bytes, CallError>,
    ) -> Option<Option<Waker>> {
        let gather = self.open.get_mut(&id)?;
        let at = usize::try_from(call.0 - gather.first.0).expect("a place in a list");
        let place = &mut gather.outcomes[at].1;
        assert!(place.is_none(), "a second outcome for {call:?}");
        *place = Some(outcome);
        gather.missing -= 1;
        (gather.missing == 0).then(|| gather.waker.take())
    }

    /// All outcomes, once; else the waker is kept.
    pub(super) fn take(&mut self, id: GatherId, waker: Option<&Waker>) -> Option<Gathered> {
        let gather = self.open.get_mut(&id)?;
        if gather.missing > 0 {
            if let Some(waker) = waker {
                keep(&mut gather.waker, waker, &mut self.spent);
            }
            return None;
        }
        let gather = self.open.remove(&id)?;
        let outcomes = gather
            .outcomes
            .into_iter()
            .map(|(name, outcome)| (name, outcome.expect("nothing is missing")));
        Some(Gathered {
            outcomes: outcomes.collect(),
            joined: gather.joined,
            left: gather.left,
            epoch: gather.epoch,
        })
    }

    /// Forgets a gather; the number of its first call, and how many there are.
    pub(super) fn forget(&mut self, id: GatherId) -> Option<(CallId, usize)> {
        let gather = self.open.remove(&id)?;
        self.spent.extend(gather.waker);
        Some((gather.first, gather.outcomes.len()))
    }

    /// Notes that a node came; how many gathers had no room for its name.
    pub(super) fn joined(&mut self, name: &NodeName) -> u64 {
        let under_way = self.open.values_mut().filter(|gather| gather.missing > 0);
        under_way
            .filter(|gather| gather.outcomes.iter().all(|(asked, _)| asked != name))
            .map(|gather| u64::from(!note(&mut gather.joined, name)))
            .sum()
    }

    /// Notes that a node left; how many gathers had no room for its name.
    pub(super) fn left(&mut self, name: &NodeName) -> u64 {
        let under_way = self.open.values_mut().filter(|gather| gather.missing > 0);
        under_way
            .map(|gather| u64::from(!note(&mut gather.left, name)))
            .sum()
    }

    pub(super) fn assert_invariants(&self) {
        for gather in self.open.values() {
            let missing = gather.outcomes.iter().filter(|(_, o)| o.is_none()).count();
            assert_eq!(missing, gather.missing);
            assert!(gather.joined.len() <= NAMES_MAX && gather.left.len() <= NAMES_MAX);
            assert!(gather.missing > 0 || gather.waker.is_none());
        }
    }

    /// Places without an outcome, of all gathers.
    pub(super) fn missing(&self) -> usize {
        self.open.values().map(|gather| gather.missing).sum()
    }
}

/// Adds a name once; false when there is no room for it.
fn note(names: &mut Vec<NodeName>, name: &NodeName) -> bool {
    if names.contains(name) {
        return true;
    }
    let room = names.len() < NAMES_MAX;
    if room {
        names.push(name.clone());
    }
    room
}

/// As many as the topology remembers of nodes that are gone.
const NAMES_MAX: usize = 1024;
