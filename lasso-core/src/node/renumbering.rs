//! How often a node may start over under a higher incarnation.
//!
//! A peer that knows a later life of this node's name says so, and the node goes on above it, which
//! costs all of its links. Where the clock went back, one such word or a few are enough; a member
//! that lies could say it again and again. So the next time has to wait, twice as long each time.
//!
//! 1. Between two renumberings lie at least 1 s, 2 s, 4 s and so on, up to 10 min.
//! 2. After 10 min in which another one would have been allowed it begins with 1 s again.
//!
//! It does not know incarnations: see [`crate::node`].

use core::time::Duration;

use crate::time::Instant;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Renumbering {
    /// Those in a row.
    times: u32,
    /// When the next one may come.
    from: Instant,
}

impl Renumbering {
    /// True when the node may start over now; it is taken to do so.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if now < self.from {
            return false;
        }
        if now - self.from >= HOLD_MAX {
            self.times = 0;
        }
        let hold = HOLD_MIN.saturating_mul(1 << self.times.min(16));
        self.times = self.times.saturating_add(1);
        self.from = now + hold.min(HOLD_MAX);
        true
    }
}

/// Long enough for every peer to be reached under the new incarnation.
const HOLD_MIN: Duration = Duration::from_secs(1);
/// A member that lies costs the links once in so long.
const HOLD_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_waits_twice_as_long_up_to_ten_minutes_and_quiet_forgives() {
        let (mut renumbering, mut now) = (Renumbering::default(), Instant::ZERO);
        for hold in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            assert!(renumbering.admit(now));
            now += Duration::from_secs(hold);
            assert!(
                !renumbering.admit(Instant::from_nanos(now.as_nanos() - 1)),
                "{hold}"
            );
        }
        now += HOLD_MAX;
        assert!(renumbering.admit(now));
        assert!(renumbering.admit(now + HOLD_MIN));
    }
}
