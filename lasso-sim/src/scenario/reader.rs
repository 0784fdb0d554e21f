//! Reads values of a file one by one, and remembers every mistake on the way.
//!
//! A method that returns `None` has already reported the mistake.

use core::ops::Range;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::amount::Amount;
use super::errors::{Diagnostic, did_you_mean};
use super::model::{Loc, NodeId, NodeSpec, Subjects};
use super::names::Names;
use super::range::Pick;
use super::units;
use super::uses::Uses;
use super::value::{Kind, Table, Value};
use crate::app::Rate;

/// The results of reading a file so far.
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    /// Where in its range a value lies.
    pub(super) pick: Pick,
    /// The names of the file's nodes and groups.
    pub names: Names,
    /// The nodes, once they have been read.
    pub nodes: Vec<NodeSpec>,
    /// The latest time at which the step or rule that is being read can happen.
    pub now: Duration,
    /// Nodes that a step starts, each with the earliest time.
    pub(super) started: BTreeMap<NodeId, Duration>,
    /// The subscribes, publishes, serves and calls of the file.
    pub(super) uses: Uses,
    /// The nodes of the expectation that is being read, if it names them.
    pub(super) on: Option<Value>,
    /// The file has some expectation or rule, valid or not.
    pub(super) expects: bool,
    /// The number of nodes is known: no mistake hides any, and no liar joins.
    pub counts_known: bool,
    errors: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    /// A reader of that text that has read nothing yet.
    pub(super) fn new(text: &'t str, pick: Pick) -> Self {
        Reader {
            text,
            pick,
            names: Names::default(),
            nodes: Vec::new(),
            now: Duration::ZERO,
            started: BTreeMap::new(),
            uses: Uses::default(),
            on: None,
            expects: false,
            counts_known: true,
            errors: Vec::new(),
        }
    }

    /// A reader of values whose places do not matter, with this seed.
    pub(crate) fn blank(seed: u64) -> Reader<'static> {
        Reader::new("", Pick::Seed(seed))
    }

    /// All mistakes, by place, and the nodes.
    pub(crate) fn into_found(self) -> (Vec<Diagnostic>, Vec<NodeSpec>) {
        let (errors, _, nodes) = self.into_errors();
        (errors, nodes)
    }

    /// Remembers a mistake.
    pub fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    /// The number of mistakes so far.
    pub fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// All mistakes, by place.
    pub(super) fn into_errors(self) -> (Vec<Diagnostic>, Names, Vec<NodeSpec>) {
        let mut errors = self.errors;
        errors.sort_by_key(|d| (d.span.start, d.span.end));
        errors.dedup();
        (errors, self.names, self.nodes)
    }

    /// The place of a span.
    pub fn loc(&self, span: &Range<usize>) -> Loc {
        super::errors::locate(self.text, span)
    }

    /// Notes that a step starts a node at [`Reader::now`].
    pub fn note_start(&mut self, node: NodeId) {
        let now = self.now;
        let first = self.started.entry(node).or_insert(now);
        *first = now.min(*first);
    }

    /// Reports that a value is not of the wanted form.
    pub fn wrong<T>(&mut self, value: &Value, wanted: &str) -> Option<T> {
        let found = match &value.kind {
            Kind::Text(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
            Kind::Integer(number) => number.to_string(),
            Kind::Float(number) => number.to_string(),
            Kind::Flag(flag) => flag.to_string(),
            other => other.name().to_owned(),
        };
        let message = format!("{found} is not {wanted}");
        self.error(Diagnostic::new(value.span.clone(), message).label("here"));
        None
    }

    /// A text.
    pub fn text<'v>(&mut self, value: &'v Value) -> Option<&'v str> {
        match &value.kind {
            Kind::Text(text) => Some(text),
            _ => self.wrong(value, "a text in quotes"),
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, value: &Value) -> Option<bool> {
        match value.kind {
            Kind::Flag(flag) => Some(flag),
            _ => self.wrong(value, "`true` or `false`"),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, value: &Value, min: i64, max: i64) -> Option<i64> {
        match value.kind {
            Kind::Integer(number) if (min..=max).contains(&number) => Some(number),
            _ => self.wrong(value, &format!("a whole number from {min} to {max}")),
        }
    }

    /// A duration of at most 30 days.
    pub fn duration(&mut self, value: &Value) -> Option<Duration> {
        let read = match &value.kind {
            Kind::Text(text) => units::duration(text),
            Kind::Integer(0) => Some(Duration::ZERO),
            _ => None,
        };
        read.or_else(|| {
            self.wrong(
                value,
                &format!("a duration such as {}", units::DURATION_FORM),
            )
        })
    }

    /// A rate.
    pub fn rate(&mut self, value: &Value) -> Option<Rate> {
        let read = match &value.kind {
            Kind::Text(text) => units::rate(text),
            _ => None,
        };
        read.map(|(number, unit)| Rate { number, unit })
            .or_else(|| self.wrong(value, "a rate such as `100/s` or `6/m`"))
    }

    /// The size of something in bytes, within bounds.
    pub fn bytes(&mut self, value: &Value, min: usize, max: usize) -> Option<usize> {
        let read = match &value.kind {
            Kind::Text(text) => units::bytes(text),
            _ => None,
        };
        let inside = read.filter(|bytes| (min..=max).contains(bytes));
        let wanted = format!("a size from {min}B to {max}B, such as `64B`, `16KiB` or `16MiB`");
        inside.or_else(|| self.wrong(value, &wanted))
    }

    /// A part of a whole, in millionths; `true` is all of it, `false` nothing.
    pub fn share(&mut self, value: &Value) -> Option<u32> {
        let read = match &value.kind {
            Kind::Flag(all) => Some(if *all { 1_000_000 } else { 0 }),
            Kind::Text(text) => units::share_ppm(text),
            _ => None,
        };
        read.or_else(|| self.wrong(value, "a share such as `5%`, or `true` for all"))
    }

    /// A duration, or a range of which both ends are part: `10ms` or `10ms..50ms`.
    pub fn duration_range(&mut self, value: &Value) -> Option<(Duration, Duration)> {
        let read = match &value.kind {
            Kind::Text(text) => {
                let (low, high) = text.split_once("..").unwrap_or((text, text));
                units::duration(low).zip(units::duration(high))
            }
            _ => None,
        };
        let sensible = read.filter(|(low, high)| low <= high);
        sensible.or_else(|| self.wrong(value, "a duration or a range such as `10ms..50ms`"))
    }

    /// A number, a bound or a range.
    pub fn amount(&mut self, value: &Value) -> Option<Amount> {
        let read = match &value.kind {
            Kind::Integer(number) => Some(Amount::exactly(*number)),
            Kind::Text(text) => Amount::parse(text),
            _ => None,
        };
        read.or_else(|| self.wrong(value, Amount::FORM))
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, value: &Value, choices: &[(&str, T)]) -> Option<T> {
        let Kind::Text(text) = &value.kind else {
            return self.wrong(value, &one_of(choices.iter().map(|(word, _)| *word)));
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| word == text) {
            return Some(*choice);
        }
        let message = format!(
            "`{text}` is not {}",
            one_of(choices.iter().map(|(word, _)| *word))
        );
        let close = did_you_mean(text, choices.iter().map(|(word, _)| *word));
        let diagnostic = Diagnostic::new(value.span.clone(), message);
        self.error(match close {
            Some(close) => diagnostic.label(format!("did you mean `{close}`?")),
            None => diagnostic.label("here"),
        });
        None
    }

    /// The items of a list; any other value counts as a list of one.
    pub fn items<'v>(&mut self, value: &'v Value) -> &'v [Value] {
        match &value.kind {
            Kind::List(items) => items,
            _ => core::slice::from_ref(value),
        }
    }

    /// A table, to be read key by key.
    pub fn fields<'v>(&mut self, value: &'v Value, wanted: &str) -> Option<Fields<'v>> {
        match &value.kind {
            Kind::Table(table) => Some(Fields::new(table)),
            _ => self.wrong(value, wanted),
        }
    }

    /// Nodes: a name or a list of names of nodes, groups, regions, roles; `all`; a name with `!` before it
    /// removes nodes. Never empty.
    pub fn nodes(&mut self, value: &Value) -> Option<Vec<NodeId>> {
        let mut found = BTreeSet::new();
        let mut good = true;
        for (index, item) in self.items(value).iter().enumerate() {
            let Some(text) = self.text(item) else {
                good = false;
                continue;
            };
            let (taken, name) = match text.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, text),
            };
            match self.names.resolve(name, item.span.clone()) {
                Err(diagnostic) => {
                    good = false;
                    self.error(*diagnostic);
                }
                Ok(nodes) if taken => {
                    if index == 0 {
                        found.extend(self.names.all());
                    }
                    found.retain(|node| !nodes.contains(node));
                }
                Ok(nodes) => found.extend(nodes),
            }
        }
        if good && found.is_empty() && !self.counts_known {
            return None;
        }
        if good && found.is_empty() {
            let nobody = Diagnostic::new(value.span.clone(), "this names no node at all");
            self.error(nobody.help("an order to nobody, or a check of nobody, can never fail"));
            return None;
        }
        good.then(|| found.into_iter().collect())
    }

    /// Exactly one node.
    pub fn node(&mut self, value: &Value) -> Option<NodeId> {
        let nodes = self.nodes(value)?;
        match nodes.as_slice() {
            [one] => Some(*one),
            several => {
                let message = format!("one node is wanted here, and these are {}", several.len());
                self.error(Diagnostic::new(value.span.clone(), message).label("here"));
                None
            }
        }
    }

    /// Possibly no node: a list that may be empty.
    pub fn node_set(&mut self, value: &Value) -> Option<BTreeSet<NodeId>> {
        if matches!(&value.kind, Kind::List(items) if items.is_empty()) {
            return Some(BTreeSet::new());
        }
        Some(self.nodes(value)?.into_iter().collect())
    }

    /// The nodes that an expectation is about. Nodes named by their keys must run; groups and `all` mean those
    /// that run.
    pub fn subjects(&mut self, value: &Value) -> Option<Subjects> {
        let nodes = self.nodes(value)?;
        let named = self
            .items(value)
            .iter()
            .all(|item| matches!(&item.kind, Kind::Text(text) if self.names.is_node(text)));
        Some(Subjects {
            nodes,
            running_only: !named,
        })
    }
}

