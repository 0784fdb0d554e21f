//! The two tasks of a link that was taken over: bytes pass between the network and the data plane,
//! and only control frames go to the node's loop.
//!
//! Records are opened and sealed here, outside of every lock.

use core::future::poll_fn;
use core::task::Poll;
use std::io;

use bytes::{Bytes, BytesMut};
use lasso_core::event::CloseReason;
use lasso_core::link::{Inbound, LinkEvent, Outbound, Outflow};
use lasso_core::node::{Input, NetError};
use lasso_core::plane::Plane;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::conn::Tasks;

/// Reads until the connection ends or is closed. What it gives back is for reading on, where the
/// connection is closed and the peer has not ended the stream.
pub(crate) async fn read<S>(
    reader: &mut (impl AsyncRead + Unpin),
    mut inbound: Inbound,
    tasks: &Tasks<S>,
) -> Option<BytesMut> {
    let (conn, common) = (tasks.conn, &tasks.common);
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    let mut at_a_time = READ_LEAST;
    loop {
        buffer.clear();
        if buffer.capacity() > 2 * at_a_time {
            buffer = BytesMut::new();
        }
        buffer.reserve(at_a_time);
        let room = buffer.capacity();
        let received = tokio::select! {
            biased;
            () = common.to_read.notified() => {
                if common.is_closed() {
                    return Some(buffer);
                }
                continue;
            }
            received = reader.read_buf(&mut buffer) => received,
        };
        let error = match received {
            Ok(0) => Some(NetError::Eof),
            Err(_) => Some(NetError::Reset),
            Ok(_) => None,
        };
        if let Some(error) = error {
            tasks.tell(Input::Closed { conn, error }).await;
            return None;
        }
        let now = tasks.shared.now();
        tasks.shared.received(now, conn, &buffer);
        let received = inbound.receive(now, &buffer, &mut events);
        tasks.shared.wake_loop_for(inbound.deadline());
        let received = match hand_on(&mut events, tasks).await {
            Handed::All => received,
            Handed::Broken(reason) => Err(reason),
            Handed::Stopped => return None,
        };
        if let Err(reason) = received {
            if !tasks.tell(Input::Broken { conn, reason }).await {
                return None;
            }
            // The loop closes it; until then nothing that comes means anything.
            while !common.is_closed() {
                common.to_read.notified().await;
            }
            return Some(buffer);
        }
        if buffer.len() == room {
            // More waits: whoever was woken by this goes first.
            at_a_time = (2 * at_a_time).min(READ_MOST);
            tokio::task::yield_now().await;
        } else if buffer.len() < at_a_time / 4 {
            at_a_time = (at_a_time / 2).max(READ_LEAST);
        }
    }
}

/// What became of the events of one read.
enum Handed {
    /// The node and the data plane have all of them.
    All,
    /// The data plane could make no sense of one.
    Broken(CloseReason),
    /// The node has stopped.
    Stopped,
}

/// Gives control frames to the node's loop, and all others to the data plane.
async fn hand_on<S>(events: &mut Vec<LinkEvent>, tasks: &Tasks<S>) -> Handed {
    let conn = tasks.conn;
    for event in events.drain(..) {
        match event {
            LinkEvent::Frame(frame) => {
                if !tasks.tell(Input::Frame { conn, frame }).await {
                    return Handed::Stopped;
                }
            }
            LinkEvent::Text(text) => {
                if let Err(reason) = take(text, tasks).await {
                    return Handed::Broken(reason);
                }
            }
            LinkEvent::GivenUp(start) => {
                let given_up = |plane: &mut Plane, _, effects: &mut _| {
                    plane.given_up(conn, &start, effects);
                };
                tasks.shared.with_plane(given_up);
            }
            LinkEvent::Silent => {}
        }
    }
    Handed::All
}

/// Gives the plane its frames. Between two helpings of them whoever was woken by the first goes
/// first: a subscriber that reads as fast as it can must not lose what comes at once.
async fn take<S>(mut text: Bytes, tasks: &Tasks<S>) -> Result<(), CloseReason> {
    loop {
        let text = &mut text;
        let (conn, shared) = (tasks.conn, &tasks.shared);
        shared.with_plane(|plane, now, effects| plane.receive(now, conn, text, effects))?;
        if text.is_empty() {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Writes what the link says, until it has said all or the connection is closed.
///
/// # Errors
/// The connection is broken.
pub(crate) async fn write<S>(
    writer: &mut (impl AsyncWrite + Unpin),
    mut outbound: Outbound,
    tasks: &Tasks<S>,
) -> io::Result<()> {
    let (shared, common) = (&tasks.shared, &tasks.common);
    let mut buffer = Vec::new();
    let mut written = shared.now();
    loop {
        // Looked at first: what the node says last is in the lanes before it closes.
        let closed = common.is_closed();
        let mut slept = false;
        let record = poll_fn(|cx| {
            if slept {
                return Poll::Ready(None);
            }
            match outbound.poll(shared.now(), Some(cx.waker()), &mut buffer) {
                Outflow::Idle if !closed => {
                    if buffer.capacity() > WRITE_KEPT {
                        buffer = Vec::new();
                    }
                    slept = true;
                    Poll::Pending
                }
                outflow => Poll::Ready(Some(outflow == Outflow::Record)),
            }
        });
        let said_all = tokio::select! {
            biased;
            record = record => match record {
                Some(record) => !record,
                None => {
                    // Whoever was woken together with the one that woke this has something to say as
                    // well: one record and one call of the system for all of them. The first one
                    // after a while does not wait.
                    if shared.now() - written < BURST {
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
            },
            () = common.to_write.notified() => continue,
        };
        // A small record takes others along.
        while !buffer.is_empty()
            && buffer.len() < WRITE_LEAST
            && outbound.poll(shared.now(), None, &mut buffer) == Outflow::Record
        {}
        if !buffer.is_empty() {
            writer.write_all(&buffer).await?;
            buffer.clear();
            written = shared.now();
        }
        if said_all {
            return Ok(());
        }
    }
}

/// Bytes read at a time: at first, and at most, once that much comes.
const READ_LEAST: usize = 16 << 10;
const READ_MOST: usize = 128 << 10;
/// Frames that come within this after the last write are likely to be followed by more: less than
/// the way to a peer and back.
const BURST: core::time::Duration = core::time::Duration::from_micros(10);
/// What is worth a call of the system of its own.
const WRITE_LEAST: usize = 8 << 10;
/// What a link keeps to write to while it has nothing to say. A buffer is given back only then.
const WRITE_KEPT: usize = 16 << 10;
