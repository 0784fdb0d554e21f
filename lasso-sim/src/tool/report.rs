//! The report of a sweep, for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::sweep::{AskedSum, GoalSum, Kind, OrderSum, SEEDS_SHOWN, Summary};

/// The number of kinds of failures of one file in one world that are reported in full; each other kind gets a
/// line.
const IN_FULL: usize = 3;
/// The number of places without any effect that are named.
const IDLE_SHOWN: usize = 20;

/// The effects of one verb, in all files and worlds.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verb {
    /// How often it was ordered.
    ordered: u64,
    /// Of these, how many took effect.
    took_effect: u64,
    /// The number of places, counted for each world.
    places: u64,
    /// The number of places at which it never took effect.
    never: u64,
}

impl Verb {
    pub(super) fn add(&mut self, order: &OrderSum) {
        self.ordered += order.ordered;
        self.took_effect += order.took_effect;
        self.places += 1;
        self.never += u64::from(order.took_effect == 0);
    }
}

/// All runs of one file in one world. `whole`: all requested runs ran.
pub(super) fn group(group: &Summary, whole: bool, out: &mut dyn Write) -> io::Result<()> {
    let (file, world) = (&group.file, &group.world);
    if let (Some(reason), 0) = (&group.reason, group.runs()) {
        return writeln!(out, "refused  {file} {world}: {reason}");
    }
    let unreached = group.unreached();
    let word = match group.failed == 0 && (unreached.is_empty() || !whole) {
        true => "held  ",
        false => "FAILED",
    };
    let simulated = group.simulated_ms / 1_000;
    let (held, runs) = (group.held, group.runs());
    let about = if group.traces.is_exact() {
        ""
    } else {
        "about "
    };
    let (traces, memberships) = (group.traces.count(), group.memberships.count());
    writeln!(
        out,
        "{word}   {file} {world} {held} of {runs} seeds  {simulated} s  \
         {about}{traces} different runs, {memberships} of membership"
    )?;
    for goal in group.goals.iter() {
        self::goal(goal, runs, whole, out)?;
    }
    for look in group.looks.iter().filter(|look| look.times == 0) {
        let (place, what, check) = (&look.place, look.what, &look.check);
        writeln!(out, "  {place}: `{check}` of {what} was never looked at")?;
    }
    failures(group, out)
}

/// A goal that at least one of these runs must reach. Only `whole` sweeps are judged.
pub(super) fn goal(goal: &GoalSum, runs: u64, whole: bool, out: &mut dyn Write) -> io::Result<()> {
    let (place, title) = (&goal.place, &goal.title);
    match goal.first_seed {
        Some(seed) => writeln!(
            out,
            "  {place}: {title}: in {} runs, first with seed {seed}",
            goal.runs
        ),
        None if whole && goal.is_unreached(runs) => {
            writeln!(out, "  {place}: {title}: NOT REACHED by any of {runs} runs")
        }
        None => writeln!(out, "  {place}: {title}: in none so far"),
    }
}

fn failures(group: &Summary, out: &mut dyn Write) -> io::Result<()> {
    for (index, kind) in group.failures.iter().enumerate() {
        let word = if kind.runs == 1 { "run" } else { "runs" };
        writeln!(
            out,
            "  {} {word} ({}): {}",
            kind.runs,
            shown_seeds(kind),
            kind.what
        )?;
        if index < IN_FULL {
            write!(out, "{}", kind.report)?;
        } else {
            writeln!(out, "    replay:   {}", kind.replay)?;
        }
    }
    match group.failures.others() {
        0 => Ok(()),
        others => writeln!(out, "  {others} runs failed in other ways"),
    }
}

fn shown_seeds(kind: &Kind) -> String {
    let seeds: Vec<String> = kind.seeds.iter().map(u64::to_string).collect();
    let word = if kind.runs == 1 { "seed" } else { "seeds" };
    let more = if kind.runs > SEEDS_SHOWN as u64 {
        ", …"
    } else {
        ""
    };
    format!("{word} {}{more}", seeds.join(", "))
}

/// How often orders took effect, by verb, and the places at which they never did.
pub(super) fn verbs(
    verbs: &BTreeMap<&'static str, Verb>,
    idle: &[OrderSum],
    out: &mut dyn Write,
) -> io::Result<()> {
    if !verbs.is_empty() {
        writeln!(
            out,
            "{:<14}  {:>10}  {:>11}  {:>8}  {:>14}",
            "what happened", "ordered", "took effect", "places", "never at these"
        )?;
    }
    for (verb, all) in verbs {
        writeln!(
            out,
            "  {verb:<12}  {:>10}  {:>11}  {:>8}  {:>14}",
            all.ordered, all.took_effect, all.places, all.never
        )?;
    }
    for order in idle.iter().take(IDLE_SHOWN) {
        writeln!(out, "  {}: `{}` never took effect", order.place, order.verb)?;
    }
    match idle.len().saturating_sub(IDLE_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

/// How many faults `[random]` was to draw, by kind, and how many found no room.
pub(super) fn asked(
    kinds: &BTreeMap<&'static str, AskedSum>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !kinds.is_empty() {
        writeln!(
            out,
            "{:<14}  {:>10}  {:>11}",
            "drawn faults", "asked", "no room"
        )?;
    }
    for (kind, sum) in kinds {
        writeln!(out, "  {kind:<12}  {:>10}  {:>11}", sum.asked, sum.no_room)?;
    }
    Ok(())
}
