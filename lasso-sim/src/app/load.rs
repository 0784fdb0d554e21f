//! How many, and how fast.

use core::time::Duration;

use lasso_core::time::Instant;

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least one.
    pub number: u64,
    /// In this time.
    pub unit: Duration,
}

impl Rate {
    /// How long `count` of them take.
    pub fn time_for(&self, count: u64) -> Duration {
        let nanos = self.unit.as_nanos() * u128::from(count) / u128::from(self.number);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many of them begin within a time.
    pub fn count_in(&self, time: Duration) -> u64 {
        let count = time.as_nanos() * u128::from(self.number) / self.unit.as_nanos().max(1);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// What sets the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at the same moment.
    Burst,
    /// The clock.
    Rate(Rate),
    /// The outcomes: so many are under way, and the next one begins when one of them ends.
    InFlight(u32),
}

/// How many, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How fast.
    pub pace: Pace,
    /// How many; `None`: as many as the time allows.
    pub count: Option<u64>,
    /// None begins later than this after the first.
    pub lasts: Option<Duration>,
}

/// A load under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    load: Load,
    begins: Instant,
    ends: Option<Instant>,
    done: u64,
}

impl Running {
    pub(super) fn new(now: Instant, load: Load) -> Self {
        Running {
            load,
            begins: now,
            ends: load.lasts.map(|lasts| now + lasts),
            done: 0,
        }
    }

    /// When the next one begins, with `waiting` of them under way; `None`: not before one of these
    /// ends, or never.
    pub(super) fn due(&self, waiting: u32) -> Option<Instant> {
        if self.load.count.is_some_and(|count| self.done >= count) {
            return None;
        }
        let due = match self.load.pace {
            Pace::Burst => self.begins,
            Pace::Rate(rate) => self.begins + rate.time_for(self.done),
            Pace::InFlight(most) if waiting >= most => return None,
            Pace::InFlight(_) => self.begins,
        };
        self.ends.is_none_or(|ends| due < ends).then_some(due)
    }

    /// The next one begins now.
    pub(super) fn take(&mut self, now: Instant) {
        if let Some(due) = self.due(0)
            && matches!(self.load.pace, Pace::Rate(_))
            && now > due + LATE_MAX
        {
            // What a frozen process would have begun meanwhile is left out.
            self.begins += now - due;
        }
        self.done += 1;
    }

    /// Nothing begins any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now) || self.due(0).is_none()
    }
}

/// A load that is late by more than this was not run: it goes on from the present.
const LATE_MAX: Duration = Duration::from_millis(100);
