//! The outermost machine: composes discovery, mesh, links and topology behind one
//! [`handle`](Node::handle), [`poll_output`](Node::poll_output),
//! [`poll_timeout`](Node::poll_timeout).
//!
//! Whoever drives it tells it what happened and what time it is, carries out what it says, and calls
//! it again at the time it names. Draining outputs late is harmless.
//!
//! Which connection is the link of a pair, and when another one takes its place, is decided in the
//! file `pairing`, which has the table of states and transitions.
//!
//! 1. At most one connection per peer is its link; frames of the topology count on it alone.
//! 2. Every connection is in exactly one phase, and has a deadline.
//! 3. Nothing that comes before the other side is authenticated changes anything but counters.
//! 4. A peer is told to the topology as linked exactly while it has a link.
//! 5. An incarnation that is known never goes back.
//!
//! It does no IO, reads no clock, and draws from no generator but its own.

mod conn;
mod greet;
mod inputs;
mod io;
mod leaving;
mod ledger;
mod lessons;
mod messaging;
mod pairing;
mod renumbering;
mod room;
mod strangers;
mod timers;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

pub use io::{Command, ConnId, DnsAnswer, Input, NetError, Output};
pub use leaving::Unsent;
pub use ledger::{Counters, NOTICES_MAX};

use crate::config::{NodeConfig, SettingsError, check};
use crate::discovery::Discovery;
use crate::event::{CloseReason, DownReason, Notice};
use crate::frame::Frame;
use crate::health::HealthReport;
use crate::link::{LinkEvent, SharedUnfinished, Unfinished, UnfinishedCounters};
use crate::mesh::{Mesh, Miss};
use crate::name::{Basename, Identity, Incarnation, NodeName};
use crate::plane::SharedPlane;
use crate::secure::ReplayGuard;
use crate::time::{Instant, earliest};
use crate::topology::{Coverage, Order, Topology};
use conn::{Conn, Connecting, Phase, Step};
use leaving::{Farewell, Leaving};
use ledger::Ledger;
use lessons::mirrored;
use messaging::Tags;
use renumbering::Renumbering;
use strangers::Strangers;
use timers::Timers;

/// A link that stands: one per pair of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The connection that carries it.
    pub conn: ConnId,
    /// The other side.
    pub peer: Identity,
    /// The same number at both ends, different for each connection.
    pub session: u64,
    /// When the last byte came.
    pub last_received: Instant,
}

/// The machine. See the module's text.
pub struct Node {
    config: NodeConfig,
    /// The wall clock at the start, in milliseconds since 1970.
    started_unix_ms: u64,
    identity: Identity,
    basenames: BTreeSet<Basename>,
    /// Seeds the handshakes of connections.
    rng: ChaCha12Rng,
    connecting: BTreeMap<ConnId, Connecting>,
    /// Boxed: a tree of the connections themselves would move them about.
    conns: BTreeMap<ConnId, Box<Conn>>,
    /// The connection that is each peer's link.
    links: BTreeMap<NodeName, ConnId>,
    /// The dial under way to each candidate; it ends when the connection is the link, or gone.
    dials: BTreeMap<NodeName, ConnId>,
    /// Connections whose other side is known and that are no link, by peer.
    pending: BTreeMap<NodeName, BTreeSet<ConnId>>,
    /// All of both, by the address of the other side.
    by_address: BTreeSet<(IpAddr, ConnId)>,
    /// Steps or links changed since the invariants of the pairing were checked.
    pairing_moved: bool,
    strangers: Strangers,
    /// Connections that have something to send.
    dirty: BTreeSet<ConnId>,
    timers: Timers<ConnId>,
    /// First messages of handshakes that were seen before.
    guard: ReplayGuard,
    discovery: Discovery,
    mesh: Mesh,
    topology: Topology,
    ledger: Ledger,
    renumbering: Renumbering,
    plane: SharedPlane,
    /// What all links hold of messages that are not all there.
    unfinished: SharedUnfinished,
    tags: Tags,
    /// A stall was told of and its deadline has not been served yet.
    stalled: bool,
    next_conn: u64,
    next_ping: u64,
    /// The application wants to leave.
    leaving: Option<Leaving>,
    farewell: Farewell,
    stopped: bool,
    /// What [`Node::poll_timeout`] says; found once per input.
    due: Option<Instant>,
    outputs: VecDeque<Output>,
    /// Lent to links while they receive.
    events: Vec<LinkEvent>,
}

