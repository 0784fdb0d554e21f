//! Numbers of variable length: seven bits per byte, least significant first.

use super::Malformed;

/// Bytes that [`put_varint`] takes for a number.
pub(crate) fn varint_bytes(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes a number at the beginning of `out`, seven bits per byte, least significant first; how many
/// bytes that were, at most [`VARINT_BYTES_MAX`].
pub(crate) fn put_varint(mut number: u64, out: &mut [u8]) -> usize {
    let mut at = 0;
    while number >= 0x80 {
        out[at] = 0x80 | (number & 0x7f) as u8;
        number >>= 7;
        at += 1;
    }
    out[at] = number as u8;
    at + 1
}

/// Reads a number, and what follows it; what does not fit into 64 bits is no number.
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let part = u64::from(byte & 0x7f);
        if at == VARINT_BYTES_MAX - 1 && part > 1 {
            return Err(Malformed);
        }
        number |= part << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((number, &bytes[at + 1..]));
        }
    }
    Err(Malformed)
}

/// Enough for 64 bits.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_bytes_as_they_need_and_read_back() {
        let table = [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (u64::from(u32::MAX), 5),
            (u64::MAX >> 1, 9),
            (u64::MAX, 10),
        ];
        for (number, length) in table {
            let mut bytes = [0xaa; VARINT_BYTES_MAX + 1];
            assert_eq!(put_varint(number, &mut bytes), length);
            assert_eq!(varint_bytes(number), length);
            assert_eq!(varint(&bytes), Ok((number, &bytes[length..])));
            assert_eq!(varint(&bytes[..length - 1]), Err(Malformed), "cut off");
        }
    }

    #[test]
    fn more_than_64_bits_are_no_number() {
        let mut bytes = [0xff; VARINT_BYTES_MAX];
        bytes[VARINT_BYTES_MAX - 1] = 2;
        assert_eq!(varint(&bytes), Err(Malformed));
        bytes[VARINT_BYTES_MAX - 1] = 0x81;
        assert_eq!(varint(&bytes), Err(Malformed));
        bytes[VARINT_BYTES_MAX - 1] = 1;
        assert_eq!(varint(&bytes), Ok((u64::MAX, &[][..])));
    }
}
