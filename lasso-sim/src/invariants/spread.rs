//! Invariant 15: dials are spread. No node redials a peer sooner than the shortest delay allows, or a
//! peer that has long been out of reach sooner than the longest delay allows. Nodes that lost the same
//! node at once do not redial it in step.
//!
//! Delays are jittered. So it is no coincidence if a group of nodes whose dials to one node have failed more
//! than once all dial it again within a few milliseconds.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::config::DialSettings;
use lasso_core::event::CloseReason;
use lasso_core::node::ConnId;
use lasso_core::time::Instant;

use super::Witness;
use super::cast::Who;
use super::facts::LinkFact;
use super::invariant::{Dial, Entry, Invariant, Moment};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 15,
    name: "spread",
    make: |_| Box::<Spread>::default(),
};

/// See the module's text.
#[derive(Debug, Default)]
struct Spread {
    /// The last dials, by dialler and peer.
    dials: BTreeMap<(NodeId, NodeId), Dials>,
    /// By peer, the last dial of each node whose dials have failed more than once.
    redials: BTreeMap<NodeId, BTreeMap<NodeId, Instant>>,
}

/// Dials of one node to another one since they were last linked.
#[derive(Debug, Clone, Copy)]
struct Dials {
    count: u32,
    first: Instant,
    last: Instant,
}

impl Invariant for Spread {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        let node = at.node;
        self.dials.retain(|(from, _), _| *from != node);
        self.redials.values_mut().for_each(|of| {
            of.remove(&node);
        });
    }

    fn resumed(&mut self, at: &mut Moment<'_>) {
        let node = at.node;
        self.dials.retain(|(from, _), _| *from != node);
    }

    /// A node that renumbers itself starts over, and dials all peers at once.
    fn closes(&mut self, at: &mut Moment<'_>, _: ConnId, reason: &CloseReason, _: &dyn Witness) {
        if let CloseReason::Renumbered | CloseReason::StaleIncarnation { .. } = reason {
            let node = at.node;
            self.dials.retain(|(from, _), _| *from != node);
        }
    }

    fn link(
        &mut self,
        at: &mut Moment<'_>,
        peer: Who,
        before: Option<LinkFact>,
        now: Option<LinkFact>,
    ) {
        for link in [before, now].into_iter().flatten() {
            if let Some(peer) = at.facts.cast.whose(peer, link.incarnation) {
                self.dials.remove(&(at.node, peer));
                if let Some(redials) = self.redials.get_mut(&peer) {
                    redials.remove(&at.node);
                }
            }
        }
    }

    fn dials(&mut self, at: &mut Moment<'_>, dial: Dial) {
        let (now, node, facts) = (at.now, at.node, at.facts);
        let Some(to) = dial.to.filter(|to| facts.cast.is_alone(*to)) else {
            return;
        };
        let actor = facts.cast.actor(node);
        let peer = facts.cast.actor(to);
        if facts.links.get(node, peer.who).is_some() || !facts.cast.compatible(node, to) {
            return;
        }
        // A node that knows several applications may dial one address under two names.
        if actor.basenames.len() > 1 {
            return;
        }
        let settings = &actor.settings.dial;
        let before = self.dials.get(&(node, to)).copied();
        let before = before.filter(|before| before.is_followed_by(now, settings));
        let next = Dials {
            count: before.map_or(1, |before| before.count + 1),
            first: before.map_or(now, |before| before.first),
            last: now,
        };
        self.dials.insert((node, to), next);
        let Some(before) = before else {
            return;
        };
        let out_of_reach = !peer.running
            && before.count >= LONG_SINCE
            && before.last >= peer.ended + settings.backoff_max
            && before.last - before.first >= settings.backoff_max * 8;
        let delay = if out_of_reach {
            settings.backoff_max
        } else {
            settings.backoff_min
        };
        let shortest = delay * (100 - settings.jitter_percent.min(100)) / 100;
        at.demand(before.last + shortest <= now + facts.slack, || {
            format!(
                "a peer is dialled again after {shortest:?} at least; {} dialled {} after {:?}",
                actor.name,
                peer.name,
                now - before.last
            )
        });
        if next.count > OFTEN {
            self.in_step(at, to);
        }
    }
}

impl Dials {
    /// Whether a dial now follows these. After a longer time the peer was forgotten, and all nodes find it
    /// again at the same moment.
    fn is_followed_by(&self, now: Instant, settings: &DialSettings) -> bool {
        let is_stale = now - self.first >= settings.stale_after;
        let longest = if is_stale {
            settings.backoff_max_stale
        } else {
            settings.backoff_max
        };
        let longest = longest * (100 + settings.jitter_percent) / 100;
        now - self.last <= longest.max(settings.connect_timeout) + LATE
    }
}

impl Spread {
    /// Nodes that have each dialled it in vain more than once, and that all dial it now.
    fn in_step(&mut self, at: &mut Moment<'_>, to: NodeId) {
        let (now, node, facts) = (at.now, at.node, at.facts);
        let redials = self.redials.entry(to).or_default();
        redials.retain(|_, then| *then + ROUND > now);
        redials.insert(node, now);
        if redials.len() < GROUP {
            return;
        }
        let first = redials.values().min().copied().unwrap_or(now);
        at.demand(now - first > IN_STEP, || {
            format!(
                "nodes do not dial in step; {} of them dialled {} within {:?}",
                redials.len(),
                facts.cast.actor(to).name,
                now - first
            )
        });
    }
}

/// A dial may wait for others to end.
const LATE: Duration = Duration::from_secs(1);
/// After this many dials, delays are a second and longer.
const OFTEN: u32 = 3;
/// After this many dials, delays are the longest.
const LONG_SINCE: u32 = 8;
/// Dials further apart belong to different rounds.
const ROUND: Duration = Duration::from_millis(1500);
/// This many nodes must not all dial one node within that time.
const GROUP: usize = 5;
const IN_STEP: Duration = Duration::from_millis(5);
