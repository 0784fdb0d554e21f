//! The receiving half of a link: opens records and tells their frames apart.
//!
//! Bytes are judged where they lie; only a record that is not all there is kept, and no more of it
//! than its length tells.

use bytes::Bytes;

use super::lanes::{LaneFull, LaneId, SharedLanes};
use super::pace::{Pace, Tally};
use super::pieces::{Ended, Pieces};
use super::unfinished::Budget;
use super::{FIRST_RECORD_BYTES_MAX, LENGTH_BYTES, LinkEvent, SMALL_FRAME};
use crate::codec::{self, RawFrame, kind};
use crate::event::CloseReason;
use crate::frame::Frame;
use crate::secure::Opener;
use crate::time::Instant;

/// See the module's text.
pub struct Inbound {
    opener: Opener,
    /// The start of a record whose rest has not come.
    partial: Vec<u8>,
    /// Where records are opened while a frame comes in pieces.
    scratch: Vec<u8>,
    /// Frames that come in pieces; a stranger's connection has none.
    pieces: Option<Box<Pieces>>,
    /// How much data has come, for peers of earlier releases.
    tally: Tally,
    /// Probes are not answered.
    muted: bool,
    /// Where pings are answered and the time of the last byte is noted.
    lanes: SharedLanes,
    /// True when the peer's first record has opened.
    authenticated: bool,
    /// True when the peer's `Hello` has come.
    greeted: bool,
    /// True after the peer's `Close`: nothing comes any more.
    closed: bool,
    pub(super) message_bytes_max: usize,
}

impl Inbound {
    pub(super) fn new(opener: Opener, lanes: SharedLanes, message_bytes_max: usize) -> Inbound {
        Inbound {
            opener,
            partial: Vec::new(),
            scratch: Vec::new(),
            pieces: None,
            tally: Tally::default(),
            muted: false,
            lanes,
            authenticated: false,
            greeted: false,
            closed: false,
            message_bytes_max,
        }
    }

    /// Takes bytes that came, in order, however they were sliced.
    ///
    /// # Errors
    /// The reason for which this connection is to be closed; nothing more is to be given.
    pub fn receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        self.lanes.lock().received(now, bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() && !self.closed {
            rest = self.take_record(now, rest, events)?;
        }
        Ok(())
    }

    /// See [`Link::mute_data`](super::Link::mute_data).
    pub(super) fn mute_data(&mut self) {
        self.tally.mute();
        self.muted = true;
    }

    /// Consumes one record from the front, or keeps its start; returns what follows.
    fn take_record<'a>(
        &mut self,
        now: Instant,
        bytes: &'a [u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<&'a [u8], CloseReason> {
        if self.partial.is_empty() {
            let need = self.record_bytes(bytes)?;
            if let Some((record, rest)) = bytes.split_at_checked(need) {
                self.on_record(now, record, events)?;
                return Ok(rest);
            }
        }
        // What is needed may grow as the length comes in: never take more than that.
        let need = self.record_bytes(&self.partial)?;
        let (taken, rest) = bytes.split_at(bytes.len().min(need - self.partial.len()));
        self.partial.reserve_exact(need - self.partial.len());
        self.partial.extend_from_slice(taken);
        let need = self.record_bytes(&self.partial)?;
        if self.partial.len() == need {
            let record = core::mem::take(&mut self.partial);
            self.on_record(now, &record, events)?;
        }
        Ok(rest)
    }

