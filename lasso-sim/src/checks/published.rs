//! `published`, `reached`, `shed`: the results of the publishes of the node's application on a topic, over all
//! lives of its process: `published = { topic = "prices", count = 100, refused = 0 }`, `reached = { topic =
//! "prices", nodes = 2, subscribers = 1 }` for each message that was published, `shed = { topic = "prices",
//! count = 0 }` for all of them together. Several such tables in a list must all hold.

use super::tables::{Numbers, Window, all_of, numbers, refuse_nothing};
use super::{Check, Entry, Mismatch, Observed};
use crate::app::PublishLog;
use crate::scenario::{Amount, Deed, Reader, Value};

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
    window: Window,
    wanted: Numbers,
}

fn several(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    names: &'static [&'static str],
) -> Option<Box<dyn Check>> {
    all_of(value, reader, |value, reader| {
        read(value, reader, key, names)
    })
}

fn read(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    names: &'static [&'static str],
) -> Option<Published> {
    let form = "a table such as `{ topic = \"prices\", count = 100 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let topic = keys.need(reader, "topic");
    let topic = topic.and_then(|value| reader.used(value, Deed::Publish));
    let window = Window::read(&mut keys, reader);
    let wanted = numbers(&mut keys, reader, names.iter().copied());
    if wanted.is_empty() {
        refuse_nothing(&keys, reader, errors, names.iter().copied());
    }
    keys.finish(reader, &format!("`{key}`"));
    if reader.error_count() > errors {
        return None;
    }
    Some(Published {
        key,
        topic: topic?,
        window,
        wanted,
    })
}

impl Published {
    /// The observed value of one number: the common one of all messages, or the first that is out of bounds.
    fn seen(&self, log: &PublishLog, number: &str, amount: &Amount) -> Result<(), String> {
        let reached = log
            .reached
            .iter()
            .filter(|(at, _)| self.window.contains(*at));
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
                refused.filter(|at| self.window.contains(**at)).count()
            }
            _ => reached.count(),
        };
        if amount.contains(total) {
            return Ok(());
        }
        Err(total.to_string())
    }
}

impl Check for Published {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let nothing = PublishLog::default();
        let log = observed.app.publishes.get(self.topic.as_str());
        for (number, amount) in &self.wanted {
            if let Err(seen) = self.seen(log.unwrap_or(&nothing), number, amount) {
                let (key, topic, window) = (self.key, &self.topic, self.window);
                return Err(Mismatch {
                    expected: format!("{key} on {topic}: {number}{window} {amount}"),
                    seen,
                });
            }
        }
        Ok(())
    }
}
