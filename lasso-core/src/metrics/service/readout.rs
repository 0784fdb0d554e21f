//! What a reader gets, with its type.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

use super::registry::Value;
use crate::metrics::store::{AnswerCoverage, Entry, Failure, Freshness, Reading};

/// An answer as it is now, and what it is worth. It does not change any more, and may be kept.
pub struct Readout<A> {
    /// The age by the clock of whoever reads, from the start of the gathering; zero while it is loading.
    pub age: Duration,
    /// What it is worth.
    pub freshness: Freshness,
    entry: Option<Arc<Entry<Value>>>,
    answer: PhantomData<fn() -> A>,
}

impl<A: 'static> Readout<A> {
    /// Gives a reading its type.
    pub fn new(reading: Reading<Value>) -> Self {
        let Reading {
            entry,
            age,
            freshness,
        } = reading;
        Readout {
            age,
            freshness,
            entry,
            answer: PhantomData,
        }
    }

    /// The answer; nothing while it is loading.
    pub fn value(&self) -> Option<&A> {
        self.entry.as_ref()?.value.downcast_ref()
    }
}

impl<A> Readout<A> {
    /// Whom it speaks for; nothing while it is loading.
    pub fn coverage(&self) -> Option<&AnswerCoverage> {
        Some(&self.entry.as_ref()?.coverage)
    }

    /// What went wrong since it was gathered.
    pub fn failure(&self) -> Option<&Failure> {
        self.entry.as_ref()?.failure.as_ref()
    }

    /// The generation that it is of; nothing while it is loading.
    pub fn generation(&self) -> Option<u64> {
        Some(self.entry.as_ref()?.generation)
    }

    /// There is none yet.
    pub fn is_loading(&self) -> bool {
        self.freshness == Freshness::Loading
    }
}

impl<A> Clone for Readout<A> {
    fn clone(&self) -> Self {
        Readout {
            entry: self.entry.clone(),
            ..*self
        }
    }
}

impl<A: fmt::Debug + 'static> fmt::Debug for Readout<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readout")
            .field("value", &self.value())
            .field("age", &self.age)
            .field("freshness", &self.freshness)
            .field("coverage", &self.coverage())
            .field("failure", &self.failure())
            .finish()
    }
}
