//! Runs one scenario in one world with one seed: lets time pass, carries out the steps, and evaluates the
//! checks. The run ends at the first moment at which a check fails.
//!
//! At one moment, in this order: nodes start, steps happen in the order of the file, open expectations and
//! rules are evaluated. Expectations with a window are evaluated whenever something may have changed, and at
//! the window's end.

mod drawn;
mod expect;
mod guest;
mod looks;
mod outcome;
mod settle;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lasso_core::time::Instant;

pub(crate) use self::drawn::draw_and_run;
pub use self::drawn::run_file;
use self::expect::{Miss, Moment};
pub(crate) use self::guest::{Guest, Scene};
use self::looks::Looks;
pub use self::outcome::{Failure, Goal, Look, Orders, Outcome, Verdict};
use crate::checks::Mismatch;
use crate::coverage::Reached;
use crate::direct::Options;
use crate::scenario::{self, NodeId, RuleKind, Scenario};
use crate::stage::{Stage, stage};
use crate::world::{FaultId, World, WorldKind};

/// Lines of the trace in a failure.
const LINES: usize = 20;
/// The number of misses of one expectation that are shown; the others are counted.
const MISSES: usize = 4;
/// The interval at which digests of inputs are written into the trace.
const CHECKPOINT: Duration = Duration::from_secs(600);

/// Runs a scenario. `keep_trace`: the outcome holds the whole trace.
pub fn run(scenario: &Scenario, kind: WorldKind, seed: u64, keep_trace: bool) -> Outcome {
    let options = Options {
        keep_trace,
        quiet: false,
    };
    run_on(scenario, kind, seed, None, || {
        stage(kind, scenario, seed, options)
    })
}

/// Runs a scenario in the world that `make` creates, with a guest that inspects it.
pub(crate) fn run_on<'a>(
    scenario: &'a Scenario,
    kind: WorldKind,
    seed: u64,
    guest: Option<Box<dyn Guest + 'a>>,
    make: impl FnOnce() -> Box<dyn Stage>,
) -> Outcome {
    let mut outcome = blank(scenario, kind, seed);
    let stage = match refusal(scenario, kind, make) {
        Ok(stage) => stage,
        Err(reason) => {
            outcome.verdict = Verdict::Refused;
            outcome.reason = Some(reason);
            return outcome;
        }
    };
    let mut run = Run::new(scenario, stage, guest);
    // A panic is a failure like any other: a sweep continues, and prints its command.
    let failures = catch_unwind(AssertUnwindSafe(|| run.finish()));
    outcome.failures = failures.unwrap_or_else(|panic| vec![run.panicked(panic.as_ref())]);
    if !outcome.failures.is_empty() {
        outcome.verdict = Verdict::Failed;
    }
    // The remains of a world that panicked may panic again.
    let ended = catch_unwind(AssertUnwindSafe(|| run.close(&mut outcome)));
    if let Err(panic) = ended
        && outcome.failures.is_empty()
    {
        outcome.verdict = Verdict::Failed;
        let file = outcome.file.clone();
        outcome.failures.push(panic_of(file, panic.as_ref()));
    }
    outcome
}

fn blank(scenario: &Scenario, kind: WorldKind, seed: u64) -> Outcome {
    let file = scenario.source.path.display().to_string();
    Outcome {
        replay: outcome::replay(&file, kind, seed),
        file,
        title: scenario.title.clone(),
        world: kind.to_string(),
        seed,
        verdict: Verdict::Held,
        reason: None,
        trace_hash: String::new(),
        trace_lines: 0,
        simulated_ms: 0,
        inputs: 0,
        membership_hash: String::new(),
        looks: Vec::new(),
        orders: Vec::new(),
        asked: scenario.asked.clone(),
        goals: Vec::new(),
        reached: Reached::default(),
        failures: Vec::new(),
        trace: None,
    }
}

