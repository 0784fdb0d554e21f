//! The rate of a link: the highest of late.

use core::time::Duration;

use crate::time::Instant;

/// The highest rates of late, in bytes a second: of this span of [`RATE_KEPT`] and of the one before.
#[derive(Debug, Default)]
pub(super) struct Rates {
    now: u64,
    before: u64,
    /// When this span began; `None`: nothing was measured.
    since: Option<Instant>,
    /// When a sample last told what the line carries.
    certain_at: Option<Instant>,
}

impl Rates {
    /// Takes a sample. One that is starved tells only that the line carries no less.
    pub(super) fn add(&mut self, now: Instant, rate: u64, starved: bool) {
        if starved {
            if rate > self.best().unwrap_or(0) {
                self.now = rate;
                self.since.get_or_insert(now);
            }
            return;
        }
        let age = self.since.map_or(Duration::MAX, |since| now - since);
        if age >= RATE_KEPT {
            let recent = age < RATE_KEPT * 2;
            self.before = if recent { self.now } else { 0 };
            self.now = 0;
            self.since = Some(now);
        }
        self.now = self.now.max(rate);
        self.certain_at = Some(now);
    }

    pub(super) fn best(&self) -> Option<u64> {
        self.since.map(|_| self.now.max(self.before))
    }

    pub(super) fn is_certain(&self) -> bool {
        self.certain_at.is_some()
    }

    /// Forgets what is old; true when it was.
    pub(super) fn lapse(&mut self, now: Instant) -> bool {
        let measured = self.certain_at.or(self.since);
        let old = measured.is_some_and(|at| now - at >= RATE_KEPT);
        if old {
            *self = Rates::default();
        }
        old
    }
}

/// How long a rate counts: some round trips of any line.
const RATE_KEPT: Duration = Duration::from_secs(1);
