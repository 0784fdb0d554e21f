//! What goes into a store and what comes out of it.

use core::time::Duration;
use std::sync::Arc;

use super::entry::{AnswerCoverage, Entry};
use crate::name::NodeName;
use crate::plane::{CallError, Half};

/// A refresh that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefreshId(pub u64);

/// An order to gather a key's value from all responding nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh<K> {
    /// What to finish it under.
    pub id: RefreshId,
    /// What to gather.
    pub key: K,
}

/// What a refresh has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought<V> {
    /// The merged value of this node and of those that answered; nothing when there is none.
    pub value: Option<V>,
    /// This node's own part is in the value.
    pub own: bool,
    /// Other nodes that answered.
    pub answered: usize,
    /// Nodes that were asked and did not answer, and why; this one, where its own part is missing.
    pub failed: Vec<(NodeName, CallError)>,
    /// Nodes that there should be: the topology's `expected`.
    pub total: usize,
}

impl<V> Brought<V> {
    /// What a refresh brings that came to nothing, where there should be `total` nodes.
    pub(in crate::metrics) fn nothing(total: usize) -> Self {
        Brought {
            value: None,
            own: false,
            answered: 0,
            failed: Vec::new(),
            total,
        }
    }

    /// Whom an answer of this would speak for.
    pub(super) fn coverage(&self, took: Duration) -> AnswerCoverage {
        AnswerCoverage {
            responding: self.answered + usize::from(self.own),
            total: self.total,
            failed: self.failed.clone(),
            took,
        }
    }

    /// What nodes said that was no part of an answer, or too large to be read.
    pub(super) fn unread(&self) -> u64 {
        let mut unread = 0;
        for (_, error) in &self.failed {
            let malformed = matches!(
                error,
                CallError::Malformed {
                    half: Half::Answer,
                    ..
                }
            );
            unread += u64::from(malformed);
        }
        unread
    }

    /// Nobody but this node answered though others were asked, or there is no value at all.
    pub(super) fn has_failed(&self) -> bool {
        self.value.is_none() || (self.answered == 0 && !self.failed.is_empty())
    }
}

/// What readers are to see from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<K, V> {
    /// This, in place of what there was under that key.
    Publish(K, Arc<Entry<V>>),
    /// Nothing under that key.
    Withdraw(K),
}

/// What a store has done, as numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Refreshes that were started.
    pub started: u64,
    /// Refreshes that brought a value.
    pub finished: u64,
    /// Refreshes that failed, those that were given up included.
    pub failed: u64,
    /// Refreshes that nobody finished in time.
    pub given_up: u64,
    /// Results of refreshes that had been given up; they were dropped.
    pub late: u64,
    /// Refreshes that a change of membership has overtaken: what they brought is shown as stale, and
    /// one more followed at once, also where they failed.
    pub overtaken: u64,
    /// What nodes answered that was no part of an answer, or too large to be read.
    pub unread: u64,
    /// Keys that gave way to another.
    pub evicted: u64,
    /// Keys that found no place, as all others were being refreshed.
    pub refused: u64,
    /// Values that were dropped for their age.
    pub dropped: u64,
    /// The most refreshes of one key that were under way at the same time: more than 1 is a bug.
    pub most_of_a_key: u64,
}
