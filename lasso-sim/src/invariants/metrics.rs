//! Invariant 9: at most one refresh per key; a value from an older generation is never shown as
//! fresh.
//!
//! A fresh answer was gathered after the last change of membership known to the world. Each store keeps the
//! most refreshes of one key that it ever had under way, so that refreshes that begin and end between two reads
//! are found, too.

use core::time::Duration;

use lasso_core::event::{Change, TopologyEvent};
use lasso_core::metrics::store::Freshness;
use lasso_core::time::Instant;

use super::Witness;
use super::invariant::{Entry, Invariant, Moment};
use crate::app::{MetricSaw, Saw};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 9,
    name: "metrics",
    make: |nodes| {
        Box::new(Metrics {
            changed_at: vec![Instant::ZERO; nodes],
        })
    },
};

/// See the module's text.
#[derive(Debug)]
struct Metrics {
    /// By node: when the membership last changed.
    changed_at: Vec<Instant>,
}

impl Invariant for Metrics {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.changed_at[at.node.index()] = Instant::ZERO;
    }

    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        if let Change::NodeConnected { .. } | Change::NodeDisconnected { .. } = event.change {
            self.changed_at[at.node.index()] = at.now;
        }
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        if let Saw::Metrics(saw) = saw {
            self.read(at, saw);
        }
    }
}

impl Metrics {
    fn read(&self, at: &mut Moment<'_>, saw: &MetricSaw) {
        let changed_at = self.changed_at[at.node.index()];
        let name = &at.facts.cast.actor(at.node).name;
        let sight = &saw.sight;
        at.demand(sight.most_of_a_key <= 1, || {
            format!(
                "at most one refresh per key; {name} has had {} of one key under way",
                sight.most_of_a_key
            )
        });
        let age = Duration::min(sight.age, at.now - Instant::ZERO);
        let gathered_at = Instant::ZERO + ((at.now - Instant::ZERO) - age);
        let too_old = gathered_at + at.facts.slack < changed_at;
        at.demand(!too_old || sight.freshness != Freshness::Fresh, || {
            format!(
                "what is from before a change of membership is not fresh; {name} shows {} of {:?} as \
                 fresh, and the last change was at {changed_at}",
                saw.chain, sight.age
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Sight;
    use crate::invariants::facts::Facts;
    use crate::invariants::invariant::Watcher;
    use crate::scenario::{NodeId, Scenario};
    use lasso_core::event::DownReason;
    use lasso_core::node::ConnId;

    /// No byte has arrived anywhere.
    struct Nothing;

    impl Witness for Nothing {
        fn last_byte(&self, _: NodeId, _: ConnId) -> Option<Instant> {
            None
        }
    }

    fn saw(chain: &str, freshness: Freshness, age: u64, most_of_a_key: u64) -> MetricSaw {
        MetricSaw {
            page: "page".into(),
            chain: chain.into(),
            sight: Sight {
                freshness,
                age: Duration::from_secs(age),
                coverage: Some((1, 1)),
                failed: Vec::new(),
                failures: 0,
                rows: Vec::new(),
                refreshes: 5,
                most_of_a_key,
            },
        }
    }

    fn found_at(seconds: u64, saws: &[MetricSaw]) -> Vec<String> {
        let text = "lasso = 1\ntitle = \"t\"\nstory = \"s\"\n[nodes]\na = {}\n[[step]]\nat = \"1s\"\n\
                    expect = { on = \"a\", connected = 1 }\n";
        let scenario = Scenario::parse(std::path::Path::new("t.toml"), text).expect("a good file");
        let facts = Facts::new(&scenario.nodes, &scenario.network, true, Duration::ZERO);
        let mut watcher = Watcher::new(&ENTRY, 1);
        let mut violations = Vec::new();
        let (at, node) = (
            |seconds| Instant::ZERO + Duration::from_secs(seconds),
            NodeId(0),
        );
        let change = Change::NodeDisconnected {
            name: scenario.nodes[0].name(),
            reason: DownReason::Down,
        };
        let event = TopologyEvent {
            epoch: 1,
            coverage: crate::invariants::tests::coverage(1, 1),
            change,
        };
        watcher.tell(at(10), node, &facts, &mut violations, |metrics, at| {
            metrics.event(at, &event, &Nothing);
        });
        for saw in saws {
            let saw = Saw::Metrics(saw.clone());
            watcher.tell(at(seconds), node, &facts, &mut violations, |metrics, at| {
                metrics.saw(at, &saw);
            });
        }
        violations.into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn what_is_older_than_the_last_change_of_membership_must_not_be_fresh() {
        assert!(found_at(12, &[saw("c", Freshness::Fresh, 2, 0)]).is_empty());
        assert!(found_at(12, &[saw("c", Freshness::Stale, 3, 1)]).is_empty());
        let found = found_at(12, &[saw("c", Freshness::Fresh, 3, 0)]);
        assert!(found[0].contains("is not fresh"), "{found:?}");
    }

    #[test]
    fn two_refreshes_of_one_key_at_the_same_time_are_found() {
        assert!(found_at(12, &[saw("c", Freshness::Stale, 3, 1)]).is_empty());
        let found = found_at(12, &[saw("c", Freshness::Fresh, 1, 2)]);
        assert!(
            found[0].contains("at most one refresh per key"),
            "{found:?}"
        );
    }
}
