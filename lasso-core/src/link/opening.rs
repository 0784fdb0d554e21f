//! The clear part of a link: the messages of the handshake, until both sides hold the keys.

use super::lanes::SharedLanes;
use super::{Link, Stage};
use crate::event::CloseReason;
use crate::link::{Inbound, Outbound};
use crate::secure::{
    FIRST_BYTES, GO_ON, MESSAGE_BYTES, ReplayGuard, STATUS_LIMIT, Session, refusal_reason,
};

impl Link {
    /// Consumes one message of the handshake from the front, or keeps its start; returns what
    /// follows.
    pub(super) fn take_message<'a>(
        &mut self,
        bytes: &'a [u8],
        guard: &mut ReplayGuard,
    ) -> Result<&'a [u8], CloseReason> {
        if self.partial.is_empty() {
            let need = self.message_bytes(bytes)?;
            if let Some((message, rest)) = bytes.split_at_checked(need) {
                self.on_message(message, guard)?;
                return Ok(rest);
            }
        }
        // The length of what is kept may grow as its head comes in: never take more than is needed.
        let need = self.message_bytes(&self.partial)?;
        let (taken, rest) = bytes.split_at(bytes.len().min(need - self.partial.len()));
        self.partial.reserve_exact(need - self.partial.len());
        self.partial.extend_from_slice(taken);
        let need = self.message_bytes(&self.partial)?;
        if self.partial.len() == need {
            let message = core::mem::take(&mut self.partial);
            self.on_message(&message, guard)?;
        }
        Ok(rest)
    }

    /// How long the message is that begins with these bytes, as far as they tell; at least one byte
    /// more than they are, unless it is all there.
    fn message_bytes(&self, start: &[u8]) -> Result<usize, CloseReason> {
        match &self.stage {
            Stage::Listening(listening) => {
                listening.check_preamble(start)?;
                Ok(FIRST_BYTES)
            }
            Stage::Dialing(_) => match start.first() {
                None => Ok(1),
                Some(&GO_ON) => Ok(1 + MESSAGE_BYTES),
                // A node sends nothing after a refusal; another service may.
                Some(status) if *status < STATUS_LIMIT => Ok(2),
                Some(_) => Err(CloseReason::NotLasso),
            },
            Stage::Sealed(_) | Stage::Detached | Stage::Gone => Err(CloseReason::Garbage),
        }
    }

    fn on_message(&mut self, message: &[u8], guard: &mut ReplayGuard) -> Result<(), CloseReason> {
        match core::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Listening(listening) => {
                let (session, second) = listening.answer(message, guard)?;
                let mut answer = Vec::with_capacity(1 + MESSAGE_BYTES);
                answer.push(GO_ON);
                answer.extend_from_slice(&second);
                self.clear = Some(answer.into());
                self.seal(session);
            }
            Stage::Dialing(dialing) => {
                if message[0] != GO_ON {
                    return Err(CloseReason::NotLasso);
                }
                self.seal(dialing.finish(&message[1..])?);
            }
            Stage::Sealed(_) | Stage::Detached | Stage::Gone => {}
        }
        Ok(())
    }

    /// The connection has ended, or its time is over: what the acceptor had said by then, where that is known
    /// only now. A refusal is a single byte with nothing after it.
    pub fn last_word(&self) -> Option<CloseReason> {
        match (&self.stage, self.partial.first()) {
            (Stage::Dialing(_), Some(&GO_ON)) => Some(CloseReason::NotLasso),
            (Stage::Dialing(_), Some(status)) => Some(refusal_reason(*status)),
            _ => None,
        }
    }

    fn seal(&mut self, session: Session) {
        self.session = session.id;
        self.keys_bytes = session.held_bytes();
        let lanes = || SharedLanes::clone(&self.lanes);
        let largest = self.message_bytes_max + BULK_HEAD_BYTES;
        let inbound = Inbound::new(session.opener, lanes(), largest);
        let outbound = Outbound::new(session.sealer, lanes());
        self.stage = Stage::Sealed(Box::new(Detached { inbound, outbound }));
    }
}

/// Both halves of a link whose handshake is over: each may run in a task of its own.
#[derive(Debug)]
pub struct Detached {
    /// What comes.
    pub inbound: Inbound,
    /// What goes.
    pub outbound: Outbound,
}

/// A message or call may be as large as the bound says, whatever its frame has in front of it.
pub(crate) const BULK_HEAD_BYTES: usize = 512;
