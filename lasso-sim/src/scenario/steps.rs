//! Reads steps and rules: `[[step]]`, `[[always]]`, `[[never]]`.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeSet;

use super::errors::{Diagnostic, did_you_mean};
use super::model::{Action, Expect, Expectation, Moment, Rule, RuleKind, Step, Subjects};
use super::reader::{Fields, Reader};
use super::units::{self, show};
use super::value::{Kind, Value};
use crate::{checks, verbs};

/// The steps that have been read, and the earliest and latest time of each.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// The earliest and the latest time of each step.
    times: Vec<(Duration, Duration)>,
    used_labels: BTreeSet<usize>,
    /// The latest time of any check or action.
    pub(super) last: Duration,
    /// The time of each action or check, with its place.
    pub(super) deadlines: Vec<(Duration, Range<usize>)>,
}

/// Reads every `[[step]]`.
pub(super) fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Steps {
    let mut all = Steps::default();
    let Some(value) = fields.take("step") else {
        return all;
    };
    let Kind::List(items) = &value.kind else {
        reader.wrong::<()>(value, "a list of tables: `[[step]]`");
        return all;
    };
    for item in items {
        if let Some(keys) = reader.fields(item, "a table: `[[step]]`") {
            read_step(reader, keys, &mut all, &item.span);
        }
    }
    all
}

/// Reports labels that no step refers to.
pub(super) fn refuse_unused_labels(reader: &mut Reader<'_>, all: &Steps) {
    for (index, step) in all.steps.iter().enumerate() {
        if let Some(label) = &step.label
            && !all.used_labels.contains(&index)
        {
            let message = format!("nothing comes after the label `{label}`");
            let unused = Diagnostic::new(step.loc.span.clone(), message);
            reader.error(unused.label("take the label away, or use it: `after = \"label\"`"));
        }
    }
}

fn read_step(reader: &mut Reader<'_>, mut keys: Fields<'_>, all: &mut Steps, span: &Range<usize>) {
    let errors = reader.error_count();
    let (moment, earliest, latest) = read_moment(reader, &mut keys, all);
    reader.now = latest;
    let label = keys
        .take("label")
        .and_then(|value| read_label(reader, value, all));
    // Repetitions are written out before steps are read; this call only makes messages name the key.
    keys.take("repeat");
    let mut actions = Vec::new();
    for entry in verbs::ALL {
        let Some(value) = keys.take(entry.key) else {
            continue;
        };
        let place = keys
            .key_span(entry.key)
            .unwrap_or_else(|| value.span.clone());
        // A node that a step starts may run from the step's earliest moment on.
        reader.now = earliest;
        if let Some(verb) = (entry.parse)(value, reader) {
            let action = Action {
                loc: reader.loc(&place),
                key: entry.key,
                verb,
            };
            actions.push((keys.order(entry.key), action));
        }
        reader.now = latest;
    }
    actions.sort_by_key(|(order, _)| *order);
    let actions: Vec<Action> = actions.into_iter().map(|(_, action)| action).collect();
    let optional = keys.take("optional").and_then(|value| reader.flag(value));
    let expect_at = keys.take("expect");
    let expect = expect_at.and_then(|value| read_expectation(reader, value));
    keys.finish(reader, "a step");
    let empty = actions.is_empty() && expect_at.is_none() && !matches!(moment, Moment::When { .. });
    if empty && reader.error_count() == errors {
        let nothing = Diagnostic::new(span.clone(), "nothing happens in this step");
        reader.error(nothing.label("needs a verb or `expect`"));
    }
    let end = latest + expect.as_ref().map_or(Duration::ZERO, |e| e.within);
    all.last = all.last.max(end);
    all.deadlines.push((end, span.clone()));
    all.times.push((earliest, latest));
    all.steps.push(Step {
        loc: reader.loc(span),
        label,
        moment,
        actions,
        expect,
        optional: optional.unwrap_or_default(),
    });
}

fn read_label(reader: &mut Reader<'_>, value: &Value, all: &Steps) -> Option<String> {
    let text = reader.text(value)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(allowed) {
        return reader.wrong(value, "a label: a letter, then letters, digits, `-`, `_`");
    }
    if let Some(first) = all
        .steps
        .iter()
        .find(|step| step.label.as_deref() == Some(text))
    {
        let twice = Diagnostic::new(value.span.clone(), format!("two steps are called `{text}`"));
        reader.error(twice.label("here").also(first.loc.span.clone(), "and here"));
        return None;
    }
    Some(text.to_owned())
}

