//! The bytes on the connections of the direct world. The fabric decides when they arrive.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use lasso_core::node::{ConnId, Input, NetError};
use lasso_core::secure::FIRST_BYTES;
use lasso_core::time::Instant;

use super::liars::Lies;
use super::strangers::Stay;
use super::{DirectWorld, Event, Host};
use crate::fabric::{Chunk, Conn, End, take_bytes};
use crate::invariants::Witness;
use crate::scenario::NodeId;

/// How long a closed connection waits for a peer that does not read.
const LINGER: Duration = Duration::from_secs(1);

/// An arrival at one end of a connection.
#[derive(Debug)]
pub(super) enum Arrival {
    Connected,
    Accepted,
    Data(Bytes),
    Closed(NetError),
}

/// The owner of one end.
#[derive(Debug)]
pub(super) enum Owner {
    Node(NodeId, ConnId),
    Stranger(Stay),
    Liar(Lies),
}

/// One end of a connection: its socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) owner: Owner,
    /// Bytes that its kernel had no room for.
    pub(super) unsent: VecDeque<Bytes>,
    last_byte: Option<Instant>,
    /// Closed by its owner; unsent bytes still go out.
    closing: bool,
    /// The end of the stream is on its way, after the bytes in the kernel; arriving bytes are dropped.
    shut: bool,
    sent_any: bool,
}

impl Socket {
    pub(super) fn new(owner: Owner) -> Self {
        Socket {
            owner,
            unsent: VecDeque::new(),
            last_byte: None,
            closing: false,
            shut: false,
            sent_any: false,
        }
    }
}

#[derive(Debug)]
struct Slot {
    conn: Conn,
    sockets: [Option<Box<Socket>>; 2],
    /// Bytes in the kernel of each end that wait for the network.
    waiting: [VecDeque<Bytes>; 2],
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Wire {
    slots: Vec<Option<Slot>>,
    /// By host, the first bytes of the last connection that a node dialled to it.
    pub(super) openings: std::collections::BTreeMap<u32, Bytes>,
}

impl Wire {
    pub(super) fn insert(&mut self, conn: Conn, end: End, socket: Socket) {
        let index = conn.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let slot = &mut self.slots[index];
        if slot.as_ref().is_none_or(|slot| slot.conn != conn) {
            *slot = Some(Slot {
                conn,
                sockets: [None, None],
                waiting: Default::default(),
            });
        }
        if let Some(slot) = slot {
            slot.sockets[end as usize] = Some(Box::new(socket));
        }
    }

    fn slot(&mut self, conn: Conn) -> Option<&mut Slot> {
        self.slots
            .get_mut(conn.index())?
            .as_mut()
            .filter(|slot| slot.conn == conn)
    }

    pub(super) fn socket(&mut self, conn: Conn, end: End) -> Option<&mut Socket> {
        self.slot(conn)?.sockets[end as usize].as_deref_mut()
    }

    pub(super) fn remove(&mut self, conn: Conn, end: End) -> Option<Socket> {
        self.slot(conn)?.sockets[end as usize]
            .take()
            .map(|socket| *socket)
    }

    pub(super) fn last_byte(&self, conn: Conn, end: End) -> Option<Instant> {
        let slot = self
            .slots
            .get(conn.index())?
            .as_ref()
            .filter(|slot| slot.conn == conn)?;
        slot.sockets[end as usize].as_ref()?.last_byte
    }

    /// The oldest chunk on its way to `end`, with its bytes: a write, or a part of one.
    pub(super) fn arrival(&mut self, conn: Conn, end: End, chunk: Chunk) -> Arrival {
        match chunk {
            Chunk::Accept => Arrival::Accepted,
            Chunk::Fin => Arrival::Closed(NetError::Eof),
            Chunk::Data(length) => {
                let Some(slot) = self.slot(conn) else {
                    return Arrival::Data(Bytes::new());
                };
                let waiting = &mut slot.waiting[end.other() as usize];
                let bytes = take_bytes(waiting, length as usize).unwrap_or_default();
                // A kernel that expects a reset drops the bytes that wait for the line, and only it knows how
                // many.
                let reads = slot.sockets[end as usize].is_some();
                debug_assert!(
                    !reads || bytes.len() == length as usize,
                    "fabric and world differ"
                );
                Arrival::Data(bytes)
            }
        }
    }