/// `a`, `b` or `c`.
pub(crate) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The keys of one table. A key that was not requested by the end is unknown.
#[derive(Debug)]
pub struct Fields<'v> {
    table: &'v Table,
    asked: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// All keys of a table.
    pub fn new(table: &'v Table) -> Self {
        Fields {
            table,
            asked: Vec::new(),
        }
    }

    /// The place of the table.
    pub fn span(&self) -> Range<usize> {
        self.table.span.clone()
    }

    /// The value of a key, if the table has it.
    pub fn take(&mut self, key: &'static str) -> Option<&'v Value> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table
            .entries
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    pub fn need(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'v Value> {
        let found = self.take(key);
        if found.is_none() {
            let missing = Diagnostic::new(self.span(), format!("`{key}` is missing"));
            reader.error(missing.label(format!("needs `{key}`")));
        }
        found
    }

    /// The place of the key itself.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table
            .entries
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(k, _)| k.span.clone())
    }

    /// Whether there is a key that was not requested: a mistake that [`Fields::finish`] will report.
    pub fn has_unknown(&self) -> bool {
        let mut keys = self.table.entries.iter().map(|(key, _)| key.text.as_str());
        keys.any(|key| !self.asked.contains(&key))
    }

    /// The index of this key in the table.
    pub fn order(&self, key: &str) -> usize {
        let mut entries = self.table.entries.iter();
        entries
            .position(|(k, _)| k.text == key)
            .unwrap_or(usize::MAX)
    }

    /// Reports every key that was not requested.
    pub fn finish(self, reader: &mut Reader<'_>, what: &str) {
        for (key, _) in &self.table.entries {
            if self.asked.contains(&key.text.as_str()) {
                continue;
            }
            let known: Vec<String> = self.asked.iter().map(|key| format!("`{key}`")).collect();
            let message = format!("unknown key `{}` in {what}", key.text);
            let diagnostic = Diagnostic::new(key.span.clone(), message);
            let diagnostic = match did_you_mean(&key.text, self.asked.iter().copied()) {
                Some(close) => diagnostic.label(format!("did you mean `{close}`?")),
                None => diagnostic.label("unknown"),
            };
            reader.error(diagnostic.help(format!("the keys are {}", known.join(", "))));
        }
    }
}
