//! States that viewers see the newest value of: circuits, health of providers, block heights.
//!
//! A state is renewed by every value that comes; it is told of only where the value matters. One that
//! was not renewed for long is dropped, since its publisher may be gone; so is the one of a group that
//! waited longest when the group is full.
//!
//! 1. No group holds more than the bound, and there are no more groups than kinds are known; what that shed is counted.
//! 2. A state is dropped at its age, and not before unless its group is full.
//!
//! It does not judge which of two values is newer: see [`supersedes`](super::supersedes).
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::events::states::States;
//! use lasso_core::events::{Group, StateKey};
//! use lasso_core::name::Label;
//! use lasso_core::time::Instant;
//!
//! let (subject, chain) = (Label::new("provider", "alchemy")?, Label::new("chain", "eth")?);
//! let key = StateKey { group: Group::Height, subject, chain, part: None, source: None };
//! let mut heights = States::new(Duration::from_secs(300), 500);
//! heights.renew(Instant::ZERO, key.clone(), 100, |told| *told != 100);
//! heights.renew(Instant::ZERO, key.clone(), 101, |told| *told != 101);
//! assert_eq!(heights.since(0).changed, [(key, 101)]);
//! heights.expire(Instant::ZERO + Duration::from_secs(300));
//! assert!(heights.all().changed.is_empty());
//! # Ok::<(), lasso_core::name::NameError>(())
//! ```

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Changes, Table};
use super::{Group, StateKey};
use crate::time::Instant;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct States<T> {
    age_max: Duration,
    /// Most states of one group.
    max: usize,
    /// The newest values, and when they came.
    held: BTreeMap<StateKey, (Instant, T)>,
    /// The same keys by group and age.
    by_age: BTreeMap<Group, BTreeSet<(Instant, StateKey)>>,
    /// What viewers were told.
    told: Table<StateKey, T>,
    shed: u64,
    expired: u64,
}

impl<T: Clone> States<T> {
    /// Holds at most `max` states of each group, each for `age_max` after it was last renewed.
    pub fn new(age_max: Duration, max: usize) -> Self {
        States {
            age_max,
            max,
            held: BTreeMap::new(),
            by_age: BTreeMap::new(),
            told: Table::new(2 * max),
            shed: 0,
            expired: 0,
        }
    }

    /// The newest value of a state came. `matters` judges it by the value that was last told.
    pub fn renew(&mut self, now: Instant, key: StateKey, value: T, matters: impl Fn(&T) -> bool) {
        let ages = self.by_age.entry(key.group.clone()).or_default();
        if let Some((at, _)) = self.held.remove(&key) {
            ages.remove(&(at, key.clone()));
        } else if ages.len() >= self.max {
            self.shed += 1;
            self.drop_oldest(&key.group);
        }
        let ages = self.by_age.entry(key.group.clone()).or_default();
        ages.insert((now, key.clone()));
        if self.told.get(&key).is_none_or(matters) {
            self.told.put(key.clone(), value.clone());
        }
        self.held.insert(key, (now, value));
    }

    /// Drops what was not renewed for too long.
    pub fn expire(&mut self, now: Instant) {
        let groups: Vec<Group> = self.by_age.keys().cloned().collect();
        for group in groups {
            while self
                .oldest(&group)
                .is_some_and(|at| now - at >= self.age_max)
            {
                self.drop_oldest(&group);
                self.expired += 1;
            }
        }
        self.by_age.retain(|_, ages| !ages.is_empty());
    }

    /// When the next state is too old.
    pub fn deadline(&self) -> Option<Instant> {
        let ages = self.by_age.values();
        let oldest = ages.filter_map(|ages| Some(ages.first()?.0));
        oldest.min().map(|at| at + self.age_max)
    }

    /// The newest value of this state.
    pub fn get(&self, key: &StateKey) -> Option<&T> {
        self.held.get(key).map(|(_, value)| value)
    }

    /// The newest value of every state.
    pub fn all(&self) -> Changes<StateKey, T> {
        let all = self.held.iter();
        Changes {
            whole: true,
            changed: all
                .map(|(key, (_, value))| (key.clone(), value.clone()))
                .collect(),
            gone: Vec::new(),
        }
    }

    /// What a viewer that knows everything up to the change `seen` does not know.
    pub fn since(&self, seen: u64) -> Changes<StateKey, T> {
        self.told.since(seen)
    }

    /// The number of the last change.
    pub fn version(&self) -> u64 {
        self.told.version()
    }

    /// States dropped since their group was full.
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// States dropped by age.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    fn oldest(&self, group: &Group) -> Option<Instant> {
        Some(self.by_age.get(group)?.first()?.0)
    }

    fn drop_oldest(&mut self, group: &Group) {
        let ages = self.by_age.get_mut(group);
        let Some((_, key)) = ages.and_then(BTreeSet::pop_first) else {
            return;
        };
        self.held.remove(&key);
        self.told.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Label;

    fn key(group: Group, subject: usize) -> StateKey {
        StateKey {
            group,
            subject: Label::new("subject", &subject.to_string()).unwrap(),
            chain: Label::unknown(),
            part: None,
            source: None,
        }
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn states() -> States<u64> {
        States::new(Duration::from_secs(300), 500)
    }

    #[test]
    fn five_hundred_of_each_group_are_held_and_the_one_renewed_longest_ago_gives_way() {
        let mut states = states();
        for subject in 0..500 {
            states.renew(seconds(1), key(Group::Circuit, subject), 0, |_| true);
            states.renew(seconds(1), key(Group::Height, subject), 0, |_| true);
        }
        states.renew(seconds(2), key(Group::Circuit, 0), 1, |_| true);
        let seen = states.version();
        states.renew(seconds(3), key(Group::Circuit, 500), 0, |_| true);
        assert_eq!((states.shed(), states.all().changed.len()), (1, 1_000));
        let news = states.since(seen);
        assert_eq!(news.changed, [(key(Group::Circuit, 500), 0)]);
        assert_eq!(news.gone, [key(Group::Circuit, 1)]);
        assert_eq!(states.get(&key(Group::Circuit, 0)), Some(&1));
    }

    #[test]
    fn a_state_is_dropped_five_minutes_after_it_was_renewed_and_not_before() {
        let mut states = states();
        states.renew(seconds(0), key(Group::Height, 1), 7, |_| true);
        states.renew(seconds(100), key(Group::Height, 1), 7, |told| *told != 7);
        assert_eq!(states.deadline(), Some(seconds(400)));
        states.expire(seconds(399));
        assert_eq!(states.expired(), 0);
        states.expire(seconds(400));
        assert_eq!((states.expired(), states.deadline()), (1, None));
        assert_eq!(states.since(1).gone, [key(Group::Height, 1)]);
    }

    #[test]
    fn a_value_that_does_not_matter_is_not_told_but_is_in_the_whole() {
        let mut states = states();
        let matters = |value: u64| move |told: &u64| told.abs_diff(value) >= 2;
        states.renew(seconds(0), key(Group::Height, 1), 10, matters(10));
        let seen = states.version();
        states.renew(seconds(1), key(Group::Height, 1), 11, matters(11));
        assert!(states.since(seen).is_empty());
        assert_eq!(states.all().changed, [(key(Group::Height, 1), 11)]);
        states.renew(seconds(2), key(Group::Height, 1), 12, matters(12));
        assert_eq!(states.since(seen).changed, [(key(Group::Height, 1), 12)]);
    }
}