    /// Whether the event is for a stranger, whose host may be a node's.
    pub(super) fn is_strangers(&self, event: &Event) -> bool {
        let Event::Arrival { conn, end, .. } = event else {
            return false;
        };
        let slot = self.slots.get(conn.index()).and_then(Option::as_ref);
        let slot = slot.filter(|slot| slot.conn == *conn);
        let socket = slot.and_then(|slot| slot.sockets[*end as usize].as_ref());
        socket.is_some_and(|socket| !matches!(socket.owner, Owner::Node(..)))
    }
}

impl DirectWorld {
    pub(super) fn dial(&mut self, node: NodeId, id: ConnId, to: SocketAddr) {
        self.record
            .faint_line(self.now, node, format_args!("dials {to} as {id}"));
        // Without a host there is no answer.
        let Some(target) = self.host_at(to) else {
            return;
        };
        let conn = self.fabric.connect(self.now, node.0, target.0, to.port());
        self.wire
            .insert(conn, End::Dialler, Socket::new(Owner::Node(node, id)));
        if let Some(process) = &mut self.hosts[node.index()].process {
            process.conns.insert(id, (conn, End::Dialler));
        }
        self.take_effects();
    }

    pub(super) fn send(&mut self, node: NodeId, id: ConnId, bytes: Bytes) {
        let Some(process) = &self.hosts[node.index()].process else {
            return;
        };
        let Some(&(conn, end)) = process.conns.get(&id) else {
            return;
        };
        let Some(socket) = self.wire.socket(conn, end) else {
            return;
        };
        if !socket.sent_any && end == End::Dialler {
            socket.sent_any = true;
            let opening = bytes.slice(..bytes.len().min(FIRST_BYTES));
            if let Some((target, _)) = self.fabric.host(conn, End::Acceptor) {
                self.wire.openings.insert(target, opening);
            }
        }
        if let Some(socket) = self.wire.socket(conn, end) {
            socket.unsent.push_back(bytes);
        }
        // The node learns of it after its present input.
        if let Some((_, id, taken)) = self.send_on(conn, end) {
            match self.written.last_mut() {
                Some((last, count)) if *last == id => *count += taken,
                _ => self.written.push((id, taken)),
            }
        }
    }

    /// Hands the kernel as much as it has room for; returns the node to notify, and the number of bytes.
    pub(super) fn send_on(&mut self, conn: Conn, end: End) -> Option<(NodeId, ConnId, usize)> {
        let mut taken = 0;
        while let Some(socket) = self.wire.socket(conn, end)
            && let Some(mut bytes) = socket.unsent.pop_front()
        {
            let length = bytes.len() as u32;
            let sent = self.fabric.write(self.now, conn, end, length);
            taken += sent.bytes as usize;
            if sent.bytes < length {
                let rest = bytes.split_off(sent.bytes as usize);
                if let Some(socket) = self.wire.socket(conn, end) {
                    socket.unsent.push_front(rest);
                }
            }
            if sent.bytes == 0 {
                break;
            }
            match sent.arrives {
                Some(at) => {
                    let what = Arrival::Data(bytes);
                    self.schedule(
                        at,
                        Event::Arrival {
                            conn,
                            end: end.other(),
                            what,
                        },
                    );
                }
                None => {
                    if let Some(slot) = self.wire.slot(conn) {
                        slot.waiting[end as usize].push_back(bytes);
                    }
                }
            }
        }
        let socket = self.wire.socket(conn, end)?;
        if socket.closing && !socket.shut && socket.unsent.is_empty() {
            self.close_socket(conn, end);
            return None;
        }
        match socket.owner {
            Owner::Node(node, id) if taken > 0 && !socket.closing => Some((node, id, taken)),
            _ => None,
        }
    }

    /// The kernel has room again.
    pub(super) fn room(&mut self, conn: Conn, end: End) {
        let Some(socket) = self.wire.socket(conn, end) else {
            return;
        };
        if let Owner::Node(node, _) = socket.owner
            && let Some(process) = &self.hosts[node.index()].process
            && process.paused
        {
            return;
        }
        if let Owner::Liar(_) = socket.owner {
            return self.liar_speaks(conn);
        }
        if let Some((node, id, bytes)) = self.send_on(conn, end) {
            self.feed(node, Input::Written { conn: id, bytes });
        }
    }

    /// A node closes a connection, or gives up a connect.
    pub(super) fn close(&mut self, node: NodeId, id: ConnId) {
        let Some(process) = &mut self.hosts[node.index()].process else {
            return;
        };
        let Some((conn, end)) = process.conns.remove(&id) else {
            return;
        };
        let Some(socket) = self.wire.socket(conn, end) else {
            return;
        };
        socket.closing = true;
        if socket.unsent.is_empty() {
            self.close_socket(conn, end);
        } else {
            self.schedule(self.now + LINGER, Event::CloseLate { conn, end });
        }
    }

