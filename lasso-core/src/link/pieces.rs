//! Puts together frames that came in pieces: one at a time per lane.
//!
//! Memory grows with what has come, and not with what was announced until a good part has come. Calls and
//! messages count towards the budget of the whole node, [`Unfinished`](super::unfinished::Unfinished), and
//! may be given up for it: then the rest is dropped as it comes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::lanes::{LANES, LaneId};
use super::unfinished::{Budget, Buffer};
use crate::codec::{self, CONTROL_BYTES_MAX, HEAD_BYTES_MAX, kind};
use crate::event::CloseReason;
use crate::time::Instant;

/// The unfinished frames of one link.
pub(super) struct Pieces {
    budget: Budget,
    /// This link's number in the budget.
    owner: u64,
    /// Made with the first piece: most links never see one.
    lanes: [Option<Arc<Mutex<Buffer>>>; LANES],
    /// Whether a frame that is not given up is unfinished, by lane.
    open: [bool; LANES],
}

/// What a piece was the end of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Of a frame, head included.
    Whole(Vec<u8>),
    /// Of one that was given up; its start.
    GivenUp(Vec<u8>),
}

impl Pieces {
    pub(super) fn new(budget: Budget) -> Self {
        let owner = budget.shared.lock().owner();
        Pieces {
            owner,
            budget,
            lanes: Default::default(),
            open: [false; LANES],
        }
    }

    /// Takes from another budget from now on, for what has come as well.
    pub(super) fn move_to(&mut self, now: Instant, budget: Budget) {
        let before = core::mem::replace(self, Pieces::new(budget));
        self.open = before.open;
        self.lanes = before.lanes.clone();
        drop(before);
        for lane in LaneId::Calls as usize..LANES {
            if let Some(buffer) = self.lanes[lane].clone() {
                let bytes = buffer.lock().whole.capacity();
                self.open[lane] &= self.has_room(now, lane, bytes, &buffer);
            }
        }
    }

    /// Takes the body of a piece; what it ended, when it was the last one.
    ///
    /// # Errors
    /// [`CloseReason::TooLarge`]: the frame is larger than a message, or a control frame, may be.
    /// [`CloseReason::Garbage`]: the body is too short to be a piece.
    pub(super) fn take(
        &mut self,
        now: Instant,
        body: &[u8],
        message_bytes_max: usize,
    ) -> Result<Option<Ended>, CloseReason> {
        let [lane, flags, bytes @ ..] = body else {
            return Err(CloseReason::Garbage);
        };
        let (lane, is_last) = (usize::from(*lane), flags & LAST != 0);
        let Some(buffer) = self.lanes.get_mut(lane) else {
            // A lane of a later release.
            return Ok(None);
        };
        let buffer = Arc::clone(buffer.get_or_insert_default());
        let grown = {
            let buffer = buffer.lock();
            if buffer.is_given_up {
                None
            } else {
                Some(grown(&buffer.whole, lane, bytes, message_bytes_max)?)
            }
        };
        // Nothing of it is locked here: to make room, the budget may give up any message.
        if let Some(capacity) = grown.filter(|_| lane != LaneId::Control as usize) {
            self.has_room(now, lane, capacity, &buffer);
        }
        if is_last {
            // From here on the budget cannot give it up.
            self.budget.shared.lock().forget((self.owner, lane));
        }
        let mut buffer = buffer.lock();
        if buffer.is_given_up {
            buffer.keep_start(bytes);
        } else if let Some(capacity) = grown {
            let more = capacity.saturating_sub(buffer.whole.len());
            buffer.whole.reserve_exact(more);
            buffer.whole.extend_from_slice(bytes);
        }
        self.open[lane] = !is_last && !buffer.is_given_up;
        if !is_last {
            return Ok(None);
        }
        let Buffer { whole, is_given_up } = core::mem::take(&mut *buffer);
        Ok(Some(if is_given_up {
            Ended::GivenUp(whole)
        } else {
            Ended::Whole(whole)
        }))
    }

    /// Makes room for a message that has grown; false when it was given up instead.
    fn has_room(
        &self,
        now: Instant,
        lane: usize,
        bytes: usize,
        buffer: &Arc<Mutex<Buffer>>,
    ) -> bool {
        let (id, host) = ((self.owner, lane), self.budget.host);
        let (taken, freed) = self.budget.shared.lock().grow(now, id, host, bytes, buffer);
        drop(freed);
        taken
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether a frame is unfinished.
    pub(super) fn are_open(&self) -> bool {
        self.open.contains(&true)
    }

    /// Memory that the pieces hold.
    pub(super) fn held(&self) -> usize {
        let held = |lane: &Arc<Mutex<Buffer>>| lane.lock().whole.capacity();
        self.lanes.iter().flatten().map(held).sum::<usize>() + size_of::<Self>()
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut shared = self.budget.shared.lock();
        (0..LANES).for_each(|lane| shared.forget((self.owner, lane)));
    }
}

/// The memory that a frame has once these bytes are part of it.
fn grown(
    whole: &Vec<u8>,
    lane: usize,
    bytes: &[u8],
    message_bytes_max: usize,
) -> Result<usize, CloseReason> {
    // The head tells the kind and the length, and may come in several pieces itself.
    let mut head = [0; HEAD_BYTES_MAX];
    let start = whole.iter().chain(bytes).take(HEAD_BYTES_MAX);
    let known = start.zip(&mut head).map(|(byte, to)| *to = *byte).count();
    let (kind, announced, _) = codec::header(&head[..known]).unwrap_or((kind::BULK_MIN, 0, &[]));
    // A control frame that goes by another lane is no longer for that.
    let control = lane == LaneId::Control as usize || kind < kind::BULK_MIN;
    let longest = if control {
        CONTROL_BYTES_MAX
    } else {
        message_bytes_max
    };
    let length = whole.len() + bytes.len();
    // A frame whose head has come holds no more than the head announced.
    if announced > longest || length > announced + HEAD_BYTES_MAX {
        return Err(CloseReason::TooLarge);
    }
    let capacity = whole.capacity();
    if length <= capacity {
        return Ok(capacity);
    }
    let all = announced + HEAD_BYTES_MAX;
    Ok(if whole.len() >= EARNEST_BYTES {
        // Once, instead of one copy of it all for each time that it doubles.
        length.max(all)
    } else {
        length.max(all.min(2 * capacity))
    })
}

/// When this much of a frame has come, room is made for all of it.
const EARNEST_BYTES: usize = 1 << 20;
/// The flag of the last piece.
const LAST: u8 = 1;
