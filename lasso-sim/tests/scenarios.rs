//! Every file under `scenarios/` holds in every simulated world that it is for: one test per file
//! and world, each with three seeds.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use lasso_sim::runner::{self, Verdict};
use lasso_sim::world::WorldKind;
use libtest_mimic::{Arguments, Failed, Trial};

const SEEDS: [u64; 3] = [1, 2, 3];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for file in common::files() {
        for world in common::worlds(&file) {
            let file = file.clone();
            trials.push(Trial::test(common::name(&file, world), move || {
                holds(file, world)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn holds(file: PathBuf, world: WorldKind) -> Result<(), Failed> {
    let scenario = common::read(&file)?;
    for seed in SEEDS {
        let outcome = runner::run(&scenario, world, seed, false);
        match outcome.verdict {
            Verdict::Held => {}
            Verdict::Failed => return Err(outcome.report().into()),
            Verdict::Refused => return Err(outcome.reason.unwrap_or_default().into()),
        }
    }
    Ok(())
}
