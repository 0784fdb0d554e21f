//! The amount and the pace.

use core::time::Duration;

use lasso_core::time::Instant;

/// A number per unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of threads, at least one.
    pub number: u64,
    /// The unit.
    pub unit: Duration,
}

impl Rate {
    /// The time that `count` of them take.
    pub fn time_for(&self, count: u64) -> Duration {
        let nanos = self.unit.as_nanos() * u128::from(count) / u128::from(self.number);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many begin within a time.
    pub fn count_in(&self, time: Duration) -> u64 {
        let count = time.as_nanos() * u128::from(self.number) / self.unit.as_nanos().max(1);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// The source of the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at the same moment.
    Burst,
    /// The clock.
    Rate(Rate),
    /// The outcomes: this many are under way, and the next begins when one of them ends.
    InFlight(u32),
}

/// The amount and the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The pace.
    pub pace: Pace,
    /// The amount; `None`: as many as the time allows.
    pub count: Option<u64>,
    /// The time after the first one in which others may begin.
    pub lasts: Option<Duration>,
}

/// A load under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    load: Load,
    begins: Instant,
    ends: Option<Instant>,
    done: u64,
    /// The number under way.
    waiting: u32,
    /// When one last ended: if outcomes set the pace, the next one begins then.
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

    /// When the next one begins; `None`: not before one under way ends, or never.
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
            // Skips those that a frozen process would have begun meanwhile.
            self.begins += now - due;
        }
        self.done += 1;
    }

    /// Like [`Running::take`], for one with an outcome: [`Running::ended`] follows.
    pub(super) fn begin(&mut self, now: Instant) {
        self.take(now);
        self.waiting += 1;
    }

    /// One that began has its outcome.
    pub(super) fn ended(&mut self, now: Instant) {
        self.waiting -= 1;
        self.freed = self.freed.max(now);
    }

    /// Whether no further one begins and none is under way.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let late = self.ends.is_some_and(|ends| ends <= now);
        self.waiting == 0 && (late || self.due().is_none())
    }
}

/// A load that is later than this was not scheduled: it continues from the present.
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
