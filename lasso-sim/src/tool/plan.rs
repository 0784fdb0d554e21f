//! `plan FILE --seed N`: writes the scenario that a seed draws as a plain file.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::{Verdict, files};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file
    file: PathBuf,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the plan to this file, in place of the terminal
    #[arg(short, long)]
    out: Option<PathBuf>,
}

/// Writes the plan of one file and seed.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let Some(template) = files::read(&arguments.file, out)? else {
        return Ok(Verdict::Bad);
    };
    let plan = match template.plan(arguments.seed) {
        Ok(plan) => plan,
        Err(bad) => {
            writeln!(out, "{bad}")?;
            return Ok(Verdict::Bad);
        }
    };
    let Some(path) = &arguments.out else {
        out.write_all(plan.as_bytes())?;
        return Ok(Verdict::Held);
    };
    if let Err(error) = fs::write(path, plan) {
        writeln!(out, "error: {}: {error}", path.display())?;
        return Ok(Verdict::Bad);
    }
    Ok(Verdict::Held)
}
