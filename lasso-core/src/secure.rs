//! The secret, the handshake and sealed records. (Skeleton: see the wire module's owner.)

use core::fmt;

/// A shared secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(Vec<u8>);

impl Cookie {
    /// Takes the secret's bytes.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Cookie(secret.into())
    }

    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "a cookie is not a collection")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

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
    /// No security: records are framed and not sealed. For large simulations only.
    InsecureNull,
}
