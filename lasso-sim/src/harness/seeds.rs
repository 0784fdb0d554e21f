//! Runs a test with each of its seeds.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::builder::Harness;
use super::environment::Environment;
use super::leaks;
use super::node::Node;
use super::report::{Failed, Report, Seeds};
use super::visit::{Visit, states};
use crate::direct::Options;
use crate::runner::{self, Outcome, Verdict};
use crate::scenario::{Scenario, Template};
use crate::turmoil_world::site::{Begin, Site};
use crate::turmoil_world::{TurmoilWorld, panics};
use crate::world::WorldKind;

/// The world that runs a user's application.
const WORLD: WorldKind = WorldKind::Turmoil;

/// One run.
struct Ran {
    outcome: Outcome,
    /// Nodes that had tasks of `tokio::spawn`, and how many.
    loose: Vec<(String, usize)>,
}

/// Runs the test; what it is about is in [`Harness::check`].
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
    let test = Test {
        harness,
        template: &template,
        environment,
    };
    let mut runs = BTreeMap::new();
    let first = *seeds.start();
    let ran = test.twice(first)?;
    let stop = ran.outcome.verdict != Verdict::Held;
    runs.insert(first, ran);
    if !stop && first < *seeds.end() {
        runs.append(&mut test.all(first + 1..=*seeds.end()));
    }
    if let Some(path) = &environment.trace {
        let traces = runs.values().filter_map(|ran| ran.outcome.trace.as_deref());
        write_trace(path, &traces.collect::<String>())?;
    }
    let failed = runs
        .values()
        .find(|ran| ran.outcome.verdict != Verdict::Held);
    if let Some(ran) = failed {
        return Err(test.failed(&ran.outcome, &seeds));
    }
    let hashes: BTreeSet<&str> = runs
        .values()
        .map(|ran| ran.outcome.trace_hash.as_str())
        .collect();
    Ok(Report {
        file: harness.source.name().display().to_string(),
        different: hashes.len(),
        simulated_ms: runs.values().map(|ran| ran.outcome.simulated_ms).sum(),
        seeds,
    })
}

/// Everything that is wrong with checks and acts, at once.
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

    /// Runs these seeds on several threads, up to the first that fails.
    fn all(&self, seeds: RangeInclusive<u64>) -> BTreeMap<u64, Ran> {
        let (first, last) = seeds.into_inner();
        let keep_trace = self.environment.trace.is_some();
        let (next, stop) = (AtomicU64::new(first), AtomicU64::new(last));
        let runs = Mutex::new(BTreeMap::new());
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                // Every seed below the first failing one still runs, so that all machines report the same one.
                if seed > stop.load(Ordering::Relaxed) {
                    return;
                }
                let ran = self.once(seed, keep_trace);
                if ran.outcome.verdict != Verdict::Held {
                    stop.fetch_min(seed, Ordering::Relaxed);
                }
                runs.lock().insert(seed, ran);
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(usize::try_from(last - first + 1).unwrap_or(usize::MAX));
        let name = self.environment.test.as_deref().unwrap_or("main");
        thread::scope(|scope| {
            for _ in 1..threads {
                // If the system gives no more threads, this one runs all seeds.
                let _ = thread::Builder::new()
                    .name(name.to_owned())
                    .spawn_scoped(scope, work);
            }
            work();
        });
        runs.into_inner()
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
                Some(Box::new(world))
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
