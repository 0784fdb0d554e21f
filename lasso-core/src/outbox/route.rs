//! To which node the oldest events go.
//!
//! 1. Events whose outcome is unknown go to the node that may have applied them, or to one with its store. A node of
//!    which that is not known is asked with the store's name, and applies nothing if it has another.
//! 2. Other events stay with the same node for as long as it is there and takes them.
//! 3. Outboxes spread over the nodes of their target, by rendezvous hashing (Thaler and Ravishankar, 1998).

use core::time::Duration;
use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::id::OutboxId;
use super::journal::Attached;
use crate::name::{Label, NodeName};
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
    /// Nodes that have another store than the one that may hold the oldest events.
    other_stores: BTreeSet<NodeName>,
    /// As it is stored.
    attached: Option<Attached>,
    /// Whether it is not known if the attached node has the store that may hold the oldest events.
    is_probe: bool,
    /// Up to this event outcomes may be unknown.
    unsure_through: u64,
    /// Since when no node is known to be there that may have applied the oldest events.
    gone_since: Option<Instant>,
}

impl Route {
    pub(super) fn new(now: Instant, outbox: OutboxId, attached: Option<Attached>) -> Self {
        Route {
            outbox,
            connected: BTreeSet::new(),
            passed: BTreeSet::new(),
            other_stores: BTreeSet::new(),
            is_probe: false,
            unsure_through: attached.as_ref().map_or(0, |attached| attached.through),
            gone_since: attached.is_some().then_some(now),
            attached,
        }
    }

    /// The nodes that are there; whether one came.
    pub(super) fn connected(&mut self, now: Instant, nodes: BTreeSet<NodeName>) -> bool {
        let came = !nodes.is_subset(&self.connected);
        self.passed.retain(|node| nodes.contains(node));
        self.other_stores.retain(|node| nodes.contains(node));
        self.connected = nodes;
        self.look(now);
        came
    }

    /// Takes note of whether a node is there that may have applied the oldest events.
    fn look(&mut self, now: Instant) {
        let gone = self.attached.as_ref().is_some_and(|attached| {
            self.is_probe
                || !self.connected.contains(&attached.node)
                || self.other_stores.contains(&attached.node)
        });
        self.gone_since = gone.then(|| self.gone_since.unwrap_or(now));
    }

    pub(super) fn is_anybody_there(&self) -> bool {
        !self.connected.is_empty()
    }

    /// Whether the attached node is there.
    pub(super) fn is_attached(&self) -> bool {
        let attached = self.attached.as_ref();
        attached.is_some_and(|attached| self.connected.contains(&attached.node))
    }

    /// Events up to `attached.through` may be tried with a node, or its store is known now.
    pub(super) fn attach(&mut self, now: Instant, attached: Attached) {
        let before = self.attached.as_ref();
        if before.is_none_or(|before| before.node != attached.node) {
            // Only a node that is asked in place of another has a store before it has answered.
            self.is_probe = before.is_some() && attached.store.is_some();
        }
        self.attached = Some(attached);
        self.look(now);
    }

    /// One more event may be tried with the attached node.
    pub(super) fn extend(&mut self, through: u64) {
        if let Some(attached) = &mut self.attached {
            attached.through = through;
        }
    }

    /// Whether it is stored that events up to `through` may have been tried with this node.
    pub(super) fn covers(&self, node: &NodeName, through: u64) -> bool {
        let attached = self.attached.as_ref();
        attached.is_some_and(|attached| attached.node == *node && attached.through >= through)
    }

    /// What to store before events up to `through` are tried with a node.
    pub(super) fn attachment(&self, aim: &Aim, through: u64) -> Attached {
        let attached = self.attached.as_ref();
        let same = attached.filter(|attached| attached.node == aim.node);
        Attached {
            node: aim.node.clone(),
            store: same.map_or(aim.store.clone(), |attached| attached.store.clone()),
            // What is unsure beyond this batch stays so after a restart.
            through: through.max(self.unsure_through),
        }
    }

    /// Whether some node that is there has not taken the oldest events since the last wait.
    pub(super) fn has_passed(&self) -> bool {
        !self.passed.is_empty()
    }

    /// The attached node has answered for events; what to store if its store was not known.
    pub(super) fn answered(&mut self, now: Instant, store: Option<Label>) -> Option<Attached> {
        self.is_probe = false;
        self.look(now);
        let attached = self.attached.as_ref();
        let attached = attached.filter(|attached| attached.store != store)?;
        let attached = Attached {
            store,
            ..attached.clone()
        };
        Some(attached)
    }

    /// The attached node has another store, and has applied nothing.
    pub(super) fn has_other_store(&mut self, now: Instant, node: NodeName) {
        self.other_stores.insert(node);
        self.look(now);
    }

    fn is_unsure(&self, head: u64) -> bool {
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
        self.gone_since
            .filter(|_| unsure)
            .map(|since| since + after)
    }

    /// Gives up the node that may have applied the oldest events.
    pub(super) fn release(&mut self) {
        self.unsure_through = 0;
        self.is_probe = false;
    }

    /// Where the event `head` is to go.
    pub(super) fn aim(&self, head: u64) -> Option<Aim> {
        let unsure = self.attached.as_ref().filter(|_| self.is_unsure(head));
        let free = |node: &&NodeName| {
            let may_hold = unsure.is_none() || !self.other_stores.contains(*node);
            may_hold && self.connected.contains(*node) && !self.passed.contains(*node)
        };
        let store = unsure.and_then(|attached| attached.store.clone());
        let attached = self.attached.as_ref().map(|attached| &attached.node);
        if let Some(node) = attached.filter(free) {
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
