//! Frames one after another, as a lane holds them.
//!
//! Short ones are copied to where the last one ended. The body of a long one is shared with whoever
//! sent it, and maybe with other lanes: a message of 16 MiB is not copied while a lock is held.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Whole frames, without the bodies that are shared.
    pub(super) copied: Vec<u8>,
    /// Bodies, each with the place in `copied` where it follows.
    pub(super) shared: VecDeque<(usize, Bytes)>,
}

impl Frames {
    pub(super) fn push(&mut self, head: &[u8], body: &Bytes) {
        if body.len() < SHARED_LEAST {
            self.make_room(head.len() + body.len());
            self.copied.extend_from_slice(head);
            self.copied.extend_from_slice(body);
        } else {
            self.make_room(head.len());
            self.copied.extend_from_slice(head);
            self.shared.push_back((self.copied.len(), body.clone()));
        }
    }

    /// A vector grows to twice its length, which for a full lane is as much again as it holds.
    fn make_room(&mut self, bytes: usize) {
        if self.copied.capacity() - self.copied.len() >= bytes {
            return;
        }
        if self.copied.len() < DOUBLED_MOST {
            self.copied.reserve(bytes);
        } else {
            self.copied.reserve_exact(bytes.max(STEP));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        // A frame has a head, which is copied.
        self.copied.is_empty()
    }

    /// How many frames begin at or after `at`, where one begins, with the first `skip` bodies left out.
    pub(super) fn count_from(&self, mut at: usize, skip: usize) -> u64 {
        let (end, mut count) = (self.copied.len(), 0);
        let mut bodies = self.shared.iter().skip(skip).peekable();
        while at < end {
            let (_, length, rest) =
                codec::header(&self.copied[at..]).expect("a lane holds what was encoded");
            let frame = end - at - rest.len() + length;
            at = match bodies.next_if(|(place, _)| *place > at && *place <= at + frame) {
                Some((place, _)) => *place,
                None => at + frame,
            };
            count += 1;
        }
        count
    }

    /// Memory that they hold, what they share included.
    pub(super) fn held_bytes(&self) -> usize {
        let shared: usize = self.shared.iter().map(|(_, body)| body.len()).sum();
        self.copied.capacity() + self.shared.capacity() * size_of::<(usize, Bytes)>() + shared
    }

    /// With nothing in them, after so many bytes came since they were last looked at: gives back what
    /// is much more than that. What a fast sender fills again and again stays, as new memory costs
    /// more than to copy a message into it.
    pub(super) fn trim(&mut self, came: usize) {
        debug_assert!(self.is_empty());
        if came < self.copied.capacity() / 4 {
            self.copied.shrink_to(2 * DOUBLED_MOST);
        }
    }

    /// With nothing in them, gives back memory beyond `most`.
    pub(super) fn spare(&mut self, most: usize) {
        debug_assert!(self.is_empty());
        if self.copied.capacity() > most {
            self.copied = Vec::new();
        }
        if self.shared.capacity() * size_of::<(usize, Bytes)>() > most {
            self.shared = VecDeque::new();
        }
    }
}

/// Bodies as long as this are shared: about where a copy costs as much as two counts of references,
/// one of them on another processor.
const SHARED_LEAST: usize = 4 << 10;
/// Up to here room is made by doubling; a lane that holds more has a peer that reads too slowly.
const DOUBLED_MOST: usize = 512 << 10;
/// Beyond that it is made in steps of this.
const STEP: usize = 512 << 10;
