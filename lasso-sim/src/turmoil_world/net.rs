//! The kernels of the turmoil world: the fabric says when things arrive, this keeps the bytes and
//! wakes the tasks.
//!
//! Turmoil runs the hosts and their time. Its own network carries nothing: it cannot stall a
//! stream, reset one, or accept for a frozen process, and the fabric can, the same way as in the
//! direct world.

use core::cmp::Reverse;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, Bytes};
use lasso_core::node::NetError;
use lasso_core::secure::FIRST_BYTES;
use lasso_core::time::Instant;

use crate::fabric::{Chunk, Conn, Effect, End, Fabric};
use crate::world::FaultId;
use crate::zone::Zone;

/// One side of a connection, as its kernel holds it.
#[derive(Default)]
struct Socket {
    /// On its way to this side, in order.
    on_the_way: VecDeque<Bytes>,
    /// Arrived, not read.
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
    /// Nobody's task: a stranger's.
    stranger: Option<Stay>,
}

/// What a stranger does with one connection.
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
    Data(Conn, End),
    Fin(Conn, End),
    Closed(Conn, End, u8),
    /// A stranger goes away.
    Leave(Conn),
}

/// A machine.
struct Machine {
    ip: IpAddr,
    /// A process is, or was last, on it; else its address leads to whoever has it now.
    running: bool,
}

