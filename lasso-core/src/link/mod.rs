//! One connection between two nodes, from its first byte to its last.
//!
//! Bytes go in and come out; in between are the handshake, sealed records, frames, the control
//! lane, heartbeats and the judgement of silence.
//!
//! 1. No event before the peer has shown that it knows the secret: its first sealed record opened.
//! 2. The first event is the peer's `Hello`, or its `Close`.
//! 3. Before that a link holds at most 4 KiB, whatever is sent to it.
//! 4. An acceptor sends nothing sealed before that.
//! 5. Once established, a silent peer is told of after T/2 and given up after T, never earlier.
//! 6. What was handed to the network and not taken by it never exceeds the window, but for a single
//!    record.
//!
//! What it does not do: it does not know who the peer should be, nor which link of a pair stands;
//! that is [`crate::node`].
//!
//! ```
//! use lasso_core::config::LinkSettings;
//! use lasso_core::link::{Link, Role};
//! use lasso_core::secure::{Cookie, ReplayGuard, Security};
//! use lasso_core::time::Instant;
//!
//! let cookie = Cookie::new("a secret of at least 32 characters");
//! let security = Security::Cookie { current: cookie, previous: None }.into();
//! let (now, settings) = (Instant::ZERO, LinkSettings::default());
//! let mut dialer = Link::new(now, Role::Dialer, &security, &settings, [1; 32]);
//! let mut acceptor = Link::new(now, Role::Acceptor, &security, &settings, [2; 32]);
//!
//! let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
//! let first = dialer.poll_transmit(now).expect("a dialler speaks first");
//! acceptor.receive(now, &first, &mut guard, &mut events)?;
//! let answer = acceptor.poll_transmit(now).expect("an acceptor answers");
//! dialer.receive(now, &answer, &mut guard, &mut events)?;
//! assert_eq!(dialer.session(), acceptor.session());
//! # Ok::<(), lasso_core::event::CloseReason>(())
//! ```

mod inbound;
mod lane;
mod pieces;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec;
use crate::config::LinkSettings;
use crate::event::CloseReason;
use crate::frame::Frame;
use crate::secure::{Dialing, Listening, ReplayGuard, Security, Session, TAG_BYTES, refusal};
use crate::time::Instant;
use lane::Lane;
use pieces::Pieces;

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It connected, and speaks first.
    Dialer,
    /// It was connected to.
    Acceptor,
}

/// What the peer did, or failed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// A frame came. The first one is a `Hello` or a `Close`; heartbeats are swallowed, and so are
    /// pings, which the link itself answers. After a `Close` nothing comes any more. A refused
    /// handshake is a `Close` too.
    Frame(Frame),
    /// No byte has come for T/2. Once per silence.
    Silent,
}

/// One connection.
pub struct Link {
    role: Role,
    stage: Stage,
    /// True when the peer's first sealed record has opened.
    authenticated: bool,
    /// True when the peer's `Hello` has come.
    greeted: bool,
    /// True after a close or an error: nothing goes in or out any more.
    dead: bool,
    /// True from `T/2` of silence to the next byte.
    silence_told: bool,
    /// Until when the handshake must be finished; `None` once the link is established.
    handshake_until: Option<Instant>,
    last_received: Instant,
    last_sent: Instant,
    /// Silence is not judged before this.
    judge_from: Instant,
    tick_time: Duration,
    heartbeat_every: Duration,
    /// The start of a message or record whose rest has not come.
    inbound: Vec<u8>,
    /// The clear part of the handshake that waits to be sent.
    clear: Option<Bytes>,
    control: Lane,
    /// Frames that come in pieces; most links never see one.
    pieces: Option<Box<Pieces>>,
    /// Handed to the network and not yet taken by it.
    in_flight: usize,
    session: u64,
    window_bytes: usize,
    control_lane_bytes: usize,
    message_bytes_max: usize,
}

/// How far the handshake has come.
enum Stage {
    /// The acceptor waits for the first message.
    Listening(Listening),
    /// The dialler waits for the answer.
    Dialing(Dialing),
    /// Both sides hold the keys.
    Sealed(Session),
    /// Taken apart: only while a stage is left, or after the link died in the handshake.
    Gone,
}

