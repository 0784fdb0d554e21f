use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::name::NodeName;
use crate::plane::CallError;

mod watching;

type Words = Store<u8, u64>;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn store() -> (Words, Vec<Change<u8, u64>>) {
    (Store::new(StoreSettings::default()), Vec::new())
}

fn good(value: u64) -> Brought<u64> {
    Brought {
        value: Some(value),
        own: true,
        answered: 2,
        failed: Vec::new(),
        total: 3,
    }
}

fn nobody(value: u64) -> Brought<u64> {
    let failed = ["app@10.0.0.2", "app@10.0.0.3"].map(|name| {
        let name: NodeName = name.parse().unwrap();
        (name, CallError::Timeout(Duration::from_secs(5)))
    });
    Brought {
        value: Some(value),
        own: true,
        answered: 0,
        failed: failed.into(),
        total: 3,
    }
}

/// A store in which key 1 has the value 10, gathered at second 0.
fn warm() -> (Words, Vec<Change<u8, u64>>) {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    store.finish(at(0), refresh.id, good(10), &mut changes);
    (store, changes)
}

fn value(reading: &Reading<Arc<Entry<u64>>>) -> u64 {
    *reading.entry.as_ref().unwrap().value
}

#[test]
fn an_answer_is_fresh_to_15_s_stale_to_60_s_then_expired_and_gone_at_300_s() {
    for (seconds, freshness) in [
        (0, Freshness::Fresh),
        (15, Freshness::Fresh),
        (16, Freshness::Stale),
        (60, Freshness::Stale),
        (61, Freshness::Expired),
        (299, Freshness::Expired),
        (300, Freshness::Loading),
    ] {
        let (mut store, mut changes) = warm();
        let reading = store.read(at(seconds), &1, &mut changes);
        assert_eq!(reading.freshness, freshness, "at {seconds} s");
        if freshness != Freshness::Loading {
            assert_eq!(reading.age, Duration::from_secs(seconds));
            assert_eq!(value(&reading), 10);
        }
        let wanted = store.poll_refresh(at(seconds)).is_some();
        assert_eq!(wanted, freshness != Freshness::Fresh, "at {seconds} s");
    }
}

#[test]
fn a_thousand_readers_cause_one_refresh() {
    let (mut store, mut changes) = store();
    for _ in 0..1_000 {
        let reading = store.read(at(0), &1, &mut changes);
        assert_eq!(reading.freshness, Freshness::Loading);
    }
    assert!(store.poll_refresh(at(0)).is_some());
    for _ in 0..1_000 {
        store.read(at(1), &1, &mut changes);
    }
    assert_eq!(store.poll_refresh(at(1)), None);
    assert_eq!(store.counters().started, 1);
    assert_eq!(store.reads().loading, 2_000);
}

#[test]
fn the_age_counts_from_the_start_of_the_refresh() {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    store.finish(at(5), refresh.id, good(10), &mut changes);
    let reading = store.read(at(5), &1, &mut changes);
    assert_eq!(reading.age, Duration::from_secs(5));
    let coverage = &reading.entry.unwrap().coverage;
    assert_eq!((coverage.responding, coverage.total), (3, 3));
    assert_eq!(coverage.took, Duration::from_secs(5));
}

#[test]
fn a_change_of_membership_makes_all_stale_and_throws_nothing_away() {
    let (mut store, mut changes) = warm();
    changes.clear();
    store.membership_changed(at(1));
    assert!(changes.is_empty());
    let reading = store.read(at(1), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Stale, 10));
    let refresh = store.poll_refresh(at(1)).unwrap();
    store.finish(at(1), refresh.id, good(11), &mut changes);
    let reading = store.read(at(1), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Fresh, 11));
}

