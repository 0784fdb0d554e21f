//! Invariant 6: The membership epoch grows by one per change, and subscribers see each change.

use lasso_core::event::TopologyEvent;

use super::Witness;
use super::invariant::{Entry, Invariant, Moment};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 6,
    name: "epochs",
    make: |nodes| {
        Box::new(Epochs {
            last: vec![0; nodes],
        })
    },
};

/// The last epoch that each process has reported.
#[derive(Debug)]
struct Epochs {
    last: Vec<u64>,
}

impl Invariant for Epochs {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.last[at.node.index()] = 0;
    }

    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        let last = core::mem::replace(&mut self.last[at.node.index()], event.epoch);
        at.demand(event.epoch == last + 1, || {
            let (epoch, change) = (event.epoch, &event.change);
            format!(
                "the epoch must grow by one per change; after {last} came {epoch}, with {change:?}"
            )
        });
    }
}
