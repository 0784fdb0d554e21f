//! Circuits of everybody and of one.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use CircuitState::{Closed, HalfOpen, Open};

const S: Duration = Duration::from_secs(1);

fn judge(now: Instant) -> Judge {
    let settings = BreakerSettings {
        failures: 5,
        open_for: 10 * S,
        open_for_max: 40 * S,
        successes: 2,
    };
    Judge::new(now, settings)
}

fn account(name: &str) -> Witness {
    Witness::Account(Segment::new(name).unwrap())
}

/// Lets a witness fail that often at once, as a batch does; the states that this leads to.
fn fail(judge: &mut Judge, now: Instant, witness: &Witness, times: usize) -> Vec<CircuitState> {
    let permits: Vec<Permit> = (0..times)
        .map_while(|_| {
            let lets_through = judge.lets_through(now, witness);
            lets_through.then(|| judge.begin(now, witness).0)
        })
        .collect();
    permits
        .into_iter()
        .filter_map(|permit| {
            judge
                .failure(now, permit, "it failed", Against::Everybody)
                .1
        })
        .map(|change| change.state)
        .collect()
}

fn succeed(judge: &mut Judge, now: Instant, witness: &Witness) -> Option<Change> {
    let (permit, _) = judge.begin(now, witness);
    judge.success(now, permit)
}

/// Open for everybody.
fn opened(now: Instant) -> Judge {
    let mut judge = judge(now);
    assert_eq!(fail(&mut judge, now, &account("a"), 3), []);
    assert_eq!(fail(&mut judge, now, &account("b"), 2), [Open]);
    judge
}

#[test]
fn one_clients_batch_leads_it_elsewhere_and_nobody_else() {
    let now = Instant::now();
    let mut judge = judge(now);
    let (one, other) = (account("one"), account("other"));
    assert_eq!(fail(&mut judge, now, &one, 100), []);
    assert_eq!(judge.state(), Closed);
    assert_eq!(judge.failures(), 3, "its share is half, rounded up");
    assert!(!judge.lets_through(now, &one));
    assert_eq!(judge.opens_at(now, &one), Some(now + 10 * S));
    assert!(judge.lets_through(now, &other));
    assert_eq!(judge.opens_at(now, &other), None);
    assert!(judge.lets_through(now + 10 * S, &one) && judge.is_in_doubt(&one));
}

#[test]
fn failures_of_several_open_it_for_everybody() {
    let now = Instant::now();
    let judge = opened(now);
    assert!(!judge.lets_through(now + 9 * S, &account("c")));
    assert_eq!(judge.opens_at(now, &account("c")), Some(now + 10 * S));
    assert!(judge.lets_through(now + 10 * S, &account("c")));
}

#[test]
fn the_proxys_own_question_is_a_witness_and_its_answer_takes_that_back() {
    let now = Instant::now();
    let mut judge = judge(now);
    let one = account("one");
    fail(&mut judge, now, &one, 3);
    assert_eq!(judge.probe(now, Probe::Failed("unreachable")), None);
    assert_eq!(judge.probe(now, Probe::Answered), None);
    assert_eq!(judge.failures(), 3);
    assert_eq!(judge.probe(now, Probe::Failed("unreachable")), None);
    assert_eq!(judge.probe(now, Probe::Unclear), None);
    let change = judge.probe(now, Probe::Failed("unreachable")).unwrap();
    assert_eq!((change.state, change.reason), (Open, "unreachable"));
}

#[test]
fn a_success_of_anybody_ends_the_row() {
    let now = Instant::now();
    let mut judge = judge(now);
    fail(&mut judge, now, &account("a"), 3);
    fail(&mut judge, now, &account("b"), 1);
    succeed(&mut judge, now, &account("c"));
    assert_eq!(judge.failures(), 0);
    assert_eq!(fail(&mut judge, now, &account("b"), 4), []);
    assert_eq!(fail(&mut judge, now, &account("c"), 2), [Open]);
}

#[test]
fn one_whose_test_fails_does_not_keep_it_open_and_a_second_does() {
    let now = Instant::now();
    let mut judge = opened(now);
    let now = now + 10 * S;
    let (permit, change) = judge.begin(now, &account("c"));
    assert_eq!(change.unwrap().state, HalfOpen);
    let (counts, change) = judge.failure(now, permit, "again", Against::Everybody);
    assert!(!counts && change.is_none());
    assert!(!judge.lets_through(now, &account("c")));
    assert!(judge.lets_through(now, &account("d")), "it may test");
    assert_eq!(fail(&mut judge, now, &account("d"), 1), [Open]);
    assert!(!judge.lets_through(now + 19 * S, &account("e")));
    let now = now + 20 * S;
    fail(&mut judge, now, &account("c"), 1);
    assert_eq!(succeed(&mut judge, now, &account("e")), None);
    let closed = succeed(&mut judge, now, &account("e")).unwrap();
    assert_eq!(closed.state, Closed);
}

#[test]
fn with_the_proxys_own_question_unanswered_one_test_that_fails_is_enough() {
    let now = Instant::now();
    let mut judge = opened(now);
    judge.probe(now, Probe::Failed("timeout"));
    assert_eq!(fail(&mut judge, now + 10 * S, &account("c"), 1), [Open]);
}

