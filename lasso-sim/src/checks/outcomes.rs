//! `outcomes` and `slowest_call`: the outcomes of the calls of the node's application, over all lives of its
//! process: `outcomes = { method = "sum", to = "b", ok = 100, timeout = 0, waiting = 0 }`, `slowest_call = {
//! method = "sum", at_most = "50ms" }`. Outcomes that are not named are not checked; `count` is the number of
//! all calls, `waiting` of those without an outcome.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::name::NodeName;

use super::tables::{Numbers, Window, all_of, numbers, refuse_nothing};
use super::{Check, Entry, Mismatch, Observed};
use crate::app::{CallLog, Outcome};
use crate::scenario::{Deed, Fields, NodeId, Reader, Value, show_duration};

pub(super) const OUTCOMES: Entry = Entry {
    key: "outcomes",
    summary: "how many of its calls of a method ended with each outcome",
    absent: false,
    parse: parse_outcomes,
};

pub(super) const SLOWEST: Entry = Entry {
    key: "slowest_call",
    summary: "the longest time that a call of a method took, whatever its outcome",
    absent: false,
    parse: parse_slowest,
};

/// The selected calls, by when they began.
#[derive(Debug)]
struct Chosen {
    method: String,
    to: Option<Vec<NodeId>>,
    window: Window,
}

#[derive(Debug)]
struct Outcomes {
    chosen: Chosen,
    wanted: Numbers,
}

#[derive(Debug)]
struct Slowest {
    chosen: Chosen,
    at_most: Duration,
}

fn parse_outcomes(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    all_of(value, reader, read_outcomes)
}

fn read_outcomes(value: &Value, reader: &mut Reader<'_>) -> Option<Outcomes> {
    let form = "a table such as `{ method = \"sum\", ok = 100 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let chosen = Chosen::read(&mut keys, reader);
    let named = Outcome::NAMED.iter().map(|(name, _)| *name);
    let names = named.chain(["count", "waiting"]);
    let wanted = numbers(&mut keys, reader, names.clone());
    if wanted.is_empty() {
        refuse_nothing(&keys, reader, errors, names);
    }
    keys.finish(reader, "`outcomes`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Outcomes {
        chosen: chosen?,
        wanted,
    })
}

fn parse_slowest(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let form = "a table such as `{ method = \"sum\", at_most = \"50ms\" }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let chosen = Chosen::read(&mut keys, reader);
    let at_most = keys
        .need(reader, "at_most")
        .and_then(|value| reader.duration(value));
    keys.finish(reader, "`slowest_call`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Slowest {
        chosen: chosen?,
        at_most: at_most?,
    }))
}

impl Chosen {
    fn read(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let method = keys.need(reader, "method");
        let method = method.and_then(|value| reader.used(value, Deed::Call));
        let to = keys.take("to").map(|value| reader.nodes(value));
        let window = Window::read(keys, reader);
        Some(Chosen {
            method: method?,
            to: match to {
                None => None,
                Some(to) => Some(to?),
            },
            window,
        })
    }

    fn calls<'a>(&'a self, observed: &Observed<'a>) -> impl Iterator<Item = &'a CallLog> {
        let to: Option<Vec<NodeName>> = self
            .to
            .as_ref()
            .map(|nodes| nodes.iter().map(|node| observed.name(*node)).collect());
        observed.app.calls.iter().filter(move |call| {
            *call.method == *self.method
                && to.as_ref().is_none_or(|to| to.contains(&call.to))
                && self.window.contains(call.at)
        })
    }

    fn show(&self, observed: &Observed<'_>) -> String {
        let mut text = format!("calls of {}", self.method);
        if let Some(nodes) = &self.to {
            let names: Vec<NodeName> = nodes.iter().map(|node| observed.name(*node)).collect();
            text = format!("{text} at {}", observed.keys(&names));
        }
        format!("{text}{}", self.window)
    }
}

impl Check for Outcomes {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut all = 0;
        for call in self.chosen.calls(observed) {
            all += 1;
            let name = call
                .outcome
                .map_or("waiting", |(outcome, _)| outcome.name());
            *counts.entry(name).or_insert(0) += 1;
        }
        for (key, amount) in &self.wanted {
            let count = match *key {
                "count" => all,
                key => counts.get(key).copied().unwrap_or(0),
            };
            if !amount.contains(count) {
                return Err(Mismatch {
                    expected: format!("{}: {key} {amount}", self.chosen.show(observed)),
                    seen: format!("{key} = {count} (of {all}: {counts:?})"),
                });
            }
        }
        Ok(())
    }
}

impl Check for Slowest {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let ended = self.chosen.calls(observed);
        let ended = ended.filter_map(|call| Some((call.outcome?.1, call)));
        let slowest = ended.max_by_key(|(took, _)| *took);
        let seen = match slowest {
            Some((took, _)) if took <= self.at_most => return Ok(()),
            Some((took, call)) => {
                let (took, to) = (show_duration(took), observed.key_of(&call.to));
                format!("{took}, at {to} since {}", call.at)
            }
            None => "none has ended".to_owned(),
        };
        let (chosen, at_most) = (self.chosen.show(observed), show_duration(self.at_most));
        Err(Mismatch {
            expected: format!("the slowest of the {chosen} <= {at_most}"),
            seen,
        })
    }
}
