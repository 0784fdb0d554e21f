//! What a node knows, as checks and invariants read it: the same in every world.

use std::collections::BTreeMap;

use lasso_core::health::HealthStatus;
use lasso_core::node::{LinkInfo, Node};
use lasso_core::time::Instant;

use crate::world::{MemberView, NodeView, PartitionView};

/// A node's view at `now`, a moment of the world. `boot` is when its process started, on the
/// world's clock: times in the view are the world's.
pub fn view(node: &Node, boot: Instant, now: Instant) -> NodeView {
    let topology = node.topology();
    let partitions = topology.partitions();
    let linked = topology
        .members()
        .filter(|member| member.is_linked())
        .count();
    let own_now = Instant::ZERO + (now - boot);
    NodeView {
        name: node.identity().name.clone(),
        incarnation: node.identity().incarnation,
        coverage: node.coverage(),
        members: topology
            .members()
            .map(|member| MemberView {
                name: member.name().clone(),
                incarnation: member.incarnation(),
                state: member.state(),
                reason: member.down_reason(),
                description: member.is_identified().then(|| member.description().clone()),
            })
            .collect(),
        partitions: PartitionView {
            islands: partitions
                .islands
                .into_iter()
                .map(|island| island.nodes)
                .collect(),
            pairs: partitions
                .pairs
                .into_iter()
                .map(|pair| (pair.a, pair.b))
                .collect(),
        },
        health: match HealthStatus::of(linked + 1, topology.expected_nodes()) {
            HealthStatus::Healthy => "healthy",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Critical => "critical",
        },
        links: links(node, boot),
        discovery: node.discovery().status(own_now),
        candidates: node.discovery().candidates().cloned().collect(),
        closed: node.counters().closed.clone(),
        closed_by_peer: node.counters().closed_by_peer.clone(),
        counters: counters(node),
    }
}

/// The links that stand, with the world's times.
pub fn links(node: &Node, boot: Instant) -> Vec<LinkInfo> {
    node.links()
        .map(|link| LinkInfo {
            last_received: boot + link.last_received.since_start(),
            ..link
        })
        .collect()
}

fn counters(node: &Node) -> BTreeMap<&'static str, u64> {
    let (own, topology) = (node.counters(), node.topology().counters());
    let discovery = node.discovery().counters();
    BTreeMap::from([
        ("dials", own.dials),
        ("accepts", own.accepts),
        ("links", own.links),
        ("links_replaced", own.links_replaced),
        ("stale_inputs", own.stale_inputs),
        ("stalls", own.stalls),
        ("notices_held", own.notices_held),
        ("connected", topology.connected),
        ("disconnected", topology.disconnected),
        ("checks_sent", topology.checks_sent),
        ("checks_passed", topology.checks_passed),
        ("checks_failed", topology.checks_failed),
        ("late_answers", topology.late_answers),
        ("descriptions_failed", topology.descriptions_failed),
        ("frames_refused", topology.frames_refused),
        ("stale_incarnations", topology.stale_incarnations),
        ("differences", topology.differences),
        ("forgotten", topology.forgotten),
        ("flaps", topology.flaps),
        ("lookups", discovery.lookups),
        ("lookup_failures", discovery.failures),
        ("lookups_truncated", discovery.truncated),
        ("candidates_forgotten", discovery.forgotten),
    ])
}
