//! The secret, the handshake and sealed records.
//!
//! Two nodes that hold the same [`Cookie`] derive two keys, one per direction, from a handshake of two
//! messages. No other party can know these keys, even if it learns the cookie later. All later bytes are sealed
//! in records. `docs/protocol.md` describes the bytes.
//!
//! It knows nothing of time, of frames or of the peer's identity.
//!
//! ```
//! use lasso_core::secure::Cookie;
//!
//! let cookie = Cookie::new("correct horse battery staple 1234");
//! assert_eq!(cookie.len(), 33);
//! assert_eq!(format!("{cookie:?}"), "Cookie(..)");
//! ```

mod handshake;
mod noise;
mod record;
mod refusal;
mod replay;

use core::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use handshake::{Dialing, FIRST_BYTES, Listening, MESSAGE_BYTES, PREAMBLE_BYTES, Session};
pub use record::{Opener, RecordError, Sealer};
pub use refusal::{GO_ON, STATUS_LIMIT, refusal, refusal_reason};
pub use replay::ReplayGuard;

/// The primitives of handshakes and ciphers, for the measurement of other suites.
#[doc(hidden)]
pub fn bench_parts(seed: [u8; 32]) -> snow::resolvers::BoxedCryptoResolver {
    noise::parts(seed)
}

/// Bytes that sealing adds to a record.
pub const TAG_BYTES: usize = 16;
/// The longest record, seal included: the greatest 2-byte length.
pub const RECORD_BYTES_MAX: usize = 65_535;

/// A shared secret. Never printed.
///
/// It keeps only the key derived from the secret, in one place of memory for each clone, and overwrites it when
/// the clone is dropped. The time of a comparison reveals nothing about where two keys differ.
#[derive(Clone)]
pub struct Cookie {
    /// Boxed: moving it leaves no copy behind.
    key: Box<Zeroizing<[u8; 32]>>,
    len: usize,
}

impl Cookie {
    /// Takes the secret's bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        let mut key = Box::new(Zeroizing::new([0; 32]));
        Hkdf::<Sha256>::new(None, secret)
            .expand(KEY_LABEL, &mut key[..])
            .expect("32 bytes are within what HKDF-SHA256 can give");
        Cookie {
            key,
            len: secret.len(),
        }
    }

    /// The length of the secret, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a cookie is not a collection")]
    pub fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl PartialEq for Cookie {
    fn eq(&self, other: &Self) -> bool {
        self.key[..].ct_eq(&other.key[..]).into()
    }
}

impl Eq for Cookie {}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

/// How connections are secured.
#[derive(Debug, Clone)]
pub enum Security {
    /// Noise with a key derived from the cookie.
    Cookie {
        /// Offered when dialling, and accepted.
        current: Cookie,
        /// Accepted, never offered.
        previous: Option<Cookie>,
    },
    /// No security: messages and records have the sizes of real ones, and nothing is sealed. For large
    /// simulations only.
    InsecureNull,
}

/// The purpose of the derived key; another purpose would need another label.
const KEY_LABEL: &[u8] = b"lasso link key 1";
