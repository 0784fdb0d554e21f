//! Invariant 14, for health checks: a node calls a peer unresponsive after exactly as many unanswered checks in a row
//! as its settings say, and each of them waited for its whole time-out.
//!
//! The checks are counted by their sender. A new session may find a peer that has failed checks already: then there may
//! be more of them, but never fewer.

use lasso_core::event::{Change, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::topology::{NodeState, Unanswered};

use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Witness};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 14,
    name: "unanswered",
    make: |nodes| Box::new(Checks(vec![Vec::new(); nodes])),
};

/// By node: the peers that it has just called unresponsive.
#[derive(Debug)]
struct Checks(Vec<Vec<NodeName>>);

impl Invariant for Checks {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.0[at.node.index()].clear();
    }

    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        if let Change::HealthUpdate { changed } = &event.change {
            let called = changed.iter();
            let called = called.filter(|(_, state)| *state == NodeState::Unresponsive);
            self.0[at.node.index()].extend(called.map(|(name, _)| name.clone()));
        }
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        if changes.told.is_none() {
            return;
        }
        for name in core::mem::take(&mut self.0[at.node.index()]) {
            look(at, known, &name);
        }
    }
}

fn look(at: &mut Moment<'_>, known: &dyn Knowledge, peer: &NodeName) {
    let actor = at.facts.cast.actor(at.node);
    let settings = &actor.settings.topology;
    let (after, timeout) = (settings.unresponsive_after, settings.health_timeout);
    let unanswered = known.unanswered(peer);
    let same_session = unanswered.is_some_and(|unanswered| {
        let peer = at.facts.cast.find(peer);
        let link = peer.and_then(|peer| at.facts.links.get(at.node, peer));
        link.is_some_and(|link| link.since <= unanswered.first_sent)
    });
    let now = at.now;
    // The next check may have been sent at the same moment.
    let counts = |unanswered: Unanswered| {
        let checks = unanswered.checks - u32::from(unanswered.last_sent == now);
        checks == after || unanswered.checks >= after && !same_session
    };
    let enough = unanswered.is_some_and(counts);
    at.demand(enough, || {
        format!(
            "a node is unresponsive after {after} checks that were not answered; {} calls {peer} that with {unanswered:?}",
            actor.name
        )
    });
    let waited = unanswered.is_some_and(|unanswered| {
        let last = unanswered.last_sent;
        (last == now || now >= last + timeout) && now >= unanswered.first_sent + timeout * after
    });
    at.demand(waited || !enough, || {
        format!(
            "a check waits {timeout:?} for its answer; {} calls {peer} unresponsive at {now:?}, with {unanswered:?}",
            actor.name
        )
    });
}
