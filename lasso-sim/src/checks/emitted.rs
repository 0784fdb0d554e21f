//! `emitted`: what became of the live events that the node's application meant to publish, over all
//! lives of its process: `emitted = { profile = "premium", published = 50, left_out = 950 }`; `reached`
//! counts copies and the nodes that each was sent to. Several such tables in a list must all hold.

use core::time::Duration;

use lasso_core::time::Instant;

use super::events::window;
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::app::events::EmitLog;
use crate::scenario::{Amount, Deed, Diagnostic, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "emitted",
    summary: "how many live events of a profile it published, and left out by sampling",
    absent: false,
    parse,
};

type Count = fn(&EmitLog) -> usize;

const COUNTS: [(&str, Count); 3] = [
    ("published", |event| usize::from(event.is_published)),
    ("left_out", |event| usize::from(event.is_left_out)),
    ("reached", |event| event.nodes),
];

#[derive(Debug)]
struct Wanted {
    profile: String,
    since: Duration,
    until: Option<Duration>,
    counts: Vec<(&'static str, Count, Amount)>,
}

#[derive(Debug)]
struct Emitted(Vec<Wanted>);

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let items = reader.items(value).iter();
    let wanted: Vec<Option<Wanted>> = items.map(|item| read(item, reader)).collect();
    let wanted: Vec<Wanted> = wanted.into_iter().collect::<Option<_>>()?;
    if wanted.is_empty() {
        return reader.wrong(value, "a list of tables that must hold");
    }
    Some(Box::new(Emitted(wanted)))
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Wanted> {
    let form = "a table such as `{ profile = \"premium\", published = 50 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let profile = keys.need(reader, "profile");
    let profile = profile.and_then(|value| reader.used(value, Deed::Emit));
    let (since, until) = window(&mut keys, reader);
    let mut counts = Vec::new();
    for (key, count) in COUNTS {
        let value = keys.take(key);
        let amount = value.and_then(|value| amount_within(value, reader, 0, usize::MAX));
        counts.extend(amount.map(|amount| (key, count, amount)));
    }
    if counts.is_empty() && reader.error_count() == errors && !keys.has_unknown() {
        let nothing = Diagnostic::new(keys.span(), "this expects nothing");
        reader.error(nothing.label("needs `published`, `left_out` or `reached`"));
    }
    keys.finish(reader, "`emitted`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Wanted {
        profile: profile?,
        since,
        until,
        counts,
    })
}

impl Check for Emitted {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for wanted in &self.0 {
            let (from, profile) = (Instant::ZERO + wanted.since, &wanted.profile);
            let until = wanted.until.map(|until| Instant::ZERO + until);
            let all = observed.app.events.emitted.iter();
            let of_profile = all.filter(|(key, _)| key.as_str() == profile);
            let events: Vec<&EmitLog> = of_profile
                .flat_map(|(_, events)| events)
                .filter(|event| event.at >= from && until.is_none_or(|until| event.at <= until))
                .collect();
            for (key, count, amount) in &wanted.counts {
                let seen: usize = events.iter().map(|event| count(event)).sum();
                if !amount.contains(seen) {
                    return Err(Mismatch {
                        expected: format!("{key} {amount} of events of {profile}"),
                        seen: seen.to_string(),
                    });
                }
            }
        }
        Ok(())
    }
}