    pub(super) fn close_late(&mut self, conn: Conn, end: End) {
        let Some(socket) = self.wire.remove(conn, end) else {
            return;
        };
        if socket.shut {
            return self.fabric.finish(conn, end);
        }
        self.fabric.abort(self.now, conn, end);
        self.take_effects();
    }

    pub(super) fn close_socket(&mut self, conn: Conn, end: End) {
        if self.fabric.is_sending(conn, end)
            && let Some(socket) = self.wire.socket(conn, end)
            && socket.closing
        {
            // As a node's reader does: if the socket were closed at once, it would answer arriving bytes with a
            // reset, which overtakes the bytes still to be sent.
            socket.shut = true;
            self.fabric.shut(self.now, conn, end);
            return self.schedule(self.now + LINGER, Event::CloseLate { conn, end });
        }
        self.wire.remove(conn, end);
        if let Some(at) = self.fabric.close(self.now, conn, end) {
            let what = Arrival::Closed(NetError::Eof);
            self.schedule(
                at,
                Event::Arrival {
                    conn,
                    end: end.other(),
                    what,
                },
            );
        }
        self.take_effects();
    }

    /// An arrival reaches one end of a connection whose owner is not frozen.
    pub(super) fn arrive(&mut self, conn: Conn, end: End, what: Arrival) {
        if let Arrival::Accepted = what {
            return self.accept(conn);
        }
        let now = self.now;
        let Some(socket) = self.wire.socket(conn, end) else {
            // Closed by its owner, or never accepted: its kernel answers.
            if let Arrival::Closed(_) = what {
                self.fabric.finish(conn, end);
            }
            return;
        };
        let (node, id) = match (&socket.owner, socket.closing) {
            (Owner::Stranger(_), _) => return self.arrive_at_stranger(conn, end, what),
            (Owner::Liar(_), _) => return self.arrive_at_liar(conn, what),
            (Owner::Node(node, id), false) => (*node, *id),
            (Owner::Node(..), true) => {
                if let Arrival::Closed(_) = what {
                    self.wire.remove(conn, end);
                    self.fabric.finish(conn, end);
                }
                return;
            }
        };
        // If no byte ever arrived, an attempt has failed, which is frequent.
        let came = socket.last_byte.is_some();
        match what {
            Arrival::Connected => self.feed(node, Input::Connected { conn: id }),
            Arrival::Data(bytes) => {
                socket.last_byte = Some(now);
                self.feed(node, Input::Received { conn: id, bytes });
            }
            Arrival::Closed(error) => {
                self.wire.remove(conn, end);
                self.fabric.finish(conn, end);
                if let Some(process) = &mut self.hosts[node.index()].process {
                    process.conns.remove(&id);
                }
                let line = format_args!("{id} ends: {error:?}");
                if came {
                    self.record.line(now, node, line);
                } else {
                    self.record.faint_line(now, node, line);
                }
                self.feed(node, Input::Closed { conn: id, error });
            }
            Arrival::Accepted => {}
        }
    }

    fn accept(&mut self, conn: Conn) {
        let (Some((host, _)), Some((from, _))) = (
            self.fabric.host(conn, End::Acceptor),
            self.fabric.host(conn, End::Dialler),
        ) else {
            return;
        };
        let from = SocketAddr::new(self.ip_of(from), 40_000 + (conn.index() % 20_000) as u16);
        let Some(process) = &mut self.hosts[host as usize].process else {
            self.fabric.abort(self.now, conn, End::Acceptor);
            return self.take_effects();
        };
        let id = ConnId::In(process.next_in);
        process.next_in += 1;
        process.conns.insert(id, (conn, End::Acceptor));
        let node = NodeId(host);
        self.wire
            .insert(conn, End::Acceptor, Socket::new(Owner::Node(node, id)));
        self.feed(node, Input::Accepted { conn: id, from });
    }
}

/// The traffic of the network, for the invariants.
pub(super) struct Seen<'a> {
    pub(super) hosts: &'a [Host],
    pub(super) wire: &'a Wire,
}

impl Witness for Seen<'_> {
    fn last_byte(&self, node: NodeId, conn: ConnId) -> Option<Instant> {
        let process = self.hosts[node.index()].process.as_ref()?;
        let (conn, end) = process.conns.get(&conn)?;
        self.wire.last_byte(*conn, *end)
    }
}
