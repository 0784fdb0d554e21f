//! Addresses that turned out to be this node's own: a second interface, a virtual address, loopback.
//!
//! 1. The node's own name is always among them.
//! 2. Any other stays for as long as an answer or the configuration names it, and `forget_after` longer. If an
//!    answer names it later, it is tried like any other.
//! 3. At most [`OWN_MAX`] are remembered.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::Candidate;
use crate::name::NodeName;
use crate::time::Instant;

/// See the module's text.
pub(super) struct Own {
    me: NodeName,
    others: BTreeMap<NodeName, Address>,
}

/// The sources that name an own address.
struct Address {
    fixed: bool,
    named_by: BTreeSet<usize>,
    absent_since: Option<Instant>,
}

impl Own {
    pub(super) fn new(me: NodeName) -> Self {
        Own {
            me,
            others: BTreeMap::new(),
        }
    }

    pub(super) fn contains(&self, name: &NodeName) -> bool {
        *name == self.me || self.others.contains_key(name)
    }

    /// Adds a candidate that is this node itself; false when there are too many.
    pub(super) fn insert(&mut self, name: &NodeName, was: Candidate) -> bool {
        if self.others.len() >= OWN_MAX {
            return false;
        }
        let address = Address {
            fixed: was.fixed,
            named_by: was.named_by,
            absent_since: was.absent_since,
        };
        self.others.insert(name.clone(), address);
        true
    }

    /// Another node has that name after all.
    pub(super) fn remove(&mut self, name: &NodeName) {
        self.others.remove(name);
    }

    /// A source has answered with `names`; `cut`: there may be more.
    pub(super) fn named(&mut self, source: usize, names: &BTreeSet<NodeName>, cut: bool) {
        for (name, address) in &mut self.others {
            if names.contains(name) {
                address.named_by.insert(source);
                address.absent_since = None;
            } else if !cut {
                address.named_by.remove(&source);
            }
        }
    }

    /// After a good answer: names that no source names are absent from now on.
    pub(super) fn mark_absent(&mut self, now: Instant) {
        for address in self.others.values_mut() {
            if address.named_by.is_empty() && !address.fixed {
                address.absent_since.get_or_insert(now);
            }
        }
    }

    /// Forgets names that have been absent for this long.
    pub(super) fn forget(&mut self, now: Instant, after: Duration) {
        let stays = |address: &Address| address.absent_since.is_none_or(|at| now < at + after);
        self.others.retain(|_, address| stays(address));
    }

    /// Since when the longest absent name has been absent.
    pub(super) fn absent_since(&self) -> Option<Instant> {
        let addresses = self.others.values();
        addresses.filter_map(|address| address.absent_since).min()
    }
}

/// More than the interfaces of any host.
const OWN_MAX: usize = 1024;
