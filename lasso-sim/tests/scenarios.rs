//! Every file under `scenarios/` holds in every simulated world that it is for: one test per file
//! and world, with three seeds in the direct world and two in the slower turmoil world. One file that
//! needs many seeds runs with a hundred in the direct world, in parts that run side by side.

mod common;

use core::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use lasso_sim::runner::{self, Verdict};
use lasso_sim::sweep::Summary;
use lasso_sim::world::WorldKind;
use libtest_mimic::{Arguments, Failed, Trial};

fn seeds(world: WorldKind) -> RangeInclusive<u64> {
    match world {
        WorldKind::Direct => 1..=3,
        WorldKind::Turmoil => 1..=2,
    }
}

/// Seeds 1 to 100.
const MANY_SEEDS: [RangeInclusive<u64>; 4] = [1..=25, 26..=50, 51..=75, 76..=100];
/// Of what they are run.
const WITH_MANY_SEEDS: &str = "scenarios/events/ten-thousand-events-of-two-accounts.toml";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for file in common::files() {
        for world in common::worlds(&file) {
            let file = file.clone();
            trials.push(Trial::test(common::name(&file, world), move || {
                holds(file, world, seeds(world))
            }));
        }
    }
    for seeds in MANY_SEEDS {
        let (file, world) = (PathBuf::from(WITH_MANY_SEEDS), WorldKind::Direct);
        let (from, to) = (seeds.start(), seeds.end());
        let name = format!("{}::seeds {from} to {to}", common::name(&file, world));
        trials.push(Trial::test(name, move || holds(file, world, seeds)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn holds(file: PathBuf, world: WorldKind, seeds: RangeInclusive<u64>) -> Result<(), Failed> {
    let template = common::read(&file)?;
    let mut summary = Summary::default();
    for seed in seeds {
        let outcome = runner::run_file(&template, world, seed, false);
        summary.add(&outcome);
        match outcome.verdict {
            Verdict::Held => {}
            Verdict::Failed => return Err(outcome.report().into()),
            Verdict::Refused => return Err(outcome.reason.unwrap_or_default().into()),
        }
    }
    match summary.unreached().first() {
        Some(goal) => Err(format!("{}: never reached: {}", goal.place, goal.title).into()),
        None => Ok(()),
    }
}
