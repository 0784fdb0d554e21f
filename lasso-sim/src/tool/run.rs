//! `run FILE…`: runs scenarios, and reports whether each one held.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::Verdict;
use super::runs::{Part, Runs, Total, seeds, threads};
use crate::runner::{self, Outcome};
use crate::work::in_order;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The seed
    #[arg(long, default_value_t = 1, conflicts_with = "seeds")]
    seed: u64,
    /// Many seeds, from the first to the last, both included: `1..100`
    #[arg(long, value_parser = seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// The world, or `all` of them
    #[arg(long, default_value = "all", value_parser = ["direct", "turmoil", "all"])]
    world: String,
    /// For people, or one JSON object per run
    #[arg(long, default_value = "human", value_parser = ["human", "json"])]
    format: String,
    /// Writes the whole trace to this file; with several runs, one after another
    #[arg(long)]
    trace: Option<PathBuf>,
    /// The number of runs at a time; by default the number of processors
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

/// The number of failed runs of one file in one world that are reported in full; each other failure gets a
/// line.
const IN_FULL: usize = 3;

/// Runs every file with every seed in every world.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let seeds = arguments
        .seeds
        .clone()
        .unwrap_or(arguments.seed..=arguments.seed);
    let Some(runs) = Runs::read(&arguments.paths, &arguments.world, seeds, Part::ALL, out)? else {
        return Ok(Verdict::Bad);
    };
    let human = arguments.format == "human";
    let mut total = Total::default();
    let mut trace = arguments.trace.as_ref().map(fs::File::create).transpose()?;
    let keep_trace = trace.is_some();
    let mut so_far = Summary::default();
    let one = |index| runs.run(index, keep_trace);
    let (threads, stop) = (threads(arguments.jobs), AtomicBool::new(false));
    in_order(
        runs.count(),
        threads,
        &stop,
        one,
        |outcome| -> io::Result<()> {
            total.add(outcome.verdict);
            if let Some(file) = &mut trace {
                file.write_all(outcome.trace.as_deref().unwrap_or_default().as_bytes())?;
            }
            if !human {
                serde_json::to_writer(&mut *out, &outcome)?;
                return writeln!(out);
            }
            so_far.add(outcome, out)?;
            if so_far.runs == runs.per_group() {
                core::mem::take(&mut so_far).show(out)
            } else {
                Ok(())
            }
        },
    )?;
    if human {
        writeln!(out, "{total}")?;
    }
    Ok(total.verdict())
}

/// The runs of one file in one world.
#[derive(Default)]
struct Summary {
    runs: usize,
    failed: usize,
    last: Option<Outcome>,
    simulated_ms: u64,
    hashes: Sha256,
}

impl Summary {
    fn add(&mut self, outcome: Outcome, out: &mut dyn Write) -> io::Result<()> {
        self.runs += 1;
        self.simulated_ms += outcome.simulated_ms;
        self.hashes.update(outcome.trace_hash.as_bytes());
        if outcome.verdict == runner::Verdict::Failed {
            self.failed += 1;
            let (file, world, seed) = (&outcome.file, &outcome.world, outcome.seed);
            write!(out, "FAILED   {file} {world} seed {seed}: ")?;
            match outcome.failures.first() {
                Some(first) if self.failed > IN_FULL => {
                    writeln!(out, "{}: {}", first.place, first.expected)?;
                }
                _ => write!(out, "{}\n{}", outcome.title, outcome.report())?,
            }
        }
        self.last = Some(outcome);
        Ok(())
    }

    fn show(self, out: &mut dyn Write) -> io::Result<()> {
        let Some(last) = self.last else { return Ok(()) };
        let (file, world) = (&last.file, &last.world);
        if let Some(reason) = &last.reason {
            return writeln!(out, "refused  {file} {world}: {reason}");
        }
        let word = if self.failed == 0 { "held  " } else { "FAILED" };
        let simulated = self.simulated_ms / 1_000;
        if self.runs == 1 {
            let hash = &last.trace_hash;
            let seed = last.seed;
            return writeln!(
                out,
                "{word}   {file} {world} seed {seed}  {simulated} s  trace {hash}"
            );
        }
        let held = self.runs - self.failed;
        let mut hash = String::new();
        for byte in self.hashes.finalize() {
            hash.push_str(&format!("{byte:02x}"));
        }
        let runs = self.runs;
        writeln!(
            out,
            "{word}   {file} {world} {held} of {runs} seeds  {simulated} s  traces {hash}"
        )
    }
}
