//! How far calls and data may run ahead of what the peer has taken, and how long their records are.
//!
//! What was sealed leaves in the order in which it was sealed, so a heartbeat waits behind all data that
//! lies between this process and the peer's. On a thin line 1 MiB of it is many seconds. So a link keeps no
//! more on the way than a *window*: what the line delivers in one round trip and in the time that a control
//! frame may wait, by the rate that was measured. Records are a quarter of the window at most.
//!
//! The sender measures. It puts pings of its own, *probes*, behind its data. The peer's link answers each
//! one as soon as it has taken all bytes before it, and says at what time of its own that was. The bytes
//! between two probes and the peer's time between them give the rate. The answer itself may wait behind the
//! peer's data, so its delay says nothing about the rate. It gives a round trip only where little lay in front
//! of the probe and little came in before its answer.
//!
//! 1. The window is never below [`WINDOW_MIN`], so one record always fits, and never above [`WINDOW_MAX`].
//! 2. While the window is closed a probe is under way or due: any answer, however late, opens it again.
//! 3. Control frames are not counted and never wait. Calls wait for calls only; data waits for both. So at
//!    most two windows, and one record of each kind, are on the way.
//! 4. Probes under way are bounded: there is one per quarter of the window.
//! 5. A peer that answers wrongly changes the window of its own link alone, within the bounds.
//!
//! Sources: the rate is that of BBR's delivery rate estimation
//! (draft-cheng-iccrg-delivery-rate-estimation): bytes over the longer of the times in which they were sent and
//! taken, where samples that began while the sender had too little to send count only if they are higher. The
//! window is BBR's `cwnd_gain` of 2 (draft-cardwell-iccrg-bbr-congestion-control) with [`WAIT`] in place of a
//! round trip shorter than that. That pings measure the product of rate and round trip is the idea of grpc-go's
//! `bdp_estimator.go`; that the receiver's clock keeps the way back out of it is that of LEDBAT (RFC 6817); to
//! restart after a pause is that of RFC 2861.
//!
//! What it does not do: it does not replace the congestion control of TCP, and it cannot call back what a
//! kernel took before the line became slower. A line whose round trips vary by more than [`WAIT`] is not filled.

mod rates;
mod tally;

use core::time::Duration;
use std::collections::VecDeque;

use rates::Rates;
pub(super) use tally::Tally;

use super::TEXT_BYTES_MAX;
use super::lanes::LaneId;
use crate::time::Instant;

/// See the module's text. Bytes are those of opened texts, since the link stands.
#[derive(Debug)]
pub(super) struct Pace {
    sent: Sent,
    /// What the peer has taken for certain: up to the last probe that it answered.
    taken: Sent,
    probes: VecDeque<Probe>,
    /// Bytes that came from the peer.
    received: u64,
    /// Bytes sent before the last probe.
    probed: u64,
    next_number: u64,
    /// The lanes ran dry when so many bytes had been sent.
    dry_at: u64,
    /// Nothing was sent since the lanes ran dry.
    resting: bool,
    /// Where the next sample begins.
    base: Base,
    rates: Rates,
    /// The shortest round trip with little in front of it and behind it, and when it was measured.
    round_trip: Option<(Duration, Instant)>,
    /// The shortest of all.
    shortest: Option<Duration>,
    window: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    calls: u64,
    data: u64,
}

impl Sent {
    fn total(self) -> u64 {
        self.calls + self.data
    }
}

/// The start of a sample of the rate.
#[derive(Debug, Clone, Copy)]
struct Base {
    /// So much had been taken.
    taken: u64,
    /// When that was known.
    known_at: Instant,
    /// When the peer had taken it, by its own time.
    stamp: Option<u64>,
    /// When the last of it had been sent.
    sent_at: Instant,
}

/// A ping that is under way.
#[derive(Debug)]
struct Probe {
    number: u64,
    at: Instant,
    sent: Sent,
    base: Base,
    /// The lanes ran dry within the sample: the line could have carried more.
    starved: bool,
    /// So little is in front of it that it measures the line and not the queue.
    alone: bool,
    /// Bytes that had come from the peer.
    received: u64,
}

impl Probe {
    /// How long the peer took for what lies between the base and this. By its own time, if it tells it: the
    /// way back changes nothing about that. But a peer that takes much at once, after it stood still, did not
    /// get all of it at once, so half of the time here counts at least.
    fn took(&self, now: Instant, stamp: Option<u64>) -> Duration {
        let here = now - self.base.known_at;
        let (Some(stamp), Some(base)) = (stamp, self.base.stamp) else {
            return here;
        };
        let passed = stamp.wrapping_sub(base) & STAMP_MASK;
        if passed > STAMP_MASK / 2 {
            // Its time ran backwards.
            return here;
        }
        Duration::from_micros(passed).max(here / 2)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            sent: Sent::default(),
            taken: Sent::default(),
            probes: VecDeque::new(),
            received: 0,
            probed: 0,
            next_number: 0,
            dry_at: 0,
            resting: true,
            base: Base {
                taken: 0,
                known_at: Instant::ZERO,
                stamp: None,
                sent_at: Instant::ZERO,
            },
            rates: Rates::default(),
            round_trip: None,
            shortest: None,
            window: WINDOW_FIRST,
        }
    }
}

