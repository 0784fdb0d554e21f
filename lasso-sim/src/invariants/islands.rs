//! Invariant 5, for the islands that a node reports: none of them has a node that has left in order.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Witness};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 5,
    name: "islands",
    make: |nodes| Box::new(Islands(vec![BTreeMap::new(); nodes])),
};

/// A node collects changes for a second before it looks for islands.
const GATHERED: Duration = Duration::from_secs(2);

/// By node: the peers that have said goodbye to it and have not returned since, each with the time.
#[derive(Debug)]
struct Islands(Vec<BTreeMap<NodeName, Instant>>);

impl Invariant for Islands {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.0[at.node.index()].clear();
    }

    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        let left = &mut self.0[at.node.index()];
        match &event.change {
            Change::NodeDisconnected {
                name,
                reason: DownReason::Left,
            } => {
                left.insert(name.clone(), at.now);
            }
            Change::NodeConnected { name, .. } | Change::NodeDisconnected { name, .. } => {
                left.remove(name);
            }
            Change::NodeIdentified { .. } | Change::HealthUpdate { .. } => {}
        }
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        let left = &self.0[at.node.index()];
        if left.is_empty() || !changes.round && !changes.resolved && changes.told.is_none() {
            return;
        }
        let (now, actor) = (at.now, at.facts.cast.actor(at.node));
        let (name, awake) = (&actor.name, actor.resumed + GATHERED <= now);
        let has_left = |node: &NodeName| left.get(node).is_some_and(|then| *then + GATHERED <= now);
        let cut_off = known.islands();
        at.demand(!awake || !cut_off.iter().any(has_left), || {
            format!(
                "a node that has left in order is no island; {name} reports {cut_off:?}, and {left:?} have left"
            )
        });
    }
}
