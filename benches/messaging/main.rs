//! What the data plane achieves, beside the floor that this machine sets and beside other systems:
//! real processes over loopback, one table.
//!
//! `cargo bench --bench messaging`; what each row means, and how it is measured, is told in
//! `docs/benchmarks.md`. The binary starts itself again for each process of a run, in a role.

mod children;
mod machine;
mod options;
mod report;
mod role;
mod rows;
mod run;
mod servers;
mod soak;

use std::process::ExitCode;

use clap::Parser;

use options::{Options, System};
use report::Outcomes;
use rows::Row;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(children::CHILD_FLAG) {
        return role::play(arguments);
    }
    match compare(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    let rows = options.rows()?;
    if options.list {
        for row in rows {
            println!("{:<18} {}", row.id, row.what);
        }
        return Ok(());
    }
    let systems = options.installed();
    machine::describe(options, &systems);
    if let Some(length) = options.soak {
        return soak::soak(length, options);
    }
    // All at the end, since what is told meanwhile may go to the same terminal.
    let measured: Vec<_> = rows
        .into_iter()
        .map(|row| (row, measure(row, &systems, options)))
        .collect();
    report::print(&measured, &systems);
    report::legend(&systems);
    Ok(())
}

/// All systems take turns, so that what else the machine does meets them alike.
fn measure(row: &Row, systems: &[System], options: &Options) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for turn in 1..=options.runs {
        for system in systems.iter().filter(|system| row.runs_on(**system)) {
            eprint!("{} {system} {turn}/{}:", row.id, options.runs);
            match run::run(row.work, *system, options) {
                Ok(outcome) => {
                    report::progress(row, &outcome);
                    outcomes.take(*system, outcome);
                }
                Err(problem) => eprintln!(" failed: {problem}"),
            }
        }
    }
    outcomes
}
