//! One connection: a task that reads and a task that writes.
//!
//! At first all bytes pass through the node's loop. When the connection has become the link of a
//! pair, both tasks take the link's halves over and bytes pass through the loop no more; see
//! [`crate::direct`].
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
use lasso_core::link::{Detached, Inbound, Outbound};
use lasso_core::node::{ConnId, Input, NetError};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::direct;
use crate::seam::{Platform, Stream};
use crate::shared::Shared;

/// What the tasks of a node tell its loop.
pub(crate) enum Happening<S> {
    /// For the machine.
    Input(Input),
    /// A peer connected.
    Accepted(S, SocketAddr),
    /// A dial ended.
    Dialled(ConnId, io::Result<S>),
    /// The reader has handed over all that it has read, and waits to go on.
    Paused(ConnId),
}

/// The loop's side of an open connection.
pub(crate) struct Conn(Arc<Common>);

impl Conn {
    pub(crate) fn send(&self, bytes: Bytes) {
        self.0.queue.lock().push_back(bytes);
        self.0.to_write.notify_one();
    }

    /// Asks the reader to pause, which it tells by [`Happening::Paused`].
    pub(crate) fn pause(&self) {
        self.0.to_read.notify_one();
    }

    /// Lets the reader, which has paused, go on; with the halves of the link, if they are handed
    /// over. The writer sends what was handed to it before, and then what the link says.
    pub(crate) fn go_on(&self, link: Option<Detached>) {
        let (inbound, outbound) = link.map(|link| (link.inbound, link.outbound)).unzip();
        *self.0.outbound.lock() = outbound.map(Box::new);
        *self.0.going_on.lock() = Some(inbound.map(Box::new));
        self.0.to_write.notify_one();
        self.0.to_read.notify_one();
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        for told in [&self.0.to_write, &self.0.hurry, &self.0.to_read] {
            told.notify_one();
        }
    }
}

/// What the loop and both tasks have in common. Small, since strangers have one too: a channel
/// would take more memory at its start than all that a stranger may make the node hold.
#[derive(Default)]
pub(crate) struct Common {
    /// The machine hands over no more than its window until it hears that the network took it, which
    /// bounds this queue.
    queue: Mutex<VecDeque<Bytes>>,
    /// The link's half, for the writer.
    outbound: Mutex<Option<Box<Outbound>>>,
    /// How a reader that has paused is to go on; with the link's half, if it is handed over.
    going_on: Mutex<Option<Option<Box<Inbound>>>>,
    /// The loop has closed the connection.
    closed: AtomicBool,
    /// Tells the writer that something is to be written, or that `closed` has changed.
    pub(crate) to_write: Notify,
    /// Tells the writer that it has [`LINGER`] from now on.
    hurry: Notify,
    /// Tells the reader to pause or to go on, or that `closed` has changed.
    pub(crate) to_read: Notify,
}

/// What a writer does next.
enum Next {
    /// Write this.
    Bytes(Bytes),
    /// Write what the link says.
    Link(Box<Outbound>),
    /// All is written and the connection is closed.
    End,
}

impl Common {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    async fn next(&self) -> Next {
        loop {
            // Looked at first: nothing is handed over after the end.
            let closed = self.is_closed();
            if let Some(bytes) = self.queue.lock().pop_front() {
                return Next::Bytes(bytes);
            }
            if let Some(outbound) = self.outbound.lock().take() {
                return Next::Link(outbound);
            }
            if closed {
                return Next::End;
            }
            self.to_write.notified().await;
        }
    }

    /// Waits, as a reader that has paused; `None` when the connection is closed.
    async fn go_on(&self) -> Option<Option<Box<Inbound>>> {
        loop {
            self.to_read.notified().await;
            if self.is_closed() {
                return None;
            }
            let going_on = self.going_on.lock().take();
            if going_on.is_some() {
                return going_on;
            }
        }
    }
}

