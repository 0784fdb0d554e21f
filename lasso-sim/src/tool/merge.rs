//! `merge PART…`: adds up the shards of a sweep, and judges their total coverage.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::Verdict;
use super::part::Saved;
use super::report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The files that the shards of one sweep have written with `--part`, all of them
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    /// Writes the table of coverage to this file, as JSON
    #[arg(long)]
    coverage: Option<PathBuf>,
    /// Fails if something required was never reached
    #[arg(long)]
    require_coverage: bool,
}

/// Adds up the parts of one sweep.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let all = match sum(&arguments.parts) {
        Ok(all) => all,
        Err(problem) => {
            writeln!(out, "error: {problem}")?;
            return Ok(Verdict::Bad);
        }
    };
    let mut unreached = false;
    for group in all.groups.iter().filter(|group| !group.goals.is_empty()) {
        writeln!(out, "{} {} {} seeds", group.file, group.world, group.runs)?;
        for goal in &group.goals {
            report::goal(goal, group.runs, true, out)?;
        }
        unreached |= group.unreached().next().is_some();
    }
    if let Some(path) = &arguments.coverage {
        fs::write(path, serde_json::to_vec_pretty(&all.coverage.rows())?)?;
    }
    write!(out, "{}", all.coverage)?;
    writeln!(out, "{}", all.total)?;
    let uncovered = arguments.require_coverage && !all.coverage.missing().is_empty();
    Ok(match all.total.verdict() {
        Verdict::Held if unreached || uncovered => Verdict::Failed,
        verdict => verdict,
    })
}

/// The sum of all shards of one sweep, each of them once.
fn sum(paths: &[PathBuf]) -> Result<Saved, String> {
    let parts = paths.iter().map(|path| Saved::read(path));
    let mut parts = parts.collect::<Result<Vec<Saved>, String>>()?;
    parts.sort_by_key(|part| part.shard);
    if let Some((index, _)) = parts.iter().enumerate().find(|(_, part)| part.interrupted) {
        return Err(format!(
            "{} was interrupted: run that shard again",
            show(&parts[index])
        ));
    }
    let of = parts.first().map_or(0, |part| part.shard.1);
    let numbers: Vec<u64> = parts.iter().map(|part| part.shard.0).collect();
    let wanted = 1..=of;
    if !numbers.iter().copied().eq(wanted) {
        let shown: Vec<String> = numbers.iter().map(u64::to_string).collect();
        return Err(format!(
            "a sweep of {of} shards needs each of them once; these are {}",
            shown.join(", ")
        ));
    }
    let mut parts = parts.into_iter();
    let mut all = parts.next().expect("clap demands one");
    for part in parts {
        all.add(&part)?;
    }
    Ok(all)
}

fn show(part: &Saved) -> String {
    format!("shard {}/{}", part.shard.0, part.shard.1)
}
