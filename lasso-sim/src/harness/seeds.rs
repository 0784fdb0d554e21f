//! Runs a test with each of its seeds.

use core::ops::RangeInclusive;
use core::sync::atomic::AtomicBool;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::builder::Harness;
use super::environment::Environment;
use super::leaks;
use super::node::Node;
use super::report::{Failed, Report, Seeds};
use super::visit::{Visit, states};
use crate::direct::Options;
use crate::runner::{self, Outcome, Verdict};
use crate::scenario::{Scenario, Template};
use crate::sweep::Distinct;
use crate::turmoil_world::site::{Begin, Site};
use crate::turmoil_world::{TurmoilWorld, panics};
use crate::work::{Threads, in_order};
use crate::world::WorldKind;

/// The world that runs a user's application.
const WORLD: WorldKind = WorldKind::Turmoil;

/// Most seeds of one test: more would run for years.
const SEEDS_MAX: u64 = 1_000_000_000;

/// One run.
struct Ran {
    outcome: Outcome,
    /// Nodes that had tasks of `tokio::spawn`, and the number of tasks.
    loose: Vec<(String, usize)>,
}

/// Runs the test, as [`Harness::check`] describes.
pub(super) fn run<S: Send + Sync + 'static>(
    harness: &Harness<S>,
    environment: &Environment,
) -> Result<Report, Failed> {
    if tokio::runtime::Handle::try_current().is_ok() {
        return Err(Failed::plain(
            "simulated nodes have runtimes of their own: make the test a plain `#[test]`, without \
             `#[tokio::test]`",
        ));
    }
    let template = harness.source.read().map_err(Failed::plain)?;
    mistakes(harness, template.sample())?;
    let seeds = environment.seeds.clone().unwrap_or(harness.seeds.clone());
    if seeds.is_empty() {
        return Err(Failed::plain(format!("the seeds {seeds:?} are none")));
    }
    if seeds.end() - seeds.start() >= SEEDS_MAX {
        return Err(Failed::plain(format!(
            "the seeds {seeds:?} would never end; a test has at most {SEEDS_MAX}"
        )));
    }
    let test = Test {
        harness,
        template: &template,
        environment,
    };
    let mut tally = Tally::default();
    let ran = match test.first(*seeds.start(), &mut tally) {
        Ok(()) => test.others(&seeds, &mut tally),
        stop => stop,
    };
    match ran {
        Ok(()) => Ok(Report {
            file: harness.source.name().display().to_string(),
            different: tally.different.count() as usize,
            simulated_ms: tally.simulated_ms,
            seeds,
        }),
        Err(Stop::Fails(outcome)) => Err(test.failed(&outcome, &seeds)),
        Err(Stop::Failed(failed)) => Err(failed),
        Err(Stop::System(error)) => Err(Failed::plain(format!("the system refuses: {error}"))),
    }
}

/// The results of the runs so far.
#[derive(Default)]
struct Tally {
    traces: Option<File>,
    different: Distinct,
    simulated_ms: u64,
}

/// Why no further seed is run.
enum Stop {
    /// A run failed. Every seed below it held.
    Fails(Box<Outcome>),
    /// Another failure.
    Failed(Failed),
    /// The system gave no thread or no file.
    System(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::System(error)
    }
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Stop::Failed(failed)
    }
}

impl Tally {
    /// Adds a run, in the order of the seeds.
    fn add(&mut self, outcome: Outcome) -> Result<(), Stop> {
        if let (Some(file), Some(trace)) = (&mut self.traces, &outcome.trace) {
            file.write_all(trace.as_bytes())?;
        }
        self.different.add(&outcome.trace_hash);
        self.simulated_ms += outcome.simulated_ms;
        match outcome.verdict {
            Verdict::Held => Ok(()),
            Verdict::Failed | Verdict::Refused => Err(Stop::Fails(Box::new(outcome))),
        }
    }
}

/// All mistakes of checks and acts together.
fn mistakes<S>(harness: &Harness<S>, scenario: &Scenario) -> Result<(), Failed> {
    let hooks = harness.hooks.iter();
    let mistakes: Vec<String> = hooks.flat_map(|hook| hook.mistakes(scenario)).collect();
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(Failed::plain(mistakes.join("\n"))),
    }
}

fn write_trace(path: &Path, text: &str) -> Result<(), Failed> {
    let written = std::fs::write(path, text);
    written.map_err(|error| Failed::plain(format!("cannot write {}: {error}", path.display())))
}

