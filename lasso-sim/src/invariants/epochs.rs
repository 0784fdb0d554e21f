//! Invariant 6: The membership epoch grows by one per change, and subscribers see each change.

use lasso_core::event::TopologyEvent;

use super::Found;
use crate::scenario::NodeId;

const NUMBER: u32 = 6;

/// The last epoch that each process has told.
#[derive(Debug)]
pub(super) struct Epochs {
    last: Vec<u64>,
}

impl Epochs {
    pub(super) fn new(nodes: usize) -> Self {
        Epochs {
            last: vec![0; nodes],
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.last[node.index()] = 0;
    }

    /// A node has told its subscribers something.
    pub(super) fn event(&mut self, node: NodeId, event: &TopologyEvent, found: &mut Vec<Found>) {
        let last = &mut self.last[node.index()];
        if event.epoch != *last + 1 {
            let (epoch, change) = (event.epoch, &event.change);
            let text = format!(
                "the epoch must grow by one per change; after {last} came {epoch}, with {change:?}"
            );
            found.push((NUMBER, text));
        }
        *last = event.epoch;
    }
}