#[test]
fn what_a_refresh_from_before_a_change_brings_is_stale_and_one_more_runs() {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    store.membership_changed(at(1));
    store.want(at(1), &1, &mut changes);
    assert_eq!(store.poll_refresh(at(1)), None, "never two at once");
    store.finish(at(2), refresh.id, good(10), &mut changes);
    let reading = store.read(at(2), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Stale, 10));
    let again = store.poll_refresh(at(2)).expect("nobody had to ask");
    store.finish(at(2), again.id, good(11), &mut changes);
    let reading = store.read(at(2), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Fresh, 11));
    assert_eq!(store.poll_refresh(at(2)), None);
    assert_eq!(store.counters().overtaken, 1);
}

#[test]
fn a_failed_refresh_keeps_value_age_and_coverage_and_is_told() {
    let (mut store, mut changes) = warm();
    store.want(at(20), &1, &mut changes);
    let refresh = store.poll_refresh(at(20)).unwrap();
    store.finish(at(25), refresh.id, nobody(1), &mut changes);
    let reading = store.read(at(25), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Stale, 10));
    assert_eq!(reading.age, Duration::from_secs(25));
    let entry = reading.entry.unwrap();
    assert_eq!(entry.coverage.responding, 3);
    let failure = entry.failure.as_ref().unwrap();
    assert_eq!((failure.count, failure.at), (1, at(25)));
    assert_eq!(failure.coverage.responding, 1);
    assert_eq!(failure.coverage.failed.len(), 2);
    assert_eq!(store.counters().failed, 1);
    // Again after 1 s, then 2, without anybody asking.
    assert_eq!(store.poll_refresh(at(25)), None);
    assert_eq!(store.deadline(), Some(at(26)));
    let refresh = store.poll_refresh(at(26)).unwrap();
    store.finish(at(26), refresh.id, nobody(1), &mut changes);
    assert_eq!(store.poll_refresh(at(27)), None);
    let refresh = store.poll_refresh(at(28)).unwrap();
    store.finish(at(28), refresh.id, good(12), &mut changes);
    let reading = store.read(at(28), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Fresh, 12));
    assert_eq!(reading.entry.unwrap().failure, None);
}

#[test]
fn with_nothing_to_keep_this_node_alone_is_shown_but_never_as_fresh() {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    store.finish(at(1), refresh.id, nobody(7), &mut changes);
    let reading = store.read(at(1), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Stale, 7));
    let coverage = &reading.entry.unwrap().coverage;
    assert_eq!((coverage.responding, coverage.total), (1, 3));
    // The next one that fails brings newer figures of this node.
    let refresh = store.poll_refresh(at(2)).unwrap();
    store.finish(at(2), refresh.id, nobody(8), &mut changes);
    assert_eq!(value(&store.read(at(2), &1, &mut changes)), 8);
}

#[test]
fn a_refresh_without_any_value_beside_figures_of_this_node_alone_is_told() {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    store.finish(at(1), refresh.id, nobody(7), &mut changes);
    let refresh = store.poll_refresh(at(2)).unwrap();
    let nothing = Brought {
        value: None,
        own: false,
        ..nobody(0)
    };
    store.finish(at(3), refresh.id, nothing, &mut changes);
    let reading = store.read(at(3), &1, &mut changes);
    assert_eq!((reading.freshness, value(&reading)), (Freshness::Stale, 7));
    let entry = reading.entry.unwrap();
    let failure = entry.failure.as_ref().unwrap();
    assert_eq!((failure.count, failure.at), (2, at(3)));
    assert_eq!(
        (failure.coverage.responding, failure.coverage.total),
        (0, 3)
    );
}

#[test]
fn a_node_that_is_alone_and_asked_nobody_has_not_failed() {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    let alone = Brought {
        value: Some(7),
        own: true,
        answered: 0,
        failed: Vec::new(),
        total: 1,
    };
    store.finish(at(0), refresh.id, alone, &mut changes);
    let reading = store.read(at(0), &1, &mut changes);
    assert_eq!(reading.freshness, Freshness::Fresh);
}

