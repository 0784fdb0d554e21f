//! The source of a test's scenario.

use std::path::{Path, PathBuf};

use crate::scenario::Template;

/// See the module's text.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file, as the user gave it.
    File(PathBuf),
    /// The scenario itself.
    Text {
        /// Its name in messages.
        name: PathBuf,
        /// The scenario.
        toml: String,
    },
}

impl Source {
    /// Its name in messages.
    pub(super) fn name(&self) -> &Path {
        match self {
            Source::File(path) => path,
            Source::Text { name, .. } => name,
        }
    }

    /// Reads it. The error is a whole message.
    pub(super) fn read(&self) -> Result<Template, String> {
        let text = match self {
            Source::Text { toml, .. } => toml.clone(),
            Source::File(path) => {
                let found = beneath_the_crate(path);
                std::fs::read_to_string(&found)
                    .map_err(|error| format!("cannot read {}: {error}", found.display()))?
            }
        };
        Template::read_tested(self.name(), &text).map_err(|bad| bad.render(false))
    }
}

fn beneath_the_crate(path: &Path) -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => Path::new(&folder).join(path),
        None => path.to_owned(),
    }
}