struct Test<'a, S> {
    harness: &'a Harness<S>,
    template: &'a Template,
    environment: &'a Environment,
}

impl<S: Send + Sync + 'static> Test<'_, S> {
    /// Runs one seed twice. An error when the two runs differ.
    fn twice(&self, seed: u64) -> Result<Ran, Failed> {
        let (first, second) = (self.once(seed, true), self.once(seed, true));
        let trace = |ran: &Ran| ran.outcome.trace.clone().unwrap_or_default();
        let (one, other) = (trace(&first), trace(&second));
        if one == other {
            return Ok(first);
        }
        if let Some(path) = &self.environment.trace {
            write_trace(path, &one)?;
            let mut second = path.as_os_str().to_owned();
            second.push(".second");
            write_trace(Path::new(&second), &other)?;
        }
        let file = self.harness.source.name().display();
        let mut text =
            format!("{file}: two runs with seed {seed} differ, so no run can be repeated\n");
        text.push_str(&leaks::message(&one, &other, &first.loose));
        if !first.outcome.failures.is_empty() {
            text.push_str("  besides, the first run failed:\n");
        }
        text.push_str(&first.outcome.report());
        Err(Failed::with_seed(seed, text))
    }

    /// Runs the first seed twice.
    fn first(&self, seed: u64, tally: &mut Tally) -> Result<(), Stop> {
        let ran = self.twice(seed)?;
        if let Some(path) = &self.environment.trace {
            let created = File::create(path);
            let wrong = |error| Failed::plain(format!("cannot write {}: {error}", path.display()));
            tally.traces = Some(created.map_err(wrong)?);
        }
        tally.add(ran.outcome)
    }

    /// Runs the other seeds on several threads, up to the first that fails, so that all machines report the
    /// same one.
    fn others(&self, seeds: &RangeInclusive<u64>, tally: &mut Tally) -> Result<(), Stop> {
        let (second, count) = (seeds.start() + 1, seeds.end() - seeds.start());
        let keep_trace = self.environment.trace.is_some();
        let threads = Threads {
            count: thread::available_parallelism().map_or(1, usize::from),
            name: self.environment.test.as_deref().unwrap_or("main"),
        };
        let work = |index| self.once(second + index as u64, keep_trace).outcome;
        let (count, stop) = (count as usize, AtomicBool::new(false));
        in_order(count, threads, &stop, work, |outcome| tally.add(outcome))
    }

    fn once(&self, seed: u64, keep_trace: bool) -> Ran {
        let mut loose = Vec::new();
        let mut outcome = runner::draw_and_run(self.template, WORLD, seed, |scenario| {
            let (outcome, tasks) = self.drawn(scenario, seed, keep_trace);
            loose = tasks;
            outcome
        });
        outcome.replay = self.environment.replay(seed);
        Ran { outcome, loose }
    }

    fn drawn(
        &self,
        scenario: &Scenario,
        seed: u64,
        keep_trace: bool,
    ) -> (Outcome, Vec<(String, usize)>) {
        let harness = self.harness;
        let states = states(scenario, &*harness.make);
        let (application, kept) = (Arc::clone(&harness.application), Arc::clone(&states));
        let begin: Begin = Arc::new(move |cluster, tenant| {
            let state = Arc::clone(&kept[tenant.node().index()]);
            application(cluster, Node::new(tenant, state))
        });
        let place = harness.place.clone();
        let site = Arc::new(Site::new(scenario.nodes.len(), seed, begin, place));
        let visit = Visit::new(&harness.hooks, states, Arc::clone(&site), seed);
        let options = Options {
            keep_trace,
            quiet: false,
        };
        let outcome = panics::watch(|| {
            runner::run_on(scenario, WORLD, seed, Some(Box::new(visit)), || {
                let world = TurmoilWorld::with_site(scenario, seed, options, Arc::clone(&site));
                Box::new(world)
            })
        });
        let loose = site.loose();
        site.clear();
        let named = |(node, tasks)| (scenario.node(node).key.clone(), tasks);
        (outcome, loose.into_iter().map(named).collect())
    }

    fn failed(&self, outcome: &Outcome, seeds: &RangeInclusive<u64>) -> Failed {
        let (seed, file, title) = (outcome.seed, &outcome.file, &outcome.title);
        let text = match &outcome.reason {
            Some(reason) => format!("{file}: {reason}"),
            None => {
                let report = outcome.report();
                let seeds = Seeds(seeds);
                format!("{file} fails with seed {seed}, of {seeds}: {title}\n{report}")
            }
        };
        Failed::with_seed(seed, text)
    }
}
