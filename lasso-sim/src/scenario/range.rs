//! A range that a seed draws from: `60s..75s`, `64B..1MiB`, `10/s..100/s`, `0%..5%`, `2..5`.
//!
//! Both ends are of one kind, and both can be drawn. Durations, shares and whole numbers are drawn evenly. Sizes, rates
//! and bandwidths are drawn evenly by their logarithm, because their effects depend on the order of magnitude: an even
//! draw from `64B..16MiB` would hardly ever be below 1 MiB.

use core::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::units::{self, show};
use super::value::Kind;
use crate::seed::{by_magnitude, up_to};

/// Where in its range a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// Every range at its lower end.
    Low,
    /// Every range at its upper end.
    High,
    /// Where this seed draws.
    Seed(u64),
}

/// A range as written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    unit: Unit,
    low: i64,
    high: i64,
}

/// The unit of both ends of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// A whole number.
    Integer,
    /// Nanoseconds.
    Duration,
    /// Nanoseconds, with a sign.
    Offset,
    Bytes,
    /// Bytes per second.
    Bandwidth,
    /// A number per this time.
    Rate(Duration),
    /// Millionths.
    Share,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Integer => "a whole number",
            Unit::Duration => "a duration",
            Unit::Offset => "a signed duration",
            Unit::Bytes => "a size",
            Unit::Bandwidth => "a bandwidth",
            Unit::Rate(_) => "a rate",
            Unit::Share => "a share",
        }
    }

    /// Whether draws are even by magnitude.
    fn is_by_magnitude(self) -> bool {
        matches!(self, Unit::Bytes | Unit::Bandwidth | Unit::Rate(_))
    }
}

/// All readings of one end. `0` is a whole number and a duration.
fn readings(text: &str) -> Vec<(Unit, i64)> {
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).ok();
    let number = |number: u64| i64::try_from(number).ok();
    let offset = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        Some(sign * units::duration(rest).and_then(nanos)?)
    };
    let rate = units::rate(text).and_then(|(count, per)| Some((Unit::Rate(per), number(count)?)));
    let is_signed = text.starts_with('+');
    let all = [
        text.parse()
            .ok()
            .filter(|_| !is_signed)
            .map(|n| (Unit::Integer, n)),
        units::duration(text)
            .and_then(nanos)
            .map(|n| (Unit::Duration, n)),
        offset().map(|n| (Unit::Offset, n)),
        units::bytes(text)
            .and_then(|b| number(b as u64))
            .map(|n| (Unit::Bytes, n)),
        units::bandwidth(text)
            .and_then(number)
            .map(|n| (Unit::Bandwidth, n)),
        rate,
        units::share_ppm(text).map(|n| (Unit::Share, i64::from(n))),
    ];
    all.into_iter().flatten().collect()
}

/// Why a text that looks like a range is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoRange {
    pub(super) message: String,
    pub(super) label: &'static str,
}

impl Range {
    /// Reads a text as a range; `None` if it does not look like one.
    pub(super) fn read(text: &str) -> Option<Result<Range, NoRange>> {
        let (low, high) = text.split_once("..")?;
        let (lows, highs) = (readings(low), readings(high));
        let pairs = lows
            .iter()
            .flat_map(|low| highs.iter().map(move |high| (low, high)));
        if let Some(((unit, low), (_, high))) =
            pairs.into_iter().find(|(low, high)| low.0 == high.0)
        {
            let (unit, low, high) = (*unit, *low, *high);
            return Some(if low <= high {
                Ok(Range { unit, low, high })
            } else {
                Err(NoRange {
                    message: format!("the range `{text}` is the wrong way round"),
                    label: "the smaller end comes first",
                })
            });
        }
        let message = match (lows.first(), highs.first()) {
            (None, None) => return None,
            (Some((low, _)), Some((high, _))) if low.name() == high.name() => {
                format!("`{text}` is a range between rates of different units")
            }
            (Some((low, _)), Some((high, _))) => {
                format!("`{text}` is a range from {} to {}", low.name(), high.name())
            }
            (Some((unit, _)), None) => format!("`{high}` is not {}, as `{low}` is", unit.name()),
            (None, Some((unit, _))) => format!("`{low}` is not {}, as `{high}` is", unit.name()),
        };
        Some(Err(NoRange {
            message,
            label: "both ends of a range are of one kind and unit",
        }))
    }

    /// Whether a text looks like a range, valid or not.
    pub(super) fn is(text: &str) -> bool {
        Range::read(text).is_some()
    }

    /// Takes a value from the range.
    pub(super) fn pick(self, pick: Pick, rng: impl FnOnce(u64) -> ChaCha8Rng) -> Kind {
        self.show(match pick {
            Pick::Low => self.low,
            Pick::High => self.high,
            Pick::Seed(seed) => self.draw(&mut rng(seed)),
        })
    }

