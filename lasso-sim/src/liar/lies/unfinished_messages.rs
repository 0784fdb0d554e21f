//! A liar that begins a large call and a large message, and ends them a minute later.

use lasso_core::codec::kind;
use lasso_core::link::LaneId;

use super::{Entry, Lie};
use crate::liar::Says;
use crate::liar::says::{STREAM, put_varint};

pub(super) const ENTRY: Entry = Entry {
    name: "unfinished_messages",
    summary: "begins a call and a message of 600 KB each, and ends them a minute later",
    weight: 1,
    make: || Box::new(UnfinishedMessages::new()),
};

/// The size of each body, in bytes.
const BODY_BYTES: usize = 600_000;
/// The size of one piece, which fits into a record.
const PIECE_BYTES: usize = 60_000;
/// The tick at which the last piece is sent.
const ENDS_AT: usize = 600;

#[derive(Debug)]
struct UnfinishedMessages {
    frames: [(LaneId, Vec<u8>); 2],
    ticks: usize,
}

impl UnfinishedMessages {
    fn new() -> Self {
        // Number, time left in milliseconds, and the method's name.
        let call = [1, 100, 3, b's', b'u', b'm'];
        // Flags, stream, number; the zeroes after them are the wall clock.
        let message = [0, STREAM as u8, 1];
        UnfinishedMessages {
            frames: [
                (LaneId::Calls, frame(kind::CALL, &call)),
                (LaneId::Data, frame(kind::MESSAGE, &message)),
            ],
            ticks: 0,
        }
    }
}

fn frame(kind: u8, head: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    put_varint(BODY_BYTES as u64, &mut frame);
    let length = frame.len() + BODY_BYTES;
    frame.extend_from_slice(head);
    frame.resize(length, 0);
    frame
}

impl Lie for UnfinishedMessages {
    fn tick(&mut self, says: &mut Says<'_>) {
        let tick = self.ticks % (ENDS_AT + 1);
        self.ticks += 1;
        for (lane, frame) in &self.frames {
            let mut pieces = frame.chunks(PIECE_BYTES);
            if tick == ENDS_AT {
                let last = pieces.next_back().unwrap_or_default();
                says.piece(*lane, last, true);
            } else if let Some(piece) = pieces.nth(tick).filter(|p| p.len() == PIECE_BYTES) {
                says.piece(*lane, piece, false);
            }
        }
    }
}