impl Link {
    /// A link on a new connection; a dialler has its first bytes ready to send.
    ///
    /// `seed` is used for nothing else: the keys of the session depend on it.
    pub fn new(
        now: Instant,
        role: Role,
        security: &Arc<Security>,
        settings: &LinkSettings,
        seed: [u8; 32],
    ) -> Link {
        let (stage, clear) = match role {
            Role::Acceptor => (
                Stage::Listening(Listening::new(Arc::clone(security), seed)),
                None,
            ),
            Role::Dialer => {
                let (dialing, first) = Dialing::start(security, seed);
                (
                    Stage::Dialing(dialing),
                    Some(Bytes::copy_from_slice(&first)),
                )
            }
        };
        Link {
            role,
            stage,
            authenticated: false,
            greeted: false,
            dead: false,
            silence_told: false,
            handshake_until: Some(now + settings.handshake_timeout),
            last_received: now,
            last_sent: now,
            judge_from: now,
            tick_time: settings.tick_time,
            heartbeat_every: settings.tick_time / 4,
            inbound: Vec::new(),
            clear,
            control: Lane::default(),
            pieces: None,
            in_flight: 0,
            session: 0,
            window_bytes: settings.window_bytes,
            control_lane_bytes: settings.control_lane_bytes,
            message_bytes_max: settings.message_bytes_max,
        }
    }