    fn draw(self, rng: &mut ChaCha8Rng) -> i64 {
        if self.unit.is_by_magnitude() {
            // These are never negative.
            return by_magnitude(rng, self.low as u64, self.high as u64) as i64;
        }
        let grain = self.grain();
        let steps = self.high.abs_diff(self.low) / grain;
        let above = up_to(rng, steps) * grain;
        self.low.saturating_add_unsigned(above)
    }

    /// The step between drawn values, chosen for readability: milliseconds for ranges of seconds.
    fn grain(self) -> u64 {
        const MILLI: u64 = 1_000_000;
        let width = self.high.abs_diff(self.low);
        let even = |grain: u64| {
            width.is_multiple_of(grain) && self.low.unsigned_abs().is_multiple_of(grain)
        };
        match self.unit {
            Unit::Offset => MILLI,
            Unit::Duration if width >= 1_000 * MILLI && even(MILLI) => MILLI,
            Unit::Duration if even(1_000) => 1_000,
            // A hundredth of a percent.
            Unit::Share if width >= 10_000 && even(100) => 100,
            _ => 1,
        }
    }

    fn show(self, number: i64) -> Kind {
        let nanos = |number: i64| show(Duration::from_nanos(number.unsigned_abs()));
        Kind::Text(match self.unit {
            Unit::Integer => return Kind::Integer(number),
            Unit::Duration => nanos(number),
            Unit::Offset if number < 0 => format!("-{}", nanos(number)),
            Unit::Offset => format!("+{}", nanos(number)),
            Unit::Bytes => format!("{number}B"),
            Unit::Bandwidth => format!("{number}B/s"),
            Unit::Rate(per) => {
                let unit = show(per);
                let unit = unit.strip_prefix('1').unwrap_or(&unit);
                format!("{number}/{unit}")
            }
            Unit::Share => {
                let fraction = format!("{:04}", number % 10_000);
                let fraction = fraction.trim_end_matches('0');
                let point = if fraction.is_empty() { "" } else { "." };
                format!("{}{point}{fraction}%", number / 10_000)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, generator};

    fn picked(text: &str, pick: Pick) -> String {
        let range = Range::read(text).expect("a range").expect("a good one");
        match range.pick(pick, |seed| generator(seed, Purpose::Draw, 0, 0)) {
            Kind::Text(text) => text,
            Kind::Integer(number) => number.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_ends_are_what_the_file_says() {
        for (text, low, high) in [
            ("60s..75s", "1m", "1m15s"),
            ("0..5s", "0s", "5s"),
            ("500us..1.5s", "500us", "1.5s"),
            ("2..5", "2", "5"),
            ("64B..16KiB", "64B", "16384B"),
            ("10/s..100/s", "10/s", "100/s"),
            ("6/m..60/m", "6/m", "60/m"),
            ("1/ms..2/ms", "1/ms", "2/ms"),
            ("64KiB/s..1MB/s", "65536B/s", "1000000B/s"),
            ("0%..0.5%", "0%", "0.5%"),
            ("-500ms..+1h", "-500ms", "+1h"),
        ] {
            assert_eq!(picked(text, Pick::Low), low, "{text}");
            assert_eq!(picked(text, Pick::High), high, "{text}");
            for seed in 1..50 {
                let middle = picked(text, Pick::Seed(seed));
                let both = format!("{middle}..{middle}");
                assert!(
                    Range::read(&both).is_some_and(|range| range.is_ok()),
                    "{both}"
                );
            }
        }
    }

    #[test]
    fn durations_are_drawn_evenly_and_sizes_by_magnitude() {
        let below = |text: &str, bound: &str| {
            let range = |text: &str| Range::read(text).expect("a range").expect("a good one");
            let bound = range(&format!("{bound}..{bound}")).high;
            let low = |seed: &u64| {
                let drawn = range(text).draw(&mut generator(*seed, Purpose::Draw, 0, 0));
                drawn < bound
            };
            (1..=2_000).filter(low).count()
        };
        assert!((900..1_100).contains(&below("0s..10s", "5s")));
        assert!((900..1_100).contains(&below("0..1000", "500")));
        // Half of the doublings from 1 KiB to 1 MiB lie below 32 KiB.
        assert!((900..1_100).contains(&below("1KiB..1MiB", "32KiB")));
    }

    #[test]
    fn a_range_that_is_none_says_why() {
        for (text, says) in [
            ("75s..60s", "the wrong way round"),
            ("5s..10KiB", "from a duration to a size"),
            ("5/s..10/m", "rates of different units"),
            ("60s..7x", "`7x` is not a duration"),
            ("x..7s", "`x` is not a duration"),
            ("2..", "`` is not a whole number"),
        ] {
            let error = Range::read(text)
                .expect("it looks like one")
                .expect_err(text);
            assert!(error.message.contains(says), "{}", error.message);
        }
        for text in ["a..b", "..", "10.0.0.1", "5s", ""] {
            assert_eq!(Range::read(text), None, "{text}");
        }
    }
}
