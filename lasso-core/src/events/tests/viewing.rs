//! Batches, snapshots, losses, states, figures.

use proptest::prelude::*;
use std::collections::BTreeSet;

use super::super::sampler::{SampleRates, Sampler};
use super::*;

fn world() -> World {
    World::new(EventSettings::default())
}

#[test]
fn an_event_is_there_after_half_a_second_or_at_once_with_99_others() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    world.run_to(100);
    world.comes(event("a", 100));
    world.run_to(599);
    assert!(world.read(viewer).is_none());
    world.run_to(600);
    assert_eq!(world.stirred.readable, [viewer]);
    assert_eq!(ids(&world.read(viewer).unwrap()), ["a"]);
    for number in 0..99 {
        world.comes(event(&number.to_string(), 600));
        assert!(world.read(viewer).is_none());
    }
    world.comes(event("99", 600));
    let delivery = world.read(viewer).unwrap();
    assert_eq!(
        ids(&delivery),
        (0..100).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(world.feed(&Scope::Profile).batches, 2);
}

#[test]
fn nothing_runs_without_viewers() {
    let mut world = world();
    assert_eq!(world.stream.deadline(), None);
    world.comes(event("a", 0));
    world.comes(height(1, 0, 7));
    assert_eq!(world.stream.deadline(), None);
    assert_eq!(world.stream.counters().unwanted, 2);
    assert_eq!(world.stirred, Stirred::default());
}

#[test]
fn a_stream_ends_thirty_seconds_after_its_last_viewer() {
    let mut world = world();
    let seat = world.operator(Scope::Profile);
    assert!(seat.started);
    world.run_to(10_000);
    world.leave(seat.viewer);
    assert_eq!(
        world.stream.deadline(),
        Some(ms(40_000)),
        "nothing else is due"
    );
    world.run_to(39_999);
    assert_eq!(world.stream.scopes().count(), 1);
    world.run_to(40_000);
    assert_eq!(world.stirred.ended, [Scope::Profile]);
    assert_eq!(
        (world.stream.scopes().count(), world.stream.deadline()),
        (0, None)
    );
    assert!(world.operator(Scope::Profile).started, "it begins anew");
}

#[test]
fn who_comes_back_within_that_time_finds_everything() {
    let mut world = world();
    let first = world.operator(Scope::Profile).viewer;
    world.comes(event("waits for its batch", 0));
    world.comes(height(1, 0, 7));
    world.leave(first);
    world.run_to(20_000);
    world.comes(event("meanwhile", 20_000));
    world.comes(event("meanwhile", 20_000));
    world.run_to(29_999);
    let seat = world.operator(Scope::Profile);
    assert!(!seat.started);
    assert_eq!(ids(&seat.snapshot), ["meanwhile", "waits for its batch"]);
    assert_eq!(seat.snapshot.states.changed.len(), 1);
    let whole = |(row, _): &&(figures::Row, figures::Figures)| *row == figures::Row::default();
    let figures = seat.snapshot.figures.changed.iter().find(whole).unwrap().1;
    assert_eq!((figures.calls, figures.p50_us), (2, Some(100_000)));
    world.run_to(300_000);
    assert_eq!(world.stirred.ended, [], "somebody looks");
}

#[test]
fn one_event_published_by_two_nodes_is_seen_once() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    let copy = RoutingEvent::Decision(RoutingDecision {
        source: node(2),
        ..decision("a", 5)
    });
    world.comes(event("a", 0));
    world.comes(copy.clone());
    world.run_to(119_999);
    world.comes(copy.clone());
    world.run_to(119_999 + 2_000);
    assert_eq!(ids(&world.read(viewer).unwrap()), ["a"]);
    assert_eq!(world.feed(&Scope::Profile).dedup.duplicates, 2);
    world.comes(copy);
    world.run_to(125_000);
    assert_eq!(
        ids(&world.read(viewer).unwrap()),
        ["a"],
        "its window is over"
    );
}

