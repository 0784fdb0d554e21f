//! Amounts: exactly, at least, at most, between, about.

use core::fmt;

/// A number, a bound or a range, as a file writes it. Both ends are part of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    min: Option<i64>,
    max: Option<i64>,
}

impl Amount {
    /// The forms of an amount, for messages.
    pub const FORM: &'static str =
        "an amount such as `3`, `\">= 2\"`, `\"< 4\"`, `\"2..3\"` or `\"10 +- 2\"`";

    /// Exactly this number.
    pub const fn exactly(number: i64) -> Self {
        Amount {
            min: Some(number),
            max: Some(number),
        }
    }

    /// Reads `3`, `= 3`, `>= 2`, `> 2`, `<= 4`, `< 4`, `2..3`, `2..`, `..3` or `10 +- 2`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let text = text.trim();
        if let Some(rest) = text.strip_prefix(">=") {
            return Some(Amount {
                min: Some(number(rest)?),
                max: None,
            });
        }
        if let Some(rest) = text.strip_prefix("<=") {
            return Some(Amount {
                min: None,
                max: Some(number(rest)?),
            });
        }
        if let Some(rest) = text.strip_prefix('>') {
            return Some(Amount {
                min: Some(number(rest)?.checked_add(1)?),
                max: None,
            });
        }
        if let Some(rest) = text.strip_prefix('<') {
            return Some(Amount {
                min: None,
                max: Some(number(rest)?.checked_sub(1)?),
            });
        }
        if let Some((middle, spread)) = text.split_once("+-") {
            let (middle, spread) = (number(middle)?, number(spread)?);
            let min = Some(middle.checked_sub(spread)?);
            return (spread >= 0).then_some(Amount {
                min,
                max: Some(middle.checked_add(spread)?),
            });
        }
        if let Some((min, max)) = text.split_once("..") {
            let bound = |text: &str| match text.trim() {
                "" => Some(None),
                text => number(text).map(Some),
            };
            let (min, max) = (bound(min)?, bound(max)?);
            let sensible = match (min, max) {
                (Some(min), Some(max)) => min <= max,
                (None, None) => false,
                _ => true,
            };
            return sensible.then_some(Amount { min, max });
        }
        number(text.strip_prefix('=').unwrap_or(text)).map(Amount::exactly)
    }

    /// Whether a number satisfies this amount.
    pub fn contains(&self, number: usize) -> bool {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.min.is_none_or(|min| min <= number) && self.max.is_none_or(|max| number <= max)
    }

    /// Whether some number from `least` to `most` satisfies this amount.
    pub fn is_possible(&self, least: usize, most: usize) -> bool {
        let bound = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.min.is_none_or(|min| min <= bound(most))
            && self.max.is_none_or(|max| bound(least) <= max)
    }

    /// Whether every number from `least` to `most` satisfies this amount, so that a check of it cannot fail.
    pub fn is_certain(&self, least: usize, most: usize) -> bool {
        let bound = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.min.is_none_or(|min| min <= bound(least))
            && self.max.is_none_or(|max| bound(most) <= max)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => write!(f, "= {min}"),
            (Some(min), Some(max)) => write!(f, "= {min}..{max}"),
            (Some(min), None) => write!(f, ">= {min}"),
            (None, Some(max)) => write!(f, "<= {max}"),
            (None, None) => f.write_str("= anything"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_they_are_written() {
        let cases: [(&str, &[usize], &[usize]); 9] = [
            ("3", &[3], &[2, 4]),
            ("= 3", &[3], &[2, 4]),
            (">= 2", &[2, 9], &[1]),
            ("> 2", &[3], &[2]),
            ("<= 4", &[0, 4], &[5]),
            ("< 4", &[3], &[4]),
            ("2..3", &[2, 3], &[1, 4]),
            ("..3", &[0, 3], &[4]),
            ("10 +- 2", &[8, 12], &[7, 13]),
        ];
        for (text, inside, outside) in cases {
            let amount = Amount::parse(text).expect(text);
            assert!(inside.iter().all(|n| amount.contains(*n)), "{text}");
            assert!(!outside.iter().any(|n| amount.contains(*n)), "{text}");
        }
        for text in [
            "",
            "three",
            "3..2",
            "..",
            "3 +- -1",
            "> 9223372036854775807",
            "1.5",
        ] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_amount_beyond_what_there_is_can_never_hold() {
        assert!(!Amount::exactly(5).is_possible(0, 3));
        assert!(Amount::parse("2..9").expect("a range").is_possible(0, 3));
    }

    #[test]
    fn an_amount_that_leaves_nothing_out_can_never_fail() {
        let certain = |text, least, most| {
            let amount = Amount::parse(text).expect("an amount");
            amount.is_certain(least, most)
        };
        assert!(certain(">= 1", 1, usize::MAX));
        assert!(certain("<= 100", 0, 100));
        assert!(certain("0..1", 0, 1));
        assert!(!certain("<= 99", 0, 100));
        assert!(!certain(">= 2", 1, 100));
        assert!(!certain("1", 1, 2));
    }
}
