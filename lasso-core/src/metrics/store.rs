//! Answers of the cluster, kept and renewed while somebody reads them.
//!
//! A read never waits: it gets what is there, however old, and what that is worth. A read of what is
//! not fresh makes the store want a refresh; [`Store::poll_refresh`] says which key to gather, and
//! [`Store::finish`] takes what was gathered.
//!
//! 1. At most one refresh per key is under way, whoever asks, and at most
//!    [`StoreSettings::refreshes_max`] in all.
//! 2. A change of membership starts a generation. What belongs to an older one is never fresh, and a
//!    refresh that it overtakes is followed by one more.
//! 3. A refresh that fails changes neither value nor age nor coverage of what is there: it is
//!    counted, told beside the value, and done again after a backoff.
//! 4. There are never more than [`StoreSettings::keys_max`] keys; the one not wanted for longest
//!    gives way, and before all those whose answer was wanted anew, those of which it was not. So
//!    however many keys are read once, they do not drive out what is read all the time.
//! 5. Whoever follows the [`Change`]s holds exactly the store's entries.
//! 6. A watched key is being refreshed, or is due to be, from when it has a place: at two thirds of the time for which its
//!    answer is fresh, at once after a change of membership, and after the backoff when that failed. It does not give way.
//!
//! It does not call: who gathers, and from whom, is not its business.
//!
//! # Reading from many threads
//!
//! Entries are immutable, and what one is worth follows from the time and the generation alone. So a
//! driver keeps a map of its own beside the store, from keys to places that hold an `Arc<Entry>`
//! each, changes it as the [`Change`]s say, and shares the generation as an atomic number. Readers
//! look into that map, and call [`Reading::of`]; only one that finds something not fresh, and is the
//! first to see it (a flag in the place, cleared by the next change of it), goes on to
//! [`Store::want`] behind the store's lock. A refresh holds no lock while it gathers, and none that
//! readers take when it ends. `lasso_net::metrics::cache` is that map.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::store::{Freshness, Brought, Store, StoreSettings};
//! use lasso_core::time::Instant;
//!
//! let mut store = Store::new(StoreSettings::default());
//! let mut changes = Vec::new();
//! let now = Instant::ZERO;
//! assert_eq!(store.read(now, &"board", &mut changes).freshness, Freshness::Loading);
//!
//! let refresh = store.poll_refresh(now).expect("it was read");
//! assert_eq!(store.poll_refresh(now), None, "one at a time");
//! let brought = Brought { value: Some(42), own: true, answered: 2, failed: Vec::new(), total: 3 };
//! store.finish(now, refresh.id, brought, &mut changes);
//!
//! let later = now + Duration::from_secs(16);
//! let reading = store.read(later, &"board", &mut changes);
//! assert_eq!(reading.freshness, Freshness::Stale);
//! assert_eq!(*reading.entry.expect("it is there").value, 42);
//! assert_eq!(store.poll_refresh(later).map(|refresh| refresh.key), Some("board"));
//! ```

mod entry;
mod orders;
mod settings;
mod slot;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use entry::{Ages, AnswerCoverage, Entry, Failure, Freshness, Reading, Reads};
pub use orders::{Brought, Change, Refresh, RefreshId, StoreCounters};
pub use settings::{StoreSettings, StoreSettingsError};
pub use told::Told;

use crate::time::{Instant, earliest};
use slot::Slot;

#[derive(Debug)]
struct Running<K> {
    key: K,
    started_at: Instant,
    generation: u64,
    /// Nodes that there should be, as far as it was told.
    total: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Store<K, V> {
    settings: StoreSettings,
    generation: u64,
    slots: BTreeMap<K, Slot<V>>,
    /// Keys that are to be refreshed, by when and in the order wanted. None of them is running.
    due: BTreeMap<(Instant, u64), K>,
    /// Numbers that grow with time, so the first is the oldest.
    running: BTreeMap<RefreshId, Running<K>>,
    /// When which entry is too old to be kept.
    ends: BTreeSet<(Instant, K)>,
    /// Keys that are renewed without being read.
    watched: BTreeSet<K>,
    /// Some watched key found no place, as all others were being refreshed.
    lacks_place: bool,
    /// The last number that was given to a refresh or a place in `due`.
    number: u64,
    reads: Reads,
    counters: StoreCounters,
}

impl<K: Ord + Clone, V> Store<K, V> {
    /// A store that holds nothing.
    ///
    /// # Panics
    /// When the settings contradict each other: see [`StoreSettings::validate`].
    pub fn new(settings: StoreSettings) -> Self {
        if let Err(error) = settings.validate() {
            panic!("settings of a store: {error}");
        }
        Store {
            settings,
            generation: 0,
            slots: BTreeMap::new(),
            due: BTreeMap::new(),
            running: BTreeMap::new(),
            ends: BTreeSet::new(),
            watched: BTreeSet::new(),
            lacks_place: false,
            number: 0,
            reads: Reads::default(),
            counters: StoreCounters::default(),
        }
    }

