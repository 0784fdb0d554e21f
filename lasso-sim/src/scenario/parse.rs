//! Reads a whole file: syntax first, then every section, and reports all mistakes together.

use core::ops::Range;
use core::time::Duration;
use std::path::Path as FilePath;
use std::sync::Arc;

use toml::de::DeTable;

use super::errors::{BadFile, Diagnostic};
use super::model::{NodeId, Rule, Scenario, Source, Step};
use super::range::Pick;
use super::reader::{Fields, Reader};
use super::sometimes::{self, Sometimes};
use super::steps::{self, Steps};
use super::template::Template;
use super::units::show;
use super::value::{self, Kind, Value};
use super::{network, nodes};
use crate::world::WorldKind;

/// The version of the language that this release reads.
pub const LANGUAGE: i64 = 1;
/// Largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The seed of a scenario that is read without one.
const PLAIN_SEED: u64 = 1;

impl Scenario {
    /// Reads the text of a file that needs no particular seed: seed 1 draws everything that it leaves to the
    /// seed. `path` is its name in messages.
    ///
    /// ```
    /// use lasso_sim::scenario::Scenario;
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
    /// let scenario = Scenario::parse("three.toml".as_ref(), text)?;
    /// assert_eq!(scenario.nodes.len(), 3);
    ///
    /// let bad = Scenario::parse("three.toml".as_ref(), &text.replace("connected", "conected"));
    /// assert!(bad.unwrap_err().to_string().contains("did you mean `connected`?"));
    /// # Ok::<(), lasso_sim::scenario::BadFile>(())
    /// ```
    ///
    /// # Errors
    /// [`BadFile`] with every mistake of the file.
    pub fn parse(path: &FilePath, text: &str) -> Result<Scenario, BadFile> {
        Template::read(path, text)?.draw(PLAIN_SEED)
    }
}

/// The tree of a text, or all its errors of TOML syntax.
pub(super) fn parse_tree(text: &str) -> Result<value::Table, Vec<Diagnostic>> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("{} bytes are more than {FILE_BYTES_MAX}", text.len());
        return Err(vec![Diagnostic::new(0..0, message)]);
    }
    let (parsed, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(value::table(parsed));
    }
    let syntax = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        Diagnostic::new(span, error.message().to_owned()).label("not TOML")
    };
    Err(errors.iter().map(syntax).collect())
}

/// The scenario of a completely drawn tree, or all its mistakes.
pub(super) fn read_tree(
    source: &Arc<Source>,
    tree: &value::Table,
    pick: Pick,
) -> Result<Scenario, Vec<Diagnostic>> {
    let mut reader = Reader::new(&source.text, pick);
    let scenario = read(&mut reader, Fields::new(tree), source.clone(), tree);
    let (errors, names, specs) = reader.into_errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Scenario {
        nodes: specs,
        groups: names.into_groups(),
        ..scenario
    })
}

/// Reads everything but nodes and groups, which the reader keeps to the end.
fn read(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    source: Arc<Source>,
    table: &value::Table,
) -> Scenario {
    read_version(reader, &mut fields, table);
    let (title, story) = read_words(reader, &mut fields);
    let (worlds, because) = read_worlds(reader, &mut fields);
    let cipher = fields.take("cipher");
    let cipher = cipher.and_then(|v| reader.choice(v, &[("noise", false), ("none", true)]));
    nodes::read(reader, &mut fields);
    let network = network::read(reader, &mut fields);
    let steps = steps::read(reader, &mut fields);
    if !source.tested {
        steps::refuse_unused_labels(reader, &steps);
    }
    let script = read_script(reader, &mut fields, steps);
    if !source.tested {
        refuse_idle_file(reader);
    }
    reader.refuse_unused_words();
    reader.refuse_unknown_accounts();
    nodes::refuse_unused_groups(reader, fields.take("groups"));
    nodes::refuse_idle_nodes(reader);
    fields.finish(reader, "the file");
    Scenario {
        source,
        title,
        story,
        worlds,
        because,
        null_cipher: cipher.unwrap_or_default(),
        nodes: Vec::new(),
        groups: Default::default(),
        network,
        steps: script.steps,
        rules: script.rules,
        sometimes: script.sometimes,
        asked: Vec::new(),
        end: script.end,
    }
}

/// Reads title and story.
fn read_words(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> (String, String) {
    let mut text = |reader: &mut Reader<'_>, key| {
        let text = fields.take(key).and_then(|value| reader.text(value));
        text.unwrap_or_default().to_owned()
    };
    let (title, story) = (text(reader, "title"), text(reader, "story"));
    if title.trim().is_empty() {
        let untitled = Diagnostic::new(0..0, "a scenario needs a `title`");
        reader.error(untitled.help("one line that says what happens: `title = \"…\"`"));
    }
    (title, story.trim().to_owned())
}

