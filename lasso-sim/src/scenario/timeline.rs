//! Draws the ranges of `[[step]]`, writes repeated steps out, and sorts all steps by time.
//!
//! Steps are sorted only in a file that draws a time, repeats a step, or has `[random]`; any other file must have its
//! steps in the order of time. The time of a step that waits for a condition (`when`), or comes `after` such a step, is
//! not known before the run. Such a step keeps its place, and all steps above it happen before it.

use core::ops::Range as Span;
use core::time::Duration;

use super::draws::Draws;
use super::errors::Diagnostic;
use super::range::Range;
use super::reader::Reader;
use super::units::{self, show};
use super::value::{Kind, Table, Value};
use crate::verbs;

/// The most steps of a file, repetitions included.
pub const STEPS_MAX: usize = 10_000;

/// When a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(Duration),
    /// Once a condition holds, or some time after a step that waits for one.
    Waits,
    /// The step has a mistake, which reading it will report.
    Unknown,
}

/// A step of the file that has been placed, for those `after` it.
#[derive(Debug)]
struct Past {
    when: When,
    label: Option<String>,
    repeats: bool,
}

#[derive(Debug, Default)]
struct Layout {
    past: Vec<Past>,
    /// Steps that may be reordered, in parts that may not.
    parts: Vec<Vec<(Duration, Value)>>,
    /// Labels that became times.
    resolved: Vec<String>,
    steps: usize,
}

pub(super) fn draw_steps(draws: &mut Draws, tree: &mut Table, is_random: bool) {
    let Some(Kind::List(items)) = tree.get_mut("step").map(|value| &mut value.kind) else {
        return;
    };
    if !is_random && !items.iter().any(moves) {
        for (index, step) in items.iter_mut().enumerate() {
            draw_verbs(draws, step, index, 0);
        }
        return;
    }
    draws.any = true;
    let mut layout = Layout {
        parts: vec![Vec::new()],
        ..Layout::default()
    };
    for (index, step) in core::mem::take(items).into_iter().enumerate() {
        layout.add(draws, step, index, is_random);
    }
    for part in &mut layout.parts {
        part.sort_by_key(|(at, _)| *at);
    }
    let waited: Vec<String> = waited_for(&layout);
    let steps = layout.parts.into_iter().flatten().map(|(_, step)| step);
    *items = steps.collect();
    if draws.keeps_labels {
        return;
    }
    for step in items {
        if let Kind::Table(keys) = &mut step.kind
            && let Some(Kind::Text(label)) = keys.get("label").map(|value| &value.kind)
            && layout.resolved.contains(label)
            && !waited.contains(label)
        {
            keys.remove("label");
        }
    }
}

/// Whether a step's time is drawn, or it repeats.
fn moves(step: &Value) -> bool {
    let Kind::Table(keys) = &step.kind else {
        return false;
    };
    let is_range = |key| match keys.get(key).map(|value| &value.kind) {
        Some(Kind::Text(text)) => Range::is(delay_of(text).1),
        _ => false,
    };
    keys.get("repeat").is_some() || is_range("at") || is_range("after")
}

/// Splits a text of `after` into the label, with everything up to the delay, and the delay.
fn delay_of(text: &str) -> (&str, &str) {
    match text.find('+') {
        Some(plus) => {
            let delay = text[plus + 1..].trim_start();
            (&text[..text.len() - delay.len()], delay)
        }
        None => ("", text),
    }
}

