//! Who may see what.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::super::feed::Feed;
use super::super::routing::publishes;
use super::super::topics;
use super::*;

fn world() -> World {
    World::new(EventSettings::default())
}

#[test]
fn the_profiles_copy_and_the_accounts_copy_are_not_duplicates_of_each_other() {
    let mut world = world();
    let whole = world.operator(Scope::Profile).viewer;
    let part = world.customer("acme").viewer;
    world.receive(&Scope::Profile, event("a", 0));
    world.receive(&account("acme"), event_of("a", 0, "acme"));
    world.receive(&account("acme"), event_of("a", 0, "acme"));
    world.run_to(500);
    let seen = world.read(whole).unwrap();
    assert_eq!((ids(&seen), seen.events[0].account()), (vec!["a"], None));
    let seen = world.read(part).unwrap();
    assert_eq!(
        (ids(&seen), seen.events[0].account()),
        (vec!["a"], Some(&segment("acme")))
    );
}

#[test]
fn nobody_is_let_in_to_what_is_not_theirs() {
    let mut world = world();
    let (premium, free) = (segment("premium"), segment("free"));
    let (acme, other) = (segment("acme"), segment("other"));
    let table = [
        (Pass::operator(premium.clone()), Scope::Profile, true),
        (Pass::operator(premium.clone()), account("acme"), true),
        (Pass::operator(free.clone()), Scope::Profile, false),
        (Pass::operator(free.clone()), account("acme"), false),
        (
            Pass::account(premium.clone(), acme.clone()),
            account("acme"),
            true,
        ),
        (
            Pass::account(premium.clone(), acme.clone()),
            Scope::Profile,
            false,
        ),
        (Pass::account(premium, other), account("acme"), false),
        (Pass::account(free, acme), account("acme"), false),
    ];
    for (pass, scope, open) in table {
        let let_in = world.stream.subscribe(ms(0), &pass, scope.clone());
        assert_eq!(let_in.is_ok(), open, "{pass:?} {scope:?}");
        if let Err(error) = let_in {
            assert_eq!(error, ScopeError::NotYours);
        }
    }
    assert_eq!(world.stream.counters().refused, 5);
}

#[test]
fn an_event_that_does_not_belong_where_it_came_from_is_counted_and_seen_by_nobody() {
    let mut world = world();
    let viewers = [
        world.operator(Scope::Profile).viewer,
        world.customer("acme").viewer,
        world.customer("other").viewer,
    ];
    let mut foreign = decision("foreign", 0);
    foreign.profile = segment("free");
    world.receive(&Scope::Profile, RoutingEvent::Decision(foreign));
    world.receive(&Scope::Profile, event_of("with its account", 0, "acme"));
    world.receive(&account("acme"), event_of("another's", 0, "other"));
    world.receive(&account("acme"), event("nobody's", 0));
    // Not even a state, which belongs to all, may come this way.
    world.receive(&account("acme"), height(1, 0, 7));
    world.run_to(10_000);
    for viewer in viewers {
        let seen = world.read(viewer).unwrap();
        assert!(seen.events.is_empty() && seen.states.is_empty());
        assert!(
            seen.figures
                .changed
                .iter()
                .all(|(_, figures)| figures.calls == 0)
        );
    }
    let counters = world.stream.counters();
    assert_eq!((counters.foreign, counters.misplaced), (1, 4));
}

#[test]
fn states_of_the_profile_belong_to_all_of_its_scopes() {
    let mut world = world();
    let whole = world.operator(Scope::Profile).viewer;
    let part = world.customer("acme").viewer;
    world.comes(height(1, 0, 7));
    world.run_to(500);
    for viewer in [whole, part] {
        assert_eq!(world.read(viewer).unwrap().states.changed.len(), 1);
    }
}

#[test]
fn an_accounts_figures_are_made_of_its_own_events() {
    let mut world = world();
    world.customer("acme");
    for number in 0..10 {
        world.receive(&Scope::Profile, event(&format!("p{number}"), 0));
    }
    world.operator(Scope::Profile);
    for number in 0..10 {
        world.receive(&Scope::Profile, event(&format!("q{number}"), 0));
    }
    world.receive(&account("acme"), event_of("own", 0, "acme"));
    world.run_to(1_000);
    let snapshot = world.customer("acme").snapshot;
    assert!(
        snapshot
            .figures
            .changed
            .iter()
            .all(|(_, figures)| figures.calls <= 1)
    );
    assert_eq!(ids(&snapshot), ["own"]);
}

