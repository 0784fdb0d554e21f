//! The direct world: an event loop over the machines of lasso-core, without tokio. It jumps from
//! event to event, so that a quiet hour costs what happens in it.
//!
//! Everything is ordered by time and, at the same time, by the order in which it was scheduled. A process that
//! is thawed gets the events of the meantime after its overdue timers, as a real one may.

mod app;
mod host;
mod liars;
mod live;
mod metrics;
mod orders;
mod queue;
mod strangers;
#[cfg(test)]
mod tests;
mod wire;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lasso_core::discovery::{Family, QueryId};
use lasso_core::node::{Command, ConnId, Input, Node, Output};
use lasso_core::time::{Instant, earliest};

use self::queue::Queue;
use self::wire::{Seen, Wire};
use crate::fabric::{Conn, Effect, End, Fabric};
use crate::invariants::{Invariants, Living, Violation};
use crate::record::Record;
use crate::scenario::{Network, NodeId, NodeSpec, Scenario};
use crate::world::FaultId;
use crate::zone::Zone;

/// The wall clock at the start of every run: 24 January 2026, 10:00 UTC, in milliseconds.
pub const EPOCH_MS: u64 = 1_769_248_800_000;
/// The number of ticks of one node at one moment after which it counts as stuck.
const TICKS_AT_ONCE: u32 = 10_000;

/// A scheduled event.
#[derive(Debug)]
enum Event {
    /// A deadline of a node may have arrived.
    Wake(NodeId),
    /// The application of a node may have something to do.
    WakeApp(NodeId),
    /// An arrival for the owner of one end of a connection.
    Arrival {
        conn: Conn,
        end: End,
        what: wire::Arrival,
    },
    /// DNS answers.
    Resolved {
        node: NodeId,
        start: u32,
        query: QueryId,
        family: Family,
        name: String,
    },
    /// The time is over in which a peer that does not read could take the remaining bytes.
    CloseLate { conn: Conn, end: End },
    /// A stranger goes away.
    StrangerLeaves { conn: Conn },
    /// A scheduled action of a liar is due.
    Liar(liars::Turn),
}

/// A process of a node.
#[derive(Debug)]
struct Process {
    node: Node,
    desk: app::Desk,
    /// When it started.
    boot: Instant,
    conns: BTreeMap<ConnId, (Conn, End)>,
    /// When a wake-up is scheduled.
    armed: Option<Instant>,
    next_in: u64,
    paused: bool,
    /// It was told to stop while it was frozen.
    leaves: bool,
    /// The events that arrived while it was frozen.
    backlog: VecDeque<Event>,
}

/// A machine, which may run a process.
#[derive(Debug)]
struct Host {
    spec: NodeSpec,
    process: Option<Box<Process>>,
    /// How often it was started.
    starts: u32,
    clock_offset_ms: i64,
    off: bool,
}

/// Settings of a run that do not change its events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Keep every line of the trace.
    pub keep_trace: bool,
    /// Keep no events and write no lines, for measurements.
    pub quiet: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct DirectWorld {
    seed: u64,
    null_cipher: bool,
    dns_latency: Duration,
    now: Instant,
    queue: Queue<Event>,
    hosts: Vec<Host>,
    /// The hosts that have, or had, an address.
    by_ip: BTreeMap<IpAddr, Vec<NodeId>>,
    fabric: Fabric,
    wire: Wire,
    zone: Zone,
    /// Hosts of strangers, and their addresses.
    strangers: BTreeMap<u32, IpAddr>,
    liars: Vec<liars::Visit>,
    record: Record,
    invariants: Invariants,
    fault: FaultId,
    effects: BTreeMap<FaultId, u64>,
    /// Whether something visible to checks may have changed since the world last stopped.
    changed: bool,
    events_handled: u64,
    // Reused from input to input.
    outputs: Vec<Output>,
    written: Vec<(ConnId, usize)>,
}

impl DirectWorld {
    /// The world of a scenario, before any node has started.
    pub fn new(scenario: &Scenario, seed: u64, options: Options) -> Self {
        Self::with(
            &scenario.nodes,
            &scenario.network,
            scenario.null_cipher,
            seed,
            options,
        )
    }

    /// A world of these nodes and this network.
    pub fn with(
        nodes: &[NodeSpec],
        network: &Network,
        null_cipher: bool,
        seed: u64,
        options: Options,
    ) -> Self {
        let mut fabric = Fabric::new(seed, nodes.len() as u32, network.default.clone());
        for (paths, shape) in &network.rules {
            for path in paths {
                fabric.shape(path.from.0, path.to.0, shape, None);
            }
        }
        let mut record = Record::new(nodes, options.keep_trace);
        if options.quiet {
            record.set_quiet();
        }
        DirectWorld {
            seed,
            null_cipher,
            dns_latency: network.dns_latency,
            now: Instant::ZERO,
            queue: Queue::default(),
            hosts: nodes.iter().map(Host::new).collect(),
            by_ip: BTreeMap::new(),
            fabric,
            wire: Wire::default(),
            zone: Zone::default(),
            strangers: BTreeMap::new(),
            liars: Vec::new(),
            record,
            invariants: Invariants::new(nodes, network, null_cipher, Duration::ZERO),
            fault: FaultId(0),
            effects: BTreeMap::new(),
            changed: false,
            events_handled: 0,
            outputs: Vec::new(),
            written: Vec::new(),
        }
    }

