//! One direction of a connection, as its sender's kernel sees it: the bytes in flight, the bytes that wait
//! because packets are lost, and the next retransmission.

use core::time::Duration;
use std::collections::VecDeque;

use lasso_core::time::Instant;

use super::Chunk;

/// Bytes that sender and receiver buffer for one direction: more makes the writer wait.
pub const BUFFER_BYTES: u32 = 256 << 10;
/// Longest retransmission time-out of Linux.
const RTO_MAX: Duration = Duration::from_secs(120);
/// When Linux gives a silent stream up: 15 retransmissions (`tcp_retries2`).
const GIVE_UP: Duration = Duration::from_millis(924_600);

/// Bytes that are on their way, that the receiving process has not read, or whose acknowledgement is on its way
/// back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    /// When they reach the receiving kernel.
    pub(super) arrives: Instant,
    /// When the sender gets their room back; [`Instant::FAR_FUTURE`] while no process reads them.
    pub(super) freed: Instant,
    pub(super) bytes: u32,
}

/// A stall: acknowledgements of the sent bytes are overdue.
#[derive(Debug)]
pub(super) struct Stall {
    /// The first write that was not acknowledged.
    pub(super) since: Instant,
    /// First retransmission time-out.
    pub(super) rto: Duration,
    /// Packets were lost; false: they are held, and continue when they are released.
    pub(super) lost: bool,
    /// Bytes that were delivered and not acknowledged.
    pub(super) unacked: u32,
    /// Undelivered chunks, in order.
    pub(super) waiting: VecDeque<Chunk>,
    /// Distinguishes the current timer from outdated ones.
    pub(super) serial: u64,
}

impl Stall {
    pub(super) fn new(since: Instant, rto: Duration, lost: bool) -> Self {
        Stall {
            since,
            rto,
            lost,
            unacked: 0,
            waiting: VecDeque::new(),
            serial: 0,
        }
    }

    /// The first retransmission after `now`: time-outs double from `rto` to two minutes.
    pub(super) fn next_try(&self, now: Instant) -> Instant {
        let mut wait = self.rto;
        let mut at = self.since + wait;
        while at <= now {
            wait = (wait * 2).min(RTO_MAX);
            at += wait;
        }
        at.min(self.gives_up())
    }

    /// When the kernel ends the connection with an error.
    pub(super) fn gives_up(&self) -> Instant {
        self.since + GIVE_UP
    }

    /// Whether new bytes still go out because the sender has not noticed the stall yet.
    pub(super) fn unnoticed(&self, now: Instant) -> bool {
        self.waiting.is_empty() && now < self.since + self.rto
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its link, and the link of its acknowledgements.
    pub(super) link: u32,
    pub(super) back: u32,
    /// When the last chunk arrives: nothing overtakes it.
    pub(super) last_arrival: Instant,
    pub(super) flights: VecDeque<Flight>,
    /// The chunks in the sender's kernel that wait for a busy line, in order.
    pub(super) line: VecDeque<Chunk>,
    /// Bytes in flight or waiting.
    pub(super) occupied: u32,
    /// `None`: all is well.
    pub(super) stall: Option<Box<Stall>>,
    /// Whether the writer waits for room.
    pub(super) writer_waits: bool,
}

impl Stream {
    pub(super) fn new(link: u32, back: u32) -> Self {
        Stream {
            link,
            back,
            last_arrival: Instant::ZERO,
            flights: VecDeque::new(),
            line: VecDeque::new(),
            occupied: 0,
            stall: None,
            writer_waits: false,
        }
    }

    /// Room in the buffers at `now`.
    pub(super) fn room(&mut self, now: Instant) -> u32 {
        while let Some(flight) = self.flights.front()
            && flight.freed <= now
        {
            self.occupied -= flight.bytes;
            self.flights.pop_front();
        }
        BUFFER_BYTES.saturating_sub(self.occupied)
    }

    /// Bytes whose acknowledgement is yet to be sent by the other kernel at `now`.
    pub(super) fn unarrived(&self, now: Instant) -> u32 {
        let flights = self.flights.iter().filter(|flight| flight.arrives > now);
        flights.map(|flight| flight.bytes).sum()
    }

    /// The receiving process stops reading: bytes that arrive from now on stay in the buffer.
    pub(super) fn freeze(&mut self, now: Instant) {
        for flight in self
            .flights
            .iter_mut()
            .filter(|flight| flight.arrives > now)
        {
            flight.freed = Instant::FAR_FUTURE;
        }
    }

    /// The receiving process reads again.
    pub(super) fn thaw(&mut self, now: Instant, back: Duration) {
        for flight in &mut self.flights {
            if flight.freed == Instant::FAR_FUTURE {
                flight.freed = flight.arrives.max(now) + back;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmissions_double_and_a_long_stall_takes_half_a_minute_to_wake_up() {
        let stall = Stall::new(Instant::ZERO, RTO, true);
        const RTO: Duration = Duration::from_millis(200);
        let mut now = Instant::ZERO;
        let mut tries = Vec::new();
        for _ in 0..9 {
            now = stall.next_try(now);
            tries.push(now.since_start().as_millis());
        }
        assert_eq!(
            tries,
            [
                200, 600, 1_400, 3_000, 6_200, 12_600, 25_400, 51_000, 102_200
            ]
        );
        let healed = Instant::ZERO + Duration::from_secs(26);
        assert_eq!(
            stall.next_try(healed).since_start(),
            Duration::from_secs(51)
        );
    }

    #[test]
    fn a_silent_stream_is_given_up_after_a_quarter_of_an_hour() {
        let stall = Stall::new(Instant::ZERO, Duration::from_millis(200), true);
        let late = Instant::ZERO + Duration::from_secs(900);
        assert_eq!(stall.next_try(late), stall.gives_up());
    }
}
