//! The network of a simulation: the effects of TCP over a faulty network on connections, as one machine without
//! IO and without bytes. Worlds keep the bytes and ask it whether and when they arrive.
//!
//! It behaves as Linux does:
//!
//! 1. A stream never has holes. While a path is cut, bytes wait, and after the heal they arrive
//!    when the sender's kernel tries again: 200 ms after the first lost write, doubling. So does
//!    the end of a stream.
//! 2. A connect sends its first packet after 0, 1, 3, 7, 15, … seconds, and succeeds when both
//!    directions are open at such a moment.
//! 3. A connection needs both directions. If one is cut, a burst still gets through the other, and then
//!    nothing, because acknowledgements are lost.
//! 4. A kernel outlives its process: it accepts connections for a frozen one and buffers arriving bytes, up to
//!    [`BUFFER_BYTES`]; it closes the connections of a dead one. A machine without power sends nothing, and one
//!    that is on again resets connections that it does not know.
//! 5. On a path with a bandwidth, a stream's bytes leave its kernel packet by packet, and streams take turns: a
//!    long write arrives gradually, and delays no other connection.
//!
//! It leaves out congestion control, delayed acknowledgements, tail loss probes and keepalive.
//!
//! Each directed link draws from a generator of its own, so that a fault on one link changes no
//! other. Effects are counted by [`FaultId`].

mod connect;
mod faults;
mod line;
mod link;
mod stream;
#[cfg(test)]
mod tests;
mod words;

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use lasso_core::node::NetError;
use lasso_core::time::Instant;

use self::link::Link;
pub use self::stream::BUFFER_BYTES;
use self::stream::{Flight, Stall, Stream};
pub(crate) use self::words::take_bytes;
pub use self::words::{Chunk, Conn, Effect, End, Sent};
use crate::scenario::Shape;
use crate::world::FaultId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The dialler's kernel sends its first packet, for the n-th time.
    Syn(Conn, u32),
    /// It arrives.
    SynArrives(Conn),
    /// The answer to it arrives.
    Established(Conn),
    /// The dialler learns that its connect was refused.
    Refused(Conn),
    /// A stalled stream retransmits.
    Retry(Conn, End, u64),
    /// A full stream may have room.
    Room(Conn, End),
    /// A link with a bandwidth has sent a packet, and can send the next one.
    Line(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No answer yet. `held`: a first packet waits in the network.
    Connecting {
        held: bool,
    },
    Established,
}

#[derive(Debug)]
struct Connection {
    hosts: [u32; 2],
    port: u16,
    phase: Phase,
    /// A path forgot it: nothing gets through any more.
    forgotten: bool,
    /// No socket exists any more: closed, aborted, or its machine lost power.
    gone: [bool; 2],
    /// This side will not query the connection again.
    done: [bool; 2],
    /// The stream of each side.
    streams: [Stream; 2],
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    conn: Option<Box<Connection>>,
}

#[derive(Debug, Default)]
struct Host {
    listening: BTreeSet<u16>,
    frozen: bool,
    /// The fault that turned the machine off, if it is off.
    off: Option<FaultId>,
}

/// The network: hosts, one link per direction and pair, and the connections on them.
#[derive(Debug)]
pub struct Fabric {
    seed: u64,
    default_shape: Shape,
    hosts: Vec<Host>,
    links: Vec<Link>,
    by_pair: BTreeMap<(u32, u32), u32>,
    conns: Vec<Slot>,
    free: Vec<u32>,
    timers: BinaryHeap<Reverse<(Instant, u64, Timer)>>,
    sequence: u64,
    effects: VecDeque<Effect>,
    touched: BTreeMap<FaultId, u64>,
}

impl Fabric {
    /// A network of `hosts` hosts, numbered from 0, whose links have `shape`.
    pub fn new(seed: u64, hosts: u32, shape: Shape) -> Self {
        Fabric {
            seed,
            default_shape: shape,
            hosts: (0..hosts).map(|_| Host::default()).collect(),
            links: Vec::new(),
            by_pair: BTreeMap::new(),
            conns: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
            sequence: 0,
            effects: VecDeque::new(),
            touched: BTreeMap::new(),
        }
    }

    /// Adds a host; returns its number.
    pub fn add_host(&mut self) -> u32 {
        self.hosts.push(Host::default());
        self.hosts.len() as u32 - 1
    }