#[test]
fn one_node_that_answers_too_late_does_not_fail_the_refresh() {
    let (mut store, mut changes) = store();
    store.want(at(0), &1, &mut changes);
    let refresh = store.poll_refresh(at(0)).unwrap();
    let some = Brought {
        answered: 1,
        failed: nobody(0).failed[..1].to_vec(),
        ..good(9)
    };
    store.finish(at(5), refresh.id, some, &mut changes);
    let reading = store.read(at(5), &1, &mut changes);
    assert_eq!(reading.freshness, Freshness::Fresh);
    let coverage = &reading.entry.unwrap().coverage;
    assert_eq!(coverage.responding, 2);
    assert_eq!(coverage.failed[0].1.name(), "timeout");
}

#[test]
fn what_nobody_reads_is_not_tried_for_ever() {
    let (mut store, mut changes) = warm();
    store.want(at(16), &1, &mut changes);
    let (mut now, mut tries) = (16, 0);
    while let Some(next) = store.deadline() {
        now = next.since_start().as_secs();
        store.tick(next, &mut changes);
        if let Some(refresh) = store.poll_refresh(next) {
            tries += 1;
            store.finish(next, refresh.id, nobody(1), &mut changes);
        }
    }
    assert!((5..12).contains(&tries), "{tries}");
    assert_eq!(now, 300, "then the value is dropped");
    assert_eq!(store.keys(), 0);
    assert_eq!(changes.last(), Some(&Change::Withdraw(1)));
}

#[test]
fn a_refresh_that_nobody_finishes_is_given_up_and_its_result_dropped() {
    let (mut store, mut changes) = warm();
    store.want(at(16), &1, &mut changes);
    let lost = store.poll_refresh(at(16)).unwrap();
    assert_eq!(store.deadline(), Some(at(26)));
    store.tick(at(26), &mut changes);
    assert_eq!(store.counters().given_up, 1);
    let next = store.poll_refresh(at(27)).expect("after the backoff");
    store.finish(at(27), lost.id, good(99), &mut changes);
    assert_eq!(store.counters().late, 1);
    assert_eq!(value(&store.read(at(27), &1, &mut changes)), 10);
    store.finish(at(27), next.id, good(11), &mut changes);
    assert_eq!(value(&store.read(at(27), &1, &mut changes)), 11);
}

#[test]
fn a_change_of_membership_ends_a_backoff() {
    let (mut store, mut changes) = warm();
    store.want(at(16), &1, &mut changes);
    let refresh = store.poll_refresh(at(16)).unwrap();
    store.finish(at(20), refresh.id, nobody(1), &mut changes);
    assert_eq!(store.poll_refresh(at(20)), None);
    store.membership_changed(at(20));
    assert!(store.poll_refresh(at(20)).is_some());
}

#[test]
fn a_refresh_that_fails_after_a_change_of_membership_is_followed_by_one_more_at_once() {
    let (mut store, mut changes) = warm();
    store.want(at(16), &1, &mut changes);
    let overtaken = store.poll_refresh(at(16)).unwrap();
    store.membership_changed(at(17));
    store.finish(at(21), overtaken.id, nobody(1), &mut changes);
    let again = store
        .poll_refresh(at(21))
        .expect("no backoff, as others are there now");
    store.finish(at(21), again.id, nobody(1), &mut changes);
    let reading = store.read(at(21), &1, &mut changes);
    assert_eq!(reading.entry.unwrap().failure.as_ref().unwrap().count, 2);
    assert_eq!(
        store.poll_refresh(at(21)),
        None,
        "that one was of the present cluster"
    );
    // What is given up counts as failed.
    let slow = store
        .poll_refresh(at(24))
        .expect("after the second backoff");
    store.membership_changed(at(25));
    store.tick(at(34), &mut changes);
    assert!(
        store
            .poll_refresh(at(34))
            .is_some_and(|next| next.id != slow.id)
    );
    assert_eq!(store.counters().overtaken, 2);
}

