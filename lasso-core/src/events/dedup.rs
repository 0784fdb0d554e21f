//! Has this event been here before?
//!
//! Ids are remembered for a window of time from when they were first seen, in the order in which
//! they came; a duplicate does not renew its id. What is kept of an id is a keyed 128-bit hash and
//! the time, 24 bytes whatever its length, in a ring; a table of positions finds it.
//!
//! A collision would mean that an event is taken for a duplicate that is none, and is not shown.
//! With 50,000 ids in the window the odds of one are below 10⁻²⁹, and since the key is
//! the machine's own, nobody can make one up.
//!
//! 1. No more ids are held than the bound allows; the oldest is forgotten first.
//! 2. An id younger than the window that had to be forgotten is counted, and for the length of a
//!    window [`Dedup::reach`] says how far back the memory went.
//! 3. An event without an id is never a duplicate.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::events::dedup::Dedup;
//! use lasso_core::time::Instant;
//!
//! let mut dedup = Dedup::new(Duration::from_secs(120), 50_000, [1, 2]);
//! assert!(dedup.is_new(Instant::ZERO, Some("a-request")));
//! assert!(!dedup.is_new(Instant::ZERO, Some("a-request")));
//! assert!(dedup.is_new(Instant::ZERO, None) && dedup.is_new(Instant::ZERO, None));
//! ```

use core::time::Duration;

use super::hash::siphash128;
use crate::time::Instant;

/// What a dedup has done; numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DedupCounters {
    /// Events that came for the first time.
    pub fresh: u64,
    /// Events whose id was remembered.
    pub duplicates: u64,
    /// Events without an id.
    pub unnamed: u64,
    /// Ids that were forgotten before their time, since too many came within a window.
    pub cut_short: u64,
}

/// One id that is remembered.
#[derive(Clone, Copy)]
struct Entry {
    /// In two halves: a `u128` would be aligned to 16 bytes and cost eight more.
    hash: [u64; 2],
    at: Instant,
}

/// The machine. See the module's text.
pub struct Dedup {
    window: Duration,
    /// Most ids held.
    max: usize,
    key: [u64; 2],
    /// A ring with a power of two of places, of which `len` from `head` on are taken.
    ring: Vec<Entry>,
    head: usize,
    len: usize,
    /// Places in the ring, by hash, with linear probing; twice as large as the ring.
    table: Vec<u32>,
    /// When an id was last forgotten before its time, and how old it was.
    cut: Option<(Instant, Duration)>,
    counters: DedupCounters,
}

impl Dedup {
    /// Remembers at most `max` ids for `window`, hashed under `key`. Memory grows with what is held.
    pub fn new(window: Duration, max: usize, key: [u64; 2]) -> Self {
        Dedup {
            window,
            max: max.clamp(1, EMPTY as usize / 2),
            key,
            ring: Vec::new(),
            head: 0,
            len: 0,
            table: Vec::new(),
            cut: None,
            counters: DedupCounters::default(),
        }
    }

    /// True for the first event of this id within the window, which is remembered from now on.
    pub fn is_new(&mut self, now: Instant, id: Option<&str>) -> bool {
        let Some(id) = id else {
            self.counters.unnamed += 1;
            return true;
        };
        self.forget(now);
        let hash = siphash128(self.key, id.as_bytes());
        let hash = [hash as u64, (hash >> 64) as u64];
        if self.find(hash).is_some() {
            self.counters.duplicates += 1;
            return false;
        }
        self.counters.fresh += 1;
        if self.len == self.max {
            let oldest = self.pop();
            self.counters.cut_short += 1;
            self.cut = Some((now, now - oldest.at));
        }
        if self.len == self.ring.len() {
            self.grow();
        }
        self.push(Entry { hash, at: now });
        true
    }

    /// Forgets what is older than the window. Called by every [`Dedup::is_new`] as well.
    pub fn forget(&mut self, now: Instant) {
        while self.len > 0 && now - self.ring[self.head].at >= self.window {
            self.pop();
        }
        if self.cut.is_some_and(|(at, _)| now - at >= self.window) {
            self.cut = None;
        }
    }

    /// How far back duplicates are known for sure: the window, or less for as long as the bound has
    /// cut it short within the last one.
    pub fn reach(&self) -> Duration {
        self.cut.map_or(self.window, |(_, age)| age)
    }

    /// Ids held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no id is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that the ids cost, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Entry>() + self.table.capacity() * size_of::<u32>()
    }

    /// What was done so far.
    pub fn counters(&self) -> DedupCounters {
        self.counters
    }

    /// The place in the table of this hash.
    fn find(&self, hash: [u64; 2]) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        while self.table[at] != EMPTY {
            if self.ring[self.table[at] as usize].hash == hash {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn push(&mut self, entry: Entry) {
        let place = (self.head + self.len) & (self.ring.len() - 1);
        self.ring[place] = entry;
        self.len += 1;
        self.index(place);
    }

    /// Enters the id at this place of the ring into the table.
    fn index(&mut self, place: usize) {
        let mut at = self.home(self.ring[place].hash);
        while self.table[at] != EMPTY {
            at = self.after(at);
        }
        self.table[at] = place as u32;
    }

    /// Takes out the oldest; there is one.
    fn pop(&mut self) -> Entry {
        let oldest = self.ring[self.head];
        let hole = self.find(oldest.hash);
        debug_assert!(hole.is_some(), "an id in the ring is not in the table");
        if let Some(hole) = hole {
            self.close(hole);
        }
        self.head = (self.head + 1) & (self.ring.len() - 1);
        self.len -= 1;
        oldest
    }

    /// Empties a place of the table, and moves back what had been pushed on by it (Knuth, volume 3,
    /// algorithm 6.4 R), so that no search ends too early and no marks pile up.
    fn close(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let place = self.table[at];
            if place == EMPTY {
                break;
            }
            let home = self.home(self.ring[place as usize].hash);
            let stays = if hole <= at {
                hole < home && home <= at
            } else {
                hole < home || home <= at
            };
            if !stays {
                self.table[hole] = place;
                hole = at;
            }
        }
        self.table[hole] = EMPTY;
    }

    fn grow(&mut self) {
        let places = (self.ring.len() * 2).max(PLACES_MIN);
        let kept = (0..self.len).map(|at| self.ring[(self.head + at) & (self.ring.len() - 1)]);
        let mut ring = Vec::with_capacity(places);
        ring.extend(kept);
        let nothing = Entry {
            hash: [0; 2],
            at: Instant::ZERO,
        };
        ring.resize(places, nothing);
        self.ring = ring;
        self.head = 0;
        self.table = vec![EMPTY; places * 2];
        for place in 0..self.len {
            self.index(place);
        }
    }

    fn home(&self, hash: [u64; 2]) -> usize {
        hash[0] as usize & (self.table.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.table.len() - 1)
    }
}