    /// Connects to `port` of host `to`. Ends in [`Effect::Connected`] or [`Effect::Closed`], or hangs
    /// until [`Fabric::close`].
    pub fn connect(&mut self, now: Instant, from: u32, to: u32, port: u16) -> Conn {
        let (link, back) = (self.link(from, to), self.link(to, from));
        let connection = Connection {
            hosts: [from, to],
            port,
            phase: Phase::Connecting { held: false },
            forgotten: false,
            gone: [false; 2],
            done: [false; 2],
            streams: [Stream::new(link, back), Stream::new(back, link)],
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.conns.push(Slot::default());
            self.conns.len() as u32 - 1
        });
        let slot = &mut self.conns[index as usize];
        slot.conn = Some(Box::new(connection));
        let conn = Conn {
            index,
            generation: slot.generation,
        };
        self.arm(now, Timer::Syn(conn, 0));
        conn
    }

    /// Writes `bytes` bytes; the kernel takes as many as it has room for.
    pub fn write(&mut self, now: Instant, conn: Conn, end: End, bytes: u32) -> Sent {
        let Some(connection) = self.connection(conn) else {
            return Sent {
                bytes,
                arrives: Some(Instant::FAR_FUTURE),
            };
        };
        let stream = &mut connection.streams[end as usize];
        let taken = stream.room(now).min(bytes);
        if taken < bytes && !stream.writer_waits {
            stream.writer_waits = true;
            self.await_room(now, conn, end);
        }
        if taken == 0 {
            return Sent {
                bytes: 0,
                arrives: None,
            };
        }
        Sent {
            bytes: taken,
            arrives: self.send(now, conn, end, Chunk::Data(taken)),
        }
    }

    /// The process at `end` closes the connection: its written bytes are still sent, then the end of the
    /// stream. This arrives at the other side at the returned moment or, if that is `None`, with an [`Effect`].
    /// Bytes that were not read are lost. Gives up a connect that is under way.
    pub fn close(&mut self, now: Instant, conn: Conn, end: End) -> Option<Instant> {
        let connection = self.connection(conn)?;
        if connection.gone[end as usize] {
            return None;
        }
        if connection.phase != Phase::Established {
            self.release(conn);
            return None;
        }
        connection.gone[end as usize] = true;
        let arrives = self.send(now, conn, end, Chunk::Fin);
        self.finish(conn, end);
        arrives
    }

    /// The kernel at `end` resets the connection, as it does for a dead process with unread bytes.
    pub fn abort(&mut self, now: Instant, conn: Conn, end: End) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        if connection.phase != Phase::Established {
            self.release(conn);
            return;
        }
        connection.gone[end as usize] = true;
        let forgotten = connection.forgotten;
        let stream = &mut connection.streams[end as usize];
        // Bytes that have not left the kernel are dropped; those that have left precede the reset.
        stream.line.clear();
        let (last_arrival, link) = (stream.last_arrival, stream.link as usize);
        let link = &self.links[link];
        if link.open && !forgotten {
            let at = last_arrival.max(now + link.typical());
            self.effects.push_back(Effect::Closed {
                conn,
                end: end.other(),
                error: NetError::Reset,
                at,
            });
        } else if let Some(fault) = link.fault() {
            self.touch(fault);
        }
        self.finish(conn, end);
    }

    /// `end` knows that the connection is over, or will not query it again.
    pub fn finish(&mut self, conn: Conn, end: End) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        connection.gone[end as usize] = true;
        connection.done[end as usize] = true;
        if connection.done == [true; 2] || connection.phase != Phase::Established {
            self.release(conn);
        }
    }

    /// Whether either side may still use the connection.
    pub fn is_live(&self, conn: Conn) -> bool {
        let slot = self.conns.get(conn.index as usize);
        slot.is_some_and(|slot| slot.generation == conn.generation && slot.conn.is_some())
    }

    /// The host at one end, and the dialled port.
    pub fn host(&self, conn: Conn, end: End) -> Option<(u32, u16)> {
        let slot = self.conns.get(conn.index())?;
        let connection = slot
            .conn
            .as_deref()
            .filter(|_| slot.generation == conn.generation)?;
        Some((connection.hosts[end as usize], connection.port))
    }

    /// When [`Fabric::advance`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Handles everything due at `now`.
    pub fn advance(&mut self, now: Instant) {
        while let Some(Reverse((at, ..))) = self.timers.peek()
            && *at <= now
        {
            let Some(Reverse((at, _, timer))) = self.timers.pop() else {
                return;
            };
            match timer {
                Timer::Syn(conn, attempt) => self.on_syn(at, conn, attempt),
                Timer::SynArrives(conn) => self.on_syn_arrives(at, conn),
                Timer::Established(conn) => self.on_established(at, conn),
                Timer::Refused(conn) => self.on_refused(at, conn),
                Timer::Retry(conn, end, serial) => self.on_retry(at, conn, end, serial),
                Timer::Room(conn, end) => self.on_room(at, conn, end),
                Timer::Line(link) => self.on_line(at, link),
            }
        }
    }

    /// The next effect that the world must handle; `None` if there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How often `fault` has hindered a packet.
    pub fn effects_of(&self, fault: FaultId) -> u64 {
        self.touched.get(&fault).copied().unwrap_or(0)
    }

    fn link(&mut self, from: u32, to: u32) -> u32 {
        let (links, hosts) = (&mut self.links, &self.hosts);
        *self.by_pair.entry((from, to)).or_insert_with(|| {
            let mut link = Link::new(from, to, self.default_shape.clone());
            link.off = hosts[from as usize].off.or(hosts[to as usize].off);
            link.refresh();
            link.changed = false;
            links.push(link);
            links.len() as u32 - 1
        })
    }

    fn connection(&mut self, conn: Conn) -> Option<&mut Connection> {
        let slot = self.conns.get_mut(conn.index as usize)?;
        if slot.generation != conn.generation {
            None
        } else {
            slot.conn.as_deref_mut()
        }
    }

    fn release(&mut self, conn: Conn) {
        let slot = &mut self.conns[conn.index as usize];
        if slot.generation == conn.generation && slot.conn.take().is_some() {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(conn.index);
        }
    }

    fn arm(&mut self, at: Instant, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((at, self.sequence, timer)));
    }

    fn touch(&mut self, fault: FaultId) {
        *self.touched.entry(fault).or_insert(0) += 1;
    }

    /// Takes a chunk into the kernel and sends it; returns its arrival, or `None` when it waits.
    fn send(&mut self, now: Instant, conn: Conn, end: End, chunk: Chunk) -> Option<Instant> {
        let stream = &mut self.connection(conn)?.streams[end as usize];
        stream.occupied += chunk.bytes();
        let (link, waits) = (stream.link, !stream.line.is_empty());
        if waits || self.links[link as usize].slice().is_some() {
            self.queue_on_line(now, conn, end, [chunk]);
            return None;
        }
        self.transmit(now, conn, end, chunk)
    }

    /// Sends a chunk; returns its arrival, or `None` when it waits for the path.
    fn transmit(&mut self, now: Instant, conn: Conn, end: End, chunk: Chunk) -> Option<Instant> {
        let Connection {
            streams,
            forgotten,
            gone,
            hosts,
            ..
        } = self.conns[conn.index as usize].conn.as_deref_mut()?;
        let (forgotten, gone) = (*forgotten, gone[end.other() as usize]);
        let frozen = self.hosts[hosts[end.other() as usize] as usize].frozen;
        let stream = &mut streams[end as usize];
        let (forward, back) = (stream.link as usize, stream.back as usize);
        let open = self.links[forward].open && !forgotten;
        if let Some(stall) = &mut stream.stall
            && !(open && stall.unnoticed(now))
        {
            stall.waiting.push_back(chunk);
            self.touch_link(forward, back);
            return None;
        }
        if !open {
            self.stall(now, conn, end).waiting.push_back(chunk);
            self.schedule_retry(now, conn, end);
            self.touch_link(forward, back);
            return None;
        }
        let arrives = self.links[forward].transit(self.seed, now, chunk.bytes());
        let arrives = arrives.max(stream.last_arrival);
        stream.last_arrival = arrives;
        let shaped = self.links[forward].shaped;
        if self.links[back].open {
            let freed = if frozen {
                Instant::FAR_FUTURE
            } else {
                arrives + self.links[back].typical()
            };
            if chunk.bytes() > 0 {
                stream.flights.push_back(Flight {
                    arrives,
                    freed,
                    bytes: chunk.bytes(),
                });
            }
        } else {
            let fresh = stream.stall.is_none();
            self.stall(now, conn, end).unacked += chunk.bytes();
            if fresh {
                self.schedule_retry(now, conn, end);
            }
            self.touch_link(back, back);
        }
        if gone {
            // No process has that socket: the other kernel answers with a reset.
            self.reset_by_peer(conn, end, arrives);
        }
        if let Some(fault) = shaped {
            self.touch(fault);
        }
        Some(arrives)
    }

    /// The stall of a stream; begins one now if there was none.
    fn stall(&mut self, now: Instant, conn: Conn, end: End) -> &mut Stall {
        let connection = self.conns[conn.index as usize]
            .conn
            .as_deref_mut()
            .expect("the caller has it");
        let forgotten = connection.forgotten;
        let stream = &mut connection.streams[end as usize];
        let (forward, back) = (
            &self.links[stream.link as usize],
            &self.links[stream.back as usize],
        );
        stream.stall.get_or_insert_with(|| {
            let rto = link::retransmission(forward.typical() + back.typical());
            Box::new(Stall::new(
                now,
                rto,
                forgotten || forward.loses() || back.loses(),
            ))
        })
    }

    fn touch_link(&mut self, first: usize, second: usize) {
        if let Some(fault) = self.links[first]
            .fault()
            .or_else(|| self.links[second].fault())
        {
            self.touch(fault);
        }
    }

    /// Bytes of `end` reach a kernel that does not know the connection.
    fn reset_by_peer(&mut self, conn: Conn, end: End, arrives: Instant) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let back = connection.streams[end as usize].back as usize;
        if self.links[back].open {
            let at = arrives + self.links[back].typical();
            self.effects.push_back(Effect::Closed {
                conn,
                end,
                error: NetError::Reset,
                at,
            });
        }
    }
}
