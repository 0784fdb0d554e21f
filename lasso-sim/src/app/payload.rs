//! The content of messages, questions and answers: a tag, and bytes that show whether a long one arrived whole.

use bytes::{BufMut, Bytes, BytesMut};

/// The smallest, in bytes: a tag.
pub const PAYLOAD_MIN: usize = 8;
/// The largest, in bytes: more than any node accepts.
pub const PAYLOAD_MAX: usize = 32 << 20;

/// A tag, filled up to `size`.
pub(super) fn make(tag: u64, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size.max(PAYLOAD_MIN));
    bytes.put_u64(tag);
    let mut left = size.saturating_sub(PAYLOAD_MIN);
    while left > 0 {
        let part = left.min(FILLER.len());
        bytes.put_slice(&FILLER[..part]);
        left -= part;
    }
    bytes.freeze()
}

/// The tag; `None`: these are not the bytes that [`make`] made.
pub(crate) fn read(bytes: &[u8]) -> Option<u64> {
    let (tag, rest) = bytes.split_first_chunk()?;
    let whole = rest
        .chunks(FILLER.len())
        .all(|part| part == &FILLER[..part.len()]);
    whole.then(|| u64::from_be_bytes(*tag))
}

/// No two places a power of two apart hold the same bytes, so that a lost or misplaced piece shows.
static FILLER: [u8; 251 * 128] = filler();

const fn filler() -> [u8; 251 * 128] {
    let mut bytes = [0; 251 * 128];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % 251) as u8;
        at += 1;
    }
    bytes
}
