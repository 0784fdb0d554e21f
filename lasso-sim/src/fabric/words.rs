//! The types that a world and the network exchange.

use std::collections::VecDeque;

use bytes::Bytes;
use lasso_core::node::NetError;
use lasso_core::time::Instant;

/// One connection. Never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Conn {
    /// A key for tables, the same in each run.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// A small index for tables, which another connection may have had before.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// The connection whose [`Conn::to_bits`] this is.
    pub fn from_bits(bits: u64) -> Self {
        Conn {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

/// One side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The side that connected.
    Dialler = 0,
    /// The side that accepted.
    Acceptor = 1,
}

impl End {
    /// The other side.
    pub fn other(self) -> End {
        match self {
            End::Dialler => End::Acceptor,
            End::Acceptor => End::Dialler,
        }
    }
}

/// An item that travels on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// The connection exists for its acceptor; the first chunk of its dialler.
    Accept,
    /// This many bytes of one write: all of it, or as much as a thin line carries at a time.
    Data(u32),
    /// The stream ends.
    Fin,
}

impl Chunk {
    pub(super) fn bytes(self) -> u32 {
        if let Chunk::Data(bytes) = self {
            bytes
        } else {
            0
        }
    }
}

/// An effect that a world must handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The dialler's connect has succeeded, now.
    Connected {
        /// The connection.
        conn: Conn,
    },
    /// The oldest chunk on its way to `end` arrives there.
    Arrives {
        /// Which connection.
        conn: Conn,
        /// The receiver.
        end: End,
        /// The chunk, so that a world can check that it agrees.
        chunk: Chunk,
        /// When.
        at: Instant,
    },
    /// The connection, or the attempt, is over for `end`.
    Closed {
        /// Which connection.
        conn: Conn,
        /// The side for which it is over.
        end: End,
        /// How.
        error: NetError,
        /// When.
        at: Instant,
    },
    /// There is room again for the bytes of `end`.
    Room {
        /// Which connection.
        conn: Conn,
        /// The writer.
        end: End,
    },
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many of the bytes the kernel took; if fewer than offered, [`Effect::Room`] follows.
    pub bytes: u32,
    /// When they arrive; `None`: they wait, and [`Effect::Arrives`] follows.
    pub arrives: Option<Instant>,
}

/// The first `length` bytes of the oldest waiting write, for a world to hand over when a chunk arrives.
pub(crate) fn take_bytes(writes: &mut VecDeque<Bytes>, length: usize) -> Option<Bytes> {
    let first = writes.front_mut()?;
    if first.len() > length {
        return Some(first.split_to(length));
    }
    writes.pop_front()
}