#[test]
fn a_snapshot_has_the_newest_hundred_and_the_next_batch_none_of_them() {
    let mut world = world();
    world.operator(Scope::Profile);
    world.comes(circuit(1, 0, CircuitState::Open));
    // Out of order: every second one is from another node and half a second late.
    for number in 0..150 {
        let late = if number % 2 == 0 { 0 } else { 500 };
        world.run_to(1_000 + number * 10);
        world.comes(event(&number.to_string(), 1_000 + number * 10 - late));
    }
    world.run_to(4_000);
    world.comes(event("waits", 4_000));
    let seat = world.operator(Scope::Profile);
    let times: Vec<u64> = seat
        .snapshot
        .events
        .iter()
        .map(|event| event.unix_ms())
        .collect();
    assert_eq!(times.len(), 100);
    assert!(times.is_sorted_by(|newer, older| newer >= older));
    assert_eq!(times[0], EPOCH_MS + 2_480);
    assert_eq!(seat.snapshot.states.changed.len(), 1);
    assert!(seat.snapshot.states.whole && seat.snapshot.figures.whole);
    world.run_to(5_000);
    assert_eq!(ids(&world.read(seat.viewer).unwrap()), ["waits"]);
}

#[test]
fn a_slow_viewer_loses_the_oldest_is_told_and_slows_nobody() {
    let settings = EventSettings {
        viewer_queue: 200,
        ..EventSettings::default()
    };
    let mut world = World::new(settings);
    let slow = world.operator(Scope::Profile).viewer;
    let fast = world.operator(Scope::Profile).viewer;
    let mut got = 0;
    for number in 0..1_000 {
        // One hundred per second.
        world.run_to(number * 10);
        world.comes(event(&number.to_string(), number * 10));
        if let Some(delivery) = world.read(fast) {
            assert_eq!(delivery.lost, 0);
            got += delivery.events.len();
        }
    }
    world.run_to(11_000);
    got += world.read(fast).unwrap().events.len();
    assert_eq!(got, 1_000);
    let delivery = world.read(slow).unwrap();
    assert_eq!(delivery.lost, 800);
    assert_eq!(
        ids(&delivery),
        (800..1_000).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    world.run_to(14_000);
    let next = world.read(slow).unwrap();
    assert_eq!(next.lost, 0, "it is told once");
}

#[test]
fn a_viewer_gets_150_events_per_second_and_a_seconds_worth_at_first() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    let (mut got, mut lost) = (0, 0);
    for number in 0..10_000 {
        // One thousand per second, for ten seconds.
        world.run_to(number);
        world.comes(event(&number.to_string(), number));
        if let Some(delivery) = world.read(viewer) {
            got += delivery.events.len() as u64;
            lost += delivery.lost;
        }
    }
    world.run_to(12_000);
    let last = world.read(viewer).unwrap();
    got += last.events.len() as u64;
    lost += last.lost;
    assert_eq!(got + lost, 10_000);
    assert!((1_600..=1_650).contains(&got), "{got}");
}

#[test]
fn of_a_state_only_the_newest_value_is_delivered() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    for block in 0..50 {
        world.comes(height(1, 0, block));
    }
    world.comes(circuit(1, 0, CircuitState::Open));
    world.comes(circuit(2, 0, CircuitState::HalfOpen));
    world.run_to(500);
    world.run_to(1_000);
    world.comes(height(1, 1_000, 50));
    world.run_to(1_500);
    // Two batches, read together.
    let delivery = world.read(viewer).unwrap();
    assert_eq!(
        delivery.states.changed.len(),
        3,
        "a breaker is each node's own"
    );
    let newest = delivery
        .states
        .changed
        .iter()
        .any(|(_, state)| **state == height(1, 1_000, 50));
    assert!(newest);
    world.comes(height(1, 1_500, 50));
    world.run_to(3_500);
    assert!(
        world.read(viewer).unwrap().is_heartbeat(),
        "the same height is no news"
    );
}

