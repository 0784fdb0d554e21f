//! One generator per purpose, so that drawing more for one purpose shifts no other.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// What random numbers are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The seed of one process of a node: node index, and how often it has started.
    Process = 1,
    /// One direction between two hosts: their indices.
    Path = 2,
    /// The runtime of the turmoil world.
    Turmoil = 3,
    /// What drawn faults a scenario meets.
    Faults = 4,
    /// The application of one process of a node: node index, and how often it has started.
    App = 5,
}

/// The generator for one purpose; `a` and `b` tell apart whom it is for.
pub fn generator(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(bytes(seed, purpose, a, b))
}

/// A seed of its own for one purpose.
pub fn derived(seed: u64, purpose: Purpose, a: u64, b: u64) -> [u8; 32] {
    let mut out = [0; 32];
    generator(seed, purpose, a, b).fill_bytes(&mut out);
    out
}

fn bytes(seed: u64, purpose: Purpose, a: u64, b: u64) -> [u8; 32] {
    let mut out = [0; 32];
    for (slot, word) in out.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    out
}

/// An even draw from `0..=max`.
pub fn up_to(rng: &mut ChaCha8Rng, max: u64) -> u64 {
    // The bias of the multiplication is below 2^-64 of the range: no simulation can tell.
    ((u128::from(rng.next_u64()) * (u128::from(max) + 1)) >> 64) as u64
}
