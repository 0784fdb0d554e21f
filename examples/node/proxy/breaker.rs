//! Is a provider worth asking?
//!
//! A circuit is closed while requests flow. Enough failures in a row open it, and nothing flows for a
//! while; then one request at a time goes through as a test: enough of them that succeed close it, one
//! that fails opens it again, for twice as long.
//!
//! 1. While it is open nothing is let through; while it is half open, one request at a time.
//! 2. A request that was let through ends in exactly one of success, failure and withdrawal.
//! 3. Every change of state is returned to whoever caused it, with what it was before.

use std::time::{Duration, Instant};

use lasso::events::CircuitState;

/// When a circuit opens and closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BreakerSettings {
    /// Failures in a row that open it; at least 1. Of these, one client's count at most half, rounded up.
    /// Higher: a provider that fails is asked for longer. Lower: chance opens it.
    pub(crate) failures: u32,
    /// How long it stays open the first time.
    pub(crate) open_for: Duration,
    /// How long it stays open at most, however often it has failed.
    pub(crate) open_for_max: Duration,
    /// Successes in a row that close it again; at least 1.
    pub(crate) successes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings {
            failures: 5,
            open_for: Duration::from_secs(10),
            open_for_max: Duration::from_secs(120),
            successes: 2,
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// What it was.
    pub(crate) previous: CircuitState,
    /// What it is.
    pub(crate) state: CircuitState,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Why.
    pub(crate) reason: &'static str,
}

/// A request was let through; it is to be handed back with the outcome.
#[derive(Debug)]
pub(crate) struct Pass {
    /// It tests a circuit that is half open.
    test: bool,
}

impl Pass {
    /// One for a circuit that is closed.
    pub(crate) const CLOSED: Pass = Pass { test: false };

    /// True when it tests a circuit that is half open.
    pub(crate) fn is_test(&self) -> bool {
        self.test
    }
}

/// The machine. See the module's text.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: CircuitState,
    /// Failures in a row.
    failures: u32,
    /// Successes in a row while half open.
    successes: u32,
    /// While open: until when.
    until: Instant,
    /// How long it was open last.
    open_for: Duration,
    /// A test is under way.
    testing: bool,
}

impl Breaker {
    /// A closed circuit.
    pub(crate) fn new(now: Instant, settings: BreakerSettings) -> Self {
        Breaker {
            state: CircuitState::Closed,
            failures: 0,
            successes: 0,
            until: now,
            open_for: Duration::ZERO,
            testing: false,
            settings,
        }
    }

