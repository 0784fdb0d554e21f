//! `sweep FILE…`: runs scenarios with many seeds, and reports totals: failures, and coverage that no run
//! reached.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::Verdict;
use super::part::{Group, Saved};
use super::report;
use super::runs::{Part, Runs, seeds, threads};
use crate::runner::{self, Outcome};
use crate::sweep::{AskedSum, OrderSum, Summary};
use crate::work::in_order;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The seeds, from the first to the last, both included: `1..1000`
    #[arg(long, value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    /// The world, or `all` of them
    #[arg(long, default_value = "all", value_parser = ["direct", "turmoil", "all"])]
    world: String,
    /// The number of runs at a time; by default the number of processors
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Only one of several equal parts of the seeds: `2/5`. `merge` judges the coverage of all parts
    #[arg(long, value_parser = Part::read, default_value = "1/1")]
    shard: Part,
    /// For people, or one JSON object per file and world and one for all
    #[arg(long, default_value = "human", value_parser = ["human", "json"])]
    format: String,
    /// Writes the results of this shard to a file for `merge`, as JSON
    #[arg(long)]
    part: Option<PathBuf>,
    /// Writes the table of coverage to this file, as JSON
    #[arg(long)]
    coverage: Option<PathBuf>,
    /// Fails if something required was never reached
    #[arg(long)]
    require_coverage: bool,
}

/// All runs of all files.
struct Sweep {
    saved: Saved,
    /// A shard alone need not reach the goals of a sweep.
    is_shard: bool,
    /// How many faults `[random]` was asked for, by kind.
    asked: BTreeMap<&'static str, AskedSum>,
    /// The orders, by verb: how often given, how often in effect, and at how many places never in effect.
    orders: BTreeMap<&'static str, report::Verb>,
    /// Places whose orders never took effect.
    idle: Vec<OrderSum>,
    /// A goal of the sweep was not reached.
    unreached: bool,
}

/// Runs every file with every seed in every world.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let (paths, seeds) = (&arguments.paths, arguments.seeds.clone());
    let Some(runs) = Runs::read(paths, &arguments.world, seeds, arguments.shard, out)? else {
        return Ok(Verdict::Bad);
    };
    if arguments.shard.is_shard() && arguments.require_coverage {
        let why = "error: a shard alone cannot reach everything: use `--part FILE`, then `merge \
                   --require-coverage`";
        writeln!(out, "{why}")?;
        return Ok(Verdict::Bad);
    }
    let stop = stop_at_interrupt();
    let human = arguments.format == "human";
    let (bar, began) = (progress(runs.count()), Instant::now());
    let mut sweep = Sweep::new(
        Saved::new(&arguments.seeds, arguments.shard),
        arguments.shard,
    );
    let mut group = Summary::default();
    let one = |index| runs.run(index, false);
    in_order(
        runs.count(),
        threads(arguments.jobs),
        &stop,
        one,
        |outcome: Outcome| -> io::Result<()> {
            sweep.saved.total.add(outcome.verdict);
            if outcome.verdict != runner::Verdict::Refused {
                sweep.saved.coverage.add(&outcome.reached);
            }
            group.add(&outcome);
            bar.inc(1);
            if group.runs() + group.refused < runs.per_group() as u64 {
                return Ok(());
            }
            let whole = core::mem::take(&mut group);
            bar.suspend(|| sweep.end_group(&whole, human, true, out))
        },
    )?;
    bar.finish_and_clear();
    let ended = sweep.saved.total.held + sweep.saved.total.failed + sweep.saved.total.refused;
    let interrupted = ended < runs.count() as u64;
    if group.runs() + group.refused > 0 {
        sweep.end_group(&group, human, false, out)?;
    }
    if let Some(path) = &arguments.coverage {
        fs::write(
            path,
            serde_json::to_vec_pretty(&sweep.saved.coverage.rows())?,
        )?;
    }
    if let Some(path) = &arguments.part {
        sweep.saved.interrupted = interrupted;
        sweep.saved.write(path)?;
    }
    sweep.end(human, interrupted, out)?;
    // Speed differs between runs of the tool, so it goes to standard error: the report must not differ.
    let seconds = began.elapsed().as_secs_f64();
    let ran = sweep.saved.total.held + sweep.saved.total.failed;
    let _ = writeln!(
        io::stderr(),
        "{ran} runs in {seconds:.1} s: {:.1} a second",
        ran as f64 / seconds.max(0.001)
    );
    Ok(sweep.verdict(arguments.require_coverage, interrupted))
}

impl Sweep {
    fn new(saved: Saved, part: Part) -> Self {
        Sweep {
            saved,
            is_shard: part.is_shard(),
            asked: BTreeMap::new(),
            orders: BTreeMap::new(),
            idle: Vec::new(),
            unreached: false,
        }
    }

    /// Ends the group of one file in one world. Only a `whole` group, in which no run is missing, must reach the goals
    /// of its file.
    fn end_group(
        &mut self,
        group: &Summary,
        human: bool,
        whole: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let whole = whole && !self.is_shard;
        self.unreached |= whole && !group.unreached().is_empty();
        self.saved.groups.push(Group::of(group));
        for (kind, sum) in &group.asked {
            self.asked.entry(kind).or_default().add(sum);
        }
        for order in group.orders.iter() {
            self.orders.entry(order.verb).or_default().add(order);
            if order.took_effect == 0 {
                self.idle.push(order.clone());
            }
        }
        if human {
            report::group(group, whole, out)
        } else {
            serde_json::to_writer(&mut *out, group)?;
            writeln!(out)
        }
    }

    fn end(&self, human: bool, interrupted: bool, out: &mut dyn Write) -> io::Result<()> {
        if !human {
            let all = json!({
                "total": self.saved.total,
                "orders": self.orders,
                "asked": self.asked,
                "coverage": self.saved.coverage.rows(),
                "interrupted": interrupted,
            });
            return writeln!(out, "{all}");
        }
        report::verbs(&self.orders, &self.idle, out)?;
        report::asked(&self.asked, out)?;
        write!(out, "{}", self.saved.coverage)?;
        if interrupted {
            writeln!(out, "interrupted: what follows is about the runs so far")?;
        }
        writeln!(out, "{}", self.saved.total)
    }

    fn verdict(&self, require_coverage: bool, interrupted: bool) -> Verdict {
        let uncovered = require_coverage && !self.saved.coverage.missing().is_empty();
        match self.saved.total.verdict() {
            Verdict::Held if self.unreached => Verdict::Failed,
            Verdict::Held | Verdict::Bad if interrupted => Verdict::Interrupted,
            Verdict::Held if uncovered => Verdict::Failed,
            verdict => verdict,
        }
    }
}

/// Set at the first interrupt from the keyboard; the second one ends the process at once.
fn stop_at_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        // Without a runtime an interrupt ends the process, as it does without this.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            set.store(true, Ordering::Relaxed);
            let told = "stops once the runs under way have ended; once more to stop at once";
            let _ = writeln!(io::stderr(), "{told}");
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(i32::from(Verdict::Interrupted.code()));
            }
        });
    });
    stop
}

fn progress(runs: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(runs as u64), ProgressDrawTarget::stderr());
    let style = "{wide_bar} {human_pos} of {human_len} runs, {per_sec}, {eta} left";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
