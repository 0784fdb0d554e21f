//! Time as the machines see it: an input, never a clock.
//!
//! An [`Instant`] counts nanoseconds since the machine that holds it was created. The driver of the machine
//! passes the time in; nothing in this crate can read it.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in nanoseconds since the start of the machine.
///
/// 64 bits hold 584 years; arithmetic saturates at both ends instead of wrapping.
///
/// ```
/// use core::time::Duration;
/// use lasso_core::time::Instant;
///
/// let later = Instant::ZERO + Duration::from_secs(5);
/// assert_eq!(later - Instant::ZERO, Duration::from_secs(5));
/// assert_eq!(Instant::ZERO - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The start of the machine.
    pub const ZERO: Instant = Instant(0);
    /// A moment that never arrives.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// The moment `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rhs: Duration) -> Instant {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time from `rhs` to `self`; zero when `rhs` is the later one.
    fn sub(self, rhs: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(rhs.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Instant {
    /// Seconds with nine decimals, so that no two different moments print alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}s",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

/// The earlier of two deadlines; `None` means never.
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Between half an interval and a whole one, chosen by `drawn`: a first deadline that is out of step with those of
/// other nodes, and never later than the interval.
pub(crate) fn part(interval: Duration, drawn: u32) -> Duration {
    let half = interval / 2;
    let nanos = (half.as_nanos() * u128::from(drawn)) >> 32;
    half + Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_deadline_lies_between_half_an_interval_and_a_whole_one() {
        let interval = Duration::from_secs(30);
        assert_eq!(part(interval, 0), interval / 2);
        assert_eq!(part(interval, 1 << 31), Duration::from_millis(22_500));
        let last = part(interval, u32::MAX);
        assert!(last < interval && last > Duration::from_millis(29_999));
    }
}
