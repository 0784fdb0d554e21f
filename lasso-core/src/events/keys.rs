//! What live events draw at random from a node's seed.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// What is drawn at random for a node's events.
pub struct EventKeys {
    /// What ids are hashed under: for [`Live::new`](super::Live::new).
    pub ids: [u64; 2],
    /// What sampling draws from: for [`Sampler::new`](super::sampler::Sampler::new).
    pub sampling: [u8; 32],
}

/// Draws them from a node's seed, which must come from a good source; what the node draws from it for
/// other purposes stays apart.
pub fn event_keys(seed: [u8; 32]) -> EventKeys {
    let mut rng = ChaCha12Rng::from_seed(seed);
    rng.set_stream(KEYS_STREAM);
    let ids = [rng.next_u64(), rng.next_u64()];
    let mut sampling = [0; 32];
    rng.fill_bytes(&mut sampling);
    EventKeys { ids, sampling }
}

/// The node itself draws from the streams before it.
const KEYS_STREAM: u64 = 2;
