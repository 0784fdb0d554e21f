//! One direction between two hosts: the latency of packets on it, and its faults.

use core::time::Duration;
use std::collections::VecDeque;

use lasso_core::time::Instant;
use rand_chacha::ChaCha8Rng;

use super::{Conn, End};
use crate::scenario::{Latency, Shape};
use crate::seed::{self, Purpose};
use crate::world::{Cut, FaultId};

/// Bytes of a stream in one packet.
const SEGMENT_BYTES: u64 = 1448;
/// A line sends at least one packet at a time; a fast line sends as many as fit into this time, in
/// milliseconds. This means fewer events, and no stream notices.
const SLICE_MS: u64 = 20;
/// The most draws of loss for one write: a long write that loses this many packets loses time only once anyway.
const LOSS_DRAWS: u64 = 64;
/// Shortest retransmission time-out of Linux.
const RTO_MIN: Duration = Duration::from_millis(200);
/// Quantiles of a distribution with a long tail, in thousandths: the share of draws below, and how
/// far the value lies between the median (0) and the 99th percentile (1,000). Below the median it
/// falls to half of it.
const TAIL: [(u64, u64); 6] = [
    (500, 0),
    (750, 180),
    (900, 450),
    (990, 1_000),
    (999, 1_700),
    (1_000, 2_500),
];

/// One direction between two hosts.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) from: u32,
    pub(super) to: u32,
    shape: Shape,
    /// Made at the first draw: in a large cluster most links never draw.
    rng: Option<Box<ChaCha8Rng>>,
    /// When the last packet has left, if bandwidth is bounded.
    busy_until: Instant,
    /// The streams with bytes to send on a bounded bandwidth, in turn.
    pub(super) turns: VecDeque<(Conn, End)>,
    pub(super) cut: Option<(Cut, FaultId)>,
    pub(super) held: Option<FaultId>,
    /// The fault that turned off the machine at one of the ends, if it is off.
    pub(super) off: Option<FaultId>,
    /// The fault that shaped it last, and to which its delays count.
    pub(super) shaped: Option<FaultId>,
    /// Nothing hinders it: derived from the three fields above, for the hot path.
    pub(super) open: bool,
    /// Marks the links of one order during the search for their streams.
    pub(super) changed: bool,
}

impl Link {
    pub(super) fn new(from: u32, to: u32, shape: Shape) -> Self {
        Link {
            from,
            to,
            shape,
            rng: None,
            busy_until: Instant::ZERO,
            turns: VecDeque::new(),
            cut: None,
            held: None,
            off: None,
            shaped: None,
            open: true,
            changed: false,
        }
    }

    pub(super) fn set_shape(&mut self, shape: Shape, fault: Option<FaultId>) {
        self.shape = shape;
        self.shaped = fault;
    }

    /// Follows from `cut`, `held` and `off`; to be called after a change of them.
    pub(super) fn refresh(&mut self) {
        self.open = self.cut.is_none() && self.held.is_none() && self.off.is_none();
        self.changed = true;
    }

    /// Packets sent now are lost, not only late.
    pub(super) fn loses(&self) -> bool {
        self.cut.is_some() || self.off.is_some()
    }

    /// Connections across it are reset and refused.
    pub(super) fn resets(&self) -> bool {
        matches!(self.cut, Some((Cut::Reset, _)))
    }

    /// The fault that hinders it.
    pub(super) fn fault(&self) -> Option<FaultId> {
        self.cut.map(|(_, fault)| fault).or(self.off).or(self.held)
    }

    /// The typical latency of a packet, without chance: the basis of estimated round-trip times.
    pub(super) fn typical(&self) -> Duration {
        match self.shape.latency {
            Latency::Range(min, max) => (min + max) / 2,
            Latency::Quantiles { median, .. } => median,
        }
    }

