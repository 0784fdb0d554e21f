//! The times of a link: how long a handshake may last, when a heartbeat is due, and when a peer has
//! been silent for too long.

use core::time::Duration;

use super::{LaneId, Link, LinkEvent};
use crate::event::CloseReason;
use crate::frame::Frame;
use crate::time::Instant;

impl Link {
    /// Does what is due: gives up an unfinished handshake, sends a heartbeat, judges silence.
    ///
    /// # Errors
    /// [`CloseReason::HandshakeTimeout`], [`CloseReason::NotLasso`] or [`CloseReason::Silent`]; the connection is to be closed.
    pub fn tick(&mut self, now: Instant, events: &mut Vec<LinkEvent>) -> Result<(), CloseReason> {
        if self.dead {
            return Ok(());
        }
        if let Some(until) = self.handshake_until {
            if now < until {
                return Ok(());
            }
            self.dead = true;
            // Whatever it began to say, a node would have ended by now.
            let said = self.last_word().map(|_| CloseReason::NotLasso);
            return Err(said.unwrap_or(CloseReason::HandshakeTimeout));
        }
        if now >= self.silent_at(self.tick_time) {
            self.dead = true;
            return Err(CloseReason::Silent);
        }
        if self.silence_told != Some(self.last_received())
            && now >= self.silent_at(self.tick_time / 2)
        {
            self.silence_told = Some(self.last_received());
            events.push(LinkEvent::Silent);
        }
        let mut lanes = self.lanes.lock();
        if now >= lanes.last_sent + self.heartbeat_every {
            lanes.last_sent = now;
            // What waits already will tell the peer as much.
            let idle = lanes.held(LaneId::Control) == 0;
            lanes.relax();
            drop(lanes);
            if idle {
                self.heartbeats += 1;
                self.queue(&Frame::Heartbeat)?;
            }
        }
        Ok(())
    }

    /// When [`Link::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        if self.dead {
            return None;
        }
        if self.handshake_until.is_some() {
            return self.handshake_until;
        }
        let silence = if self.silence_told == Some(self.last_received()) {
            self.tick_time
        } else {
            self.tick_time / 2
        };
        let last_sent = self.lanes.lock().last_sent;
        Some(
            self.silent_at(silence)
                .min(last_sent + self.heartbeat_every),
        )
    }

    /// The peer has told its tick time: heartbeats go out for the smaller of both, at least one
    /// second.
    pub fn set_peer_tick(&mut self, tick_time: Duration) {
        self.heartbeat_every = self.tick_time.min(tick_time.max(TICK_TIME_MIN)) / 4;
    }

    /// The peer is authenticated: the two sides have until then to agree that this is the link.
    pub fn agree_until(&mut self, until: Instant) {
        self.handshake_until = Some(until);
    }

    /// The link stands: the handshake is over, and silence is judged from now on.
    pub fn established(&mut self, now: Instant) {
        self.handshake_until = None;
        self.judge_from = self.judge_from.max(now);
    }

    /// The process was not run for a while: silence is not judged before `grace` has passed.
    pub fn extend(&mut self, now: Instant, grace: Duration) {
        self.judge_from = self.judge_from.max(now + grace);
    }

    fn silent_at(&self, silence: Duration) -> Instant {
        (self.last_received() + silence).max(self.judge_from)
    }
}

/// The shortest tick time that a peer may ask for.
const TICK_TIME_MIN: Duration = Duration::from_secs(1);
