//! The platform of a node in the turmoil world, in place of tokio's network and hickory's DNS.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lasso_core::discovery::Family;
use lasso_core::node::DnsAnswer;
use lasso_net::seam::{Listener, Platform, Stream};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::Gate;
use super::net::Kernels;
use crate::fabric::{Conn, End};
use crate::scenario::NodeId;

/// See the module.
#[derive(Clone)]
pub(super) struct SimPlatform {
    pub(super) kernels: Arc<Mutex<Kernels>>,
    pub(super) node: NodeId,
    /// How long DNS takes.
    pub(super) dns_latency: Duration,
    pub(super) gate: Gate,
    /// The error of this node's wall clock, in milliseconds.
    pub(super) wall_offset_ms: Arc<AtomicI64>,
}

impl Platform for SimPlatform {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<SimListener> {
        // The machine's address is the kernel's, whatever the node believes.
        self.kernels.lock().listen(self.node.0, address.port())?;
        let host = self.node.0;
        Ok(SimListener {
            kernels: Arc::clone(&self.kernels),
            host,
            address,
        })
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<SimStream> {
        let Some(conn) = self.kernels.lock().connect(self.node.0, to) else {
            // No host is there, and no reply arrives.
            return core::future::pending().await;
        };
        let stream = SimStream {
            kernels: Arc::clone(&self.kernels),
            conn,
            end: End::Dialler,
        };
        poll_fn(|cx| stream.kernels.lock().poll_connected(cx, conn)).await?;
        Ok(stream)
    }

    async fn resolve(&self, name: String, family: Family) -> DnsAnswer {
        tokio::time::sleep(self.dns_latency).await;
        let answer = self.kernels.lock().zone.answer(self.node, &name, family);
        match answer {
            Some(answer) => answer,
            None => core::future::pending().await,
        }
    }

    fn unix_ms(&self) -> u64 {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default().as_millis();
        let offset = self.wall_offset_ms.load(Ordering::Relaxed);
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        (crate::direct::EPOCH_MS + elapsed).saturating_add_signed(offset)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Local tasks are dropped in a fixed order when their host crashes.
        tokio::task::spawn_local(self.gate.guard(task));
    }
}

/// A listening socket.
pub(super) struct SimListener {
    kernels: Arc<Mutex<Kernels>>,
    host: u32,
    address: SocketAddr,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let accepted = poll_fn(|cx| {
            self.kernels
                .lock()
                .poll_accept(cx, (self.host, self.address.port()))
        })
        .await;
        let (conn, from) = accepted?;
        let stream = SimStream {
            kernels: Arc::clone(&self.kernels),
            conn,
            end: End::Acceptor,
        };
        Ok((stream, from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.kernels
            .lock()
            .stop_listening(self.host, self.address.port());
    }
}

/// One side of a connection.
pub(super) struct SimStream {
    kernels: Arc<Mutex<Kernels>>,
    conn: Conn,
    end: End,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.kernels.lock().close(self.conn, self.end);
    }
}

impl Stream for SimStream {
    type Reader = SimReader;
    type Writer = SimWriter;

    fn into_split(self) -> (SimReader, SimWriter) {
        let both = Arc::new(self);
        (SimReader(Arc::clone(&both)), SimWriter(both))
    }
}

/// The reading half of one side of a connection.
pub(super) struct SimReader(Arc<SimStream>);

impl AsyncRead for SimReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let SimStream { kernels, conn, end } = &*self.0;
        kernels.lock().poll_read(cx, (*conn, *end), into)
    }
}

/// The writing half of one side of a connection.
pub(super) struct SimWriter(Arc<SimStream>);

impl AsyncWrite for SimWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let SimStream { kernels, conn, end } = &*self.0;
        kernels.lock().poll_write(cx, (*conn, *end), bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end of the stream is sent when both halves are dropped, which follows soon.
        Poll::Ready(Ok(()))
    }
}
