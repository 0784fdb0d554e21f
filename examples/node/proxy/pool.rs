//! The providers of one chain: who is asked next, and what that says of them.
//!
//! A request gets a [`Route`]: an order of providers, made by the strategy when it starts. Those behind
//! the other providers' newest block come last; one whose circuit is due for a test comes first, as no
//! other traffic would find out that it works again, and whoever tests it can still go on to the next.
//! Each [`Try`] along the route ends in a verdict, which moves the provider's circuits, its latency and
//! how long it is left alone. What a failure says of the provider depends on what others made of the same
//! request.
//!
//! 1. A provider is tried at most once per route, and never while a circuit is open for the client or it has
//!    asked to be left alone.
//! 2. Every try that began ends, in [`Pool::end`], [`Pool::fail`] or [`Pool::withdraw`].

use std::time::{Duration, Instant};

use lasso::Label;
use lasso::events::{Busiest, CircuitState, MethodCalls, ProviderStatus};

use super::breaker::{BreakerSettings, Change};
use super::judge::{Against, Judge, Permit, Probe, Witness};
use super::reply::Verdict;
use super::strategy::{Candidate, Chooser};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Pool {
    began: Instant,
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
    judge: Judge,
    /// Why the circuit is as it is.
    circuit: Option<Change>,
    /// What its answers took lately.
    latency_ms: Option<f64>,
    /// How many of its answers were good lately, 0 to 1.
    goodness: f64,
    height: Option<u64>,
    heard: Heard,
    /// Requests in a row that failed, and that were answered; one of them is 0.
    in_row: InRow,
    busiest: Busiest,
}

/// Requests in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InRow {
    /// That failed.
    pub(crate) failures: u32,
    /// That were answered.
    pub(crate) successes: u32,
}

/// What requests have got from a provider so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// None has been answered.
    Nothing,
    /// At least one answer, if only a refusal.
    Answers,
}

/// What other providers made of a request that one has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// One has done it.
    Done,
    /// None has, and at least one was asked.
    Failed,
    /// None was asked.
    NotAsked,
}

/// The way of one request.
#[derive(Debug)]
pub(crate) struct Route {
    /// The places that are left, the next one last.
    left: Vec<usize>,
    tries: usize,
    witness: Witness,
}