/// A place of the table that is free.
const EMPTY: u32 = u32::MAX;
/// The ring's first size: a stream with few events costs next to nothing.
const PLACES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(120);

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn uuid(number: u64) -> String {
        format!("{number:08x}-1234-4321-8888-{number:012x}")
    }

    #[test]
    fn an_id_is_a_duplicate_for_one_window_from_its_first_sight() {
        let mut dedup = Dedup::new(WINDOW, 10, [1, 2]);
        assert!(dedup.is_new(seconds(0), Some("a")));
        let just_before = seconds(120) - Instant::from_nanos(1);
        assert!(!dedup.is_new(Instant::ZERO + just_before, Some("a")));
        assert!(dedup.is_new(seconds(120), Some("a")), "not renewed by it");
        assert_eq!(dedup.counters().cut_short, 0);
    }

    #[test]
    fn an_event_without_an_id_is_never_a_duplicate_and_holds_nothing() {
        let mut dedup = Dedup::new(WINDOW, 10, [1, 2]);
        assert!((0..100).all(|_| dedup.is_new(seconds(0), None)));
        assert!(dedup.is_empty());
        assert_eq!((dedup.counters().unnamed, dedup.held_bytes()), (100, 0));
    }

    #[test]
    fn the_empty_text_is_an_id_like_any_other() {
        let mut dedup = Dedup::new(WINDOW, 10, [1, 2]);
        assert!(dedup.is_new(seconds(0), Some("")));
        assert!(!dedup.is_new(seconds(0), Some("")));
    }

    #[test]
    fn a_window_that_is_cut_short_is_counted_and_shown_until_one_has_passed() {
        let mut dedup = Dedup::new(WINDOW, 3, [1, 2]);
        for at in 0..3 {
            assert!(dedup.is_new(seconds(at), Some(&uuid(at))));
        }
        assert_eq!((dedup.reach(), dedup.counters().cut_short), (WINDOW, 0));
        assert!(dedup.is_new(seconds(10), Some("one too many")));
        assert_eq!(dedup.reach(), Duration::from_secs(10));
        assert_eq!((dedup.len(), dedup.counters().cut_short), (3, 1));
        assert!(dedup.is_new(seconds(10), Some(&uuid(0))), "the oldest went");
        assert!(
            !dedup.is_new(seconds(10), Some(&uuid(2))),
            "the newest did not"
        );
        dedup.forget(seconds(130));
        assert_eq!(dedup.reach(), WINDOW);
    }

    #[test]
    fn fifty_thousand_uuids_cost_less_than_eight_mebibytes() {
        let mut dedup = Dedup::new(WINDOW, 50_000, [1, 2]);
        for number in 0..60_000 {
            assert!(dedup.is_new(seconds(1), Some(&uuid(number))));
            assert!(dedup.held_bytes() < 8 << 20);
        }
        assert_eq!(dedup.len(), 50_000);
        assert_eq!(dedup.held_bytes(), 65_536 * 24 + 131_072 * 4, "2.1 MB");
        for number in 10_000..60_000 {
            assert!(!dedup.is_new(seconds(1), Some(&uuid(number))));
        }
    }

    /// What it must do, written as slowly as can be.
    #[derive(Default)]
    struct Model(VecDeque<(Instant, String)>);

    impl Model {
        fn is_new(&mut self, now: Instant, id: &str, max: usize) -> bool {
            self.0.retain(|(at, _)| now - *at < WINDOW);
            if self.0.iter().any(|(_, known)| known == id) {
                return false;
            }
            if self.0.len() == max {
                self.0.pop_front();
            }
            self.0.push_back((now, id.to_owned()));
            true
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_that_is_searched_from_end_to_end(
            max in 1_usize..200,
            script in proptest::collection::vec((0_u64..20, 0_u64..300), 0..1_500),
        ) {
            let (mut dedup, mut model) = (Dedup::new(WINDOW, max, [3, 4]), Model::default());
            let mut now = Instant::ZERO;
            for (wait, id) in script {
                now += Duration::from_secs(wait / 4);
                let id = uuid(id);
                prop_assert_eq!(dedup.is_new(now, Some(&id)), model.is_new(now, &id, max));
                prop_assert_eq!(dedup.len(), model.0.len());
                let taken = dedup.table.iter().filter(|place| **place != EMPTY).count();
                prop_assert_eq!(taken, dedup.len());
            }
        }
    }
}
