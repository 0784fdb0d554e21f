//! The chains whose states the viewers of one profile want, and who still wants each.
//!
//! 1. A chain is held while a viewer that named it is there, and until a moment after the last of them;
//!    those that nobody names any more give way first, and never keep anybody out.
//! 2. No more are held than the bound.

use std::collections::{BTreeMap, BTreeSet};

use super::topics::Segment;
use crate::time::Instant;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Chains {
    held: BTreeMap<Segment, Hold>,
}

#[derive(Debug)]
struct Hold {
    /// Viewers that have named it.
    viewers: usize,
    /// Until when it is held without any, as far as viewers that are gone are concerned.
    until: Instant,
}

impl Chains {
    /// True when there is room for a viewer that names these.
    pub(super) fn has_room(&self, named: &BTreeSet<Segment>, max: usize) -> bool {
        let others = self.held.iter().filter(|(_, hold)| hold.viewers > 0);
        let others = others.filter(|(chain, _)| !named.contains(chain));
        others.count() + named.len() <= max
    }

    /// A viewer names these; there must be room. Returns those that gave way.
    pub(super) fn name(
        &mut self,
        now: Instant,
        named: &BTreeSet<Segment>,
        max: usize,
    ) -> Vec<Segment> {
        for chain in named {
            let hold = self.held.entry(chain.clone()).or_insert(Hold {
                viewers: 0,
                until: now,
            });
            hold.viewers += 1;
        }
        let mut gone = Vec::new();
        while self.held.len() > max
            && let Some((_, chain)) = self.unnamed().min()
        {
            let chain = chain.clone();
            self.held.remove(&chain);
            gone.push(chain);
        }
        debug_assert!(self.held.len() <= max, "there was room");
        gone
    }

    /// A viewer that has named these is gone.
    pub(super) fn leave(&mut self, named: &BTreeSet<Segment>, until: Instant) {
        for chain in named {
            if let Some(hold) = self.held.get_mut(chain) {
                hold.viewers -= 1;
                hold.until = hold.until.max(until);
            }
        }
    }

    /// Lets go of those whose time is over.
    pub(super) fn end(&mut self, now: Instant) -> Vec<Segment> {
        let over = self.unnamed().filter(|(until, _)| *until <= now);
        let over: Vec<Segment> = over.map(|(_, chain)| chain.clone()).collect();
        for chain in &over {
            self.held.remove(chain);
        }
        over
    }

    /// When the time of the next one is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unnamed().map(|(until, _)| until).min()
    }

    /// All that are held.
    pub(super) fn held(&self) -> impl Iterator<Item = &Segment> {
        self.held.keys()
    }

    fn unnamed(&self) -> impl Iterator<Item = (Instant, &Segment)> {
        let unnamed = self.held.iter().filter(|(_, hold)| hold.viewers == 0);
        unnamed.map(|(chain, hold)| (hold.until, chain))
    }
}