/// The world for a run, or why there is none.
fn refusal(
    scenario: &Scenario,
    kind: WorldKind,
    make: impl FnOnce() -> Box<dyn Stage>,
) -> Result<Box<dyn Stage>, String> {
    if !scenario.worlds.contains(&kind) {
        let because = scenario.because.as_deref().unwrap_or("the file says so");
        return Err(format!("not for the {kind} world: {because}"));
    }
    let stage = make();
    for step in &scenario.steps {
        for action in &step.actions {
            let lacks = action
                .verb
                .needs()
                .into_iter()
                .find(|ability| !stage.can(*ability));
            if let Some(ability) = lacks {
                let place = scenario.place(&action.loc);
                return Err(format!(
                    "{place}: the {kind} world cannot do that ({ability:?})"
                ));
            }
        }
    }
    Ok(stage)
}

fn panic_of(place: String, panic: &(dyn core::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Failure {
        place,
        at: "?".to_owned(),
        node: None,
        expected: "nothing panics".to_owned(),
        seen: format!("a panic: {}", text.unwrap_or("without a text")),
        more: 0,
        trace: Vec::new(),
    }
}

/// An expectation whose window is open.
struct Open {
    step: usize,
    deadline: Instant,
}

struct Run<'a> {
    scenario: &'a Scenario,
    stage: Box<dyn Stage>,
    /// The starts of nodes, the next one last.
    starts: Vec<(Instant, NodeId)>,
    /// When each step has happened.
    happened: Vec<Instant>,
    open: Vec<Open>,
    looks: Looks,
    /// When each `[[sometimes]]` was reached.
    reached: Vec<Option<Instant>>,
    next_checkpoint: Instant,
    violations_seen: usize,
    guest: Option<Box<dyn Guest + 'a>>,
}

fn at(since_start: Duration) -> Instant {
    Instant::ZERO + since_start
}

impl<'a> Run<'a> {
    fn new(
        scenario: &'a Scenario,
        stage: Box<dyn Stage>,
        guest: Option<Box<dyn Guest + 'a>>,
    ) -> Self {
        let mut starts: Vec<(Instant, NodeId)> = scenario
            .node_ids()
            .filter_map(|node| Some((at(scenario.node(node).starts?), node)))
            .collect();
        starts.sort_by(|a, b| b.cmp(a));
        Run {
            scenario,
            stage,
            starts,
            happened: Vec::new(),
            open: Vec::new(),
            looks: Looks::new(scenario),
            reached: vec![None; scenario.sometimes.len()],
            next_checkpoint: at(guest::checkpoint(guest.is_some())),
            violations_seen: 0,
            guest,
        }
    }

    fn finish(&mut self) -> Vec<Failure> {
        let end = at(self.scenario.end);
        loop {
            let failures = self.moment();
            if !failures.is_empty() {
                return failures;
            }
            let now = self.stage.now();
            let over = self.happened.len() == self.scenario.steps.len() && self.open.is_empty();
            if now >= end && over && self.guest_is_done() {
                break;
            }
            let until = self.next_due().unwrap_or(end).max(now);
            self.stage.advance(until);
        }
        let mut failures = self.idle_faults();
        failures.extend(self.idle_rules());
        if failures.is_empty() {
            failures = self.settle();
        }
        if failures.is_empty() {
            failures = self.guest_leaves();
        }
        failures
    }

    /// Carries out and evaluates everything that is due now.
    fn moment(&mut self) -> Vec<Failure> {
        let now = self.stage.now();
        while self.next_checkpoint <= now {
            self.stage.record_mut().trace.checkpoint(now);
            self.next_checkpoint += guest::checkpoint(self.guest.is_some());
        }
        let mut failures = self.start_nodes(now);
        failures.extend(self.do_steps(now));
        failures.extend(self.guest_looks());
        failures.extend(self.look_at_open(now));
        failures.extend(self.look_at_rules(now));
        self.look_at_sometimes(now);
        failures.extend(self.new_violations());
        failures
    }

