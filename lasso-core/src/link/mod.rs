//! One connection between two nodes, from its first byte to its last.
//!
//! Bytes go in and come out; in between are the handshake, sealed records, frames, lanes,
//! heartbeats and the judgement of silence. Once a link stands its two halves, [`Inbound`] and
//! [`Outbound`], may be taken out and run in tasks of their own, so that nothing that is sealed or
//! opened waits for anything else; the link itself goes on to judge silence and to send heartbeats,
//! through the [`Lanes`] that all of them share.
//!
//! 1. No event before the peer has shown that it knows the secret: its first sealed record opened.
//! 2. The first event is the peer's `Hello`, or its `Close`.
//! 3. Before that a link holds at most 4 KiB, whatever is sent to it.
//! 4. An acceptor sends nothing sealed before that.
//! 5. Once established, a silent peer is told of after T/2 and given up after T, never earlier.
//! 6. Until the halves are taken out, what was handed to the network and not taken by it never
//!    exceeds the window, but for a single record.
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

mod frames;
mod inbound;
mod lane;
mod lanes;
mod opening;
mod outbound;
mod pace;
mod pieces;
mod silence;
#[cfg(test)]
mod tests;
mod unfinished;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::codec::{self, CONTROL_BYTES_MAX};
use crate::config::LinkSettings;
use crate::event::CloseReason;
use crate::frame::Frame;
use crate::secure::{
    Dialing, Listening, RECORD_BYTES_MAX, ReplayGuard, Security, TAG_BYTES, refusal,
};
use crate::time::Instant;

pub use inbound::Inbound;
pub use lanes::{LaneCount, LaneFull, LaneId, Lanes, LeftOver, Pushed, SharedLanes};
pub(crate) use opening::BULK_HEAD_BYTES;
pub use opening::Detached;
pub use outbound::{Outbound, Outflow};
pub(crate) use unfinished::expire;
pub use unfinished::{Budget, SharedUnfinished, Unfinished, UnfinishedCounters};

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
    /// pings, which the link itself answers. After a `Close` nothing comes any more.
    Frame(Frame),
    /// Frames of the data plane came, whole and one after another, for
    /// [`Plane::receive`](crate::plane::Plane::receive).
    Text(Bytes),
    /// A frame of the data plane that was given up before it was all there, see [`Unfinished`], has come to
    /// its end: its first bytes, for [`Plane::given_up`](crate::plane::Plane::given_up).
    GivenUp(Bytes),
    /// No byte has come for T/2. Once per silence.
    Silent,
}

/// One connection.
pub struct Link {
    role: Role,
    stage: Stage,
    /// True after a close or an error: nothing goes in or out any more.
    dead: bool,
    /// The last byte before a silence that was told of.
    silence_told: Option<Instant>,
    /// Until when the handshake must be finished; `None` once the link is established.
    handshake_until: Option<Instant>,
    /// Silence is not judged before this.
    judge_from: Instant,
    tick_time: Duration,
    heartbeat_every: Duration,
    /// Heartbeats that were sent: a number that lasts for a hundred years of them.
    heartbeats: u32,
    /// The start of a message of the handshake whose rest has not come.
    partial: Vec<u8>,
    /// The clear part of the handshake that waits to be sent.
    clear: Option<Bytes>,
    lanes: SharedLanes,
    /// Handed to the network and not yet taken by it.
    in_flight: usize,
    session: u64,
    /// Memory of the keys.
    keys_bytes: usize,
    window_bytes: usize,
    message_bytes_max: usize,
}

/// How far the handshake has come.
enum Stage {
    /// The acceptor waits for the first message.
    Listening(Listening),
    /// The dialler waits for the answer.
    Dialing(Dialing),
    /// Both sides hold the keys.
    Sealed(Box<Detached>),
    /// Both halves were taken out.
    Detached,
    /// Taken apart: only while a stage is left, or after the link died in the handshake.
    Gone,
}

