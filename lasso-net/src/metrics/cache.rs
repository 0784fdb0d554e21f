//! Cached answers that many threads read at once.
//!
//! Beside the [`Store`](lasso_core::metrics::store::Store), which decides behind a lock, stands this
//! map, which follows the store's changes and which readers look into. A read takes no lock: it loads
//! the map and the entry through atomic pointers, so neither a refresh nor the store's lock can hold
//! it up.
//!
//! The map itself is copied when a key comes or goes, and only then; an entry is replaced in its
//! place. Readers count themselves on cache lines of their own, one of [`SHARDS`] for each thread.
//!
//! Chosen by measurement, bare maps of 1,024 keys with a thousand writes a second, one and two threads,
//! by processor time: maps behind arc-swap 28 and 47 million reads a second, papaya 33 and 48,
//! quick_cache 34 and 54. quick_cache's readers wait for whoever writes; papaya is hardly faster, and
//! arc-swap the older and more widely used of the two. With freshness, counts and the entry's own
//! pointer this cache reads 17 and 29 million (`benches/cache.rs`); asking the system for the time
//! with each read halves that, so that a caller with many reads does better to ask less often
//! ([`Reader::get_at`](super::Reader::get_at)).
//!
//! ```
//! use lasso_core::metrics::store::{Freshness, Brought, Store, StoreSettings};
//! use lasso_core::time::Instant;
//! use lasso_net::metrics::cache::Cache;
//!
//! let (now, mut changes) = (Instant::ZERO, Vec::new());
//! let mut store = Store::new(StoreSettings::default());
//! let cache = Cache::new(*store.ages());
//!
//! let reading = cache.read(now, "board", || store.want(now, &"board".to_owned(), &mut changes));
//! assert_eq!(reading.freshness, Freshness::Loading);
//!
//! let refresh = store.poll_refresh(now).expect("it is wanted");
//! let gathered = Brought { value: Some(42), answered: 2, failed: Vec::new(), total: 3 };
//! store.finish(now, refresh.id, gathered, &mut changes);
//! cache.apply(changes);
//!
//! let reading = cache.read(now, "board", || unreachable!("it is fresh"));
//! assert_eq!(*reading.entry.expect("it is there").value, 42);
//! assert_eq!(cache.reads().fresh, 1);
//! ```

use core::borrow::Borrow;
use core::hash::Hash;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use lasso_core::metrics::store::{Ages, Change, Entry, Freshness, Reading, Reads};
use lasso_core::time::Instant;
use parking_lot::Mutex;

/// Lines that reads are counted on. Threads beyond that many share some.
pub const SHARDS: usize = 16;
/// Of all who read one entry that is not fresh, one goes to the store in this time. A refresh takes
/// longer; and should one that went have come to nothing, another goes.
const WANT_AGAIN: Duration = Duration::from_secs(1);

/// What is shown under a key until the next change.
struct Shown<V> {
    entry: Arc<Entry<V>>,
    /// When a reader last went to the store for it, in nanoseconds plus one; 0 for never.
    wanted_at: AtomicU64,
}

type Place<V> = Arc<ArcSwap<Shown<V>>>;

/// With the standard hasher a read takes twice as long. Nothing depends on the order; and whoever
/// finds keys that share a place, though it is seeded, still finds no more of them than the store has
/// keys.
type Map<K, V> = HashMap<K, Place<V>, RandomState>;

/// Counts of one shard, alone on its pair of cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    fresh: AtomicU64,
    stale: AtomicU64,
    expired: AtomicU64,
    loading: AtomicU64,
}

/// See the module. It is to be shared behind an [`Arc`]; it holds as many keys as the store does.
pub struct Cache<K, V> {
    ages: Ages,
    generation: Arc<AtomicU64>,
    map: ArcSwap<Map<K, V>>,
    /// Held by whoever applies changes, never by a reader.
    writing: Mutex<()>,
    shards: [Shard; SHARDS],
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache of nothing, whose entries age as the store's.
    pub fn new(ages: Ages) -> Self {
        Cache::following(ages, &Arc::new(AtomicU64::new(0)))
    }

