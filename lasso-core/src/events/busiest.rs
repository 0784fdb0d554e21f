//! How often each method was called in the last minute, and which ten most.
//!
//! A node that serves calls counts them here, one machine for each provider, and publishes the answer
//! with the provider's health ([`ProviderHealth`](super::routing::ProviderHealth)): every call is counted, however few are published.
//!
//! 1. A call counts for at least 55 s and at most 60 s.
//! 2. At most [`METHODS_MAX`] methods are told apart at a time; calls of others are counted together.
//!
//! ```
//! use lasso_core::events::busiest::Busiest;
//! use lasso_core::name::Label;
//! use core::time::Duration;
//!
//! let mut busiest = Busiest::new();
//! let (call, logs) = (Label::new("method", "eth_call")?, Label::new("method", "eth_getLogs")?);
//! busiest.record(Duration::ZERO, &logs);
//! busiest.record(Duration::from_secs(30), &call);
//! busiest.record(Duration::from_secs(30), &call);
//! let top = busiest.top(Duration::from_secs(30));
//! assert_eq!((top[0].method.as_str(), top[0].calls), ("eth_call", 2));
//! assert_eq!(busiest.top(Duration::from_secs(60)).len(), 1, "the others are too old");
//! # Ok::<(), lasso_core::name::NameError>(())
//! ```

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::Label;

/// Most methods in an answer.
pub const BUSIEST_MAX: usize = 10;
/// Most methods that are told apart, some 200 bytes each.
pub const METHODS_MAX: usize = 64;

/// Calls of one method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodCalls {
    /// The method.
    pub method: Label,
    /// Its calls in the last minute.
    pub calls: u64,
}

/// The machine. See the module's text. Times are since any moment, the same for all.
#[derive(Debug, Clone, Default)]
pub struct Busiest {
    methods: BTreeMap<Label, Slots>,
    /// Calls of methods beyond the bound.
    shed: u64,
}

/// Calls by slot of time.
#[derive(Debug, Clone, Default)]
struct Slots {
    /// The newest slot that is counted.
    head: u64,
    /// By number modulo their number.
    calls: [u64; SLOTS as usize],
}

impl Busiest {
    /// Nothing was called.
    pub fn new() -> Self {
        Busiest::default()
    }

    /// A method was called. Times may not go back by more than a slot; what is older is counted as new.
    pub fn record(&mut self, now: Duration, method: &Label) {
        let slot = slot(now);
        if !self.methods.contains_key(method) && self.methods.len() >= METHODS_MAX {
            self.methods.retain(|_, slots| slots.sum(slot) > 0);
            if self.methods.len() >= METHODS_MAX {
                self.shed = self.shed.saturating_add(1);
                return;
            }
        }
        self.methods.entry(method.clone()).or_default().add(slot);
    }

    /// The methods with most calls, most first, ties by name; at most [`BUSIEST_MAX`].
    pub fn top(&self, now: Duration) -> Vec<MethodCalls> {
        let slot = slot(now);
        let calls = self.methods.iter();
        let calls = calls.map(|(method, slots)| MethodCalls {
            method: method.clone(),
            calls: slots.sum(slot),
        });
        most(calls)
    }

    /// Calls that were not counted by method, for want of room.
    pub fn shed(&self) -> u64 {
        self.shed
    }
}

/// The most of these, most first, ties in the order in which they come; at most [`BUSIEST_MAX`], none without calls.
pub(super) fn most(calls: impl Iterator<Item = MethodCalls>) -> Vec<MethodCalls> {
    let mut calls: Vec<_> = calls.filter(|one| one.calls > 0).collect();
    calls.sort_by_key(|one| core::cmp::Reverse(one.calls));
    calls.truncate(BUSIEST_MAX);
    calls
}

impl Slots {
    fn add(&mut self, slot: u64) {
        let news = slot.saturating_sub(self.head).min(SLOTS);
        for step in 1..=news {
            self.calls[(self.head.saturating_add(step) % SLOTS) as usize] = 0;
        }
        if slot > self.head {
            // Of more than all slots the last ones are cleared, too.
            self.calls[(slot % SLOTS) as usize] = 0;
            self.head = slot;
        }
        let calls = &mut self.calls[(self.head % SLOTS) as usize];
        *calls = calls.saturating_add(1);
    }

    fn sum(&self, slot: u64) -> u64 {
        let gone = slot.saturating_sub(self.head).min(SLOTS);
        let held = (0..SLOTS - gone).filter_map(|back| self.head.checked_sub(back));
        let calls = held.map(|slot| self.calls[(slot % SLOTS) as usize]);
        calls.fold(0, u64::saturating_add)
    }
}

fn slot(now: Duration) -> u64 {
    now.as_secs() / SLOT_SECONDS
}

/// A minute has so many slots.
const SLOTS: u64 = 12;
/// Of so many seconds.
const SLOT_SECONDS: u64 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(number: usize) -> Label {
        Label::new("method", &format!("m{number:03}")).unwrap()
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_ten_busiest_methods_of_the_last_minute_come_most_first() {
        let mut busiest = Busiest::new();
        for number in 0..12 {
            for _ in 0..=number {
                busiest.record(s(3), &label(number));
            }
        }
        let top = busiest.top(s(59));
        let shown: Vec<_> = top
            .iter()
            .map(|one| (one.method.as_str(), one.calls))
            .collect();
        assert_eq!(shown.len(), BUSIEST_MAX);
        assert_eq!((shown[0], shown[9]), (("m011", 12), ("m002", 3)));
        busiest.record(s(62), &label(0));
        let top = busiest.top(s(62));
        assert_eq!((top.len(), top[0].calls), (1, 1), "the others are too old");
    }

    #[test]
    fn methods_beyond_the_bound_are_counted_and_give_no_row_until_others_are_old() {
        let mut busiest = Busiest::new();
        for number in 0..METHODS_MAX + 5 {
            busiest.record(s(0), &label(number));
        }
        assert_eq!((busiest.methods.len(), busiest.shed()), (METHODS_MAX, 5));
        busiest.record(s(100), &label(999));
        assert_eq!((busiest.methods.len(), busiest.shed()), (1, 5));
    }

    proptest! {
        #[test]
        fn a_call_counts_for_fifty_five_seconds_and_for_no_more_than_sixty(
            steps in proptest::collection::vec(0_u64..20, 1..100),
        ) {
            let mut busiest = Busiest::new();
            let (mut now, mut times) = (0, Vec::new());
            for step in steps {
                now += step;
                times.push(now);
                busiest.record(s(now), &label(1));
                let counted = busiest.top(s(now))[0].calls as usize;
                let within = |age: u64| times.iter().filter(|at| now - **at < age).count();
                prop_assert!((within(56)..=within(60)).contains(&counted));
            }
        }
    }
}
