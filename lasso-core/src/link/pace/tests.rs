use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn at(micros: u64) -> Instant {
    Instant::ZERO + Duration::from_micros(micros)
}

/// A line with a rate and a way, and a sender with no end of data.
struct Line {
    pace: Pace,
    now: u64,
    rate: u64,
    round_trip: u64,
    /// When the last byte leaves the line.
    busy_until: u64,
    /// Answers under way: when they come, and to what.
    answers: VecDeque<(u64, u64)>,
    delivered: u64,
    /// The longest that anything waited for the line.
    longest: u64,
}

impl Line {
    fn new(rate: u64, round_trip_ms: u64) -> Line {
        Line {
            pace: Pace::default(),
            now: 0,
            rate,
            round_trip: round_trip_ms * 1_000,
            busy_until: 0,
            answers: VecDeque::new(),
            delivered: 0,
            longest: 0,
        }
    }

    fn carry(&mut self, bytes: u64) {
        self.busy_until = self.busy_until.max(self.now) + bytes * 1_000_000 / self.rate;
        self.longest = self.longest.max(self.busy_until - self.now);
    }

    /// Sends what may be sent, then lets an answer come, until `until`, in microseconds.
    fn run(&mut self, until: u64) {
        while self.now < until {
            loop {
                if self.pace.wants_probe(at(self.now), 1 << 20) {
                    let number = self.pace.probe(at(self.now));
                    self.carry(30);
                    self.answers
                        .push_back((self.busy_until + self.round_trip, number));
                } else if self.pace.may_send(LaneId::Data) {
                    let bytes = self.pace.record_bytes();
                    self.pace.sent(at(self.now), LaneId::Data, bytes);
                    self.carry(bytes as u64);
                    self.delivered += bytes as u64;
                } else {
                    break;
                }
            }
            let (when, number) = self.answers.pop_front().expect("never stuck");
            self.now = self.now.max(when);
            assert!(self.pace.answered(at(self.now), number));
        }
    }
}

#[test]
fn a_thin_line_is_filled_and_little_waits_for_it() {
    for (kib, round_trip_ms) in [
        (16, 40),
        (64, 40),
        (64, 400),
        (256, 10),
        (1_024, 100),
        (10_240, 2),
    ] {
        let rate = kib << 10;
        let mut line = Line::new(rate, round_trip_ms);
        line.run(5_000_000);
        (line.delivered, line.longest) = (0, 0);
        let from = line.now;
        line.run(from + 20_000_000);
        let share = line.delivered * 1_000_000 / (line.now - from) * 100 / rate;
        assert!(share >= 90, "{kib} KiB/s, {round_trip_ms} ms: {share} %");
        let waited = line.longest / 1_000;
        let most = 300 + round_trip_ms * 3 / 2;
        assert!(
            waited <= most,
            "{kib} KiB/s, {round_trip_ms} ms: {waited} ms"
        );
    }
}

#[test]
fn nothing_waits_longer_than_the_first_window_takes() {
    for kib in [16, 64, 1_024] {
        let mut line = Line::new(kib << 10, 40);
        line.run(10_000_000);
        let most = (WINDOW_FIRST + (4 << 10)) * 1_000 / (kib << 10) + 300;
        assert!(
            line.longest / 1_000 <= most,
            "{kib} KiB/s: {} us",
            line.longest
        );
    }
}

#[test]
fn a_long_fat_line_is_filled_within_seconds() {
    let rate = 125_000_000;
    let mut line = Line::new(rate, 100);
    line.run(2_000_000);
    line.delivered = 0;
    let from = line.now;
    line.run(from + 5_000_000);
    let share = line.delivered * 1_000_000 / (line.now - from) * 100 / rate;
    assert!(share >= 95, "{share} %");
}

#[test]
fn a_short_fast_line_has_the_window_it_always_had_and_records_as_long_as_can_be() {
    let mut line = Line::new(1_000_000_000, 0);
    line.run(1_000_000);
    assert_eq!(line.pace.window, WINDOW_CAP);
    assert_eq!(line.pace.record_bytes(), TEXT_BYTES_MAX);
}