impl Link {
    /// A link on a new connection; a dialler has its first bytes ready to send.
    ///
    /// `seed` is used for nothing else: the keys of the session depend on it. Its unfinished messages have a
    /// budget of their own until [`Link::share`] is called.
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
            dead: false,
            silence_told: None,
            handshake_until: Some(now + settings.handshake_timeout),
            judge_from: now,
            tick_time: settings.tick_time,
            heartbeat_every: settings.tick_time / 4,
            heartbeats: 0,
            partial: Vec::new(),
            clear,
            lanes: Arc::new(Mutex::new(Lanes::new(now, settings))),
            in_flight: 0,
            session: 0,
            keys_bytes: 0,
            window_bytes: settings.window_bytes,
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
        let mut rest = bytes;
        while !rest.is_empty() && !self.dead {
            let taken = match &mut self.stage {
                Stage::Sealed(halves) => {
                    let received = halves.inbound.receive(now, rest, events);
                    self.dead = halves.inbound.is_closed();
                    received.map(|()| [].as_slice())
                }
                _ => {
                    self.lanes.lock().last_received = now;
                    self.take_message(rest, guard)
                }
            };
            match taken {
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
    /// [`CloseReason::TooLarge`]: the frame is larger than a control frame may be, or the first one larger
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
            self.lanes.lock().last_sent = now;
            return Some(clear);
        }
        if !self.may_seal() {
            return None;
        }
        let Stage::Sealed(halves) = &mut self.stage else {
            return None;
        };
        let outbound = &mut halves.outbound;
        let room = match self.in_flight {
            0 => outbound.longest(),
            taken => self.window_bytes.checked_sub(taken + RECORD_OVERHEAD)?,
        };
        let mut record = Vec::new();
        if !outbound.seal_next(now, room, None, &mut record) {
            return None;
        }
        self.in_flight += record.len();
        Some(Bytes::from(record))
    }

