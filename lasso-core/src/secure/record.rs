//! Sealing and opening records, one machine per direction.
//!
//! Each counts its own nonces, so that the two directions can run in different tasks. A record is two bytes of
//! length, most significant first, and that many bytes of sealed text.

use core::fmt;
use std::sync::Arc;

use snow::StatelessTransportState;

use super::TAG_BYTES;

/// A record did not open: forged, damaged, out of order, or sealed with another key. This is the peer's fault;
/// the connection is unusable afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed record did not open")]
pub struct RecordError;

/// Seals sent records.
pub struct Sealer {
    /// `None`: the null cipher.
    noise: Option<Arc<StatelessTransportState>>,
    nonce: u64,
}

/// Opens received records.
pub struct Opener {
    /// `None`: the null cipher.
    noise: Option<Arc<StatelessTransportState>>,
    nonce: u64,
}

impl Sealer {
    pub(super) fn new(noise: Option<Arc<StatelessTransportState>>) -> Self {
        Sealer { noise, nonce: 0 }
    }

    pub(super) fn is_null(&self) -> bool {
        self.noise.is_none()
    }

    /// The number of sealed records.
    pub(crate) fn records(&self) -> u64 {
        self.nonce
    }

    /// Appends one record that contains `plain`: 2 + [`TAG_BYTES`] bytes longer than `plain`.
    ///
    /// # Panics
    /// When `plain` is longer than a record can be: a bug of the caller.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let sealed = plain.len() + TAG_BYTES;
        let length = u16::try_from(sealed).expect("a record is at most 65,535 bytes");
        out.extend_from_slice(&length.to_be_bytes());
        let start = out.len();
        match &self.noise {
            None => {
                out.extend_from_slice(plain);
                out.extend_from_slice(&[0; TAG_BYTES]);
            }
            Some(noise) => {
                out.resize(start + sealed, 0);
                let written = noise.write_message(self.nonce, plain, &mut out[start..]);
                debug_assert_eq!(written.ok(), Some(sealed));
            }
        }
        self.nonce += 1;
    }
}

impl Opener {
    pub(super) fn new(noise: Option<Arc<StatelessTransportState>>) -> Self {
        Opener { noise, nonce: 0 }
    }

    /// Whether this is the null cipher, with which texts stay in place.
    pub(crate) fn is_null(&self) -> bool {
        self.noise.is_none()
    }

    /// Opens one record, without its length. With the null cipher the text stays in place; otherwise it is
    /// written to `scratch`, which is overwritten.
    ///
    /// # Errors
    /// [`RecordError`]; after it no further record can be opened.
    pub fn open<'a>(
        &mut self,
        sealed: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], RecordError> {
        let text = sealed.len().checked_sub(TAG_BYTES).ok_or(RecordError)?;
        let plain = match &self.noise {
            None if sealed[text..] == [0; TAG_BYTES] => &sealed[..text],
            None => return Err(RecordError),
            Some(noise) => {
                // As long as the sealed text: the cipher opens in place.
                scratch.resize(sealed.len(), 0);
                let opened = noise.read_message(self.nonce, sealed, scratch);
                let length = opened.map_err(|_| RecordError)?;
                &scratch[..length]
            }
        };
        self.nonce += 1;
        Ok(plain)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer {{ records: {} }}", self.nonce)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener {{ records: {} }}", self.nonce)
    }
}
