//! A parsed file before a seed has drawn its ranges, repetitions and `[random]`.
//!
//! A template keeps the parsed tree with the place of each value. Drawing changes a copy of the tree, before any
//! section is read. The result is a plain scenario whose mistakes and failures still point into the user's
//! file.

use std::path::Path as FilePath;
use std::sync::Arc;

use super::draws::{self, Draws};
use super::errors::{BadFile, Diagnostic};
use super::model::{Scenario, Source};
use super::parse::{parse_tree, read_tree};
use super::range::Pick;
use super::value::Table;
use super::write::write;

/// The draws that are tried when a file is read, to find mistakes that only some draws show.
const TRIED: [Pick; 5] = [
    Pick::Low,
    Pick::High,
    Pick::Seed(SAMPLE),
    Pick::Seed(2),
    Pick::Seed(3),
];
/// The seed of [`Template::sample`].
const SAMPLE: u64 = 1;

/// A file that can be drawn with any seed.
#[derive(Debug)]
pub struct Template {
    source: Arc<Source>,
    tree: Table,
    sample: Scenario,
    draws: bool,
}

impl Template {
    /// Reads the text of a file; `path` is its name in messages. The file is drawn with every range at its lower
    /// end, with every range at its upper end, and with a few seeds, so that this finds most mistakes that only some
    /// seeds show.
    ///
    /// ```
    /// use lasso_sim::scenario::Template;
    ///
    /// let text = r#"
    /// lasso = 1
    /// title = "A node crashes at some time"
    /// nodes = { a = {}, b = {}, c = {} }
    ///
    /// [[step]]
    /// at = "20s..40s"
    /// crash = "c"
    ///
    /// [[step]]
    /// at = "41s"
    /// expect = { on = ["a", "b"], connected = 2 }
    /// "#;
    /// let template = Template::read("crash.toml".as_ref(), text)?;
    /// assert_eq!(template.draw(7)?.steps.len(), 2);
    /// assert!(!template.plan(7)?.contains("20s..40s"));
    ///
    /// let bad = Template::read("crash.toml".as_ref(), &text.replace("20s..40s", "40s..20s"));
    /// assert!(bad.unwrap_err().to_string().contains("the wrong way round"));
    /// # Ok::<(), lasso_sim::scenario::BadFile>(())
    /// ```
    ///
    /// # Errors
    /// [`BadFile`] with every mistake that was found.
    pub fn read(path: &FilePath, text: &str) -> Result<Template, BadFile> {
        Self::read_source(Source {
            path: path.to_owned(),
            text: text.to_owned(),
            tested: false,
        })
    }

    /// The same for a file that a test in Rust runs: it may have labels that only the test uses, and needs no
    /// expectations.
    ///
    /// # Errors
    /// [`BadFile`] with every mistake that was found.
    pub fn read_tested(path: &FilePath, text: &str) -> Result<Template, BadFile> {
        Self::read_source(Source {
            path: path.to_owned(),
            text: text.to_owned(),
            tested: true,
        })
    }

    fn read_source(source: Source) -> Result<Template, BadFile> {
        let source = Arc::new(source);
        let tree = parse_tree(&source.text).map_err(|errors| bad(&source, errors))?;
        let mut errors: Vec<Diagnostic> = Vec::new();
        let mut any = false;
        for pick in TRIED {
            let (drawn, draws) = drawn(&tree, pick, source.tested);
            any |= draws.any;
            add(&mut errors, draws.errors);
            add(
                &mut errors,
                read_tree(&source, &drawn, pick).err().unwrap_or_default(),
            );
            if pick == Pick::High && !any {
                break;
            }
        }
        if !errors.is_empty() {
            return Err(bad(&source, errors));
        }
        let sample = draw(&source, &tree, SAMPLE)?;
        Ok(Template {
            source,
            tree,
            sample,
            draws: any,
        })
    }

    /// The scenario of one seed.
    ///
    /// # Errors
    /// [`BadFile`] when this seed draws an invalid scenario: the file's fault.
    pub fn draw(&self, seed: u64) -> Result<Scenario, BadFile> {
        draw(&self.source, &self.tree, seed)
    }

    /// The draw of one seed, as the text of a plain file: run with the same seed, it gives the same trace as this
    /// file.
    ///
    /// # Errors
    /// As [`Template::draw`].
    pub fn plan(&self, seed: u64) -> Result<String, BadFile> {
        self.draw(seed)?;
        let (tree, _) = drawn(&self.tree, Pick::Seed(seed), false);
        let path = self.source.path.display();
        let comment = format!(
            "Drawn from {path} with seed {seed}.\nRun with the same seed it gives the same trace: --seed {seed}"
        );
        Ok(write(&tree, &comment))
    }

    /// The scenario of seed 1, for the parts that no seed changes: title, story, worlds.
    pub fn sample(&self) -> &Scenario {
        &self.sample
    }

    /// Whether the file leaves more to the seed than every file does.
    pub fn has_draws(&self) -> bool {
        self.draws
    }
}

fn drawn(tree: &Table, pick: Pick, keeps_labels: bool) -> (Table, Draws) {
    let mut tree = tree.clone();
    let draws = draws::draw(&mut tree, pick, keeps_labels);
    (tree, draws)
}

fn draw(source: &Arc<Source>, tree: &Table, seed: u64) -> Result<Scenario, BadFile> {
    let pick = Pick::Seed(seed);
    let (tree, draws) = drawn(tree, pick, source.tested);
    let mut errors = draws.errors;
    match read_tree(source, &tree, pick) {
        Ok(scenario) if errors.is_empty() => {
            return Ok(Scenario {
                asked: draws.asked,
                ..scenario
            });
        }
        Ok(_) => {}
        Err(more) => add(&mut errors, more),
    }
    Err(bad(source, errors))
}

/// Adds mistakes at other places. A mistake at the same place is the same one, found by an earlier pass or in
/// another draw.
fn add(errors: &mut Vec<Diagnostic>, more: Vec<Diagnostic>) {
    let places: Vec<_> = errors.iter().map(|error| error.span.clone()).collect();
    let is_new = |error: &Diagnostic| !places.contains(&error.span);
    errors.extend(more.into_iter().filter(is_new));
}

fn bad(source: &Arc<Source>, mut diagnostics: Vec<Diagnostic>) -> BadFile {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    diagnostics.dedup();
    BadFile {
        source: source.clone(),
        diagnostics,
    }
}
