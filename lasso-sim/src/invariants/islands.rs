//! Invariant 5, for the islands that a node reports: none of them has a node that has left in order, or one that is linked
//! to it.

use std::collections::BTreeSet;

use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::name::NodeName;

use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Witness};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 5,
    name: "islands",
    make: |nodes| Box::new(Islands(vec![BTreeSet::new(); nodes])),
};

/// By node: the peers that have said goodbye to it, and were not back since.
#[derive(Debug)]
struct Islands(Vec<BTreeSet<NodeName>>);

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
                left.insert(name.clone());
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
        let cut_off = known.islands();
        let name = &at.facts.cast.actor(at.node).name;
        at.demand(cut_off.iter().all(|node| !left.contains(node)), || {
            format!(
                "a node that has left in order is no island; {name} reports {cut_off:?}, and {left:?} have left"
            )
        });
    }
}
