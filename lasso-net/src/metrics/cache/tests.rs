//! What readers of a cache may count on.

use std::sync::OnceLock;

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
        let told = store.read(now, &key, &mut changes);
        assert_eq!((read.freshness, read.age), (told.freshness, told.age));
        assert_eq!(read.entry.as_deref(), told.entry.as_deref());
        under_way.extend(store.poll_refresh(now));
        if step % 2 == 0 && !under_way.is_empty() {
            let gathered = Brought {
                value: Some(step),
                own: true,
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

#[test]
fn an_answer_that_the_store_has_given_up_is_kept_by_nobody() {
    let cache = warm();
    let value = Arc::downgrade(&cache.read(at(0), &"a", || ()).entry.unwrap().value);
    let (told, hears) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let cache = &cache;
        let (has_read, read) = std::sync::mpsc::channel();
        scope.spawn(move || {
            cache.read(at(0), &"a", || ());
            has_read.send(()).unwrap();
            // Still there, and reads no more.
            hears.recv().unwrap();
        });
        read.recv().unwrap();
        cache.apply([Change::Withdraw("a")]);
        assert!(value.upgrade().is_none());
        told.send(()).unwrap();
    });
}

#[test]
fn readings_are_held_for_as_long_and_by_as_many_as_one_likes() {
    let cache = warm();
    let held: Vec<_> = (2..100)
        .map(|value| {
            let reading = cache.read(at(0), &"a", || ());
            cache.apply([Change::Publish("a", entry(value, at(0), 0))]);
            reading
        })
        .collect();
    let elsewhere = std::thread::spawn(move || {
        let values = held.iter().map(|reading| *reading.value().unwrap());
        assert!(values.eq(1..99));
        Arc::downgrade(&held[0].clone().entry.unwrap().value)
    });
    assert!(
        elsewhere.join().unwrap().upgrade().is_none(),
        "all are dropped"
    );
    assert_eq!(*cache.read(at(0), &"a", || ()).entry.unwrap().value, 99);
}

/// A key that asks for another one whenever it is hashed.
#[derive(Clone, PartialEq, Eq)]
struct Curious(u8);

static CURIOUS: OnceLock<Cache<Curious, u64>> = OnceLock::new();

impl Hash for Curious {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        state.write_u8(self.0);
        if let (Some(cache), Some(next)) = (CURIOUS.get(), self.0.checked_sub(1)) {
            let reading = cache.read(at(0), &Curious(next), || ());
            assert_eq!(reading.value(), Some(&u64::from(next)));
        }
    }
}

#[test]
fn a_key_may_ask_for_another_while_it_is_looked_for() {
    let cache = Cache::new(Ages::default());
    let publish = |n| Change::Publish(Curious(n), entry(u64::from(n), at(0), 0));
    cache.apply((0..3).map(publish));
    assert!(CURIOUS.set(cache).is_ok());
    let cache = CURIOUS.get().unwrap();
    assert_eq!(cache.read(at(0), &Curious(2), || ()).value(), Some(&2));
}