impl Node {
    /// A node that starts now. `seed` must come from a good source and never be used again, since
    /// secrets are drawn from it; `unix_ms` is the wall clock, and becomes the incarnation.
    ///
    /// # Errors
    /// Settings that cannot work, by the first that was found; or a clock beyond the year 2500.
    pub fn new(config: NodeConfig, seed: [u8; 32], unix_ms: u64) -> Result<Self, SettingsError> {
        config.settings.validate()?;
        check(
            Incarnation(unix_ms) < Incarnation::MAX,
            "clock",
            unix_ms,
            "no peer takes an incarnation beyond the year 2500: set the clock of this machine",
        )?;
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut mesh_seed = [0; 32];
        rng.fill_bytes(&mut mesh_seed);
        let identity = Identity {
            cluster: config.cluster.clone(),
            name: config.name.clone(),
            incarnation: Incarnation(unix_ms),
        };
        // A stream of its own: what the node draws stays as it is.
        let mut phases = ChaCha12Rng::from_seed(seed);
        phases.set_stream(2);
        let topology = Topology::new(&config).out_of_phase(phases.next_u32(), phases.next_u32());
        let plane = messaging::plane(&config, &identity, topology.description(), seed);
        let mut node = Node {
            started_unix_ms: unix_ms,
            basenames: config.basenames(),
            discovery: Discovery::new(&config).out_of_phase(phases.next_u32()),
            mesh: Mesh::new(config.settings.dial.clone(), config.name.clone(), mesh_seed),
            topology,
            identity,
            rng,
            connecting: BTreeMap::new(),
            conns: BTreeMap::new(),
            guard: ReplayGuard::new(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            pending: BTreeMap::new(),
            by_address: BTreeSet::new(),
            pairing_moved: false,
            strangers: Strangers::default(),
            dirty: BTreeSet::new(),
            timers: Timers::new(),
            ledger: Ledger::default(),
            renumbering: Renumbering::default(),
            plane: Arc::new(Mutex::new(plane)),
            unfinished: Arc::new(Mutex::new(Unfinished::new(&config.settings.link))),
            tags: Tags::default(),
            stalled: false,
            next_conn: 0,
            next_ping: 0,
            leaving: None,
            farewell: Farewell::default(),
            stopped: false,
            due: Some(Instant::ZERO),
            outputs: VecDeque::new(),
            events: Vec::new(),
            config,
        };
        let peers: Vec<NodeName> = node.discovery.candidates().cloned().collect();
        peers
            .iter()
            .for_each(|peer| node.mesh.add(Instant::ZERO, peer));
        node.topology.set_discovered(node.discovery.nodes_named());
        node.due = node.next_due();
        Ok(node)
    }

    /// Takes one input. Never fails: hostile or stale input closes a connection or is ignored, and
    /// is counted. Inputs after [`Output::Stopped`] are ignored.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.stopped {
            return;
        }
        self.notice_stall(now);
        match input {
            Input::Tick => self.on_tick(now),
            Input::Connected { conn } => self.on_connected(now, conn),
            Input::Accepted { conn, from } => self.on_accepted(now, conn, from),
            Input::Received { conn, bytes } => self.on_received(now, conn, &bytes),
            Input::Written { conn, bytes } => self.on_written(now, conn, bytes),
            Input::Closed { conn, error } => self.on_closed(now, conn, error),
            Input::Resolved {
                query,
                family,
                answer,
            } => {
                let found = self.discovery.answered(now, query, family, answer);
                self.on_found(now, found);
            }
            Input::Frame { conn, frame } => self.on_frame(now, conn, frame),
            Input::Broken { conn, reason } => self.on_broken(now, conn, reason),
            Input::Command(command) => self.on_command(now, command),
        }
        if !self.stopped {
            self.dial_due(now);
            self.transmit(now);
            self.leave_if_due(now);
        }
        self.due = self.next_due();
        self.assert_invariants();
    }

    /// The next thing to do, in order; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Tick`] at the latest; `None`: only when something happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        // Links and the data plane may have been used without the node.
        let due = earliest(self.due, self.unfinished.lock().deadline());
        earliest(due, self.plane.lock().deadline())
    }

    fn next_due(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let parts = earliest(self.discovery.deadline(), self.mesh.deadline());
        let parts = earliest(parts, self.leaving_deadline());
        earliest(
            earliest(parts, self.topology.deadline()),
            self.timers.next(),
        )
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it was told at the start.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Who is there.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Who might be there.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// How much of the cluster an answer speaks for.
    pub fn coverage(&self) -> Coverage {
        self.topology.coverage()
    }

    /// The links that stand, in the order of the peers' names.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        self.links.values().filter_map(|id| self.link_info(*id))
    }

    /// The link with one peer, where one stands.
    pub fn link(&self, peer: &NodeName) -> Option<LinkInfo> {
        self.link_info(*self.links.get(peer)?)
    }

    fn link_info(&self, id: ConnId) -> Option<LinkInfo> {
        let conn = self.conns.get(&id)?;
        Some(LinkInfo {
            conn: id,
            peer: conn.peer()?.clone(),
            session: conn.link.session(),
            last_received: conn.link.last_received(),
        })
    }

    /// How many connections are open or being opened, links included.
    pub fn connections(&self) -> usize {
        self.conns.len() + self.connecting.len()
    }

    /// How many peers are in a handshake that they began.
    pub fn handshakes(&self) -> usize {
        self.strangers.len()
    }

    /// How many dials are under way.
    pub fn dials(&self) -> usize {
        self.mesh.dials()
    }

    /// What was given up of messages that were not all there.
    pub fn unfinished(&self) -> UnfinishedCounters {
        self.unfinished.lock().counters()
    }

    /// Bytes of messages that are not all there, over all links.
    pub fn unfinished_bytes(&self) -> usize {
        self.unfinished.lock().held()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.ledger.counters
    }

    /// True once the node has said goodbye.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The health answer, at `now` by the machine's time and `unix_ms` by the wall clock.
    pub fn health(&self, now: Instant, unix_ms: u64) -> HealthReport {
        HealthReport::new(
            now,
            unix_ms,
            self.topology.description().version.as_str(),
            &self.identity,
            &self.topology,
            self.discovery.status(now),
            self.config.is_clustered(),
        )
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn emit_notice(&mut self, notice: Option<Notice>) {
        self.outputs.extend(notice.map(Output::Notice));
    }

    /// Carries out what the topology wants.
    fn obey(&mut self, now: Instant, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Send { to, frame } => {
                    if let Some(conn) = self.links.get(&to).copied() {
                        self.send(now, conn, &Frame::Topology(frame));
                    }
                }
                Order::Event(event) => {
                    self.plane_hears(&event);
                    self.publish_topology(now, &event);
                    self.emit(Output::Event(event));
                }
                Order::Notice(notice) => self.emit(Output::Notice(notice)),
                Order::Forgotten { name } => self.plane_forgets(&name),
                Order::CloseLink { name } => {
                    if let Some(conn) = self.links.get(&name).copied() {
                        self.close(now, conn, CloseReason::Overlap);
                    }
                }
                Order::Admit { name } => self.mesh.retry(now, &name),
            }
        }
    }

    /// Queues a frame; a connection that cannot take it is closed.
    fn send(&mut self, now: Instant, id: ConnId, frame: &Frame) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        match conn.link.send(now, frame) {
            Ok(()) => {
                self.dirty.insert(id);
            }
            Err(reason) => self.close(now, id, reason),
        }
    }

    /// Hands what the links have to send to the network.
    fn transmit(&mut self, now: Instant) {
        while let Some(id) = self.dirty.pop_first() {
            let Some(conn) = self.conns.get_mut(&id) else {
                continue;
            };
            while let Some(bytes) = conn.link.poll_transmit(now) {
                self.outputs.push_back(Output::Send { conn: id, bytes });
            }
            self.arm(id);
        }
    }

    /// Makes sure that the connection is looked at when its deadline comes.
    fn arm(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let own = match conn.step() {
            Some(Step::Asking { until, .. }) => earliest(Some(until), conn.link.deadline()),
            _ => conn.link.deadline(),
        };
        if let Some(deadline) = own {
            self.timers.at_latest(id, deadline);
        }
    }

    /// Closes a connection for a reason of this side, and tells the other one where it can.
    fn close(&mut self, now: Instant, id: ConnId, reason: CloseReason) {
        if let Some(conn) = self.conns.get_mut(&id) {
            let farewell = conn.link.close(now, &mirrored(&reason, &self.identity));
            self.outputs
                .extend(farewell.map(|bytes| Output::Send { conn: id, bytes }));
        } else if !self.connecting.contains_key(&id) {
            return;
        }
        self.outputs.push_back(Output::Close {
            conn: id,
            reason: reason.clone(),
        });
        self.gone(now, id, reason, false);
    }

    /// Forgets a connection that is closed, and draws the consequences.
    fn gone(&mut self, now: Instant, id: ConnId, reason: CloseReason, by_peer: bool) {
        self.timers.cancel(id);
        if let Some(connecting) = self.connecting.remove(&id) {
            let (address, name) = (connecting.candidate.address().ip(), connecting.candidate);
            if by_peer {
                // There was no connection that anybody could have closed.
                self.ledger.counters.dials_failed += 1;
            } else {
                self.ledger
                    .closed(now, address, Some(&name), true, &reason, by_peer);
            }
            return self.dial_ended(now, id, &name, &reason, false);
        }
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        self.dirty.remove(&id);
        self.strangers.remove(id);
        let peer = conn.peer().map(|peer| &peer.name);
        let name = peer.or(conn.candidate.as_ref()).cloned();
        let address = conn.remote.ip();
        let is_known = self.mesh.is_address_of_one(address);
        let notice = self
            .ledger
            .closed(now, address, name.as_ref(), is_known, &reason, by_peer);
        self.emit_notice(notice);
        if let Some(candidate) = &conn.candidate {
            self.dial_ended(now, id, candidate, &reason, conn.met().is_some());
        }
        if let Phase::Met { hello, .. } = &conn.phase {
            self.by_address.remove(&(address, id));
            self.unpair(now, id, &hello.identity, &reason, by_peer);
        }
        if let (true, CloseReason::StaleIncarnation { known }) = (by_peer, &reason) {
            self.renumber(now, *known);
        }
    }

    /// The link of a peer is gone.
    fn unlinked(&mut self, now: Instant, name: &NodeName, reason: &CloseReason, by_peer: bool) {
        let down = match reason {
            CloseReason::Left => DownReason::Left,
            // What the other side calls silence was ours, not theirs.
            CloseReason::Silent if !by_peer => DownReason::Down,
            CloseReason::Replaced | CloseReason::Renumbered => DownReason::Replaced,
            _ => DownReason::Closed,
        };
        let hold = match reason {
            CloseReason::Left => Some(self.config.settings.dial.backoff_min),
            CloseReason::Overlap => Some(self.config.settings.dial.backoff_max_stale),
            _ => None,
        };
        self.mesh.unlinked(now, name, hold);
        if self.discovery.lost(now, name, down == DownReason::Left) {
            self.mesh.remove(name);
        }
        let orders = self.topology.link_down(now, name, down);
        self.obey(now, orders);
    }

    fn assert_invariants(&mut self) {
        if cfg!(debug_assertions) {
            debug_assert!(self.strangers.len() <= self.config.settings.link.handshakes_max);
            debug_assert!(self.links.len() <= self.conns.len());
            debug_assert!(self.dirty.is_empty() || self.stopped);
            self.assert_paired();
        }
    }
}

impl core::fmt::Debug for Node {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Node")
            .field("identity", &self.identity)
            .field("links", &self.links)
            .field("connections", &self.conns.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
