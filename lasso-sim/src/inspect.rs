//! The knowledge of a node, as checks and invariants read it: the same in every world.

use std::collections::BTreeMap;

use lasso_core::health::HealthStatus;
use lasso_core::name::NodeName;
use lasso_core::node::{LinkInfo, Node};
use lasso_core::plane::PlaneCounters;
use lasso_core::plane::calls::CallCounters;
use lasso_core::plane::pubsub::PubSubCounters;
use lasso_core::time::Instant;
use lasso_net::events::EventCounters;

use crate::world::{MemberView, NodeView, PartitionView};

/// A node's view at `now`, a moment of the world. `boot` is when its process started, on the
/// world's clock: times in the view are the world's.
pub fn view(node: &Node, boot: Instant, now: Instant) -> NodeView {
    let topology = node.topology();
    let partitions = topology.partitions();
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
        health: match HealthStatus::seen_from(topology) {
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

/// The names of the nodes linked to a node, and its own.
pub fn linked(node: &Node) -> Vec<NodeName> {
    let linked = node
        .topology()
        .members()
        .filter(|member| member.is_linked());
    let mut names: Vec<NodeName> = linked.map(|member| member.name().clone()).collect();
    names.push(node.identity().name.clone());
    names.sort();
    names
}

/// The present links, with the world's times.
pub fn links(node: &Node, boot: Instant) -> Vec<LinkInfo> {
    node.links()
        .map(|link| LinkInfo {
            last_received: boot + link.last_received.since_start(),
            ..link
        })
        .collect()
}

/// Every counter of a node, by name.
type Count = fn(&Node) -> u64;

const COUNTS: &[(&str, Count)] = &[
    ("dials", |node| node.counters().dials),
    ("accepts", |node| node.counters().accepts),
    ("links", |node| node.counters().links),
    ("links_replaced", |node| node.counters().links_replaced),
    ("stale_inputs", |node| node.counters().stale_inputs),
    ("stalls", |node| node.counters().stalls),
    ("notices_held", |node| node.counters().notices_held),
    ("connected", |node| node.topology().counters().connected),
    ("disconnected", |node| {
        node.topology().counters().disconnected
    }),
    ("checks_sent", |node| node.topology().counters().checks_sent),
    ("checks_passed", |node| {
        node.topology().counters().checks_passed
    }),
    ("checks_failed", |node| {
        node.topology().counters().checks_failed
    }),
    ("late_answers", |node| {
        node.topology().counters().late_answers
    }),
    ("descriptions_failed", |node| {
        node.topology().counters().descriptions_failed
    }),
    ("frames_refused", |node| {
        node.topology().counters().frames_refused
    }),
    ("stale_incarnations", |node| {
        node.topology().counters().stale_incarnations
    }),
    ("unfinished_shed", |node| node.unfinished().shed),
    ("unfinished_expired", |node| node.unfinished().expired),
    ("differences", |node| node.topology().counters().differences),
    ("forgotten", |node| node.topology().counters().forgotten),
    ("flaps", |node| node.topology().counters().flaps),
    ("lookups", |node| node.discovery().counters().lookups),
    ("lookup_failures", |node| {
        node.discovery().counters().failures
    }),
    ("lookups_truncated", |node| {
        node.discovery().counters().truncated
    }),
    ("learned_shed", |node| {
        node.discovery().counters().learned_shed
    }),
    ("candidates_forgotten", |node| {
        node.discovery().counters().forgotten
    }),
];

/// Every counter of a node's data plane, by name.
type PlaneCount = fn(&PubSubCounters, &CallCounters, &PlaneCounters) -> u64;

const PLANE_COUNTS: &[(&str, PlaneCount)] = &[
    ("messages_published", |topics, _, _| topics.published),
    ("messages_sent", |topics, _, _| topics.sent),
    ("messages_shed", |topics, _, _| topics.shed),
    ("messages_received", |topics, _, _| topics.received),
    ("messages_delivered", |topics, _, _| topics.delivered),
    ("messages_overflowed", |topics, _, _| topics.overflowed),
    ("messages_abandoned", |topics, _, _| topics.abandoned),
    ("messages_missed", |topics, _, _| topics.missed),
    ("messages_unwanted", |topics, _, _| topics.unwanted),
    ("messages_stale", |topics, _, _| topics.stale),
    ("interest_refused", |topics, _, _| topics.interest_refused),
    ("interest_denied", |topics, _, _| topics.interest_denied),
    ("messages_unfinished", |topics, _, _| topics.unfinished),
    ("topics_forgotten", |topics, _, _| topics.topics_forgotten),
    ("losses_untold", |topics, _, _| topics.losses_untold),
    ("calls_started", |_, calls, _| calls.started),
    ("calls_answered", |_, calls, _| calls.answered),
    ("calls_late_answers", |_, calls, _| calls.late_answers),
    ("calls_stray_answers", |_, calls, _| calls.stray_answers),
    ("requests", |_, calls, _| calls.requests),
    ("requests_overloaded", |_, calls, _| {
        calls.requests_overloaded
    }),
    ("requests_over_share", |_, calls, _| {
        calls.requests_over_share
    }),
    ("requests_over_bytes", |_, calls, _| {
        calls.requests_over_bytes
    }),
    ("requests_unfinished", |_, calls, _| {
        calls.requests_unfinished
    }),
    ("requests_stopping", |_, calls, _| calls.requests_stopping),
    ("requests_given_up", |_, calls, _| calls.given_up),
    ("answers", |_, calls, _| calls.answers),
    ("answers_shed", |_, calls, _| calls.answers_shed),
    ("answers_nowhere", |_, calls, _| calls.answers_nowhere),
    ("answers_unknown", |_, calls, _| calls.answers_unknown),
    ("answers_too_large", |_, calls, _| calls.answers_too_large),
    ("requests_unlinked", |_, calls, _| calls.requests_unlinked),
    ("requests_no_such_method", |_, calls, _| {
        calls.requests_no_such_method
    }),
    ("refusals_lost", |_, calls, _| calls.refusals_lost),
    ("members_unnoted", |_, calls, _| calls.members_unnoted),
    ("calls_not_connected", |_, calls, _| calls.not_connected),
    ("calls_timeouts", |_, calls, _| calls.timeouts),
    ("calls_no_such_method", |_, calls, _| calls.no_such_method),
    ("calls_overloaded", |_, calls, _| calls.overloaded),
    ("calls_disconnected", |_, calls, _| calls.disconnected),
    ("calls_rejected", |_, calls, _| calls.rejected),
    ("calls_malformed", |_, calls, _| calls.malformed),
    ("calls_too_large", |_, calls, _| calls.too_large),
    ("calls_stopped", |_, calls, _| calls.stopped),
    ("calls_cancelled", |_, calls, _| calls.cancelled),
    ("plane_stray", |_, _, plane| plane.stray),
    ("plane_unknown", |_, _, plane| plane.unknown),
];

/// Every counter of a node's live events, by name.
type EventCount = fn(&EventCounters) -> u64;

const EVENT_COUNTS: &[(&str, EventCount)] = &[
    ("event_streams", |of| of.live.streams as u64),
    ("event_viewers", |of| of.live.viewers as u64),
    ("event_topics", |of| of.live.topics as u64),
    ("event_timers", |of| u64::from(of.live.has_deadline)),
    ("events_received", |of| of.live.stream.received),
    ("events_missed", |of| of.live.stream.missed),
    ("events_misplaced", |of| of.live.stream.misplaced),
    ("events_foreign", |of| of.live.stream.foreign),
    ("events_unwanted", |of| of.live.stream.unwanted),
    ("events_malformed", |of| of.live.malformed),
    ("events_duplicate", |of| of.live.feeds.dedup.duplicates),
    ("events_withheld", |of| of.live.feeds.withheld),
    ("event_batches", |of| of.live.feeds.batches),
    ("event_heartbeats", |of| of.live.feeds.heartbeats),
    ("event_ids_cut_short", |of| of.live.feeds.dedup.cut_short),
    ("viewers_admitted", |of| of.live.stream.admitted),
    ("viewers_refused", |of| of.live.stream.refused),
    ("successes_sampled", |of| of.sampler.taken),
];

/// The names of all counters.
pub fn counter_names() -> impl Iterator<Item = &'static str> {
    let plane = PLANE_COUNTS.iter().map(|(name, _)| *name);
    let events = EVENT_COUNTS.iter().map(|(name, _)| *name);
    let node = COUNTS.iter().map(|(name, _)| *name);
    node.chain(plane).chain(events)
}

/// The counters of a node's live events, by name.
pub fn event_counters(
    counters: &EventCounters,
) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
    EVENT_COUNTS
        .iter()
        .map(|(name, count)| (*name, count(counters)))
}

fn counters(node: &Node) -> BTreeMap<&'static str, u64> {
    let plane = node.plane();
    let plane = plane.lock();
    let (topics, calls, own) = plane.counters();
    let counts = COUNTS.iter().map(|(name, count)| (*name, count(node)));
    let of_plane = PLANE_COUNTS.iter();
    let of_plane = of_plane.map(|(name, count)| (*name, count(topics, calls, own)));
    counts.chain(of_plane).collect()
}
