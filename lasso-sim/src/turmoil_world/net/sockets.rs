//! The system calls of a process: listen, accept, connect, read, write and close.

use core::task::{Context, Poll};
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, Bytes};
use lasso_core::node::NetError;
use lasso_core::secure::FIRST_BYTES;

use super::{Due, FIRST_PORT, Kernels, Listening, Machine, Socket, Stay};
use crate::fabric::{Conn, End};

impl Kernels {
    pub(in crate::turmoil_world) fn listen(&mut self, host: u32, port: u16) -> io::Result<()> {
        if self.listening.contains_key(&(host, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.fabric.listen(host, port);
        self.listening.insert((host, port), Listening::default());
        Ok(())
    }

    pub(in crate::turmoil_world) fn stop_listening(&mut self, host: u32, port: u16) {
        let Some(listening) = self.listening.remove(&(host, port)) else {
            return;
        };
        self.fabric.unlisten(host, port);
        for (conn, _) in listening.queue {
            self.close(conn, End::Acceptor);
        }
    }

    pub(in crate::turmoil_world) fn poll_accept(
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

    /// Connects from a host; `None` if no machine has the address.
    pub(in crate::turmoil_world) fn connect(&mut self, from: u32, to: SocketAddr) -> Option<Conn> {
        let target = self.host_at(to.ip())?;
        Some(self.connect_host(from, target, to.port(), None))
    }

    pub(super) fn connect_host(
        &mut self,
        from: u32,
        to: u32,
        port: u16,
        stranger: Option<Stay>,
    ) -> Conn {
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
    pub(in crate::turmoil_world) fn admit(&mut self, from: IpAddr, to: (u32, u16), stay: Stay) {
        let from = self.stranger_host(from);
        self.connect_host(from, to.0, to.1, Some(stay));
    }

    /// The host of a stranger: that of a node, if it claims the node's address.
    pub(super) fn stranger_host(&mut self, ip: IpAddr) -> u32 {
        let known = self.machines.iter().position(|machine| machine.ip == ip);
        known.map_or_else(
            || {
                self.machines.push(Machine { ip, running: false });
                self.fabric.add_host()
            },
            |host| host as u32,
        )
    }

    /// The first bytes of the last node that dialled a host; if none did, those of a node that dialled another
    /// host.
    pub(in crate::turmoil_world) fn opening(&self, host: u32) -> Option<Bytes> {
        let recorded = &self.openings;
        recorded.get(&host).or(recorded.values().next()).cloned()
    }

    pub(in crate::turmoil_world) fn poll_connected(
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

    pub(in crate::turmoil_world) fn poll_write(
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
        if end == End::Dialler && !socket.spoke && !socket.is_foreign() {
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

    /// Hands the kernel as much as it has room for; returns the number of bytes.
    pub(super) fn send(&mut self, (conn, end): (Conn, End), bytes: &[u8]) -> usize {
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
                self.schedule(at, Due::Data(conn, end.other(), sent.bytes));
            }
        }
        self.take_effects();
        taken
    }

    pub(in crate::turmoil_world) fn poll_read(
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

    /// The process closes its side: its written bytes still go out.
    pub(in crate::turmoil_world) fn close(&mut self, conn: Conn, end: End) {
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
}

fn kind(error: NetError) -> io::ErrorKind {
    match error {
        NetError::Eof => io::ErrorKind::UnexpectedEof,
        NetError::Reset => io::ErrorKind::ConnectionReset,
        NetError::Refused => io::ErrorKind::ConnectionRefused,
        NetError::Unreachable => io::ErrorKind::HostUnreachable,
    }
}
