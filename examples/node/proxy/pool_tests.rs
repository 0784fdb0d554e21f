//! Routes and what comes of them.

use super::super::strategy::Strategy;
use super::*;

const MS: Duration = Duration::from_millis(1);

fn pool(now: Instant, strategy: Strategy) -> Pool {
    let names = ["a", "b", "c"].map(|name| Label::new("provider", name).unwrap());
    let chooser = Chooser::new(strategy, 1);
    Pool::new(now, names, chooser, &BreakerSettings::default(), 3, 5)
}

fn witness(number: u8) -> Witness {
    Witness::at(Some([10, 0, 0, number].into()))
}

/// The first try of a new request.
fn first(pool: &mut Pool, now: Instant) -> Option<(Try, Option<CircuitNews>)> {
    let mut route = pool.route(now, witness(1));
    pool.next(now, &mut route)
}

/// The places that a request is tried at when every try ends in `verdict`.
fn tried(pool: &mut Pool, now: Instant, verdict: Verdict) -> Vec<usize> {
    let mut route = pool.route(now, witness(1));
    let mut places = Vec::new();
    while let Some((one, _)) = pool.next(now, &mut route) {
        places.push(one.place);
        pool.end(now, one, verdict, MS);
    }
    places
}

#[test]
fn a_route_leads_to_every_provider_once_and_to_no_more_than_allowed() {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Priority);
    assert_eq!(tried(&mut pool, now, Verdict::Done), [0, 1, 2]);
    pool.tries_max = 2;
    assert_eq!(tried(&mut pool, now, Verdict::Done), [0, 1]);
}

#[test]
fn one_that_fails_is_left_out_and_later_tested_first() {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Priority);
    let mut opened = None;
    for number in 0..5 {
        let mut route = pool.route(now, witness(number % 2));
        let (_skipped, _) = pool.next(now, &mut route).unwrap();
        let (second, _) = pool.next(now, &mut route).unwrap();
        assert_eq!(second.place, 1);
        let verdict = Verdict::Provider("timeout");
        opened = pool.fail(now, second, verdict, Elsewhere::Done);
    }
    let opened = opened.expect("five failures in a row");
    assert_eq!(
        (opened.provider.as_str(), opened.change.reason),
        ("b", "timeout")
    );
    assert_eq!(pool.health(now)[1].status, ProviderStatus::Down);
    assert_eq!(tried(&mut pool, now, Verdict::Done), [0, 2]);

    let later = now + Duration::from_secs(10);
    let (mut one, mut other) = (pool.route(later, witness(1)), pool.route(later, witness(2)));
    let (test, news) = pool.next(later, &mut one).unwrap();
    assert_eq!(
        (test.place, news.unwrap().change.state),
        (1, CircuitState::HalfOpen)
    );
    let (not_the_test, _) = pool.next(later, &mut other).unwrap();
    assert_eq!(not_the_test.place, 0, "one test at a time");
    assert!(
        pool.end(later, test, Verdict::Client("client error"), MS)
            .is_none()
    );
    let (test, _) = first(&mut pool, later).unwrap();
    let closed = pool.end(later, test, Verdict::Done, MS).unwrap();
    assert_eq!(closed.change.state, CircuitState::Closed);
    assert_eq!(pool.circuits()[1], closed);
}

#[test]
fn one_that_asks_to_be_left_alone_is_and_its_circuit_stays() {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Priority);
    let pause = Duration::from_secs(2);
    assert_eq!(
        tried(&mut pool, now, Verdict::RateLimited(pause)),
        [0, 1, 2]
    );
    assert!(first(&mut pool, now).is_none());
    assert_eq!(pool.retry_after(now, &witness(1)), Some(pause));
    assert_eq!(pool.retry_after(now, &witness(2)), None);
    assert!(pool.health(now).iter().all(|health| health.rate_limited));
    assert_eq!(tried(&mut pool, now + pause, Verdict::Done), [0, 1, 2]);
    assert!(
        pool.circuits()
            .iter()
            .all(|one| one.change.state == CircuitState::Closed)
    );
}

#[test]
fn one_that_is_far_behind_comes_last() {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Priority);
    for (place, height) in [(0, 94), (1, 100), (2, 101)] {
        pool.set_height(place, Some(height));
    }
    assert_eq!(pool.consensus(), Some(100));
    assert_eq!(tried(&mut pool, now, Verdict::Done), [1, 2, 0]);
    assert_eq!(pool.health(now)[0].lag, Some(6));
    assert_eq!(pool.health(now)[0].status, ProviderStatus::Degraded);
    pool.set_height(0, Some(95));
    assert_eq!(tried(&mut pool, now, Verdict::Done), [0, 1, 2]);
    pool.set_height(0, None);
    assert_eq!(pool.heights().count(), 2);
    assert_eq!(tried(&mut pool, now, Verdict::Done), [0, 1, 2]);
}

