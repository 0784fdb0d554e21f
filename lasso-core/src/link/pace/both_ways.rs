//! Two ends with no end of data, on a line whose directions do not help each other: an answer waits behind
//! the data of the end that answers.

use std::collections::VecDeque;

use super::*;

fn at(micros: u64) -> Instant {
    Instant::ZERO + Duration::from_micros(micros)
}

/// The clocks of both sides differ by so much.
const HOUR: u64 = 3_600_000_000;

/// What lies on the line, and when it arrives.
enum Packet {
    Data(usize),
    Probe(u64),
    Answer(u64),
}

/// One end, and the line from it to the other.
#[derive(Default)]
struct Side {
    pace: Pace,
    /// When the last byte leaves the line.
    busy_until: u64,
    way: VecDeque<(u64, Packet)>,
    delivered: u64,
    /// The longest that anything waited for the line.
    longest: u64,
}

struct Line {
    sides: [Side; 2],
    now: u64,
    rate: u64,
    one_way: u64,
}

impl Line {
    fn carry(&mut self, side: usize, bytes: u64, packet: Packet) {
        let from = &mut self.sides[side];
        from.busy_until = from.busy_until.max(self.now) + bytes * 1_000_000 / self.rate;
        from.longest = from.longest.max(from.busy_until - self.now);
        from.way.push_back((from.busy_until + self.one_way, packet));
    }

    fn send(&mut self, side: usize) {
        loop {
            let pace = &mut self.sides[side].pace;
            if pace.wants_probe(at(self.now), 1 << 20) {
                let number = pace.probe(at(self.now));
                self.carry(side, 30, Packet::Probe(number));
            } else if pace.may_send(LaneId::Data) {
                let bytes = pace.record_bytes();
                pace.sent(at(self.now), LaneId::Data, bytes);
                self.sides[side].delivered += bytes as u64;
                self.carry(side, bytes as u64, Packet::Data(bytes));
            } else {
                return;
            }
        }
    }

    fn run(&mut self, span: u64) {
        let until = self.now + span;
        while self.now < until {
            self.send(0);
            self.send(1);
            let next = |side: usize| self.sides[side].way.front().map(|(when, _)| *when);
            let side = usize::from(next(1).unwrap_or(u64::MAX) < next(0).unwrap_or(u64::MAX));
            let (when, packet) = self.sides[side].way.pop_front().expect("never stuck");
            self.now = self.now.max(when);
            let there = &mut self.sides[1 - side];
            match packet {
                Packet::Data(bytes) => there.pace.received(bytes),
                Packet::Probe(number) => {
                    let number = Pace::answer_to(number, at(self.now + HOUR * (1 - side as u64)));
                    self.carry(1 - side, 30, Packet::Answer(number));
                }
                Packet::Answer(number) => {
                    there.pace.answered(at(self.now), number);
                }
            }
        }
    }
}

#[test]
fn data_both_ways_makes_neither_side_wait_long_and_fills_the_line() {
    let lines = [
        (8, 20),
        (16, 20),
        (64, 20),
        (64, 200),
        (256, 5),
        (1_024, 50),
        (10_240, 1),
    ];
    for (kib, one_way_ms) in lines {
        let rate = kib << 10;
        let mut line = Line {
            sides: Default::default(),
            now: 0,
            rate,
            one_way: one_way_ms * 1_000,
        };
        line.run(10_000_000);
        for side in &mut line.sides {
            (side.longest, side.delivered) = (0, 0);
        }
        let from = line.now;
        line.run(60_000_000);
        // A round trip that was measured may hold a little data both ways.
        let most = 250 + 2 * (2 * one_way_ms + (ALONE_MOST + BEHIND_MOST) * 1_000 / rate);
        for side in &line.sides {
            let waited = side.longest / 1_000;
            assert!(waited <= most, "{kib} KiB/s, {one_way_ms} ms: {waited} ms");
            let share = side.delivered * 1_000_000 / (line.now - from) * 100 / rate;
            assert!(share >= 75, "{kib} KiB/s, {one_way_ms} ms: {share} %");
        }
    }
}
