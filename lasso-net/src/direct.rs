//! The two tasks of a link that was taken over: bytes pass between the network and the data plane,
//! and only control frames go to the node's loop.
//!
//! Records are opened and sealed here, outside of every lock. The plane is locked once for each read.

use core::future::poll_fn;
use core::task::Poll;
use std::io;

use bytes::BytesMut;
use lasso_core::event::CloseReason;
use lasso_core::link::{Inbound, LinkEvent, Outbound, Outflow};
use lasso_core::node::{Input, NetError};
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
        let broken = take(&mut inbound, &buffer, &mut events, tasks).err();
        for event in events.drain(..) {
            if let LinkEvent::Frame(frame) = event
                && !tasks.tell(Input::Frame { conn, frame }).await
            {
                return None;
            }
        }
        if let Some(reason) = broken {
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
        }
    }
}

/// Opens what came and gives the plane its part. Control frames stay in `events`.
fn take<S>(
    inbound: &mut Inbound,
    bytes: &[u8],
    events: &mut Vec<LinkEvent>,
    tasks: &Tasks<S>,
) -> Result<(), CloseReason> {
    let (conn, shared) = (tasks.conn, &tasks.shared);
    let now = shared.now();
    shared.received(now, conn, bytes);
    let received = inbound.receive(now, bytes, events);
    let is_text = |event: &LinkEvent| matches!(event, LinkEvent::Text(_));
    if events.iter().any(is_text) {
        shared.with_plane(|plane, now, effects| {
            let mut texts = events.iter().filter_map(|event| match event {
                LinkEvent::Text(text) => Some(text),
                LinkEvent::Frame(_) | LinkEvent::Silent => None,
            });
            texts.try_for_each(|text| plane.receive(now, conn, text, effects))
        })?;
    }
    received
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
    loop {
        // Looked at first: what the node says last is in the lanes before it closes.
        let closed = common.is_closed();
        let record =
            poll_fn(
                |cx| match outbound.poll(shared.now(), Some(cx.waker()), &mut buffer) {
                    Outflow::Idle if !closed => Poll::Pending,
                    outflow => Poll::Ready(outflow == Outflow::Record),
                },
            );
        let said_all = tokio::select! {
            biased;
            record = record => !record,
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
        }
        if said_all {
            return Ok(());
        }
    }
}

/// Bytes read at a time: at first, and at most, once that much comes.
const READ_LEAST: usize = 16 << 10;
const READ_MOST: usize = 128 << 10;
/// What is worth a call of the system of its own.
const WRITE_LEAST: usize = 8 << 10;