    /// The network took this many bytes of what [`Link::poll_transmit`] gave.
    pub fn written(&mut self, _now: Instant, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Takes out both halves of a link whose handshake is over: from now on bytes go through them,
    /// and no more through [`Link::receive`] and [`Link::poll_transmit`], whose bytes so far come
    /// before. Frames still come in by [`Link::send`]. `None` before that, and after a close.
    pub fn detach(&mut self) -> Option<Detached> {
        if self.dead || self.clear.is_some() || !self.is_authenticated() {
            return None;
        }
        match core::mem::replace(&mut self.stage, Stage::Detached) {
            Stage::Sealed(halves) => Some(*halves),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// The lanes, for whoever sends calls and messages.
    pub fn lanes(&self) -> &SharedLanes {
        &self.lanes
    }

    /// Heartbeats that were sent so far.
    pub fn heartbeats(&self) -> u64 {
        self.heartbeats.into()
    }

    /// Answers no ping that measures the link, and tells no longer how much data came, so that the peer's
    /// calls and data stall at its window. No node does that: it is for simulated peers that break the protocol.
    pub fn mute_data(&mut self) {
        if let Stage::Sealed(halves) = &mut self.stage {
            halves.inbound.mute_data();
        }
    }

    /// Ends the link: the last bytes to send before the connection is closed, if there is a way to
    /// tell the peer why. Nothing goes in or out any more. Once the halves were taken out, the one
    /// that sends has the last word instead.
    pub fn close(&mut self, now: Instant, reason: &CloseReason) -> Option<Bytes> {
        let unsent = self.clear.take().is_some();
        let may_seal = self.may_seal();
        self.dead = true;
        let farewell = || {
            let mut text = Vec::new();
            codec::encode(&Frame::Close(reason.clone()), &mut text);
            text
        };
        self.lanes.lock().last_sent = now;
        let refused = match &mut self.stage {
            Stage::Listening(_) => true,
            Stage::Sealed(halves) if may_seal => {
                self.lanes.lock().finish(&farewell());
                let (outbound, mut last) = (&mut halves.outbound, Vec::new());
                while outbound.seal_next(now, outbound.longest(), None, &mut last) {}
                return Some(last.into());
            }
            Stage::Detached => {
                let finished = self.lanes.lock().finish(&farewell());
                finished.wake();
                return None;
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
        match &self.stage {
            Stage::Sealed(halves) => halves.inbound.is_authenticated(),
            Stage::Detached => true,
            Stage::Listening(_) | Stage::Dialing(_) | Stage::Gone => false,
        }
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
        self.lanes.lock().last_received
    }

    /// Memory that this link holds, in bytes, itself included.
    pub fn held_bytes(&self) -> usize {
        let halves = match &self.stage {
            Stage::Listening(_) | Stage::Detached | Stage::Gone => 0,
            Stage::Dialing(dialing) => dialing.held_bytes(),
            Stage::Sealed(halves) => {
                size_of::<Detached>() + halves.inbound.held_bytes() + halves.outbound.held_bytes()
            }
        };
        size_of::<Self>()
            + self.keys_bytes
            + halves
            + self.partial.capacity()
            + self.clear.as_ref().map_or(0, Bytes::len)
            + self.lanes.lock().held_bytes()
    }

    /// Its unfinished messages take from this budget from now on. For an authenticated peer: a stranger has none,
    /// and its connection holds nothing for that.
    pub fn share(&mut self, now: Instant, budget: Budget) {
        if let Stage::Sealed(halves) = &mut self.stage {
            halves.inbound.share(now, budget);
        }
    }

    /// Appends a frame to the control lane, and wakes who empties it.
    fn queue(&mut self, frame: &Frame) -> Result<(), CloseReason> {
        let mut bytes = Vec::with_capacity(SMALL_FRAME);
        codec::encode(frame, &mut bytes);
        let mut lanes = self.lanes.lock();
        // The first record holds the first frame whole.
        let first = lanes.held(LaneId::Control) == 0 && self.records_sealed() == 0;
        let body = codec::header(&bytes).map_or(0, |(_, length, _)| length);
        let fits = if first {
            bytes.len() <= FIRST_RECORD_BYTES_MAX - TAG_BYTES
        } else {
            body <= CONTROL_BYTES_MAX
        };
        if !fits {
            return Err(CloseReason::TooLarge);
        }
        let pushed = lanes.push(LaneId::Control, &bytes, &Bytes::new());
        drop(lanes);
        let pushed = pushed.map_err(|LaneFull| CloseReason::ControlLaneFull)?;
        pushed.wake();
        Ok(())
    }

    fn records_sealed(&self) -> u64 {
        match &self.stage {
            Stage::Sealed(halves) => halves.outbound.records(),
            Stage::Detached => u64::MAX,
            _ => 0,
        }
    }

    /// An acceptor tells nothing to a peer that may be a recording.
    fn may_seal(&self) -> bool {
        matches!(self.stage, Stage::Sealed(_))
            && (self.role == Role::Dialer || self.is_authenticated())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Listening(_) => "listening",
            Stage::Dialing(_) => "dialing",
            Stage::Sealed(_) => "sealed",
            Stage::Detached => "detached",
            Stage::Gone => "gone",
        };
        f.debug_struct("Link")
            .field("role", &self.role)
            .field("stage", &stage)
            .field("authenticated", &self.is_authenticated())
            .field("dead", &self.dead)
            .field("last_received", &self.last_received())
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// Most text in a record that is sent: what a heartbeat waits for at most. As long as a record can
/// be, so that messages of up to 64 KiB need not be cut.
pub(crate) const TEXT_BYTES_MAX: usize = RECORD_BYTES_MAX - TAG_BYTES;
/// Longest record, seal included, as the first one of each side: all that is taken before the peer
/// is authenticated. A `Hello` has well under 1 KiB.
const FIRST_RECORD_BYTES_MAX: usize = 1_536;
/// The length in front of a record.
const LENGTH_BYTES: usize = 2;
const RECORD_OVERHEAD: usize = LENGTH_BYTES + TAG_BYTES;
/// Room for most control frames.
const SMALL_FRAME: usize = 64;
