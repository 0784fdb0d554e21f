//! `[random]`: the draws of a seed, written out as steps and settings of a plain scenario.
//!
//! A run has three phases. In the first, faults begin and end within a window, while applications publish and
//! call. Then everything heals. Then the cluster must be whole within a bound, and stay whole. A plan is valid
//! by construction: it knows when each node runs, and gives only orders that can be carried out.
//!
//! Each seed turns off about half of all kinds of faults, loads and settings (swarm testing: Groce and
//! others, ISSTA 2012). If every run drew a little of everything, one fault would hide another.
//!
//! `spec` holds the table, `cast` the nodes, `dice` the draws, `plan` the timeline; `faults`, `load` and
//! `settings` hold one entry per kind, and `recover` the conditions at the end.

mod cast;
mod dice;
mod faults;
mod load;
mod plan;
mod recover;
mod settings;
mod spec;
#[cfg(test)]
mod tests;

use core::ops::Range;
use core::time::Duration;

use serde::Serialize;

use self::cast::Cast;
use self::dice::Dice;
use self::faults::Fault;
use self::plan::{Plan, Step, Window};
use self::settings::Draft;
use self::spec::{Count, Spec};
use crate::scenario::{self, Diagnostic, NodeSpec, Reader, Table, Value, read_nodes};

/// The key of the table.
pub(crate) const KEY: &str = "random";
/// The percentage of kinds of each sort that a seed turns off.
const OFF_PERCENT: u64 = 50;
/// The percentage of faults that last until everything heals. Without them the cluster might have
/// recovered before, and the last phase would test nothing.
const LAST_PERCENT: u64 = 20;
/// How often a fault that finds no room is drawn again.
const TRIES: u64 = 8;

/// Replaces `[random]` by the steps and settings that the seed draws from it. Adds the mistakes of the
/// table to `errors`. Returns how many faults of each kind the seed asked for.
pub(crate) fn expand(tree: &mut Table, seed: u64, errors: &mut Vec<Diagnostic>) -> Vec<Asked> {
    let Some((_, value)) = tree.remove(KEY) else {
        return Vec::new();
    };
    let mut reader = Reader::blank(seed);
    read_nodes(&mut reader, tree);
    let spec = Spec::read(&mut reader, &value);
    spec::refuse_process_steps(&mut reader, tree.get("step"));
    let (found, specs) = reader.into_found();
    let Some(spec) = spec.filter(|_| found.is_empty()) else {
        errors.extend(found);
        stand_in(tree, &specs, &value.span);
        return Vec::new();
    };
    let mixed = spec.mixed(seed);
    draw_settings(tree, &spec, &specs, mixed);
    // Once more, with the drawn settings.
    let mut reader = Reader::blank(seed);
    read_nodes(&mut reader, tree);
    let (found, specs) = reader.into_found();
    errors.extend(found);
    let cast = Cast::new(&specs);
    let (steps, asked) = draw(&spec, &cast, mixed);
    insert(tree, &steps, &spec.span);
    asked
}

/// Replaces a plan that cannot be drawn by an expectation and the starts of late nodes. Otherwise later
/// passes would report their absence as further mistakes of the file.
fn stand_in(tree: &mut Table, specs: &[NodeSpec], span: &Range<usize>) {
    let late = specs.iter().filter(|spec| spec.starts.is_none());
    let starts = late.map(|spec| format!("start = {:?}", spec.key));
    let expects = "expect = { health = \"healthy\" }".to_owned();
    let at = Duration::ZERO;
    let steps: Vec<Step> = starts
        .chain([expects])
        .map(|text| Step { at, text })
        .collect();
    insert(tree, &steps, span);
}

/// The number of faults of a kind that a seed asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The kind.
    pub kind: &'static str,
    /// How many the seed asked for.
    pub asked: u64,
    /// How many of them found no room in the plan, and were left out.
    pub no_room: u64,
}

