//! What waits to be sent on one link: three lanes, each with a bound.
//!
//! The node fills the control lane, the data plane the other two, and [`Outbound`](super::Outbound)
//! empties them, maybe in a task of its own; so they stand behind a lock, which is held for a copy
//! of bytes and never over cryptography or IO.
//!
//! 1. What a lane holds stays within its bound, but for a single frame of any legal size.
//! 2. Frames of one lane leave in the order in which they came.
//! 3. Bytes taken = bytes sent + bytes held, for each lane.
//!
//! What it does not do: it does not know what a frame says, and sheds nothing by itself; it says
//! that it is full.

use core::task::Waker;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::TEXT_BYTES_MAX;
use super::frames::Frames;
use super::pace::Pace;
use crate::config::LinkSettings;
use crate::time::Instant;

/// Which lane of a link. A lower one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneId {
    /// Heartbeats, topology, interest.
    Control = 0,
    /// Calls and their answers.
    Calls = 1,
    /// Messages of topics.
    Data = 2,
}

/// Control, calls, data.
pub(super) const LANES: usize = 3;

/// The lanes of one link, for all who fill or empty them.
pub type SharedLanes = Arc<Mutex<Lanes>>;

/// A frame was not taken, since its lane is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lane is full")]
pub struct LaneFull;

/// What one lane took, and what became of it, in bytes since the link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneCount {
    /// Taken.
    pub taken: u64,
    /// Sealed, to be written.
    pub sent: u64,
    /// Waiting.
    pub held: u64,
    /// The most that ever waited, where it was more than one frame.
    pub most: u64,
    /// What would have waited with the smallest frame that was refused; `None`: none was.
    pub least_refused: Option<u64>,
    /// Records of a later lane that were sent while this one held something that could have been sent.
    pub overtaken: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: [Waiting; LANES],
    /// Whoever empties the lanes found nothing, and is to be told of the next frame.
    idle: bool,
    /// How it is told.
    waker: Option<Waker>,
    /// The last frame has come: what is in the control lane still goes out, and nothing more.
    finished: bool,
    /// How far calls and data may run ahead of the peer; once there were any.
    pace: Option<Box<Pace>>,
    /// How full each lane was; once anything had to wait behind something. A stranger's connection,
    /// which may hold little, has none.
    marks: Option<Box<[Marks; LANES]>>,
    pub(super) last_sent: Instant,
    pub(super) last_received: Instant,
}

/// One lane.
#[derive(Debug, Default)]
struct Waiting {
    /// Frames that nobody has come for yet.
    frames: Frames,
    /// Bytes that wait here, and those that were fetched and are not sent yet.
    held: usize,
    bound: usize,
    taken: u64,
    sent: u64,
}

/// What a link had taken and did not send before it was closed, in frames. A frame counts as sent once
/// all of it was handed to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOver {
    /// Calls and answers.
    pub calls: u64,
    /// Messages of topics.
    pub messages: u64,
}

/// How full one lane was.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// The most bytes that waited, where they were more than one frame.
    most: usize,
    /// What would have waited with the smallest frame that was refused.
    least_refused: Option<usize>,
    /// Frames that were fetched, or came too late, and never go out.
    given_up: u64,
    /// Records of a later lane that were sent in front of what waited here.
    overtaken: u64,
}

/// What is to be done after a frame was taken.
#[derive(Debug)]
pub enum Pushed {
    /// Nothing: whoever empties the lanes is at it.
    Queued,
    /// It had found nothing: this wakes it; without a waker whoever drives it is to look.
    Woke(Option<Waker>),
}

impl Pushed {
    /// Wakes whoever waits by a waker; true when somebody is to look without one.
    pub fn wake(self) -> bool {
        match self {
            Pushed::Queued => false,
            Pushed::Woke(Some(waker)) => {
                waker.wake();
                false
            }
            Pushed::Woke(None) => true,
        }
    }
}

impl Lanes {
    /// Empty lanes.
    pub fn new(now: Instant, settings: &LinkSettings) -> Lanes {
        let mut lanes = Lanes {
            idle: true,
            last_sent: now,
            last_received: now,
            ..Lanes::default()
        };
        lanes.lanes[LaneId::Control as usize].bound = settings.control_lane_bytes;
        lanes.lanes[LaneId::Calls as usize].bound = settings.calls_lane_bytes;
        lanes.lanes[LaneId::Data as usize].bound = settings.data_lane_bytes;
        lanes
    }

