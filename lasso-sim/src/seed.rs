//! One generator per purpose, so that drawing more for one purpose shifts no other.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The purposes for which random numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The seed of one process of a node: node index, and its number of starts.
    Process = 1,
    /// One direction between two hosts: their indices.
    Path = 2,
    /// The runtime of the turmoil world.
    Turmoil = 3,
    /// The drawn faults of a scenario.
    Faults = 4,
    /// The application of one process of a node: node index, and its number of starts.
    App = 5,
    /// A range in a file: its place in the file, and the repetition of its step.
    Draw = 6,
    /// The start of a node without `starts`: its name in the file.
    Spread = 7,
    /// The keys of a lying member: its number in the run, and its number of connections.
    Liar = 20,
    /// A user's own application: node index and start, and the index of the generator.
    Guest = 32,
}

/// The generator for one purpose; `a` and `b` distinguish its users.
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

/// A draw from `low..=high` in which each doubling is about equally likely.
pub fn by_magnitude(rng: &mut ChaCha8Rng, low: u64, high: u64) -> u64 {
    // One more than the bounds, since zero has no logarithm.
    let (mut low, mut high) = (u128::from(low) + 1, u128::from(high) + 1);
    // Halves the range at its geometric mean. In whole numbers, so that each machine draws the same.
    while high > low {
        let middle = (low * high).isqrt().clamp(low, high - 1);
        if rng.next_u64() >> 63 == 0 {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    (low - 1) as u64
}

/// A number that stands for a text, so that generators can be distinguished by name.
pub fn key(text: &str) -> u64 {
    // FNV-1a. If two places of one file share a number, they only draw alike.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
