//! Finds and reads scenario files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::scenario::Template;

/// The folder of scenarios when no file is named.
pub(crate) const FOLDER: &str = "scenarios";

/// Every `.toml` file beneath a folder, in order of path; for a file, the file itself.
///
/// # Errors
/// The system's error.
pub(crate) fn beneath(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one file. If it has mistakes, writes them to `out` and returns `None`.
///
/// # Errors
/// When `out` cannot be written to.
pub(crate) fn read(path: &Path, out: &mut dyn Write) -> io::Result<Option<Template>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            writeln!(out, "error: {}: {error}", path.display())?;
            return Ok(None);
        }
    };
    match Template::read(path, &text) {
        Ok(template) => Ok(Some(template)),
        Err(bad) => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stdout());
            writeln!(out, "{}", bad.render(colours))?;
            Ok(None)
        }
    }
}