    /// Appends one frame, given in two parts. A long body is shared and not copied.
    ///
    /// # Errors
    /// [`LaneFull`]; nothing was taken. Lanes that are finished take everything and send nothing.
    pub fn push(&mut self, id: LaneId, head: &[u8], body: &Bytes) -> Result<Pushed, LaneFull> {
        if self.finished {
            self.give_up(id, 1);
            return Ok(Pushed::Queued);
        }
        let length = head.len() + body.len();
        if !self.mark(id, length) {
            return Err(LaneFull);
        }
        let lane = &mut self.lanes[id as usize];
        lane.frames.push(head, body);
        lane.held += length;
        lane.taken += length as u64;
        let stuck = self.pace.as_ref().is_some_and(|pace| pace.is_stuck());
        if !self.may_send(id) && !stuck {
            // The answer to a probe will say when.
            return Ok(Pushed::Queued);
        }
        Ok(self.came())
    }

    /// Notes how full the lane becomes with a frame of so many bytes; false when it has no room.
    fn mark(&mut self, id: LaneId, length: usize) -> bool {
        let (held, has_room) = (self.held(id), self.has_room(id, length));
        if held == 0 {
            return true;
        }
        let mark = &mut self.marks.get_or_insert_default()[id as usize];
        let would = held + length;
        if has_room {
            mark.most = mark.most.max(would);
        } else {
            let least = mark.least_refused.get_or_insert(would);
            *least = would.min(*least);
        }
        has_room
    }

    /// True when the lane takes a frame of so many bytes now.
    pub fn has_room(&self, id: LaneId, bytes: usize) -> bool {
        let lane = &self.lanes[id as usize];
        self.finished || lane.held == 0 || lane.held + bytes <= lane.bound
    }

    /// Takes out all that waits in a lane, as if it had been sent: for tests without a link.
    #[cfg(test)]
    pub(crate) fn drain(&mut self, id: LaneId) -> Vec<u8> {
        let (mut frames, mut out, mut from) = (Frames::default(), Vec::new(), 0);
        self.fetch(id, &mut frames);
        for (at, body) in &frames.shared {
            out.extend_from_slice(&frames.copied[from..*at]);
            out.extend_from_slice(body);
            from = *at;
        }
        out.extend_from_slice(&frames.copied[from..]);
        self.sent(self.last_sent, id, out.len(), 0);
        out
    }

    /// So many bytes have come.
    pub(super) fn received(&mut self, now: Instant, bytes: usize) {
        self.last_received = now;
        if let Some(pace) = &mut self.pace {
            pace.received(bytes);
        }
    }

    /// The last bytes that came answer a probe.
    pub(super) fn answered(&mut self, number: u64) -> Pushed {
        let now = self.last_received;
        let opens = self
            .pace
            .as_mut()
            .is_some_and(|pace| pace.answered(now, number));
        if opens && self.bulk_held() > 0 {
            return self.came();
        }
        Pushed::Queued
    }

    /// The number of the probe that is to go out before anything else, if one is due and has room.
    pub(super) fn probe(&mut self, now: Instant, has_room: bool) -> Option<u64> {
        let waiting = self.bulk_held();
        if self.finished || !has_room || self.pace.is_none() && waiting == 0 {
            return None;
        }
        let pace = self.pace.get_or_insert_default();
        pace.wants_probe(now, waiting).then(|| pace.probe(now))
    }

    /// Bytes of calls and data that wait.
    fn bulk_held(&self) -> usize {
        self.held(LaneId::Calls) + self.held(LaneId::Data)
    }

