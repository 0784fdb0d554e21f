//! Puts together frames that came in pieces: one at a time per lane.
//!
//! Memory grows with what has come, and not with what was announced until a good part has come.

use super::lanes::{LANES, LaneId};
use crate::codec::{self, CONTROL_BYTES_MAX, HEAD_BYTES_MAX, kind};
use crate::event::CloseReason;

/// The unfinished frames of one link.
#[derive(Default)]
pub(super) struct Pieces {
    lanes: [Vec<u8>; LANES],
}

impl Pieces {
    /// Takes the body of a piece; the whole frame, head included, when it was the last one.
    ///
    /// # Errors
    /// [`CloseReason::TooLarge`]: the frame is larger than a message, or a control frame, may be.
    /// [`CloseReason::Garbage`]: the body is too short to be a piece.
    pub(super) fn take(
        &mut self,
        body: &[u8],
        message_bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, CloseReason> {
        let [lane, flags, bytes @ ..] = body else {
            return Err(CloseReason::Garbage);
        };
        let Some(whole) = self.lanes.get_mut(usize::from(*lane)) else {
            // A lane of a later release.
            return Ok(None);
        };
        let longest = if *lane == LaneId::Control as u8 {
            CONTROL_BYTES_MAX
        } else {
            message_bytes_max
        };
        // The head tells the length, and comes with the first piece.
        let announced = codec::header(whole).map_or(0, |(_, length, _)| length);
        if whole.len() >= EARNEST_BYTES && announced <= longest {
            // Once, instead of one copy of it all for each time that it doubles.
            whole.reserve_exact((announced + HEAD_BYTES_MAX).saturating_sub(whole.len()));
        }
        whole.extend_from_slice(bytes);
        let announced = codec::header(whole).map_or(0, |(_, length, _)| length);
        // A control frame that goes by another lane is no longer for that.
        let control = codec::header(whole).is_some_and(|(kind, ..)| kind < kind::BULK_MIN);
        let longest = if control { CONTROL_BYTES_MAX } else { longest };
        if announced > longest || whole.len() > longest + HEAD_BYTES_MAX {
            return Err(CloseReason::TooLarge);
        }
        Ok((flags & LAST != 0).then(|| core::mem::take(whole)))
    }

    /// Whether a frame is unfinished.
    pub(super) fn are_open(&self) -> bool {
        self.lanes.iter().any(|whole| !whole.is_empty())
    }

    /// Memory that the pieces hold.
    pub(super) fn held(&self) -> usize {
        self.lanes.iter().map(Vec::capacity).sum::<usize>() + size_of::<Self>()
    }
}

/// When this much of a frame has come, room is made for all of it.
const EARNEST_BYTES: usize = 1 << 20;
/// The flag of the last piece.
const LAST: u8 = 1;