/// Everything that the hosts share.
pub(super) struct Kernels {
    pub(super) fabric: Fabric,
    pub(super) zone: Zone,
    /// The tick that has begun, on the world's clock.
    pub(super) now: Instant,
    /// By number of the fabric: the nodes', then strangers'.
    machines: Vec<Machine>,
    sockets: BTreeMap<(Conn, End), Socket>,
    /// The port from which each connection comes.
    ports: BTreeMap<Conn, u16>,
    listening: BTreeMap<(u32, u16), Listening>,
    /// By host, the first bytes of the last connection that a node dialled to it.
    openings: BTreeMap<u32, Bytes>,
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
            next_port: FIRST_PORT,
            due: BinaryHeap::new(),
            sequence: 0,
            effects: BTreeMap::new(),
        }
    }

    /// The host at an address: one whose process runs, else any that is there.
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

    /// How often the orders of a fault have touched something.
    pub(super) fn effects(&self, fault: FaultId) -> u64 {
        let own = self.effects.get(&fault).copied().unwrap_or(0);
        own + self.fabric.effects_of(fault) + self.zone.effects(fault)
    }

    /// The present moment for the task that runs: time goes on within a tick.
    fn moment(&self) -> Instant {
        let elapsed = turmoil::sim_elapsed().map(|elapsed| Instant::ZERO + elapsed);
        elapsed.unwrap_or(self.now).max(self.now)
    }

    /// Begins a tick at `now`: what has arrived by then is there, and who waits for it is woken.
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

    /// Carries out what the fabric says.
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
                        Chunk::Data(_) => Due::Data(conn, end),
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
            Due::Data(conn, end) => {
                if let Some(socket) = self.sockets.get_mut(&(conn, end)) {
                    socket.arrived.extend(socket.on_the_way.pop_front());
                    wake(&mut socket.reader);
                }
            }
            Due::Fin(conn, end) => {
                if let Some(socket) = self.sockets.get_mut(&(conn, end)) {
                    socket.ended = true;
                    wake(&mut socket.reader);
                }
            }
            Due::Closed(conn, end, error) => {
                let Some(socket) = self.sockets.get_mut(&(conn, end)) else {
                    return;
                };
                socket.error = Some(ERRORS[usize::from(error)]);
                wake(&mut socket.reader);
                wake(&mut socket.writer);
                self.fabric.finish(conn, end);
                if socket.stranger.is_some() {
                    self.sockets.remove(&(conn, end));
                    self.tidy(conn);
                }
            }
            Due::Leave(conn) => self.close(conn, End::Dialler),
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

    pub(super) fn listen(&mut self, host: u32, port: u16) -> io::Result<()> {
        if self.listening.contains_key(&(host, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.fabric.listen(host, port);
        self.listening.insert((host, port), Listening::default());
        Ok(())
    }

    pub(super) fn stop_listening(&mut self, host: u32, port: u16) {
        let Some(listening) = self.listening.remove(&(host, port)) else {
            return;
        };
        self.fabric.unlisten(host, port);
        for (conn, _) in listening.queue {
            self.close(conn, End::Acceptor);
        }
    }

    pub(super) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        to: (u32, u16),
    ) -> Poll<io::Result<(Conn, SocketAddr)>> {
        let Some(listening) = self.listening.get_mut(&to) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Some(accepted) = listening.queue.pop_front() {
            return Poll::Ready(Ok(accepted));
        }
        listening.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Connects from a host; `None` where no machine has the address.
    pub(super) fn connect(&mut self, from: u32, to: SocketAddr) -> Option<Conn> {
        let target = self.host_at(to.ip())?;
        Some(self.connect_host(from, target, to.port(), None))
    }

    fn connect_host(&mut self, from: u32, to: u32, port: u16, stranger: Option<Stay>) -> Conn {
        let now = self.moment();
        let conn = self.fabric.connect(now, from, to, port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        self.ports.insert(conn, self.next_port);
        self.sockets.insert(
            (conn, End::Dialler),
            Socket {
                stranger,
                ..Socket::default()
            },
        );
        self.sockets
            .insert((conn, End::Acceptor), Socket::default());
        self.take_effects();
        conn
    }

    /// A stranger connects to a host.
    pub(super) fn admit(&mut self, from: IpAddr, to: (u32, u16), stay: Stay) {
        let known = self.machines.iter().position(|machine| machine.ip == from);
        let from = known.map_or_else(
            || {
                self.machines.push(Machine {
                    ip: from,
                    running: false,
                });
                self.fabric.add_host()
            },
            |host| host as u32,
        );
        self.connect_host(from, to.0, to.1, Some(stay));
    }

    /// What the last node that dialled a host said first.
    pub(super) fn opening(&self, host: u32) -> Option<Bytes> {
        self.openings.get(&host).cloned()
    }

    pub(super) fn poll_connected(
        &mut self,
        cx: &mut Context<'_>,
        conn: Conn,
    ) -> Poll<io::Result<()>> {
        let Some(socket) = self.sockets.get_mut(&(conn, End::Dialler)) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Some(error) = socket.error {
            return Poll::Ready(Err(kind(error).into()));
        }
        if socket.connected {
            return Poll::Ready(Ok(()));
        }
        socket.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        (conn, end): (Conn, End),
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = self.sockets.get_mut(&(conn, end)) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if let Some(error) = socket.error {
            return Poll::Ready(Err(kind(error).into()));
        }
        if end == End::Dialler && !socket.spoke && socket.stranger.is_none() {
            socket.spoke = true;
            if let Some((target, _)) = self.fabric.host(conn, End::Acceptor) {
                let opening = &bytes[..bytes.len().min(FIRST_BYTES)];
                self.openings
                    .insert(target, Bytes::copy_from_slice(opening));
            }
        }
        let taken = self.send((conn, end), bytes);
        if taken > 0 || bytes.is_empty() {
            return Poll::Ready(Ok(taken));
        }
        if let Some(socket) = self.sockets.get_mut(&(conn, end)) {
            socket.writer = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Hands to the kernel what it has room for; returns how much.
    fn send(&mut self, (conn, end): (Conn, End), bytes: &[u8]) -> usize {
        let offered = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if offered == 0 {
            return 0;
        }
        let now = self.moment();
        let sent = self.fabric.write(now, conn, end, offered);
        let taken = sent.bytes as usize;
        if taken > 0 {
            if let Some(other) = self.sockets.get_mut(&(conn, end.other())) {
                other
                    .on_the_way
                    .push_back(Bytes::copy_from_slice(&bytes[..taken]));
            }
            if let Some(at) = sent.arrives {
                self.schedule(at, Due::Data(conn, end.other()));
            }
        }
        self.take_effects();
        taken
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        (conn, end): (Conn, End),
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(socket) = self.sockets.get_mut(&(conn, end)) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Some(first) = socket.arrived.front_mut() {
            let count = first.len().min(into.remaining());
            into.put_slice(&first[..count]);
            first.advance(count);
            if first.is_empty() {
                socket.arrived.pop_front();
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = socket.error {
            return Poll::Ready(Err(kind(error).into()));
        }
        if socket.ended {
            return Poll::Ready(Ok(()));
        }
        socket.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The process closes its side: what it wrote still goes out.
    pub(super) fn close(&mut self, conn: Conn, end: End) {
        if self.sockets.remove(&(conn, end)).is_none() {
            return;
        }
        let now = self.moment();
        if let Some(at) = self.fabric.close(now, conn, end) {
            self.schedule(at, Due::Fin(conn, end.other()));
        }
        self.take_effects();
        self.tidy(conn);
    }

    fn tidy(&mut self, conn: Conn) {
        let gone = |end| !self.sockets.contains_key(&(conn, end));
        if gone(End::Dialler) && gone(End::Acceptor) || !self.fabric.is_live(conn) {
            self.ports.remove(&conn);
            self.sockets.remove(&(conn, End::Dialler));
            self.sockets.remove(&(conn, End::Acceptor));
        }
    }

    /// The process of a host is gone: its kernel closes what it had, in order, or, where the whole
    /// machine is off, forgets it.
    pub(super) fn process_gone(&mut self, host: u32, silently: bool) {
        self.machines[host as usize].running = false;
        let of_host = |&(conn, end): &(Conn, End)| {
            let socket = &self.sockets[&(conn, end)];
            let own = socket.stranger.is_none() && (end == End::Dialler || socket.connected);
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
                // A process that did not read all that had come leaves a kernel that resets.
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

fn kind(error: NetError) -> io::ErrorKind {
    match error {
        NetError::Eof => io::ErrorKind::UnexpectedEof,
        NetError::Reset => io::ErrorKind::ConnectionReset,
        NetError::Refused => io::ErrorKind::ConnectionRefused,
        NetError::Unreachable => io::ErrorKind::HostUnreachable,
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