#[test]
fn between_sources_the_later_value_of_a_state_counts_and_of_one_source_the_last_to_come() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    let newest = |world: &mut World, at_ms| {
        world.run_to(at_ms);
        let delivery = world.read(viewer).unwrap();
        let state = delivery
            .states
            .changed
            .first()
            .map(|(_, state)| (**state).clone());
        state.map(|state| state.unix_ms() - EPOCH_MS)
    };
    world.run_to(10_000);
    world.comes(height(1, 9_000, 100));
    world.comes(height(2, 8_000, 99));
    assert_eq!(newest(&mut world, 10_500), Some(9_000));
    assert_eq!(world.feed(&Scope::Profile).states_outdated, 1);
    world.comes(height(1, 7_000, 98));
    assert_eq!(
        newest(&mut world, 11_000),
        Some(7_000),
        "its clock was set back"
    );
    world.comes(height(1, 99_000, 101));
    assert_eq!(newest(&mut world, 11_500), Some(99_000));
    world.comes(height(2, 11_500, 102));
    assert_eq!(
        newest(&mut world, 12_000),
        Some(11_500),
        "the future is not newer than now"
    );
}

#[test]
fn a_region_that_falls_silent_is_gone_after_a_minute() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    let mut far = decision("far", 0);
    far.region = label("sjc");
    world.comes(RoutingEvent::Decision(far));
    world.run_to(59_999);
    assert_eq!(world.read(viewer).unwrap().figures.gone, []);
    world.run_to(62_000);
    let gone = world.read(viewer).unwrap().figures.gone;
    let region = figures::Row {
        series: None,
        region: Some(label("sjc")),
    };
    assert!(gone.contains(&region), "{gone:?}");
}

#[test]
fn figures_follow_the_last_batch_within_half_a_second() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    world.run_to(1_000);
    // Two full batches within a moment: at the second one the figures were looked at just now.
    for number in 0..200 {
        world.comes(event(&number.to_string(), 1_000));
    }
    world.run_to(1_500);
    let figures = world.read(viewer).unwrap().figures.changed;
    assert!(
        figures
            .iter()
            .any(|(row, f)| *row == figures::Row::default() && f.calls == 200)
    );
}

#[test]
fn a_heartbeat_comes_every_two_seconds_and_its_absence_shows_as_stale() {
    let mut world = world();
    let viewer = world.operator(Scope::Profile).viewer;
    let mut staleness = Staleness::new(ms(0));
    world.read(viewer);
    for beat in 1..=10 {
        world.run_to(beat * 2_000 - 1);
        assert!(world.read(viewer).is_none());
        world.run_to(beat * 2_000);
        let heartbeat = world.read(viewer).unwrap();
        assert!(beat == 1 || heartbeat.is_heartbeat());
        staleness.heard(world.now());
    }
    assert!(world.feed(&Scope::Profile).heartbeats >= 10);
    // The stream's node dies.
    assert!(!staleness.is_stale(ms(49_999)) && staleness.is_stale(ms(50_000)));
}

/// The dedup remembers an id for 120 s; the hundred newest events may be older than that.
#[test]
fn a_snapshot_has_an_id_once_that_came_again_after_the_window() {
    let mut world = world();
    world.operator(Scope::Profile);
    world.comes(event("again", 0));
    world.run_to(130_000);
    world.comes(event("other", 130_000));
    world.comes(event("again", 130_000));
    world.run_to(131_000);
    let seat = world.operator(Scope::Profile);
    assert_eq!(ids(&seat.snapshot), ["again", "other"]);
    assert_eq!(seat.snapshot.events[0].unix_ms(), EPOCH_MS + 130_000);
}

#[test]
fn coverage_is_in_the_snapshot_and_its_newest_value_in_a_batch() {
    let mut world = world();
    world.stream.set_coverage(ms(0), coverage(1));
    let seat = world.operator(Scope::Profile);
    assert_eq!(seat.snapshot.coverage.unwrap().connected, 1);
    world.stream.set_coverage(ms(0), coverage(2));
    world.stream.set_coverage(ms(0), coverage(3));
    world.run_to(499);
    assert!(world.read(seat.viewer).is_none());
    world.run_to(500);
    assert_eq!(
        world.read(seat.viewer).unwrap().coverage.unwrap().connected,
        3
    );
    world.run_to(4_000);
    assert_eq!(world.read(seat.viewer).unwrap().coverage, None);
}

