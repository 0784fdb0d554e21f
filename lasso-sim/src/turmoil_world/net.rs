//! The kernels of the turmoil world: the fabric decides when bytes arrive; this module keeps the bytes and
//! wakes the tasks.
//!
//! Turmoil runs the hosts and their time. Its own network carries nothing: it cannot stall a stream, reset one,
//! or accept for a frozen process. The fabric can, in the same way as in the direct world.

mod liars;
mod sockets;

use core::cmp::Reverse;
use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use lasso_core::node::NetError;
use lasso_core::time::Instant;

use crate::fabric::{Chunk, Conn, Effect, End, Fabric, take_bytes};
use crate::world::FaultId;
use crate::zone::Zone;

/// One side of a connection in its kernel.
#[derive(Default)]
struct Socket {
    /// Bytes on their way to this side, in order.
    on_the_way: VecDeque<Bytes>,
    /// Bytes that have arrived and are not read.
    arrived: VecDeque<Bytes>,
    /// The stream has ended.
    ended: bool,
    error: Option<NetError>,
    /// The connect has succeeded.
    connected: bool,
    /// Something was written here.
    spoke: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// A stranger's socket, which has no task.
    stranger: Option<Stay>,
    /// A lying member's socket, which has no task.
    lies: Option<liars::Lies>,
}

impl Socket {
    /// Whether it belongs to no node, so that no process reads it.
    fn is_foreign(&self) -> bool {
        self.stranger.is_some() || self.lies.is_some()
    }
}

/// The behaviour of a stranger on one connection.
#[derive(Clone)]
pub(super) struct Stay {
    pub(super) fault: FaultId,
    pub(super) opening: Bytes,
    pub(super) leaves_after: Option<Duration>,
}

/// A listening socket.
#[derive(Default)]
struct Listening {
    queue: VecDeque<(Conn, SocketAddr)>,
    acceptor: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Accept(Conn),
    Data(Conn, End, u32),
    Fin(Conn, End),
    Closed(Conn, End, u8),
    /// A stranger goes away.
    Leave(Conn),
    /// A liar connects again.
    LiarDials(u32),
    /// A liar may lie.
    LiarWakes(Conn),
}

/// A machine.
struct Machine {
    ip: IpAddr,
    /// Whether a process runs, or last ran, on it; else its address belongs to another machine now.
    running: bool,
}

/// The shared state of all hosts.
pub(super) struct Kernels {
    pub(super) fabric: Fabric,
    pub(super) zone: Zone,
    /// The tick that has begun, on the world's clock.
    pub(super) now: Instant,
    /// By number in the fabric: those of the nodes, then those of strangers.
    machines: Vec<Machine>,
    sockets: BTreeMap<(Conn, End), Socket>,
    /// The source port of each connection.
    ports: BTreeMap<Conn, u16>,
    listening: BTreeMap<(u32, u16), Listening>,
    /// By host, the first bytes of the last connection that a node dialled to it.
    openings: BTreeMap<u32, Bytes>,
    liars: Vec<liars::Visit>,
    next_port: u16,
    due: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    sequence: u64,
    effects: BTreeMap<FaultId, u64>,
}

impl Kernels {
    pub(super) fn new(fabric: Fabric, ips: impl Iterator<Item = IpAddr>) -> Self {
        Kernels {
            fabric,
            zone: Zone::default(),
            now: Instant::ZERO,
            machines: ips.map(|ip| Machine { ip, running: false }).collect(),
            sockets: BTreeMap::new(),
            ports: BTreeMap::new(),
            listening: BTreeMap::new(),
            openings: BTreeMap::new(),
            liars: Vec::new(),
            next_port: FIRST_PORT,
            due: BinaryHeap::new(),
            sequence: 0,
            effects: BTreeMap::new(),
        }
    }

    /// The host at an address: one whose process runs, else any host with it.
    fn host_at(&self, ip: IpAddr) -> Option<u32> {
        let there = || {
            self.machines
                .iter()
                .enumerate()
                .filter(move |(_, m)| m.ip == ip)
        };
        let host = there()
            .find(|(_, machine)| machine.running)
            .or_else(|| there().next())?;
        Some(host.0 as u32)
    }

    /// A process starts or ends on a host, at this address.
    pub(super) fn set_running(&mut self, host: u32, ip: IpAddr, running: bool) {
        self.machines[host as usize] = Machine { ip, running };
    }

    pub(super) fn touch(&mut self, fault: FaultId) {
        *self.effects.entry(fault).or_insert(0) += 1;
    }

    /// How often the orders of a fault have taken effect.
    pub(super) fn effects(&self, fault: FaultId) -> u64 {
        let own = self.effects.get(&fault).copied().unwrap_or(0);
        own + self.fabric.effects_of(fault) + self.zone.effects(fault)
    }

    /// The present moment for the running task: time passes within a tick.
    fn moment(&self) -> Instant {
        let elapsed = turmoil::sim_elapsed().map(|elapsed| Instant::ZERO + elapsed);
        elapsed.unwrap_or(self.now).max(self.now)
    }

