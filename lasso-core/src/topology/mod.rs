//! The only source of truth about members: which nodes there are, in which state, and how much of the cluster
//! an answer covers.
//!
//! The node that holds the topology informs it of links. The topology exchanges [`TopologyFrame`]s with those
//! of its peers, and returns frames to send and changes to report.
//!
//! 1. A stored incarnation never goes back.
//! 2. responding ≤ connected ≤ expected; every node is counted once.
//! 3. The epoch grows by exactly one per event, and each event carries the coverage after it.
//! 4. Only [`Topology::link_down`], [`Topology::reconcile`] and a higher incarnation remove a member's link.
//!
//! It does not dial, and it does not know connections: a member has a link or none.
//!
//! ```
//! use lasso_core::config::NodeConfig;
//! use lasso_core::event::DownReason;
//! use lasso_core::name::{Identity, Incarnation};
//! use lasso_core::secure::Security;
//! use lasso_core::time::Instant;
//! use lasso_core::topology::{NodeState, Topology};
//!
//! let config = NodeConfig::new("app@10.0.0.1".parse()?, Security::InsecureNull);
//! let mut topology = Topology::new(&config);
//! let peer = Identity {
//!     cluster: config.cluster.clone(),
//!     name: "app@10.0.0.2".parse()?,
//!     incarnation: Incarnation(1),
//! };
//! topology.link_up(Instant::ZERO, &peer);
//! assert_eq!(topology.coverage().connected, 2);
//! topology.link_down(Instant::ZERO, &peer.name, DownReason::Closed);
//! assert_eq!(topology.coverage().disconnected, [peer.name]);
//! # Ok::<(), lasso_core::name::NameError>(())
//! ```

mod checks;
mod counters;
mod coverage;
mod describing;
mod doubts;
mod frames;
mod knowledge;
mod member;
mod overlap;
mod partitions;
mod roster;
mod views;

#[cfg(test)]
mod tests;

pub use crate::frame::VIEW_MAX;
pub use checks::Unanswered;
pub use counters::Counters;
pub use coverage::Coverage;
pub use member::{Member, NodeState};
pub use partitions::{Island, PAIRS_MAX, Pair, Partitions};

use core::time::Duration;

use crate::config::{NodeConfig, Settings};
use crate::event::{Change, DownReason, Notice, TopologyEvent};
use crate::frame::TopologyFrame;
use crate::name::{Description, Identity, Incarnation, Label, NodeName};
use crate::time::{Instant, earliest, part};

use checks::Checks;
use describing::Describing;
use doubts::Doubts;
use partitions::{Evidence, Watch};
use roster::Roster;
use views::Views;

/// An order of the topology.
///
/// In the orders of each method, events and notices come first: a send may fail, and the consequence is a later
/// event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Send a frame to a linked node.
    Send {
        /// The receiver.
        to: NodeName,
        /// The frame.
        frame: TopologyFrame,
    },
    /// Report an event to subscribers.
    Event(TopologyEvent),
    /// Give a notice to the operator.
    Notice(Notice),
    /// A disconnected node is no longer remembered.
    Forgotten {
        /// The node.
        name: NodeName,
    },
    /// Close the link to a node, so that every island is fully connected. Only with
    /// `prevent_overlapping_partitions`. [`Topology::link_down`] informs the topology as for any other lost
    /// link; from now on [`Topology::excludes`] returns true for that node.
    CloseLink {
        /// The node.
        name: NodeName,
    },
    /// A node that was excluded may be linked again.
    Admit {
        /// The node.
        name: NodeName,
    },
}