impl Pace {
    /// Whether something of this lane may go out now.
    pub(super) fn may_send(&self, id: LaneId) -> bool {
        match id {
            LaneId::Control => true,
            LaneId::Calls => self.sent.calls.saturating_sub(self.taken.calls) < self.window,
            LaneId::Data => self.in_flight() < self.window,
        }
    }

    /// The longest text that the next record of calls or data may have.
    pub(super) fn record_bytes(&self) -> usize {
        let share = usize::try_from(self.window / SHARE).unwrap_or(TEXT_BYTES_MAX);
        share.clamp(RECORD_MIN, TEXT_BYTES_MAX)
    }

    /// A text of calls or data went out.
    pub(super) fn sent(&mut self, at: Instant, id: LaneId, bytes: usize) {
        if core::mem::take(&mut self.resting) && self.probes.is_empty() {
            self.base = Base {
                taken: self.sent.total(),
                known_at: at,
                stamp: None,
                sent_at: at,
            };
        }
        match id {
            LaneId::Control => {}
            LaneId::Calls => self.sent.calls += bytes as u64,
            LaneId::Data => self.sent.data += bytes as u64,
        }
    }

    /// Nothing of calls and data waits.
    pub(super) fn ran_dry(&mut self) {
        self.dry_at = self.sent.total();
        self.resting = true;
    }

    /// Whether a probe is to go out before anything else, while so many bytes of calls and data wait.
    /// After a pause the rate is forgotten, as the line may have changed.
    pub(super) fn wants_probe(&mut self, now: Instant, waiting: usize) -> bool {
        if self.resting && self.probes.is_empty() && self.rates.lapse(now) {
            self.resize();
        }
        let unprobed = self.sent.total() - self.probed;
        if unprobed == 0 {
            // The first probe of a burst has nothing in front of it.
            let unknown = self.rates.best().is_none();
            return unknown && self.resting && self.probes.is_empty() && waiting >= PROBED_LEAST;
        }
        unprobed >= self.probe_every() || self.is_stuck()
    }

    /// So many bytes of any kind came from the peer.
    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// A probe goes out; its number.
    pub(super) fn probe(&mut self, now: Instant) -> u64 {
        let number = PROBE_BIT | (self.next_number & PROBES_MASK) << STAMP_BITS;
        self.next_number += 1;
        if self.probes.is_empty() && self.probed == self.sent.total() {
            // Alone, in front of a burst.
            self.resting = false;
            self.base = Base {
                taken: self.sent.total(),
                known_at: now,
                stamp: None,
                sent_at: now,
            };
        }
        self.probed = self.sent.total();
        self.probes.push_back(Probe {
            number,
            at: now,
            sent: self.sent,
            base: self.base,
            starved: self.base.taken < self.dry_at,
            alone: self.in_flight() <= ALONE_MOST,
            received: self.received,
        });
        debug_assert!(self.probes.len() <= PROBES_MAX, "bounded by the window");
        number
    }

    /// The peer answers a ping. True when that may let something out; numbers of no probe mean nothing.
    pub(super) fn answered(&mut self, now: Instant, number: u64) -> bool {
        let stamp = (number & STAMPED_BIT != 0).then_some(number & STAMP_MASK);
        let number = number & !(STAMPED_BIT | STAMP_MASK);
        let Some(place) = self.probes.iter().position(|probe| probe.number == number) else {
            return false;
        };
        // A peer that answers one has taken all that was sent before.
        let Some(probe) = self.probes.drain(..=place).next_back() else {
            return false;
        };
        let clean = probe.alone && self.received - probe.received <= BEHIND_MOST;
        self.measure_round_trip(now, now - probe.at, clean);
        self.learn(now, &probe, stamp);
        true
    }

    /// The number of the answer to a ping that was taken at this time.
    pub(super) fn answer_to(number: u64, now: Instant) -> u64 {
        if !Pace::is_probe(number) || number & (STAMPED_BIT | STAMP_MASK) != 0 {
            return number;
        }
        number | STAMPED_BIT | (now.as_nanos() / 1_000) & STAMP_MASK
    }

    /// The number is one of a probe, and so of no concern to the node.
    pub(super) fn is_probe(number: u64) -> bool {
        number & PROBE_BIT != 0
    }

