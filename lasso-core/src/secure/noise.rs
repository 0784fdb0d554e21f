//! The pattern, the cipher suite, and the sources of their primitives.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{BoxedCryptoResolver, CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

/// One fixed choice; `docs/protocol.md` has the measurements behind it.
pub(super) const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// The side that speaks first.
pub(super) fn initiator(key: &[u8; 32], preamble: &[u8], seed: [u8; 32]) -> HandshakeState {
    builder(key, preamble, seed)
        .and_then(Builder::build_initiator)
        .expect(SUITE)
}

/// The side that answers.
pub(super) fn responder(key: &[u8; 32], preamble: &[u8], seed: [u8; 32]) -> HandshakeState {
    builder(key, preamble, seed)
        .and_then(Builder::build_responder)
        .expect(SUITE)
}

const SUITE: &str = "the suite is fixed and its parts are compiled in";

fn builder<'a>(
    key: &'a [u8; 32],
    preamble: &'a [u8],
    seed: [u8; 32],
) -> Result<Builder<'a>, snow::Error> {
    Builder::with_resolver(PATTERN.parse()?, parts(seed))
        .psk(0, key)?
        .prologue(preamble)
}

pub(super) fn parts(seed: [u8; 32]) -> BoxedCryptoResolver {
    Box::new(Parts { seed })
}

/// Provides the primitives for snow: a seeded generator, never the system's, and the fast ciphers if they are
/// compiled in.
struct Parts {
    seed: [u8; 32],
}

impl CryptoResolver for Parts {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded {
            seed: self.seed,
            drawn: 0,
        }))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        #[cfg(feature = "ring")]
        if let Some(hash) = snow::resolvers::RingResolver.resolve_hash(choice) {
            return Some(hash);
        }
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        #[cfg(feature = "ring")]
        if let Some(cipher) = snow::resolvers::RingResolver.resolve_cipher(choice) {
            return Some(cipher);
        }
        DefaultResolver.resolve_cipher(choice)
    }
}

/// A generator that is created for each draw, because a handshake draws once and then waits: the seed is a
/// tenth of the generator's state.
struct Seeded {
    seed: [u8; 32],
    drawn: u64,
}

impl Random for Seeded {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let mut generator = ChaCha20Rng::from_seed(self.seed);
        generator.set_stream(self.drawn);
        generator.fill_bytes(dest);
        self.drawn += 1;
        Ok(())
    }
}

/// The most bytes that snow holds for a handshake that waits for the second message. Measured with a counting
/// allocator, and with ring, whose state is larger.
pub(super) const HANDSHAKE_BYTES: usize = 3_328;
/// The most bytes that snow holds for the keys of a session, likewise.
pub(super) const KEYS_BYTES: usize = 1_408;

#[cfg(all(test, feature = "ring"))]
mod tests {
    use proptest::prelude::*;
    use snow::resolvers::RingResolver;

    use super::*;

    const SIZES: core::ops::Range<usize> = 0..4_096;

    fn cipher(resolver: &dyn CryptoResolver, key: &[u8; 32]) -> Box<dyn Cipher> {
        let mut cipher = resolver
            .resolve_cipher(&CipherChoice::AESGCM)
            .expect("both resolvers have the suite");
        cipher.set(key);
        cipher
    }

    fn digest(resolver: &dyn CryptoResolver, text: &[u8]) -> [u8; 32] {
        let mut hash = resolver
            .resolve_hash(&HashChoice::SHA256)
            .expect("both resolvers have the suite");
        let mut out = [0; 32];
        hash.input(text);
        hash.result(&mut out);
        out
    }

    proptest! {
        /// A node with ring and one without can be members of one cluster, and a seed gives the same
        /// trace with either. One build tests both.
        #[test]
        fn ring_and_pure_rust_give_the_same_bytes(
            key: [u8; 32],
            nonce in 0..u64::MAX,
            ad in proptest::collection::vec(any::<u8>(), 0..64),
            text in proptest::collection::vec(any::<u8>(), SIZES),
        ) {
            let (fast, pure) = (cipher(&RingResolver, &key), cipher(&DefaultResolver, &key));
            let mut sealed = [vec![0; text.len() + 16], vec![0; text.len() + 16]];
            fast.encrypt(nonce, &ad, &text, &mut sealed[0]);
            pure.encrypt(nonce, &ad, &text, &mut sealed[1]);
            prop_assert_eq!(&sealed[0], &sealed[1]);
            for opener in [&fast, &pure] {
                let mut opened = vec![0; text.len() + 16];
                let length = opener.decrypt(nonce, &ad, &sealed[0], &mut opened)?;
                prop_assert_eq!(&opened[..length], &text[..]);
            }
            sealed[0][0] ^= 1;
            for opener in [&fast, &pure] {
                let mut opened = vec![0; text.len() + 16];
                prop_assert!(opener.decrypt(nonce, &ad, &sealed[0], &mut opened).is_err());
            }
            prop_assert_eq!(digest(&RingResolver, &text), digest(&DefaultResolver, &text));
        }
    }
}
