//! `longest_gap`: how long a subscriber went without a message:
//! `longest_gap = { topic = "prices", from = "a", within = ["10s", "20s"], at_most = "20ms" }`. Both
//! ends of the window count as messages, so that silence at an end is a gap.

use core::time::Duration;

use lasso_core::time::Instant;

use super::deliveries::Chosen;
use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Diagnostic, Fields, Kind, Reader, Value, show_duration};

pub(super) const ENTRY: Entry = Entry {
    key: "longest_gap",
    summary: "the longest time that a subscriber of a topic went without a message, in a window",
    absent: false,
    parse,
};

#[derive(Debug)]
struct LongestGap {
    chosen: Chosen,
    from: Duration,
    to: Duration,
    at_most: Duration,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let form =
        "a table such as `{ topic = \"prices\", within = [\"10s\", \"20s\"], at_most = \"20ms\" }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let chosen = Chosen::read(&mut keys, reader, true);
    let within = read_window(&mut keys, reader);
    let at_most = keys
        .need(reader, "at_most")
        .and_then(|value| reader.duration(value));
    keys.finish(reader, "`longest_gap`");
    if reader.error_count() > errors {
        return None;
    }
    let (from, to) = within?;
    Some(Box::new(LongestGap {
        chosen: chosen?,
        from,
        to,
        at_most: at_most?,
    }))
}

fn read_window(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<(Duration, Duration)> {
    let value = keys.need(reader, "within")?;
    let form = "two times, the earlier first: `[\"10s\", \"20s\"]`";
    let Kind::List(items) = &value.kind else {
        return reader.wrong(value, form);
    };
    let [from, to] = items.as_slice() else {
        return reader.wrong(value, form);
    };
    let (from, to) = (reader.duration(from)?, reader.duration(to)?);
    if from >= to {
        return reader.wrong(value, form);
    }
    if to > reader.now {
        let (to, now) = (show_duration(to), show_duration(reader.now));
        let message = format!("{to} lies after {now}, when this is checked at the latest");
        reader.error(Diagnostic::new(value.span.clone(), message).label("still to come"));
        return None;
    }
    Some((from, to))
}

impl Check for LongestGap {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let (from, to) = (show_duration(self.from), show_duration(self.to));
        let expected = || {
            let (chosen, at_most) = (self.chosen.show(observed), show_duration(self.at_most));
            format!("longest gap {chosen} from {from} to {to} <= {at_most}")
        };
        let (start, end) = (Instant::ZERO + self.from, Instant::ZERO + self.to);
        for subscriber in self.chosen.subscribers(observed, expected)? {
            let mut last = start;
            let mut longest = (Duration::ZERO, start);
            let messages = self.chosen.messages(observed, subscriber).map(|got| got.at);
            let inside = messages.filter(|at| (start..=end).contains(at));
            for at in inside.chain([end]) {
                longest = longest.max((at - last, last));
                last = at;
            }
            let (gap, since) = longest;
            if gap > self.at_most {
                return Err(Mismatch {
                    expected: expected(),
                    seen: format!("{} from {since} on", show_duration(gap)),
                });
            }
        }
        Ok(())
    }
}
