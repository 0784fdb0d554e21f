//! One connection: a task that reads and a task that writes.
//!
//! Dropping [`Conn`] closes it: what was handed over is still sent, the end of the stream after it,
//! and after at most [`LINGER`] the connection is gone, whether the peer reads or not.

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use lasso_core::node::{ConnId, Input, NetError};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::seam::{Platform, Stream};

/// What the tasks of a node tell its loop.
pub(crate) enum Happening<S> {
    /// For the machine.
    Input(Input),
    /// A peer connected.
    Accepted(S, SocketAddr),
    /// A dial ended.
    Dialled(ConnId, io::Result<S>),
}

/// The loop's side of an open connection.
pub(crate) struct Conn(Arc<Outgoing>);

impl Conn {
    pub(crate) fn send(&self, bytes: Bytes) {
        self.0.queue.lock().push_back(bytes);
        self.0.written.notify_one();
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        for told in [&self.0.written, &self.0.writer, &self.0.reader] {
            told.notify_one();
        }
    }
}

/// What the loop and both tasks have in common. Small, since strangers have one too: a channel
/// would take more memory at its start than all that a stranger may make the node hold.
#[derive(Default)]
struct Outgoing {
    /// The machine hands over no more than its window until it hears that the network took it, which
    /// bounds this queue.
    queue: Mutex<VecDeque<Bytes>>,
    /// The loop has closed the connection.
    closed: AtomicBool,
    /// Tells the writer that the queue or `closed` has changed.
    written: Notify,
    /// Tells the writer that it has [`LINGER`] from now on.
    writer: Notify,
    /// Tells the reader of the end.
    reader: Notify,
}

impl Outgoing {
    /// What to write next; `None` once all is written and the connection is closed.
    async fn next(&self) -> Option<Bytes> {
        loop {
            // Looked at first: nothing is handed over after the end.
            let closed = self.closed.load(Ordering::Acquire);
            let bytes = self.queue.lock().pop_front();
            if bytes.is_some() || closed {
                return bytes;
            }
            self.written.notified().await;
        }
    }
}

/// Starts both tasks.
pub(crate) fn open<P: Platform>(
    platform: &P,
    conn: ConnId,
    stream: P::Stream,
    happenings: &mpsc::Sender<Happening<P::Stream>>,
    lingering: &Arc<Semaphore>,
) -> Conn {
    let (reader, writer) = stream.into_split();
    let outgoing = Arc::new(Outgoing::default());
    let (read_from, write_to) = (Arc::clone(&outgoing), Arc::clone(&outgoing));
    let (tells, lingering) = (happenings.clone(), Arc::clone(lingering));
    platform.spawn(read(conn, reader, tells, read_from, lingering));
    platform.spawn(write(conn, writer, happenings.clone(), write_to));
    Conn(outgoing)
}

async fn read<S>(
    conn: ConnId,
    mut reader: impl AsyncRead + Unpin,
    happenings: mpsc::Sender<Happening<S>>,
    outgoing: Arc<Outgoing>,
    lingering: Arc<Semaphore>,
) {
    let mut buffer = BytesMut::new();
    let mut total = 0;
    let error = loop {
        buffer.reserve(if total < STRANGER_BYTES {
            STRANGER_READ
        } else {
            READ
        });
        let received = tokio::select! {
            biased;
            () = outgoing.reader.notified() => return discard(reader, buffer, &lingering).await,
            received = reader.read_buf(&mut buffer) => received,
        };
        match received {
            Ok(0) => break NetError::Eof,
            Err(_) => break NetError::Reset,
            Ok(count) => total += count,
        }
        let bytes = buffer.split().freeze();
        let input = Happening::Input(Input::Received { conn, bytes });
        if happenings.send(input).await.is_err() {
            return;
        }
    };
    let _ = happenings
        .send(Happening::Input(Input::Closed { conn, error }))
        .await;
}

/// Reads on until the peer has closed too: a socket that is closed with unread bytes is reset, and
/// a reset may overtake the reason that was just sent. Where too many wait already, it may: strangers
/// that come fast must not use up the sockets.
async fn discard(mut reader: impl AsyncRead + Unpin, mut sink: BytesMut, lingering: &Semaphore) {
    let Ok(_place) = lingering.try_acquire() else {
        return;
    };
    let drained = async {
        while matches!(reader.read_buf(&mut sink).await, Ok(count) if count > 0) {
            sink.clear();
        }
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

async fn write<S>(
    conn: ConnId,
    mut writer: impl AsyncWrite + Unpin,
    happenings: mpsc::Sender<Happening<S>>,
    outgoing: Arc<Outgoing>,
) {
    let linger = async {
        outgoing.writer.notified().await;
        tokio::time::sleep(LINGER).await;
    };
    let all = async {
        while let Some(bytes) = outgoing.next().await {
            let input = match writer.write_all(&bytes).await {
                Ok(()) => Input::Written {
                    conn,
                    bytes: bytes.len(),
                },
                Err(_) => Input::Closed {
                    conn,
                    error: NetError::Reset,
                },
            };
            let broken = matches!(input, Input::Closed { .. });
            if happenings.send(Happening::Input(input)).await.is_err() || broken {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    tokio::select! {
        biased;
        () = all => {}
        () = linger => {}
    }
}

/// How long a connection that is closed may take to send what is left.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Connections that wait at a time for their peers to close as well: as many as the links of the
/// largest cluster that is tested, all of which may say goodbye at once.
pub(crate) const LINGERING_MAX: usize = 1024;
/// Until so much has come, little is read at a time: whoever it is may be a stranger.
const STRANGER_BYTES: usize = 4 << 10;
const STRANGER_READ: usize = 256;
/// Bytes read at a time.
const READ: usize = 16 << 10;