#[test]
fn how_a_provider_is_doing_is_unknown_until_it_has_answered_a_request() {
    let now = Instant::now();
    for (verdict, status) in [
        (Verdict::Done, ProviderStatus::Healthy),
        (Verdict::Client("client error"), ProviderStatus::Healthy),
        (Verdict::Declined, ProviderStatus::Healthy),
        (Verdict::RateLimited(MS), ProviderStatus::Degraded),
    ] {
        let mut pool = pool(now, Strategy::Priority);
        // That it tells its newest block says nothing of requests, how far it is behind neither.
        for (place, height) in [(0, 1), (1, 100), (2, 100)] {
            pool.set_height(place, Some(height));
        }
        let gone = first(&mut pool, now).unwrap().0;
        pool.withdraw(now, gone);
        assert_eq!(pool.health(now)[0].status, ProviderStatus::Unknown);
        pool.set_height(0, Some(100));
        let one = first(&mut pool, now).unwrap().0;
        pool.end(now, one, verdict, MS);
        assert_eq!(pool.health(now)[0].status, status, "{verdict:?}");
        assert_eq!(pool.health(now)[1].status, ProviderStatus::Unknown);
    }
}

#[test]
fn one_that_has_only_failed_is_unknown_until_its_circuit_opens() {
    let now = Instant::now();
    let provider = Verdict::Provider("timeout");
    for (verdict, elsewhere) in [
        (provider, Elsewhere::Done),
        (provider, Elsewhere::Failed),
        (Verdict::Doubted("http error"), Elsewhere::Done),
        (Verdict::Doubted("http error"), Elsewhere::Failed),
        (Verdict::Doubted("http error"), Elsewhere::NotAsked),
    ] {
        let mut pool = pool(now, Strategy::Priority);
        for _ in 0..3 {
            let one = first(&mut pool, now).unwrap().0;
            assert_eq!(pool.fail(now, one, verdict, elsewhere), None);
        }
        let health = &pool.health(now)[0];
        assert_eq!(health.status, ProviderStatus::Unknown, "{verdict:?}");
        assert_eq!(health.circuit, CircuitState::Closed);
    }
}

/// The circuit of the first provider after three clients have failed there, three times each.
fn circuit_after(verdict: Verdict, elsewhere: Elsewhere, probe: Probe) -> CircuitState {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Priority);
    pool.probe(now, 0, probe);
    for number in 0..9 {
        let mut route = pool.route(now, witness(number % 3));
        let (one, _) = pool.next(now, &mut route).unwrap();
        if one.place == 0 {
            pool.fail(now, one, verdict, elsewhere);
        }
    }
    pool.health(now)[0].circuit
}

#[test]
fn a_failure_counts_where_another_does_the_request_or_several_clients_have_it() {
    let (no_answer, doubted) = (Verdict::Provider("timeout"), Verdict::Doubted("http error"));
    let (open, closed) = (CircuitState::Open, CircuitState::Closed);
    for (verdict, elsewhere, probe, expected) in [
        (no_answer, Elsewhere::Done, Probe::Answered, open),
        (no_answer, Elsewhere::NotAsked, Probe::Answered, open),
        (no_answer, Elsewhere::Failed, Probe::Unclear, open),
        // A request that nobody can do, at a provider that does others.
        (no_answer, Elsewhere::Failed, Probe::Answered, closed),
        (doubted, Elsewhere::Done, Probe::Answered, open),
        (doubted, Elsewhere::Failed, Probe::Unclear, closed),
        (doubted, Elsewhere::NotAsked, Probe::Unclear, closed),
    ] {
        let circuit = circuit_after(verdict, elsewhere, probe);
        assert_eq!(circuit, expected, "{verdict:?} {elsewhere:?} {probe:?}");
    }
}

#[test]
fn requests_in_a_row_and_the_busiest_methods_are_told_of_each_provider() {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Priority);
    let method = |name| Label::new("method", name).unwrap();
    for (place, name) in [
        (0, "eth_call"),
        (0, "eth_chainId"),
        (0, "eth_call"),
        (1, "eth_call"),
    ] {
        pool.count(now, place, &method(name));
    }
    tried(&mut pool, now, Verdict::Done);
    tried(&mut pool, now, Verdict::Client("client error"));
    let health = pool.health(now);
    let row = |failures, successes| InRow {
        failures,
        successes,
    };
    assert_eq!(health[0].in_row, row(0, 2));
    let methods = |health: &Health| -> Vec<(String, u64)> {
        let methods = health.methods.iter();
        methods
            .map(|one| (one.method.to_string(), one.calls))
            .collect()
    };
    assert_eq!(
        methods(&health[0]),
        [("eth_call".into(), 2), ("eth_chainId".into(), 1)]
    );
    assert_eq!(methods(&health[1]), [("eth_call".into(), 1)]);
    let minute = Duration::from_secs(60);
    assert_eq!(methods(&pool.health(now + minute)[0]), []);
    for expected in [row(1, 0), row(2, 0)] {
        let one = first(&mut pool, now).unwrap().0;
        pool.fail(now, one, Verdict::Doubted("http error"), Elsewhere::Failed);
        assert_eq!(pool.health(now)[0].in_row, expected);
    }
}

#[test]
fn a_fast_one_whose_answers_are_bad_is_not_the_fastest() {
    let now = Instant::now();
    let mut pool = pool(now, Strategy::Fastest);
    for (place, ms) in [(0, 10), (1, 30), (2, 90)] {
        pool.providers[place].took(ms * MS);
    }
    assert_eq!(tried(&mut pool, now, Verdict::Done)[0], 0);
    for _ in 0..3 {
        let (one, _) = first(&mut pool, now).unwrap();
        pool.fail(now, one, Verdict::Provider("timeout"), Elsewhere::Done);
    }
    let next = first(&mut pool, now).unwrap().0;
    assert_eq!(next.place, 1);
    pool.withdraw(now, next);
}
