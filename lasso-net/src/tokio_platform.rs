//! The real world: tokio's TCP, hickory's DNS, the system's clock.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
#[cfg(not(target_os = "linux"))]
use std::time::{SystemTime, UNIX_EPOCH};

use lasso_core::discovery::Family;
use lasso_core::node::DnsAnswer;
#[cfg(target_os = "linux")]
use lasso_core::time::Instant;
#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::dns::Resolver;
use crate::seam::{Listener, Platform, Stream};

/// See the module.
#[derive(Clone)]
pub(crate) struct TokioPlatform {
    resolver: Resolver,
    runtime: Handle,
}

impl TokioPlatform {
    /// Asks `dns_server`, or the system's resolvers.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(dns_server: Option<SocketAddr>) -> Self {
        TokioPlatform {
            resolver: Resolver::new(dns_server),
            runtime: Handle::current(),
        }
    }
}

impl Platform for TokioPlatform {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to).await?;
        tune(&stream)?;
        Ok(stream)
    }

    async fn resolve(&self, name: String, family: Family) -> DnsAnswer {
        self.resolver.resolve(&name, family).await
    }

    fn unix_ms(&self) -> u64 {
        let since = wall();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    #[cfg(target_os = "linux")]
    fn ticks(&self) -> Box<dyn Fn() -> Instant + Send + Sync> {
        // Never negative: it counts from when the system started.
        let tick = || {
            let now = clock_gettime(ClockId::MonotonicCoarse);
            now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
        };
        let started = tick();
        Box::new(move || Instant::from_nanos(tick().saturating_sub(started)))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // From any thread, as below.
        self.runtime.spawn(task);
    }

    fn aside(&self, work: impl FnOnce() + Send + 'static) {
        // From any thread: the last viewer may be dropped outside of the runtime.
        self.runtime.spawn_blocking(work);
    }

    fn lingering_max(&self) -> usize {
        // Of few file descriptors, strangers who are being turned away must not take most.
        let share = crate::process::open_files_max().map_or(usize::MAX, |files| {
            usize::try_from(files / LINGERING_SHARE).unwrap_or(usize::MAX)
        });
        share.clamp(1, 1024)
    }

    fn say(&self, line: Box<dyn FnOnce() + Send>) {
        crate::log::aside(line);
    }
}

/// Time since 1970, as of the kernel's last tick: to the nanosecond it costs five times as much, and
/// every message asks for it.
#[cfg(target_os = "linux")]
fn wall() -> Duration {
    let wall = clock_gettime(ClockId::RealtimeCoarse);
    Duration::try_from(wall).unwrap_or_default()
}

/// Time since 1970.
#[cfg(not(target_os = "linux"))]
fn wall() -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.unwrap_or_default()
}

impl Stream for TcpStream {
    type Reader = OwnedReadHalf;
    type Writer = OwnedWriteHalf;

    fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        TcpStream::into_split(self)
    }
}

/// Frames are small and are waited for; and what waits in the kernel can be overtaken no more, so
/// little is to wait there.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = TcpListener::accept(self).await?;
        tune(&stream)?;
        Ok((stream, from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

/// Of the process's file descriptors, one in so many may belong to a connection that is over.
const LINGERING_SHARE: u64 = 8;
/// The kernel asks for more when it holds less than this that was not sent. More than the network
/// takes between two runs of the writer, and a fraction of a millisecond of it.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;

#[cfg(all(test, target_os = "linux"))]
mod tests;