    /// What is there, and makes the store want what is not fresh. For readers in the store's own
    /// thread; others read a map of theirs, and call [`Store::want`].
    pub fn read(
        &mut self,
        now: Instant,
        key: &K,
        changes: &mut Vec<Change<K, V>>,
    ) -> Reading<Arc<Entry<V>>> {
        let entry = self.slots.get(key).and_then(|slot| slot.entry.clone());
        let reading = Reading::of(entry, now, self.generation, &self.settings.ages);
        self.reads.count(reading.freshness);
        if reading.freshness != Freshness::Fresh {
            self.want(now, key, changes);
        }
        reading
    }

    /// Somebody has read `key` and found nothing fresh: it is refreshed as soon as may be, unless it
    /// is fresh by now, or that is under way.
    pub fn want(&mut self, now: Instant, key: &K, changes: &mut Vec<Change<K, V>>) {
        if !self.slots.contains_key(key) {
            if self.slots.len() >= self.settings.keys_max && !self.evict(changes) {
                self.counters.refused += 1;
                self.lacks_place |= self.watched.contains(key);
                return;
            }
            self.slots.insert(key.clone(), Slot::new(now));
        }
        let (generation, ages) = (self.generation, self.settings.ages);
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        slot.wanted(now);
        let fresh =
            |entry: &Arc<Entry<V>>| entry.freshness(now, generation, &ages) == Freshness::Fresh;
        let served = slot.entry.as_ref().is_some_and(fresh);
        if !served && slot.running.is_none() && slot.due.is_none() {
            let at = slot.not_before.max(now);
            self.schedule(key, at);
        }
        self.renew(now, key);
        self.assert_invariants();
    }

    /// Exactly these keys are watched from now on: their answers are renewed before they cease to be fresh, without
    /// being read, and do not give way. Of more than [`StoreSettings::watched_max`] the first are.
    pub fn watch_only(
        &mut self,
        now: Instant,
        keys: impl IntoIterator<Item = K>,
        changes: &mut Vec<Change<K, V>>,
    ) {
        let keys: BTreeSet<K> = keys.into_iter().take(self.settings.watched_max()).collect();
        let new: Vec<K> = keys.difference(&self.watched).cloned().collect();
        for key in self.watched.difference(&keys) {
            let slot = self.slots.get_mut(key);
            // Without an answer somebody may be waiting for it; with one, the next reader says that it is wanted.
            if let Some(slot) = slot.filter(|slot| slot.entry.is_some())
                && let Some(due) = slot.due.take()
            {
                self.due.remove(&due);
            }
        }
        self.watched.retain(|key| keys.contains(key));
        for key in new {
            self.watched.insert(key.clone());
            self.want(now, &key, changes);
        }
        self.assert_invariants();
    }

    /// The next key to gather, if any is due. It is under way from now on, until
    /// [`Store::finish`] or its timeout.
    pub fn poll_refresh(&mut self, now: Instant) -> Option<Refresh<K>> {
        if self.running.len() >= self.settings.refreshes_max {
            return None;
        }
        let first = self.due.first_entry().filter(|due| due.key().0 <= now)?;
        let key = first.remove();
        self.number += 1;
        let id = RefreshId(self.number);
        let slot = self.slots.get_mut(&key).expect("what is due has a slot");
        slot.due = None;
        slot.running = Some(id);
        let running = Running {
            key: key.clone(),
            started_at: now,
            generation: self.generation,
            total: 0,
        };
        self.running.insert(id, running);
        self.counters.started += 1;
        // Counted from what is under way, not from what the slot says.
        let of_key = self.running.values().filter(|running| running.key == key);
        let most = &mut self.counters.most_of_a_key;
        *most = (*most).max(of_key.count() as u64);
        self.assert_invariants();
        Some(Refresh { id, key })
    }

    /// Notes how many nodes there should be for a refresh that is under way, to be told with its
    /// failure should nobody finish it.
    pub fn expect(&mut self, id: RefreshId, total: usize) {
        if let Some(running) = self.running.get_mut(&id) {
            running.total = total;
        }
    }

    /// Takes what a refresh has brought. One that was given up, or never was, is dropped and counted.
    pub fn finish(
        &mut self,
        now: Instant,
        id: RefreshId,
        brought: Brought<V>,
        changes: &mut Vec<Change<K, V>>,
    ) {
        let Some(running) = self.running.remove(&id) else {
            self.counters.late += 1;
            return;
        };
        self.counters.unread += brought.unread();
        if brought.has_failed() {
            self.fail(now, running, brought, changes);
        } else {
            self.succeed(now, running, brought, changes);
        }
        self.assert_invariants();
    }