#[test]
fn an_account_has_a_bound_of_its_own_and_leaves_places_to_others() {
    let settings = EventSettings {
        viewers_max: 4,
        account_viewers_max: 2,
        ..EventSettings::default()
    };
    let mut world = World::new(settings);
    let first = world.customer("a").viewer;
    world.customer("a");
    let pass = Pass::account(segment("premium"), segment("a"));
    let refused = world.stream.subscribe(ms(0), &pass, account("a"));
    assert_eq!(
        refused.unwrap_err(),
        ScopeError::TooManyOfAccount {
            account: segment("a"),
            max: 2
        }
    );
    world.customer("b");
    let of_all = world.operator(Scope::Profile).viewer;
    assert_eq!(world.stream.counters().crowded, 1);
    world.leave(first);
    world.customer("a");
    world.leave(of_all);
    world.operator(Scope::Profile);
    assert_eq!(world.stream.viewers(), 4);
}

#[test]
fn operators_who_look_at_an_account_take_none_of_its_places() {
    let settings = EventSettings {
        viewers_max: 5,
        account_viewers_max: 2,
        ..EventSettings::default()
    };
    let mut world = World::new(settings);
    for _ in 0..3 {
        world.operator(account("a"));
    }
    world.customer("a");
    world.customer("a");
    let profile = segment("premium");
    let pass = Pass::operator(profile.clone());
    let refused = world.stream.subscribe(ms(0), &pass, account("a"));
    assert_eq!(
        refused.unwrap_err(),
        ScopeError::TooManyViewers { profile, max: 5 },
        "the profile's bound is theirs too"
    );
}

#[test]
fn viewers_and_scopes_are_bounded() {
    let settings = EventSettings {
        viewers_max: 3,
        scopes_max: 2,
        ..EventSettings::default()
    };
    let mut world = World::new(settings);
    world.operator(Scope::Profile);
    world.customer("a");
    let profile = segment("premium");
    let pass = Pass::operator(profile.clone());
    let refused = world
        .stream
        .subscribe(ms(0), &pass, account("b"))
        .unwrap_err();
    assert!(matches!(refused, ScopeError::TooManyScopes { max: 2, .. }));
    let last = world.customer("a").viewer;
    let refused = world
        .stream
        .subscribe(ms(0), &pass, Scope::Profile)
        .unwrap_err();
    assert_eq!(refused, ScopeError::TooManyViewers { profile, max: 3 });
    world.leave(last);
    world.leave(last);
    world.operator(Scope::Profile);
    assert_eq!(
        (world.stream.counters().crowded, world.stream.viewers()),
        (2, 3)
    );
}

