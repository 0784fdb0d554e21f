//! The providers of one chain: who is asked next, and what that says of them.
//!
//! A request gets a [`Route`]: an order of providers, made by the strategy when it starts. Those behind
//! the other providers' newest block come last; one whose circuit is due for a test comes first, as no
//! other traffic would find out that it works again, and whoever tests it can still go on to the next.
//! Each [`Try`] along the route ends in a verdict, which moves the provider's circuit, its latency and
//! how long it is left alone.
//!
//! 1. A provider is tried at most once per route, and never while its circuit is open or it has asked to
//!    be left alone.
//! 2. Every try that began ends, in [`Pool::end`] or [`Pool::withdraw`].

use std::time::{Duration, Instant};

use lasso::Label;
use lasso::events::{CircuitState, ProviderStatus};

use super::breaker::{Breaker, BreakerSettings, Change, Pass};
use super::reply::Verdict;
use super::strategy::{Candidate, Chooser};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Pool {
    providers: Vec<Provider>,
    chooser: Chooser,
    /// Most providers that one request is tried at.
    tries_max: usize,
    /// Providers that are further behind come last.
    lag_max: u64,
}

#[derive(Debug)]
struct Provider {
    name: Label,
    breaker: Breaker,
    /// Why the circuit is as it is.
    circuit: Option<Change>,
    /// What its answers took lately.
    latency_ms: Option<f64>,
    /// How many of its answers were good lately, 0 to 1.
    goodness: f64,
    limited_until: Option<Instant>,
    height: Option<u64>,
    heard: Heard,
}

/// What requests have got from a provider so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// None has ended there.
    Nothing,
    /// No answer yet.
    Failures,
    /// At least one answer, if only a refusal.
    Answers,
}

/// The way of one request.
#[derive(Debug)]
pub(crate) struct Route {
    /// The places that are left, the next one last.
    left: Vec<usize>,
    tries: usize,
}

/// One request at one provider.
#[derive(Debug)]
pub(crate) struct Try {
    /// The provider's place in the configuration.
    pub(crate) place: usize,
    pass: Pass,
}

/// A provider's circuit changed, or is told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CircuitNews {
    /// Whose.
    pub(crate) provider: Label,
    /// What happened.
    pub(crate) change: Change,
}

/// How a provider is doing, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// Which.
    pub(crate) provider: Label,
    /// In a word.
    pub(crate) status: ProviderStatus,
    /// Its circuit.
    pub(crate) circuit: CircuitState,
    /// Blocks that it is behind most others.
    pub(crate) lag: Option<u64>,
    /// It has asked to be left alone.
    pub(crate) rate_limited: bool,
}

impl Pool {
    /// A pool of providers, in the order of the configuration, of which nothing is known yet.
    pub(crate) fn new(
        now: Instant,
        names: impl IntoIterator<Item = Label>,
        chooser: Chooser,
        breaker: &BreakerSettings,
        tries_max: usize,
        lag_max: u64,
    ) -> Self {
        let provider = |name| Provider {
            name,
            breaker: Breaker::new(now, breaker.clone()),
            circuit: None,
            latency_ms: None,
            goodness: 1.0,
            limited_until: None,
            height: None,
            heard: Heard::Nothing,
        };
        Pool {
            providers: names.into_iter().map(provider).collect(),
            chooser,
            tries_max,
            lag_max,
        }
    }

    /// The provider at this place.
    pub(crate) fn name(&self, place: usize) -> &Label {
        &self.providers[place].name
    }

    /// A way for one request.
    pub(crate) fn route(&mut self, now: Instant) -> Route {
        let consensus = self.consensus();
        let candidates: Vec<Candidate> = self
            .providers
            .iter()
            .enumerate()
            .filter(|(_, provider)| provider.may_be_asked(now))
            .map(|(place, provider)| Candidate {
                place,
                rank: if provider.breaker.state() != CircuitState::Closed {
                    0
                } else if provider
                    .lag(consensus)
                    .is_some_and(|lag| lag > self.lag_max)
                {
                    2
                } else {
                    1
                },
                latency_ms: provider.cost(),
            })
            .collect();
        let mut left = self.chooser.order(&candidates);
        left.reverse();
        Route { left, tries: 0 }
    }