#[test]
fn refreshes_are_bounded_and_done_in_the_order_wanted() {
    let settings = StoreSettings {
        refreshes_max: 2,
        ..StoreSettings::default()
    };
    let (mut store, mut changes) = (Words::new(settings), Vec::new());
    for key in [5, 3, 4] {
        store.want(at(0), &key, &mut changes);
    }
    let first = store.poll_refresh(at(0)).unwrap();
    let second = store.poll_refresh(at(0)).unwrap();
    assert_eq!((first.key, second.key), (5, 3));
    assert_eq!(store.poll_refresh(at(0)), None);
    store.finish(at(0), first.id, good(1), &mut changes);
    assert_eq!(store.poll_refresh(at(0)).unwrap().key, 4);
}

#[test]
fn the_key_not_wanted_for_longest_gives_way() {
    let settings = StoreSettings {
        keys_max: 2,
        ..StoreSettings::default()
    };
    let (mut store, mut changes) = (Words::new(settings), Vec::new());
    for key in [1, 2] {
        store.want(at(u64::from(key)), &key, &mut changes);
        let refresh = store.poll_refresh(at(2)).unwrap();
        store.finish(at(2), refresh.id, good(1), &mut changes);
    }
    store.want(at(30), &1, &mut changes);
    changes.clear();
    store.want(at(31), &3, &mut changes);
    assert_eq!(changes, [Change::Withdraw(2)]);
    assert_eq!((store.keys(), store.counters().evicted), (2, 1));
    // All places are taken by refreshes: nobody gives way.
    assert_eq!(store.poll_refresh(at(31)).unwrap().key, 1);
    assert_eq!(store.poll_refresh(at(31)).unwrap().key, 3);
    store.want(at(31), &4, &mut changes);
    assert_eq!((store.keys(), store.counters().refused), (2, 1));
}

#[test]
fn what_is_read_once_drives_out_nothing_that_is_read_again() {
    let settings = StoreSettings {
        keys_max: 8,
        ..StoreSettings::default()
    };
    let (mut store, mut changes) = (Words::new(settings), Vec::new());
    let answer = |store: &mut Words, changes: &mut _, now| {
        while let Some(refresh) = store.poll_refresh(now) {
            store.finish(now, refresh.id, good(1), changes);
        }
    };
    // Two are read every second, of which the store hears when they are not fresh; after a while others
    // come, which are read once.
    for second in 0..100u8 {
        let now = at(u64::from(second));
        let once = (second > 16).then_some([second, 100 + second]);
        let again = (second % 16 == 0).then_some([250, 251]);
        for key in again.into_iter().chain(once).flatten() {
            store.want(now, &key, &mut changes);
            answer(&mut store, &mut changes, now);
        }
    }
    assert_eq!(store.counters().evicted, 2 * 83 - 6);
    let gone = |key| changes.contains(&Change::Withdraw(key));
    assert!(!gone(250) && !gone(251) && gone(17));
}

#[test]
fn a_hundred_viewers_for_five_minutes_hit_and_refreshes_are_bounded() {
    let (mut store, mut changes) = store();
    let mut under_way = Vec::new();
    for second in 0..300 {
        for viewer in 0..100u64 {
            store.read(at(second), &((viewer % 4) as u8), &mut changes);
        }
        for refresh in under_way.drain(..) {
            store.finish(at(second), refresh, good(second), &mut changes);
        }
        while let Some(refresh) = store.poll_refresh(at(second)) {
            under_way.push(refresh.id);
        }
        store.tick(at(second), &mut changes);
    }
    assert!(store.reads().hit_rate().unwrap() > 0.98);
    assert!(store.counters().started <= 4 * (300 / 15));
}

#[test]
fn the_hit_rate_counts_fresh_and_stale() {
    let mut reads = Reads::default();
    assert_eq!(reads.hit_rate(), None);
    for freshness in [
        Freshness::Fresh,
        Freshness::Stale,
        Freshness::Expired,
        Freshness::Loading,
    ] {
        reads.count(freshness);
    }
    assert_eq!(reads.hit_rate(), Some(0.5));
}

