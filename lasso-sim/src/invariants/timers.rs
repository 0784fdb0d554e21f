//! Invariant 14, for periodic work: a node queries DNS and checks its peers exactly as often as its settings
//! say.
//!
//! It sends heartbeats at most once per quarter of the smaller tick time; `calm.rs` checks that bytes arrive at
//! least as often.
//!
//! Rounds are counted over some minutes in which nothing happened to the node and its links, and no query or
//! check failed. One round more or less may fall into that period.

use core::time::Duration;

use lasso_core::time::Instant;

use super::Knowledge;
use super::cast::{Actor, Who};
use super::facts::{Facts, LinkFact};
use super::invariant::{Changes, Entry, Invariant, Moment};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 14,
    name: "timers",
    make: |nodes| {
        Box::new(Timers {
            last: vec![None; nodes],
            queries: vec![0; nodes],
        })
    },
};

/// How often a node has done its periodic work since it started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rounds {
    /// Questions to DNS, one for each query and family.
    pub lookups: u64,
    /// Those that failed.
    pub lookups_failed: u64,
    /// Health checks that were sent.
    pub checks_sent: u64,
    /// Those that failed.
    pub checks_failed: u64,
    /// Heartbeats that were sent on the present links.
    pub heartbeats: u64,
}

/// See the module's text.
#[derive(Debug)]
struct Timers {
    /// By node: when its rounds were last read, their counts, and its links then.
    last: Vec<Option<(Instant, Rounds, u64)>>,
    /// By node: how many DNS queries it has.
    queries: Vec<u64>,
}

impl Invariant for Timers {
    fn started(&mut self, at: &mut Moment<'_>, spec: &NodeSpec) {
        self.last[at.node.index()] = None;
        self.queries[at.node.index()] = spec.config(true).queries.len() as u64;
    }

    fn resumed(&mut self, at: &mut Moment<'_>) {
        self.last[at.node.index()] = None;
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        if !changes.round {
            return;
        }
        let (rounds, links) = (known.rounds(), at.facts.links.version(at.node).2);
        let last = self.last[at.node.index()].replace((at.now, rounds, links));
        let Some((then, before, same_links)) = last else {
            return;
        };
        let (facts, node) = (at.facts, at.node);
        let actor = facts.cast.actor(node);
        let lasted = at.now - then;
        let lookups = rounds.lookups - before.lookups;
        let interval = actor.settings.discovery.poll_interval;
        let longest = if rounds.lookups_failed == before.lookups_failed {
            interval + ANSWERED + facts.dns_latency
        } else {
            interval + actor.settings.discovery.lookup_timeout
        };
        // Both families of each query.
        let queries = 2 * self.queries[node.index()];
        demand(
            at,
            actor,
            "lookups",
            lookups,
            queries,
            lasted,
            (interval, longest),
        );
        let checks = rounds.checks_sent - before.checks_sent;
        let topology = &actor.settings.topology;
        let none_failed = rounds.checks_failed == before.checks_failed;
        let interval = topology.health_interval;
        let longest = interval + ANSWERED;
        if links == same_links && none_failed && all_calm(facts, then, node) {
            let peers = facts.links.of(node).count() as u64;
            demand(
                at,
                actor,
                "health checks",
                checks,
                peers,
                lasted,
                (interval, longest),
            );
            let heartbeats = rounds.heartbeats.saturating_sub(before.heartbeats);
            let most = heartbeats_max(facts, node, lasted);
            at.demand(heartbeats <= most, || {
                format!(
                    "a heartbeat is due a quarter of the tick time after anything else was sent; {} sent \
                     {heartbeats} in {lasted:?}, of {most} at most",
                    actor.name
                )
            });
        }
    }
}

/// The most heartbeats that a node sends on its links in this time.
fn heartbeats_max(facts: &Facts, node: NodeId, lasted: Duration) -> u64 {
    let own = facts.cast.actor(node).tick_time;
    let of_link = |(peer, link): (Who, LinkFact)| {
        let peer = facts.cast.whose(peer, link.incarnation)?;
        let theirs = facts.cast.actor(peer).tick_time.max(TICK_TIME_MIN);
        let every = own.min(theirs) / 4;
        Some((lasted.as_nanos() / every.as_nanos().max(1)) as u64 + 1)
    };
    facts.links.of(node).filter_map(of_link).sum()
}

/// The shortest tick time for which a peer is sent heartbeats.
const TICK_TIME_MIN: Duration = Duration::from_secs(1);
/// On a network that is not slow, an answer that is not lost arrives within this time.
const ANSWERED: Duration = Duration::from_secs(1);

/// Whether nothing hindered any link of a node since then.
fn all_calm(facts: &Facts, then: Instant, node: NodeId) -> bool {
    facts.links.of(node).all(|(peer, link)| {
        let peer = facts.cast.whose(peer, link.incarnation);
        let calm = peer.and_then(|peer| facts.calm_since(node, peer));
        link.since <= then && calm.is_some_and(|calm| calm <= then)
    })
}

fn demand(
    at: &mut Moment<'_>,
    actor: &Actor,
    what: &str,
    count: u64,
    each: u64,
    lasted: Duration,
    (shortest, longest): (Duration, Duration),
) {
    let times = |interval: Duration| (lasted.as_nanos() / interval.as_nanos().max(1)) as u64;
    let most = each * (times(shortest) + 2);
    let least = each * times(longest).saturating_sub(1);
    at.demand((least..=most).contains(&count), || {
        format!(
            "what is done every {shortest:?} is done as often; {} did {count} {what} in {lasted:?}, of \
             {least} to {most}",
            actor.name
        )
    });
}
