//! The commands of `lasso-sim`: one file per command.
//!
//! Exit codes: 0 everything held, 1 something did not, 2 a bad file or wrong usage.

mod check;
mod files;
mod list;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs stories about a lasso cluster in simulated worlds.
#[derive(Debug, Parser)]
#[command(name = "lasso-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads files and says everything that is wrong with them
    Check(check::Arguments),
    /// Runs scenarios in simulated worlds, and says of each whether it held
    Run(run::Arguments),
    /// Lists scenarios, by theme, with where they run and how many nodes they have
    List(list::Arguments),
}

/// Something held, did not hold, or could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// All is well.
    Held,
    /// Something did not hold.
    Failed,
    /// A bad file or wrong usage.
    Bad,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        ExitCode::from(match verdict {
            Verdict::Held => 0,
            Verdict::Failed => 1,
            Verdict::Bad => 2,
        })
    }
}

/// Reads the arguments of the process and does what they say.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let done = match arguments.command {
        Command::Check(arguments) => check::run(&arguments, &mut out),
        Command::Run(arguments) => run::run(&arguments, &mut out),
        Command::List(arguments) => list::run(&arguments, &mut out),
    };
    match done {
        Ok(verdict) => verdict.into(),
        // A reader that has seen enough, as `head` has, is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lasso-sim: cannot write: {error}");
            ExitCode::from(2)
        }
    }
}