    /// A node connected or disconnected: nothing that is there is fresh any more, and nothing that
    /// is under way will be. Backoffs end and begin anew, as another cluster may answer better.
    pub fn membership_changed(&mut self, now: Instant) {
        self.generation += 1;
        let waiting: Vec<K> = self.due.values().cloned().collect();
        for slot in self.slots.values_mut() {
            slot.not_before = Instant::ZERO;
            slot.failures = 0;
        }
        for key in waiting {
            let due = self.slots.get_mut(&key).and_then(|slot| slot.due.take());
            if let Some(due) = due {
                self.due.remove(&due);
                self.schedule(&key, due.0.min(now));
            }
        }
        self.assert_invariants();
    }

    /// Gives up refreshes that take too long, drops values that are too old, and finds places for watched keys.
    pub fn tick(&mut self, now: Instant, changes: &mut Vec<Change<K, V>>) {
        while let Some(oldest) = self.running.first_entry() {
            if now < oldest.get().started_at + self.settings.refresh_timeout {
                break;
            }
            let running = oldest.remove();
            self.counters.given_up += 1;
            let nothing = Brought::nothing(running.total);
            self.fail(now, running, nothing, changes);
        }
        while self.ends.first().is_some_and(|(end, _)| *end <= now) {
            let Some((_, key)) = self.ends.pop_first() else {
                break;
            };
            self.counters.dropped += 1;
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.entry = None;
                if slot.is_idle() {
                    self.slots.remove(&key);
                }
            }
            changes.push(Change::Withdraw(key));
        }
        if self.lacks_place {
            let placeless = self.placeless().cloned().collect::<Vec<_>>();
            for key in placeless {
                self.want(now, &key, changes);
            }
            let lacks_place = self.placeless().next().is_some();
            self.lacks_place = lacks_place;
        }
        self.assert_invariants();
    }