/// The steps and rules of a file, and the end of the run.
struct Script {
    steps: Vec<Step>,
    rules: Vec<Rule>,
    sometimes: Vec<Sometimes>,
    end: Duration,
}

/// Reads the rules, which by default last until the end, and finds the end, which by default is the latest
/// deadline.
fn read_script(reader: &mut Reader<'_>, fields: &mut Fields<'_>, steps: Steps) -> Script {
    let Steps {
        steps,
        last,
        deadlines,
        ..
    } = steps;
    let ends = fields
        .take("ends")
        .and_then(|value| Some((reader.duration(value)?, value.span.clone())));
    let until = ends.as_ref().map_or(last, |(ends, _)| *ends);
    let rules = steps::read_rules(reader, fields, until);
    let sometimes = sometimes::read(reader, fields, until);
    let ruled = rules.iter().map(|(rule, span)| (rule.until, span.clone()));
    let reached = sometimes.iter();
    let reached = reached.map(|(sometimes, span)| (sometimes.until, span.clone()));
    let deadlines: Vec<_> = deadlines.into_iter().chain(ruled).chain(reached).collect();
    let latest = deadlines.iter().map(|(deadline, _)| *deadline).max();
    let end = ends
        .as_ref()
        .map_or(latest.unwrap_or(last), |(ends, _)| *ends);
    if let Some((ends, span)) = ends {
        refuse_late(reader, &deadlines, ends, &span);
    }
    Script {
        steps,
        rules: rules.into_iter().map(|(rule, _)| rule).collect(),
        sometimes: sometimes.into_iter().map(|(one, _)| one).collect(),
        end,
    }
}

/// Reports a file that expects nothing.
fn refuse_idle_file(reader: &mut Reader<'_>) {
    if !reader.expects {
        let idle = Diagnostic::new(0..0, "nothing is expected, so this can never fail");
        reader.error(idle.help("add a `[[step]]` with `expect`, an `[[always]]` or a `[[never]]`"));
    }
}

/// Reports steps and checks after the end of the run.
fn refuse_late(
    reader: &mut Reader<'_>,
    deadlines: &[(Duration, Range<usize>)],
    ends: Duration,
    ends_at: &Range<usize>,
) {
    for (deadline, span) in deadlines.iter().filter(|(deadline, _)| *deadline > ends) {
        let message = format!("the run ends at {}, before {}", show(ends), show(*deadline));
        let late = Diagnostic::new(span.clone(), message).label("never completely checked");
        reader.error(late.also(ends_at.clone(), "ends here"));
    }
}

fn read_version(reader: &mut Reader<'_>, fields: &mut Fields<'_>, table: &value::Table) {
    let version = fields.take("lasso");
    match table.entries.first() {
        Some((key, _)) if key.text == "lasso" => {}
        first => {
            let span = first.map_or(0..0, |(key, _)| key.span.clone());
            let missing = Diagnostic::new(span, "the first key names the language's version");
            reader.error(missing.label("put `lasso = 1` before this"));
        }
    }
    match version {
        Some(Value {
            kind: Kind::Integer(LANGUAGE),
            ..
        })
        | None => {}
        Some(value) => {
            reader.wrong::<()>(value, "a version of the language that is known here: `1`");
        }
    }
}

fn read_worlds(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
) -> (Vec<WorldKind>, Option<String>) {
    let choices: Vec<(&str, WorldKind)> = WorldKind::ALL
        .iter()
        .map(|kind| (kind.name(), *kind))
        .collect();
    let (value, why) = (fields.take("worlds"), fields.take("because"));
    let because = why.and_then(|value| reader.text(value)).map(str::to_owned);
    let Some(value) = value else {
        if let Some(why) = why {
            let lost =
                Diagnostic::new(why.span.clone(), "`because` means nothing without `worlds`");
            reader.error(lost.label("says why a file cannot run in the other worlds"));
        }
        return (WorldKind::ALL.to_vec(), None);
    };
    let items = reader.items(value).iter();
    if items.len() == 0 {
        let nowhere = Diagnostic::new(value.span.clone(), "this file would run nowhere");
        reader.error(nowhere.label("name a world, or leave `worlds` out"));
    }
    let mut worlds: Vec<WorldKind> = items
        .filter_map(|item| reader.choice(item, &choices))
        .collect();
    worlds.sort_unstable();
    worlds.dedup();
    if because.is_none() {
        let silent = Diagnostic::new(value.span.clone(), "why does this not run in every world?");
        reader.error(silent.label("say it: `because = \"…\"`"));
    }
    (worlds, because)
}

impl Scenario {
    /// The node with that key.
    pub fn find(&self, key: &str) -> Option<NodeId> {
        self.node_ids().find(|id| self.node(*id).key == key)
    }
}