    /// How long the record is that begins with these bytes, as far as they tell; at least one byte
    /// more than they are, unless it is all there.
    fn record_bytes(&self, start: &[u8]) -> Result<usize, CloseReason> {
        let [high, low, ..] = start else {
            return Ok(LENGTH_BYTES);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !self.authenticated && length > FIRST_RECORD_BYTES_MAX {
            return Err(CloseReason::TooLarge);
        }
        Ok(LENGTH_BYTES + length)
    }

    fn on_record(
        &mut self,
        now: Instant,
        record: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        let mut scratch = core::mem::take(&mut self.scratch);
        let opened = self.opener.open(&record[LENGTH_BYTES..], &mut scratch);
        let text = opened.map_err(|_| CloseReason::BadRecord)?;
        self.authenticated = true;
        let data = if self.greeted { data_bytes(text) } else { 0 };
        if let Some(total) = self.tally.take(data) {
            answer(&self.lanes, &Frame::Taken(total))?;
        }
        if !self.greeted || text.first().is_none_or(|kind| *kind < kind::BULK_MIN) {
            let taken = self.on_frames(now, text, events);
            if self.pieces.as_ref().is_some_and(|pieces| pieces.are_open()) {
                // More records as long as this one are to come.
                self.scratch = scratch;
            }
            return taken;
        }
        let text = if self.opener.is_null() {
            Bytes::copy_from_slice(text)
        } else {
            let length = text.len();
            scratch.truncate(length);
            Bytes::from(scratch)
        };
        events.push(LinkEvent::Text(text));
        Ok(())
    }

    fn on_frames(
        &mut self,
        now: Instant,
        mut text: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        while !text.is_empty() && !self.closed {
            let (frame, rest) = codec::split(text).map_err(|_| CloseReason::Garbage)?;
            text = rest;
            if frame.kind == kind::PIECE && self.greeted {
                let new = || Box::new(Pieces::new(Budget::alone()));
                let pieces = self.pieces.get_or_insert_with(new);
                match pieces.take(now, frame.body, self.message_bytes_max)? {
                    Some(Ended::Whole(whole)) => self.on_whole(whole, events)?,
                    Some(Ended::GivenUp(start)) => events.push(LinkEvent::GivenUp(start.into())),
                    None => {}
                }
            } else {
                self.on_frame(frame, events)?;
            }
        }
        Ok(())
    }

    /// A frame that came in pieces is all there.
    fn on_whole(&mut self, whole: Vec<u8>, events: &mut Vec<LinkEvent>) -> Result<(), CloseReason> {
        let Ok((frame, [])) = codec::split(&whole) else {
            return Err(CloseReason::Garbage);
        };
        if frame.kind >= kind::PLANE_MIN {
            events.push(LinkEvent::Text(Bytes::from(whole)));
            return Ok(());
        }
        self.on_frame(frame, events)
    }

    fn on_frame(
        &mut self,
        frame: RawFrame<'_>,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        let greeting = frame.kind == kind::HELLO;
        if greeting == self.greeted && frame.kind != kind::CLOSE {
            // A second greeting, or something before the first.
            return Err(CloseReason::Garbage);
        }
        self.greeted |= greeting;
        if frame.kind >= kind::PLANE_MIN {
            let mut text = Vec::with_capacity(frame.body.len() + SMALL_FRAME);
            codec::put(frame.kind, frame.body, &mut text);
            events.push(LinkEvent::Text(text.into()));
            return Ok(());
        }
        match codec::decode(frame).map_err(|_| CloseReason::Garbage)? {
            None if frame.kind == kind::PIECE => Err(CloseReason::Garbage),
            None | Some(Frame::Heartbeat) => Ok(()),
            Some(Frame::Ping(number)) => {
                if Pace::is_probe(number) {
                    // It measures by itself.
                    self.tally.mute();
                    if self.muted {
                        return Ok(());
                    }
                }
                let now = self.lanes.lock().last_received;
                answer(&self.lanes, &Frame::Pong(Pace::answer_to(number, now)))
            }
            Some(Frame::Pong(number)) if Pace::is_probe(number) => {
                let answered = self.lanes.lock().answered(number);
                answered.wake();
                Ok(())
            }
            Some(Frame::Taken(_)) => Ok(()),
            Some(frame) => {
                self.closed |= matches!(frame, Frame::Close(_));
                events.push(LinkEvent::Frame(frame));
                Ok(())
            }
        }
    }

    /// When an unfinished message of the node is given up, if this link has one: see
    /// [`Unfinished`](super::Unfinished).
    pub fn deadline(&self) -> Option<Instant> {
        let open = self.pieces.as_ref().filter(|pieces| pieces.are_open())?;
        open.budget().shared.lock().deadline()
    }

    pub(super) fn share(&mut self, now: Instant, budget: Budget) {
        match &mut self.pieces {
            // Some came in the same breath as the peer's name.
            Some(pieces) => pieces.move_to(now, budget),
            None => self.pieces = Some(Box::new(Pieces::new(budget))),
        }
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Memory that is held, keys not included.
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.capacity()
            + self.scratch.capacity()
            + self.pieces.as_ref().map_or(0, |pieces| pieces.held())
    }
}

impl core::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inbound")
            .field("opener", &self.opener)
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
    }
}

/// Tells the peer something that the link itself has to say.
fn answer(lanes: &SharedLanes, frame: &Frame) -> Result<(), CloseReason> {
    let mut bytes = Vec::new();
    codec::encode(frame, &mut bytes);
    let pushed = lanes.lock().push(LaneId::Control, &bytes, &Bytes::new());
    pushed
        .map_err(|LaneFull| CloseReason::ControlLaneFull)?
        .wake();
    Ok(())
}

/// Length of a text of the data lane; 0 for one of another lane.
fn data_bytes(text: &[u8]) -> usize {
    let is_data = match text.first() {
        Some(&kind::PIECE) => {
            let piece = codec::split(text).ok();
            piece.is_some_and(|(piece, _)| piece.body.first() == Some(&(LaneId::Data as u8)))
        }
        Some(kind) => (kind::BULK_MIN..kind::CALL).contains(kind),
        None => false,
    };
    if is_data { text.len() } else { 0 }
}