/// What each task of a connection has.
pub(crate) struct Tasks<S> {
    pub(crate) conn: ConnId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) common: Arc<Common>,
    pub(crate) happenings: mpsc::Sender<Happening<S>>,
}

impl<S> Tasks<S> {
    /// Tells the loop; false when there is none any more.
    pub(crate) async fn tell(&self, input: Input) -> bool {
        let told = self.happenings.send(Happening::Input(input)).await;
        told.is_ok()
    }
}

/// Starts both tasks.
pub(crate) fn open<P: Platform>(
    platform: &P,
    shared: &Arc<Shared>,
    conn: ConnId,
    stream: P::Stream,
    happenings: &mpsc::Sender<Happening<P::Stream>>,
    lingering: &Arc<Semaphore>,
) -> Conn {
    let (reader, writer) = stream.into_split();
    let common = Arc::new(Common::default());
    let tasks = || Tasks {
        conn,
        shared: Arc::clone(shared),
        common: Arc::clone(&common),
        happenings: happenings.clone(),
    };
    platform.spawn(read(reader, tasks(), Arc::clone(lingering)));
    platform.spawn(write(writer, tasks()));
    Conn(common)
}

async fn read<S>(mut reader: impl AsyncRead + Unpin, tasks: Tasks<S>, lingering: Arc<Semaphore>) {
    let (conn, common) = (tasks.conn, &tasks.common);
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
            () = common.to_read.notified() => None,
            received = reader.read_buf(&mut buffer) => Some(received),
        };
        match received {
            None if common.is_closed() => return discard(reader, buffer, &lingering).await,
            None => {
                if tasks
                    .happenings
                    .send(Happening::Paused(conn))
                    .await
                    .is_err()
                {
                    return;
                }
                match common.go_on().await {
                    None => return discard(reader, buffer, &lingering).await,
                    Some(None) => continue,
                    Some(Some(inbound)) => {
                        drop(buffer);
                        // Boxed: what strangers have is small.
                        let direct = direct::read(&mut reader, *inbound, &tasks);
                        let Some(rest) = Box::pin(direct).await else {
                            return;
                        };
                        return discard(reader, rest, &lingering).await;
                    }
                }
            }
            Some(Ok(0)) => break NetError::Eof,
            Some(Err(_)) => break NetError::Reset,
            Some(Ok(count)) => total += count,
        }
        let bytes = buffer.split().freeze();
        if !tasks.tell(Input::Received { conn, bytes }).await {
            return;
        }
    };
    tasks.tell(Input::Closed { conn, error }).await;
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

async fn write<S>(mut writer: impl AsyncWrite + Unpin, tasks: Tasks<S>) {
    let common = &tasks.common;
    let linger = async {
        common.hurry.notified().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        biased;
        () = write_all(&mut writer, &tasks) => {}
        () = linger => {}
    }
}

async fn write_all<S>(writer: &mut (impl AsyncWrite + Unpin), tasks: &Tasks<S>) {
    let conn = tasks.conn;
    loop {
        let written = match tasks.common.next().await {
            Next::End => break,
            Next::Bytes(bytes) => {
                let written = writer.write_all(&bytes).await;
                let bytes = bytes.len();
                if written.is_ok() && !tasks.tell(Input::Written { conn, bytes }).await {
                    return;
                }
                written
            }
            Next::Link(outbound) => {
                let direct = direct::write(writer, *outbound, tasks);
                match Box::pin(direct).await {
                    Ok(()) => break,
                    broken => broken,
                }
            }
        };
        if written.is_err() {
            let error = NetError::Reset;
            tasks.tell(Input::Closed { conn, error }).await;
            return;
        }
    }
    let _ = writer.shutdown().await;
}

/// How long a connection that is closed may take to send what is left.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Until so much has come, little is read at a time: whoever it is may be a stranger.
const STRANGER_BYTES: usize = 4 << 10;
const STRANGER_READ: usize = 256;
/// Bytes read at a time.
const READ: usize = 16 << 10;