#[test]
fn what_is_not_the_viewers_is_withheld_at_delivery_whatever_let_it_in() {
    // Past the stream, straight into the feed: as if a bug had let it through.
    let settings = EventSettings::default();
    let mut feed: Feed<RoutingEvent> = Feed::new(ms(0), account("acme"), settings, [1, 2]);
    let mut readable = Vec::new();
    feed.enter(ms(0), ViewerId(1));
    feed.push(
        ms(0),
        EPOCH_MS,
        Arc::new(event_of("own", 0, "acme")),
        &mut readable,
    );
    feed.push(
        ms(0),
        EPOCH_MS,
        Arc::new(event_of("another's", 0, "other")),
        &mut readable,
    );
    feed.push(
        ms(0),
        EPOCH_MS,
        Arc::new(event("nobody's", 0)),
        &mut readable,
    );
    feed.tick(ms(500), EPOCH_MS + 500, &mut readable);
    let seen = feed.read(ViewerId(1)).unwrap();
    assert_eq!((ids(&seen), feed.counters().withheld), (vec!["own"], 2));
    let snapshot = feed.enter(ms(600), ViewerId(2));
    assert_eq!((ids(&snapshot), feed.counters().withheld), (vec!["own"], 4));
}

/// Ten thousand requests of two accounts on three nodes, delivered twice in places, and viewers of
/// both accounts and of the profile who come and go: not one event crosses.
#[test]
fn ten_thousand_events_of_two_accounts_and_not_one_crosses() {
    for seed in 0..5 {
        let mut rng = ChaCha8Rng::from_seed([seed; 32]);
        let settings = EventSettings {
            viewer_rate: 1_000_000,
            viewer_queue: 100_000,
            ..EventSettings::default()
        };
        let mut world = World::new(settings);
        let scopes = [Scope::Profile, account("a"), account("b")];
        let mut seen = [0_usize; 3];
        let mut seats: Vec<(usize, ViewerId)> = Vec::new();
        for (at, scope) in scopes.iter().enumerate() {
            seats.push((at, world.operator(scope.clone()).viewer));
        }
        for number in 0..10_000_u64 {
            world.run_to(number);
            let draw = rng.next_u32();
            let owner = if draw % 2 == 0 { "a" } else { "b" };
            let RoutingEvent::Decision(mut decision) =
                event_of(&format!("{owner}-{number}"), number, owner)
            else {
                unreachable!("it is a decision")
            };
            decision.source = node((draw / 2 % 3) as u8 + 1);
            for (topic, copy) in publishes(&RoutingEvent::Decision(decision)) {
                let from = scopes.iter().find(|scope| match scope {
                    Scope::Profile => topic == topics::decisions(&segment("premium")),
                    Scope::Account(id) => {
                        topic == topics::account_decisions(&segment("premium"), id)
                    }
                });
                let from = from.expect("it is one of these topics");
                let bytes = copy.encode();
                for _ in 0..1 + draw / 8 % 2 {
                    let read = RoutingEvent::decode(&bytes).unwrap().unwrap();
                    world.receive(from, read);
                }
            }
            if draw % 97 == 0 {
                let at = (draw / 97 % 3) as usize;
                let seat = world.operator(scopes[at].clone());
                check(&seat.snapshot, at);
                world.leave(seat.viewer);
            }
            for (at, viewer) in &seats {
                if let Some(delivery) = world.read(*viewer) {
                    check(&delivery, *at);
                    seen[*at] += delivery.events.len();
                }
            }
        }
        world.run_to(11_000);
        for (at, viewer) in seats {
            let delivery = world.read(viewer).unwrap();
            check(&delivery, at);
            seen[at] += delivery.events.len();
        }
        assert_eq!((seen[0], seen[1] + seen[2]), (10_000, 10_000));
        assert!(seen[1] > 4_000 && seen[2] > 4_000);
        assert_eq!(world.stream.counters().misplaced, 0);
    }
}

fn check(delivery: &Delivery<RoutingEvent>, at: usize) {
    for event in &delivery.events {
        let id = event.id().unwrap();
        match at {
            0 => assert_eq!(event.account(), None, "{id}"),
            1 => assert!(
                id.starts_with("a-") && event.account() == Some(&segment("a")),
                "{id}"
            ),
            _ => assert!(
                id.starts_with("b-") && event.account() == Some(&segment("b")),
                "{id}"
            ),
        }
    }
}
