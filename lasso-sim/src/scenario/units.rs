//! Durations, sizes and shares as written in files.

use core::time::Duration;

/// Longest duration that a file may name: 30 days.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The forms of a duration, for messages.
pub(crate) const DURATION_FORM: &str = "`500ms`, `8s`, `2m`, `1h` or `1m30s`";

/// Reads `500ms`, `8s`, `1.5s`, `2m`, `1h`, `1m30s`; a bare `0` too.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|at| *at > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        total = total.checked_add(scaled(number, unit)?)?;
        rest = tail;
    }
    (!text.is_empty() && total <= DURATION_MAX).then_some(total)
}

/// A decimal number of units, exactly: no floating point.
fn scaled(number: &str, unit: &str) -> Option<Duration> {
    let nanos_per_unit: u64 = match unit {
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(nanos_per_unit)?;
    let mut place = nanos_per_unit;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(Duration::from_nanos(nanos))
}

/// A duration in the shortest exact form.
pub fn show(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if duration.subsec_nanos() == 0 {
        let seconds = nanos / 1_000_000_000;
        let parts = [
            (seconds / 3_600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        let said = parts.iter().filter(|(number, _)| *number > 0);
        return said
            .map(|(number, unit)| format!("{number}{unit}"))
            .collect();
    }
    if nanos > 1_000_000_000 {
        let fraction = format!("{:09}", nanos % 1_000_000_000);
        return format!(
            "{}.{}s",
            nanos / 1_000_000_000,
            fraction.trim_end_matches('0')
        );
    }
    if duration.subsec_nanos().is_multiple_of(1_000_000) {
        return format!("{}ms", nanos / 1_000_000);
    }
    format!("{}us", nanos / 1_000)
}

/// Reads `1MB/s`, `64KiB/s` and the like as bytes per second.
pub(crate) fn bandwidth(text: &str) -> Option<u64> {
    let text = text.strip_suffix("/s")?;
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)
        .filter(|bytes| *bytes > 0)
}

/// Reads `64B`, `16KiB`, `16MiB` and the like as bytes.
pub(crate) fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(scale)
}

/// Reads `100/s`, `6000/m` or `5/ms` as a number and the time that it applies to.
pub(crate) fn rate(text: &str) -> Option<(u64, Duration)> {
    let (number, unit) = text.split_once('/')?;
    let number = number.parse::<u64>().ok().filter(|number| *number > 0)?;
    Some((number, scaled("1", unit)?))
}

/// Reads `1%` or `0.5%` as millionths.
pub(crate) fn share_ppm(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    // A percent is ten thousand millionths; a duration of milliseconds has the same arithmetic.
    let nanos = scaled(number, "us")?.as_nanos();
    u32::try_from(nanos * 10)
        .ok()
        .filter(|ppm| *ppm <= 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("8s", 8_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "5",
            "5 s",
            "-5s",
            "5x",
            "1..2s",
            "31000000s",
            "99999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_that_was_shown_reads_back() {
        for millis in [
            0, 1, 999, 1_000, 1_500, 60_000, 61_000, 3_600_000, 86_400_000,
        ] {
            let wanted = Duration::from_millis(millis);
            assert_eq!(duration(&show(wanted)), Some(wanted), "{}", show(wanted));
        }
    }

    #[test]
    fn shares_are_millionths_and_never_more_than_the_whole() {
        assert_eq!(share_ppm("1%"), Some(10_000));
        assert_eq!(share_ppm("0.5%"), Some(5_000));
        assert_eq!(share_ppm("100%"), Some(1_000_000));
        assert_eq!(share_ppm("101%"), None);
        assert_eq!(share_ppm("1"), None);
    }

    #[test]
    fn rates_and_sizes_need_their_units() {
        assert_eq!(rate("100/s"), Some((100, Duration::from_secs(1))));
        assert_eq!(rate("5/ms"), Some((5, Duration::from_millis(1))));
        assert_eq!(
            (rate("0/s"), rate("100"), rate("1.5/s")),
            (None, None, None)
        );
        assert_eq!(bytes("64B"), Some(64));
        assert_eq!(bytes("16MiB"), Some(16 << 20));
        assert_eq!(
            (bytes("64"), bytes("-1B"), bytes("1 KiB")),
            (None, None, None)
        );
    }

    #[test]
    fn bandwidths_need_their_unit() {
        assert_eq!(bandwidth("64KiB/s"), Some(65_536));
        assert_eq!(bandwidth("1MB/s"), Some(1_000_000));
        assert_eq!(bandwidth("0B/s"), None);
        assert_eq!(bandwidth("5"), None);
    }
}
