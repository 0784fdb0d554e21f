//! The sending half of a link: cuts what waits in the lanes into records, and seals them.
//!
//! 1. Control goes before calls, and calls before data, at every record.
//! 2. A record holds frames of one lane.
//! 3. Calls and data wait where too much of them is on its way, and their records are short where the line is
//!    thin; control frames never wait for that. See [`Pace`](super::pace).
//! 4. A probe that is due goes before all lanes; there is at most one for each KiB of calls and data.

use core::task::Waker;

use super::lane::Lane;
use super::lanes::{LANES, LaneId, Lanes, SharedLanes};
use super::{FIRST_RECORD_BYTES_MAX, TEXT_BYTES_MAX};
use crate::codec::{self, HEAD_BYTES_MAX};
use crate::frame::Frame;
use crate::secure::{Sealer, TAG_BYTES};
use crate::time::Instant;

/// What came of asking for the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outflow {
    /// One record was appended.
    Record,
    /// Nothing waits; the waker is woken by the next frame.
    Idle,
    /// The link is closed and all was said: the stream is to be shut down.
    Finished,
}

/// See the module's text.
pub struct Outbound {
    sealer: Sealer,
    lanes: SharedLanes,
    /// Fetched from the lanes, and not yet all sealed.
    fetched: [Lane; LANES],
    /// Where the text of a record is put together that does not lie in one piece.
    scratch: Vec<u8>,
    /// What the last record was made of, and when; the lanes have not been told yet.
    untold: Option<Sealed>,
}

/// What the next record is made of.
enum Next {
    Nothing,
    /// A ping with this number.
    Probe(u64),
    /// Frames of this lane, in a text of at most so many bytes.
    Lane(LaneId, usize),
}

/// A record that went out.
struct Sealed {
    at: Instant,
    id: LaneId,
    /// Bytes of frames.
    bytes: usize,
    /// Bytes of text.
    text: usize,
}

impl Outbound {
    pub(super) fn new(sealer: Sealer, lanes: SharedLanes) -> Outbound {
        Outbound {
            sealer,
            lanes,
            fetched: Default::default(),
            scratch: Vec::new(),
            untold: None,
        }
    }

    /// Appends the next record, of at most 65,537 bytes, to `out`; nothing else. `now` counts as the
    /// time at which it was sent.
    pub fn poll(&mut self, now: Instant, waker: Option<&Waker>, out: &mut Vec<u8>) -> Outflow {
        if self.seal_next(now, TEXT_BYTES_MAX, waker, out) {
            return Outflow::Record;
        }
        if self.lanes.lock().is_finished() {
            return Outflow::Finished;
        }
        Outflow::Idle
    }

    pub(super) fn records(&self) -> u64 {
        self.sealer.records()
    }

    /// The longest text that the next record may have.
    pub(super) fn longest(&self) -> usize {
        match self.sealer.records() {
            0 => FIRST_RECORD_BYTES_MAX - TAG_BYTES,
            _ => TEXT_BYTES_MAX,
        }
    }

    /// Seals frames that wait, up to `room` bytes of text; false when none do, or do not fit. Where
    /// none do, `waker` is woken by the next one.
    pub(super) fn seal_next(
        &mut self,
        now: Instant,
        room: usize,
        waker: Option<&Waker>,
        out: &mut Vec<u8>,
    ) -> bool {
        let room = room.min(self.longest());
        let (id, longest) = match self.refill(now, room, waker) {
            Next::Nothing => return false,
            Next::Probe(number) => {
                self.scratch.clear();
                codec::encode(&Frame::Ping(number), &mut self.scratch);
                self.sealer.seal(&self.scratch, out);
                self.untold = Some(Sealed {
                    at: now,
                    id: LaneId::Control,
                    bytes: 0,
                    text: 0,
                });
                return true;
            }
            Next::Lane(id, longest) => (id, longest),
        };
        let lane = &mut self.fetched[id as usize];
        let Some(taken) = lane.take(id as u8, room, longest, &mut self.scratch) else {
            return false;
        };
        self.sealer.seal(taken.text, out);
        self.untold = Some(Sealed {
            at: now,
            id,
            bytes: taken.bytes,
            text: taken.text.len(),
        });
        true
    }

    /// Seals a text that waits in no lane.
    #[cfg(test)]
    pub(super) fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        self.sealer.seal(text, &mut record);
        record
    }

    /// The first lane in which something waits, fetched if need be; or a probe that is due before that.
    fn refill(&mut self, now: Instant, room: usize, waker: Option<&Waker>) -> Next {
        let mut lanes = self.lanes.lock();
        if let Some(sealed) = self.untold.take() {
            lanes.sent(sealed.at, sealed.id, sealed.bytes, sealed.text);
        }
        if let Some(number) = lanes.probe(now, room >= PROBE_BYTES) {
            return Next::Probe(number);
        }
        for id in [LaneId::Control, LaneId::Calls, LaneId::Data] {
            let fetched = &mut self.fetched[id as usize];
            let waits = !fetched.is_empty() || lanes.fetch(id, fetched.emptied());
            if waits && lanes.may_send(id) {
                lanes.chose(id);
                return Next::Lane(id, lanes.record_bytes(id));
            }
            if lanes.is_finished() {
                give_up(&mut self.fetched, &mut lanes);
                return Next::Nothing;
            }
        }
        lanes.wait(waker);
        if self.fetched.iter().all(Lane::is_empty) {
            lanes.rest(self.fetched.iter_mut().map(Lane::emptied));
            self.scratch = Vec::new();
        }
        Next::Nothing
    }

    /// Memory that is held, keys not included.
    pub(super) fn held_bytes(&self) -> usize {
        self.fetched.iter().map(Lane::held_bytes).sum::<usize>() + self.scratch.capacity()
    }
}

/// Longest text of a probe.
const PROBE_BYTES: usize = HEAD_BYTES_MAX + size_of::<u64>();

/// Calls and messages that were fetched from lanes that are finished never go out.
fn give_up(fetched: &mut [Lane; LANES], lanes: &mut Lanes) {
    for id in [LaneId::Calls, LaneId::Data] {
        let fetched = core::mem::take(&mut fetched[id as usize]);
        lanes.give_up(id, fetched.frames_left());
    }
}

/// A connection that is given up before it has sent all leaves the rest to be counted.
impl Drop for Outbound {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        if lanes.is_finished() {
            give_up(&mut self.fetched, &mut lanes);
        }
    }
}

impl core::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outbound")
            .field("sealer", &self.sealer)
            .finish_non_exhaustive()
    }
}