/// When a step happens, and its earliest and latest time.
fn read_moment(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    all: &mut Steps,
) -> (Moment, Duration, Duration) {
    let before = all.times.last().copied().unwrap_or_default();
    let (at, after, when) = (keys.take("at"), keys.take("after"), keys.take("when"));
    let by = keys.take("by");
    if let (Some(by), None) = (by, when) {
        let lost = Diagnostic::new(by.span.clone(), "`by` means nothing without `when`");
        reader.error(lost.label("the latest time at which the condition may first hold"));
    }
    let found = match (at, after, when) {
        (Some(value), None, None) => reader
            .duration(value)
            .map(|at| (Moment::At(at), at, at, value.span.clone())),
        (None, Some(value), None) => read_after(reader, value, all)
            .map(|(moment, from, to)| (moment, from, to, value.span.clone())),
        (None, None, Some(value)) => {
            return read_when(reader, keys, value, by, before).unwrap_or((
                Moment::At(before.0),
                before.0,
                before.1,
            ));
        }
        (None, None, None) => {
            let never = Diagnostic::new(keys.span(), "when does this step happen?");
            reader.error(never.label("needs `at`, `after` or `when`"));
            None
        }
        _ => {
            let two = Diagnostic::new(keys.span(), "`at`, `after` and `when` exclude each other");
            reader.error(two.label("keep one of them"));
            None
        }
    };
    let Some((moment, earliest, latest, span)) = found else {
        return (Moment::At(before.0), before.0, before.1);
    };
    if matches!(moment, Moment::At(_)) && earliest < before.1 {
        let message = format!(
            "{} lies before {}, when the step above {} happen",
            show(earliest),
            show(before.1),
            if before.0 == before.1 {
                "does"
            } else {
                "may still"
            },
        );
        let diagnostic = Diagnostic::new(span, message).label("steps stand in the order of time");
        reader.error(match all.steps.last() {
            Some(step) => diagnostic.also(step.loc.span.clone(), "the step above"),
            None => diagnostic,
        });
    }
    (moment, earliest, latest)
}

/// `after = "label"`, `"label + 5s"`, or `"5s"` after the step before.
fn read_after(
    reader: &mut Reader<'_>,
    value: &Value,
    all: &mut Steps,
) -> Option<(Moment, Duration, Duration)> {
    let text = reader.text(value)?;
    let (step, delay) = if let Some(delay) = units::duration(text) {
        if all.steps.is_empty() {
            let first = Diagnostic::new(value.span.clone(), "no step comes before this one");
            reader.error(first.label("use `at`"));
            return None;
        }
        (all.steps.len() - 1, delay)
    } else {
        let (label, delay) = match text.split_once('+') {
            None => (text.trim(), Some(Duration::ZERO)),
            Some((label, delay)) => (label.trim(), units::duration(delay.trim())),
        };
        let Some(delay) = delay else {
            return reader.wrong(value, "a label with a duration: `heal + 5s`");
        };
        let known: Vec<&str> = all
            .steps
            .iter()
            .filter_map(|s| s.label.as_deref())
            .collect();
        let Some(step) = all
            .steps
            .iter()
            .position(|s| s.label.as_deref() == Some(label))
        else {
            let labels = if known.is_empty() {
                "no step above has a label".to_owned()
            } else {
                format!("the labels above are {}", known.join(", "))
            };
            let message = format!("unknown label `{label}`; {labels}");
            let diagnostic = Diagnostic::new(value.span.clone(), message);
            reader.error(match did_you_mean(label, known) {
                Some(close) => diagnostic.label(format!("did you mean `{close}`?")),
                None => diagnostic.label("here"),
            });
            return None;
        };
        all.used_labels.insert(step);
        (step, delay)
    };
    let (from, to) = all.times[step];
    let (from, to) = (from + delay, to + delay);
    let moment = if from == to {
        Moment::At(from)
    } else {
        Moment::After { step, delay }
    };
    Some((moment, from, to))
}

fn read_when(
    reader: &mut Reader<'_>,
    keys: &Fields<'_>,
    value: &Value,
    by: Option<&Value>,
    before: (Duration, Duration),
) -> Option<(Moment, Duration, Duration)> {
    let by = match by {
        Some(by) => reader.duration(by),
        None => {
            let open = Diagnostic::new(keys.span(), "a step that waits must say for how long");
            reader.error(open.label("needs `by`, a time since the start"));
            None
        }
    }?;
    if by <= before.0 {
        let early = Diagnostic::new(value.span.clone(), "the wait is over before it begins");
        reader.error(early.label(format!("waits from {} on", show(before.0))));
        return None;
    }
    reader.now = by;
    let mut inner = reader.fields(value, "a table such as `{ on = \"a\", connected = 3 }`")?;
    let condition = read_expect(reader, &mut inner);
    inner.finish(reader, "`when`");
    Some((
        Moment::When {
            condition: condition?,
            by,
        },
        before.0,
        by,
    ))
}