    /// Begins a tick at `now`: bytes that have arrived by then are available, and waiting tasks are woken.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = now;
        self.fabric.advance(now);
        self.take_effects();
        while let Some(Reverse((at, ..))) = self.due.peek()
            && *at <= now
        {
            if let Some(Reverse((_, _, due))) = self.due.pop() {
                self.happen(due);
            }
        }
    }

    /// Carries out the effects of the fabric.
    pub(super) fn take_effects(&mut self) {
        while let Some(effect) = self.fabric.poll_effect() {
            match effect {
                Effect::Connected { conn } => self.connected(conn),
                Effect::Arrives {
                    conn,
                    end,
                    chunk,
                    at,
                } => {
                    let due = match chunk {
                        Chunk::Accept => Due::Accept(conn),
                        Chunk::Data(bytes) => Due::Data(conn, end, bytes),
                        Chunk::Fin => Due::Fin(conn, end),
                    };
                    self.schedule(at, due);
                }
                Effect::Closed {
                    conn,
                    end,
                    error,
                    at,
                } => {
                    self.schedule(at, Due::Closed(conn, end, error as u8));
                }
                Effect::Room { conn, end } => {
                    if let Some(socket) = self.sockets.get_mut(&(conn, end)) {
                        wake(&mut socket.writer);
                        if socket.lies.is_some() {
                            self.liar_speaks(conn);
                        }
                    }
                }
            }
        }
    }

    fn connected(&mut self, conn: Conn) {
        if let Some(socket) = self.sockets.get_mut(&(conn, End::Acceptor)) {
            socket.connected = true;
        }
        let Some(socket) = self.sockets.get_mut(&(conn, End::Dialler)) else {
            return;
        };
        socket.connected = true;
        wake(&mut socket.writer);
        if socket.lies.is_some() {
            return self.liar_connected(conn);
        }
        if let Some(stay) = socket.stranger.clone() {
            self.touch(stay.fault);
            // An opening is far smaller than the buffer of an empty socket.
            self.send((conn, End::Dialler), &stay.opening);
            if let Some(after) = stay.leaves_after {
                self.schedule(self.now + after, Due::Leave(conn));
            }
        }
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((at, self.sequence, due)));
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Accept(conn) => self.accepted(conn),
            Due::Data(conn, end, length) => {
                // No process reads bytes that arrive after a reset.
                if let Some(socket) = self.sockets.get_mut(&(conn, end))
                    && socket.error.is_none()
                {
                    let bytes = take_bytes(&mut socket.on_the_way, length as usize);
                    socket.arrived.extend(bytes);
                    wake(&mut socket.reader);
                    if socket.lies.is_some() {
                        self.liar_hears(conn);
                    }
                }
            }
            Due::Fin(conn, end) => {
                if let Some(socket) = self.sockets.get_mut(&(conn, end))
                    && socket.error.is_none()
                {
                    socket.ended = true;
                    wake(&mut socket.reader);
                    if socket.lies.is_some() {
                        self.liar_is_gone(conn);
                        self.close(conn, end);
                    }
                }
            }
            Due::Closed(conn, end, error) => {
                let Some(socket) = self.sockets.get_mut(&(conn, end)) else {
                    return;
                };
                socket.error = Some(ERRORS[usize::from(error)]);
                wake(&mut socket.reader);
                wake(&mut socket.writer);
                let foreign = socket.is_foreign();
                self.fabric.finish(conn, end);
                if foreign {
                    self.liar_is_gone(conn);
                    self.sockets.remove(&(conn, end));
                    self.tidy(conn);
                }
            }
            Due::Leave(conn) => self.close(conn, End::Dialler),
            Due::LiarDials(number) => self.liar_dials(number),
            Due::LiarWakes(conn) => self.liar_wakes(conn),
        }
    }

    fn accepted(&mut self, conn: Conn) {
        let Some((from, _)) = self.fabric.host(conn, End::Dialler) else {
            return;
        };
        let Some(to) = self.fabric.host(conn, End::Acceptor) else {
            return;
        };
        let Some(port) = self.ports.get(&conn) else {
            return;
        };
        let from = SocketAddr::new(self.machines[from as usize].ip, *port);
        if let Some(listening) = self.listening.get_mut(&to) {
            listening.queue.push_back((conn, from));
            wake(&mut listening.acceptor);
        }
    }

    fn tidy(&mut self, conn: Conn) {
        let gone = |end| !self.sockets.contains_key(&(conn, end));
        if gone(End::Dialler) && gone(End::Acceptor) || !self.fabric.is_live(conn) {
            self.ports.remove(&conn);
            self.sockets.remove(&(conn, End::Dialler));
            self.sockets.remove(&(conn, End::Acceptor));
        }
    }

    /// The process of a host is gone: its kernel closes its sockets, in order, or forgets them if the whole
    /// machine is off.
    pub(super) fn process_gone(&mut self, host: u32, silently: bool) {
        self.machines[host as usize].running = false;
        let of_host = |&(conn, end): &(Conn, End)| {
            let socket = &self.sockets[&(conn, end)];
            let own = !socket.is_foreign() && (end == End::Dialler || socket.connected);
            own && self
                .fabric
                .host(conn, end)
                .is_some_and(|(at, _)| at == host)
        };
        let own: Vec<(Conn, End)> = self.sockets.keys().copied().filter(of_host).collect();
        let ports: Vec<u16> = self
            .listening
            .keys()
            .filter(|(at, _)| *at == host)
            .map(|(_, port)| *port)
            .collect();
        for port in ports {
            if silently {
                self.listening.remove(&(host, port));
            } else {
                self.stop_listening(host, port);
            }
        }
        for (conn, end) in own {
            let Some(socket) = self.sockets.get(&(conn, end)) else {
                continue;
            };
            if silently {
                self.sockets.remove(&(conn, end));
            } else if socket.arrived.is_empty() {
                self.close(conn, end);
            } else {
                // If a process has not read all its bytes, its kernel resets the connection.
                self.sockets.remove(&(conn, end));
                self.fabric.abort(self.now, conn, end);
                self.take_effects();
                self.tidy(conn);
            }
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// In the order of their numbers.
const ERRORS: [NetError; 4] = [
    NetError::Eof,
    NetError::Reset,
    NetError::Refused,
    NetError::Unreachable,
];
/// Where ephemeral ports begin on Linux.
const FIRST_PORT: u16 = 32_768;
