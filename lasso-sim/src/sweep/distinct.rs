//! Counts different hashes without keeping them all.
//!
//! It keeps the smallest hashes. While all of them fit, the count is exact. After that the count is estimated from
//! the largest hash that is kept, since hashes are spread evenly.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Up to this many different hashes the count is exact.
pub const EXACT: usize = 1 << 16;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Distinct {
    smallest: BTreeSet<u64>,
    is_full: bool,
}

impl Distinct {
    /// Adds a hash: at least 16 hexadecimal digits. Anything else counts as nothing.
    pub fn add(&mut self, hash: &str) {
        let digits = hash.get(..16);
        let Some(word) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            return;
        };
        self.smallest.insert(word);
        if self.smallest.len() > EXACT {
            self.is_full = true;
            self.smallest.pop_last();
        }
    }

    /// The number of different hashes: exact, or estimated to within about one percent.
    pub fn count(&self) -> u64 {
        match self.smallest.last() {
            Some(largest) if self.is_full => {
                let share = (*largest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
                ((EXACT - 1) as f64 / share) as u64
            }
            _ => self.smallest.len() as u64,
        }
    }

    /// Whether [`Distinct::count`] is exact.
    pub fn is_exact(&self) -> bool {
        !self.is_full
    }
}

impl Serialize for Distinct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Distinct", 2)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("exact", &self.is_exact())?;
        fields.end()
    }
}