    /// When [`Store::tick`] or [`Store::poll_refresh`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let has_room = self.running.len() < self.settings.refreshes_max;
        let due = self.due.keys().next().filter(|_| has_room);
        let oldest = self.running.values().next();
        let given_up = oldest.map(|running| running.started_at + self.settings.refresh_timeout);
        let end = self.ends.first().map(|(end, _)| *end);
        earliest(earliest(due.map(|(at, _)| *at), given_up), end)
    }

    /// The present generation, for those who judge entries themselves.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when an answer is good for what.
    pub fn ages(&self) -> &Ages {
        &self.settings.ages
    }

    /// Keys that have an entry or wait for one.
    pub fn keys(&self) -> usize {
        self.slots.len()
    }

    /// What went through [`Store::read`].
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// What happened so far.
    pub fn counters(&self) -> &StoreCounters {
        &self.counters
    }

    /// Watched keys that have no slot.
    fn placeless(&self) -> impl Iterator<Item = &K> {
        let watched = self.watched.iter();
        watched.filter(|key| !self.slots.contains_key(*key))
    }

    fn schedule(&mut self, key: &K, at: Instant) {
        self.number += 1;
        let due = (at, self.number);
        let slot = self.slots.get_mut(key).expect("only known keys are due");
        slot.due = Some(due);
        self.due.insert(due, key.clone());
    }

    fn succeed(
        &mut self,
        now: Instant,
        running: Running<K>,
        brought: Brought<V>,
        changes: &mut Vec<Change<K, V>>,
    ) {
        let key = running.key.clone();
        let overtaken = running.generation != self.generation;
        self.counters.finished += 1;
        self.counters.overtaken += u64::from(overtaken);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.running = None;
            slot.failures = 0;
            slot.not_before = Instant::ZERO;
        }
        if let Some(entry) = entry_of(now, &running, brought, false) {
            self.publish(&key, entry, changes);
        }
        if overtaken {
            self.schedule(&key, now);
        } else {
            self.renew(now, &key);
        }
    }

    /// Schedules the next refresh of a watched key that has an answer.
    fn renew(&mut self, now: Instant, key: &K) {
        let slot = self.slots.get(key).filter(|slot| slot.is_idle());
        let Some(entry) = slot.and_then(|slot| slot.entry.as_ref()) else {
            return;
        };
        if self.watched.contains(key) {
            let at = entry.gathered_at + self.settings.renew_after();
            // Never at once again, however short answers are fresh.
            self.schedule(key, at.max(now + self.settings.backoff_min));
        }
    }

    fn fail(
        &mut self,
        now: Instant,
        running: Running<K>,
        brought: Brought<V>,
        changes: &mut Vec<Change<K, V>>,
    ) {
        let overtaken = running.generation != self.generation;
        self.counters.failed += 1;
        self.counters.overtaken += u64::from(overtaken);
        let key = running.key.clone();
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.running = None;
        slot.failures = slot.failures.saturating_add(1);
        // The cluster that it asked is not the one that there is now, which may answer.
        let at = if overtaken {
            now
        } else {
            now + self.settings.backoff(slot.failures)
        };
        slot.not_before = at;
        let failure = Failure {
            count: slot.failures,
            at: now,
            coverage: brought.coverage(now - running.started_at),
        };
        let wanted_until = slot.wanted_at + self.settings.ages.expired;
        // This node's figures alone give way to newer ones of the same kind.
        let newer = brought.value.is_some();
        let kept = slot.entry.as_ref();
        let kept = kept.filter(|entry| !(entry.alone && newer));
        let kept = kept.map(|entry| Entry {
            value: Arc::clone(&entry.value),
            coverage: entry.coverage.clone(),
            failure: None,
            ..**entry
        });
        let entry = kept.or_else(|| entry_of(now, &running, brought, true));
        if let Some(mut entry) = entry {
            entry.failure = Some(failure);
            self.publish(&key, entry, changes);
        }
        // Nobody is served by trying for ever what nobody has read for a while.
        if at <= wanted_until || self.watched.contains(&key) {
            self.schedule(&key, at);
        } else {
            self.forget_if_idle(&key);
        }
    }

    fn publish(&mut self, key: &K, entry: Entry<V>, changes: &mut Vec<Change<K, V>>) {
        let slot = self
            .slots
            .get_mut(key)
            .expect("a slot outlives its refresh");
        let end = |entry: &Entry<V>| entry.gathered_at + self.settings.ages.dropped;
        if let Some(old) = &slot.entry {
            self.ends.remove(&(end(old), key.clone()));
        }
        self.ends.insert((end(&entry), key.clone()));
        let entry = Arc::new(entry);
        slot.entry = Some(Arc::clone(&entry));
        changes.push(Change::Publish(key.clone(), entry));
    }

    /// Makes room for one key. False when all are being refreshed.
    fn evict(&mut self, changes: &mut Vec<Change<K, V>>) -> bool {
        let idle = self.slots.iter();
        let idle =
            idle.filter(|(key, slot)| slot.running.is_none() && !self.watched.contains(*key));
        let oldest = idle.min_by_key(|(_, slot)| slot.worth());
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.counters.evicted += 1;
        self.forget(&key, changes);
        true
    }

    fn forget_if_idle(&mut self, key: &K) {
        let idle = |slot: &Slot<V>| slot.entry.is_none() && slot.is_idle();
        if self.slots.get(key).is_some_and(idle) {
            self.slots.remove(key);
        }
    }

    fn forget(&mut self, key: &K, changes: &mut Vec<Change<K, V>>) {
        let Some(slot) = self.slots.remove(key) else {
            return;
        };
        if let Some(due) = slot.due {
            self.due.remove(&due);
        }
        if let Some(entry) = slot.entry {
            let end = entry.gathered_at + self.settings.ages.dropped;
            self.ends.remove(&(end, key.clone()));
            changes.push(Change::Withdraw(key.clone()));
        }
    }

    fn assert_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert!(self.slots.len() <= self.settings.keys_max);
        assert!(self.running.len() <= self.settings.refreshes_max);
        let count = |is: fn(&Slot<V>) -> bool| self.slots.values().filter(|s| is(s)).count();
        assert_eq!(count(|slot| slot.running.is_some()), self.running.len());
        assert_eq!(count(|slot| slot.due.is_some()), self.due.len());
        assert_eq!(count(|slot| slot.entry.is_some()), self.ends.len());
        assert_eq!(
            count(|slot| slot.running.is_some() && slot.due.is_some()),
            0
        );
        let empty = |slot: &Slot<V>| slot.entry.is_none() && slot.is_idle();
        assert_eq!(count(empty), 0, "a slot is there for something");
        assert!(self.watched.len() <= self.settings.watched_max());
        for key in &self.watched {
            let slot = self.slots.get(key);
            assert!(slot.map_or(self.lacks_place, |slot| !slot.is_idle()));
        }
    }
}

fn entry_of<K, V>(
    now: Instant,
    running: &Running<K>,
    brought: Brought<V>,
    alone: bool,
) -> Option<Entry<V>> {
    let coverage = brought.coverage(now - running.started_at);
    let value = brought.value?;
    Some(Entry {
        value: Arc::new(value),
        gathered_at: running.started_at,
        generation: running.generation,
        alone,
        coverage,
        failure: None,
    })
}

#[cfg(test)]
mod tests;
