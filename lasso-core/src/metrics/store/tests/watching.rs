//! Keys that are watched.

use super::*;

#[test]
fn a_watched_key_stays_fresh_though_nobody_reads_it() {
    let (mut store, mut changes) = store();
    store.watch_only(at(0), [1], &mut changes);
    for second in 0..300 {
        store.tick(at(second), &mut changes);
        if let Some(refresh) = store.poll_refresh(at(second)) {
            store.finish(at(second), refresh.id, good(second), &mut changes);
        }
        let entry = store.slots[&1].entry.as_ref().unwrap();
        let worth = entry.freshness(at(second), store.generation(), store.ages());
        assert_eq!(worth, Freshness::Fresh, "at {second} s");
    }
    assert_eq!(
        store.counters().started,
        30,
        "one in two thirds of 15 seconds"
    );
    // Nobody watches it any more: it ages, and is forgotten.
    store.watch_only(at(300), [], &mut changes);
    assert_eq!(store.deadline(), Some(at(290 + 300)));
    store.tick(at(590), &mut changes);
    assert_eq!((store.keys(), store.deadline()), (0, None));
}

#[test]
fn a_watched_key_is_gathered_at_once_after_a_change_of_membership_and_again_after_failures() {
    let (mut store, mut changes) = warm();
    store.watch_only(at(1), [1], &mut changes);
    assert_eq!(store.poll_refresh(at(1)), None, "it is fresh");
    assert_eq!(store.deadline(), Some(at(10)));
    store.membership_changed(at(2));
    let refresh = store.poll_refresh(at(2)).expect("at once");
    store.finish(at(2), refresh.id, good(11), &mut changes);
    let mut now = at(12);
    let refresh = store.poll_refresh(now).unwrap();
    store.finish(now, refresh.id, nobody(1), &mut changes);
    // Ten minutes of failures: it is tried on, and what is too old is not shown.
    while now < at(600) {
        now = store.deadline().expect("it is watched");
        store.tick(now, &mut changes);
        if let Some(refresh) = store.poll_refresh(now) {
            let nothing = Brought {
                value: None,
                own: false,
                ..nobody(0)
            };
            store.finish(now, refresh.id, nothing, &mut changes);
        }
    }
    assert!(changes.contains(&Change::Withdraw(1)));
    assert!((50..70).contains(&store.counters().failed));
}

#[test]
fn watched_keys_do_not_give_way_and_get_a_place_as_soon_as_there_is_one() {
    let settings = StoreSettings {
        keys_max: 2,
        ..StoreSettings::default()
    };
    let (mut store, mut changes) = (Words::new(settings), Vec::new());
    for key in [2, 3] {
        store.want(at(0), &key, &mut changes);
    }
    let running = [2, 3].map(|_| store.poll_refresh(at(0)).unwrap());
    store.watch_only(at(1), [1, 4], &mut changes);
    assert_eq!(store.counters().refused, 1, "one may be watched of two");
    store.finish(at(2), running[0].id, good(1), &mut changes);
    store.tick(at(2), &mut changes);
    let watched = store.poll_refresh(at(2)).unwrap();
    assert_eq!(watched.key, 1);
    for id in [watched.id, running[1].id] {
        store.finish(at(3), id, good(1), &mut changes);
    }
    for key in 5..50 {
        store.want(at(u64::from(key)), &key, &mut changes);
    }
    assert!(store.slots.contains_key(&1) && store.slots.contains_key(&49));
}

#[test]
fn a_watcher_is_told_of_each_answer_and_of_each_change_of_its_worth_once() {
    let (mut store, mut changes) = store();
    let mut told = Told::default();
    let mut look = |store: &Words, seconds| {
        let entry = store.slots.get(&1).and_then(|slot| slot.entry.clone());
        let reading = Reading::of(entry, at(seconds), store.generation(), store.ages());
        told.is_news(&reading)
    };
    assert!(!look(&store, 0), "there is nothing yet");
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    store.finish(at(0), refresh.id, good(10), &mut changes);
    let news = [0, 1, 15, 16, 17, 60, 61, 299, 300].map(|seconds| look(&store, seconds));
    assert_eq!(
        news,
        [true, false, false, true, false, false, true, false, true]
    );
    let falls = |seconds| {
        let reading = Reading::of(store.slots[&1].entry.clone(), at(seconds), 0, store.ages());
        reading
            .falls_at(at(seconds), store.ages())
            .map(|at| at.since_start().as_secs())
    };
    assert_eq!(
        [0, 15, 16, 61, 300].map(falls),
        [Some(15), Some(15), Some(60), Some(300), None]
    );
    store.membership_changed(at(2));
    assert!(look(&store, 2), "it is stale");
    store.want(at(2), &1, &mut changes);
    let refresh = store.poll_refresh(at(2)).unwrap();
    store.finish(at(3), refresh.id, nobody(1), &mut changes);
    assert!(look(&store, 3), "that failed");
    assert!(!look(&store, 3));
}
