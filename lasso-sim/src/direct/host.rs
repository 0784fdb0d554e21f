//! Machines and their processes: start, end, freeze.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lasso_core::node::{Command, Input, Node};
use lasso_core::time::Instant;

use super::app::Desk;
use super::live::LiveDesk;
use super::metrics::MetricsDesk;
use super::wire::Arrival;
use super::{DirectWorld, EPOCH_MS, Event, Host, Process};
use crate::coverage::Life;
use crate::fabric;
use crate::invariants::{TableSizes, Tables};
use crate::scenario::{NodeId, NodeSpec};
use crate::seed::{self, Purpose};
use crate::world::{FaultId, Refusal};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has said goodbye.
    Stopped,
    /// Its process dies, and its kernel closes its connections.
    Crashed,
    /// Its machine loses power.
    Vanished,
}

impl Host {
    pub(super) fn new(spec: &NodeSpec) -> Self {
        Host {
            spec: spec.clone(),
            process: None,
            starts: 0,
            clock_offset_ms: spec.clock_offset_ms,
            off: false,
        }
    }

    /// Its wall clock, in milliseconds since 1970.
    pub(super) fn unix_ms(&self, now: Instant) -> u64 {
        let clock = EPOCH_MS + now.as_nanos() / 1_000_000;
        clock.saturating_add_signed(self.clock_offset_ms)
    }
}

impl Tables for Process {
    fn sizes(&self) -> TableSizes {
        let (keys, series) = self.desk.metrics.sizes();
        TableSizes {
            live: self.desk.live.sizes(),
            keys,
            series,
        }
    }
}

impl Process {
    /// The counters of its machines.
    pub(super) fn life(&self) -> Life<'_> {
        let (store, recorder) = self.desk.metrics.counters();
        Life {
            node: &self.node,
            events: self.desk.live.counters(),
            store,
            recorder,
        }
    }
}

impl DirectWorld {
    pub(super) fn start_process(&mut self, node: NodeId, spec: &NodeSpec) -> Result<(), Refusal> {
        let host = &mut self.hosts[node.index()];
        if host.process.is_some() {
            return Err(Refusal::Senseless(format!("`{}` runs already", spec.key)));
        }
        host.spec = spec.clone();
        host.starts += 1;
        let starts = u64::from(host.starts);
        let wall = host.unix_ms(self.now);
        let seed = seed::derived(self.seed, Purpose::Process, u64::from(node.0), starts);
        let machine = Node::new(spec.config(self.null_cipher), seed, wall)
            .map_err(|error| Refusal::Senseless(format!("`{}`: {error}", spec.key)))?;
        let app = seed::derived(self.seed, Purpose::App, u64::from(node.0), starts);
        host.process = Some(Box::new(Process {
            node: machine,
            desk: Desk::new(
                app,
                LiveDesk::new(&spec.settings, seed),
                MetricsDesk::new(&spec.settings.metrics),
            ),
            boot: self.now,
            conns: BTreeMap::new(),
            armed: None,
            next_in: 0,
            paused: false,
            leaves: false,
            backlog: VecDeque::new(),
        }));
        let there = self.by_ip.entry(spec.host).or_default();
        if !there.contains(&node) {
            there.push(node);
        }
        // A node that had this address before and is off has no machine any more: this one answers.
        for other in there.clone() {
            if self.hosts[other.index()].off && self.hosts[other.index()].spec.host == spec.host {
                self.hosts[other.index()].off = false;
                self.fabric.power_on(self.now, other.0);
            }
        }
        let address = SocketAddr::new(spec.host, spec.address.port());
        self.fabric.listen(node.0, address.port());
        self.zone.set(&spec.dns_name(), node, Some(address));
        self.invariants.started(self.now, node, spec, wall);
        self.record.new_life(node);
        self.record.line(
            self.now,
            node,
            format_args!("starts as {} incarnation {wall}", spec.name()),
        );
        self.touch();
        self.changed = true;
        self.take_effects();
        self.arm(node);
        self.drive_app(node);
        if spec.ready {
            self.feed(node, Input::Command(Command::SetReady(true)));
        }
        Ok(())
    }

    /// A running process, frozen or not.
    pub(super) fn process(&mut self, node: NodeId) -> Result<&mut Process, Refusal> {
        let host = &mut self.hosts[node.index()];
        let key = &host.spec.key;
        host.process
            .as_deref_mut()
            .ok_or_else(|| Refusal::Senseless(format!("`{key}` does not run")))
    }

    pub(super) fn command(&mut self, node: NodeId, command: Command) -> Result<(), Refusal> {
        let process = self.process(node)?;
        if process.paused {
            let key = &self.hosts[node.index()].spec.key;
            return Err(Refusal::Senseless(format!("`{key}` is paused")));
        }
        self.touch();
        self.feed(node, Input::Command(command));
        Ok(())
    }

