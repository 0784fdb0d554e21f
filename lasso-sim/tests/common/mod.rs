//! The scenario files of the repository.

use std::path::{Path, PathBuf};

use lasso_sim::scenario::Template;
use lasso_sim::world::WorldKind;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// Every scenario file, by its path from the top of the repository, in order.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("scenarios")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of scenarios") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                found.push(path.strip_prefix(root()).expect("beneath").to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no scenario was found");
    found
}

/// Reads a file; a bad one is a failure with everything that is wrong.
pub(crate) fn read(file: &Path) -> Result<Template, String> {
    let text = std::fs::read_to_string(root().join(file)).map_err(|error| error.to_string())?;
    Template::read(file, &text).map_err(|bad| bad.render(false))
}

/// `theme/file::world`.
pub(crate) fn name(file: &Path, world: WorldKind) -> String {
    let beneath = file.strip_prefix("scenarios").unwrap_or(file);
    format!("{}::{world}", beneath.with_extension("").display())
}

/// The simulated worlds for which a file is; both where it cannot be read, so that somebody says so.
pub(crate) fn worlds(file: &Path) -> Vec<WorldKind> {
    match read(file) {
        Ok(template) => WorldKind::ALL
            .into_iter()
            .filter(|w| template.sample().worlds.contains(w))
            .collect(),
        Err(_) => WorldKind::ALL.to_vec(),
    }
}