/// Labels of waiting steps that other steps still name.
fn waited_for(layout: &Layout) -> Vec<String> {
    let steps = layout.parts.iter().flatten();
    let after = steps.filter_map(|(_, step)| match &step.kind {
        Kind::Table(keys) => match &keys.get("after")?.kind {
            Kind::Text(text) => Some(text.split('+').next()?.trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    after.collect()
}

/// Draws all of a step except its expectation and its repetition.
fn draw_verbs(draws: &mut Draws, step: &mut Value, index: usize, repetition: u64) {
    let Kind::Table(keys) = &mut step.kind else {
        return;
    };
    for (key, value) in &mut keys.entries {
        let path = format!("step.{index}.{}", key.text);
        match key.text.as_str() {
            "when" | "expect" | "label" | "repeat" => {}
            "after" => draw_after(draws, value, &path),
            verb => {
                let entry = verbs::ALL.iter().find(|entry| entry.key == verb);
                let ranges = entry.map_or(&[][..], |entry| entry.ranges);
                draws.walk(value, &path, repetition, ranges);
            }
        }
    }
}

/// Draws `"5s..10s"`, and the delay of `"label + 5s..10s"`.
fn draw_after(draws: &mut Draws, value: &mut Value, path: &str) {
    let Kind::Text(text) = &value.kind else {
        return;
    };
    let (label, delay) = delay_of(text);
    let mut drawn = Value {
        span: value.span.clone(),
        kind: Kind::Text(delay.to_owned()),
    };
    let label = label.to_owned();
    draws.walk(&mut drawn, path, 0, &[]);
    if let Kind::Text(delay) = drawn.kind {
        value.kind = Kind::Text(format!("{label}{delay}"));
    }
}

impl Layout {
    fn add(&mut self, draws: &mut Draws, mut step: Value, index: usize, is_random: bool) {
        let last = self.parts.iter().flatten().map(|(at, _)| *at).next_back();
        let span = step.span.clone();
        let Kind::Table(keys) = &mut step.kind else {
            self.push(last.unwrap_or_default(), step);
            self.remember(When::Unknown, None, false);
            return;
        };
        let repeat = keys.remove("repeat").map(|(_, value)| value);
        let label = match keys.get("label").map(|value| &value.kind) {
            Some(Kind::Text(label)) => Some(label.clone()),
            _ => None,
        };
        for key in ["at", "by"] {
            if let Some(value) = keys.get_mut(key) {
                draws.walk(value, &format!("step.{index}.{key}"), 0, &[]);
            }
        }
        if let Some(value) = keys.get_mut("after") {
            draw_after(draws, value, &format!("step.{index}.after"));
        }
        let when = self.when(draws, keys);
        self.remember(when, label.clone(), repeat.is_some());
        let waits = when == When::Waits;
        if waits && is_random {
            let lost = "a step that waits cannot stand beside `[random]`, whose steps have times";
            draws
                .errors
                .push(Diagnostic::new(span, lost).label("give it a time: `at`"));
            return;
        }
        let at = match when {
            When::At(at) => at,
            _ => last.unwrap_or_default(),
        };
        if let Some(repeat) = repeat {
            self.repeat(draws, &step, index, (when, at, label.is_some()), repeat);
            return;
        }
        draw_verbs(draws, &mut step, index, 0);
        if waits {
            self.parts.push(vec![(at, step)]);
            self.parts.push(Vec::new());
        } else {
            self.push(at, step);
        }
    }

    fn push(&mut self, at: Duration, step: Value) {
        self.steps += 1;
        if let Some(part) = self.parts.last_mut() {
            part.push((at, step));
        }
    }

    fn remember(&mut self, when: When, label: Option<String>, repeats: bool) {
        self.past.push(Past {
            when,
            label,
            repeats,
        });
    }

    /// When a step happens. An `after` with a known time becomes `at`.
    fn when(&mut self, draws: &mut Draws, keys: &mut Table) -> When {
        match (keys.get("at"), keys.get("after"), keys.get("when")) {
            (None, None, Some(_)) => When::Waits,
            (Some(value), None, None) => match &value.kind {
                Kind::Text(text) => units::duration(text).map_or(When::Unknown, When::At),
                Kind::Integer(0) => When::At(Duration::ZERO),
                _ => When::Unknown,
            },
            (None, Some(value), None) => {
                let (kind, span) = (value.kind.clone(), value.span.clone());
                let Kind::Text(text) = kind else {
                    return When::Unknown;
                };
                let when = self.resolve(draws, &text, &span);
                if let When::At(at) = when
                    && let Some((key, value)) =
                        keys.entries.iter_mut().find(|(key, _)| key.text == "after")
                {
                    key.text = "at".to_owned();
                    value.kind = Kind::Text(show(at));
                }
                when
            }
            _ => When::Unknown,
        }
    }

    /// `label`, `label + 5s`, or `5s` after the step above.
    fn resolve(&mut self, draws: &mut Draws, text: &str, span: &Span<usize>) -> When {
        let (past, delay) = if let Some(delay) = units::duration(text) {
            (self.past.last(), delay)
        } else {
            let (label, delay) = text.split_once('+').unwrap_or((text, "0s"));
            let Some(delay) = units::duration(delay.trim()) else {
                return When::Unknown;
            };
            let label = label.trim();
            let mut past = self.past.iter();
            (
                past.find(|past| past.label.as_deref() == Some(label)),
                delay,
            )
        };
        let Some(past) = past else {
            return When::Unknown;
        };
        match past.when {
            When::At(_) if past.repeats => {
                let several = "the step that this comes after happens several times";
                let error = Diagnostic::new(span.clone(), several);
                draws.errors.push(error.label("give it a time: `at`"));
                When::Unknown
            }
            When::At(at) => {
                self.resolved.extend(past.label.clone());
                When::At(at + delay)
            }
            other => other,
        }
    }

    /// Writes out each repetition of a step.
    fn repeat(
        &mut self,
        draws: &mut Draws,
        step: &Value,
        index: usize,
        (when, first, is_labelled): (When, Duration, bool),
        mut repeat: Value,
    ) {
        let span = repeat.span.clone();
        if when == When::Waits || is_labelled {
            let (message, label) = if is_labelled {
                (
                    "a step that repeats cannot have a label",
                    "which of them would it be?",
                )
            } else {
                ("a step that waits cannot repeat", "give it a time: `at`")
            };
            draws
                .errors
                .push(Diagnostic::new(span.clone(), message).label(label));
        }
        let path = format!("step.{index}.repeat");
        if let Kind::Table(keys) = &mut repeat.kind
            && let Some(times) = keys.get_mut("times")
        {
            draws.walk(times, &format!("{path}.times"), 0, &[]);
        }
        let (every, mut times) = match read_repeat(draws, &repeat, index) {
            Some((every, times)) => (every, times),
            // A mistake; later passes still report the other mistakes of the step.
            None => (repeat, 1),
        };
        if self.steps + times > STEPS_MAX {
            let many = format!("this makes more than {STEPS_MAX} steps of the file");
            draws
                .errors
                .push(Diagnostic::new(span, many).label("repeat it less often"));
            times = 1;
        }
        let mut at = first;
        for repetition in 0..times {
            if repetition > 0 {
                at += gap(draws, &every, &path, repetition);
            }
            let mut one = step.clone();
            if is_labelled && let Kind::Table(keys) = &mut one.kind {
                keys.remove("label");
            }
            draw_verbs(draws, &mut one, index, repetition as u64);
            if let (Kind::Table(keys), When::At(_)) = (&mut one.kind, when)
                && let Some(value) = keys.get_mut("at")
            {
                value.kind = Kind::Text(show(at));
            }
            self.push(at, one);
        }
    }
}

/// The time between two repetitions, drawn anew for each.
fn gap(draws: &mut Draws, every: &Value, path: &str, repetition: usize) -> Duration {
    let mut drawn = every.clone();
    draws.walk(&mut drawn, &format!("{path}.every"), repetition as u64, &[]);
    match &drawn.kind {
        Kind::Text(text) => units::duration(text).unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

/// `repeat = { every = "30s", times = 120 }`.
fn read_repeat(draws: &mut Draws, repeat: &Value, index: usize) -> Option<(Value, usize)> {
    // A reader without a file, which only collects mistakes.
    let mut reader = Reader::new("", draws.pick);
    let read = reader
        .fields(repeat, "a table such as `{ every = \"30s\", times = 120 }`")
        .and_then(|mut keys| {
            let every = keys.need(&mut reader, "every").cloned();
            let times = keys
                .need(&mut reader, "times")
                .and_then(|value| reader.integer(value, 1, STEPS_MAX as i64));
            keys.finish(&mut reader, "`repeat`");
            Some((every?, times? as usize))
        });
    let read = read.filter(|(every, _)| {
        let mut first = every.clone();
        draws.walk(&mut first, &format!("step.{index}.repeat.every"), 1, &[]);
        // An earlier pass has reported a bad range already.
        let is_range = matches!(&first.kind, Kind::Text(text) if Range::is(text));
        !is_range && reader.duration(&first).is_some()
    });
    draws.errors.extend(reader.into_errors().0);
    read
}