    /// The violations that the invariants found.
    pub fn violations(&self) -> &[Violation] {
        self.invariants.violations()
    }

    /// Checks no invariants, for measurements.
    pub fn watch_nothing(&mut self) {
        self.invariants.watch_nothing();
    }

    /// The machine of a node whose process lives.
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.hosts[node.index()]
            .process
            .as_ref()
            .map(|process| &process.node)
    }

    fn next_due(&self) -> Option<Instant> {
        let network = earliest(self.queue.next_at(), self.fabric.poll_timeout());
        earliest(network, self.invariants.poll_timeout())
    }

    /// Handles the next due event, at `now`.
    fn step(&mut self) {
        if self
            .fabric
            .poll_timeout()
            .is_some_and(|due| due <= self.now)
        {
            self.fabric.advance(self.now);
            self.take_effects();
        } else if self.queue.next_at().is_some_and(|due| due <= self.now) {
            if let Some(event) = self.queue.pop() {
                self.dispatch(event);
            }
        } else {
            self.invariants.advance(
                self.now,
                &Seen {
                    hosts: &self.hosts,
                    wire: &self.wire,
                },
            );
            self.changed = true;
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        let owner = match &event {
            Event::Wake(node) | Event::WakeApp(node) | Event::Resolved { node, .. } => Some(node.0),
            Event::Arrival { conn, end, .. } | Event::CloseLate { conn, end } => {
                self.fabric.host(*conn, *end).map(|(host, _)| host)
            }
            Event::StrangerLeaves { .. } | Event::Liar(_) => None,
        };
        self.queue.push(at, owner.unwrap_or(u32::MAX), event);
    }

    fn take_effects(&mut self) {
        while let Some(effect) = self.fabric.poll_effect() {
            match effect {
                Effect::Connected { conn } => {
                    let what = wire::Arrival::Connected;
                    self.dispatch(Event::Arrival {
                        conn,
                        end: End::Dialler,
                        what,
                    });
                }
                Effect::Arrives {
                    conn,
                    end,
                    chunk,
                    at,
                } => {
                    let what = self.wire.arrival(conn, end, chunk);
                    self.schedule(at, Event::Arrival { conn, end, what });
                }
                Effect::Closed {
                    conn,
                    end,
                    error,
                    at,
                } => {
                    let what = wire::Arrival::Closed(error);
                    self.schedule(at.max(self.now), Event::Arrival { conn, end, what });
                }
                Effect::Room { conn, end } => self.room(conn, end),
            }
        }
    }

    fn dispatch(&mut self, event: Event) {
        let owner = match &event {
            Event::Arrival { conn, end, .. } => {
                let Some((host, _)) = self.fabric.host(*conn, *end) else {
                    return;
                };
                // A stranger's host does not belong to a node.
                ((host as usize) < self.hosts.len()).then_some(NodeId(host))
            }
            Event::Wake(node) | Event::WakeApp(node) | Event::Resolved { node, .. } => Some(*node),
            Event::CloseLate { .. } | Event::StrangerLeaves { .. } | Event::Liar(_) => None,
        };
        if let Some(node) = owner
            && let Some(process) = &mut self.hosts[node.index()].process
            && process.paused
            && !self.wire.is_strangers(&event)
        {
            if !matches!(event, Event::Wake(_) | Event::WakeApp(_)) {
                process.backlog.push_back(event);
            }
            return;
        }
        match event {
            Event::Wake(node) => self.wake(node),
            Event::WakeApp(node) => self.wake_app(node),
            Event::Arrival { conn, end, what } => self.arrive(conn, end, what),
            Event::Resolved {
                node,
                start,
                query,
                family,
                name,
            } => {
                self.resolved(node, start, query, family, &name);
            }
            Event::CloseLate { conn, end } => self.close_late(conn, end),
            Event::StrangerLeaves { conn } => self.stranger_leaves(conn),
            Event::Liar(turn) => self.liar_turn(turn),
        }
    }

    fn wake(&mut self, node: NodeId) {
        let now = self.now;
        let Some(process) = &mut self.hosts[node.index()].process else {
            return;
        };
        if process.armed.is_some_and(|armed| armed <= now) {
            process.armed = None;
        }
        for _ in 0..TICKS_AT_ONCE {
            let Some(process) = &mut self.hosts[node.index()].process else {
                return;
            };
            let own_now = Instant::ZERO + (now - process.boot);
            match process.node.poll_timeout() {
                Some(due) if due <= own_now => self.feed(node, Input::Tick),
                _ => return self.arm(node),
            }
        }
        panic!(
            "{} asks for the same moment for ever",
            self.hosts[node.index()].spec.key
        );
    }

    /// Schedules a wake-up of the node at its next deadline.
    fn arm(&mut self, node: NodeId) {
        let Some(process) = &mut self.hosts[node.index()].process else {
            return;
        };
        let Some(due) = process.node.poll_timeout() else {
            return;
        };
        let at = (process.boot + due.since_start()).max(self.now);
        if process.armed.is_none_or(|armed| at < armed) {
            process.armed = Some(at);
            self.schedule(at, Event::Wake(node));
        }
    }

    /// Gives a node an input, and carries out the outputs of the node and its application.
    fn feed(&mut self, node: NodeId, input: Input) {
        self.give(node, input);
        self.drive_app(node);
    }

    /// Gives a node an input, and carries out its outputs.
    fn give(&mut self, node: NodeId, input: Input) {
        let Some(process) = &mut self.hosts[node.index()].process else {
            return;
        };
        self.events_handled += 1;
        let own_now = Instant::ZERO + (self.now - process.boot);
        let digest = self.record.trace.digest();
        digest.word(self.now.as_nanos() << 10 | u64::from(node.0 & 0x3ff));
        crate::record::digest_input(digest, &input);
        let quiet_input = matches!(
            input,
            Input::Tick
                | Input::Received { .. }
                | Input::Resolved { .. }
                | Input::Command(Command::Plane(_))
        );
        self.changed |= !quiet_input;
        process.node.handle(own_now, input);
        self.carry_out(node, own_now);
        if let Some(process) = &self.hosts[node.index()].process {
            let living = Living {
                node: &process.node,
                boot: process.boot,
                tables: Some(&**process),
            };
            self.invariants.after(self.now, node, &living);
        }
        self.arm(node);
    }

    /// Carries out the outputs of a node, and tells it how many bytes the network took, until there are no more
    /// outputs.
    fn carry_out(&mut self, node: NodeId, own_now: Instant) {
        loop {
            let Some(process) = &mut self.hosts[node.index()].process else {
                return;
            };
            let mut outputs = core::mem::take(&mut self.outputs);
            while let Some(output) = process.node.poll_output() {
                outputs.push(output);
            }
            // The invariants read the state of connections before they are closed.
            for output in &outputs {
                let seen = Seen {
                    hosts: &self.hosts,
                    wire: &self.wire,
                };
                self.invariants.output(self.now, node, output, &seen);
            }
            for output in outputs.drain(..) {
                self.perform(node, output);
            }
            self.outputs = outputs;
            if self.written.is_empty() {
                return;
            }
            let mut written = core::mem::take(&mut self.written);
            if let Some(process) = &mut self.hosts[node.index()].process {
                for (conn, bytes) in written.drain(..) {
                    self.events_handled += 1;
                    process.node.handle(own_now, Input::Written { conn, bytes });
                }
            }
            written.clear();
            self.written = written;
        }
    }

    fn perform(&mut self, node: NodeId, output: Output) {
        self.changed |= !matches!(
            output,
            Output::Send { .. } | Output::Resolve { .. } | Output::Linked { .. } | Output::Plane(_)
        );
        match output {
            Output::Resolve {
                query,
                name,
                family,
            } => {
                let start = self.hosts[node.index()].starts;
                let event = Event::Resolved {
                    node,
                    start,
                    query,
                    family,
                    name,
                };
                self.schedule(self.now + self.dns_latency, event);
            }
            Output::Dial { conn, to } => self.dial(node, conn, to),
            Output::Send { conn, bytes } => self.send(node, conn, bytes),
            Output::Close { conn, reason } => {
                self.record
                    .line(self.now, node, format_args!("closes {conn}: {reason}"));
                self.close(node, conn);
            }
            Output::Event(event) => self.told(node, event),
            Output::Notice(notice) => self.record.notice(self.now, node, notice),
            Output::Linked { .. } => {}
            Output::Plane(output) => self.plane_said(node, output),
            Output::Stopped => self.process_ends(node, host::End::Stopped),
        }
    }

    fn resolved(&mut self, node: NodeId, start: u32, query: QueryId, family: Family, name: &str) {
        let host = &self.hosts[node.index()];
        if host.process.is_none() || host.starts != start {
            return;
        }
        if let Some(answer) = self.zone.answer(node, name, family) {
            let question = (query, family);
            self.invariants.resolved(self.now, node, question, &answer);
            self.feed(
                node,
                Input::Resolved {
                    query,
                    family,
                    answer,
                },
            );
        }
    }

    fn touch(&mut self) {
        *self.effects.entry(self.fault).or_insert(0) += 1;
    }
}
