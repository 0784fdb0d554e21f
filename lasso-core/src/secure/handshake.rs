//! The two messages after which both sides hold the same keys.
//!
//! 1. The dialler sends an unencrypted preamble and the first message; the acceptor answers with an unencrypted
//!    byte and, if that is [`GO_ON`](super::GO_ON), the second message.
//! 2. The dialler uses the current key; the acceptor tries the current one, then the previous one.
//! 3. Both messages authenticate the preamble.
//!
//! A first message that opens proves little, because it may be a recorded one: the acceptor trusts its peer
//! only after its first sealed record has opened.

use std::sync::Arc;

use snow::HandshakeState;

use super::{Opener, ReplayGuard, Sealer, Security, noise};
use crate::event::CloseReason;

/// Length of the unencrypted preamble.
pub const PREAMBLE_BYTES: usize = 8;
/// Length of either message.
pub const MESSAGE_BYTES: usize = 48;
/// The first bytes of the dialler: preamble and first message.
pub const FIRST_BYTES: usize = PREAMBLE_BYTES + MESSAGE_BYTES;

/// The result of a handshake.
#[derive(Debug)]
pub struct Session {
    /// Seals the records of this side.
    pub sealer: Sealer,
    /// Opens the records of the other side.
    pub opener: Opener,
    /// A number that is the same at both ends and different for each connection.
    pub id: u64,
}

/// The dialler, waiting for the second message.
pub struct Dialing {
    /// `None`: the null cipher, which needs its own random bytes.
    noise: Option<Box<HandshakeState>>,
    ours: u64,
}

/// The acceptor, waiting for the preamble and the first message.
pub struct Listening {
    security: Arc<Security>,
    seed: [u8; 32],
}

impl Session {
    /// Memory held outside of the session itself, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        if self.sealer.is_null() {
            0
        } else {
            noise::KEYS_BYTES
        }
    }
}

impl Dialing {
    /// Memory held outside of the state itself, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        if self.noise.is_none() {
            0
        } else {
            noise::HANDSHAKE_BYTES
        }
    }

    /// Starts a handshake: the first bytes to send, and the state that waits for the answer.
    pub fn start(security: &Security, seed: [u8; 32]) -> (Self, [u8; FIRST_BYTES]) {
        let mut first = [0; FIRST_BYTES];
        first[..PREAMBLE_BYTES].copy_from_slice(&preamble(security));
        let (clear, message) = first.split_at_mut(PREAMBLE_BYTES);
        let dialing = match security {
            Security::InsecureNull => {
                message[..8].copy_from_slice(&seed[..8]);
                Dialing {
                    noise: None,
                    ours: number(&seed),
                }
            }
            Security::Cookie { current, .. } => {
                let mut state = noise::initiator(current.key(), clear, seed);
                let written = state.write_message(&[], message);
                debug_assert_eq!(written.ok(), Some(MESSAGE_BYTES));
                Dialing {
                    noise: Some(Box::new(state)),
                    ours: 0,
                }
            }
        };
        (dialing, first)
    }

    /// Takes the second message, [`MESSAGE_BYTES`] long.
    ///
    /// # Errors
    /// [`CloseReason::NotLasso`]: a node that does not know the secret would have refused the first message.
    pub fn finish(self, second: &[u8]) -> Result<Session, CloseReason> {
        let Some(mut state) = self.noise else {
            let theirs = null_number(second).ok_or(CloseReason::NotLasso)?;
            return Ok(null_session(self.ours, theirs));
        };
        state
            .read_message(second, &mut [])
            .map_err(|_| CloseReason::NotLasso)?;
        noise_session(*state)
    }
}

impl Listening {
    /// Waits for a dialler.
    pub fn new(security: Arc<Security>, seed: [u8; 32]) -> Self {
        Listening { security, seed }
    }