    fn start_nodes(&mut self, now: Instant) -> Vec<Failure> {
        let mut failures = Vec::new();
        while let Some((_, node)) = self.starts.pop_if(|(due, _)| *due <= now) {
            let spec = self.scenario.node(node);
            self.stage.attribute(FaultId(u32::MAX));
            if let Err(refusal) = self.stage.start(node, spec) {
                let place = self.scenario.place(&spec.loc);
                failures.push(self.failure(place, Some(node), "it starts", &refusal.to_string()));
            }
        }
        failures
    }

    fn do_steps(&mut self, now: Instant) -> Vec<Failure> {
        let mut failures = Vec::new();
        while failures.is_empty() && self.happened.len() < self.scenario.steps.len() {
            match self.is_due(now) {
                Ok(true) => failures.extend(self.do_step(now)),
                Ok(false) => break,
                Err(failure) => failures.push(*failure),
            }
        }
        failures
    }

    /// Whether the next step happens now; an error if its condition did not hold in time.
    fn is_due(&mut self, now: Instant) -> Result<bool, Box<Failure>> {
        let index = self.happened.len();
        let step = &self.scenario.steps[index];
        let (condition, by) = match &step.moment {
            scenario::Moment::When { condition, by } => (condition, at(*by)),
            _ => return Ok(self.due_at().is_some_and(|due| due <= now)),
        };
        let looks = &mut self.looks.waits[index];
        let misses = Moment::new(self.scenario, &*self.stage).misses(condition, 1, looks);
        if misses.is_empty() {
            return Ok(true);
        }
        match misses.into_iter().next() {
            Some(miss) if now >= by => {
                let show = scenario::show_duration(by.since_start());
                let expected = format!("by {show}: {}", miss.mismatch.expected);
                Err(Box::new(self.failure(
                    miss.place,
                    miss.node,
                    &expected,
                    &miss.mismatch.seen,
                )))
            }
            _ => Ok(false),
        }
    }

    /// When the next step happens, or when it gives up on its condition.
    fn due_at(&self) -> Option<Instant> {
        let step = self.scenario.steps.get(self.happened.len())?;
        Some(match &step.moment {
            scenario::Moment::At(time) => at(*time),
            scenario::Moment::After { step, delay } => *self.happened.get(*step)? + *delay,
            scenario::Moment::When { by, .. } => at(*by),
        })
    }

    fn do_step(&mut self, now: Instant) -> Vec<Failure> {
        let index = self.happened.len();
        let step = &self.scenario.steps[index];
        self.happened.push(now);
        for (number, action) in step.actions.iter().enumerate() {
            let what = action.verb.describe(self.scenario);
            // Numbers, not lines of the file, so that a written plan has the same trace.
            let count = index + 1;
            self.stage
                .record_mut()
                .trace
                .line(now, "step", format_args!("{count}: {what}"));
            self.stage.attribute(fault(index, number));
            let stage: &mut dyn World = &mut *self.stage;
            if let Err(refusal) = action.verb.apply(self.scenario, stage) {
                let place = self.scenario.place(&action.loc);
                return vec![self.failure(place, None, &what, &refusal.to_string())];
            }
        }
        if let Some(expectation) = &step.expect {
            let deadline = now + expectation.within;
            self.open.push(Open {
                step: index,
                deadline,
            });
        }
        if !step.actions.is_empty() {
            self.stage.record_mut().trace.checkpoint(now);
        }
        Vec::new()
    }

    fn look_at_open(&mut self, now: Instant) -> Vec<Failure> {
        let mut late: Vec<(usize, Vec<Miss>)> = Vec::new();
        let mut held = Vec::new();
        let mut moment = Moment::new(self.scenario, &*self.stage);
        for open in &self.open {
            let Some(expectation) = &self.scenario.steps[open.step].expect else {
                continue;
            };
            let is_late = now >= open.deadline;
            let most = if is_late { usize::MAX } else { 1 };
            let looks = &mut self.looks.steps[open.step];
            let misses = moment.misses(&expectation.expect, most, looks);
            if misses.is_empty() {
                held.push(open.step);
            } else if is_late {
                late.push((open.step, misses));
            }
        }
        self.open.retain(|open| !held.contains(&open.step));
        for step in held {
            let count = step + 1;
            let trace = &mut self.stage.record_mut().trace;
            trace.line(now, "step", format_args!("{count}: holds"));
        }
        let mut failures = Vec::new();
        for (step, misses) in late {
            let within = self.scenario.steps[step]
                .expect
                .as_ref()
                .map(|expect| expect.within);
            let within = within.filter(|within| *within > Duration::ZERO);
            let within = within
                .map(|within| format!("within {}: ", scenario::show_duration(within)))
                .unwrap_or_default();
            failures.extend(self.missed(&within, &misses));
        }
        failures
    }

