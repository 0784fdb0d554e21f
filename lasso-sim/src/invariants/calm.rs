//! Invariant 14: while no fault affects two nodes, their link stays as it is. No dial tests it, no
//! connection replaces it, neither node declares the other disconnected, and bytes arrive at least as
//! often as heartbeats should: every quarter of the smaller tick time.
//!
//! The invariant applies once both have been up for a while, and once silence and a new link had enough
//! time since the last fault. A node may say goodbye at any time.

use core::time::Duration;

use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::time::Instant;

use super::Witness;
use super::cast::Who;
use super::facts::{Facts, LinkFact};
use super::invariant::{Dial, Entry, Invariant, Moment};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 14,
    name: "calm",
    make: |nodes| {
        Box::new(Calm {
            look_at: vec![None; nodes],
            next: None,
        })
    },
};

/// See the module's text.
#[derive(Debug)]
struct Calm {
    /// By node: when the last bytes on its links are next checked.
    look_at: Vec<Option<Instant>>,
    /// The first of these moments.
    next: Option<Instant>,
}

impl Invariant for Calm {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        let often = look_every(at.facts.cast.actor(at.node).tick_time);
        self.look_at[at.node.index()] = Some(at.now + often);
        self.find_next();
    }

    fn ended(&mut self, at: &mut Moment<'_>) {
        self.look_at[at.node.index()] = None;
        self.find_next();
    }

    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        let Change::NodeDisconnected { name, reason } = &event.change else {
            return;
        };
        let peer = at.facts.cast.find(name);
        let link = peer.and_then(|peer| Some((peer, at.facts.links.get(at.node, peer)?)));
        // A node whose name a liar has claimed for a later life renumbers itself, and gives up its links.
        let is_calm = match reason {
            DownReason::Left => false,
            DownReason::Replaced => !at.facts.cast.is_renumbered_by_lie(at.now, at.node),
            DownReason::Down | DownReason::Closed => true,
        };
        if let Some((peer, link)) = link.filter(|_| is_calm) {
            demand(at, peer, &link, |peer| format!("calls {peer} disconnected"));
        }
    }

    fn link(
        &mut self,
        at: &mut Moment<'_>,
        peer: Who,
        before: Option<LinkFact>,
        now: Option<LinkFact>,
    ) {
        if let (Some(before), Some(now)) = (before, now)
            && before.conn != now.conn
        {
            demand(at, peer, &before, |peer| {
                format!("has another link with {peer}")
            });
        }
    }

    fn dials(&mut self, at: &mut Moment<'_>, dial: Dial) {
        let Some(to) = dial.to else {
            return;
        };
        // A node that knows several applications may dial an address under another one's name.
        if at.facts.cast.actor(at.node).basenames.len() > 1 {
            return;
        }
        let peer = at.facts.cast.actor(to).who;
        if let Some(link) = at.facts.links.get(at.node, peer) {
            demand(at, peer, &link, |peer| {
                format!("dials {peer}, with which it is linked")
            });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn advance(&mut self, at: &mut Moment<'_>, seen: &dyn Witness) {
        let (now, facts) = (at.now, at.facts);
        for (index, look_at) in self.look_at.iter_mut().enumerate() {
            if look_at.is_none_or(|due| due > now) {
                continue;
            }
            let node = NodeId(index as u32);
            let own = facts.cast.actor(node).tick_time;
            *look_at = Some(now + look_every(own));
            for (peer, link) in facts.links.of(node) {
                let last = seen.last_byte(node, link.conn).unwrap_or(link.since);
                let last = last.max(link.since);
                let pace = own.min(tick_time(facts, peer, &link).unwrap_or(own)) / 4;
                let late = now > last + pace + ON_ITS_WAY + facts.slack;
                at.demand_at(node, !late || !is_calm(facts, last, node, peer, &link), || {
                    format!(
                        "bytes come every {pace:?} while nothing hinders a pair; {} had the last of {} \
                         {:?} ago",
                        facts.cast.actor(node).name,
                        facts.cast.name(peer),
                        now - last
                    )
                });
            }
        }
        self.find_next();
    }
}

impl Calm {
    fn find_next(&mut self) {
        self.next = self.look_at.iter().flatten().min().copied();
    }
}

fn tick_time(facts: &Facts, peer: Who, link: &LinkFact) -> Option<Duration> {
    let peer = facts.cast.whose(peer, link.incarnation)?;
    Some(facts.cast.actor(peer).tick_time.max(TICK_TIME_MIN))
}

/// Whether nothing hindered the two ends of this link until then, and the link was not new.
fn is_calm(facts: &Facts, then: Instant, node: NodeId, peer: Who, link: &LinkFact) -> bool {
    let Some(other) = facts.cast.whose(peer, link.incarnation) else {
        return false;
    };
    let is_present = facts.cast.actor(other).incarnation == link.incarnation;
    let calm = facts.calm_since(node, other);
    is_present && calm.is_some_and(|calm| calm.max(link.since + NEW) <= then)
}

fn demand(
    at: &mut Moment<'_>,
    peer: Who,
    link: &LinkFact,
    what: impl FnOnce(&lasso_core::name::NodeName) -> String,
) {
    let facts = at.facts;
    let (node, calm) = (at.node, is_calm(facts, at.now, at.node, peer, link));
    at.demand(!calm, || {
        format!(
            "nothing happens to a link that nothing hinders; {} {}, linked since {}",
            facts.cast.actor(node).name,
            what(facts.cast.name(peer)),
            link.since
        )
    });
}

/// Not in step with heartbeats, so that the checks fall on every part of the interval between two.
fn look_every(tick_time: Duration) -> Duration {
    tick_time / 5
}

/// A younger link may still give way to another one.
const NEW: Duration = Duration::from_secs(10);
/// The shortest tick time for which a peer sends heartbeats.
const TICK_TIME_MIN: Duration = Duration::from_secs(1);
/// How long a heartbeat takes on a network that is not slow, and a little more.
const ON_ITS_WAY: Duration = Duration::from_millis(600);