#[test]
fn a_test_that_comes_to_nothing_leaves_the_next_to_somebody_else() {
    let now = Instant::now();
    let mut judge = opened(now);
    let now = now + 10 * S;
    let (permit, _) = judge.begin(now, &account("c"));
    assert!(!judge.lets_through(now, &account("d")), "one at a time");
    judge.withdraw(now, permit);
    assert!(!judge.lets_through(now, &account("c")));
    assert!(judge.lets_through(now, &account("d")));
    assert!(judge.lets_through(now + S, &account("c")));
}

#[test]
fn one_that_is_to_wait_waits_alone_until_a_second_is_to() {
    let now = Instant::now();
    let mut judge = judge(now);
    let (permit, _) = judge.begin(now, &account("a"));
    judge.limited(now, permit, 30 * S);
    assert!(!judge.lets_through(now + 29 * S, &account("a")));
    assert!(judge.lets_through(now, &account("b")) && judge.is_limited(now));
    let (permit, _) = judge.begin(now, &account("b"));
    judge.limited(now, permit, 2 * S);
    assert!(!judge.lets_through(now + S, &account("c")));
    assert_eq!(judge.opens_at(now, &account("c")), Some(now + 2 * S));
    assert!(judge.lets_through(now + 2 * S, &account("c")));
}

#[test]
fn what_may_be_the_requests_fault_is_its_senders_affair() {
    let now = Instant::now();
    let mut judge = judge(now);
    for name in ["a", "b", "c"] {
        for _ in 0..5 {
            let (permit, _) = judge.begin(now, &account(name));
            let (counts, _) = judge.failure(now, permit, "timeout", Against::OnlyIt);
            assert!(!counts);
        }
        assert!(!judge.lets_through(now, &account(name)));
    }
    assert!(judge.lets_through(now, &account("d")));
}

#[test]
fn addresses_of_one_network_are_one_witness() {
    let at = |text: &str| Witness::at(Some(text.parse().unwrap()));
    assert_eq!(at("2001:db8::1"), at("2001:db8::2:3:4"));
    assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
    assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
    assert_eq!(Witness::at(None), Witness::Nobody);
}

#[test]
fn witnesses_are_bounded_and_those_forgotten_are_counted() {
    let now = Instant::now();
    let mut judge = judge(now);
    for number in 0..WITNESSES_MAX as u32 + 10 {
        let witness = Witness::at(Some(IpAddr::V4(number.into())));
        let (permit, _) = judge.begin(now, &witness);
        judge.failure(now, permit, "timeout", Against::OnlyIt);
    }
    assert_eq!((judge.own.len(), judge.forgotten()), (WITNESSES_MAX, 10));
}

/// Whatever one client does, with whatever the others get meanwhile, as long as no other fails.
#[test]
fn one_client_never_opens_it_alone() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut now = Instant::now();
        let mut judge = Judge::new(
            now,
            BreakerSettings {
                failures: 1 + rng.next_u32() % 8,
                ..BreakerSettings::default()
            },
        );
        let (one, other) = (account("one"), account("other"));
        let mut under_way = Vec::new();
        for _ in 0..500 {
            now += Duration::from_millis(u64::from(rng.next_u32() % 3_000));
            match rng.next_u32() % 8 {
                0..4 if judge.lets_through(now, &one) => {
                    under_way.push(judge.begin(now, &one).0);
                }
                4 => {
                    assert!(judge.lets_through(now, &other), "seed {seed}");
                    succeed(&mut judge, now, &other);
                }
                5 => {
                    judge.probe(now, Probe::Answered);
                }
                _ if under_way.is_empty() => {}
                end => {
                    let place = rng.next_u32() as usize % under_way.len();
                    let permit = under_way.swap_remove(place);
                    let change = match (end, rng.next_u32() % 8) {
                        (_, 0) => judge.success(now, permit),
                        (_, 1) => {
                            judge.withdraw(now, permit);
                            None
                        }
                        (_, 2) => {
                            judge.limited(now, permit, 5 * S);
                            None
                        }
                        _ => {
                            judge
                                .failure(now, permit, "it failed", Against::Everybody)
                                .1
                        }
                    };
                    assert_eq!(change, None, "seed {seed}");
                }
            }
            assert_eq!(judge.state(), Closed, "seed {seed}");
            assert!(judge.lets_through(now, &other), "seed {seed}");
        }
    }
}

/// Once it is open, one client that fails every test does not keep it from being closed by another.
#[test]
fn one_client_never_keeps_it_open_alone() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut now = Instant::now();
        let mut judge = opened(now);
        now += 10 * S;
        let (one, other) = (account("one"), account("other"));
        let mut rounds = 0;
        while judge.state() != Closed {
            rounds += 1;
            assert!(rounds < 1_000, "seed {seed}");
            now += Duration::from_millis(u64::from(rng.next_u32() % 500));
            if judge.lets_through(now, &one) {
                let permit = judge.begin(now, &one).0;
                match rng.next_u32() % 2 {
                    0 => judge.withdraw(now, permit),
                    _ => assert_eq!(
                        judge.failure(now, permit, "no", Against::Everybody).1,
                        None,
                        "seed {seed}"
                    ),
                }
            }
            if judge.lets_through(now, &other) {
                succeed(&mut judge, now, &other);
            }
        }
    }
}
