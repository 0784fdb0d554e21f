//! How many, and how fast.

use core::time::Duration;

use lasso_core::time::Instant;

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of threads, at least one.
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
    /// How many are under way.
    waiting: u32,
    /// When the last of those that ended did: where outcomes set the pace, the next one begins then.
    freed: Instant,
}

impl Running {
    pub(super) fn new(now: Instant, load: Load) -> Self {
        Running {
            load,
            begins: now,
            ends: load.lasts.map(|lasts| now + lasts),
            done: 0,
            waiting: 0,
            freed: now,
        }
    }

    /// When the next one begins; `None`: not before one of those under way ends, or never.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.load.count.is_some_and(|count| self.done >= count) {
            return None;
        }
        let due = match self.load.pace {
            Pace::Burst => self.begins,
            Pace::Rate(rate) => self.begins + rate.time_for(self.done),
            Pace::InFlight(most) if self.waiting >= most => return None,
            Pace::InFlight(_) => self.freed,
        };
        self.ends.is_none_or(|ends| due < ends).then_some(due)
    }

    /// The next one begins now.
    pub(super) fn take(&mut self, now: Instant) {
        if let Some(due) = self.due()
            && matches!(self.load.pace, Pace::Rate(_))
            && now > due + LATE_MAX
        {
            // What a frozen process would have begun meanwhile is left out.
            self.begins += now - due;
        }
        self.done += 1;
    }

    /// Like [`Running::take`], of one that has an outcome: [`Running::ended`] follows.
    pub(super) fn begin(&mut self, now: Instant) {
        self.take(now);
        self.waiting += 1;
    }

    /// One that was begun has its outcome.
    pub(super) fn ended(&mut self, now: Instant) {
        self.waiting -= 1;
        self.freed = self.freed.max(now);
    }

    /// Nothing begins any more, and nothing is under way.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let late = self.ends.is_some_and(|ends| ends <= now);
        self.waiting == 0 && (late || self.due().is_none())
    }
}

/// A load that is late by more than this was not run: it goes on from the present.
const LATE_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_load_paced_by_outcomes_ends_when_its_time_has_passed() {
        let mut load = Running::new(
            at(10),
            Load {
                pace: Pace::InFlight(2),
                count: None,
                lasts: Some(Duration::from_secs(20)),
            },
        );
        for _ in 0..2 {
            assert_eq!(load.due(), Some(at(10)));
            load.begin(at(10));
        }
        assert_eq!(load.due(), None, "two are under way");
        load.ended(at(29));
        assert_eq!(load.due(), Some(at(29)));
        load.begin(at(29));
        load.ended(at(30));
        assert_eq!(load.due(), None, "its time has passed");
        assert!(!load.is_over(at(30)), "one is under way");
        load.ended(at(31));
        assert!(load.is_over(at(31)));
    }

    #[test]
    fn a_load_paced_by_outcomes_ends_with_its_count() {
        let mut load = Running::new(
            at(0),
            Load {
                pace: Pace::InFlight(1),
                count: Some(2),
                lasts: None,
            },
        );
        for _ in 0..2 {
            load.begin(at(0));
            load.ended(at(1));
        }
        assert_eq!(load.due(), None);
        assert!(load.is_over(at(1)));
    }
}