/// A kind of fault, load or setting that a plan may draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its key in `[random]`: `faults`, `load` or `settings`.
    pub sort: &'static str,
    /// Its name there.
    pub key: &'static str,
    /// One line for people: the effect.
    pub summary: &'static str,
}

/// Every kind, in the order of the registries.
pub fn kinds() -> impl Iterator<Item = Kind> {
    let kind = |sort| move |(key, summary)| Kind { sort, key, summary };
    let faults = faults::ALL.iter().map(|one| (one.key, one.summary));
    let load = load::ALL.iter().map(|one| (one.key, one.summary));
    let settings = settings::ALL.iter().map(|one| (one.key, one.summary));
    let faults = faults.map(kind("faults"));
    faults
        .chain(load.map(kind("load")))
        .chain(settings.map(kind("settings")))
}

/// All steps of this seed, in the order of time.
fn draw(spec: &Spec, cast: &Cast, seed: u64) -> (Vec<Step>, Vec<Asked>) {
    let mut cast = cast.clone();
    let mut late = Vec::new();
    for (index, node) in cast.nodes.iter_mut().enumerate() {
        if node.starts.is_none() {
            let mut dice = Dice::new(seed, "late start", index as u64);
            let starts = dice.time(Duration::ZERO, middle(&spec.window));
            node.starts = Some(starts);
            late.push((starts, index));
        }
    }
    let mut plan = Plan::new(&cast, spec.window);
    for (at, node) in late {
        plan.start(at, &[node]);
    }
    let asked = draw_faults(&mut plan, spec, seed);
    draw_load(&mut plan, spec, seed);
    let longest = plan.longest_outage();
    let recovery = recover::steps(spec, &cast, longest);
    let mut steps = plan.finish();
    steps.extend(recovery);
    (steps, asked)
}

fn middle(window: &Window) -> Duration {
    window.from + (window.until - window.from) / 2
}