impl Order {
    /// True for orders that act on a link, false for reports.
    fn is_deed(&self) -> bool {
        matches!(
            self,
            Order::Send { .. } | Order::CloseLink { .. } | Order::Admit { .. }
        )
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Topology {
    cluster: Label,
    me: NodeName,
    expected_nodes: usize,
    /// The number of distinct nodes that discovery names, this node included.
    discovered: usize,
    /// This node's description.
    description: Description,
    ready: bool,
    roster: Roster,
    checks: Checks,
    describing: Describing,
    views: Views,
    doubts: Doubts,
    watch: Watch,
    reconcile_at: Instant,
    reconcile_interval: Duration,
    flap_cycles: u32,
    epoch: u64,
    counters: Counters,
}

impl Topology {
    /// A topology in which this node is alone.
    pub fn new(config: &NodeConfig) -> Self {
        let settings = &config.settings.topology;
        Topology {
            cluster: config.cluster.clone(),
            me: config.name.clone(),
            expected_nodes: usize::try_from(config.expected_nodes.max(1)).unwrap_or(usize::MAX),
            discovered: 1,
            description: config.description.clone(),
            ready: false,
            roster: Roster::new(settings),
            checks: Checks::new(settings),
            describing: Describing::new(settings),
            views: Views::new(&config.name),
            doubts: Doubts::default(),
            watch: Watch::new(
                hold_off(&config.settings),
                settings
                    .prevent_overlapping_partitions
                    .then_some(settings.health_suspect_interval),
            ),
            reconcile_at: Instant::ZERO + settings.reconcile_interval,
            reconcile_interval: settings.reconcile_interval,
            flap_cycles: settings.flap_cycles,
            epoch: 0,
            counters: Counters::default(),
        }
    }

    /// Draws the times of the first health round and the first reconciliation, after at least half an interval, so that
    /// nodes that started together do not act together.
    #[must_use]
    pub(crate) fn out_of_phase(mut self, round: u32, reconciliation: u32) -> Self {
        self.checks.first_after(part(self.checks.interval(), round));
        self.reconcile_at = Instant::ZERO + part(self.reconcile_interval, reconciliation);
        self
    }

    /// A link is up: a new session with that node begins. The caller ensures that the incarnation is not older
    /// than [`Topology::known_incarnation`].
    ///
    /// If the name is linked already, this acts as [`Topology::session_replaced`] for the same incarnation, and
    /// as down (`replaced`) and up again for a higher one.
    pub fn link_up(&mut self, now: Instant, peer: &Identity) -> Vec<Order> {
        debug_assert_ne!(peer.name, self.me, "a link to oneself");
        debug_assert_eq!(peer.cluster, self.cluster, "a link to another cluster");
        let mut orders = Vec::new();
        let known = self.roster.get(&peer.name);
        let linked = known.is_some_and(Member::is_linked);
        match known.map(|member| member.incarnation.cmp(&peer.incarnation)) {
            Some(core::cmp::Ordering::Greater) => {
                debug_assert!(false, "a link to an older life of {}", peer.name);
                self.counters.stale_incarnations += 1;
                return orders;
            }
            Some(core::cmp::Ordering::Equal) if linked => return self.session_replaced(now, peer),
            Some(_) if linked => orders = self.link_down(now, &peer.name, DownReason::Replaced),
            _ => {}
        }
        self.counters.connected += 1;
        self.views.up(now, &peer.name);
        self.watch.touch(now);
        if self.roster.link_up(now, peer) {
            self.counters.flaps += 1;
            let cycles = self.flap_cycles.saturating_add(1);
            orders.push(Order::Notice(Notice::Flapping {
                name: peer.name.clone(),
                cycles,
            }));
        }
        let change = Change::NodeConnected {
            name: peer.name.clone(),
            incarnation: peer.incarnation,
        };
        self.event(change, &mut orders);
        self.ask(now, &peer.name, &mut orders);
        self.assert_invariants();
        orders
    }

    /// Another connection silently replaced an existing link: there is no event, but the node is asked for its
    /// description and checked again. Meanwhile its state stays the same.
    pub fn session_replaced(&mut self, now: Instant, peer: &Identity) -> Vec<Order> {
        let mut orders = Vec::new();
        let member = self.roster.get(&peer.name);
        match member.map(|member| (member.linked, member.incarnation == peer.incarnation)) {
            Some((true, true)) => {
                self.roster
                    .change(now, &peer.name, |member| member.asking = true);
                self.ask(now, &peer.name, &mut orders);
            }
            _ => orders = self.link_up(now, peer),
        }
        orders
    }

    /// A link is lost, or its peer said goodbye. Does nothing for a node without a link.
    pub fn link_down(&mut self, now: Instant, name: &NodeName, reason: DownReason) -> Vec<Order> {
        let mut orders = Vec::new();
        if !self.is_linked(name) {
            return orders;
        }
        self.counters.disconnected += 1;
        self.roster.link_down(now, name, reason);
        self.watch.touch(now);
        self.views.down(now, name);
        self.doubt(now, name, reason);
        self.checks.down(now, name);
        self.describing.stop(name, 0);
        self.forget(now, &mut orders);
        let change = Change::NodeDisconnected {
            name: name.clone(),
            reason,
        };
        self.event(change, &mut orders);
        self.assert_invariants();
        orders
    }

    /// A frame arrived from a linked node. Never panics, whatever the frame contains.
    pub fn receive(&mut self, now: Instant, from: &NodeName, frame: TopologyFrame) -> Vec<Order> {
        let mut orders = Vec::new();
        if !self.is_linked(from) {
            self.counters.frames_refused += 1;
            return orders;
        }
        match frame {
            TopologyFrame::Describe { id } => {
                let frame = self.own_description(id);
                orders.push(Order::Send {
                    to: from.clone(),
                    frame,
                });
            }
            TopologyFrame::Description {
                id,
                description,
                ready,
            } => {
                self.on_description(now, from, id, (description, ready), &mut orders);
            }
            TopologyFrame::Ready(ready) => self.on_ready(now, from, ready, &mut orders),
            TopologyFrame::Check { id, known } => {
                orders.push(self.on_check(from, id, known.as_deref()));
            }
            TopologyFrame::Health {
                id,
                ready,
                view_hash,
                view,
            } => {
                self.on_health(now, from, (id, ready), (view_hash, view), &mut orders);
            }
        }
        self.assert_invariants();
        orders
    }

    /// Sets the number of distinct nodes that discovery names, this node included.
    pub fn set_discovered(&mut self, nodes: usize) {
        self.discovered = nodes;
    }

    /// The application is ready, or no longer ready; peers are told at once.
    pub fn set_ready(&mut self, _now: Instant, ready: bool) -> Vec<Order> {
        if self.ready == ready {
            return Vec::new();
        }
        self.ready = ready;
        self.tell_all(&TopologyFrame::Ready(ready))
    }

    /// The application changes the description; peers are told at once.
    pub fn describe(&mut self, _now: Instant, description: Description) -> Vec<Order> {
        if self.description == description {
            return Vec::new();
        }
        self.description = description;
        self.tell_all(&self.own_description(0))
    }

    /// True when it is time for [`Topology::reconcile`].
    pub fn reconcile_due(&self, now: Instant) -> bool {
        self.reconcile_at <= now
    }

    /// Compares the members with the present links and corrects differences, by ordinary up and down events.
    /// There should be none.
    pub fn reconcile<'a>(
        &mut self,
        now: Instant,
        standing: impl Iterator<Item = (&'a NodeName, Incarnation)>,
    ) -> Vec<Order> {
        self.reconcile_at = now + self.reconcile_interval;
        let mut orders = Vec::new();
        let mut differences = 0;
        // Names of linked members that were not among the present links.
        let mut missing = self.views.own().clone();
        missing.remove(&self.me);
        for (name, incarnation) in standing {
            missing.remove(name);
            let member = self.roster.get(name).filter(|member| member.linked);
            if member.is_some_and(|member| member.incarnation == incarnation) {
                continue;
            }
            differences += 1;
            let peer = Identity {
                cluster: self.cluster.clone(),
                name: name.clone(),
                incarnation,
            };
            orders.extend(self.link_up(now, &peer));
        }
        for name in &missing {
            differences += 1;
            orders.extend(self.link_down(now, name, DownReason::Closed));
        }
        if differences > 0 {
            self.counters.differences += differences;
            orders.push(Order::Notice(Notice::Reconciled { differences }));
        }
        orders.sort_by_key(Order::is_deed);
        orders
    }

    /// Handles everything that is due, except for [`Topology::reconcile`], which needs the links.
    pub fn tick(&mut self, now: Instant) -> Vec<Order> {
        let mut orders = Vec::new();
        self.tick_checks(now, &mut orders);
        self.tick_describing(now, &mut orders);
        let doubted = self.doubts.whom_to_ask(now);
        self.ask_alone(now, doubted, &mut orders);
        if self.roster.deadline().is_some_and(|at| at <= now) {
            self.forget(now, &mut orders);
        }
        if self.watch.deadline().is_some_and(|at| at <= now) {
            orders.extend(self.look(now));
            let kept = self.watch.whom_to_ask(now);
            self.ask_alone(now, kept, &mut orders);
        }
        self.assert_invariants();
        orders
    }

    /// When to call [`Topology::tick`], or [`Topology::reconcile`] if that is due.
    pub fn deadline(&self) -> Option<Instant> {
        let parts = [
            Some(self.reconcile_at),
            self.checks.deadline(),
            self.describing.deadline(),
            self.doubts.deadline(),
            self.roster.deadline(),
            self.watch.deadline(),
        ];
        parts.into_iter().fold(None, earliest)
    }

    fn health_update(&mut self, changed: Vec<(NodeName, NodeState)>, orders: &mut Vec<Order>) {
        if !changed.is_empty() {
            self.event(Change::HealthUpdate { changed }, orders);
        }
    }

    fn event(&mut self, change: Change, orders: &mut Vec<Order>) {
        self.epoch += 1;
        let event = TopologyEvent {
            epoch: self.epoch,
            coverage: self.coverage(),
            change,
        };
        orders.push(Order::Event(event));
    }

    fn is_linked(&self, name: &NodeName) -> bool {
        self.roster.get(name).is_some_and(Member::is_linked)
    }

    fn forget(&mut self, now: Instant, orders: &mut Vec<Order>) {
        for name in self.roster.tick(now) {
            orders.push(Order::Forgotten { name: name.clone() });
            self.views.forget(&name);
            self.watch.forget(&name);
            self.watch.touch(now);
            self.counters.forgotten += 1;
        }
    }

    /// Derives the partitions again; closes links if the settings say so.
    fn look(&mut self, now: Instant) -> Vec<Order> {
        let heard = self
            .views
            .own()
            .iter()
            .filter_map(|name| self.views.of(name).map(|(hash, view)| (name, hash, view)));
        let peers = heard
            .filter(|(name, ..)| self.checks.is_well(name))
            .collect();
        let left = |name: &NodeName| {
            let member = self.roster.get(name);
            member.is_some_and(|member| member.down_reason() == Some(DownReason::Left))
        };
        let lost = self.roster.gone().filter(|(_, name)| !left(name));
        let evidence = Evidence {
            me: &self.me,
            own: self.views.own(),
            own_hash: self.views.own_hash(),
            peers,
            lost: lost
                .map(|(since, name)| (name, *since, self.views.of(name).map(|(_, view)| view)))
                .collect(),
        };
        let choice = self.watch.look(now, &evidence);
        let admit = choice.admit.into_iter().map(|name| Order::Admit { name });
        let close = choice.close.into_iter();
        admit
            .chain(close.map(|name| Order::CloseLink { name }))
            .collect()
    }

    fn assert_invariants(&self) {
        self.roster.assert_invariants();
        debug_assert_eq!(self.roster.tally().connected() + 1, self.views.own().len());
    }
}

/// How long two nodes must have lacked each other to be called apart. The two ends of a cut link notice it
/// between 0.75 T and 1.25 T, so at most T/2 apart; and a view may be as old as a round of health checks.
fn hold_off(settings: &Settings) -> Duration {
    let round = settings.topology.health_interval + settings.topology.health_timeout;
    round.max(settings.link.tick_time / 2)
}