    /// Checks the first bytes as they arrive, so that a stranger is refused at once.
    ///
    /// # Errors
    /// [`CloseReason::Garbage`]: not the preamble of lasso. [`CloseReason::Version`]: another major version, or
    /// secured in another way.
    pub fn check_preamble(&self, first: &[u8]) -> Result<(), CloseReason> {
        let expected = preamble(&self.security);
        let have = first.len().min(MAGIC.len());
        if first[..have] != expected[..have] {
            return Err(CloseReason::Garbage);
        }
        let have = first.len().min(RESERVED_FROM);
        if first[..have] != expected[..have] {
            Err(CloseReason::Version)
        } else {
            Ok(())
        }
    }

    /// Takes the preamble and the first message, [`FIRST_BYTES`] long, and answers with the
    /// second message.
    ///
    /// # Errors
    /// [`CloseReason::WrongCookie`]: no key opens the message. [`CloseReason::Replayed`]: it was seen before.
    /// [`CloseReason::Garbage`] and [`CloseReason::Version`] as in `check_preamble`.
    pub fn answer(
        &self,
        first: &[u8],
        guard: &mut ReplayGuard,
    ) -> Result<(Session, [u8; MESSAGE_BYTES]), CloseReason> {
        self.check_preamble(first)?;
        let (clear, message) = first
            .split_at_checked(PREAMBLE_BYTES)
            .ok_or(CloseReason::Garbage)?;
        let mut second = [0; MESSAGE_BYTES];
        let (current, previous) = match &*self.security {
            Security::InsecureNull => {
                let theirs = null_number(message).ok_or(CloseReason::WrongCookie)?;
                if !guard.admit(theirs) {
                    return Err(CloseReason::Replayed);
                }
                second[..8].copy_from_slice(&self.seed[..8]);
                return Ok((null_session(theirs, number(&self.seed)), second));
            }
            Security::Cookie { current, previous } => (current, previous.as_ref()),
        };
        let opened = [Some(current), previous]
            .into_iter()
            .flatten()
            .find_map(|cookie| {
                let mut state = noise::responder(cookie.key(), clear, self.seed);
                state
                    .read_message(message, &mut [])
                    .is_ok()
                    .then_some(state)
            });
        let mut state = opened.ok_or(CloseReason::WrongCookie)?;
        // The seal of the message; no two messages of honest diallers share one.
        if !guard.admit(number(&message[MESSAGE_BYTES - 16..])) {
            return Err(CloseReason::Replayed);
        }
        // Fails for an ephemeral key that is not a point: only a holder of the secret can send one.
        state
            .write_message(&[], &mut second)
            .map_err(|_| CloseReason::Garbage)?;
        Ok((noise_session(state)?, second))
    }
}

/// The preamble of the dialler, unencrypted.
fn preamble(security: &Security) -> [u8; PREAMBLE_BYTES] {
    let suite = match security {
        Security::Cookie { .. } => SUITE_NOISE,
        Security::InsecureNull => SUITE_NULL,
    };
    let [a, b, c, d, e] = MAGIC;
    [a, b, c, d, e, MAJOR, suite, 0]
}

fn noise_session(state: HandshakeState) -> Result<Session, CloseReason> {
    let id = number(state.get_handshake_hash());
    let transport = state
        .into_stateless_transport_mode()
        .map_err(|_| CloseReason::Garbage)?;
    let transport = Arc::new(transport);
    Ok(Session {
        sealer: Sealer::new(Some(Arc::clone(&transport))),
        opener: Opener::new(Some(transport)),
        id,
    })
}

fn null_session(dialer: u64, acceptor: u64) -> Session {
    // Odd, so that no two numbers of one side give the same product.
    let id = dialer.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ acceptor;
    Session {
        sealer: Sealer::new(None),
        opener: Opener::new(None),
        id,
    }
}

/// A message of the null cipher: a number and zeros.
fn null_number(message: &[u8]) -> Option<u64> {
    let zeros = message.get(8..)?;
    zeros.iter().all(|byte| *byte == 0).then(|| number(message))
}

/// The first eight bytes, most significant first.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

const MAGIC: [u8; 5] = *b"lasso";
/// The major version, which must be the same at both ends before anything else can be exchanged.
const MAJOR: u8 = 1;
const SUITE_NULL: u8 = 0;
const SUITE_NOISE: u8 = 1;
/// From here on the preamble may contain anything; it is authenticated and ignored.
const RESERVED_FROM: usize = 7;
