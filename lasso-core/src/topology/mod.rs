//! The one source of truth about members: who is there, in which state, and how much of the
//! cluster an answer speaks for.
//!
//! The topology is told of links by the node that holds it, talks with the topologies of its peers
//! in [`TopologyFrame`]s, and says what to send and what has changed.
//!
//! 1. A stored incarnation never goes back.
//! 2. responding ≤ connected ≤ known; every node is counted once.
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
mod coverage;
mod describing;
mod member;
mod partitions;
mod timers;
mod views;

pub use coverage::Coverage;
pub use member::{Member, NodeState};
pub use partitions::{Island, Pair, Partitions};
pub use views::VIEW_MAX;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::NodeConfig;
use crate::event::{Change, DownReason, Notice, TopologyEvent};
use crate::frame::TopologyFrame;
use crate::name::{Description, Identity, Incarnation, Label, NodeName};
use crate::time::{Instant, earliest};

use checks::{CheckOrder, Checks};
use coverage::{Share, Tally};
use describing::{DescribeOrder, Describing};
use timers::Timers;
use views::{Reported, Views};

/// What the topology wants done.
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
    /// Close the link to a node, and do not dial it for a while, so that every island is fully
    /// connected. Only with `prevent_overlapping_partitions`. The topology learns of it by
    /// [`Topology::link_down`] like of any other lost link.
    CloseLink {
        /// Whose.
        name: NodeName,
    },
}

