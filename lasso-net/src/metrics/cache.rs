//! Cached answers that many threads read at once.
//!
//! Beside the [`Store`](lasso_core::metrics::store::Store), which decides behind a lock, stands this
//! map, which follows the store's changes and which readers look into. A read takes no lock, so
//! neither a refresh nor the store's lock can hold it up; and it writes nothing that another thread
//! reads, so readers do not slow each other down:
//!
//! - The map is copied when a key comes or goes, and only then; each thread keeps the copy it last
//!   read from and looks whether it is still the last. An entry is replaced in its place.
//! - An entry is not counted as referred to while a reader holds it, but noted in a place of the
//!   reader's thread, as long as that has one free: see [`Held`].
//! - Each thread counts its reads by itself.
//!
//! Each thread that reads no more keeps its copy of the map until the cache is gone: keys and empty
//! places, at most as many as the store has keys, and no answers that the store has given up. A
//! thread's first read takes a lock for a moment, that of the list of threads.
//!
//! Chosen by measurement among bare maps of 1,024 keys with a thousand writes a second: papaya was
//! hardly faster than maps behind arc-swap, which is the older and more widely used of the two;
//! quick_cache was faster, but its readers wait for whoever writes. What this cache reads beside a bare
//! map behind arc-swap is in `benches/cache.rs`.
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
//! let gathered = Brought { value: Some(42), own: true, answered: 2, failed: Vec::new(), total: 3 };
//! store.finish(now, refresh.id, gathered, &mut changes);
//! cache.apply(changes);
//!
//! let reading = cache.read(now, "board", || unreachable!("it is fresh"));
//! assert_eq!(*reading.entry.expect("it is there").value, 42);
//! assert_eq!(cache.reads().fresh, 1);
//! ```

use core::borrow::Borrow;
use core::cell::RefCell;
use core::fmt;
use core::hash::Hash;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use lasso_core::metrics::store::{Ages, Change, Entry, Freshness, Reading, Reads};
use lasso_core::time::Instant;
use parking_lot::Mutex;
use thread_local::ThreadLocal;

/// Of all who read one entry that is not fresh, one goes to the store in this time. A refresh takes
/// longer; and should one that went have come to nothing, another goes.
const WANT_AGAIN: Duration = Duration::from_secs(1);

/// What is shown under a key until the next change.
struct Shown<V> {
    entry: Entry<V>,
    /// When a reader last went to the store for it, in nanoseconds plus one; 0 for never.
    wanted_at: AtomicU64,
}

/// Where what is shown under a key stands; empty once the key is gone, for whoever still has a map
/// with it.
type Place<V> = Arc<ArcSwapOption<Shown<V>>>;

/// With the standard hasher a read takes twice as long. Nothing depends on the order; and whoever
/// finds keys that share a place, though it is seeded, still finds no more of them than the store has
/// keys.
type Map<K, V> = HashMap<K, Place<V>, RandomState>;

/// The present map, for all threads.
type SharedMap<K, V> = Arc<ArcSwap<Map<K, V>>>;

/// An entry in the hands of a reader, to be kept as long as it likes. While a thread holds more than
/// eight, in all caches together, its further reads are counted as references, and cost a little more.
pub struct Held<V>(Guard<Option<Arc<Shown<V>>>>);

impl<V> Held<V> {
    fn of(place: &Place<V>) -> Option<Self> {
        let shown = place.load();
        shown.is_some().then_some(Held(shown))
    }

    fn shown(&self) -> &Shown<V> {
        self.0.as_ref().expect("looked at where it was taken")
    }
}

impl<V> Deref for Held<V> {
    type Target = Entry<V>;

    fn deref(&self) -> &Entry<V> {
        &self.shown().entry
    }
}

impl<V> Clone for Held<V> {
    fn clone(&self) -> Self {
        Held(Guard::from_inner(Option::clone(&self.0)))
    }
}

impl<V: fmt::Debug> fmt::Debug for Held<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().entry.fmt(f)
    }
}

/// The map as one thread has last seen it, which it renews when there is another.
type SeenMap<K, V> = arc_swap::Cache<SharedMap<K, V>, Arc<Map<K, V>>>;

/// What one thread has for itself, alone on a pair of cache lines, as each read writes to it.
#[repr(align(128))]
struct Local<K, V> {
    map: RefCell<SeenMap<K, V>>,
    counts: Arc<Counts>,
}

/// Reads of one thread, which alone writes here; on lines of its own too.
#[derive(Default)]
#[repr(align(128))]
struct Counts {
    fresh: AtomicU64,
    stale: AtomicU64,
    expired: AtomicU64,
    loading: AtomicU64,
}

/// See the module. It is to be shared behind an [`Arc`]; it holds as many keys as the store does.
pub struct Cache<K: Send + Sync, V: Send + Sync> {
    ages: Ages,
    generation: Arc<AtomicU64>,
    map: SharedMap<K, V>,
    /// Held by whoever applies changes, never by a reader.
    writing: Mutex<()>,
    locals: ThreadLocal<Local<K, V>>,
    /// The counts of all that there are in `locals`; one more with each thread's first read.
    counts: Mutex<Vec<Arc<Counts>>>,
}

