//! `run FILE…`: runs scenarios, and says of each whether it held.

use core::fmt;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use sha2::{Digest, Sha256};

use super::{Verdict, files};
use crate::runner::{self, Outcome};
use crate::scenario::Template;
use crate::world::WorldKind;

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
    /// Where
    #[arg(long, default_value = "all", value_parser = ["direct", "turmoil", "all"])]
    world: String,
    /// For people, or one JSON object per run
    #[arg(long, default_value = "human", value_parser = ["human", "json"])]
    format: String,
    /// Writes the whole trace to this file; with several runs, one after another
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Runs at a time; as many as there are processors unless it is said
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds such as `1..100`");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let last = last.strip_prefix('=').unwrap_or(last);
    let range = first.parse().map_err(|_| wrong())?..=last.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        Err(format!("`{text}` holds no seed"))
    } else {
        Ok(range)
    }
}

/// Failed runs of one file in one world that are reported in full; a line each says which others failed.
const IN_FULL: usize = 3;

/// All runs of one file in one world.
struct Group {
    template: usize,
    world: WorldKind,
}

/// Runs every file with every seed in every world.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let Some(templates) = read_all(&arguments.paths, out)? else {
        return Ok(Verdict::Bad);
    };
    let seeds = arguments
        .seeds
        .clone()
        .unwrap_or(arguments.seed..=arguments.seed);
    let groups = groups(&templates, &arguments.world);
    let jobs: Vec<(usize, u64)> = (0..groups.len())
        .flat_map(|group| seeds.clone().map(move |seed| (group, seed)))
        .collect();
    let human = arguments.format == "human";
    let mut total = Total::default();
    let mut trace = arguments.trace.as_ref().map(fs::File::create).transpose()?;
    let threads = arguments
        .jobs
        .or_else(|| thread::available_parallelism().ok());
    let threads = threads.map_or(1, NonZeroUsize::get);
    let mut so_far = Summary::default();
    let one = |(group, seed): (usize, u64)| {
        let group: &Group = &groups[group];
        runner::run_file(
            &templates[group.template],
            group.world,
            seed,
            arguments.trace.is_some(),
        )
    };
    let count = seeds.clone().count();
    in_order(&jobs, threads, one, |outcome| {
        total.add(outcome.verdict);
        if let Some(file) = &mut trace {
            file.write_all(outcome.trace.as_deref().unwrap_or_default().as_bytes())?;
        }
        if !human {
            serde_json::to_writer(&mut *out, &outcome)?;
            return writeln!(out);
        }
        so_far.add(outcome, out)?;
        if so_far.runs == count {
            core::mem::take(&mut so_far).show(out)
        } else {
            Ok(())
        }
    })?;
    if human {
        writeln!(out, "{total}")?;
    }
    Ok(total.verdict())
}

/// How all runs went.
#[derive(Default)]
struct Total {
    held: usize,
    failed: usize,
    refused: usize,
}

impl Total {
    fn add(&mut self, verdict: runner::Verdict) {
        match verdict {
            runner::Verdict::Held => self.held += 1,
            runner::Verdict::Failed => self.failed += 1,
            runner::Verdict::Refused => self.refused += 1,
        }
    }

    fn verdict(&self) -> Verdict {
        match (self.held, self.failed) {
            // Whoever asked for a run that no world could give asked for the wrong thing.
            (0, 0) => Verdict::Bad,
            (_, 0) => Verdict::Held,
            (_, _) => Verdict::Failed,
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, failed, refused) = (self.held, self.failed, self.refused);
        let runs = held + failed;
        let word = if runs == 1 { "run" } else { "runs" };
        write!(f, "{runs} {word}: {held} held, {failed} failed")?;
        if refused > 0 {
            write!(f, "; {refused} refused")?;
        }
        Ok(())
    }
}

fn read_all(paths: &[PathBuf], out: &mut dyn Write) -> io::Result<Option<Vec<Template>>> {
    let (mut templates, mut good) = (Vec::new(), true);
    for path in paths {
        let found = match files::beneath(path) {
            Ok(found) => found,
            Err(error) => {
                writeln!(out, "error: {}: {error}", path.display())?;
                good = false;
                continue;
            }
        };
        for file in found {
            match files::read(&file, out)? {
                Some(template) => templates.push(template),
                None => good = false,
            }
        }
    }
    if good && templates.is_empty() {
        writeln!(out, "error: no scenario there")?;
        good = false;
    }
    Ok(good.then_some(templates))
}

/// One world where one was asked for; else every simulated one that the file is for.
fn groups(templates: &[Template], world: &str) -> Vec<Group> {
    let simulated = [WorldKind::Direct, WorldKind::Turmoil];
    let mut groups = Vec::new();
    for (index, template) in templates.iter().enumerate() {
        for kind in simulated {
            let wanted = if world == "all" {
                template.sample().worlds.contains(&kind)
            } else {
                kind.name() == world
            };
            if wanted {
                groups.push(Group {
                    template: index,
                    world: kind,
                });
            }
        }
    }
    groups
}

/// Does the jobs on several threads, and takes what they bring in the order of the jobs.
fn in_order<J: Copy + Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(J) -> R + Sync,
    mut take: impl FnMut(R) -> io::Result<()>,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                let sender = sender.lock().map(|sender| sender.clone());
                let Ok(sender) = sender else { return };
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { return };
                    if sender.send((index, work(*job))).is_err() {
                        return;
                    }
                }
            });
        }
        let mut early = std::collections::BTreeMap::new();
        let mut wanted = 0;
        while wanted < jobs.len() {
            let Ok((index, result)) = receiver.recv() else {
                break;
            };
            early.insert(index, result);
            while let Some(result) = early.remove(&wanted) {
                if let Err(error) = take(result) {
                    // Nobody reads any more: the threads need not go on.
                    next.store(jobs.len(), Ordering::Relaxed);
                    return Err(error);
                }
                wanted += 1;
            }
        }
        Ok(())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_holds_both_its_ends() {
        assert_eq!(seeds("1..100").unwrap().count(), 100);
        assert_eq!(seeds("7..7").unwrap().count(), 1);
        assert!(seeds("7..6").is_err());
        assert!(seeds("7").is_err());
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..200).collect();
        let mut seen = Vec::new();
        in_order(
            &jobs,
            4,
            |job| job * 2,
            |result| {
                seen.push(result);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
    }
}