/// The kinds that a seed turns on, each with its number. A kind with a least number above zero is always on.
fn turned_on<T>(
    spec: &Spec,
    kinds: &[Count<T>],
    sort: &str,
    key: fn(&T) -> &'static str,
    seed: u64,
) -> Vec<(&'static T, u64)> {
    let toss = |(kind, (least, most)): &Count<T>| {
        let mut dice = Dice::new(seed, &format!("how many {sort} {}", key(kind)), 0);
        if spec.swarm && *least == 0 && dice.chance(OFF_PERCENT) {
            return (*kind, 0);
        }
        let least = if spec.swarm { (*least).max(1) } else { *least };
        (*kind, dice.between(least, *most))
    };
    let mut tossed: Vec<(&'static T, u64)> = kinds.iter().map(toss).collect();
    if spec.swarm && !kinds.is_empty() && tossed.iter().all(|(_, count)| *count == 0) {
        // A seed that draws nothing tests nothing.
        let chosen = Dice::new(seed, sort, 0).below(kinds.len());
        tossed[chosen].1 = 1;
    }
    tossed.retain(|(_, count)| *count > 0);
    tossed
}

fn draw_faults(plan: &mut Plan<'_>, spec: &Spec, seed: u64) -> Vec<Asked> {
    let kinds = turned_on(spec, &spec.faults, "faults", |fault| fault.key, seed);
    let asked = kinds.into_iter().map(|(fault, count)| {
        let drawn = (0..count).filter(|index| draw_fault(plan, spec, (fault, *index), seed));
        Asked {
            kind: fault.key,
            asked: count,
            no_room: count - drawn.count() as u64,
        }
    });
    asked.collect()
}

/// False: after several tries it found no room.
fn draw_fault(plan: &mut Plan<'_>, spec: &Spec, (fault, index): (&Fault, u64), seed: u64) -> bool {
    let room = spec.window.until - spec.window.from;
    if fault.room > room || fault.nodes > plan.cast.nodes.len() {
        return false;
    }
    (0..TRIES).any(|again| {
        let mut dice = Dice::new(seed, fault.key, index * TRIES + again);
        let window = draw_window(plan, spec, &mut dice);
        let before = plan.len();
        (fault.draw)(plan, &mut dice, window) || plan.len() > before
    })
}

/// When one fault begins and ends.
fn draw_window(plan: &Plan<'_>, spec: &Spec, dice: &mut Dice) -> Window {
    let (low, high) = spec.lasts;
    let lasts = if dice.chance(spec.aimed_percent) {
        let instants = plan.cast.instants(&plan.cast.all());
        let fits = |instant: &Duration| (low..=high).contains(instant);
        let instants: Vec<Duration> = instants.into_iter().filter(fits).collect();
        if instants.is_empty() {
            dice.log_time(low, high)
        } else {
            let instant = dice.one_of(&instants);
            faults::near(dice, instant)
        }
    } else {
        dice.log_time(low, high)
    };
    if dice.chance(LAST_PERCENT) {
        let until = plan.window.until;
        let from = until.saturating_sub(lasts).max(plan.window.from);
        return Window { from, until };
    }
    // Everything heals at the end of the window: a fault must begin before that.
    let latest = plan.window.until - Duration::from_millis(2);
    let from = dice.time(plan.window.from, latest);
    let until = plan.end(from, lasts);
    Window { from, until }
}

fn draw_load(plan: &mut Plan<'_>, spec: &Spec, seed: u64) {
    for (load, count) in turned_on(spec, &spec.load, "load", |load| load.key, seed) {
        for index in 0..count {
            let mut dice = Dice::new(seed, load.key, index);
            (load.draw)(plan, &mut dice, index);
        }
    }
}

/// Writes the settings that the seed turns on into the tables of the nodes.
fn draw_settings(tree: &mut Table, spec: &Spec, specs: &[NodeSpec], seed: u64) {
    let Some(Value {
        kind: scenario::Kind::Table(nodes),
        ..
    }) = tree.get_mut("nodes")
    else {
        return;
    };
    // Nodes of a `count` have one table, and so the same settings.
    let before = |key: &str| {
        let own = specs.iter().find(|spec| spec.key == key);
        let first = format!("{key}-1");
        let own = own.or_else(|| specs.iter().find(|spec| spec.key == first));
        own.map(|spec| spec.settings.clone()).unwrap_or_default()
    };
    let mut drafts: Vec<Draft> = nodes
        .entries
        .iter()
        .map(|(key, _)| Draft::new(before(&key.text)))
        .collect();
    for family in &spec.settings {
        let mut dice = Dice::new(seed, family.key, 0);
        if !spec.swarm || dice.chance(100 - OFF_PERCENT) {
            (family.draw)(&mut dice, &mut drafts);
        }
    }
    for (draft, (_, value)) in drafts.into_iter().zip(&mut nodes.entries) {
        if let scenario::Kind::Table(table) = &mut value.kind {
            draft.write(table, &spec.span);
        }
    }
}

/// Adds steps to those of the file.
fn insert(tree: &mut Table, steps: &[Step], span: &Range<usize>) {
    let made = steps.iter().map(|step| {
        let at = plan::quoted(step.at);
        let optional = if step.text.starts_with("expect") {
            ""
        } else {
            "optional = true\n"
        };
        format!("[[step]]\nat = {at}\n{optional}{}\n", step.text)
    });
    let text: String = made.collect();
    let made = Table::fragment(&text, span).expect("steps that a plan has made");
    let Some(Value {
        kind: scenario::Kind::List(made),
        ..
    }) = made.get("step").cloned()
    else {
        return;
    };
    if let Some(Value {
        kind: scenario::Kind::List(own),
        ..
    }) = tree.get_mut("step")
    {
        // Those of the file may still have ranges for times, so they are sorted later.
        own.extend(made);
        return;
    }
    let kind = scenario::Kind::List(made);
    let span = span.clone();
    tree.set("step", Value { span, kind });
}