impl<K: Hash + Eq + Clone + Send + Sync, V: Send + Sync> Cache<K, V> {
    /// A cache of nothing, whose entries age as the store's.
    pub fn new(ages: Ages) -> Self {
        Cache::following(ages, &Arc::new(AtomicU64::new(0)))
    }

    /// A cache that shares its generation with others.
    pub fn following(ages: Ages, generation: &Arc<AtomicU64>) -> Self {
        Cache {
            ages,
            generation: Arc::clone(generation),
            map: Arc::new(ArcSwap::from_pointee(Map::default())),
            writing: Mutex::new(()),
            locals: ThreadLocal::new(),
            counts: Mutex::default(),
        }
    }

    /// What is there, at once. Calls `want`, which is to call
    /// [`Store::want`](lasso_core::metrics::store::Store::want), when it is not fresh and nobody has
    /// done so for a second; always when there is nothing.
    #[inline]
    pub fn read<Q>(&self, now: Instant, key: &Q, want: impl FnOnce()) -> Reading<Held<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let local = self.locals.get_or(|| self.local());
        let generation = self.generation.load(Ordering::Acquire);
        let held = local.find(key).unwrap_or_else(|| self.find(key));
        let reading = Reading::of(held, now, generation, &self.ages);
        local.counts.count(reading.freshness);
        if reading.freshness != Freshness::Fresh {
            let entry = reading.entry.as_ref();
            if entry.is_none_or(|held| held.shown().is_first_to_want(now)) {
                want();
            }
        }
        reading
    }

    /// What is there, at once, as [`Cache::read`] would give it. Counts as no read, and makes the store want nothing.
    pub fn peek<Q>(&self, now: Instant, key: &Q) -> Reading<Held<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let generation = self.generation.load(Ordering::Acquire);
        Reading::of(self.find(key), now, generation, &self.ages)
    }

    /// Until when an answer is good for what.
    pub fn ages(&self) -> &Ages {
        &self.ages
    }

    /// Follows the store. Changes of one store are to be applied in the order it told them: by
    /// whoever holds the store's lock, or one after another from a queue.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change<K, V>>) {
        let _writing = self.writing.lock();
        for change in changes {
            match change {
                Change::Publish(key, entry) => self.publish(key, entry),
                Change::Withdraw(key) => self.withdraw(&key),
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
        let counts = self.counts.lock();
        let sum = |count: fn(&Counts) -> &AtomicU64| {
            let counts = counts.iter().map(|counts| count(counts));
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        Reads {
            fresh: sum(|counts| &counts.fresh),
            stale: sum(|counts| &counts.stale),
            expired: sum(|counts| &counts.expired),
            loading: sum(|counts| &counts.loading),
        }
    }

    fn publish(&self, key: K, entry: Arc<Entry<V>>) {
        let shown = Arc::new(Shown {
            entry: Arc::unwrap_or_clone(entry),
            wanted_at: AtomicU64::new(0),
        });
        if let Some(place) = self.map.load().get(&key) {
            place.store(Some(shown));
        } else {
            let place = Arc::new(ArcSwapOption::new(Some(shown)));
            self.copy_map(|map| drop(map.insert(key, place)));
        }
    }

    fn withdraw(&self, key: &K) {
        self.copy_map(|map| {
            if let Some(place) = map.remove(key) {
                place.store(None);
            }
        });
    }

    fn copy_map(&self, change: impl FnOnce(&mut Map<K, V>)) {
        let mut map = HashMap::clone(&self.map.load());
        change(&mut map);
        self.map.store(Arc::new(map));
    }

    fn find<Q>(&self, key: &Q) -> Option<Held<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.load().get(key).and_then(Held::of)
    }

    #[cold]
    fn local(&self) -> Local<K, V> {
        let counts = Arc::<Counts>::default();
        self.counts.lock().push(Arc::clone(&counts));
        Local {
            map: RefCell::new(arc_swap::Cache::new(Arc::clone(&self.map))),
            counts,
        }
    }
}

impl<K: Hash + Eq, V> Local<K, V> {
    /// What is there; `None` when this thread is looking for a key already, whose hash or comparison
    /// has asked for another.
    #[inline]
    fn find<Q>(&self, key: &Q) -> Option<Option<Held<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut map = self.map.try_borrow_mut().ok()?;
        Some(map.load().get(key).and_then(Held::of))
    }
}

impl Counts {
    #[inline]
    fn count(&self, freshness: Freshness) {
        let count = match freshness {
            Freshness::Fresh => &self.fresh,
            Freshness::Stale => &self.stale,
            Freshness::Expired => &self.expired,
            Freshness::Loading => &self.loading,
        };
        // Nobody else writes: no need to lock the line.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests;
