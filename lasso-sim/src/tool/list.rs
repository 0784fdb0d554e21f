//! `list [THEME]`: lists scenarios.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use super::{Verdict, files};
use crate::scenario::{Scenario, show_duration};
use crate::world::WorldKind;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this theme: a folder's name
    theme: Option<String>,
    /// The folder of the themes
    #[arg(long, default_value = files::FOLDER)]
    folder: PathBuf,
}

/// Lists the files of each theme.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<Verdict> {
    let found = match files::beneath(&arguments.folder) {
        Ok(found) => found,
        Err(error) => {
            writeln!(out, "error: {}: {error}", arguments.folder.display())?;
            return Ok(Verdict::Bad);
        }
    };
    let mut themes: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in found {
        let theme = file.parent().and_then(|folder| folder.file_name());
        let theme = theme.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        themes.entry(theme).or_default().push(file);
    }
    if let Some(theme) = &arguments.theme
        && !themes.contains_key(theme)
    {
        let known: Vec<&str> = themes.keys().map(String::as_str).collect();
        writeln!(
            out,
            "error: no theme `{theme}`; the themes are {}",
            known.join(", ")
        )?;
        return Ok(Verdict::Bad);
    }
    let mut verdict = Verdict::Held;
    for (theme, files) in &themes {
        if arguments
            .theme
            .as_ref()
            .is_some_and(|wanted| wanted != theme)
        {
            continue;
        }
        writeln!(out, "{theme}")?;
        for file in files {
            match files::read(file, out)? {
                Some(template) => describe(template.sample(), out)?,
                None => verdict = Verdict::Bad,
            }
        }
    }
    Ok(verdict)
}

fn describe(scenario: &Scenario, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {}", scenario.title)?;
    let worlds: Vec<&str> = scenario.worlds.iter().map(|world| world.name()).collect();
    let worlds = if worlds.len() == WorldKind::ALL.len() {
        "every world".to_owned()
    } else {
        worlds.join(", ")
    };
    let nodes = match scenario.nodes.len() {
        1 => "1 node".to_owned(),
        many => format!("{many} nodes"),
    };
    writeln!(
        out,
        "      {}  ({nodes}, {}, {worlds})",
        scenario.source.path.display(),
        show_duration(scenario.end),
    )
}
