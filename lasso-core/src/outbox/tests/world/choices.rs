//! What can happen in a world.

use core::time::Duration;

use super::World;
use crate::name::NodeName;
use crate::outbox::Batch;

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The application sends an event that its receiver will apply, or one that it will reject.
    Send { good: bool },
    /// The sender's disk has synced the group of writes.
    Sync,
    /// There is no room for it.
    SyncFull,
    /// The sync failed; nobody knows whether the group is on the disk.
    SyncFails { stored: bool },
    /// The sender's process is killed and starts again. A group under way is on the disk, or is not.
    KillSender { stored: bool },
    /// A copy of a batch reaches its node.
    Arrive,
    /// A receiver does the next part of its work.
    Work(usize),
    /// The handler cannot apply its event now.
    PutOff(usize),
    /// The receiver's disk fails; nobody knows whether the record is on it.
    StoreFails(usize, bool),
    /// A receiver is killed and starts again.
    KillNode(usize),
    /// An answer reaches the sender, if that still waits for it.
    Answer,
    /// The sender's wait for an answer ends.
    TimeOut,
    /// The call fails before its node has seen it.
    Refuse,
    /// A node connects or disconnects.
    Link(usize),
    /// The sender's next deadline.
    Tick,
}

impl World {
    /// What can happen now.
    pub(in super::super) fn enabled(&self, faults: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.writing.is_some() {
            steps.push(Step::Sync);
        }
        if !self.network.is_empty() {
            steps.push(Step::Arrive);
        }
        let open = |n: &usize| self.nodes[*n].open.is_some();
        steps.extend((0..self.nodes.len()).filter(open).map(Step::Work));
        if !self.answers.is_empty() {
            steps.push(Step::Answer);
        }
        if self.call.is_some() && (faults || steps.is_empty()) {
            steps.push(Step::TimeOut);
        }
        // Nobody waits for the day after which a node that is gone is given up.
        let soon = self.now + Duration::from_secs(60);
        let due = self.sender.poll_timeout().filter(|due| *due < soon);
        if due.is_some() && (faults || steps.is_empty()) {
            steps.push(Step::Tick);
        }
        if faults {
            self.push_faults(&mut steps);
        }
        steps
    }

    fn push_faults(&self, steps: &mut Vec<Step>) {
        steps.extend([Step::Send { good: true }, Step::Send { good: true }]);
        steps.push(Step::Send { good: false });
        if self.writing.is_some() {
            steps.extend([true, false].map(|stored| Step::SyncFails { stored }));
            steps.push(Step::SyncFull);
        }
        let stored = self.writing.is_some() && !self.sent.is_multiple_of(2);
        steps.push(Step::KillSender { stored });
        let waits = |(call, ..): &(u64, NodeName, Batch)| Some(*call) == self.call;
        if self.network.iter().any(waits) {
            steps.push(Step::Refuse);
        }
        for n in 0..self.nodes.len() {
            steps.extend([Step::Link(n), Step::KillNode(n)]);
            match &self.nodes[n].open {
                Some(open) if open.to_store.is_some() => {
                    steps.extend([true, false].map(|stored| Step::StoreFails(n, stored)));
                }
                Some(open) if open.is_read => steps.push(Step::PutOff(n)),
                _ => {}
            }
        }
    }
}
