//! How much data has come, for peers of earlier releases.

/// What a peer of an earlier release waits for: it has no probes, and sends on only when it is told how much
/// of its data was taken.
#[derive(Debug, Default)]
pub(in crate::link) struct Tally {
    taken: u64,
    /// No less than what is ever taken, once it is to tell nothing.
    told: u64,
}

impl Tally {
    /// A text of data came; how much has come in all, if that is to be told.
    pub(in crate::link) fn take(&mut self, bytes: usize) -> Option<u64> {
        self.taken += bytes as u64;
        if self.taken.saturating_sub(self.told) < TELL_EVERY {
            return None;
        }
        self.told = self.taken;
        Some(self.taken)
    }

    /// Tells nothing from now on.
    pub(in crate::link) fn mute(&mut self) {
        self.told = u64::MAX;
    }
}

/// Seldom enough to cost nothing; earlier releases count on it.
const TELL_EVERY: u64 = 256 << 10;
