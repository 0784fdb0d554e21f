//! How far the data lane may run ahead of a peer that reads more slowly than this side writes.
//!
//! What the kernels hold between the two goes in the order in which it was written: the more of it is
//! data, the longer a call or a heartbeat waits behind it. So the peer tells how much data it has
//! taken, and no more than a window is ever on its way. The window is what a fast network carries in
//! one round trip, the shortest that was seen; so it holds up no data on a long way either.
//!
//! What it does not do: calls and control frames are not counted, and never wait for it.

use core::time::Duration;

use crate::time::Instant;

/// See the module's text. Bytes are those of opened texts, since the link stands.
#[derive(Debug)]
pub(super) struct Pace {
    sent: u64,
    taken: u64,
    window: u64,
    /// When the peer has told that it took so many, a round trip has passed since then.
    sample: Option<(u64, Instant)>,
    round_trip: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            sent: 0,
            taken: 0,
            window: WINDOW_MIN,
            sample: None,
            round_trip: None,
        }
    }
}

impl Pace {
    pub(super) fn may_send(&self) -> bool {
        self.sent.saturating_sub(self.taken) < self.window
    }

    /// A text of data went out.
    pub(super) fn sent(&mut self, at: Instant, bytes: usize) {
        self.sent += bytes as u64;
        self.sample.get_or_insert((self.sent, at));
    }

    /// The peer tells how much it has taken. One that tells more than it can have is only believed:
    /// the window is for its own good.
    pub(super) fn taken(&mut self, now: Instant, total: u64) {
        self.taken = self.taken.max(total);
        let Some((bytes, at)) = self.sample.filter(|(bytes, _)| *bytes <= total) else {
            return;
        };
        debug_assert!(bytes <= total);
        self.sample = None;
        let round_trip = (now - at).min(self.round_trip.unwrap_or(Duration::MAX));
        self.round_trip = Some(round_trip);
        let carried = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX) / NANOS_PER_BYTE;
        self.window = carried.clamp(WINDOW_MIN, WINDOW_MAX);
    }
}

/// What a peer takes before it tells.
#[derive(Debug, Default)]
pub(super) struct Tally {
    taken: u64,
    /// No less than what is ever taken, once it is to tell nothing.
    told: u64,
}

impl Tally {
    /// A text of data came; how much has come in all, if that is to be told.
    pub(super) fn take(&mut self, bytes: usize) -> Option<u64> {
        self.taken += bytes as u64;
        if self.taken.saturating_sub(self.told) < TELL_EVERY {
            return None;
        }
        self.told = self.taken;
        Some(self.taken)
    }

    /// Tells nothing from now on.
    pub(super) fn mute(&mut self) {
        self.told = u64::MAX;
    }
}

/// One gigabyte per second: 8 Gbit/s.
const NANOS_PER_BYTE: u64 = 1;
/// Least window: a millisecond of a fast network, and several times what is told at once.
const WINDOW_MIN: u64 = 1 << 20;
/// Greatest window: what the lane behind it may hold, twice.
const WINDOW_MAX: u64 = 16 << 20;
/// Seldom enough to cost nothing, and often enough that the window never runs dry.
const TELL_EVERY: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(micros)
    }

    #[test]
    fn no_more_than_the_window_is_on_its_way() {
        let (mut pace, mut tally) = (Pace::default(), Tally::default());
        let mut sent = 0;
        while pace.may_send() {
            pace.sent(at(0), 65_000);
            sent += 65_000;
        }
        assert!((WINDOW_MIN..WINDOW_MIN + 65_000).contains(&sent));
        let told = (0..sent / 65_000).filter_map(|_| tally.take(65_000)).last();
        let told = told.expect("more than is told at once has come");
        pace.taken(at(100), told);
        assert!(pace.may_send());
        assert!(
            sent - told < TELL_EVERY,
            "what is not told stays within the window"
        );
    }

    #[test]
    fn the_window_is_what_a_fast_network_carries_in_the_shortest_round_trip() {
        let mut pace = Pace::default();
        for (round_trip_ms, window) in [
            (100, WINDOW_MAX),
            (5, 5_000_000),
            (80, 5_000_000),
            (0, WINDOW_MIN),
        ] {
            pace.sent(at(0), 1_000);
            pace.taken(at(round_trip_ms * 1_000), pace.sent);
            assert_eq!(pace.window, window, "after {round_trip_ms} ms");
        }
    }

    #[test]
    fn a_peer_that_tells_too_much_or_too_little_does_no_harm() {
        let mut pace = Pace::default();
        pace.sent(at(0), 10);
        pace.taken(at(1), u64::MAX);
        pace.taken(at(2), 0);
        pace.sent(at(3), 10);
        assert!(pace.may_send());
    }
}