    /// A cache that shares its generation with others.
    pub fn following(ages: Ages, generation: &Arc<AtomicU64>) -> Self {
        Cache {
            ages,
            generation: Arc::clone(generation),
            map: ArcSwap::from_pointee(Map::default()),
            writing: Mutex::new(()),
            shards: Default::default(),
        }
    }

    /// What is there, at once. Calls `want`, which is to call
    /// [`Store::want`](lasso_core::metrics::store::Store::want), when it is not fresh and nobody has
    /// done so for a second; always when there is nothing.
    pub fn read<Q>(&self, now: Instant, key: &Q, want: impl FnOnce()) -> Reading<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let generation = self.generation.load(Ordering::Acquire);
        let map = self.map.load();
        let shown = map.get(key).map(|place| place.load());
        let entry = shown.as_ref().map(|shown| &shown.entry);
        let reading = Reading::of(entry, now, generation, &self.ages);
        self.count(reading.freshness);
        if reading.freshness != Freshness::Fresh
            && shown.is_none_or(|shown| shown.is_first_to_want(now))
        {
            want();
        }
        reading
    }

    /// Whether there is anything to be read. Counts as no read.
    pub fn peek<Q>(&self, now: Instant, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let generation = self.generation.load(Ordering::Acquire);
        let map = self.map.load();
        let entry = map.get(key).map(|place| Arc::clone(&place.load().entry));
        let reading = Reading::of(entry.as_ref(), now, generation, &self.ages);
        reading.freshness != Freshness::Loading
    }

    /// Follows the store. Changes of one store are to be applied in the order it told them: by
    /// whoever holds the store's lock, or one after another from a queue.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change<K, V>>) {
        let _writing = self.writing.lock();
        for change in changes {
            match change {
                Change::Publish(key, entry) => self.publish(key, entry),
                Change::Withdraw(key) => self.copy_map(|map| drop(map.remove(&key))),
            }
        }
    }

    /// Follows [`Store::generation`](lasso_core::metrics::store::Store::generation): to be called
    /// after the store knows of the change of membership.
    pub fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Keys that have an entry.
    pub fn len(&self) -> usize {
        self.map.load().len()
    }

    /// True when no key has an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often what was read, by all threads so far.
    pub fn reads(&self) -> Reads {
        let sum = |count: fn(&Shard) -> &AtomicU64| {
            let counts = self.shards.iter().map(count);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        Reads {
            fresh: sum(|shard| &shard.fresh),
            stale: sum(|shard| &shard.stale),
            expired: sum(|shard| &shard.expired),
            loading: sum(|shard| &shard.loading),
        }
    }

    fn publish(&self, key: K, entry: Arc<Entry<V>>) {
        let shown = Arc::new(Shown {
            entry,
            wanted_at: AtomicU64::new(0),
        });
        if let Some(place) = self.map.load().get(&key) {
            place.store(shown);
        } else {
            let place = Arc::new(ArcSwap::new(shown));
            self.copy_map(|map| drop(map.insert(key, place)));
        }
    }

    fn copy_map(&self, change: impl FnOnce(&mut Map<K, V>)) {
        let mut map = HashMap::clone(&self.map.load());
        change(&mut map);
        self.map.store(Arc::new(map));
    }

    fn count(&self, freshness: Freshness) {
        let shard = &self.shards[SHARD.with(|shard| *shard)];
        let count = match freshness {
            Freshness::Fresh => &shard.fresh,
            Freshness::Stale => &shard.stale,
            Freshness::Expired => &shard.expired,
            Freshness::Loading => &shard.loading,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl<V> Shown<V> {
    fn is_first_to_want(&self, now: Instant) -> bool {
        let last = self.wanted_at.load(Ordering::Relaxed);
        let lately = last != 0 && now - Instant::from_nanos(last - 1) < WANT_AGAIN;
        let mine = now.as_nanos().saturating_add(1);
        let (won, lost) = (Ordering::Relaxed, Ordering::Relaxed);
        !lately
            && self
                .wanted_at
                .compare_exchange(last, mine, won, lost)
                .is_ok()
    }
}

/// Threads that have counted so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where this thread counts.
    static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

#[cfg(test)]
mod tests {
    use lasso_core::metrics::store::{Brought, Store, StoreSettings};

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn entry(value: u64, gathered_at: Instant, generation: u64) -> Arc<Entry<u64>> {
        Arc::new(Entry {
            value: Arc::new(value),
            gathered_at,
            generation,
            alone: false,
            coverage: Default::default(),
            failure: None,
        })
    }

    fn warm() -> Cache<&'static str, u64> {
        let cache = Cache::new(Ages::default());
        cache.apply([Change::Publish("a", entry(1, at(0), 0))]);
        cache
    }

    #[test]
    fn of_many_readers_of_a_stale_entry_one_wants_a_refresh() {
        let cache = warm();
        let mut wanted = 0;
        for _ in 0..1_000 {
            let reading = cache.read(at(16), &"a", || wanted += 1);
            assert_eq!(reading.freshness, Freshness::Stale);
        }
        assert_eq!(wanted, 1);
        cache.read(at(17), &"a", || wanted += 1);
        assert_eq!(wanted, 2, "another goes after a second");
        cache.apply([Change::Publish("a", entry(2, at(17), 0))]);
        let reading = cache.read(at(18), &"a", || wanted += 1);
        assert_eq!((*reading.entry.unwrap().value, wanted), (2, 2));
        cache.read(at(40), &"a", || wanted += 1);
        assert_eq!(wanted, 3);
    }

    #[test]
    fn whoever_finds_nothing_always_wants() {
        let cache = warm();
        let mut wanted = 0;
        for _ in 0..3 {
            let reading = cache.read(at(0), &"b", || wanted += 1);
            assert_eq!(reading.freshness, Freshness::Loading);
        }
        assert_eq!(wanted, 3);
        cache.apply([Change::Withdraw("a")]);
        assert!(cache.is_empty());
        cache.read(at(0), &"a", || wanted += 1);
        assert_eq!(wanted, 4);
        assert_eq!(cache.reads().loading, 4);
    }

    #[test]
    fn a_new_generation_makes_all_stale() {
        let cache = warm();
        cache.set_generation(1);
        let reading = cache.read(at(0), &"a", || ());
        assert_eq!(reading.freshness, Freshness::Stale);
        assert_eq!(
            *reading.entry.unwrap().value,
            1,
            "but nothing is thrown away"
        );
        assert_eq!(cache.reads().stale, 1);
    }

    #[test]
    fn readers_see_what_the_store_would_say() {
        let settings = StoreSettings {
            keys_max: 3,
            ..StoreSettings::default()
        };
        let (mut store, mut changes) = (Store::new(settings), Vec::new());
        let cache = Cache::new(*store.ages());
        let mut under_way = Vec::new();
        for step in 0..2_000u64 {
            let (now, key) = (at(step * 3), step * 7 % 11 % 5);
            if step % 13 == 0 {
                store.membership_changed(now);
                cache.set_generation(store.generation());
            }
            store.tick(now, &mut changes);
            cache.apply(changes.drain(..));
            let read = cache.read(now, &key, || ());
            assert_eq!(read, store.read(now, &key, &mut changes));
            under_way.extend(store.poll_refresh(now));
            if step % 2 == 0 && !under_way.is_empty() {
                let gathered = Brought {
                    value: Some(step),
                    answered: 1,
                    failed: Vec::new(),
                    total: 2,
                };
                let refresh = under_way.remove(0);
                store.finish(now, refresh.id, gathered, &mut changes);
            }
            cache.apply(changes.drain(..));
        }
        assert_eq!(cache.reads(), *store.reads());
    }

    #[test]
    fn many_threads_read_whole_entries_while_they_change() {
        let cache = warm();
        std::thread::scope(|scope| {
            let read = || {
                let mut last = 0;
                while last < 999 {
                    let value = *cache.read(at(0), &"a", || ()).entry.unwrap().value;
                    assert!(value >= last, "never back to an older one");
                    last = value;
                }
            };
            scope.spawn(read);
            scope.spawn(read);
            for value in 2..1_000 {
                cache.apply([Change::Publish("a", entry(value, at(0), 0))]);
            }
        });
        assert!(cache.reads().fresh >= 2);
    }
}