    pub(super) fn process_ends(&mut self, node: NodeId, how: End) {
        let host = &mut self.hosts[node.index()];
        let Some(mut process) = host.process.take() else {
            return;
        };
        let (now, paused) = (self.now, process.paused);
        let (port, name) = (host.spec.address.port(), host.spec.dns_name());
        self.record.reached.life_ends(&process.life());
        self.fabric.unlisten(node.0, port);
        self.zone.set(&name, node, None);
        self.record
            .line(now, node, format_args!("is gone: {how:?}"));
        self.invariants.ended(now, node, how == End::Vanished);
        self.changed = true;
        if how == End::Vanished {
            for (conn, end) in process.conns.values() {
                self.wire.remove(*conn, *end);
            }
            self.hosts[node.index()].off = true;
            self.fabric.power_off(now, node.0, self.fault);
            return self.take_effects();
        }
        // If a process has not read all its bytes, its kernel resets the connection.
        let unread: Vec<_> = process.backlog.drain(..).filter_map(unread).collect();
        for (conn, end) in process.conns.values() {
            if unread.contains(&(*conn, *end)) {
                self.wire.remove(*conn, *end);
                self.fabric.abort(now, *conn, *end);
            } else if how == End::Crashed {
                self.close_socket(*conn, *end);
            }
        }
        for (conn, end) in unread {
            self.fabric.abort(now, conn, end);
        }
        if paused {
            self.fabric.thaw(now, node.0);
        }
        self.take_effects();
    }

    /// Tells a process to stop. A frozen one handles that when it is thawed.
    pub(super) fn stop_process(&mut self, node: NodeId) -> Result<(), Refusal> {
        let within = self.leaves_within(node);
        let process = self.process(node)?;
        if !process.paused {
            return self.command(node, Command::Leave { within });
        }
        process.leaves = true;
        self.touch();
        Ok(())
    }

    fn leaves_within(&self, node: NodeId) -> Duration {
        self.hosts[node.index()].spec.settings.leave.within
    }

    pub(super) fn pause_process(&mut self, node: NodeId) -> Result<(), Refusal> {
        let process = self.process(node)?;
        if process.paused {
            let key = &self.hosts[node.index()].spec.key;
            return Err(Refusal::Senseless(format!("`{key}` is paused already")));
        }
        process.paused = true;
        self.fabric.freeze(self.now, node.0);
        self.invariants.paused(node);
        self.record.line(self.now, node, format_args!("is frozen"));
        self.touch();
        Ok(())
    }

    pub(super) fn resume_process(&mut self, node: NodeId) -> Result<(), Refusal> {
        let process = self.process(node)?;
        if !process.paused {
            let key = &self.hosts[node.index()].spec.key;
            return Err(Refusal::Senseless(format!("`{key}` is not paused")));
        }
        process.paused = false;
        let backlog = core::mem::take(&mut process.backlog);
        self.fabric.thaw(self.now, node.0);
        self.invariants.resumed(self.now, node);
        self.record.line(self.now, node, format_args!("goes on"));
        self.touch();
        self.changed = true;
        // Its timers may run first: a runtime promises no order between them and its sockets.
        if let Some(process) = &mut self.hosts[node.index()].process {
            process.armed = None;
            process.desk.disarm();
        }
        self.wake(node);
        self.wake_app(node);
        for event in backlog {
            self.dispatch(event);
        }
        let process = self.hosts[node.index()].process.as_ref();
        let conns = process.map(|process| process.conns.values().copied().collect());
        let conns: Vec<_> = conns.unwrap_or_default();
        conns
            .into_iter()
            .for_each(|(conn, end)| self.room(conn, end));
        let process = self.hosts[node.index()].process.as_mut();
        if process.is_some_and(|process| core::mem::take(&mut process.leaves)) {
            let within = self.leaves_within(node);
            self.feed(node, Input::Command(Command::Leave { within }));
        }
        self.take_effects();
        Ok(())
    }

    /// How often the orders of a fault have taken effect.
    pub(super) fn effects_of(&self, fault: FaultId) -> u64 {
        let own = self.effects.get(&fault).copied().unwrap_or(0);
        own + self.fabric.effects_of(fault) + self.zone.effects(fault)
    }

    /// The host at an address: one whose process listens there, else any host with it.
    pub(super) fn host_at(&self, address: SocketAddr) -> Option<NodeId> {
        let there = self.by_ip.get(&address.ip())?;
        let is_there = |node: &&NodeId| self.hosts[node.index()].spec.host == address.ip();
        let runs = |node: &&NodeId| self.hosts[node.index()].process.is_some();
        let mut candidates = there.iter().filter(is_there);
        candidates
            .clone()
            .find(runs)
            .or_else(|| candidates.next())
            .copied()
    }
}

/// The connection of an undelivered event.
fn unread(event: Event) -> Option<(fabric::Conn, fabric::End)> {
    match event {
        Event::Arrival {
            conn,
            end,
            what: Arrival::Data(_) | Arrival::Accepted,
        } => Some((conn, end)),
        _ => None,
    }
}