    /// The next provider along the way, and what that did to its circuit; `None` when there is none,
    /// or there were enough.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        route: &mut Route,
    ) -> Option<(Try, Option<CircuitNews>)> {
        if route.tries >= self.tries_max {
            return None;
        }
        loop {
            let place = route.left.pop()?;
            let provider = &mut self.providers[place];
            // Things may have changed since the route was made.
            if provider.may_be_asked(now) {
                route.tries += 1;
                let (pass, change) = provider.breaker.begin(now);
                let news = provider.news(change);
                return Some((Try { place, pass }, news));
            }
        }
    }

    /// A try has ended; `latency` is what it took.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        ended: Try,
        verdict: Verdict,
        latency: Duration,
    ) -> Option<CircuitNews> {
        let provider = &mut self.providers[ended.place];
        provider.heard = match verdict {
            Verdict::Provider(_) if provider.heard != Heard::Answers => Heard::Failures,
            _ => Heard::Answers,
        };
        let change = match verdict {
            Verdict::Done | Verdict::Client(_) => {
                provider.took(latency);
                provider.breaker.success(ended.pass)
            }
            Verdict::Declined | Verdict::Doubted(_) => {
                provider.breaker.withdraw(ended.pass);
                None
            }
            Verdict::RateLimited(pause) => {
                provider.limited_until = Some(now + pause);
                provider.breaker.withdraw(ended.pass);
                None
            }
            Verdict::Provider(reason) => {
                provider.goodness += (0.0 - provider.goodness) * WEIGHT;
                provider.breaker.failure(now, ended.pass, reason)
            }
        };
        provider.news(change)
    }

    /// A try has no outcome, as the client is gone.
    pub(crate) fn withdraw(&mut self, ended: Try) {
        self.providers[ended.place].breaker.withdraw(ended.pass);
    }

    /// When nobody may be asked: in how long somebody may be, if time alone decides.
    pub(crate) fn retry_after(&self, now: Instant) -> Option<Duration> {
        let at = |provider: &Provider| {
            let limited = provider.limited_until.filter(|until| *until > now);
            limited.max(provider.breaker.opens_at())
        };
        let soonest = self.providers.iter().filter_map(at).min()?;
        Some(soonest.saturating_duration_since(now))
    }

    /// A provider has told its newest block, or did not when it was asked.
    pub(crate) fn set_height(&mut self, place: usize, height: Option<u64>) {
        self.providers[place].height = height;
    }

    /// The newest block that more than half of the providers have, of those that told theirs.
    pub(crate) fn consensus(&self) -> Option<u64> {
        let mut heights: Vec<u64> = self.providers.iter().filter_map(|one| one.height).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(heights.len() / 2).copied()
    }

    /// Heights that are known, with how far each is behind most others.
    pub(crate) fn heights(&self) -> impl Iterator<Item = (&Label, u64, Option<u64>)> {
        let consensus = self.consensus();
        self.providers.iter().filter_map(move |provider| {
            let height = provider.height?;
            Some((&provider.name, height, provider.lag(consensus)))
        })
    }

    /// How each provider is doing.
    pub(crate) fn health(&self, now: Instant) -> Vec<Health> {
        let consensus = self.consensus();
        let health = |provider: &Provider| provider.health(now, consensus, self.lag_max);
        self.providers.iter().map(health).collect()
    }

    /// The circuits as they are, each with what made it so, to be told again.
    pub(crate) fn circuits(&self) -> Vec<CircuitNews> {
        let circuit = |provider: &Provider| CircuitNews {
            provider: provider.name.clone(),
            change: provider.circuit.clone().unwrap_or(Change {
                previous: CircuitState::Closed,
                state: CircuitState::Closed,
                failures: provider.breaker.failures(),
                reason: "it was never open",
            }),
        };
        self.providers.iter().map(circuit).collect()
    }
}

impl Provider {
    fn may_be_asked(&self, now: Instant) -> bool {
        !self.is_limited(now) && self.breaker.lets_through(now)
    }

    fn is_limited(&self, now: Instant) -> bool {
        self.limited_until.is_some_and(|until| now < until)
    }

    fn lag(&self, consensus: Option<u64>) -> Option<u64> {
        Some(consensus?.saturating_sub(self.height?))
    }

    fn took(&mut self, latency: Duration) {
        let latency = latency.as_secs_f64() * 1e3;
        let before = self.latency_ms.unwrap_or(latency);
        self.latency_ms = Some(before + (latency - before) * WEIGHT);
        self.goodness += (1.0 - self.goodness) * WEIGHT;
    }

    /// What strategies weigh: its latency, four times that when half of its answers are bad.
    fn cost(&self) -> Option<f64> {
        Some(self.latency_ms? / self.goodness.max(LEAST_GOODNESS).powi(2))
    }

