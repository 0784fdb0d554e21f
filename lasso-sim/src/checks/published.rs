//! `published`, `reached`, `shed`: what became of what the node's application published on a topic,
//! over all lives of its process: `published = { topic = "prices", count = 100, refused = 0 }`,
//! `reached = { topic = "prices", nodes = 2, subscribers = 1 }` for each message that was published,
//! `shed = { topic = "prices", count = 0 }` for all of them together. Several such tables in a list
//! must all hold.

use core::time::Duration;

use lasso_core::time::Instant;

use super::events::window;
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::app::PublishLog;
use crate::scenario::{Amount, Deed, Diagnostic, Reader, Value, show_duration};

pub(super) const PUBLISHED: Entry = Entry {
    key: "published",
    summary: "how many messages it published on a topic, and how many were refused",
    absent: false,
    parse: |value, reader| several(value, reader, "published", &["count", "refused"]),
};

pub(super) const REACHED: Entry = Entry {
    key: "reached",
    summary: "how many remote nodes and local subscribers each message on a topic went to",
    absent: false,
    parse: |value, reader| several(value, reader, "reached", &["nodes", "subscribers"]),
};

pub(super) const SHED: Entry = Entry {
    key: "shed",
    summary: "how often a message on a topic was dropped for a node whose lane was full",
    absent: false,
    parse: |value, reader| several(value, reader, "shed", &["count"]),
};

#[derive(Debug)]
struct Published {
    key: &'static str,
    topic: String,
    since: Duration,
    until: Option<Duration>,
    wanted: Vec<(&'static str, Amount)>,
}

#[derive(Debug)]
struct All(Vec<Published>);

fn several(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    numbers: &'static [&'static str],
) -> Option<Box<dyn Check>> {
    let items = reader.items(value).iter();
    let wanted: Vec<Option<Published>> =
        items.map(|item| read(item, reader, key, numbers)).collect();
    let wanted: Vec<Published> = wanted.into_iter().collect::<Option<_>>()?;
    if wanted.is_empty() {
        return reader.wrong(value, "a list of tables that must hold");
    }
    Some(Box::new(All(wanted)))
}

fn read(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    numbers: &'static [&'static str],
) -> Option<Published> {
    let form = "a table such as `{ topic = \"prices\", count = 100 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let topic = keys.need(reader, "topic");
    let topic = topic.and_then(|value| reader.used(value, Deed::Publish));
    let (since, until) = window(&mut keys, reader);
    let mut wanted = Vec::new();
    for number in numbers {
        let Some(value) = keys.take(number) else {
            continue;
        };
        if let Some(amount) = amount_within(value, reader, 0, usize::MAX) {
            wanted.push((*number, amount));
        }
    }
    if wanted.is_empty() && reader.error_count() == errors && !keys.has_unknown() {
        let nothing = Diagnostic::new(keys.span(), "this expects nothing");
        let numbers: Vec<String> = numbers.iter().map(|number| format!("`{number}`")).collect();
        reader.error(nothing.label(format!("needs {}", numbers.join(" or "))));
    }
    keys.finish(reader, &format!("`{key}`"));
    if reader.error_count() > errors {
        return None;
    }
    Some(Published {
        key,
        topic: topic?,
        since,
        until,
        wanted,
    })
}

impl Published {
    fn is_in_window(&self, at: Instant) -> bool {
        let early = at < Instant::ZERO + self.since;
        !early && self.until.is_none_or(|until| at <= Instant::ZERO + until)
    }

    /// What is seen of one number: the same for all messages, or the first that is out of bounds.
    fn seen(&self, log: &PublishLog, number: &str, amount: &Amount) -> Result<(), String> {
        let reached = log.reached.iter().filter(|(at, _)| self.is_in_window(*at));
        let total = match (self.key, number) {
            ("reached", number) => {
                let of = |reach: &lasso_core::plane::Reach| match number {
                    "nodes" => reach.nodes,
                    _ => reach.subscribers,
                };
                let mut reached = reached.peekable();
                if reached.peek().is_none() {
                    return Err("nothing was published".to_owned());
                }
                let wrong = reached.find(|(_, reach)| !amount.contains(of(reach)));
                return wrong.map_or(Ok(()), |(at, reach)| Err(format!("{} at {at}", of(reach))));
            }
            ("shed", _) => reached.map(|(_, reach)| reach.shed).sum(),
            (_, "refused") => {
                let refused = log.refused.iter();
                refused.filter(|at| self.is_in_window(**at)).count()
            }
            _ => reached.count(),
        };
        if amount.contains(total) {
            return Ok(());
        }
        Err(total.to_string())
    }
}

impl Check for All {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        self.0.iter().try_for_each(|wanted| wanted.holds(observed))
    }
}

impl Published {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let nothing = PublishLog::default();
        let log = observed.app.publishes.get(self.topic.as_str());
        for (number, amount) in &self.wanted {
            if let Err(seen) = self.seen(log.unwrap_or(&nothing), number, amount) {
                let mut what = format!("{} on {}: {number}", self.key, self.topic);
                if !self.since.is_zero() {
                    what = format!("{what} since {}", show_duration(self.since));
                }
                if let Some(until) = self.until {
                    what = format!("{what} until {}", show_duration(until));
                }
                return Err(Mismatch {
                    expected: format!("{what} {amount}"),
                    seen,
                });
            }
        }
        Ok(())
    }
}
