//! What was fetched from a lane, in order, and how it is cut into records.
//!
//! Frames lie one after another as they were encoded. A record takes as many whole frames as fit;
//! a frame that is larger than a record goes out in pieces, one to a record.

use core::ops::Range;

use super::lanes::spare;
use crate::codec::{self, kind};

/// What was fetched from one lane of a link.
#[derive(Default)]
pub(super) struct Lane {
    /// Encoded frames.
    bytes: Vec<u8>,
    /// Up to here they have been handed over.
    at: usize,
    /// How much is left of a frame that is being cut; 0: the lane stands at the start of a frame.
    cut: usize,
}

/// The text of the next record.
pub(super) enum Text<'a> {
    /// Whole frames.
    Frames(&'a [u8]),
    /// One piece, with its head.
    Piece(Vec<u8>),
}

impl Text<'_> {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Text::Frames(frames) => frames,
            Text::Piece(piece) => piece,
        }
    }
}

impl Lane {
    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Memory that the lane holds.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where more can be put once nothing waits.
    pub(super) fn emptied(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.waiting() == 0 && self.cut == 0);
        self.bytes.clear();
        self.at = 0;
        &mut self.bytes
    }

    /// Nothing waits for a while.
    pub(super) fn rest(&mut self) {
        spare(self.emptied());
    }

    /// The text of the next record, of at most `room` bytes; `None` when nothing waits or the next
    /// frame or piece does not fit. [`Lane::advance`] tells the lane that it was taken.
    pub(super) fn next(&self, lane: u8, room: usize) -> Option<(Text<'_>, Advance)> {
        let waiting = self.waiting();
        if waiting == 0 {
            return None;
        }
        if self.cut == 0 {
            if waiting <= room {
                let text = Text::Frames(&self.bytes[self.at..]);
                return Some((
                    text,
                    Advance {
                        to: self.bytes.len(),
                        cut: 0,
                    },
                ));
            }
            let end = self.whole_frames(room);
            if end > self.at {
                return Some((
                    Text::Frames(&self.bytes[self.at..end]),
                    Advance { to: end, cut: 0 },
                ));
            }
        }
        let left = if self.cut == 0 {
            self.front()
        } else {
            self.cut
        };
        if self.cut == 0 && left <= super::TEXT_BYTES_MAX {
            return None;
        }
        let length = left.min(super::TEXT_BYTES_MAX - PIECE_HEAD_MAX);
        if length + PIECE_HEAD_MAX > room {
            return None;
        }
        let to = self.at + length;
        let piece = piece(lane, length == left, &self.bytes, self.at..to);
        Some((
            Text::Piece(piece),
            Advance {
                to,
                cut: left - length,
            },
        ))
    }

    /// What `next` gave has been taken: so many bytes of what was fetched.
    pub(super) fn advance(&mut self, advance: Advance) -> usize {
        let taken = advance.to - self.at;
        self.at = advance.to;
        self.cut = advance.cut;
        taken
    }

    /// Length of the frame at the front, head included.
    fn front(&self) -> usize {
        self.frame_at(self.at)
    }

    fn frame_at(&self, at: usize) -> usize {
        let bytes = &self.bytes[at..];
        let (_, length, rest) = codec::header(bytes).expect("the lane holds what was encoded");
        bytes.len() - rest.len() + length
    }

    /// The end of the last whole frame within `room` bytes from the front.
    fn whole_frames(&self, room: usize) -> usize {
        let limit = self.at + room;
        let mut end = self.at;
        while end < self.bytes.len() {
            let next = end + self.frame_at(end);
            if next > limit {
                break;
            }
            end = next;
        }
        end
    }
}

/// Where a lane stands once a text has been taken.
pub(super) struct Advance {
    to: usize,
    cut: usize,
}

fn piece(lane: u8, last: bool, bytes: &[u8], range: Range<usize>) -> Vec<u8> {
    let mut piece = Vec::with_capacity(PIECE_HEAD_MAX + range.len());
    codec::put_header(kind::PIECE, 2 + range.len(), &mut piece);
    piece.push(lane);
    piece.push(u8::from(last));
    piece.extend_from_slice(&bytes[range]);
    piece
}

/// Kind, up to three bytes of length, lane, flags.
const PIECE_HEAD_MAX: usize = 6;
