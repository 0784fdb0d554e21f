//! The common parts of checks that are written as tables: a window of times, numbers by name, and lists of such
//! tables.

use core::fmt;
use core::time::Duration;

use lasso_core::time::Instant;

use super::{Check, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, Diagnostic, Fields, Reader, Value, one_of, show_duration};

/// `since` and `until`: both ends are part of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    since: Duration,
    until: Option<Duration>,
}

impl Window {
    pub(super) fn read(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Self {
        let since_at = keys.take("since");
        let since = since_at
            .and_then(|value| reader.duration(value))
            .unwrap_or_default();
        let until_at = keys.take("until");
        let until = until_at.and_then(|value| reader.duration(value));
        let now = reader.now;
        for (value, time) in [(since_at, Some(since)), (until_at, until)] {
            if let (Some(value), Some(time)) = (value, time)
                && time > now
            {
                let (time, now) = (show_duration(time), show_duration(now));
                let message =
                    format!("{time} lies after {now}, when this is checked at the latest");
                reader.error(Diagnostic::new(value.span.clone(), message).label("still to come"));
            }
        }
        if let (Some(value), Some(until)) = (until_at, until)
            && until < since
        {
            let message = "nothing lies between `since` and `until`";
            reader.error(Diagnostic::new(value.span.clone(), message).label("before `since`"));
        }
        Window { since, until }
    }

    /// Its first moment.
    pub(super) fn start(self) -> Instant {
        Instant::ZERO + self.since
    }

    /// Its last moment, if it has one.
    pub(super) fn end(self) -> Option<Instant> {
        self.until.map(|until| Instant::ZERO + until)
    }

    pub(super) fn contains(self, at: Instant) -> bool {
        at >= self.start() && self.end().is_none_or(|end| at <= end)
    }

    /// How long it lasts at most, if nothing is evaluated after `now`.
    pub(super) fn longest(self, now: Duration) -> Duration {
        let until = self.until.map_or(now, |until| until.min(now));
        until.saturating_sub(self.since)
    }

    /// Whether every moment is in it.
    pub(super) fn is_all(self) -> bool {
        self.since.is_zero() && self.until.is_none()
    }
}

/// ` since 5s until 10s`; empty if it is unbounded.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.since.is_zero() {
            write!(f, " since {}", show_duration(self.since))?;
        }
        match self.until {
            Some(until) => write!(f, " until {}", show_duration(until)),
            None => Ok(()),
        }
    }
}

/// Expected amounts by name.
pub(super) type Numbers = Vec<(&'static str, Amount)>;

/// Reads the numbers with these names from a table.
pub(super) fn numbers(
    keys: &mut Fields<'_>,
    reader: &mut Reader<'_>,
    names: impl IntoIterator<Item = &'static str>,
) -> Numbers {
    let mut found = Vec::new();
    for name in names {
        let value = keys.take(name);
        let most = most_of(name, reader);
        let amount = value.and_then(|value| amount_within(value, reader, 0, most));
        found.extend(amount.map(|amount| (name, amount)));
    }
    found
}

/// The greatest possible value of a number, by its name.
fn most_of(number: &str, reader: &Reader<'_>) -> usize {
    match number {
        "responding" => reader.names.len(),
        "hit_percent" => 100,
        "cold_start" => 1,
        ppm if ppm.ends_with("_ppm") => 1_000_000,
        _ => usize::MAX,
    }
}

/// Reports a check that can never hold, or never fail.
pub(super) fn refuse(reader: &mut Reader<'_>, value: &Value, message: &str, needs: &str) {
    reader.error(Diagnostic::new(value.span.clone(), message).label(needs));
}

/// A flag that may only be `true`.
pub(super) fn only_true(keys: &mut Fields<'_>, reader: &mut Reader<'_>, key: &'static str) -> bool {
    let Some(value) = keys.take(key) else {
        return false;
    };
    let flag = reader.flag(value);
    if flag == Some(false) {
        refuse(reader, value, "`false` expects nothing", "needs `true`");
    }
    flag == Some(true)
}

/// Reports a table that expects nothing, unless a mistake found since `errors` may be the cause.
pub(super) fn refuse_nothing<'n>(
    keys: &Fields<'_>,
    reader: &mut Reader<'_>,
    errors: usize,
    needs: impl Iterator<Item = &'n str>,
) {
    if reader.error_count() == errors && !keys.has_unknown() {
        let nothing = Diagnostic::new(keys.span(), "this expects nothing");
        reader.error(nothing.label(format!("needs {}", one_of(needs))));
    }
}

/// Several checks that must all hold.
#[derive(Debug)]
struct AllOf<T>(Vec<T>);

/// Reads a table, or a list of tables that must all hold.
pub(super) fn all_of<T: Check + 'static>(
    value: &Value,
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&Value, &mut Reader<'_>) -> Option<T>,
) -> Option<Box<dyn Check>> {
    let items = reader.items(value).iter();
    let all: Vec<Option<T>> = items.map(|item| read(item, reader)).collect();
    let all: Vec<T> = all.into_iter().collect::<Option<_>>()?;
    if all.is_empty() {
        return reader.wrong(value, "a list of tables that must hold");
    }
    Some(Box::new(AllOf(all)))
}

impl<T: Check> Check for AllOf<T> {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        self.0.iter().try_for_each(|check| check.holds(observed))
    }
}
