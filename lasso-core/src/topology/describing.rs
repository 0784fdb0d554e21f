//! Asking peers for their descriptions until they answer.
//!
//! A link can be up while the application behind it is still starting, so one request is not enough. But a peer
//! that never answers must not be asked forever at full rate.
//!
//! 1. A peer is asked by at most one series of tries at a time.
//! 2. A series ends with an answer, with the link, or after its last try; after the last try the
//!    next series starts when `describe_again` has passed.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::config::TopologySettings;
use crate::name::NodeName;
use crate::time::Instant;
use crate::timers::Timers;

/// An order or a finding of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DescribeOrder {
    /// Ask this peer.
    Ask {
        /// The peer.
        to: NodeName,
        /// With this number.
        id: u64,
    },
    /// All tries failed; the peer is asked again after a while.
    GaveUp {
        /// The peer that did not answer.
        name: NodeName,
    },
}

#[derive(Debug, Clone, Copy)]
struct Series {
    /// The number of the last question.
    id: u64,
    /// Tries so far; 0 between two series.
    tries: u32,
    /// True while an answer may still be in time.
    waiting: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Describing {
    timeout: Duration,
    tries: u32,
    backoff_min: Duration,
    backoff_max: Duration,
    again: Duration,
    /// The peers that have not answered yet.
    series: BTreeMap<NodeName, Series>,
    timers: Timers<NodeName>,
    next_id: u64,
}

impl Describing {
    pub(super) fn new(settings: &TopologySettings) -> Self {
        Describing {
            timeout: settings.describe_timeout,
            tries: settings.describe_tries.max(1),
            backoff_min: settings.describe_backoff_min,
            backoff_max: settings.describe_backoff_max,
            again: settings.describe_again,
            series: BTreeMap::new(),
            timers: Timers::new(),
            // 0 marks an unrequested description.
            next_id: 1,
        }
    }

    /// Starts a series; returns the number of the question to send at once.
    pub(super) fn ask(&mut self, now: Instant, name: &NodeName) -> u64 {
        self.series.insert(
            name.clone(),
            Series {
                id: 0,
                tries: 0,
                waiting: false,
            },
        );
        self.try_once(now, name)
    }

    /// A description arrived, or the link is lost: ends the series. False when an answer with this number is
    /// late or unknown.
    pub(super) fn stop(&mut self, name: &NodeName, id: u64) -> bool {
        self.timers.clear(name);
        self.series
            .remove(name)
            .is_some_and(|series| series.waiting && series.id == id)
    }

    /// Sends due requests, and gives up on overdue peers.
    pub(super) fn tick(&mut self, now: Instant, orders: &mut Vec<DescribeOrder>) {
        while let Some(name) = self.timers.pop(now) {
            let series = self
                .series
                .get_mut(&name)
                .expect("a timer runs for a series only");
            if !series.waiting {
                let id = self.try_once(now, &name);
                orders.push(DescribeOrder::Ask { to: name, id });
                continue;
            }
            series.waiting = false;
            if series.tries < self.tries {
                let wait = backoff(self.backoff_min, self.backoff_max, series.tries);
                self.timers.set(name, now + wait);
            } else {
                series.tries = 0;
                self.timers.set(name.clone(), now + self.again);
                orders.push(DescribeOrder::GaveUp { name });
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn try_once(&mut self, now: Instant, name: &NodeName) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let series = self
            .series
            .get_mut(name)
            .expect("a try belongs to a series");
        assert!(series.tries < self.tries, "{name} was tried too often");
        *series = Series {
            id,
            tries: series.tries + 1,
            waiting: true,
        };
        self.timers.set(name.clone(), now + self.timeout);
        id
    }
}

/// The delay after `tries` failed tries, at least one: `min`, doubling up to `max`.
fn backoff(min: Duration, max: Duration, tries: u32) -> Duration {
    let factor = 1u32
        .checked_shl(tries.saturating_sub(1))
        .unwrap_or(u32::MAX);
    min.saturating_mul(factor).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn name() -> NodeName {
        "a@10.0.0.1".parse().unwrap()
    }

    fn run(describing: &mut Describing, until: Instant) -> Vec<(u64, DescribeOrder)> {
        let mut all = Vec::new();
        while let Some(now) = describing.deadline().filter(|deadline| *deadline <= until) {
            let mut orders = Vec::new();
            describing.tick(now, &mut orders);
            let ms = u64::try_from(now.since_start().as_millis()).unwrap();
            all.extend(orders.into_iter().map(|order| (ms, order)));
        }
        all
    }

    #[test]
    fn five_tries_back_off_and_the_next_series_starts_a_minute_later() {
        let mut describing = Describing::new(&TopologySettings::default());
        assert_eq!(describing.ask(at(0), &name()), 1);
        let ask = |id| DescribeOrder::Ask { to: name(), id };
        assert_eq!(
            run(&mut describing, at(80_000)),
            [
                (2_200, ask(2)),
                (4_600, ask(3)),
                (7_400, ask(4)),
                (11_000, ask(5)),
                (13_000, DescribeOrder::GaveUp { name: name() }),
                (73_000, ask(6)),
                (75_200, ask(7)),
                (77_600, ask(8)),
            ]
        );
    }

    #[test]
    fn an_answer_in_time_ends_the_series() {
        let mut describing = Describing::new(&TopologySettings::default());
        let id = describing.ask(at(0), &name());
        assert!(describing.stop(&name(), id));
        assert_eq!(describing.deadline(), None);
        assert!(
            !describing.stop(&name(), id),
            "a second answer answers nothing"
        );
    }

    #[test]
    fn a_late_answer_is_told_apart_and_still_ends_the_series() {
        let mut describing = Describing::new(&TopologySettings::default());
        let id = describing.ask(at(0), &name());
        run(&mut describing, at(2_000));
        assert!(!describing.stop(&name(), id));
        assert_eq!(describing.deadline(), None);
    }

    #[test]
    fn the_backoff_doubles_up_to_its_bound_and_never_overflows() {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(2));
        let ms: Vec<u128> = [1, 2, 3, 4, 5, 40, u32::MAX]
            .map(|n| backoff(min, max, n).as_millis())
            .into();
        assert_eq!(ms, [200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    }
}
