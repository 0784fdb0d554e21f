//! What a link does with bytes that come: messages of the handshake, then records, then frames.
//!
//! Bytes are judged where they lie; only a message or record that is not all there is kept, and no
//! more of it than its length tells.

use super::{FIRST_RECORD_BYTES_MAX, LENGTH_BYTES, Link, LinkEvent, Stage};
use crate::codec::{self, RawFrame, kind};
use crate::event::CloseReason;
use crate::frame::Frame;
use crate::secure::{FIRST_BYTES, GO_ON, MESSAGE_BYTES, ReplayGuard, Session, refusal_reason};

impl Link {
    /// Consumes one message or record from the front, or keeps its start; returns what follows.
    pub(super) fn take_unit<'a>(
        &mut self,
        bytes: &'a [u8],
        guard: &mut ReplayGuard,
        events: &mut Vec<LinkEvent>,
    ) -> Result<&'a [u8], CloseReason> {
        if self.inbound.is_empty() {
            let need = self.unit_bytes(bytes)?;
            if let Some((unit, rest)) = bytes.split_at_checked(need) {
                self.on_unit(unit, guard, events)?;
                return Ok(rest);
            }
        }
        // The length of what is kept may grow as its head comes in: never take more than is needed.
        let need = self.unit_bytes(&self.inbound)?;
        let (taken, rest) = bytes.split_at(bytes.len().min(need - self.inbound.len()));
        self.inbound.reserve_exact(need - self.inbound.len());
        self.inbound.extend_from_slice(taken);
        let need = self.unit_bytes(&self.inbound)?;
        if self.inbound.len() == need {
            let unit = core::mem::take(&mut self.inbound);
            self.on_unit(&unit, guard, events)?;
        }
        Ok(rest)
    }

    /// How long the message or record is that begins with these bytes, as far as they tell; at least
    /// one byte more than they are, unless it is all there.
    fn unit_bytes(&self, start: &[u8]) -> Result<usize, CloseReason> {
        match &self.stage {
            Stage::Listening(listening) => {
                listening.check_preamble(start)?;
                Ok(FIRST_BYTES)
            }
            Stage::Dialing(_) => match start.first() {
                Some(&GO_ON) => Ok(1 + MESSAGE_BYTES),
                _ => Ok(1),
            },
            Stage::Sealed(_) => match start {
                [high, low, ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    if !self.authenticated && length > FIRST_RECORD_BYTES_MAX {
                        return Err(CloseReason::TooLarge);
                    }
                    Ok(LENGTH_BYTES + length)
                }
                _ => Ok(LENGTH_BYTES),
            },
            Stage::Gone => Err(CloseReason::Garbage),
        }
    }

    fn on_unit(
        &mut self,
        unit: &[u8],
        guard: &mut ReplayGuard,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        match core::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Listening(listening) => {
                let (session, second) = listening.answer(unit, guard)?;
                let mut answer = Vec::with_capacity(1 + MESSAGE_BYTES);
                answer.push(GO_ON);
                answer.extend_from_slice(&second);
                self.clear = Some(answer.into());
                self.seal(session);
                Ok(())
            }
            Stage::Dialing(dialing) => {
                if unit[0] == GO_ON {
                    self.seal(dialing.finish(&unit[1..])?);
                } else {
                    self.dead = true;
                    events.push(LinkEvent::Frame(Frame::Close(refusal_reason(unit[0]))));
                }
                Ok(())
            }
            Stage::Sealed(mut session) => {
                let mut scratch = Vec::new();
                let text = session.opener.open(&unit[LENGTH_BYTES..], &mut scratch);
                self.stage = Stage::Sealed(session);
                self.authenticated |= text.is_ok();
                self.on_frames(text.map_err(|_| CloseReason::BadRecord)?, events)
            }
            Stage::Gone => Ok(()),
        }
    }

    fn seal(&mut self, session: Session) {
        self.session = session.id;
        self.stage = Stage::Sealed(session);
    }

    fn on_frames(
        &mut self,
        mut text: &[u8],
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        while !text.is_empty() && !self.dead {
            let (frame, rest) = codec::split(text).map_err(|_| CloseReason::Garbage)?;
            text = rest;
            if frame.kind == kind::PIECE && self.greeted {
                let pieces = self.pieces.get_or_insert_default();
                if let Some(whole) = pieces.take(frame.body, self.message_bytes_max)? {
                    let Ok((frame, [])) = codec::split(&whole) else {
                        return Err(CloseReason::Garbage);
                    };
                    self.on_frame(frame, events)?;
                }
            } else {
                self.on_frame(frame, events)?;
            }
        }
        Ok(())
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
        match codec::decode(frame).map_err(|_| CloseReason::Garbage)? {
            None if frame.kind == kind::PIECE => Err(CloseReason::Garbage),
            None | Some(Frame::Heartbeat) => Ok(()),
            Some(Frame::Ping(number)) => self.queue(&Frame::Pong(number)),
            Some(frame) => {
                self.dead |= matches!(frame, Frame::Close(_));
                events.push(LinkEvent::Frame(frame));
                Ok(())
            }
        }
    }
}
