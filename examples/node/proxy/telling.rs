//! Reports in the words of the cluster: events for viewers, and calls for figures.
//!
//! 1. What comes from clients is a label by now, so that no event is refused for its words; a method is
//!    counted under its own name only where that is a usual one.
//! 2. A request is one event, of the provider that served it or failed last, and one call for each
//!    provider that it was tried at.

use lasso::events::{
    BlockHeight, CircuitChange, Outcome, ProviderHealth, RoutingDecision, RoutingEvent, Transport,
};
use lasso::metrics::{Call, SeriesKey};
use lasso::{Label, NodeName, metrics};

use super::methods;
use super::pool::{CircuitNews, Health};
use super::report::{Finished, Height, Place, Report};

/// Who tells.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    node: NodeName,
    region: Label,
    /// Of this life of this node, and no other.
    life: u128,
    /// Requests told of so far.
    requests: u64,
}

impl Teller {
    /// A teller for this node; `life` is drawn at random, so that ids are never used again.
    pub(crate) fn new(node: NodeName, region: Label, life: u128) -> Self {
        Teller {
            node,
            region,
            life,
            requests: 0,
        }
    }

    /// The event that tells of something that came to be at `unix_ms`.
    pub(crate) fn event(&mut self, unix_ms: u64, report: &Report) -> RoutingEvent {
        match report {
            Report::Finished(finished) => self.decision(unix_ms, finished),
            Report::Circuit(place, news) => self.circuit(unix_ms, place, news),
            Report::Health(place, health) => self.health(unix_ms, place, health),
            Report::Height(place, height) => self.height(unix_ms, place, height),
        }
    }

    /// The calls that a request was, one for each provider that it was tried at: what each is counted
    /// by, and what it came to.
    pub(crate) fn calls<'a>(
        &'a self,
        finished: &'a Finished,
    ) -> impl Iterator<Item = (SeriesKey<'a>, Call)> {
        let last = finished.tries.len().saturating_sub(1);
        finished
            .tries
            .iter()
            .enumerate()
            .map(move |(place, tried)| {
                let key = SeriesKey {
                    profile: finished.place.profile.as_str(),
                    provider: tried.provider.as_str(),
                    chain: finished.place.chain.as_str(),
                    method: methods::counted_as(finished.method.as_str()),
                    region: self.region.as_str(),
                };
                let outcome = match tried.success {
                    true => metrics::Outcome::Success,
                    false => metrics::Outcome::Error,
                };
                let call = Call {
                    outcome,
                    failovers: u32::from(place < last),
                    latency: tried.latency,
                };
                (key, call)
            })
    }

    fn decision(&mut self, unix_ms: u64, finished: &Finished) -> RoutingEvent {
        self.requests += 1;
        let id = format!("{:032x}-{}", self.life, self.requests);
        let last = finished.tries.last();
        let mut decision = RoutingDecision::new(
            Label::new("request id", &id).expect("two numbers are a label"),
            unix_ms,
            finished.place.profile.clone(),
            self.node.clone(),
            finished.place.chain.clone(),
            last.map_or_else(nobody, |tried| tried.provider.clone()),
        );
        decision.region = self.region.clone();
        decision.account = finished.account.clone();
        decision.method = finished.method.clone();
        decision.strategy = finished.strategy.clone();
        decision.duration_us = finished.duration().as_micros() as u64;
        decision.failovers = finished.tries.len().saturating_sub(1) as u32;
        decision.error_category = finished.error_category.clone();
        decision.error_code = finished.error_code;
        if !finished.success {
            decision.result = Outcome::Error;
        }
        RoutingEvent::Decision(decision)
    }

    fn circuit(&self, unix_ms: u64, place: &Place, news: &CircuitNews) -> RoutingEvent {
        RoutingEvent::Circuit(CircuitChange {
            unix_ms,
            profile: place.profile.clone(),
            source: self.node.clone(),
            region: self.region.clone(),
            chain: place.chain.clone(),
            provider: news.provider.clone(),
            transport: Transport::Http,
            previous: news.change.previous,
            state: news.change.state,
            failures: news.change.failures,
            reason: Label::new("reason", news.change.reason).ok(),
        })
    }

    fn health(&self, unix_ms: u64, place: &Place, health: &Health) -> RoutingEvent {
        RoutingEvent::Health(ProviderHealth {
            unix_ms,
            profile: place.profile.clone(),
            source: self.node.clone(),
            region: self.region.clone(),
            chain: place.chain.clone(),
            provider: health.provider.clone(),
            status: health.status,
            statuses: [(Transport::Http, health.status)].into(),
            circuits: [(Transport::Http, health.circuit)].into(),
            block_lag: health.lag,
            rate_limited: health.rate_limited,
            failures_in_row: health.in_row.failures,
            successes_in_row: health.in_row.successes,
            methods: health.methods.clone(),
        })
    }

    fn height(&self, unix_ms: u64, place: &Place, height: &Height) -> RoutingEvent {
        RoutingEvent::Height(BlockHeight {
            unix_ms,
            profile: place.profile.clone(),
            source: self.node.clone(),
            region: self.region.clone(),
            chain: place.chain.clone(),
            provider: height.provider.clone(),
            height: height.height,
            consensus: height.consensus,
            lag: height.lag,
        })
    }
}

