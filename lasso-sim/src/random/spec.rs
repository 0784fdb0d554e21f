//! The specification in `[random]` of what may be drawn.

use core::ops::Range;
use core::time::Duration;

use super::cast::Player;
use super::dice;
use super::faults::{self, Fault};
use super::load::{self, Load};
use super::plan::Window;
use super::settings::{self, Family};
use crate::scenario::{Diagnostic, Kind, Reader, Value, show_duration};

/// Most faults or loads of one kind.
const COUNT_MAX: u64 = 1_000;
/// The default of `quiet`: how long the cluster has to stay whole.
const QUIET: Duration = Duration::from_secs(60);
/// The default of `aimed`: the percentage of faults that last until some machine is about to act.
const AIMED_PERCENT: i64 = 25;

/// A kind with its least and its greatest number.
pub(crate) type Count<T> = (&'static T, (u64, u64));

/// The conditions after the last fault.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// The bound; `None`: the bound that the settings promise.
    pub(crate) within: Option<Duration>,
    /// These nodes are one cluster; `None`: all.
    pub(crate) on: Option<Vec<Player>>,
    /// How long they must stay whole.
    pub(crate) quiet: Duration,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// The place of the table.
    pub(crate) span: Range<usize>,
    /// The window in which faults begin and end.
    pub(crate) window: Window,
    /// How long a fault lasts.
    pub(crate) lasts: (Duration, Duration),
    /// The percentage of faults that last until some machine is about to act.
    pub(crate) aimed_percent: u64,
    /// Each seed turns off about half of all kinds.
    pub(crate) swarm: bool,
    pub(crate) faults: Vec<Count<Fault>>,
    pub(crate) load: Vec<Count<Load>>,
    pub(crate) settings: Vec<&'static Family>,
    pub(crate) whole: Whole,
}

impl Spec {
    /// Reads the table; `None` when there is a mistake, which was reported to the reader.
    pub(crate) fn read(reader: &mut Reader<'_>, value: &Value) -> Option<Spec> {
        let errors = reader.error_count();
        let wanted = "a table: `[random]`";
        let mut keys = reader.fields(value, wanted)?;
        let faults = read_counts(reader, keys.take("faults"), "faults", faults::ALL, |f| {
            f.key
        });
        let load = read_counts(reader, keys.take("load"), "load", load::ALL, |l| l.key);
        let settings = read_settings(reader, keys.take("settings"));
        let window = keys.need(reader, "between");
        let window = window.and_then(|value| read_window(reader, value));
        let lasts = keys.take("lasts").map_or(
            Some((Duration::from_secs(1), Duration::from_secs(90))),
            |value| read_lasts(reader, value),
        );
        let aimed = keys.take("aimed");
        let aimed = aimed.map_or(Some(AIMED_PERCENT), |v| reader.integer(v, 0, 100));
        let swarm = keys.take("swarm");
        let swarm = swarm.map_or(Some(true), |value| reader.flag(value));
        let whole = read_whole(reader, keys.take("whole"));
        let span = keys.span();
        if keys.take("faults").is_none() && keys.take("load").is_none() && !keys.has_unknown() {
            let nothing = Diagnostic::new(span.clone(), "`[random]` draws nothing");
            reader.error(nothing.label("needs `faults`, `load`, or both"));
        }
        keys.finish(reader, "`[random]`");
        if let (Some(window), Some(value)) = (window, keys_of(value, "faults")) {
            refuse_short(reader, value, &faults, window);
        }
        if reader.error_count() > errors {
            return None;
        }
        Some(Spec {
            span,
            window: window?,
            lasts: lasts?,
            aimed_percent: aimed? as u64,
            swarm: swarm?,
            faults,
            load,
            settings,
            whole,
        })
    }
}

impl Spec {
    /// The seed of a plan. It depends on the times of the table, so that files with other times draw
    /// other plans from the same seed. It does not depend on the kinds, so that adding a kind to a
    /// file leaves the draws of the others alone.
    pub(crate) fn mixed(&self, seed: u64) -> u64 {
        let (shortest, longest) = self.lasts;
        seed ^ dice::hash_times(&[self.window.from, self.window.until, shortest, longest])
    }
}

fn keys_of<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match &value.kind {
        Kind::Table(table) => table.get(key),
        _ => None,
    }
}

/// `"0..3"`, `3`, or for all kinds that are not named `all = "0..2"`.
fn read_counts<T: 'static>(
    reader: &mut Reader<'_>,
    value: Option<&Value>,
    what: &str,
    known: &'static [T],
    key: fn(&T) -> &'static str,
) -> Vec<Count<T>> {
    let Some(value) = value else {
        return Vec::new();
    };
    let form = format!("a table such as `{{ {} = \"0..3\" }}`", key(&known[0]));
    let Some(mut keys) = reader.fields(value, &form) else {
        return Vec::new();
    };
    let others = keys.take("all");
    let others = others.and_then(|value| read_count(reader, value));
    let mut found = Vec::new();
    for kind in known {
        let count = match keys.take(key(kind)) {
            Some(value) => read_count(reader, value),
            None => others,
        };
        found.extend(count.map(|count| (kind, count)));
    }
    keys.finish(reader, &format!("`{what}`"));
    found.retain(|(_, (_, most))| *most > 0);
    found
}