/// One request at one provider.
#[derive(Debug)]
pub(crate) struct Try {
    /// The provider's place in the configuration.
    pub(crate) place: usize,
    permit: Permit,
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
    /// Requests in a row.
    pub(crate) in_row: InRow,
    /// Its busiest methods in the last minute.
    pub(crate) methods: Vec<MethodCalls>,
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
            judge: Judge::new(now, breaker.clone()),
            circuit: None,
            latency_ms: None,
            goodness: 1.0,
            height: None,
            heard: Heard::Nothing,
            in_row: InRow::default(),
            busiest: Busiest::new(),
        };
        Pool {
            began: now,
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

    /// A way for one request of a client.
    pub(crate) fn route(&mut self, now: Instant, witness: Witness) -> Route {
        let consensus = self.consensus();
        let candidates: Vec<Candidate> = self
            .providers
            .iter()
            .enumerate()
            .filter(|(_, provider)| provider.judge.lets_through(now, &witness))
            .map(|(place, provider)| Candidate {
                place,
                rank: if provider.judge.is_in_doubt(&witness) {
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
        Route {
            left,
            tries: 0,
            witness,
        }
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
            if provider.judge.lets_through(now, &route.witness) {
                route.tries += 1;
                let (permit, change) = provider.judge.begin(now, &route.witness);
                let news = provider.news(change);
                return Some((Try { place, permit }, news));
            }
        }
    }

    /// A try has ended with something that says by itself what it says of the provider; `latency` is what
    /// it took.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        ended: Try,
        verdict: Verdict,
        latency: Duration,
    ) -> Option<CircuitNews> {
        let provider = &mut self.providers[ended.place];
        let permit = ended.permit;
        let change = match verdict {
            Verdict::Done | Verdict::Client(_) => {
                provider.took(latency);
                provider.in_row = InRow {
                    failures: 0,
                    successes: provider.in_row.successes.saturating_add(1),
                };
                provider.judge.success(now, permit)
            }
            Verdict::Declined => {
                provider.judge.withdraw(now, permit);
                None
            }
            Verdict::RateLimited(pause) => {
                provider.judge.limited(now, permit, pause);
                None
            }
            Verdict::Doubted(reason) | Verdict::Provider(reason) => {
                debug_assert!(false, "{reason}: it takes what others made of it");
                provider.judge.withdraw(now, permit);
                return None;
            }
        };
        provider.heard = Heard::Answers;
        provider.news(change)
    }

    /// A try has failed, and the request is over: what others made of it is known.
    pub(crate) fn fail(
        &mut self,
        now: Instant,
        ended: Try,
        verdict: Verdict,
        elsewhere: Elsewhere,
    ) -> Option<CircuitNews> {
        let provider = &mut self.providers[ended.place];
        provider.in_row = InRow {
            failures: provider.in_row.failures.saturating_add(1),
            successes: 0,
        };
        let works = provider.judge.probed() == Probe::Answered;
        let (reason, against) = match (verdict, elsewhere) {
            (Verdict::Doubted(reason) | Verdict::Provider(reason), Elsewhere::Done)
            | (Verdict::Provider(reason), Elsewhere::NotAsked) => (reason, Against::Everybody),
            // Nobody can do it, and this one does other things.
            (Verdict::Provider(reason), Elsewhere::Failed) if works => (reason, Against::OnlyIt),
            (Verdict::Provider(reason), Elsewhere::Failed) => (reason, Against::Everybody),
            // It answers; what is wrong may well be the request.
            _ => {
                provider.judge.withdraw(now, ended.permit);
                return None;
            }
        };
        let (counts, change) = provider.judge.failure(now, ended.permit, reason, against);
        if counts {
            provider.goodness += (0.0 - provider.goodness) * WEIGHT;
        }
        provider.news(change)
    }

    /// A request of this method was tried at a provider.
    pub(crate) fn count(&mut self, now: Instant, place: usize, method: &Label) {
        let now = now.saturating_duration_since(self.began);
        self.providers[place].busiest.record(now, method);
    }

    /// A try has no outcome, as the client is gone.
    pub(crate) fn withdraw(&mut self, now: Instant, ended: Try) {
        let provider = &mut self.providers[ended.place];
        provider.judge.withdraw(now, ended.permit);
    }

    /// The proxy has asked a provider a question of its own.
    pub(crate) fn probe(
        &mut self,
        now: Instant,
        place: usize,
        probe: Probe,
    ) -> Option<CircuitNews> {
        let provider = &mut self.providers[place];
        let change = provider.judge.probe(now, probe);
        provider.news(change)
    }

    /// The proxy's own question was refused as one too many.
    pub(crate) fn probe_limited(&mut self, now: Instant, place: usize, pause: Duration) {
        self.providers[place].judge.probe_limited(now, pause);
    }

    /// Clients that were forgotten, or not heard, where providers were judged.
    pub(crate) fn forgotten(&self) -> u64 {
        self.providers.iter().map(|one| one.judge.forgotten()).sum()
    }

    /// When nobody may be asked: in how long somebody may be, if time alone decides.
    pub(crate) fn retry_after(&self, now: Instant, witness: &Witness) -> Option<Duration> {
        let at = |provider: &Provider| provider.judge.opens_at(now, witness);
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
        let health = |provider: &Provider| Health {
            methods: provider
                .busiest
                .top(now.saturating_duration_since(self.began)),
            ..provider.health(now, consensus, self.lag_max)
        };
        self.providers.iter().map(health).collect()
    }

    /// The circuits as they are, each with what made it so, to be told again.
    pub(crate) fn circuits(&self) -> Vec<CircuitNews> {
        let circuit = |provider: &Provider| CircuitNews {
            provider: provider.name.clone(),
            change: provider.circuit.clone().unwrap_or(Change {
                previous: CircuitState::Closed,
                state: CircuitState::Closed,
                failures: provider.judge.failures(),
                reason: "it was never open",
            }),
        };
        self.providers.iter().map(circuit).collect()
    }
}

impl Provider {
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
        let (circuit, lag) = (self.judge.state(), self.lag(consensus));
        let rate_limited = self.judge.is_limited(now);
        let status = match circuit {
            CircuitState::Open => ProviderStatus::Down,
            _ if self.heard == Heard::Nothing => ProviderStatus::Unknown,
            CircuitState::Closed => {
                let is_behind = lag.is_some_and(|lag| lag > lag_max);
                if is_behind || rate_limited || self.goodness < GOOD {
                    ProviderStatus::Degraded
                } else {
                    ProviderStatus::Healthy
                }
            }
            _ => ProviderStatus::Degraded,
        };
        Health {
            provider: self.name.clone(),
            status,
            circuit,
            lag,
            rate_limited,
            in_row: self.in_row,
            methods: Vec::new(),
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
#[path = "pool_tests.rs"]
mod tests;
