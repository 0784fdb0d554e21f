//! `gathered`: the results of each call to many of the node's application: `gathered = { method = "sum", count
//! = 1, asked = 3, answered = 2, failed = { timeout = "c" } }`. Each call that began in the window and has
//! ended must satisfy it, and at least one must have ended. Keys that are not named are not checked.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::name::NodeName;

use super::names::Wanted;
use super::tables::Window;
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::app::{GatherEnd, GatherLog, Outcome};
use crate::scenario::{Amount, Deed, Reader, Value, show_duration};

pub(super) const ENTRY: Entry = Entry {
    key: "gathered",
    summary: "which nodes each call to many asked, and which answered, failed and how, joined and left",
    absent: false,
    parse,
};

#[derive(Debug)]
struct Gathered {
    method: String,
    window: Window,
    count: Option<Amount>,
    at_most: Option<Duration>,
    /// The checked keys, each with the expected nodes.
    wanted: Vec<(&'static str, Wanted)>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let form = "a table such as `{ method = \"sum\", asked = 3, answered = 3 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let method = keys.need(reader, "method");
    let method = method.and_then(|value| reader.used(value, Deed::CallMany));
    let window = Window::read(&mut keys, reader);
    let count = keys
        .take("count")
        .and_then(|value| amount_within(value, reader, 0, usize::MAX));
    let at_most = keys
        .take("at_most")
        .and_then(|value| reader.duration(value));
    let mut wanted = Vec::new();
    let most = reader.names.len();
    for key in ["asked", "answered", "joined", "left"] {
        if let Some(value) = keys.take(key)
            && let Some(nodes) = Wanted::read(value, reader, most)
        {
            wanted.push((key, nodes));
        }
    }
    if let Some(value) = keys.take("failed") {
        let form = "a table such as `{ timeout = \"c\" }`";
        let mut failed = reader.fields(value, form)?;
        for (name, _) in Outcome::NAMED.iter().filter(|(name, _)| *name != "ok") {
            if let Some(value) = failed.take(name)
                && let Some(nodes) = Wanted::read(value, reader, most)
            {
                wanted.push((*name, nodes));
            }
        }
        failed.finish(reader, "`failed`");
    }
    keys.finish(reader, "`gathered`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Gathered {
        method: method?,
        window,
        count,
        at_most,
        wanted,
    }))
}

impl Gathered {
    fn ended<'a>(&'a self, observed: &Observed<'a>) -> Vec<(&'a GatherLog, &'a GatherEnd)> {
        let all = observed
            .app
            .gathers
            .iter()
            .filter(|gather| *gather.method == *self.method && self.window.contains(gather.at));
        all.filter_map(|gather| Some((gather, gather.end.as_ref()?)))
            .collect()
    }
}

/// The nodes of a key.
fn nodes(key: &str, gather: &GatherLog, end: &GatherEnd) -> Vec<NodeName> {
    let with = |wanted: &str| {
        let outcomes = end.outcomes.iter();
        let found = outcomes.filter(|(_, outcome)| outcome.name() == wanted);
        found.map(|(node, _)| node.clone()).collect()
    };
    match key {
        "asked" => gather.asked.clone(),
        "answered" => with("ok"),
        "joined" => end.joined.clone(),
        "left" => end.left.clone(),
        failure => with(failure),
    }
}

/// All outcomes, in words: `ok: a; timeout: b, c`.
fn how_all_ended(end: &GatherEnd, observed: &Observed<'_>) -> String {
    let mut by_name: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for (node, outcome) in &end.outcomes {
        by_name.entry(outcome.name()).or_default().push(node);
    }
    let words = by_name
        .into_iter()
        .map(|(name, nodes)| format!("{name}: {}", observed.keys(nodes)));
    words.collect::<Vec<_>>().join("; ")
}

impl Check for Gathered {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let ended = self.ended(observed);
        let head = format!("calls of {} to many", self.method);
        let enough = self
            .count
            .as_ref()
            .map_or(!ended.is_empty(), |amount| amount.contains(ended.len()));
        if !enough {
            let wanted = self
                .count
                .as_ref()
                .map_or(">= 1".to_owned(), ToString::to_string);
            return Err(Mismatch {
                expected: format!("number of {head} that have ended {wanted}"),
                seen: ended.len().to_string(),
            });
        }
        for (gather, end) in ended {
            if let Some(at_most) = self.at_most
                && end.took > at_most
            {
                return Err(Mismatch {
                    expected: format!("{head} take <= {}", show_duration(at_most)),
                    seen: format!("{} since {}", show_duration(end.took), gather.at),
                });
            }
            for (key, wanted) in &self.wanted {
                let found = nodes(key, gather, end);
                wanted
                    .holds(key, found, observed)
                    .map_err(|mismatch| Mismatch {
                        expected: format!("{head}: {}", mismatch.expected),
                        seen: format!(
                            "{}, since {}; {}",
                            mismatch.seen,
                            gather.at,
                            how_all_ended(end, observed)
                        ),
                    })?;
            }
        }
        Ok(())
    }
}
