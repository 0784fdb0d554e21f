//! The seams: network, DNS, wall clock and tasks, each a trait that tokio, hickory and the system
//! fill in a real node, and a simulation fills with its own.
//!
//! Streams that exist in memory alone, each half of its own pipe:
//!
//! ```
//! use lasso_net::seam::Stream;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, SimplexStream, WriteHalf, simplex};
//!
//! struct Pipe(ReadHalf<SimplexStream>, WriteHalf<SimplexStream>);
//!
//! impl Stream for Pipe {
//!     type Reader = ReadHalf<SimplexStream>;
//!     type Writer = WriteHalf<SimplexStream>;
//!
//!     fn into_split(self) -> (Self::Reader, Self::Writer) {
//!         (self.0, self.1)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let ((from_b, to_a), (from_a, to_b)) = (simplex(64), simplex(64));
//! let (mut reader, _) = Pipe(from_b, to_b).into_split();
//! let (_, mut writer) = Pipe(from_a, to_a).into_split();
//! writer.write_all(b"hello").await?;
//! let mut text = [0; 5];
//! reader.read_exact(&mut text).await?;
//! assert_eq!(&text, b"hello");
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use lasso_core::discovery::Family;
use lasso_core::node::DnsAnswer;
use lasso_core::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a node needs from where it runs.
///
/// Cloned into every task of the node. Time comes from tokio's clock, which a simulation pauses.
pub trait Platform: Clone + Send + Sync + 'static {
    /// A byte stream to one peer.
    type Stream: Stream;
    /// Accepts streams.
    type Listener: Listener<Stream = Self::Stream>;

    /// Listens on `address`.
    ///
    /// # Errors
    /// What the system says: the address is taken, or not of this machine.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to `to`; waits for as long as the system does.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens there, or what else the system says.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Resolves a name for one family of records. An error is an answer too.
    fn resolve(&self, name: String, family: Family) -> impl Future<Output = DnsAnswer> + Send;

    /// Milliseconds since 1970, UTC; at most 10 ms late. Asked for each message: to be cheap.
    fn unix_ms(&self) -> u64;

    /// A clock that counts from now on, at most 10 ms late. Asked for each read of metrics: to be
    /// cheap.
    fn ticks(&self) -> Box<dyn Fn() -> Instant + Send + Sync> {
        let started = tokio::time::Instant::now();
        Box::new(move || Instant::ZERO + started.elapsed())
    }

    /// Starts a task that ends with its host.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Does work that may take milliseconds and awaits nothing, where no task has to wait for it: on a
    /// thread of tokio's pool for work that blocks, in a real node, so that a paused clock stands still
    /// meanwhile. Here it is done at once, which suits a simulation. Work that is never done, since the
    /// host has ended, is dropped.
    ///
    /// # Panics
    /// Where the system gives no thread; the work may be done later all the same.
    fn aside(&self, work: impl FnOnce() + Send + 'static) {
        work();
    }

    /// Connections that wait at a time for their peers to close as well: as many as the links of the
    /// largest cluster that is tested, all of which may say goodbye at once.
    fn lingering_max(&self) -> usize {
        1024
    }

    /// Writes a log line, where no task waits for the sink of the lines: on a thread of its own, in a real
    /// node. Here it is done at once, which suits a simulation.
    fn say(&self, line: Box<dyn FnOnce() + Send>) {
        line();
    }
}

/// A byte stream to one peer, of which one task reads and another writes.
pub trait Stream: Send + 'static {
    /// What came.
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// What goes. Shutting it down ends the stream for the peer, at the latest when the reader is
    /// dropped as well.
    type Writer: AsyncWrite + Unpin + Send + 'static;

    /// Two halves without a lock in common: a reader that waits never holds up the writer. The
    /// stream is closed when both are dropped.
    fn into_split(self) -> (Self::Reader, Self::Writer);
}

/// Accepts streams.
pub trait Listener: Send + 'static {
    /// What it accepts.
    type Stream;

    /// The next stream, and where it comes from. Dropping the future loses no stream.
    ///
    /// # Errors
    /// What the system says; accepting may go on afterwards.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address that is listened on.
    ///
    /// # Errors
    /// What the system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
