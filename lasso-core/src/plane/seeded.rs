//! How tables are hashed whose keys peers choose.

use core::hash::{BuildHasher, Hasher};
use std::hash::DefaultHasher;

/// With a seed that peers do not know, so that they cannot choose keys that fall together; the same
/// seed gives the same table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seeded(pub(super) u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_hashes_again_and_another_one_gives_others() {
        let hashes = |seed| ["a", "b"].map(|name| Seeded(seed).hash_one(name));
        assert_eq!(hashes(1), hashes(1));
        assert!(
            hashes(1)
                .iter()
                .zip(hashes(2))
                .all(|(one, two)| *one != two)
        );
    }
}