#[derive(Debug, Clone)]
enum Step {
    Read(u8),
    Poll,
    /// Finishes one of those under way; how good it is.
    Finish(usize, u8),
    /// Tells one that is over once more.
    Repeat(usize),
    Membership,
    Watch(Option<u8>),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6u8).prop_map(Step::Read),
        4 => Just(Step::Poll),
        4 => (0..4usize, 0..3u8).prop_map(|(which, how)| Step::Finish(which, how)),
        1 => (0..4usize).prop_map(Step::Repeat),
        1 => Just(Step::Membership),
        1 => prop::option::of(0..6u8).prop_map(Step::Watch),
        3 => (0..40u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn one_refresh_per_key_true_ages_and_no_old_generation_is_fresh(steps in steps()) {
        let settings = StoreSettings { keys_max: 4, refreshes_max: 3, ..StoreSettings::default() };
        let (mut store, mut changes) = (Words::new(settings), Vec::new());
        let mut shown: BTreeMap<u8, Arc<Entry<u64>>> = BTreeMap::new();
        // The value of a refresh is its place in `starts`.
        let mut starts: Vec<(Instant, u64)> = Vec::new();
        let mut under_way: Vec<(RefreshId, u8, u64)> = Vec::new();
        let (mut over, mut now, mut seen) = (Vec::new(), Instant::ZERO, 0u64);
        for step in steps {
            match step {
                Step::Read(key) => {
                    seen += 1;
                    let reading = store.read(now, &key, &mut changes);
                    if let Some(entry) = &reading.entry {
                        let (started, generation) = starts[*entry.value as usize];
                        prop_assert_eq!(reading.age, now - started);
                        let old = generation != store.generation() || now - started > store.ages().fresh;
                        prop_assert!(!(old && reading.freshness == Freshness::Fresh));
                        prop_assert!(now - started < store.ages().dropped);
                    }
                }
                Step::Poll => while let Some(refresh) = store.poll_refresh(now) {
                    prop_assert!(under_way.iter().all(|(_, key, _)| *key != refresh.key));
                    under_way.push((refresh.id, refresh.key, starts.len() as u64));
                    starts.push((now, store.generation()));
                },
                Step::Finish(which, how) => if which < under_way.len() {
                    let (id, _, value) = under_way.remove(which);
                    let gathered = match how {
                        0 => good(value),
                        1 => nobody(value),
                        _ => Brought { value: None, own: false, ..nobody(value) },
                    };
                    store.finish(now, id, gathered, &mut changes);
                    over.push(id);
                },
                Step::Repeat(which) => if let Some(id) = over.get(which) {
                    store.finish(now, *id, good(0), &mut changes);
                },
                Step::Membership => store.membership_changed(now),
                Step::Watch(key) => store.watch_only(now, key, &mut changes),
                Step::Wait(seconds) => {
                    // As a driver does: never past a deadline.
                    let until = now + Duration::from_secs(seconds);
                    while let Some(next) = store.deadline().filter(|next| *next <= until && *next > now) {
                        now = next;
                        store.tick(now, &mut changes);
                        // What was given up is no longer under way.
                        under_way.retain(|(id, ..)| store.running.contains_key(id));
                    }
                    now = until;
                    store.tick(now, &mut changes);
                    under_way.retain(|(id, ..)| store.running.contains_key(id));
                }
            }
            for change in changes.drain(..) {
                match change {
                    Change::Publish(key, entry) => drop(shown.insert(key, entry)),
                    Change::Withdraw(key) => prop_assert!(shown.remove(&key).is_some()),
                }
            }
            let held = store.slots.iter().filter_map(|(key, slot)| Some((*key, Arc::clone(slot.entry.as_ref()?))));
            prop_assert!(held.eq(shown.iter().map(|(key, entry)| (*key, Arc::clone(entry)))));
            let counters = store.counters();
            prop_assert_eq!(counters.started, counters.finished + counters.failed + store.running.len() as u64);
        }
        let reads = store.reads();
        prop_assert_eq!(reads.fresh + reads.stale + reads.expired + reads.loading, seen);
    }
}
