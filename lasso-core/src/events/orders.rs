//! What whoever drives live events is to do, in order.
//!
//! 1. Two orders that would undo each other are never both there: the later one takes back the earlier.
//! 2. At most one waits for each topic, and one for each viewer.

use std::collections::VecDeque;

use super::viewer::ViewerId;

/// What whoever drives the machine is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveOrder {
    /// Subscribe to this topic, and hand in what it brings; or say that it was refused, by
    /// [`Live::on_refused`](super::Live::on_refused).
    Subscribe {
        /// Which topic.
        topic: String,
    },
    /// Subscribe to it no longer.
    Unsubscribe {
        /// Which topic.
        topic: String,
    },
    /// This viewer has something to read, and had nothing before.
    Readable {
        /// Which viewer.
        viewer: ViewerId,
    },
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Orders(VecDeque<LiveOrder>);

impl Orders {
    pub(super) fn subscribe(&mut self, topic: &str) {
        let topic = || topic.to_owned();
        let undone = LiveOrder::Unsubscribe { topic: topic() };
        self.give(LiveOrder::Subscribe { topic: topic() }, &undone);
    }

    pub(super) fn unsubscribe(&mut self, topic: &str) {
        let topic = || topic.to_owned();
        let undone = LiveOrder::Subscribe { topic: topic() };
        self.give(LiveOrder::Unsubscribe { topic: topic() }, &undone);
    }

    pub(super) fn read(&mut self, viewers: impl IntoIterator<Item = ViewerId>) {
        let viewers = viewers.into_iter();
        self.0
            .extend(viewers.map(|viewer| LiveOrder::Readable { viewer }));
    }

    /// This viewer is gone.
    pub(super) fn forget(&mut self, viewer: ViewerId) {
        self.0
            .retain(|order| *order != LiveOrder::Readable { viewer });
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<LiveOrder> {
        self.0.pop_front()
    }

    fn give(&mut self, order: LiveOrder, undone: &LiveOrder) {
        match self.0.iter().position(|given| given == undone) {
            Some(at) => drop(self.0.remove(at)),
            None => self.0.push_back(order),
        }
    }
}
