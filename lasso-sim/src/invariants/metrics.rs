//! Invariant 9: at most one refresh per key; a value from an older generation is never shown as
//! fresh.
//!
//! What is fresh was gathered after the last node came or went, by the world's own account. Of
//! refreshes no more are under way than chains have been read.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use lasso_core::metrics::store::Freshness;
use lasso_core::time::Instant;

use super::Found;
use super::cast::Cast;
use crate::app::MetricSaw;
use crate::scenario::NodeId;

const NUMBER: u32 = 9;

#[derive(Debug, Clone, Default)]
struct OfNode {
    /// When the last node came or went.
    changed_at: Instant,
    chains: BTreeSet<Arc<str>>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Metrics {
    nodes: Vec<OfNode>,
    slack: Duration,
}

impl Metrics {
    pub(super) fn new(nodes: usize, slack: Duration) -> Self {
        Metrics {
            nodes: vec![OfNode::default(); nodes],
            slack,
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes[node.index()] = OfNode::default();
    }

    pub(super) fn membership_changed(&mut self, now: Instant, node: NodeId) {
        self.nodes[node.index()].changed_at = now;
    }

    pub(super) fn saw(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        saw: &MetricSaw,
        found: &mut Vec<Found>,
    ) {
        let (of, name) = (&mut self.nodes[node.index()], &cast.actor(node).name);
        let sight = &saw.sight;
        of.chains.insert(Arc::clone(&saw.chain));
        if sight.under_way > of.chains.len() as u64 {
            let text = format!(
                "at most one refresh per key; {name} has read {} and {} are under way",
                of.chains.len(),
                sight.under_way
            );
            found.push((NUMBER, text));
        }
        let gathered_at = Instant::ZERO + (now - Instant::ZERO).saturating_sub(sight.age);
        if sight.freshness == Freshness::Fresh && gathered_at + self.slack < of.changed_at {
            let text = format!(
                "what is from before a change of membership is not fresh; {name} shows {} of {:?} as \
                 fresh, and the last change was at {}",
                saw.chain, sight.age, of.changed_at
            );
            found.push((NUMBER, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Sight;

    fn saw(chain: &str, freshness: Freshness, age: u64, under_way: u64) -> MetricSaw {
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
                under_way,
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
    fn more_refreshes_than_chains_are_found() {
        let (one, other) = (
            saw("c", Freshness::Stale, 3, 1),
            saw("d", Freshness::Stale, 3, 2),
        );
        assert!(found_at(12, &[one, other]).is_empty());
        let found = found_at(12, &[saw("c", Freshness::Stale, 3, 2)]);
        assert!(
            found[0].contains("at most one refresh per key"),
            "{found:?}"
        );
    }
}
