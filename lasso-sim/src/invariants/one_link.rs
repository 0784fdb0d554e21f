//! Invariant 1: At most one link per pair carries frames; both ends agree on which one.
//!
//! Each node by itself has at most one link per peer. Both ends agree when they name the same session. While
//! frames about a change are on their way the ends may differ: for five seconds without a fault between them,
//! else until silence would have shown it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use lasso_core::time::Instant;

use super::Witness;
use super::cast::Who;
use super::facts::{Facts, LinkFact};
use super::invariant::{Entry, Invariant, Moment};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 1,
    name: "one link",
    make: |_| Box::<OneLink>::default(),
};
/// The news that a connection is the link takes half a round trip.
const GRACE: Duration = Duration::from_secs(5);
/// Packets that get lost by chance make it longer.
const GRACE_LOSSY: Duration = Duration::from_secs(60);
/// After a fault the news may wait for TCP, at most until a node is silent for too long.
const GRACE_AFTER: Duration = Duration::from_secs(10);

type Pair = (NodeId, NodeId);

/// See the module's text.
#[derive(Debug, Default)]
struct OneLink {
    /// Pairs whose ends differ, since when, and when to check again.
    differ: BTreeMap<Pair, (Instant, Instant)>,
    /// The same by the time of the next check.
    due: BTreeSet<(Instant, Pair)>,
}

impl Invariant for OneLink {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.forget(at.node);
    }

    fn ended(&mut self, at: &mut Moment<'_>) {
        self.forget(at.node);
    }

    fn link(
        &mut self,
        at: &mut Moment<'_>,
        peer: Who,
        before: Option<LinkFact>,
        now: Option<LinkFact>,
    ) {
        for row in [before, now].into_iter().flatten() {
            if let Some(other) = at.facts.cast.whose(peer, row.incarnation) {
                self.compare(at.now, at.facts, at.node, other);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(look, _)| *look)
    }

    fn advance(&mut self, at: &mut Moment<'_>, _: &dyn Witness) {
        let (now, facts) = (at.now, at.facts);
        while let Some(&(look, pair)) = self.due.first()
            && look <= now
        {
            self.due.remove(&(look, pair));
            let Some((since, _)) = self.differ.remove(&pair) else {
                continue;
            };
            let (a, b) = pair;
            let cast = &facts.cast;
            let tick_time = cast.actor(a).tick_time.max(cast.actor(b).tick_time);
            let long = tick_time * 5 / 4 + GRACE_AFTER;
            let until = cast.undisturbed_since(a, b).map(|quiet| {
                let undisturbed = quiet == Instant::ZERO;
                let after = if undisturbed { quiet } else { quiet + long };
                after.max(since + grace(facts, since, pair))
            });
            let over = until.is_some_and(|until| until <= now);
            at.demand_at(a, !over, || text(facts, a, b, now - since));
            if !over {
                self.look_at(pair, since, until.unwrap_or(now + grace(facts, now, pair)));
            }
        }
    }
}

impl OneLink {
    fn forget(&mut self, node: NodeId) {
        let of_node = |(a, b): &Pair| *a == node || *b == node;
        self.differ.retain(|pair, _| !of_node(pair));
        self.due.retain(|(_, pair)| !of_node(pair));
    }

    fn compare(&mut self, now: Instant, facts: &Facts, a: NodeId, b: NodeId) {
        let pair = (a.min(b), a.max(b));
        if a == b || facts.session(a, b) == facts.session(b, a) {
            if let Some((_, look)) = self.differ.remove(&pair) {
                self.due.remove(&(look, pair));
            }
        } else if !self.differ.contains_key(&pair) {
            self.look_at(pair, now, now + grace(facts, now, pair));
        }
    }

    fn look_at(&mut self, pair: Pair, since: Instant, look: Instant) {
        self.differ.insert(pair, (since, look));
        self.due.insert((look, pair));
    }
}

/// How long the two ends of a pair may differ if they differ since then.
fn grace(facts: &Facts, since: Instant, (a, b): Pair) -> Duration {
    let lossy = facts.weather.is_lossy_since(since, a.0, b.0);
    if lossy { GRACE_LOSSY } else { GRACE }
}

fn text(facts: &Facts, a: NodeId, b: NodeId, lasts: Duration) -> String {
    let says = |x: NodeId, y: NodeId| match facts.session(x, y) {
        Some(session) => format!("session {session:016x}"),
        None => "no link".to_owned(),
    };
    format!(
        "both ends must agree which connection is their link; for {lasts:?} {} has had {} with {}, \
         which has had {}",
        facts.cast.actor(a).name,
        says(a, b),
        facts.cast.actor(b).name,
        says(b, a),
    )
}
