//! What was fetched from a lane, in order, and how it is cut into records.
//!
//! A record takes as many whole frames as fit; a frame that is larger than a record goes out in
//! pieces, one to a record.

use super::TEXT_BYTES_MAX;
use super::frames::Frames;
use crate::codec::{self, kind};

/// What was fetched from one lane of a link.
#[derive(Debug, Default)]
pub(super) struct Lane {
    frames: Frames,
    /// Up to here what is copied has gone out.
    at: usize,
    /// Of the body that follows there, so much has gone out.
    body_at: usize,
    /// How much is left of a frame that is being cut; 0: the lane stands at the start of a frame.
    cut: usize,
}

/// The next record.
pub(super) struct Taken<'a> {
    /// Its text.
    pub(super) text: &'a [u8],
    /// Bytes of frames in it.
    pub(super) bytes: usize,
}

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.frames.copied.len() && self.frames.shared.is_empty()
    }

    /// How many frames have not gone out whole.
    pub(super) fn frames_left(&self) -> u64 {
        if self.cut == 0 {
            return self.frames.count_from(self.at, 0);
        }
        // The rest of the frame that is being cut ends with its body, or with what is copied of it.
        match self.frames.shared.front() {
            Some((place, _)) if place - self.at < self.cut => 1 + self.frames.count_from(*place, 1),
            _ => 1 + self.frames.count_from(self.at + self.cut, 0),
        }
    }

    /// Memory that the lane holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.frames.held_bytes()
    }

    /// Where more can be put once nothing waits.
    pub(super) fn emptied(&mut self) -> &mut Frames {
        debug_assert!(self.is_empty() && self.cut == 0 && self.body_at == 0);
        self.frames.copied.clear();
        self.at = 0;
        &mut self.frames
    }

    #[cfg(test)]
    pub(super) fn emptied_or_not(&mut self) -> &mut Frames {
        &mut self.frames
    }

    /// Takes the text of the next record, of at most `room` bytes; `None` when nothing waits or the
    /// next frame or piece does not fit. A frame longer than `longest` is cut. The text lies in the lane, or
    /// is put together in `scratch`.
    pub(super) fn take<'a>(
        &'a mut self,
        lane: u8,
        room: usize,
        longest: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Option<Taken<'a>> {
        if self.is_empty() {
            return None;
        }
        // A simulated peer that cuts a frame itself has pieces of its own length.
        let is_piece = self.cut == 0 && self.frames.copied.get(self.at) == Some(&kind::PIECE);
        let longest = if is_piece { TEXT_BYTES_MAX } else { longest };
        if self.cut == 0 {
            let (bytes, copied) = self.whole_frames(room.min(longest));
            if bytes == 0 {
                let front = self.frame_at(self.at);
                if front <= longest {
                    return None;
                }
                return self.take_piece(lane, front, room, longest, scratch);
            }
            if bytes == copied {
                let from = self.at;
                self.at += copied;
                let text = &self.frames.copied[from..self.at];
                return Some(Taken { text, bytes });
            }
            scratch.clear();
            self.move_out(bytes, scratch);
            return Some(Taken {
                text: scratch,
                bytes,
            });
        }
        self.take_piece(lane, self.cut, room, longest, scratch)
    }

    /// The next piece of a frame of which so much is left.
    fn take_piece<'a>(
        &'a mut self,
        lane: u8,
        left: usize,
        room: usize,
        longest: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Option<Taken<'a>> {
        let bytes = left.min(longest - PIECE_HEAD_MAX);
        if bytes + PIECE_HEAD_MAX > room {
            return None;
        }
        self.cut = left - bytes;
        scratch.clear();
        codec::put_header(kind::PIECE, 2 + bytes, scratch);
        scratch.push(lane);
        scratch.push(u8::from(self.cut == 0));
        self.move_out(bytes, scratch);
        Some(Taken {
            text: scratch,
            bytes,
        })
    }

    /// Moves so many bytes, wherever they lie, to the end of `out`.
    fn move_out(&mut self, mut bytes: usize, out: &mut Vec<u8>) {
        while bytes > 0 {
            match self.frames.shared.front() {
                Some((place, body)) if *place == self.at => {
                    let part = bytes.min(body.len() - self.body_at);
                    out.extend_from_slice(&body[self.body_at..self.body_at + part]);
                    self.body_at += part;
                    bytes -= part;
                    if self.body_at == body.len() {
                        self.frames.shared.pop_front();
                        self.body_at = 0;
                    }
                }
                next => {
                    let end = next.map_or(self.frames.copied.len(), |(place, _)| *place);
                    let part = bytes.min(end - self.at);
                    out.extend_from_slice(&self.frames.copied[self.at..self.at + part]);
                    self.at += part;
                    bytes -= part;
                }
            }
        }
    }

    /// Length of the frame whose head is there.
    fn frame_at(&self, at: usize) -> usize {
        let bytes = &self.frames.copied[at..];
        let (_, length, rest) = codec::header(bytes).expect("the lane holds what was encoded");
        bytes.len() - rest.len() + length
    }

    /// Length of the whole frames within `room` bytes from the front, and how much of it is copied.
    fn whole_frames(&self, room: usize) -> (usize, usize) {
        let end = self.frames.copied.len();
        if self.frames.shared.is_empty() && end - self.at <= room {
            return (end - self.at, end - self.at);
        }
        let (mut at, mut bytes) = (self.at, 0);
        let mut shared = self.frames.shared.iter().peekable();
        while at < end {
            let frame = self.frame_at(at);
            if bytes + frame > room {
                break;
            }
            bytes += frame;
            at = match shared.next_if(|(place, _)| *place <= at + frame && *place > at) {
                Some((place, _)) => *place,
                None => at + frame,
            };
        }
        (bytes, at - self.at)
    }
}

/// Kind, up to three bytes of length, lane, flags.
const PIECE_HEAD_MAX: usize = 6;