    /// Whether something of this lane may go out now.
    pub(super) fn may_send(&self, id: LaneId) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace.may_send(id))
    }

    /// The longest text that the next record of this lane may have.
    pub(super) fn record_bytes(&self, id: LaneId) -> usize {
        match &self.pace {
            Some(pace) if id != LaneId::Control => pace.record_bytes(),
            _ => TEXT_BYTES_MAX,
        }
    }

    fn came(&mut self) -> Pushed {
        if core::mem::take(&mut self.idle) {
            Pushed::Woke(self.waker.take())
        } else {
            Pushed::Queued
        }
    }

    /// Bytes that a lane may hold.
    pub fn bound(&self, id: LaneId) -> usize {
        self.lanes[id as usize].bound
    }

    /// Bytes that the lane holds.
    pub fn held(&self, id: LaneId) -> usize {
        self.lanes[id as usize].held
    }

    /// What the lane took and gave.
    pub fn count(&self, id: LaneId) -> LaneCount {
        let lane = &self.lanes[id as usize];
        let marks = self.marks.as_ref().map(|marks| marks[id as usize]);
        let marks = marks.unwrap_or_default();
        LaneCount {
            taken: lane.taken,
            sent: lane.sent,
            held: lane.held as u64,
            most: marks.most as u64,
            least_refused: marks.least_refused.map(|least| least as u64),
            overtaken: marks.overtaken,
        }
    }

    /// Appends the very last frame, whatever the bound says; the other lanes are given up.
    pub(super) fn finish(&mut self, last: &[u8]) -> Pushed {
        for id in [LaneId::Calls, LaneId::Data] {
            let given_up = core::mem::take(&mut self.lanes[id as usize].frames);
            self.give_up(id, given_up.count_from(0, 0));
        }
        let control = &mut self.lanes[LaneId::Control as usize];
        control.frames.push(last, &Bytes::new());
        control.held += last.len();
        control.taken += last.len() as u64;
        self.finished = true;
        self.came()
    }

    /// Frames that were fetched never go out, as the link is closed.
    pub(super) fn give_up(&mut self, id: LaneId, frames: u64) {
        if frames > 0 {
            self.marks.get_or_insert_default()[id as usize].given_up += frames;
        }
    }

    /// What the lanes did not send. All of it is known once the link is closed and nobody empties
    /// the lanes any more.
    pub fn left_over(&self) -> LeftOver {
        let left = |id: LaneId| {
            let marks = self.marks.as_ref();
            marks.map_or(0, |marks| marks[id as usize].given_up)
        };
        LeftOver {
            calls: left(LaneId::Calls),
            messages: left(LaneId::Data),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Moves what waits in a lane into `into`, which is empty; false when nothing does.
    pub(super) fn fetch(&mut self, id: LaneId, into: &mut Frames) -> bool {
        debug_assert!(into.is_empty());
        let waiting = &mut self.lanes[id as usize].frames;
        if waiting.is_empty() {
            return false;
        }
        core::mem::swap(waiting, into);
        waiting.trim(into.copied.len());
        true
    }

    /// The next record is one of this lane: notes whom it goes in front of, which should be nobody.
    pub(super) fn chose(&mut self, id: LaneId) {
        for earlier in [LaneId::Control, LaneId::Calls] {
            if earlier < id && self.held(earlier) > 0 {
                self.marks.get_or_insert_default()[earlier as usize].overtaken += 1;
            }
        }
    }

    /// So many bytes of what was fetched went out, at `at`, in a text of so many bytes.
    pub(super) fn sent(&mut self, at: Instant, id: LaneId, bytes: usize, text: usize) {
        if id != LaneId::Control {
            self.pace.get_or_insert_default().sent(at, id, text);
        }
        let lane = &mut self.lanes[id as usize];
        lane.held -= bytes;
        lane.sent += bytes as u64;
        self.last_sent = self.last_sent.max(at);
    }

    /// Nothing may go out now: `waker` is woken when something may.
    pub(super) fn wait(&mut self, waker: Option<&Waker>) {
        if self.bulk_held() == 0
            && let Some(pace) = &mut self.pace
        {
            pace.ran_dry();
        }
        self.idle = true;
        self.waker = waker.cloned();
    }

    /// Nothing waits. The memory that was used for fetching is kept here, as far as it is of use for
    /// the next frames.
    pub(super) fn rest<'a>(&mut self, fetched: impl IntoIterator<Item = &'a mut Frames>) {
        for ((lane, fetched), keep) in self.lanes.iter_mut().zip(fetched).zip(KEPT_AT_REST) {
            if fetched.copied.capacity() > lane.frames.copied.capacity() {
                core::mem::swap(&mut lane.frames, fetched);
            }
            fetched.spare(0);
            lane.frames.spare(keep);
        }
    }

    /// The link has been idle for long: nothing is kept for the next frames.
    pub(super) fn relax(&mut self) {
        let idle = self.lanes.iter_mut().filter(|lane| lane.held == 0);
        idle.for_each(|lane| lane.frames.spare(0));
    }

    /// Memory that the lanes hold, themselves included.
    pub(super) fn held_bytes(&self) -> usize {
        let waiting = self.lanes.iter().map(|lane| lane.frames.held_bytes());
        let marks = self.marks.as_deref().map_or(0, size_of_val);
        let pace = self.pace.as_ref().map_or(0, |pace| pace.held_bytes());
        size_of::<Self>() + waiting.sum::<usize>() + marks + pace
    }
}

/// Bytes of memory that a lane keeps when nothing waits, until the link has been idle for long. Most
/// links carry nothing but a heartbeat now and then.
const KEPT_AT_REST: [usize; LANES] = [0, 256 << 10, 1 << 20];