    /// Memory that the pace holds.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.probes.capacity() * size_of::<Probe>()
    }

    fn learn(&mut self, now: Instant, probe: &Probe, stamp: Option<u64>) {
        self.taken = probe.sent;
        let bytes = probe.sent.total().saturating_sub(probe.base.taken);
        if bytes > 0 {
            let took = probe.took(now, stamp).max(probe.at - probe.base.sent_at);
            let nanos = u64::try_from((took + TICK).as_nanos()).unwrap_or(u64::MAX);
            let rate = u128::from(bytes) * 1_000_000_000 / u128::from(nanos);
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            self.rates.add(now, rate, probe.starved);
        }
        self.base = Base {
            taken: probe.sent.total(),
            known_at: now,
            stamp,
            sent_at: probe.at,
        };
        self.resize();
    }

    /// Keeps the shortest, until it is old and a longer one was measured with nothing in front of it: the
    /// line has become longer.
    fn measure_round_trip(&mut self, now: Instant, took: Duration, clean: bool) {
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
        let replaces = match self.round_trip {
            None => clean,
            Some((shortest, since)) => took <= shortest || clean && now - since >= ROUND_TRIP_KEPT,
        };
        if replaces {
            self.round_trip = Some((took, now));
        }
    }

    fn resize(&mut self) {
        let round_trip = self.round_trip.map_or(Duration::ZERO, |(took, _)| took);
        let shortest = self.shortest.unwrap_or_default();
        let most = carried(GIGABYTE, round_trip.max(shortest)).clamp(WINDOW_CAP, WINDOW_MAX);
        let least = if self.rates.is_certain() {
            WINDOW_MIN
        } else {
            WINDOW_FIRST
        };
        let rate = self.rates.best().unwrap_or(0);
        let wanted = carried(rate, round_trip + round_trip.max(WAIT));
        self.window = wanted.clamp(least, most);
    }

    fn in_flight(&self) -> u64 {
        self.sent.total().saturating_sub(self.taken.total())
    }

    fn probe_every(&self) -> u64 {
        (self.window / SHARE).clamp(RECORD_MIN as u64, PROBE_EVERY_MOST)
    }

    /// Something is to wait, and no answer is on its way: a probe is due.
    pub(super) fn is_stuck(&self) -> bool {
        let may_all = self.may_send(LaneId::Calls) && self.may_send(LaneId::Data);
        !may_all && self.probes.is_empty()
    }
}

/// What a rate carries in a time.
fn carried(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The number of a ping that is a probe; those of the node count from one.
const PROBE_BIT: u64 = 1 << 63;
/// In the number of an answer: the last bits are the peer's time, in microseconds.
const STAMPED_BIT: u64 = 1 << 62;
/// Twelve days.
const STAMP_BITS: u32 = 40;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
/// Between both stand the last bits of the probe's own number.
const PROBES_MASK: u64 = (1 << (62 - STAMP_BITS)) - 1;
/// How long a control frame may wait for data that is on the way, beside the round trip. Shorter: a line on
/// which round trips vary is not filled. Longer: calls are slower on thin lines.
const WAIT: Duration = Duration::from_millis(200);
/// A clock that steps by so much may show this much too little.
const TICK: Duration = Duration::from_millis(4);
/// Window while nothing is known: about what TCP sends at first.
const WINDOW_FIRST: u64 = 16 << 10;
/// Least window, two of the shortest records: 125 ms of 16 KiB a second.
const WINDOW_MIN: u64 = 2 << 10;
/// No window is larger where round trips are short: a millisecond of a fast network. It bounds what a peer
/// that reads slowly has in front of it.
const WINDOW_CAP: u64 = 1 << 20;
/// Greatest window: what the lane behind it may hold, twice.
const WINDOW_MAX: u64 = 16 << 20;
/// On a long way the cap is what this rate carries in a round trip: 8 Gbit/s.
const GIGABYTE: u64 = 1_000_000_000;
/// Records, and bytes between two probes, have this share of the window.
const SHARE: u64 = 4;
/// Shortest limit of a record: seal, head and probe are a twentieth of it.
const RECORD_MIN: usize = 1 << 10;
/// Seldom enough to cost nothing, and often enough that the window never runs dry.
const PROBE_EVERY_MOST: u64 = 256 << 10;
/// A burst at least this long has a probe in front, which measures a round trip with nothing before it.
const PROBED_LEAST: usize = 8 << 10;
/// A probe behind no more than this counts as alone: least window and a record.
const ALONE_MOST: u64 = 3 << 10;
/// An answer in front of which no more than this came in did not wait for the peer's data.
const BEHIND_MOST: u64 = 4 << 10;
/// As long as BBR keeps its shortest round trip.
const ROUND_TRIP_KEPT: Duration = Duration::from_secs(10);
/// More probes are never under way: two windows at their greatest, and some.
const PROBES_MAX: usize = 256;

#[cfg(test)]
mod both_ways;
#[cfg(test)]
mod tests;
