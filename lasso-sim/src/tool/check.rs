//! `check FILE…`: reads files and reports all their mistakes.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Verdict, files};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Checks every file, even if earlier ones have mistakes.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let (mut good, mut bad) = (0, 0);
    for path in &arguments.paths {
        let found = match files::beneath(path) {
            Ok(found) => found,
            Err(error) => {
                writeln!(out, "error: {}: {error}", path.display())?;
                bad += 1;
                continue;
            }
        };
        for file in found {
            match files::read(&file, out)? {
                Some(_) => good += 1,
                None => bad += 1,
            }
        }
    }
    writeln!(out, "{good} good, {bad} bad")?;
    // A folder without any file is a mistake, not a success.
    Ok(if bad == 0 && good > 0 {
        Verdict::Held
    } else {
        Verdict::Bad
    })
}
