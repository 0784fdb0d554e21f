//! The report of a test that held, and of one that failed.

use core::fmt;
use core::ops::RangeInclusive;

/// A test that held with every seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(super) file: String,
    pub(super) seeds: RangeInclusive<u64>,
    pub(super) different: usize,
    pub(super) simulated_ms: u64,
}

impl Report {
    /// The seeds that were run.
    pub fn seeds(&self) -> RangeInclusive<u64> {
        self.seeds.clone()
    }

    /// The number of different runs among these seeds, by their traces.
    pub fn different(&self) -> usize {
        self.different
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, different) = (&self.file, self.different);
        write!(f, "{file}: held with {}, ", Seeds(&self.seeds))?;
        if different > 1 {
            write!(f, "{different} different runs, ")?;
        }
        write!(f, "{} s simulated", self.simulated_ms / 1_000)
    }
}

/// A range of seeds in a sentence.
pub(super) struct Seeds<'a>(pub(super) &'a RangeInclusive<u64>);

impl fmt::Display for Seeds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        match first == last {
            true => write!(f, "seed {first}"),
            false => write!(f, "seeds {first} to {last}"),
        }
    }
}

/// A test that failed, or that could not be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    seed: Option<u64>,
    text: String,
}

impl Failed {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Failed {
            seed: None,
            text: text.into(),
        }
    }

    pub(super) fn with_seed(seed: u64, text: String) -> Self {
        Failed {
            seed: Some(seed),
            text,
        }
    }

    /// The first seed that failed; `None` when nothing could be run.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failed {}
