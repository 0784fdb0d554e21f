//! To which node the oldest events go.
//!
//! 1. Events whose outcome is unknown go to the node that may have applied them, or to one with its store.
//! 2. Other events stay with the same node for as long as it is there and takes them.
//! 3. Outboxes spread over the nodes of their target, by rendezvous hashing (Thaler and Ravishankar, 1998).

use core::time::Duration;
use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::name::{Label, NodeName};
use crate::outbox::id::OutboxId;
use crate::outbox::journal::Attached;
use crate::time::Instant;

/// A node to send to, and the store that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aim {
    pub(super) node: NodeName,
    pub(super) store: Option<Label>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Route {
    outbox: OutboxId,
    connected: BTreeSet<NodeName>,
    /// Nodes that have not taken the oldest events since the last wait.
    passed: BTreeSet<NodeName>,
    /// As it is stored.
    pub(super) attached: Option<Attached>,
    /// Up to this event outcomes may be unknown.
    unsure_through: u64,
    /// Since when the attached node is gone.
    gone_since: Option<Instant>,
}

impl Route {
    pub(super) fn new(now: Instant, outbox: OutboxId, attached: Option<Attached>) -> Self {
        Route {
            outbox,
            connected: BTreeSet::new(),
            passed: BTreeSet::new(),
            unsure_through: attached.as_ref().map_or(0, |attached| attached.through),
            gone_since: attached.is_some().then_some(now),
            attached,
        }
    }

    /// The nodes that are there; whether one came.
    pub(super) fn connected(&mut self, now: Instant, nodes: BTreeSet<NodeName>) -> bool {
        let came = !nodes.is_subset(&self.connected);
        self.passed.retain(|node| nodes.contains(node));
        self.connected = nodes;
        self.look(now);
        came
    }

    /// Takes note of whether the attached node is there.
    fn look(&mut self, now: Instant) {
        let gone = self
            .attached
            .as_ref()
            .is_some_and(|attached| !self.connected.contains(&attached.node));
        self.gone_since = gone.then(|| self.gone_since.unwrap_or(now));
    }

    pub(super) fn is_anybody_there(&self) -> bool {
        !self.connected.is_empty()
    }

    pub(super) fn is_there(&self, node: &NodeName) -> bool {
        self.connected.contains(node)
    }

    pub(super) fn attach(&mut self, now: Instant, attached: Attached) {
        self.attached = Some(attached);
        self.gone_since = None;
        self.look(now);
    }

    pub(super) fn is_unsure(&self, head: u64) -> bool {
        head <= self.unsure_through
    }

    /// The outcome of a try is unknown up to this event.
    pub(super) fn unsure(&mut self, through: u64) {
        self.unsure_through = self.unsure_through.max(through);
    }

    /// A node did not take the oldest events, and has not applied them.
    pub(super) fn pass(&mut self, node: NodeName) {
        self.passed.insert(node);
    }

    /// All nodes may be asked again.
    pub(super) fn ask_again(&mut self) {
        self.passed.clear();
    }

    /// When the oldest event may go elsewhere though its outcome is unknown.
    pub(super) fn release_at(&self, head: Option<u64>, after: Duration) -> Option<Instant> {
        let unsure = head.is_some_and(|head| self.is_unsure(head));
        self.gone_since.filter(|_| unsure).map(|since| since + after)
    }

    /// Gives up the node that may have applied the oldest events.
    pub(super) fn release(&mut self) {
        self.unsure_through = 0;
    }

    /// Where the event `head` is to go.
    pub(super) fn aim(&self, head: u64) -> Option<Aim> {
        let free = |node: &&NodeName| self.connected.contains(*node) && !self.passed.contains(*node);
        let attached = self.attached.as_ref();
        let unsure = attached.filter(|_| self.is_unsure(head));
        let store = unsure.and_then(|attached| attached.store.clone());
        if let Some(node) = attached.map(|attached| &attached.node).filter(free) {
            let node = node.clone();
            return Some(Aim { node, store });
        }
        if unsure.is_some() && store.is_none() {
            return None;
        }
        let others = self.connected.iter().filter(free);
        let node = others.max_by_key(|node| self.rank(node))?.clone();
        Some(Aim { node, store })
    }

    fn rank(&self, node: &NodeName) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.outbox.bytes());
        hash.chain_update(node.to_string()).finalize().into()
    }
}