#[test]
fn rates_computed_from_samples_are_right_within_what_sampling_allows() {
    // One minute of 1,000 requests per second, a tenth of them at a second provider, of which a
    // twentieth fail. Sampled at 0.05.
    let settings = EventSettings {
        batch_interval: Duration::from_millis(1),
        ..EventSettings::default()
    };
    let mut world = World::new(settings);
    let seat = world.operator(Scope::Profile);
    let mut sampler = Sampler::new(SampleRates::default(), [9; 32]);
    let (mut published, mut failed) = (0_u64, 0);
    for number in 0..60_000 {
        world.run_to(number);
        let mut decision = decision(&number.to_string(), number);
        if number % 10 == 0 {
            decision.provider = label("second");
            if number % 200 == 0 {
                decision.result = routing::Outcome::Error;
                failed += 1;
            }
        }
        if let Some(event) = RoutingEvent::Decision(decision).sampled(&mut sampler) {
            published += 1;
            world.comes(event);
        }
        world.read(seat.viewer);
    }
    assert_eq!((published, failed), (59_700 / 20 + 300, 300));
    let seat = world.operator(Scope::Profile);
    let find = |provider: Option<&str>| {
        let of = |row: &figures::Row| {
            let series = row.series.as_ref().map(|series| series.provider.as_str());
            row.region.is_none() && series == provider
        };
        seat.snapshot
            .figures
            .changed
            .iter()
            .find(|(row, _)| of(row))
            .unwrap()
            .1
    };
    // The whole is told when it changed by five calls, and right within one weight.
    let whole = find(None);
    assert!(whole.calls.abs_diff(60_000) <= 20 + 5, "{}", whole.calls);
    assert!(whole.errors.abs_diff(300) <= 5, "{}", whole.errors);
    assert!(
        whole.success_ppm.abs_diff(995_000) < 100,
        "{}",
        whole.success_ppm
    );
    assert!(
        whole.calls_per_1000_s.abs_diff(1_000_000) < 5_000,
        "{}",
        whole.calls_per_1000_s
    );
    // The second provider's 5,700 successes are right within four times √(5,700 × 20) = 338.
    let second = find(Some("second"));
    assert!(second.calls.abs_diff(6_000) < 4 * 338, "{}", second.calls);
    assert!(
        second.share_ppm.abs_diff(100_000) < 4 * 5_700,
        "{}",
        second.share_ppm
    );
    assert!(
        second.success_ppm.abs_diff(950_000) < 15_000,
        "{}",
        second.success_ppm
    );
}

/// One viewer of a random script.
struct Looker {
    viewer: ViewerId,
    /// Ids that it has seen, its snapshot's among them.
    seen: BTreeSet<String>,
    /// Events that came in batches, and those that it was told it had lost.
    accounted: u64,
    /// Events that had gone before it came.
    gone_before: u64,
}

impl Looker {
    fn new(world: &mut World) -> Self {
        let seat = world.operator(Scope::Profile);
        let counters = world.feed(&Scope::Profile);
        let mut looker = Looker {
            viewer: seat.viewer,
            seen: BTreeSet::new(),
            accounted: 0,
            gone_before: counters.dedup.fresh - counters.pending,
        };
        looker.see(&seat.snapshot);
        looker
    }

    fn see(&mut self, delivery: &Delivery<RoutingEvent>) {
        for id in ids(delivery) {
            assert!(self.seen.insert(id.to_owned()), "{id} came twice");
        }
    }

    fn read(&mut self, world: &mut World) {
        if let Some(delivery) = world.read(self.viewer) {
            self.see(&delivery);
            self.accounted += delivery.lost + delivery.events.len() as u64;
        }
    }
}

proptest! {
    #[test]
    fn every_viewer_gets_every_event_once_or_is_told_that_it_did_not(
        viewer_rate in 1_u32..300,
        viewer_queue in 1_usize..100,
        script in proptest::collection::vec((0_u8..20, 0_u64..300, 0_u64..400), 1..400),
    ) {
        let settings = EventSettings { viewer_rate, viewer_queue, ..EventSettings::default() };
        let mut world = World::new(settings);
        let mut lookers = vec![Looker::new(&mut world)];
        let mut sent = BTreeSet::new();
        for (step, id, wait) in script {
            let at = world.now_ms;
            match step {
                0 => lookers.push(Looker::new(&mut world)),
                1..=4 => lookers.iter_mut().for_each(|looker| looker.read(&mut world)),
                5..=6 => world.run_to(at + wait),
                _ => {
                    world.comes(event(&id.to_string(), at));
                    sent.insert(id);
                }
            }
        }
        let end = world.now_ms + 2_000;
        world.run_to(end);
        for looker in &mut lookers {
            looker.read(&mut world);
            prop_assert_eq!(looker.accounted + looker.gone_before, sent.len() as u64);
        }
        let counters = world.feed(&Scope::Profile);
        prop_assert_eq!((counters.withheld, counters.dedup.fresh), (0, sent.len() as u64));
        prop_assert_eq!((counters.pending, counters.waiting), (0, 0));
    }
}