    /// Takes bytes that came, in order, however they were sliced.
    ///
    /// # Errors
    /// The reason for which this connection is to be closed, with [`Link::close`]; the link takes
    /// and gives nothing more.
    pub fn receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        guard: &mut ReplayGuard,
        events: &mut Vec<LinkEvent>,
    ) -> Result<(), CloseReason> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.last_received = now;
        self.silence_told = false;
        let mut rest = bytes;
        while !rest.is_empty() && !self.dead {
            match self.take_unit(rest, guard, events) {
                Ok(after) => rest = after,
                Err(reason) => {
                    self.dead = true;
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    /// Appends a frame to the control lane. Before the handshake is done it waits there.
    ///
    /// # Errors
    /// [`CloseReason::ControlLaneFull`]: the peer does not read; the connection is to be closed.
    /// [`CloseReason::TooLarge`]: the frame is larger than a message may be, or the first one larger
    /// than 1,520 bytes; it was not taken.
    pub fn send(&mut self, _now: Instant, frame: &Frame) -> Result<(), CloseReason> {
        if self.dead {
            return Ok(());
        }
        self.queue(frame)
    }

    /// The next bytes for the network; to be called until there are none.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if self.dead {
            return None;
        }
        if let Some(clear) = self.clear.take() {
            self.in_flight += clear.len();
            self.last_sent = now;
            return Some(clear);
        }
        if !self.may_seal() {
            return None;
        }
        let Stage::Sealed(session) = &mut self.stage else {
            return None;
        };
        let longest = match session.sealer.records() {
            0 => FIRST_RECORD_BYTES_MAX - TAG_BYTES,
            _ => TEXT_BYTES_MAX,
        };
        let room = match self.in_flight {
            0 => longest,
            taken => self
                .window_bytes
                .checked_sub(taken + RECORD_OVERHEAD)?
                .min(longest),
        };
        let (text, advance) = self.control.next(CONTROL_LANE, room)?;
        let mut record = Vec::with_capacity(text.as_slice().len() + RECORD_OVERHEAD);
        session.sealer.seal(text.as_slice(), &mut record);
        self.control.advance(advance);
        self.in_flight += record.len();
        self.last_sent = now;
        Some(Bytes::from(record))
    }

    /// The network took this many bytes of what [`Link::poll_transmit`] gave.
    pub fn written(&mut self, _now: Instant, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Does what is due: gives up an unfinished handshake, sends a heartbeat, judges silence.
    ///
    /// # Errors
    /// [`CloseReason::HandshakeTimeout`] or [`CloseReason::Silent`]; the connection is to be closed.
    pub fn tick(&mut self, now: Instant, events: &mut Vec<LinkEvent>) -> Result<(), CloseReason> {
        if self.dead {
            return Ok(());
        }
        if let Some(until) = self.handshake_until {
            if now < until {
                return Ok(());
            }
            self.dead = true;
            return Err(CloseReason::HandshakeTimeout);
        }
        if now >= self.silent_at(self.tick_time) {
            self.dead = true;
            return Err(CloseReason::Silent);
        }
        if !self.silence_told && now >= self.silent_at(self.tick_time / 2) {
            self.silence_told = true;
            events.push(LinkEvent::Silent);
        }
        if now >= self.last_sent + self.heartbeat_every {
            self.last_sent = now;
            // What waits already will tell the peer as much.
            if self.control.waiting() == 0 {
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
        let silence = if self.silence_told {
            self.tick_time
        } else {
            self.tick_time / 2
        };
        Some(
            self.silent_at(silence)
                .min(self.last_sent + self.heartbeat_every),
        )
    }

    /// The peer has told its tick time: heartbeats go out for the smaller of both, at least one
    /// second.
    pub fn set_peer_tick(&mut self, tick_time: Duration) {
        self.heartbeat_every = self.tick_time.min(tick_time.max(TICK_TIME_MIN)) / 4;
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

    /// Ends the link: the last bytes to send before the connection is closed, if there is a way to
    /// tell the peer why. Nothing goes in or out any more.
    pub fn close(&mut self, now: Instant, reason: &CloseReason) -> Option<Bytes> {
        let unsent = self.clear.take().is_some();
        let may_seal = self.may_seal();
        self.dead = true;
        self.last_sent = now;
        let refused = match &mut self.stage {
            Stage::Listening(_) => true,
            Stage::Sealed(session) if may_seal => {
                let (mut text, mut record) = (Vec::new(), Vec::new());
                codec::encode(&Frame::Close(reason.clone()), &mut text);
                session.sealer.seal(&text, &mut record);
                return Some(record.into());
            }
            // The answer is still here, and can be another one.
            Stage::Sealed(_) => unsent && self.role == Role::Acceptor,
            Stage::Dialing(_) | Stage::Gone => self.role == Role::Acceptor,
        };
        let status = refusal(reason).filter(|_| refused)?;
        Some(Bytes::copy_from_slice(&[status]))
    }

    /// The clear byte that tells this reason to a peer whose handshake is not done.
    pub fn refusal(reason: &CloseReason) -> Option<u8> {
        refusal(reason)
    }

    /// True when the peer has shown that it knows the secret, and is no recording.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The same number at both ends, different for each connection; 0 before the handshake is done.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// When the last byte came, or the link was made.
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Memory that this link holds, in bytes, itself included.
    pub fn held_bytes(&self) -> usize {
        let keys = match &self.stage {
            Stage::Listening(_) | Stage::Gone => 0,
            Stage::Dialing(dialing) => dialing.held_bytes(),
            Stage::Sealed(session) => session.held_bytes(),
        };
        size_of::<Self>()
            + keys
            + self.inbound.capacity()
            + self.clear.as_ref().map_or(0, Bytes::len)
            + self.control.held()
            + self.pieces.as_ref().map_or(0, |pieces| pieces.held())
    }

    fn queue(&mut self, frame: &Frame) -> Result<(), CloseReason> {
        let before = self.control.waiting();
        let length = self.control.append(|bytes| codec::encode(frame, bytes));
        // The first record holds the first frame whole.
        let first = before == 0 && self.records_sealed() == 0;
        let longest = if first {
            FIRST_RECORD_BYTES_MAX - TAG_BYTES
        } else {
            self.message_bytes_max
        };
        if length > longest {
            self.control.take_back(length);
            return Err(CloseReason::TooLarge);
        }
        if before > 0 && before + length > self.control_lane_bytes {
            self.control.take_back(length);
            return Err(CloseReason::ControlLaneFull);
        }
        Ok(())
    }

    fn records_sealed(&self) -> u64 {
        match &self.stage {
            Stage::Sealed(session) => session.sealer.records(),
            _ => 0,
        }
    }

    /// An acceptor tells nothing to a peer that may be a recording.
    fn may_seal(&self) -> bool {
        matches!(self.stage, Stage::Sealed(_)) && (self.role == Role::Dialer || self.authenticated)
    }

    fn silent_at(&self, silence: Duration) -> Instant {
        (self.last_received + silence).max(self.judge_from)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Listening(_) => "listening",
            Stage::Dialing(_) => "dialing",
            Stage::Sealed(_) => "sealed",
            Stage::Gone => "gone",
        };
        f.debug_struct("Link")
            .field("role", &self.role)
            .field("stage", &stage)
            .field("authenticated", &self.authenticated)
            .field("dead", &self.dead)
            .field("last_received", &self.last_received)
            .field("in_flight", &self.in_flight)
            .field("waiting", &self.control.waiting())
            .finish_non_exhaustive()
    }
}

/// Most text in a record that is sent: what a heartbeat waits for at most. 16 KiB cost little more
/// per byte than 64 KiB.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 10;
/// Longest record, seal included, as the first one of each side: all that is taken before the peer
/// is authenticated. A `Hello` has well under 1 KiB.
const FIRST_RECORD_BYTES_MAX: usize = 1_536;
/// The length in front of a record.
const LENGTH_BYTES: usize = 2;
const RECORD_OVERHEAD: usize = LENGTH_BYTES + TAG_BYTES;
/// The lane of control frames.
const CONTROL_LANE: u8 = 0;
/// The shortest tick time that a peer may ask for.
const TICK_TIME_MIN: Duration = Duration::from_secs(1);