    /// How many bytes of one stream leave at a time; `None`: all of them.
    pub(super) fn slice(&self) -> Option<u32> {
        let rate = self.shape.bandwidth?;
        let bytes = (rate.saturating_mul(SLICE_MS) / 1_000).max(SEGMENT_BYTES);
        Some(u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    /// When the last packet has left.
    pub(super) fn busy_until(&self) -> Instant {
        self.busy_until
    }

    /// When bytes sent now arrive.
    pub(super) fn transit(&mut self, seed: u64, now: Instant, bytes: u32) -> Instant {
        let mut start = now;
        if let Some(rate) = self.shape.bandwidth {
            let nanos = u64::from(bytes).saturating_mul(1_000_000_000) / rate.max(1);
            start = now.max(self.busy_until) + Duration::from_nanos(nanos);
            self.busy_until = start;
        }
        let late = self.loss(seed, bytes);
        start + self.latency(seed) + late
    }

    /// Whether a single packet, such as the first of a connection, is lost by chance.
    pub(super) fn loses_one(&mut self, seed: u64) -> bool {
        let ppm = self.shape.loss_ppm;
        ppm > 0 && self.draw(seed, 999_999) < u64::from(ppm)
    }

    fn latency(&mut self, seed: u64) -> Duration {
        let base = match self.shape.latency {
            Latency::Range(min, max) if min >= max => min,
            Latency::Range(min, max) => {
                let span = (max - min).as_nanos() as u64;
                min + Duration::from_nanos(self.draw(seed, span))
            }
            Latency::Quantiles { median, p99 } => {
                let u = self.draw(seed, 1_000_000);
                quantile(u, median.as_nanos() as u64, p99.as_nanos() as u64)
            }
        };
        match self.shape.jitter.as_nanos() as u64 {
            0 => base,
            jitter => base + Duration::from_nanos(self.draw(seed, jitter)),
        }
    }

    /// The delay of the stream by lost packets: the sender's time-out, doubling with each consecutive loss.
    fn loss(&mut self, seed: u64, bytes: u32) -> Duration {
        if self.shape.loss_ppm == 0 {
            return Duration::ZERO;
        }
        let packets = u64::from(bytes)
            .div_ceil(SEGMENT_BYTES)
            .clamp(1, LOSS_DRAWS);
        let rto = retransmission(self.typical() * 2);
        let mut worst = Duration::ZERO;
        for _ in 0..packets {
            let mut late = Duration::ZERO;
            let mut wait = rto;
            while late < Duration::from_secs(60) && self.loses_one(seed) {
                late += wait;
                wait *= 2;
            }
            worst = worst.max(late);
        }
        worst
    }

    fn draw(&mut self, seed: u64, max: u64) -> u64 {
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        let rng = self
            .rng
            .get_or_insert_with(|| Box::new(seed::generator(seed, Purpose::Path, from, to)));
        seed::up_to(rng, max)
    }
}

/// The retransmission time-out of Linux for a round-trip time that hardly varies.
pub(super) fn retransmission(round_trip: Duration) -> Duration {
    round_trip + RTO_MIN
}

/// The value below which `u` millionths of all draws lie. Integers only: the same everywhere.
fn quantile(u: u64, median: u64, p99: u64) -> Duration {
    if u < 500_000 {
        return Duration::from_nanos(median / 2 + median / 2 * u / 500_000);
    }
    let spread = p99.saturating_sub(median);
    let scaled =
        TAIL.windows(2)
            .find(|pair| u <= pair[1].0 * 1_000)
            .map_or(TAIL[5].1 * 1_000, |pair| {
                let ((u0, v0), (u1, v1)) = (pair[0], pair[1]);
                v0 * 1_000 + (u - u0 * 1_000) * (v1 - v0) / (u1 - u0)
            });
    Duration::from_nanos(median + (u128::from(spread) * u128::from(scaled) / 1_000_000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(shape: Shape) -> Link {
        Link::new(0, 1, shape)
    }

    #[test]
    fn a_range_is_kept_and_filled() {
        let (min, max) = (Duration::from_millis(5), Duration::from_millis(40));
        let mut link = link(Shape {
            latency: Latency::Range(min, max),
            ..Shape::default()
        });
        let draws: Vec<_> = (0..1_000)
            .map(|_| link.transit(1, Instant::ZERO, 10).since_start())
            .collect();
        assert!(draws.iter().all(|d| (min..=max).contains(d)));
        assert!(draws.iter().any(|d| *d < Duration::from_millis(8)));
        assert!(draws.iter().any(|d| *d > Duration::from_millis(37)));
    }

    #[test]
    fn quantiles_are_met() {
        let (median, p99) = (Duration::from_millis(10), Duration::from_millis(80));
        let mut link = link(Shape {
            latency: Latency::Quantiles { median, p99 },
            ..Shape::default()
        });
        let mut draws: Vec<_> = (0..10_000)
            .map(|_| link.transit(7, Instant::ZERO, 10).since_start())
            .collect();
        draws.sort();
        let close =
            |seen: Duration, wanted: Duration| seen > wanted * 4 / 5 && seen < wanted * 6 / 5;
        assert!(close(draws[5_000], median), "{:?}", draws[5_000]);
        assert!(close(draws[9_900], p99), "{:?}", draws[9_900]);
    }

    #[test]
    fn loss_is_delay_of_at_least_one_time_out() {
        let mut link = link(Shape {
            loss_ppm: 200_000,
            ..Shape::default()
        });
        let draws: Vec<_> = (0..1_000)
            .map(|_| link.transit(3, Instant::ZERO, 10))
            .collect();
        let late = |at: &&Instant| at.since_start() > Duration::from_millis(1);
        assert!((150..250).contains(&draws.iter().filter(late).count()));
        assert!(
            draws
                .iter()
                .filter(late)
                .all(|at| at.since_start() >= RTO_MIN),
            "a loss shorter than the time-out"
        );
    }

    #[test]
    fn bandwidth_queues_what_is_sent_at_once() {
        let latency = Latency::Range(Duration::ZERO, Duration::ZERO);
        let mut link = link(Shape {
            latency,
            bandwidth: Some(1_000),
            ..Shape::default()
        });
        assert_eq!(
            link.transit(1, Instant::ZERO, 500).since_start(),
            Duration::from_millis(500)
        );
        assert_eq!(
            link.transit(1, Instant::ZERO, 500).since_start(),
            Duration::from_secs(1)
        );
    }
}
