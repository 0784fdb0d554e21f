//! Invariant 9: at most one refresh per key; a value from an older generation is never shown as
//! fresh.
//!
//! What is fresh was gathered after the last node came or went, by the world's own account. How many
//! refreshes of one key there were at the same time is told by each store, which counts what it has
//! under way and keeps the most that it ever was, so that what begins and ends between two reads is found.

use core::time::Duration;

use lasso_core::metrics::store::Freshness;
use lasso_core::time::Instant;

use super::Found;
use super::cast::Cast;
use crate::app::MetricSaw;
use crate::scenario::NodeId;

const NUMBER: u32 = 9;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Metrics {
    /// By node: when the last node came or went.
    changed_at: Vec<Instant>,
    slack: Duration,
}

impl Metrics {
    pub(super) fn new(nodes: usize, slack: Duration) -> Self {
        Metrics {
            changed_at: vec![Instant::ZERO; nodes],
            slack,
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.changed_at[node.index()] = Instant::ZERO;
    }

    pub(super) fn membership_changed(&mut self, now: Instant, node: NodeId) {
        self.changed_at[node.index()] = now;
    }

    pub(super) fn saw(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        saw: &MetricSaw,
        found: &mut Vec<Found>,
    ) {
        let (changed_at, name) = (self.changed_at[node.index()], &cast.actor(node).name);
        let sight = &saw.sight;
        if sight.most_of_a_key > 1 {
            let text = format!(
                "at most one refresh per key; {name} has had {} of one key under way",
                sight.most_of_a_key
            );
            found.push((NUMBER, text));
        }
        let gathered_at = Instant::ZERO + (now - Instant::ZERO).saturating_sub(sight.age);
        if sight.freshness == Freshness::Fresh && gathered_at + self.slack < changed_at {
            let text = format!(
                "what is from before a change of membership is not fresh; {name} shows {} of {:?} as \
                 fresh, and the last change was at {}",
                saw.chain, sight.age, changed_at
            );
            found.push((NUMBER, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Sight;

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
        let scenario = crate::scenario::Scenario::parse(std::path::Path::new("t.toml"), text)
            .expect("a good file");
        let cast = Cast::new(&scenario.nodes, true);
        let mut metrics = Metrics::new(1, Duration::ZERO);
        let mut found = Vec::new();
        metrics.membership_changed(Instant::ZERO + Duration::from_secs(10), NodeId(0));
        for saw in saws {
            let now = Instant::ZERO + Duration::from_secs(seconds);
            metrics.saw(now, &cast, NodeId(0), saw, &mut found);
        }
        found.into_iter().map(|(_, text)| text).collect()
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