    fn news(&mut self, change: Option<Change>) -> Option<CircuitNews> {
        let change = change?;
        self.circuit = Some(change.clone());
        Some(CircuitNews {
            provider: self.name.clone(),
            change,
        })
    }

    fn health(&self, now: Instant, consensus: Option<u64>, lag_max: u64) -> Health {
        let (circuit, lag) = (self.breaker.state(), self.lag(consensus));
        let rate_limited = self.is_limited(now);
        let status = match circuit {
            CircuitState::Open => ProviderStatus::Down,
            CircuitState::Closed if lag.is_some_and(|lag| lag > lag_max) => {
                ProviderStatus::Degraded
            }
            CircuitState::Closed if rate_limited || self.goodness < GOOD => {
                ProviderStatus::Degraded
            }
            CircuitState::Closed if self.heard == Heard::Nothing => ProviderStatus::Unknown,
            CircuitState::Closed if self.heard == Heard::Failures => ProviderStatus::Degraded,
            CircuitState::Closed => ProviderStatus::Healthy,
            _ => ProviderStatus::Degraded,
        };
        Health {
            provider: self.name.clone(),
            status,
            circuit,
            lag,
            rate_limited,
        }
    }
}

/// How much one answer counts against those before it: the last ten make up nine tenths.
const WEIGHT: f64 = 0.2;
/// However bad its answers, a provider's latency counts at most a hundredfold.
const LEAST_GOODNESS: f64 = 0.1;
/// Below this share of good answers, a provider is called degraded.
const GOOD: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::super::strategy::Strategy;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pool(now: Instant, strategy: Strategy) -> Pool {
        let names = ["a", "b", "c"].map(|name| Label::new("provider", name).unwrap());
        let chooser = Chooser::new(strategy, 1);
        Pool::new(now, names, chooser, &BreakerSettings::default(), 3, 5)
    }

    /// The first try of a new request.
    fn first(pool: &mut Pool, now: Instant) -> Option<(Try, Option<CircuitNews>)> {
        let mut route = pool.route(now);
        pool.next(now, &mut route)
    }

    /// The places that a request is tried at when every try ends in `verdict`.
    fn tried(pool: &mut Pool, now: Instant, verdict: Verdict) -> Vec<usize> {
        let mut route = pool.route(now);
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
        for _ in 0..5 {
            let mut route = pool.route(now);
            let (_skipped, _) = pool.next(now, &mut route).unwrap();
            let (second, _) = pool.next(now, &mut route).unwrap();
            assert_eq!(second.place, 1);
            opened = pool.end(now, second, Verdict::Provider("timeout"), MS);
        }
        let opened = opened.expect("five failures in a row");
        assert_eq!(
            (opened.provider.as_str(), opened.change.reason),
            ("b", "timeout")
        );
        assert_eq!(pool.health(now)[1].status, ProviderStatus::Down);
        assert_eq!(tried(&mut pool, now, Verdict::Done), [0, 2]);

        let later = now + Duration::from_secs(10);
        let (mut one, mut other) = (pool.route(later), pool.route(later));
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
        assert_eq!(pool.retry_after(now), Some(pause));
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
    fn how_a_provider_is_doing_is_unknown_until_a_request_has_ended_there() {
        let now = Instant::now();
        for (verdict, status) in [
            (Verdict::Done, ProviderStatus::Healthy),
            (Verdict::Client("client error"), ProviderStatus::Healthy),
            (Verdict::Declined, ProviderStatus::Healthy),
            (Verdict::RateLimited(MS), ProviderStatus::Degraded),
            (Verdict::Provider("timeout"), ProviderStatus::Degraded),
        ] {
            let mut pool = pool(now, Strategy::Priority);
            // That it tells its newest block says nothing of requests.
            pool.set_height(0, Some(7));
            let gone = first(&mut pool, now).unwrap().0;
            pool.withdraw(gone);
            assert_eq!(pool.health(now)[0].status, ProviderStatus::Unknown);
            let one = first(&mut pool, now).unwrap().0;
            pool.end(now, one, verdict, MS);
            assert_eq!(pool.health(now)[0].status, status, "{verdict:?}");
            assert_eq!(pool.health(now)[1].status, ProviderStatus::Unknown);
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
            pool.end(now, one, Verdict::Provider("timeout"), MS);
        }
        let next = first(&mut pool, now).unwrap().0;
        assert_eq!(next.place, 1);
        pool.withdraw(next);
    }
}
