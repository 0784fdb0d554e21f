//! One connection: a task that reads and a task that writes.
//!
//! Dropping [`Conn`] closes it: what was handed over is still sent, the end of the stream after it,
//! and after at most [`LINGER`] the connection is gone, whether the peer reads or not.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lasso_core::node::{ConnId, Input, NetError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::seam::Platform;

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
pub(crate) struct Conn {
    /// The machine hands over no more than its window until it hears that the network took it, which
    /// bounds this queue.
    outgoing: mpsc::UnboundedSender<Bytes>,
    /// Dropped with the connection; both tasks notice.
    _open: watch::Sender<()>,
}

impl Conn {
    pub(crate) fn send(&self, bytes: Bytes) {
        // A connection that has just broken has said so in the inbox.
        let _ = self.outgoing.send(bytes);
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
    let (reader, writer) = tokio::io::split(stream);
    let (outgoing, queue) = mpsc::unbounded_channel();
    let open = watch::Sender::new(());
    platform.spawn(read(
        conn,
        reader,
        happenings.clone(),
        open.subscribe(),
        Arc::clone(lingering),
    ));
    platform.spawn(write(
        conn,
        writer,
        queue,
        happenings.clone(),
        open.subscribe(),
    ));
    Conn {
        outgoing,
        _open: open,
    }
}

async fn read<S>(
    conn: ConnId,
    mut reader: impl AsyncRead + Unpin,
    happenings: mpsc::Sender<Happening<S>>,
    mut open: watch::Receiver<()>,
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
            _ = open.changed() => return discard(reader, &lingering).await,
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
async fn discard(mut reader: impl AsyncRead + Unpin, lingering: &Semaphore) {
    let Ok(_place) = lingering.try_acquire() else {
        return;
    };
    let drained = async {
        let mut sink = [0; 1024];
        while matches!(reader.read(&mut sink).await, Ok(count) if count > 0) {}
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

async fn write<S>(
    conn: ConnId,
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    happenings: mpsc::Sender<Happening<S>>,
    mut open: watch::Receiver<()>,
) {
    let linger = async {
        let _ = open.changed().await;
        tokio::time::sleep(LINGER).await;
    };
    let all = async {
        while let Some(bytes) = queue.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                let error = NetError::Reset;
                let _ = happenings
                    .send(Happening::Input(Input::Closed { conn, error }))
                    .await;
                return;
            }
            let written = Input::Written {
                conn,
                bytes: bytes.len(),
            };
            if happenings.send(Happening::Input(written)).await.is_err() {
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
const STRANGER_READ: usize = 1 << 10;
/// Bytes read at a time.
const READ: usize = 16 << 10;