/// What happened so far, as numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Nodes that connected.
    pub connected: u64,
    /// Nodes that disconnected.
    pub disconnected: u64,
    /// Health checks that were sent.
    pub checks_sent: u64,
    /// Health checks that passed.
    pub checks_passed: u64,
    /// Health checks that were not answered in time.
    pub checks_failed: u64,
    /// Answers to health checks and to questions for a description that came too late.
    pub late_answers: u64,
    /// Times that a peer did not describe itself after all tries.
    pub descriptions_failed: u64,
    /// Frames that were dropped: from a node without a link, or with contents beyond bounds.
    pub frames_refused: u64,
    /// Links that bore an incarnation older than the known one, and were ignored.
    pub stale_incarnations: u64,
    /// Differences that reconciliation found.
    pub differences: u64,
    /// Disconnected nodes that were forgotten, by age or by number.
    pub forgotten: u64,
    /// Times that a node began to flap.
    pub flaps: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The longest gone node is forgotten.
    Forget,
    /// This node may have stopped flapping.
    Flap(NodeName),
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
    members: BTreeMap<NodeName, Member>,
    /// Kept in step with `members` by `change` and `forget`, which alone touch both.
    tally: Tally,
    /// The disconnected members, the longest gone first.
    gone: BTreeSet<(Instant, NodeName)>,
    checks: Checks,
    describing: Describing,
    views: Views,
    timers: Timers<Timer>,
    reconcile_at: Instant,
    reconcile_interval: Duration,
    disconnected_keep: Duration,
    disconnected_max: usize,
    flap_cycles: u32,
    flap_window: Duration,
    epoch: u64,
    counters: Counters,
    partitions: Partitions,
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
            members: BTreeMap::new(),
            tally: Tally::default(),
            gone: BTreeSet::new(),
            checks: Checks::new(settings),
            describing: Describing::new(settings),
            views: Views::new(&config.name),
            timers: Timers::new(),
            reconcile_at: Instant::ZERO + settings.reconcile_interval,
            reconcile_interval: settings.reconcile_interval,
            disconnected_keep: settings.disconnected_keep,
            disconnected_max: settings.disconnected_max,
            flap_cycles: settings.flap_cycles,
            flap_window: settings.flap_window,
            epoch: 0,
            counters: Counters::default(),
            partitions: Partitions::default(),
        }
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
        let known = self.members.get(&peer.name);
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
        self.views.up(&peer.name);
        self.admit(now, peer, &mut orders);
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
        let member = self.members.get(&peer.name);
        match member.map(|member| (member.linked, member.incarnation == peer.incarnation)) {
            Some((true, true)) => {
                self.change(now, &peer.name, |member| member.asking = true);
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
        self.change(now, name, |member| member.link_down(reason));
        self.gone.insert((now, name.clone()));
        self.views.down(name);
        self.checks.down(now, name);
        self.describing.stop(name, 0);
        self.forget_old(now);
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
                self.on_description(now, from, id, description, ready, &mut orders);
            }
            TopologyFrame::Ready(ready) => self.on_ready(now, from, ready, &mut orders),
            TopologyFrame::Check { id, known } => {
                let frame = TopologyFrame::Health {
                    id,
                    ready: self.ready,
                    view_hash: self.views.own_hash(),
                    view: self.views.answer(known.as_deref()),
                };
                orders.push(Order::Send {
                    to: from.clone(),
                    frame,
                });
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
            let member = self.members.get(name).filter(|member| member.linked);
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
        orders
    }

    /// Does what is due, except for [`Topology::reconcile`], which needs to be told the links.
    pub fn tick(&mut self, now: Instant) -> Vec<Order> {
        let mut orders = Vec::new();
        self.tick_checks(now, &mut orders);
        self.tick_describing(now, &mut orders);
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Forget => self.forget_old(now),
                Timer::Flap(name) => self.on_flap_timer(now, &name),
            }
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
            self.timers.next(),
        ];
        parts.into_iter().fold(None, earliest)
    }

    /// How much of the cluster an answer speaks for.
    pub fn coverage(&self) -> Coverage {
        self.tally.coverage(self.expected(), self.epoch)
    }

    /// The larger of the configured number of nodes and those that discovery names.
    pub fn expected(&self) -> usize {
        self.expected_nodes.max(self.discovered)
    }

    /// The configured number of nodes, `EXPECTED_NODE_COUNT`.
    pub fn expected_nodes(&self) -> usize {
        self.expected_nodes
    }

    /// The membership epoch: how many events there were.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The latest life of that name that is known.
    pub fn known_incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        self.members.get(name).map(|member| member.incarnation)
    }

    /// The nodes that are linked or remembered, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One node that is linked or remembered.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    /// What this node says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// True when this node's application has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The parts that the cluster has fallen into, and the pairs that cannot reach each other.
    pub fn partitions(&self) -> Partitions {
        self.partitions.clone()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn on_description(
        &mut self,
        now: Instant,
        from: &NodeName,
        id: u64,
        description: Description,
        ready: bool,
        orders: &mut Vec<Order>,
    ) {
        if description.validate().is_err() {
            self.counters.frames_refused += 1;
            return;
        }
        // A link keeps its order, so a late answer is still the peer's latest word.
        if !self.describing.stop(from, id) && id != 0 {
            self.counters.late_answers += 1;
        }
        let mut news = false;
        let states = self.change(now, from, |member| {
            news = !member.described || member.description != description;
            member.asking = false;
            member.described = true;
            member.app_ready = ready;
            if news {
                member.description = description.clone();
            }
        });
        if news {
            self.event(
                Change::NodeIdentified {
                    name: from.clone(),
                    description,
                },
                orders,
            );
        }
        self.health_update(states.into_iter().collect(), orders);
    }

    fn on_ready(&mut self, now: Instant, from: &NodeName, ready: bool, orders: &mut Vec<Order>) {
        let states = self.change(now, from, |member| member.app_ready = ready);
        self.health_update(states.into_iter().collect(), orders);
    }

    fn on_health(
        &mut self,
        now: Instant,
        from: &NodeName,
        (id, ready): (u64, bool),
        (view_hash, view): (u64, Option<Vec<NodeName>>),
        orders: &mut Vec<Order>,
    ) {
        let Some(passed) = self.checks.answered(now, from, id) else {
            self.counters.late_answers += 1;
            return;
        };
        self.counters.checks_passed += 1;
        if self.views.report(from, view_hash, view) == Reported::Refused {
            self.counters.frames_refused += 1;
        }
        let states = self.change(now, from, |member| {
            member.passed = true;
            member.unresponsive = false;
            member.app_ready = ready;
            member.rtt = Some(passed.rtt);
        });
        self.health_update(states.into_iter().collect(), orders);
    }

    fn tick_checks(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let mut due = Vec::new();
        self.checks.tick(now, &mut due);
        let mut changed = Vec::new();
        for order in due {
            match order {
                CheckOrder::Ask { to, id } => {
                    let known = Some(self.views.known(&to));
                    self.counters.checks_sent += 1;
                    orders.push(Order::Send {
                        to,
                        frame: TopologyFrame::Check { id, known },
                    });
                }
                CheckOrder::Failed { name, unresponsive } => {
                    self.counters.checks_failed += 1;
                    let states = self.change(now, &name, |member| {
                        member.unresponsive |= unresponsive;
                    });
                    changed.extend(states);
                }
            }
        }
        self.health_update(changed, orders);
    }

    fn tick_describing(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let mut due = Vec::new();
        self.describing.tick(now, &mut due);
        for order in due {
            match order {
                DescribeOrder::Ask { to, id } => {
                    self.change(now, &to, |member| member.asking = true);
                    orders.push(Order::Send {
                        to,
                        frame: TopologyFrame::Describe { id },
                    });
                }
                DescribeOrder::GaveUp { name } => {
                    self.counters.descriptions_failed += 1;
                    self.change(now, &name, |member| member.asking = false);
                }
            }
        }
    }

    /// A member's link stands: it comes back, or is new.
    fn admit(&mut self, now: Instant, peer: &Identity, orders: &mut Vec<Order>) {
        let Some(member) = self.members.get(&peer.name) else {
            let mut member = Member::new(now, peer.name.clone(), peer.incarnation);
            member.link_up(now, peer.incarnation);
            self.tally
                .update(&peer.name, None, Some(Share::of(&member)));
            self.members.insert(peer.name.clone(), member);
            return;
        };
        self.gone.remove(&(member.since, peer.name.clone()));
        self.schedule_forget();
        let (cycles_max, window) = (self.flap_cycles as usize, self.flap_window);
        let mut began = false;
        let mut again = None;
        self.change(now, &peer.name, |member| {
            member.link_up(now, peer.incarnation);
            began = member.came_back(now, cycles_max, window);
            again = member
                .returns
                .front()
                .filter(|_| member.flapping)
                .map(|at| *at + window);
        });
        if let Some(at) = again {
            self.timers.set(Timer::Flap(peer.name.clone()), at);
        }
        if began {
            self.counters.flaps += 1;
            let cycles = self.flap_cycles.saturating_add(1);
            orders.push(Order::Notice(Notice::Flapping {
                name: peer.name.clone(),
                cycles,
            }));
        }
    }

    /// Asks a peer whose session begins for its description, and checks it. The first check wants
    /// no view: while a large cluster forms, every view differs from every other.
    fn ask(&mut self, now: Instant, name: &NodeName, orders: &mut Vec<Order>) {
        let id = self.describing.ask(now, name);
        orders.push(Order::Send {
            to: name.clone(),
            frame: TopologyFrame::Describe { id },
        });
        let id = self.checks.up(now, name);
        self.counters.checks_sent += 1;
        let frame = TopologyFrame::Check { id, known: None };
        orders.push(Order::Send {
            to: name.clone(),
            frame,
        });
    }

    fn on_flap_timer(&mut self, now: Instant, name: &NodeName) {
        let window = self.flap_window;
        if let Some(member) = self.members.get_mut(name) {
            member.flapping = false;
            member.returns.retain(|at| *at + window > now);
        }
    }

    /// Forgets the disconnected nodes that are too old or too many.
    fn forget_old(&mut self, now: Instant) {
        while let Some((since, _)) = self.gone.first() {
            if self.gone.len() <= self.disconnected_max && *since + self.disconnected_keep > now {
                break;
            }
            let (_, name) = self.gone.pop_first().expect("the first was just there");
            let member = self.members.remove(&name).expect("who is gone is a member");
            self.tally.update(&name, Some(Share::of(&member)), None);
            self.views.forget(&name);
            self.timers.clear(&Timer::Flap(name));
            self.counters.forgotten += 1;
        }
        self.schedule_forget();
    }

    fn schedule_forget(&mut self) {
        match self.gone.first() {
            Some((since, _)) => self
                .timers
                .set(Timer::Forget, *since + self.disconnected_keep),
            None => {
                self.timers.clear(&Timer::Forget);
            }
        }
    }

    /// Changes a member, and with it the counts and the time of its state. Returns its name and new
    /// state where that is news.
    fn change(
        &mut self,
        now: Instant,
        name: &NodeName,
        facts: impl FnOnce(&mut Member),
    ) -> Option<(NodeName, NodeState)> {
        let member = self.members.get_mut(name).expect("only members change");
        let (share, state) = (Share::of(member), member.state());
        let incarnation = member.incarnation;
        facts(member);
        assert!(
            member.incarnation >= incarnation,
            "the incarnation of {name} went back"
        );
        let after = member.state();
        if after != state {
            member.since = now;
        }
        self.tally
            .update(name, Some(share), Some(Share::of(member)));
        state.is_news(after).then(|| (name.clone(), after))
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
        self.members.get(name).is_some_and(Member::is_linked)
    }

    fn own_description(&self, id: u64) -> TopologyFrame {
        TopologyFrame::Description {
            id,
            description: self.description.clone(),
            ready: self.ready,
        }
    }

    fn tell_all(&self, frame: &TopologyFrame) -> Vec<Order> {
        let peers = self.views.own().iter().filter(|name| **name != self.me);
        peers
            .map(|name| Order::Send {
                to: name.clone(),
                frame: frame.clone(),
            })
            .collect()
    }

    /// What can be checked at once; a test recounts everything.
    fn assert_invariants(&self) {
        debug_assert!(self.tally.connected() <= self.members.len());
        debug_assert_eq!(self.tally.connected() + 1, self.views.own().len());
        debug_assert_eq!(self.tally.connected() + self.gone.len(), self.members.len());
        debug_assert_eq!(self.tally.disconnected().len(), self.gone.len());
    }
}
