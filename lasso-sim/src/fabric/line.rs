//! Paths with a bandwidth: written bytes stay in the sender's kernel until the line takes them, packet by
//! packet, and streams that share the line take turns.
//!
//! Long packets would be wrong for two reasons: a receiver that hears nothing until 64 KiB are complete
//! mistakes a thin line for a dead one, and a connection that must wait until another one's buffer is empty
//! cannot even be opened.

use std::collections::VecDeque;

use lasso_core::time::Instant;

use super::{Chunk, Conn, Effect, End, Fabric, Timer};

impl Fabric {
    /// Appends chunks to those that wait for the line of a stream.
    pub(super) fn queue_on_line(
        &mut self,
        now: Instant,
        conn: Conn,
        end: End,
        chunks: impl IntoIterator<Item = Chunk>,
    ) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let stream = &mut connection.streams[end as usize];
        stream.line.extend(chunks);
        let index = stream.link;
        self.await_line(now, conn, end, index);
    }

    /// Puts the chunks that waited for the path before those that wait for the line.
    pub(super) fn requeue_on_line(
        &mut self,
        now: Instant,
        conn: Conn,
        end: End,
        mut chunks: VecDeque<Chunk>,
    ) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let stream = &mut connection.streams[end as usize];
        chunks.append(&mut stream.line);
        stream.line = chunks;
        let index = stream.link;
        self.await_line(now, conn, end, index);
    }

    /// Gives a stream a turn on the line, if it has none yet.
    fn await_line(&mut self, now: Instant, conn: Conn, end: End, index: u32) {
        let link = &mut self.links[index as usize];
        if link.turns.contains(&(conn, end)) {
            return;
        }
        link.turns.push_back((conn, end));
        if link.turns.len() == 1 {
            let at = now.max(link.busy_until());
            self.arm(at, Timer::Line(index));
        }
    }

    /// The line is free: the stream whose turn it is sends a packet.
    pub(super) fn on_line(&mut self, now: Instant, index: u32) {
        let Some((conn, end)) = self.links[index as usize].turns.pop_front() else {
            return;
        };
        // A chunk without bytes, such as the end of a stream, takes no turn.
        while self.send_packet(now, conn, end, index) == Some(0) {}
        if self.has_more(conn, end) {
            self.links[index as usize].turns.push_back((conn, end));
        }
        if !self.links[index as usize].turns.is_empty() {
            let at = now.max(self.links[index as usize].busy_until());
            self.arm(at, Timer::Line(index));
        }
    }

    /// Whether bytes of a stream wait for the line.
    pub fn is_sending(&mut self, conn: Conn, end: End) -> bool {
        self.has_more(conn, end)
    }

    /// The process at `end` ends its stream, and may still read: the end follows the bytes that wait for the
    /// line.
    pub fn shut(&mut self, now: Instant, conn: Conn, end: End) {
        self.queue_on_line(now, conn, end, [Chunk::Fin]);
    }

    fn has_more(&mut self, conn: Conn, end: End) -> bool {
        let connection = self.connection(conn);
        connection.is_some_and(|connection| !connection.streams[end as usize].line.is_empty())
    }

    /// Sends the next packet of a stream; returns its number of bytes, if there was one.
    fn send_packet(&mut self, now: Instant, conn: Conn, end: End, index: u32) -> Option<u32> {
        let slice = self.links[index as usize].slice();
        let connection = self.connection(conn)?;
        let line = &mut connection.streams[end as usize].line;
        let chunk = take_packet(line, slice)?;
        let Some(at) = self.transmit(now, conn, end, chunk) else {
            // The path is cut: the rest waits with it.
            if let Some(connection) = self.connection(conn) {
                let stream = &mut connection.streams[end as usize];
                let rest = core::mem::take(&mut stream.line);
                if let Some(stall) = &mut stream.stall {
                    stall.waiting.extend(rest);
                }
            }
            return None;
        };
        self.effects.push_back(Effect::Arrives {
            conn,
            end: end.other(),
            chunk,
            at,
        });
        let connection = self.connection(conn)?;
        if connection.gone[end.other() as usize] {
            // The reset that answers this packet ends the rest.
            connection.streams[end as usize].line.clear();
        } else if connection.streams[end as usize].writer_waits {
            self.await_room(now, conn, end);
        }
        Some(chunk.bytes())
    }
}

/// The first waiting bytes, as many as one packet of the line holds.
pub(super) fn take_packet(waiting: &mut VecDeque<Chunk>, slice: Option<u32>) -> Option<Chunk> {
    match (waiting.front_mut(), slice) {
        (Some(Chunk::Data(bytes)), Some(slice)) if *bytes > slice => {
            *bytes -= slice;
            Some(Chunk::Data(slice))
        }
        _ => waiting.pop_front(),
    }
}
