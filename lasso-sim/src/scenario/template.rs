//! A file before a seed has filled in what the file leaves to the seed.
//!
//! A template keeps the parsed tree with the place of everything in it. Drawing works on a copy of the tree, before
//! any section is read: what remains is a plain scenario, whose mistakes and failures still point into
//! the user's file.

use std::path::Path as FilePath;
use std::sync::Arc;

use super::errors::{BadFile, Diagnostic};
use super::model::{Scenario, Source};
use super::parse::{parse_tree, read_tree};
use super::value::Table;
use crate::random;

/// Seeds with which a file is drawn when it is read, to find the mistakes that not every seed shows.
const TRIED: [u64; 3] = [1, 2, 3];

/// A file that can be drawn with any seed.
#[derive(Debug)]
pub struct Template {
    source: Arc<Source>,
    tree: Table,
    sample: Scenario,
}

impl Template {
    /// Reads the text of a file; `path` is what messages call it. The file is drawn with a few seeds, so that a
    /// mistake that only some seeds show is found here in most cases.
    ///
    /// ```
    /// use lasso_sim::scenario::Template;
    ///
    /// let text = r#"
    /// lasso = 1
    /// title = "Three nodes find each other"
    /// nodes = { a = {}, b = {}, c = {} }
    ///
    /// [[step]]
    /// at = "0s"
    /// expect = { on = "all", within = "10s", connected = 3 }
    /// "#;
    /// let template = Template::read("three.toml".as_ref(), text)?;
    /// assert_eq!(template.draw(7)?.nodes.len(), 3);
    /// # Ok::<(), lasso_sim::scenario::BadFile>(())
    /// ```
    ///
    /// # Errors
    /// [`BadFile`] with every mistake that was found.
    pub fn read(path: &FilePath, text: &str) -> Result<Template, BadFile> {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text: text.to_owned(),
        });
        let tree = parse_tree(text).map_err(|errors| bad(&source, errors))?;
        let sample = draw(&source, &tree, TRIED[0])?;
        Ok(Template {
            source,
            tree,
            sample,
        })
    }

    /// The scenario of one seed.
    ///
    /// # Errors
    /// [`BadFile`] when this seed draws something that cannot be: the file's fault.
    pub fn draw(&self, seed: u64) -> Result<Scenario, BadFile> {
        draw(&self.source, &self.tree, seed)
    }

    /// The scenario of the first seed, for what no seed changes: title, story, worlds.
    pub fn sample(&self) -> &Scenario {
        &self.sample
    }
}

fn draw(source: &Arc<Source>, tree: &Table, seed: u64) -> Result<Scenario, BadFile> {
    let mut drawn = tree.clone();
    let mut errors = Vec::new();
    random::expand(&mut drawn, seed, &mut errors);
    match read_tree(source, &drawn) {
        Ok(scenario) if errors.is_empty() => Ok(scenario),
        Ok(_) => Err(bad(source, errors)),
        Err(more) => {
            errors.extend(more);
            Err(bad(source, errors))
        }
    }
}

fn bad(source: &Arc<Source>, mut diagnostics: Vec<Diagnostic>) -> BadFile {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    diagnostics.dedup();
    BadFile {
        source: source.clone(),
        diagnostics,
    }
}
