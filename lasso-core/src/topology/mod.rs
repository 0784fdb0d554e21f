//! The one source of truth about members: who is there, in which state, and how much of the
//! cluster an answer speaks for.
//!
//! The topology is told of links by the node that holds it, talks with the topologies of its peers
//! in [`TopologyFrame`]s, and says what to send and what has changed.
//!
//! 1. A stored incarnation never goes back.
//! 2. responding ≤ connected ≤ expected; every node is counted once.
//! 3. The epoch grows by exactly one per event, and each event carries the coverage after it.
//! 4. Nothing but [`Topology::link_down`], [`Topology::reconcile`] and a higher incarnation takes a
//!    member's link away.
//!
//! It does not dial, and it does not know connections: a member has a link or it has none.
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

/// What the topology wants done.
///
/// Whatever a method returns, events and notices come first: a send may fail, and what follows from
/// that is a later event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Send a frame to a linked node.
    Send {
        /// To whom.
        to: NodeName,
        /// What.
        frame: TopologyFrame,
    },
    /// Tell subscribers.
    Event(TopologyEvent),
    /// Tell the operator.
    Notice(Notice),
    /// A disconnected node is remembered no longer.
    Forgotten {
        /// Which one.
        name: NodeName,
    },
    /// Close the link to a node, so that every island is fully connected. Only with
    /// `prevent_overlapping_partitions`. The topology learns of it by [`Topology::link_down`] like
    /// of any other lost link; from now on [`Topology::excludes`] that node.
    CloseLink {
        /// Whose.
        name: NodeName,
    },
    /// A node that was excluded may be linked to again.
    Admit {
        /// Which one.
        name: NodeName,
    },
}

impl Order {
    /// True for what acts on a link, false for what is only told.
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
    /// Distinct nodes that discovery names, self included.
    discovered: usize,
    /// What this node says of itself.
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

    /// Draws when the first health round and the first reconciliation happen, from half an interval on, so that nodes that
    /// started together do not do everything together.
    #[must_use]
    pub(crate) fn out_of_phase(mut self, round: u32, reconciliation: u32) -> Self {
        self.checks.first_after(part(self.checks.interval(), round));
        self.reconcile_at = Instant::ZERO + part(self.reconcile_interval, reconciliation);
        self
    }

    /// A link stands: a new session with that node begins. The node that holds this topology has
    /// made sure that the incarnation is not older than [`Topology::known_incarnation`].
    ///
    /// For a name that is linked already this is [`Topology::session_replaced`] with the same
    /// incarnation, and down (`replaced`) and up again with a higher one.
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

    /// Another connection silently took the place of a link that stands: no event, but the node is
    /// asked for its description and checked anew. Its state stays what it was meanwhile.
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

    /// A frame came from a linked node. Never panics, whatever the frame holds.
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

    /// How many distinct nodes discovery names, self included.
    pub fn set_discovered(&mut self, nodes: usize) {
        self.discovered = nodes;
    }

    /// The application is ready, or no longer; peers hear at once.
    pub fn set_ready(&mut self, _now: Instant, ready: bool) -> Vec<Order> {
        if self.ready == ready {
            return Vec::new();
        }
        self.ready = ready;
        self.tell_all(&TopologyFrame::Ready(ready))
    }

    /// The application describes itself anew; peers hear at once.
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

    /// Compares the members with the links that stand and sets differences right, by ordinary up
    /// and down events. There should be none.
    pub fn reconcile<'a>(
        &mut self,
        now: Instant,
        standing: impl Iterator<Item = (&'a NodeName, Incarnation)>,
    ) -> Vec<Order> {
        self.reconcile_at = now + self.reconcile_interval;
        let mut orders = Vec::new();
        let mut differences = 0;
        // Names of members with a link that were not seen to stand.
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

    /// Does what is due, except for [`Topology::reconcile`], which needs to be told the links.
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

    /// Derives the partitions anew; closes links where that is asked for.
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

/// How long two nodes must have lacked each other to be called apart. The two ends of a link that is
/// cut find out within 0.75 T and 1.25 T, so T/2 apart at most; and a view is as old as a round
/// of health checks.
fn hold_off(settings: &Settings) -> Duration {
    let round = settings.topology.health_interval + settings.topology.health_timeout;
    round.max(settings.link.tick_time / 2)
}
