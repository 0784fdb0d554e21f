//! Runs the scenario that a seed draws from a file.

use super::{Failure, Outcome, Verdict, blank, run};
use crate::scenario::{BadFile, Loc, Scenario, Template};
use crate::world::WorldKind;

/// Draws the scenario of a file with a seed and runs it. `keep_trace`: the outcome holds the whole trace.
///
/// If the file cannot be drawn with that seed, the run has failed: a sweep continues and names the seed.
pub fn run_file(template: &Template, kind: WorldKind, seed: u64, keep_trace: bool) -> Outcome {
    draw_and_run(template, kind, seed, |scenario| {
        run(scenario, kind, seed, keep_trace)
    })
}

/// The same, with `run` to run the drawn scenario.
pub(crate) fn draw_and_run(
    template: &Template,
    kind: WorldKind,
    seed: u64,
    run: impl FnOnce(&Scenario) -> Outcome,
) -> Outcome {
    match template.draw(seed) {
        Ok(scenario) => run(&scenario),
        Err(bad) => {
            let mut outcome = blank(template.sample(), kind, seed);
            outcome.verdict = Verdict::Failed;
            outcome.failures = bad
                .places()
                .map(|(loc, message)| undrawn(&bad, &loc, message))
                .collect();
            outcome
        }
    }
}

fn undrawn(bad: &BadFile, loc: &Loc, message: &str) -> Failure {
    Failure {
        place: format!("{}:{}:{}", bad.source.path.display(), loc.line, loc.column),
        at: "0.000000".to_owned(),
        node: None,
        expected: "the file can be drawn with this seed".to_owned(),
        seen: message.to_owned(),
        more: 0,
        trace: Vec::new(),
    }
}