    /// Its state.
    pub(crate) fn state(&self) -> CircuitState {
        self.state
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// True when a request would be let through.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        match self.state {
            CircuitState::Closed => true,
            CircuitState::Open => now >= self.until,
            _ => !self.testing,
        }
    }

    /// While nothing is let through: the moment from which on something is, if time alone decides.
    pub(crate) fn opens_at(&self) -> Option<Instant> {
        (self.state == CircuitState::Open).then_some(self.until)
    }

    /// A request goes through, which [`Breaker::lets_through`] has allowed.
    pub(crate) fn begin(&mut self, now: Instant) -> (Pass, Option<Change>) {
        debug_assert!(self.lets_through(now), "{self:?}");
        if self.state == CircuitState::Closed {
            return (Pass { test: false }, None);
        }
        self.testing = true;
        let change = (self.state == CircuitState::Open).then(|| {
            self.successes = 0;
            self.change(CircuitState::HalfOpen, "its time to recover is over")
        });
        (Pass { test: true }, change)
    }

    /// A request was answered.
    pub(crate) fn success(&mut self, pass: Pass) -> Option<Change> {
        if !pass.test {
            // One that began before the circuit opened says nothing of how things are now.
            if self.state == CircuitState::Closed {
                self.failures = 0;
            }
            return None;
        }
        self.testing = false;
        self.successes += 1;
        if self.successes < self.settings.successes {
            return None;
        }
        self.failures = 0;
        self.open_for = Duration::ZERO;
        Some(self.change(CircuitState::Closed, "its tests were answered"))
    }

    /// A request failed, and it was the provider's fault.
    pub(crate) fn failure(
        &mut self,
        now: Instant,
        pass: Pass,
        reason: &'static str,
    ) -> Option<Change> {
        if !pass.test && self.state != CircuitState::Closed {
            return None;
        }
        self.testing = false;
        self.failures = self.failures.saturating_add(1);
        if !pass.test && self.failures < self.settings.failures {
            return None;
        }
        Some(self.open(now, reason))
    }

    /// Opens it, however few the failures.
    pub(crate) fn open(&mut self, now: Instant, reason: &'static str) -> Change {
        let longer = (self.open_for * 2).max(self.settings.open_for);
        self.open_for = longer.min(self.settings.open_for_max);
        self.until = now + self.open_for;
        self.testing = false;
        self.change(CircuitState::Open, reason)
    }

    /// So many of the failures in a row count no more.
    pub(crate) fn forgive(&mut self, failures: u32) {
        self.failures = self.failures.saturating_sub(failures);
    }

    /// A request has no outcome that says anything of the provider.
    pub(crate) fn withdraw(&mut self, pass: Pass) {
        if pass.test {
            self.testing = false;
        }
    }

    fn change(&mut self, state: CircuitState, reason: &'static str) -> Change {
        let previous = std::mem::replace(&mut self.state, state);
        Change {
            previous,
            state,
            failures: self.failures,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CircuitState::{Closed, HalfOpen, Open};

    const S: Duration = Duration::from_secs(1);

    fn breaker(now: Instant) -> Breaker {
        let settings = BreakerSettings {
            failures: 3,
            open_for: 10 * S,
            open_for_max: 30 * S,
            successes: 2,
        };
        Breaker::new(now, settings)
    }

    fn fail(breaker: &mut Breaker, now: Instant) -> Option<Change> {
        let (pass, _) = breaker.begin(now);
        breaker.failure(now, pass, "it failed")
    }

    fn fail_thrice(breaker: &mut Breaker, now: Instant) {
        for _ in 0..3 {
            fail(breaker, now);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = breaker(now);
        assert_eq!(fail(&mut breaker, now), None);
        assert_eq!(fail(&mut breaker, now), None);
        let (pass, _) = breaker.begin(now);
        assert_eq!(breaker.success(pass), None);
        assert_eq!(fail(&mut breaker, now), None);
        assert_eq!(fail(&mut breaker, now), None);
        let change = Change {
            previous: Closed,
            state: Open,
            failures: 3,
            reason: "it failed",
        };
        assert_eq!(fail(&mut breaker, now), Some(change));
        assert!(!breaker.lets_through(now + 9 * S));
        assert_eq!(breaker.opens_at(), Some(now + 10 * S));
    }

    #[test]
    fn it_is_tested_by_one_request_at_a_time_and_closed_by_enough_of_them() {
        let now = Instant::now();
        let mut breaker = breaker(now);
        fail_thrice(&mut breaker, now);
        let now = now + 10 * S;
        let (first, change) = breaker.begin(now);
        assert_eq!(
            change.map(|c| (c.previous, c.state)),
            Some((Open, HalfOpen))
        );
        assert!(!breaker.lets_through(now));
        assert_eq!(breaker.success(first), None);
        let (second, change) = breaker.begin(now);
        assert_eq!(change, None);
        let change = breaker.success(second).unwrap();
        assert_eq!((change.previous, change.state), (HalfOpen, Closed));
        assert_eq!(change.failures, 0);
    }

    #[test]
    fn a_test_that_fails_opens_it_for_twice_as_long_up_to_a_bound() {
        let start = Instant::now();
        let mut breaker = breaker(start);
        fail_thrice(&mut breaker, start);
        let mut now = start;
        for open_for in [10, 20, 30, 30] {
            assert!(!breaker.lets_through(now + (open_for - 1) * S));
            now += open_for * S;
            let (pass, _) = breaker.begin(now);
            let change = breaker.failure(now, pass, "again").unwrap();
            assert_eq!((change.previous, change.state), (HalfOpen, Open));
        }
    }

    #[test]
    fn what_began_before_it_opened_neither_closes_it_nor_opens_it_again() {
        let now = Instant::now();
        let mut breaker = breaker(now);
        let (early, late) = (breaker.begin(now).0, breaker.begin(now).0);
        fail_thrice(&mut breaker, now);
        let now = now + 10 * S;
        let (test, _) = breaker.begin(now);
        assert_eq!(breaker.success(early), None);
        assert_eq!(breaker.failure(now, late, "late"), None);
        assert!(!breaker.lets_through(now), "the test is still under way");
        breaker.withdraw(test);
        assert!(breaker.lets_through(now));
        assert_eq!(breaker.state(), HalfOpen);
    }
}