    /// The first of these as failures; the last one counts the others.
    fn missed(&self, when: &str, misses: &[Miss]) -> Vec<Failure> {
        let failure = |miss: &Miss| {
            let expected = format!("{when}{}", miss.mismatch.expected);
            self.failure(
                miss.place.clone(),
                miss.node,
                &expected,
                &miss.mismatch.seen,
            )
        };
        let mut failures: Vec<Failure> = misses.iter().take(MISSES).map(failure).collect();
        if let Some(last) = failures.last_mut() {
            last.more = misses.len().saturating_sub(MISSES);
        }
        failures
    }

    fn look_at_rules(&mut self, now: Instant) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut moment = Moment::new(self.scenario, &*self.stage);
        for (index, rule) in self.scenario.rules.iter().enumerate() {
            if now < at(rule.from) || now > at(rule.until) {
                continue;
            }
            let looks = &mut self.looks.rules[index];
            match rule.kind {
                RuleKind::Always => {
                    let misses = moment.misses(&rule.expect, usize::MAX, looks);
                    failures.extend(self.missed("always: ", &misses));
                }
                RuleKind::Never => {
                    if let Some(node) = moment.holds_for(&rule.expect, looks) {
                        let place = self.scenario.place(&rule.loc);
                        let seen = "all its checks hold";
                        failures.push(self.failure(place, Some(node), "never", seen));
                    }
                }
            }
        }
        failures
    }

    fn new_violations(&mut self) -> Vec<Failure> {
        let violations = self.stage.invariants().violations();
        if violations.len() == self.violations_seen {
            return Vec::new();
        }
        let new: Vec<_> = violations[self.violations_seen..].to_vec();
        self.violations_seen = violations.len();
        let place = self.scenario.source.path.display().to_string();
        let miss = |violation: &crate::invariants::Violation| Miss {
            place: place.clone(),
            node: Some(violation.node),
            mismatch: Mismatch {
                expected: format!("invariant {} of what always holds", violation.number),
                seen: violation.text.clone(),
            },
        };
        let misses: Vec<Miss> = new.iter().map(miss).collect();
        self.missed("", &misses)
    }

    /// The next moment at which something is due, unless something changes before.
    fn next_due(&self) -> Option<Instant> {
        let now = self.stage.now();
        let rules = self
            .scenario
            .rules
            .iter()
            .flat_map(|rule| [at(rule.from), at(rule.until)]);
        let sometimes = self.scenario.sometimes.iter();
        let sometimes = sometimes.flat_map(|one| [at(one.from), at(one.until)]);
        let starts = self.starts.last().map(|(due, _)| *due);
        let open = self.open.iter().map(|open| open.deadline);
        let all = rules
            .chain(sometimes)
            .chain(starts)
            .chain(open)
            .chain(self.due_at());
        let all = all.chain(self.guest_is_due());
        all.chain([at(self.scenario.end), self.next_checkpoint])
            .filter(|due| *due > now)
            .min()
    }

    fn failure(&self, place: String, node: Option<NodeId>, expected: &str, seen: &str) -> Failure {
        Failure {
            place,
            at: outcome::seconds(self.stage.now()),
            node: node.map(|node| self.scenario.node(node).key.clone()),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
            more: 0,
            trace: self.stage.record().trace.tail(LINES),
        }
    }
}

/// The id of the faults of one verb of one step.
fn fault(step: usize, action: usize) -> FaultId {
    FaultId((step * 64 + action) as u32)
}