fn read_expectation(reader: &mut Reader<'_>, value: &Value) -> Option<Expectation> {
    let mut keys = reader.fields(value, "a table such as `{ on = \"all\", connected = 3 }`")?;
    let within = keys
        .take("within")
        .and_then(|value| reader.duration(value))
        .unwrap_or_default();
    let now = reader.now;
    reader.now += within;
    let expect = read_expect(reader, &mut keys);
    reader.now = now;
    keys.finish(reader, "`expect`");
    Some(Expectation {
        expect: expect?,
        within,
    })
}

/// Reads `on` and the checks; `on` is `all` by default.
pub(super) fn read_expect(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Expect> {
    let errors = reader.error_count();
    reader.expects = true;
    let on = keys.take("on");
    reader.about(on);
    let subjects = match on {
        Some(value) => reader.subjects(value),
        None => Some(Subjects {
            nodes: reader.names.all().collect(),
            running_only: true,
        }),
    };
    let mut found = Vec::new();
    let mut may_be_absent = false;
    for entry in checks::ALL {
        let Some(value) = keys.take(entry.key) else {
            continue;
        };
        may_be_absent |= entry.absent;
        let place = keys
            .key_span(entry.key)
            .unwrap_or_else(|| value.span.clone());
        if let Some(check) = (entry.parse)(value, reader) {
            found.push((keys.order(entry.key), (reader.loc(&place), check)));
        }
    }
    found.sort_by_key(|(order, _)| *order);
    if found.is_empty() && reader.error_count() == errors && !keys.has_unknown() {
        let words: Vec<String> = checks::ALL
            .iter()
            .map(|entry| format!("`{}`", entry.key))
            .collect();
        let nothing = Diagnostic::new(keys.span(), "this expects nothing, so it can never fail");
        reader.error(
            nothing
                .label("here")
                .help(format!("one of {}", words.join(", "))),
        );
    }
    let on = subjects?;
    if !on.running_only && !may_be_absent {
        refuse_absent(reader, &on, keys);
    }
    let loc = reader.loc(&keys.span());
    Some(Expect {
        loc,
        on,
        checks: found.into_iter().map(|(_, check)| check).collect(),
    })
}

/// Reports a named node that nothing has started by now: it cannot be checked.
fn refuse_absent(reader: &mut Reader<'_>, on: &Subjects, keys: &Fields<'_>) {
    for id in &on.nodes {
        let node = &reader.nodes[id.index()];
        let first = node
            .starts
            .into_iter()
            .chain(reader.started.get(id).copied())
            .min();
        let key = node.key.clone();
        match first {
            Some(start) if start <= reader.now => {}
            Some(start) => {
                let message = format!("`{key}` is not there before {}", show(start));
                let early = Diagnostic::new(keys.span(), message);
                reader.error(early.label(format!("checked at {} at the latest", show(reader.now))));
            }
            None => {
                let absent = format!("no step above starts `{key}`, so it cannot be checked");
                reader.error(Diagnostic::new(keys.span(), absent).label("here"));
            }
        }
    }
}

/// Reads `[[always]]` and `[[never]]`; `last` is the latest time that a step reaches.
pub(super) fn read_rules(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    last: Duration,
) -> Vec<(Rule, Range<usize>)> {
    let mut rules = Vec::new();
    for (key, kind) in [("always", RuleKind::Always), ("never", RuleKind::Never)] {
        let Some(value) = fields.take(key) else {
            continue;
        };
        for item in reader.items(value) {
            let Some(mut keys) = reader.fields(item, &format!("a table: `[[{key}]]`")) else {
                continue;
            };
            if let Some(rule) = read_rule(reader, &mut keys, kind, last) {
                rules.push((rule, item.span.clone()));
            }
            keys.finish(reader, &format!("`[[{key}]]`"));
        }
    }
    rules.sort_by_key(|(rule, _)| rule.loc.span.start);
    rules
}

fn read_rule(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    kind: RuleKind,
    last: Duration,
) -> Option<Rule> {
    let span = read_span(reader, keys, last);
    let expect = read_expect(reader, keys);
    let (from, until) = span?;
    let loc = reader.loc(&keys.span());
    Some(Rule {
        loc,
        kind,
        from,
        until,
        expect: expect?,
    })
}

/// Reads `from` and `until`, with `last` as the latest time. Afterwards the reader's time is the end of this
/// span.
pub(super) fn read_span(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    last: Duration,
) -> Option<(Duration, Duration)> {
    let mut take = |reader: &mut Reader<'_>, key| {
        let value = keys.take(key);
        value.and_then(|value| reader.duration(value))
    };
    let from = take(reader, "from").unwrap_or_default();
    let until = take(reader, "until").unwrap_or(last);
    reader.now = until;
    if from < until {
        return Some((from, until));
    }
    let empty = format!(
        "from {} until {} nothing is ever checked",
        show(from),
        show(until)
    );
    let span = keys.key_span("from").unwrap_or_else(|| keys.span());
    reader.error(Diagnostic::new(span, empty).label("`from` comes before `until`"));
    None
}