fn read_count(reader: &mut Reader<'_>, value: &Value) -> Option<(u64, u64)> {
    let read = match &value.kind {
        Kind::Integer(number) => u64::try_from(*number).ok().map(|number| (number, number)),
        Kind::Text(text) => text
            .split_once("..")
            .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?))),
        _ => None,
    };
    let sensible = read.filter(|(low, high)| low <= high && *high <= COUNT_MAX);
    sensible.or_else(|| {
        let wanted = format!("how many, such as `\"0..3\"` or `2`, at most {COUNT_MAX}");
        reader.wrong(value, &wanted)
    })
}

/// `"all"`, or the names of families.
fn read_settings(reader: &mut Reader<'_>, value: Option<&Value>) -> Vec<&'static Family> {
    let Some(value) = value else {
        return Vec::new();
    };
    let usual = || settings::ALL.iter().filter(|family| family.usual).collect();
    if matches!(&value.kind, Kind::Text(text) if text == "all") {
        return usual();
    }
    let choices: Vec<(&str, usize)> = settings::ALL
        .iter()
        .enumerate()
        .map(|(index, family)| (family.key, index))
        .chain([("all", settings::ALL.len())])
        .collect();
    let mut found: Vec<&'static Family> = Vec::new();
    for item in reader.items(value) {
        match reader.choice(item, &choices) {
            Some(index) if index < settings::ALL.len() => found.push(&settings::ALL[index]),
            Some(_) => found.extend::<Vec<_>>(usual()),
            None => {}
        }
    }
    found.sort_by_key(|family| family.key);
    found.dedup_by_key(|family| family.key);
    found
}

/// `["30s", "10m"]`.
fn read_window(reader: &mut Reader<'_>, value: &Value) -> Option<Window> {
    let Kind::List(items) = &value.kind else {
        return reader.wrong(value, "two times such as `[\"30s\", \"10m\"]`");
    };
    let [from, until] = items.as_slice() else {
        let message = format!("two times are wanted here, and these are {}", items.len());
        reader.error(Diagnostic::new(value.span.clone(), message).label("first and last"));
        return None;
    };
    let (from, until) = (reader.duration(from), reader.duration(until));
    let (from, until) = (from?, until?);
    if until < from + Duration::from_secs(1) {
        let message = "faults need at least a second between these times";
        reader.error(Diagnostic::new(value.span.clone(), message).label("first and last"));
        return None;
    }
    Some(Window { from, until })
}

/// `"1s..90s"`.
fn read_lasts(reader: &mut Reader<'_>, value: &Value) -> Option<(Duration, Duration)> {
    let (low, high) = reader.duration_range(value)?;
    if low.is_zero() {
        let none = Diagnostic::new(value.span.clone(), "a fault of no duration is none");
        reader.error(none.label("begins at `1ms` or later"));
        return None;
    }
    Some((low, high))
}

/// `{ within = "45s", on = ["a", "b"], quiet = "1m" }`.
fn read_whole(reader: &mut Reader<'_>, value: Option<&Value>) -> Whole {
    let mut whole = Whole {
        within: None,
        on: None,
        quiet: QUIET,
    };
    let Some(value) = value else {
        return whole;
    };
    let Some(mut keys) = reader.fields(value, "a table such as `{ within = \"45s\" }`") else {
        return whole;
    };
    let within = keys.take("within");
    whole.within = within.and_then(|value| reader.duration(value));
    if let Some(quiet) = keys.take("quiet").and_then(|value| reader.duration(value)) {
        whole.quiet = quiet;
    }
    let on = keys.take("on").and_then(|value| reader.nodes(value));
    whole.on = on.map(|nodes| nodes.into_iter().map(|node| node.index()).collect());
    keys.finish(reader, "`whole`");
    whole
}

/// Reports faults for which there are too few nodes, or too little time.
fn refuse_short(reader: &mut Reader<'_>, value: &Value, faults: &[Count<Fault>], window: Window) {
    let (nodes, room) = (reader.nodes.len(), window.until - window.from);
    for (fault, _) in faults {
        // Kinds that only `all` includes are left out if they do not fit; this is no mistake of the file.
        let Some(named) = keys_of(value, fault.key) else {
            continue;
        };
        let problem = if fault.nodes > nodes {
            format!("`{}` needs {} nodes", fault.key, fault.nodes)
        } else if fault.room > room {
            let needed = show_duration(fault.room);
            format!(
                "`{}` needs {needed} `between` the first and the last fault",
                fault.key
            )
        } else {
            continue;
        };
        let short = Diagnostic::new(named.span.clone(), problem);
        reader.error(short.label(format!(
            "here there are {nodes} and {}",
            show_duration(room)
        )));
    }
}

/// Reports steps of the file that start, stop or freeze nodes, which only the plan may do.
pub(crate) fn refuse_process_steps(reader: &mut Reader<'_>, steps: Option<&Value>) {
    const ORDERS: [&str; 7] = [
        "start", "stop", "crash", "vanish", "restart", "pause", "resume",
    ];
    let Some(Value {
        kind: Kind::List(steps),
        ..
    }) = steps
    else {
        return;
    };
    for step in steps {
        let Kind::Table(table) = &step.kind else {
            continue;
        };
        for (key, _) in &table.entries {
            if ORDERS.contains(&key.text.as_str()) {
                let both = format!("`{}` beside `[random]`, which decides who runs", key.text);
                let both = Diagnostic::new(key.span.clone(), both);
                reader.error(both.label("take the step away, or leave it to `faults`"));
            }
        }
    }
}