/// Who has served a request that nobody could be asked.
fn nobody() -> Label {
    Label::new("provider", NOBODY).expect("a word is a label")
}

/// The provider of a request that nobody was asked; no provider may be called so.
pub(crate) const NOBODY: &str = "none";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lasso::Segment;

    use super::super::report::Tried;
    use super::*;

    fn label(text: &str) -> Label {
        Label::new("label", text).unwrap()
    }

    fn finished(tries: &[(&str, bool, u64)]) -> Finished {
        let segment = |text| Segment::new(text).unwrap();
        let tried = |(provider, success, ms): &(&str, bool, u64)| Tried {
            provider: label(provider),
            success: *success,
            latency: Duration::from_millis(*ms),
        };
        Finished {
            place: Place {
                profile: segment("p"),
                chain: segment("eth"),
            },
            account: Some(segment("acme")),
            method: label("eth_call"),
            strategy: label("fastest"),
            tries: tries.iter().map(tried).collect(),
            success: tries.last().is_some_and(|(_, success, _)| *success),
            error_category: None,
            error_code: None,
        }
    }

    fn decision(teller: &mut Teller, finished: Finished) -> RoutingDecision {
        match teller.event(7, &Report::Finished(Box::new(finished))) {
            RoutingEvent::Decision(decision) => decision,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_told_of_its_last_provider_with_those_before_as_failovers() {
        let node: NodeName = "lasso@10.0.0.5".parse().unwrap();
        let mut teller = Teller::new(node.clone(), label("iad"), 5);
        let tries = [("a", false, 30), ("b", false, 20), ("c", true, 50)];
        let first = decision(&mut teller, finished(&tries));
        assert_eq!((first.provider.as_str(), first.failovers), ("c", 2));
        assert_eq!(
            (first.duration_us, first.result),
            (100_000, Outcome::Success)
        );
        assert_eq!(
            (first.source, first.region, first.unix_ms),
            (node, label("iad"), 7)
        );
        assert_eq!(first.account.unwrap().as_str(), "acme");
        let second = decision(&mut teller, finished(&[]));
        assert_eq!(
            (second.provider.as_str(), second.result),
            (NOBODY, Outcome::Error)
        );
        assert_ne!(first.request_id, second.request_id);
    }

    #[test]
    fn a_request_is_a_call_of_each_provider_under_a_name_that_is_usual() {
        let teller = Teller::new("lasso@10.0.0.5".parse().unwrap(), label("iad"), 5);
        let mut made_up = finished(&[("a", false, 30), ("b", true, 20)]);
        made_up.method = label("eth_made_up_by_a_client");
        let calls: Vec<_> = teller.calls(&made_up).collect();
        let shown = |(key, call): &(SeriesKey<'_>, Call)| {
            let SeriesKey {
                provider,
                method,
                region,
                ..
            } = *key;
            let success = call.outcome == metrics::Outcome::Success;
            format!("{provider} {method} {region} {success} {}", call.failovers)
        };
        let calls: Vec<_> = calls.iter().map(shown).collect();
        assert_eq!(calls, ["a other iad false 1", "b other iad true 0"]);
        assert_eq!(teller.calls(&finished(&[])).count(), 0);
    }
}
