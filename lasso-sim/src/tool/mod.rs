//! The commands of `lasso-sim`: one file per command.
//!
//! Exit codes: 0 everything held, 1 a check failed, 2 a bad file, wrong usage or nothing ran, 130 an interrupt before
//! any failure.

mod check;
mod files;
mod list;
mod merge;
mod part;
mod plan;
mod report;
mod run;
mod runs;
mod sweep;

use std::io::{self, Write};
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
    /// Reads files and reports all their mistakes
    Check(check::Arguments),
    /// Runs scenarios in simulated worlds, and reports whether each one held
    Run(run::Arguments),
    /// Runs scenarios with many seeds, and reports totals: failures, and coverage that no run reached
    Sweep(sweep::Arguments),
    /// Adds up the shards of a sweep, and judges their total coverage
    Merge(merge::Arguments),
    /// Lists scenarios by theme, with their worlds and numbers of nodes
    List(list::Arguments),
    /// Writes the scenario that a seed draws as a plain file, which gives the same trace with that seed
    Plan(plan::Arguments),
}

/// The verdict of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// All is well.
    Held,
    /// Something did not hold.
    Failed,
    /// A bad file, wrong usage, or nothing ran.
    Bad,
    /// Interrupted from the keyboard before any failure.
    Interrupted,
}

impl Verdict {
    /// The exit code.
    fn code(self) -> u8 {
        match self {
            Verdict::Held => 0,
            Verdict::Failed => 1,
            Verdict::Bad => 2,
            // The code that shells use for a program ended by SIGINT.
            Verdict::Interrupted => 130,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        ExitCode::from(verdict.code())
    }
}

/// An output whose reader may leave early, as `head` does. Later output is dropped and the work continues,
/// because the exit code must give the verdict even if nobody reads the text.
struct Patient<W> {
    out: W,
    read: bool,
}

impl<W: Write> Patient<W> {
    fn or_left<T>(&mut self, done: io::Result<T>, otherwise: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.read = false;
                Ok(otherwise)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.read {
            return Ok(bytes.len());
        }
        let done = self.out.write(bytes);
        self.or_left(done, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.read {
            return Ok(());
        }
        let done = self.out.flush();
        self.or_left(done, ())
    }
}

/// Reads the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = Patient {
        out: io::stdout().lock(),
        read: true,
    };
    let done = match arguments.command {
        Command::Check(arguments) => check::run(&arguments, &mut out),
        Command::Run(arguments) => run::run(&arguments, &mut out),
        Command::Sweep(arguments) => sweep::run(&arguments, &mut out),
        Command::Merge(arguments) => merge::run(&arguments, &mut out),
        Command::List(arguments) => list::run(&arguments, &mut out),
        Command::Plan(arguments) => plan::run(&arguments, &mut out),
    };
    match done {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            // This may fail as well.
            let _ = writeln!(io::stderr(), "lasso-sim: cannot write: {error}");
            ExitCode::from(2)
        }
    }
}
