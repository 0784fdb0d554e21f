//! SipHash-2-4 with 128 bits, as Aumasson and Bernstein published it: <https://www.aumasson.jp/siphash>.
//!
//! A text becomes sixteen bytes. Who does not know the key can neither find two texts of one hash
//! nor a text of a given hash with less work than guessing.

/// The hash of `bytes` under `key`; its low half is the first eight bytes of the published form.
pub(super) fn siphash128(key: [u64; 2], bytes: &[u8]) -> u128 {
    let mut state = State([
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ]);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    // Only the lowest byte of the length is part of the hash.
    last[7] = bytes.len() as u8;
    state.absorb(u64::from_le_bytes(last));
    state.0[2] ^= 0xee;
    let low = state.squeeze();
    state.0[1] ^= 0xdd;
    let high = state.squeeze();
    u128::from(low) | u128::from(high) << 64
}

struct State([u64; 4]);

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn squeeze(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32);
        c = c.wrapping_add(b);
        a = a.wrapping_add(d);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::siphash128;

    #[test]
    fn the_published_vectors_come_out() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let table: [(u8, [u8; 16]); 5] = [
            (
                0,
                *b"\xa3\x81\x7f\x04\xba\x25\xa8\xe6\x6d\xf6\x72\x14\xc7\x55\x02\x93",
            ),
            (
                1,
                *b"\xda\x87\xc1\xd8\x6b\x99\xaf\x44\x34\x76\x59\x11\x9b\x22\xfc\x45",
            ),
            (
                2,
                *b"\x81\x77\x22\x8d\xa4\xa4\x5d\xc7\xfc\xa3\x8b\xde\xf6\x0a\xff\xe4",
            ),
            (
                3,
                *b"\x9c\x70\xb6\x0c\x52\x67\xa9\x4e\x5f\x33\xb6\xb0\x29\x85\xed\x51",
            ),
            (
                15,
                *b"\x54\x93\xe9\x99\x33\xb0\xa8\x11\x7e\x08\xec\x0f\x97\xcf\xc3\xd9",
            ),
        ];
        for (length, hash) in table {
            let text: Vec<u8> = (0..length).collect();
            assert_eq!(siphash128(key, &text).to_le_bytes(), hash, "{length} bytes");
        }
    }

    #[test]
    fn another_key_gives_another_hash() {
        assert_ne!(siphash128([1, 2], b"one"), siphash128([1, 3], b"one"));
        assert_ne!(siphash128([1, 2], b"one"), siphash128([2, 2], b"one"));
    }
}