#[test]
fn a_line_that_becomes_thin_or_long_is_measured_again() {
    let mut line = Line::new(10 << 20, 2);
    line.run(3_000_000);
    line.rate = 64 << 10;
    line.run(line.now + 30_000_000);
    line.longest = 0;
    line.run(line.now + 10_000_000);
    assert!(line.longest <= 500_000, "{} us", line.longest);

    (line.rate, line.round_trip) = (1 << 20, 600_000);
    line.run(line.now + 60_000_000);
    line.delivered = 0;
    let from = line.now;
    line.run(from + 20_000_000);
    let share = line.delivered * 1_000_000 / (line.now - from) * 100 / line.rate;
    assert!(share >= 80, "{share} %");
}

#[test]
fn calls_do_not_wait_for_data() {
    let mut pace = Pace::default();
    while pace.may_send(LaneId::Data) {
        pace.sent(at(0), LaneId::Data, 1_000);
    }
    assert!(pace.may_send(LaneId::Calls) && pace.may_send(LaneId::Control));
    while pace.may_send(LaneId::Calls) {
        pace.sent(at(0), LaneId::Calls, 1_000);
    }
    assert!(!pace.may_send(LaneId::Data) && pace.may_send(LaneId::Control));
    assert!(pace.in_flight() <= 2 * (WINDOW_FIRST + 1_000));
}

#[test]
fn a_pause_makes_what_was_measured_old() {
    let mut line = Line::new(100 << 20, 2);
    line.run(3_000_000);
    assert!(line.pace.window > WINDOW_FIRST);
    line.pace.ran_dry();
    while let Some((when, number)) = line.answers.pop_front() {
        line.now = line.now.max(when);
        line.pace.answered(at(line.now), number);
    }
    line.pace.wants_probe(at(line.now + 2_000_000), 100);
    assert_eq!(line.pace.window, WINDOW_FIRST);
}

#[test]
fn an_answer_to_nothing_means_nothing() {
    let mut pace = Pace::default();
    pace.sent(at(0), LaneId::Data, 10_000);
    let number = pace.probe(at(0));
    for wrong in [0, 1, u64::MAX, number + (1 << STAMP_BITS)] {
        assert!(!pace.answered(at(1), wrong));
    }
    assert!(pace.answered(at(1), number) && !pace.answered(at(1), number));
    assert_eq!(pace.in_flight(), 0);
}

/// What may happen to a pace, in any order and at any time.
#[derive(Debug, Clone)]
enum Step {
    Send(bool, usize),
    /// The answers of so many probes come at once, of which only the last may be seen.
    Answer(usize),
    Dry,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 1..70_000usize).prop_map(|(data, bytes)| Step::Send(data, bytes)),
        3 => (1..40usize).prop_map(Step::Answer),
        1 => Just(Step::Dry),
        3 => (0..3_000_000u64).prop_map(Step::Wait),
        3 => (0..3_000u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whenever_answers_come_the_window_opens_again_and_stays_within_its_bounds(
        steps in vec(step(), 0..400),
    ) {
        let (mut pace, mut now, mut open) = (Pace::default(), 0, VecDeque::new());
        for step in steps {
            match step {
                Step::Send(data, bytes) => {
                    let id = if data { LaneId::Data } else { LaneId::Calls };
                    if pace.may_send(id) {
                        pace.sent(at(now), id, bytes.min(pace.record_bytes()));
                    }
                }
                Step::Answer(count) => {
                    let count = count.min(open.len());
                    if let Some(number) = open.drain(..count).next_back() {
                        prop_assert!(pace.answered(at(now), number));
                    }
                }
                Step::Dry => pace.ran_dry(),
                Step::Wait(micros) => now += micros,
            }
            if pace.wants_probe(at(now), 100) {
                open.push_back(pace.probe(at(now)));
            }
            prop_assert!(!pace.wants_probe(at(now), 100), "one probe is enough");
            prop_assert!((WINDOW_MIN..=WINDOW_MAX).contains(&pace.window));
            prop_assert!((RECORD_MIN..=TEXT_BYTES_MAX).contains(&pace.record_bytes()));
            prop_assert!(pace.record_bytes() as u64 <= pace.window);
            prop_assert!(!pace.is_stuck(), "closed, and no answer is on its way");
            prop_assert!(open.len() <= PROBES_MAX);
        }
        // All answers come at last.
        if let Some(number) = open.pop_back() {
            pace.answered(at(now), number);
        }
        while pace.wants_probe(at(now), 100) {
            let number = pace.probe(at(now));
            pace.answered(at(now), number);
        }
        prop_assert!(pace.may_send(LaneId::Calls) && pace.may_send(LaneId::Data));
    }
}
