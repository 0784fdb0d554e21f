//! The head of a message, laid out by hand: a publish encodes it once per row of numbers, on the
//! stack.
//!
//! Flags (1 byte; bit 0: of the receiver's own row), stream and number (seven bits per byte, least
//! significant first), the publisher's wall clock in milliseconds (6 bytes), then what was published.

use super::Row;
use crate::codec::{self, Malformed, kind};

/// What stands before the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageHead {
    pub(super) stream: u32,
    pub(super) row: Row,
    pub(super) number: u64,
    pub(super) unix_ms: u64,
}

/// The head of a whole frame: kind, length of the body, and the message's own head.
pub(super) struct FrameHead {
    bytes: [u8; FRAME_HEAD_BYTES_MAX],
    start: usize,
    end: usize,
}

impl FrameHead {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

/// The head of a frame with this message and a payload of so many bytes.
pub(super) fn encode(head: &MessageHead, payload_bytes: usize) -> FrameHead {
    let mut bytes = [0; FRAME_HEAD_BYTES_MAX];
    let mut end = codec::HEAD_BYTES_MAX;
    bytes[end] = match head.row {
        Row::All => 0,
        Row::Directed => DIRECTED,
    };
    end += 1;
    end += codec::put_varint(head.stream.into(), &mut bytes[end..]);
    end += codec::put_varint(head.number, &mut bytes[end..]);
    bytes[end..end + CLOCK_BYTES].copy_from_slice(&head.unix_ms.to_be_bytes()[8 - CLOCK_BYTES..]);
    end += CLOCK_BYTES;
    // The frame's own head is as long as the length needs, and ends where the message's begins.
    let length = end - codec::HEAD_BYTES_MAX + payload_bytes;
    let length_bytes = codec::varint_bytes(length as u64);
    let start = codec::HEAD_BYTES_MAX - 1 - length_bytes;
    bytes[start] = kind::MESSAGE;
    codec::put_varint(length as u64, &mut bytes[start + 1..]);
    FrameHead { bytes, start, end }
}

/// Reads the head off the body of a frame, and says how long it is.
pub(super) fn decode(body: &[u8]) -> Result<(MessageHead, usize), Malformed> {
    let (&flags, rest) = body.split_first().ok_or(Malformed)?;
    let (stream, rest) = codec::varint(rest)?;
    let (number, rest) = codec::varint(rest)?;
    let (clock, rest) = rest.split_at_checked(CLOCK_BYTES).ok_or(Malformed)?;
    let unix_ms = clock.iter().fold(0, |ms, &byte| ms << 8 | u64::from(byte));
    let row = if flags & DIRECTED == 0 {
        Row::All
    } else {
        Row::Directed
    };
    let head = MessageHead {
        stream: u32::try_from(stream).map_err(|_| Malformed)?,
        row,
        number,
        unix_ms,
    };
    Ok((head, body.len() - rest.len()))
}

/// The flag of a number of the receiver's own row.
const DIRECTED: u8 = 1;
/// Enough until the year 10889.
const CLOCK_BYTES: usize = 6;
/// By so much the body of a message's frame may be longer than what was published.
pub(crate) const MESSAGE_HEAD_BYTES_MAX: usize = 1 + 5 + 10 + CLOCK_BYTES;
const _: () = assert!(MESSAGE_HEAD_BYTES_MAX <= crate::link::BULK_HEAD_BYTES);
const FRAME_HEAD_BYTES_MAX: usize = codec::HEAD_BYTES_MAX + MESSAGE_HEAD_BYTES_MAX;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The message of the test vectors in `docs/protocol.md`.
    pub(crate) fn message_vector() -> Vec<u8> {
        let head = MessageHead {
            stream: 300,
            row: Row::Directed,
            number: 5,
            unix_ms: 1_769_248_800_123,
        };
        [encode(&head, 2).as_slice(), b"hi"].concat()
    }

    proptest! {
        #[test]
        fn a_head_comes_back_as_it_was(
            stream: u32,
            directed: bool,
            number: u64,
            unix_ms in 0..1u64 << 48,
            payload in 0usize..40_000,
        ) {
            let row = if directed { Row::Directed } else { Row::All };
            let head = MessageHead { stream, row, number, unix_ms };
            let encoded = encode(&head, payload);
            prop_assert!(encoded.end - codec::HEAD_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);
            let frame = [encoded.as_slice(), &vec![7; payload]].concat();
            let (raw, rest) = codec::split(&frame).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(raw.kind, kind::MESSAGE);
            let (back, taken) = decode(raw.body).unwrap();
            prop_assert_eq!(back, head);
            prop_assert_eq!(raw.body.len() - taken, payload);
        }

        #[test]
        fn random_bytes_are_a_head_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((_, taken)) = decode(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }
    }

    #[test]
    fn a_stream_or_a_number_beyond_its_bits_is_refused() {
        let clock = [0; CLOCK_BYTES];
        let message = |numbers: &[u8]| [&[0], numbers, &clock].concat();
        assert!(decode(&message(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1])).is_ok());
        assert!(decode(&message(&[0xff, 0xff, 0xff, 0xff, 0x1f, 1])).is_err());
        let mut number = vec![1];
        number.extend([0xff; 9]);
        assert!(decode(&message(&[number.as_slice(), &[1]].concat())).is_ok());
        assert!(decode(&message(&[number.as_slice(), &[2]].concat())).is_err());
        assert!(decode(&message(&[number.as_slice(), &[0x81, 0]].concat())).is_err());
    }
}
